//! What is known: the looks of the last two minutes, and what follows from them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::ask::Asked;
use super::figures::{Figures, Histogram, real};

/// So many looks are kept, one a second.
const KEPT: usize = 200;

/// Percentiles and shares are over so many looks.
const WINDOW: usize = 10;

/// Everything that the screen shows.
#[derive(Debug, Default)]
pub(super) struct Sight {
    looks: VecDeque<Figures>,
    pub(super) last: Option<Asked>,
    /// Why there was no answer, the last time.
    pub(super) wrong: Option<String>,
}

impl Sight {
    /// Takes an answer in, or that there was none.
    pub(super) fn on_look(&mut self, asked: Result<Asked, String>) {
        let asked = match asked {
            Ok(asked) => asked,
            Err(why) => {
                self.wrong = Some(why);
                return;
            }
        };
        self.wrong = None;
        // Another process answers: what was before cannot be compared.
        if self.looks.back().is_some_and(|before| !asked.figures.follows(before)) {
            self.looks.clear();
        }
        if self.looks.len() == KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back(asked.figures.clone());
        self.last = Some(asked);
    }

    /// The last look and the one before it.
    pub(super) fn pair(&self) -> Option<(&Figures, &Figures)> {
        let before = self.looks.len().checked_sub(2)?;
        Some((self.looks.back()?, self.looks.get(before)?))
    }

    /// Growth per second between the last two looks.
    pub(super) fn rate(&self, of: impl Fn(&Figures) -> u64) -> Option<f64> {
        self.pair().map(|(now, before)| now.rate(before, of))
    }

    /// Growth per second between all looks, the oldest first.
    pub(super) fn rates(&self, of: impl Fn(&Figures) -> u64) -> Vec<f64> {
        let pairs = self.looks.iter().zip(self.looks.iter().skip(1));
        pairs.map(|(before, now)| now.rate(before, &of)).collect()
    }

    /// What was counted in the last looks; none when that is nothing.
    pub(super) fn lately(&self, of: fn(&Figures) -> &Histogram) -> Option<Histogram> {
        let (now, then) = self.window()?;
        Some(of(now).since(of(then))).filter(|lately| !lately.is_empty())
    }

    /// What was counted since the start of the gateway.
    pub(super) fn ever(&self, of: fn(&Figures) -> &Histogram) -> Histogram {
        self.looks.back().map(|now| of(now).clone()).unwrap_or_default()
    }

    /// Of what ended in the last looks, the part that failed, in percent.
    pub(super) fn failed(&self) -> Option<f64> {
        let (now, then) = self.window()?;
        let ended = now.requests.saturating_sub(then.requests);
        let failed = now.failed.saturating_sub(then.failed);
        (ended > 0).then(|| 100.0 * real(failed) / real(ended))
    }

    fn window(&self) -> Option<(&Figures, &Figures)> {
        let then = self.looks.len().checked_sub(2)?.saturating_sub(WINDOW - 1);
        Some((self.looks.back()?, self.looks.get(then)?))
    }

    /// The figures for scripts.
    pub(super) fn json(&self) -> Option<Value> {
        let last = self.last.as_ref()?;
        let Asked { state, figures, upstreams, running, .. } = last;
        let times = |of: fn(&Figures) -> &Histogram| {
            let percentile = |percent| of(figures).percentile_ms(percent);
            json!({"p50": percentile(50), "p95": percentile(95), "p99": percentile(99)})
        };
        let upstreams = upstreams.iter().map(|one| json!({"name": one.name, "status": one.status}));
        let shards = figures.shards.iter().map(|one| {
            json!({
                "shard": one.shard,
                "requests": one.requests,
                "running": one.in_flight,
                "connections": one.connections_open,
                "busy_us": one.busy_us,
            })
        });
        Some(json!({
            "version": state.version,
            "ready": state.ready,
            "draining": state.draining,
            "uptime_seconds": state.uptime_seconds,
            "requests": figures.requests,
            "requests_per_second": self.rate(|figures| figures.requests),
            "failed": figures.failed,
            "cancelled": figures.cancelled,
            "running": running.len(),
            "connections": figures.connections_open,
            "tokens": figures.tokens,
            "tokens_per_second": self.rate(Figures::all_tokens),
            "latency_ms": times(|figures| &figures.times_us.duration),
            "first_token_ms": times(|figures| &figures.times_us.first_token),
            "errors": figures.errors().into_iter().collect::<BTreeMap<_, _>>(),
            "upstreams": upstreams.collect::<Vec<_>>(),
            "shards": shards.collect::<Vec<_>>(),
        }))
    }
}
