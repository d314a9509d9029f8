//! What of a record is counted off the cores.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::{Ending, Record};
use crate::obs::Seen;
use crate::obs::seen::Exchange;

use super::span::{Places, error_type};

/// Counts exchanges; on the journal's thread.
#[derive(Debug)]
pub struct Count {
    places: Places,
    seen: Arc<Seen>,
}

impl Count {
    /// Counts into `seen`.
    pub fn new(places: Places, seen: Arc<Seen>) -> Self {
        Self { places, seen }
    }

    /// An exchange has ended.
    pub fn on_record(&mut self, record: &Record<'_>) {
        if record.ending != Ending::Open {
            self.seen.observe(&told(record, &self.places));
        }
    }
}

fn told<'r>(record: &Record<'r>, places: &'r Places) -> Exchange<'r> {
    let micros = |micros: u32| Duration::from_micros(u64::from(micros));
    let before = [record.parse, record.queue, record.connect, record.tls];
    let before = before.into_iter().fold(0, u32::saturating_add);
    Exchange {
        id: record.id,
        trace: record.trace,
        ended_ms: record.written_ms,
        operation: record.api.operation(),
        provider: if record.attempts > 0 { places.provider(record.upstream_name) } else { "" },
        route: if record.route.is_empty() { "other" } else { record.route },
        error: error_type(record),
        total: micros(record.total),
        asked: micros(record.total.saturating_sub(before)),
        first_token: (record.first_token > 0).then(|| micros(record.first_token)),
        overhead: micros(record.total.saturating_sub(record.waited)),
        tokens: [record.prompt, record.completion],
    }
}
