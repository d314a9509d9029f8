//! What the clients of one key send and get: only when an operator asks for it, a few exchanges,
//! for a while, in memory, without secrets.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Secret;
use crate::policy::Keyring;
use crate::shard::{Captured, Piece, Watch};

use super::change::{Change, Hands, Refusal, read, wrong};
use super::mask::masked;

/// Limits, and what holds where nothing is asked for.
const EXCHANGES: (u32, u32) = (100, 10);
const SECONDS: (u64, u64) = (3600, 60);
const BYTES: (usize, usize) = (256 * 1024, 16 * 1024);

/// What is kept.
#[derive(Debug)]
pub(super) struct Captures {
    /// Never to be shown.
    secrets: Vec<Secret>,
    running: Option<Running>,
    kept: VecDeque<Value>,
}

/// What was asked for last.
#[derive(Debug)]
struct Running {
    watch: Watch,
    exchanges: u32,
    arrived: Receiver<Captured>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    key: String,
    exchanges: Option<u32>,
    seconds: Option<u64>,
    bytes: Option<usize>,
}

impl Captures {
    /// Nothing is kept yet.
    pub(super) const fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets, running: None, kept: VecDeque::new() }
    }

    /// Begins, instead of what was asked for before.
    pub(super) fn start(&mut self, hands: &mut dyn Hands, body: &[u8], now_ms: u64) -> Change {
        let watched = watched(body, now_ms);
        let subject = watched.as_ref().map_or("", |(running, _)| &running.watch.key).to_owned();
        let done = watched.map(|(running, watch)| {
            hands.capture(Some(watch));
            self.kept.clear();
            self.running = Some(running);
            self.shown(now_ms)
        });
        Change { action: "capture.start".to_owned(), subject, done }
    }

    /// Ends, and forgets what was kept.
    pub(super) fn stop(&mut self, hands: &mut dyn Hands) -> Change {
        hands.capture(None);
        self.kept.clear();
        let subject = self.running.take().map_or_else(String::new, |running| running.watch.key);
        Change { action: "capture.stop".to_owned(), subject, done: Ok(json!({"key": null})) }
    }

    /// What was kept so far. That somebody has read it is written down like a change.
    pub(super) fn look(&mut self, now_ms: u64) -> Change {
        let done = Ok(self.shown(now_ms));
        let subject = self.running.as_ref().map_or("", |running| &running.watch.key).to_owned();
        Change { action: "capture.read".to_owned(), subject, done }
    }

    fn shown(&mut self, now_ms: u64) -> Value {
        let Some(running) = &self.running else { return json!({"key": null, "data": []}) };
        for captured in running.arrived.try_iter() {
            self.kept.push_back(exchange(&captured, &self.secrets));
        }
        let Watch { key, exchanges, bytes_max, until_ms, .. } = &running.watch;
        let left_ms = until_ms.saturating_sub(now_ms);
        let left = if left_ms == 0 { 0 } else { exchanges.load(Ordering::Relaxed) };
        json!({
            "key": key,
            "exchanges": running.exchanges,
            "exchanges_left": left,
            "seconds_left": left_ms.div_ceil(1000),
            "bytes": bytes_max,
            "data": self.kept,
        })
    }
}

/// Reads what is asked for: what is remembered of it, and what the shards are told.
fn watched(body: &[u8], now_ms: u64) -> Result<(Running, Watch), Refusal> {
    let Wish { key, exchanges, seconds, bytes } = read(body)?;
    if key.is_empty() {
        return Err(wrong("key", "key must be the name of a key"));
    }
    let exchanges = within("exchanges", exchanges, EXCHANGES)?;
    let seconds = within("seconds", seconds, SECONDS)?;
    let bytes_max = within("bytes", bytes, BYTES)?;
    let (to, arrived) = channel();
    let until_ms = now_ms.saturating_add(seconds * 1000);
    let left = Arc::new(AtomicU32::new(exchanges));
    let watch = Watch { key, exchanges: left, bytes_max, until_ms, to };
    Ok((Running { watch: watch.clone(), exchanges, arrived }, watch))
}

fn within<N: PartialOrd + From<u8> + Copy + std::fmt::Display>(
    name: &str,
    asked: Option<N>,
    (most, usual): (N, N),
) -> Result<N, Refusal> {
    let number = asked.unwrap_or(usual);
    if number >= N::from(1) && number <= most {
        return Ok(number);
    }
    Err(wrong(name, &format!("{name} must be from 1 to {most}")))
}

fn exchange(captured: &Captured, secrets: &[Secret]) -> Value {
    let Captured { id, at_ms, keys, request, answer } = captured;
    json!({
        "id": id,
        "at_ms": at_ms,
        "request": piece(request, secrets, keys),
        "answer": piece(answer, secrets, keys),
    })
}

fn piece(piece: &Piece, secrets: &[Secret], keys: &Keyring) -> Value {
    let whole = u64::try_from(piece.bytes.len()) == Ok(piece.total);
    let text = masked(&piece.bytes, whole, secrets, keys);
    json!({
        "text": String::from_utf8_lossy(&text),
        "bytes": piece.total,
        "whole": whole,
    })
}
