//! Counters and histograms as the admin API gives them, and what happened between two looks.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Deserialize;

/// All sums since the start of the gateway.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Figures {
    pub(super) at_ms: u64,
    pub(super) uptime_seconds: f64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) in_flight: u64,
    pub(super) connections_open: u64,
    pub(super) tokens: BTreeMap<String, u64>,
    pub(super) limited: BTreeMap<String, u64>,
    pub(super) upstream_failures: BTreeMap<String, u64>,
    pub(super) answers: Vec<Answered>,
    pub(super) times_us: Times,
    pub(super) shards: Vec<Shard>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answered {
    code: String,
    count: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Times {
    pub(super) duration: Histogram,
    pub(super) first_token: Histogram,
}

/// Buckets as from, to and count, in microseconds.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Histogram {
    buckets: Vec<(u64, u64, u64)>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Shard {
    pub(super) shard: usize,
    pub(super) requests: u64,
    pub(super) in_flight: u64,
    pub(super) connections_open: u64,
    pub(super) busy_us: Option<u64>,
}

impl Figures {
    /// Tokens of requests and answers.
    pub(super) fn all_tokens(&self) -> u64 {
        ["prompt", "completion"].iter().filter_map(|kind| self.tokens.get(*kind)).sum()
    }

    /// What has gone wrong, the most frequent first.
    pub(super) fn errors(&self) -> Vec<(String, u64)> {
        let mut causes: BTreeMap<String, u64> = BTreeMap::new();
        for Answered { code, count } in self.answers.iter().filter(|answer| answer.code != "200") {
            let cause = match code.as_str() {
                "499" => "client left (499)".to_owned(),
                code => format!("answered {code}"),
            };
            *causes.entry(cause).or_default() += count;
        }
        let failures = self.upstream_failures.iter().map(|(why, n)| (format!("upstream {why}"), n));
        let limits = self.limited.iter().map(|(limit, n)| (format!("limit {limit}"), n));
        causes.extend(failures.chain(limits).map(|(cause, count)| (cause, *count)));
        let mut causes: Vec<_> = causes.into_iter().filter(|(_, count)| *count > 0).collect();
        causes.sort_by_key(|(_, count)| Reverse(*count));
        causes
    }

    /// Does this come from the process that `before` came from, later?
    pub(super) fn follows(&self, before: &Self) -> bool {
        self.uptime_seconds > before.uptime_seconds
            && self.requests >= before.requests
            && self.at_ms > before.at_ms
    }

    /// Seconds between two looks.
    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        real(self.at_ms.saturating_sub(before.at_ms)) / 1000.0
    }

    /// How much a counter has grown per second.
    pub(super) fn rate(&self, before: &Self, of: impl Fn(&Self) -> u64) -> f64 {
        let seconds = self.seconds_since(before);
        if seconds > 0.0 { real(of(self).saturating_sub(of(before))) / seconds } else { 0.0 }
    }
}

impl Histogram {
    /// Was nothing counted?
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|(_, _, count)| *count == 0)
    }

    /// What was counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let known: BTreeMap<u64, u64> =
            before.buckets.iter().map(|(from, _, count)| (*from, *count)).collect();
        let new = self.buckets.iter().map(|(from, to, count)| {
            let before = known.get(from).copied().unwrap_or(0);
            (*from, *to, count.saturating_sub(before))
        });
        Self { buckets: new.filter(|(_, _, count)| *count > 0).collect() }
    }

    /// The milliseconds that `percent` of all stay below or at, as in the metrics; none without
    /// any.
    pub(super) fn percentile_ms(&self, percent: u64) -> Option<f64> {
        let count: u64 = self.buckets.iter().map(|(_, _, count)| count).sum();
        let wanted = (count * percent).div_ceil(100).max(1);
        let mut passed = 0;
        let found = self.buckets.iter().find(|(_, _, count)| {
            passed += count;
            passed >= wanted
        });
        found.map(|(from, to, _)| real(from + to) / 2.0 / 1000.0)
    }
}

/// Counts stay far below 2^53, where floating point becomes inexact.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(super) fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_came_between() {
        let histogram = |buckets: &[(u64, u64, u64)]| Histogram { buckets: buckets.to_vec() };
        let before = histogram(&[(1000, 1100, 5)]);
        let now = histogram(&[(1000, 1100, 5), (2000, 2200, 98), (9000, 9400, 2)]);
        let between = now.since(&before);
        assert_eq!(between.percentile_ms(50), Some(2.1));
        assert_eq!(between.percentile_ms(99), Some(9.2));
        assert_eq!(before.since(&before).percentile_ms(50), None);
    }

    #[test]
    fn another_process_is_noticed() {
        let at = |at_ms, uptime_seconds, requests| Figures {
            at_ms,
            uptime_seconds,
            requests,
            ..Figures::default()
        };
        let (before, after) = (at(1000, 1.0, 5), at(3000, 3.0, 9));
        assert!(after.follows(&before) && !before.follows(&after));
        assert!(!at(3000, 0.5, 9).follows(&before));
        assert!((after.rate(&before, |figures| figures.requests) - 2.0).abs() < 1e-9);
    }
}
