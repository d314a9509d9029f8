//! What vendors mark their calls of tools with, for clients that do not send it back.
//!
//! Gemini 3 and Anthropic want their marks back with the results of the tools; plain `OpenAI`
//! clients return only what they know. The next turn may come in on another core, so this is one
//! of the few things that shards share: one short lock per call of a tool, never for text. Ids of
//! calls are random, so a client finds only what it was given.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::Tick;

use super::outbox::Outbox;

/// How long a mark is kept: agents answer within minutes, people within the hour.
const KEPT: Duration = Duration::from_secs(3600);

/// Locks, so that cores rarely meet.
const SLOTS: usize = 64;

/// A mark longer than this is not kept: the vendors' have some kilobytes.
const MARK_BYTES_MAX: usize = 1 << 20;

/// Whose mark it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    /// Google's `thoughtSignature` of the call.
    Google,
    /// Anthropic's thinking blocks before the call, a JSON array.
    Anthropic,
}

/// The mark of the call with an id.
pub type Mark = (Marker, String, String);

type Key = (Marker, String);

#[derive(Debug, Default)]
struct Slot {
    marks: HashMap<Key, (String, Tick)>,
    /// In the order in which they came; an entry that was replaced stands twice.
    order: VecDeque<(Key, Tick)>,
    bytes: usize,
}

/// The marks of all shards. Their clocks may differ by some milliseconds, which is nothing
/// beside an hour.
#[derive(Clone, Debug)]
pub struct Signatures {
    slots: Arc<[Mutex<Slot>]>,
    /// Decides the slot; random, so that no client can fill one on purpose.
    hasher: RandomState,
    slot_bytes_max: usize,
    /// For gateways that share this.
    outbox: Outbox<Mark>,
}

impl Signatures {
    /// Room for about `bytes_max` bytes of marks; 0 keeps none.
    pub fn new(bytes_max: usize) -> Self {
        Self::with(bytes_max, Outbox::default())
    }

    /// The same, and others are told of each mark.
    pub fn with(bytes_max: usize, outbox: Outbox<Mark>) -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        Self { slots, hasher: RandomState::new(), slot_bytes_max: bytes_max / SLOTS, outbox }
    }

    /// Keeps the mark of the call `id`. The oldest ones make room.
    pub fn keep(&self, marker: Marker, id: &str, mark: &str, now: Tick) {
        self.take(marker, id, mark, now);
        if self.slot_bytes_max > 0 {
            self.outbox.put(|| (marker, id.to_owned(), mark.to_owned()));
        }
    }

    /// Keeps a mark that another gateway has got.
    pub fn take(&self, marker: Marker, id: &str, mark: &str, now: Tick) {
        let size = cost(id, mark);
        if size > self.slot_bytes_max.min(MARK_BYTES_MAX) {
            return;
        }
        let mut slot = self.slot(id);
        let until = now.after(KEPT);
        let key = (marker, id.to_owned());
        if let Some((old, _)) = slot.marks.insert(key.clone(), (mark.to_owned(), until)) {
            slot.bytes -= cost(id, &old);
        }
        slot.bytes += size;
        slot.order.push_back((key, until));
        slot.shrink(self.slot_bytes_max, now);
    }

    /// The mark of the call `id`, if it is still known.
    pub fn recall(&self, marker: Marker, id: &str, now: Tick) -> Option<String> {
        if self.slot_bytes_max == 0 {
            return None;
        }
        let slot = self.slot(id);
        let (mark, until) = slot.marks.get(&(marker, id.to_owned()))?;
        (*until > now).then(|| mark.clone())
    }

    fn slot(&self, id: &str) -> MutexGuard<'_, Slot> {
        let place = usize::try_from(self.hasher.hash_one(id) % 64).unwrap_or(0) % SLOTS;
        // A panic while the lock was held cannot leave more than one mark missing.
        self.slots[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Drops what is over time, and the oldest while there is too much.
    fn shrink(&mut self, bytes_max: usize, now: Tick) {
        while let Some((key, until)) = self.order.front() {
            let (until, full) = (*until, self.bytes > bytes_max);
            if until > now && !full {
                return;
            }
            // A newer mark of the same call has a later entry of its own.
            let stale = self.marks.get(key).is_some_and(|(_, kept)| *kept == until);
            if stale && let Some((mark, _)) = self.marks.remove(key) {
                self.bytes -= cost(&key.1, &mark);
            }
            self.order.pop_front();
        }
    }
}

/// Bytes that one mark takes, with what the tables around it take.
fn cost(id: &str, mark: &str) -> usize {
    2 * id.len() + mark.len() + 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_for_an_hour() {
        let kept = Signatures::new(1 << 20);
        kept.keep(Marker::Google, "call_1", "sig", Tick(0));
        let later = |seconds| Tick(0).after(Duration::from_secs(seconds));
        assert_eq!(kept.recall(Marker::Google, "call_1", later(3599)).as_deref(), Some("sig"));
        assert_eq!(kept.recall(Marker::Anthropic, "call_1", Tick(0)), None);
        assert_eq!(kept.recall(Marker::Google, "call_1", later(3600)), None);
        assert_eq!(Signatures::new(0).recall(Marker::Google, "call_1", Tick(0)), None);
    }

    #[test]
    fn the_amount_is_bounded_and_the_newest_stay() {
        let most = 64 * 1024;
        let kept = Signatures::new(most);
        for turn in 0..10_000_u64 {
            kept.keep(Marker::Google, &format!("call_{turn}"), "0123456789", Tick(turn));
            // The same call again replaces its mark.
            kept.keep(Marker::Google, &format!("call_{turn}"), "abcdefghij", Tick(turn));
        }
        let bytes: usize = kept.slots.iter().map(|slot| slot.lock().unwrap().bytes).sum();
        assert!(bytes <= most && bytes > most / 2, "{bytes}");
        let newest = kept.recall(Marker::Google, "call_9999", Tick(10_000));
        assert_eq!(newest.as_deref(), Some("abcdefghij"));
        assert_eq!(kept.recall(Marker::Google, "call_0", Tick(10_000)), None);
        let orders: usize = kept.slots.iter().map(|slot| slot.lock().unwrap().order.len()).sum();
        assert!(orders < 1000, "{orders}");
        kept.keep(Marker::Google, "call_x", &"y".repeat(most), Tick(1));
        assert_eq!(kept.recall(Marker::Google, "call_x", Tick(1)), None);
    }
}
