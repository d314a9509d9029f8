//! What the cells hold at one moment, for readers that take differences: the dashboard and `top`.
//! The same sums as the metrics, so that both agree.

use super::cell::Cell;
use super::cells::{CODES, Cells, Shape, UpstreamFailure};
use super::histogram::Merged;
use super::registry::Registry;

/// All sums at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counters and gauges of the whole process, by name.
    pub counts: Vec<(&'static str, u64)>,
    /// Tokens by kind.
    pub tokens: Vec<(&'static str, u64)>,
    /// Bytes by direction.
    pub bytes: Vec<(&'static str, u64)>,
    /// Refusals for a limit of the client, by limit.
    pub limited: Vec<(&'static str, u64)>,
    /// Failed attempts at upstreams, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Answers by target and status.
    pub answers: Vec<Answered>,
    /// Durations: of whole exchanges, to the first byte of streams, of our own work.
    pub times: [(&'static str, Merged); 3],
    /// What each shard has done and does.
    pub shards: Vec<ShardFigures>,
}

/// Answers of one target with one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Index into the shape's targets; none when no route was found.
    pub target: Option<usize>,
    /// The status; none for one without a series of its own.
    pub code: Option<u16>,
    /// How many.
    pub count: u64,
}

/// One shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardFigures {
    /// Exchanges that ended.
    pub requests: u64,
    /// Of them, those that failed.
    pub failed: u64,
    /// Exchanges now.
    pub in_flight: u64,
    /// Client connections now.
    pub connections: u64,
    /// Client connections accepted.
    pub accepted: u64,
    /// Of them, those handed to another shard.
    pub handed_over: u64,
    /// Idle connections to upstreams now.
    pub idle: u64,
}

/// A count's name, and its cell.
type CellOf = (&'static str, fn(&Cells) -> &Cell);

impl Registry {
    /// All sums as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let counts: [CellOf; 14] = [
            ("requests", |cells| &cells.requests),
            ("failed", |cells| &cells.failed),
            ("cancelled", |cells| &cells.cancelled),
            ("in_flight", |cells| &cells.in_flight),
            ("connections_open", |cells| &cells.connections_open),
            ("upstream_attempts", |cells| &cells.attempts),
            ("upstream_connections_opened", |cells| &cells.links_opened),
            ("upstream_connections_reused", |cells| &cells.links_reused),
            ("upstream_connections_stale", |cells| &cells.links_stale),
            ("upstream_connections_idle", |cells| &cells.links_idle),
            ("hedges", |cells| &cells.hedges),
            ("hedges_won", |cells| &cells.hedges_won),
            ("streams_resumed", |cells| &cells.streams_resumed),
            ("bugs", |cells| &cells.bugs),
        ];
        let reasons = UpstreamFailure::ALL.map(|(_, reason)| reason);
        Snapshot {
            counts: counts.map(|(name, cell)| (name, self.sum(cell))).to_vec(),
            tokens: self
                .kinds(&["prompt", "completion", "cached", "reasoning"], |cells| &cells.tokens),
            bytes: self.kinds(&["in", "out"], |cells| &cells.bytes),
            limited: self
                .kinds(&["bucket", "requests", "tokens", "concurrency"], |cells| &cells.limited),
            failures: self.kinds(&reasons, |cells| &cells.failures),
            answers: self.answers(),
            times: [
                ("duration", self.merged(|cells| &cells.duration)),
                ("first_token", self.merged(|cells| &cells.first_token)),
                ("overhead", self.merged(|cells| &cells.overhead)),
            ],
            shards: self.shards.iter().map(|cells| ShardFigures::of(cells)).collect(),
        }
    }

    /// The circuit of an upstream on each shard: 0 closed, 1 half open, 2 open.
    pub fn circuits_of(&self, upstream: usize) -> Vec<u64> {
        let cells = self.shards.iter().filter_map(|cells| cells.circuit(upstream));
        cells.map(Cell::read).collect()
    }

    /// The labels that series have.
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    fn kinds(
        &self,
        words: &[&'static str],
        cells_of: fn(&Cells) -> &[Cell],
    ) -> Vec<(&'static str, u64)> {
        let sum = |place: usize| {
            let cells = self.shards.iter().filter_map(|cells| cells_of(cells).get(place));
            cells.map(Cell::read).sum()
        };
        words.iter().enumerate().map(|(place, word)| (*word, sum(place))).collect()
    }

    fn answers(&self) -> Vec<Answered> {
        let targets = self.shape.targets.len();
        let all = (0..=targets).flat_map(|target| (0..=CODES.len()).map(move |at| (target, at)));
        let counted = all.map(|(target, place)| Answered {
            target: (target < targets).then_some(target),
            code: CODES.get(place).copied(),
            count: self.shards.iter().map(|cells| cells.by_code(target, place)).sum(),
        });
        counted.filter(|answered| answered.count > 0).collect()
    }
}

impl ShardFigures {
    fn of(cells: &Cells) -> Self {
        Self {
            requests: cells.requests.read(),
            failed: cells.failed.read(),
            in_flight: cells.in_flight.read(),
            connections: cells.connections_open.read(),
            accepted: cells.connections_accepted.read(),
            handed_over: cells.connections_handed_over.read(),
            idle: cells.links_idle.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::cells::{Settled, Shape, TargetLabels};
    use super::*;

    #[test]
    fn a_snapshot_sums_the_shards_and_keeps_them_apart() {
        let label = |name: &str| name.to_owned();
        let target = TargetLabels { route: label("r"), provider: label("p"), model: label("m") };
        let shape = Shape { targets: vec![target], upstreams: vec![label("p")] };
        let shards: Vec<Arc<Cells>> = (0..2).map(|_| Arc::new(Cells::new(&shape))).collect();
        let settled = Settled {
            target: Some(0),
            status: 200,
            duration: Duration::from_millis(8),
            ..Settled::default()
        };
        shards[0].on_settle(&settled);
        shards[1].on_settle(&settled);
        shards[1].on_settle(&Settled { target: None, status: 418, failed: true, ..settled });
        shards[1].on_failure(UpstreamFailure::Eof);
        let snapshot = Registry::new(shards, shape).snapshot();
        assert_eq!(snapshot.counts[..2], [("requests", 3), ("failed", 1)]);
        let answered = |target, code, count| Answered { target, code, count };
        let want = [answered(Some(0), Some(200), 2), answered(None, None, 1)];
        assert_eq!(snapshot.answers, want);
        assert!(snapshot.failures.contains(&("eof", 1)));
        assert_eq!(snapshot.shards.iter().map(|shard| shard.requests).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(snapshot.times[0].1.count(), 3);
    }
}
