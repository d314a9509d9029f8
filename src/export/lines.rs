//! One line of the log for each exchange, made from its record: no core formats one, and none waits
//! for standard error.

use std::sync::mpsc::SyncSender;

use crate::base::Sampling;
use crate::config::Exchanges;
use crate::journal::{Ending, Record};
use crate::obs::UpstreamFailure;
use crate::obs::log::{self, Level, Line};

/// Lines on their way to standard error. What comes when so many wait is lost, and counted.
pub const WAITING_MAX: usize = 1024;

/// Chooses exchanges and writes their lines; on the journal's thread.
#[derive(Debug)]
pub struct Lines {
    wanted: Exchanges,
    /// Which successes are taken: those whose traces are, if as many of them are recorded.
    sampling: Sampling,
    out: SyncSender<Line>,
    /// The second that is counted, the lines in it, and the exchanges that got none.
    second: u64,
    in_second: u64,
    left_out: u64,
}

impl Lines {
    /// Writes to `out`, which somebody else empties.
    pub fn new(wanted: Exchanges, out: SyncSender<Line>) -> Self {
        let sampling = Sampling::of(wanted.share);
        Self { wanted, sampling, out, second: 0, in_second: 0, left_out: 0 }
    }

    /// An exchange has ended.
    pub fn on_record(&mut self, record: &Record<'_>) {
        let level = level(record.ending, record.status);
        if !log::enabled(level) || !self.wants(record) {
            return;
        }
        self.turn(record.written_ms);
        if self.wanted.per_second.is_some_and(|most| self.in_second >= most) {
            self.left_out += 1;
            return;
        }
        self.in_second += 1;
        self.write(line(level, record));
    }

    fn wants(&self, record: &Record<'_>) -> bool {
        match record.ending {
            Ending::Open => false,
            Ending::Answered | Ending::ClientLeft => self.sampling.takes(record.trace),
            Ending::Failed | Ending::Broken | Ending::Bug => self.wanted.failures,
        }
    }

    /// With a new second there is room again, and what was left out is said.
    fn turn(&mut self, now_ms: u64) {
        // Records of several shards are not quite in order: a second never comes back.
        if now_ms / 1000 <= self.second {
            return;
        }
        self.second = now_ms / 1000;
        self.in_second = 0;
        if self.left_out > 0 {
            let mut line = Line::new(Level::Warn, now_ms, "exchanges without a line");
            line.number("count", std::mem::take(&mut self.left_out));
            self.write(line);
        }
    }

    fn write(&mut self, line: Line) {
        if self.out.try_send(line).is_err() {
            self.left_out += 1;
        }
    }
}

/// How much an ending matters to an operator.
const fn level(ending: Ending, status: u16) -> Level {
    match ending {
        Ending::Bug => Level::Error,
        Ending::Broken => Level::Warn,
        Ending::Failed if status >= 500 => Level::Warn,
        Ending::Failed | Ending::Answered | Ending::ClientLeft | Ending::Open => Level::Info,
    }
}

/// The line of one exchange. What a client sends is in it only where it cannot be a secret: never
/// a key, a prompt or an answer.
fn line(level: Level, record: &Record<'_>) -> Line {
    let mut line = Line::new(level, record.written_ms, "exchange");
    line.number("shard", u64::from(record.shard));
    line.field("req", record.id);
    if record.trace != 0 {
        line.field("trace", &format!("{:032x}", record.trace));
    }
    line.field("api", record.api.operation());
    for (name, text) in [
        ("key", record.key),
        ("route", record.route),
        ("upstream", record.upstream_name),
        ("model", record.model),
    ] {
        if !text.is_empty() {
            line.field(name, text);
        }
    }
    line.number("status", u64::from(record.status));
    line.field("ending", record.ending.label());
    if !record.cause.is_empty() {
        line.field("cause", record.cause);
    }
    // A cause is what the client is told; which one of its reasons it was helps an operator.
    if let Some(reason) = UpstreamFailure::of_number(record.reason) {
        line.field("reason", reason.label());
    }
    line.number("attempts", u64::from(record.attempts));
    for (name, flag) in
        [("reused", record.reused), ("stream", record.stream), ("cache_hit", record.cache_hit)]
    {
        line.number(name, u64::from(flag));
    }
    let named = [record.queue, record.connect, record.tls, record.upstream];
    let named = named.into_iter().fold(0, u32::saturating_add);
    for (name, micros) in [
        ("ms_parse", record.parse),
        ("ms_queue", record.queue),
        ("ms_connect", record.connect),
        ("ms_tls", record.tls),
        ("ms_upstream", record.upstream),
        ("ms_wait", record.waited.saturating_sub(named)),
        ("ms_gateway", record.total.saturating_sub(record.waited).saturating_sub(record.parse)),
        ("ms_total", record.total),
        ("ms_first_token", record.first_token),
    ] {
        line.millis(name, u64::from(micros));
    }
    for (name, count) in [
        ("bytes_in", record.bytes_in),
        ("bytes_out", record.bytes_out),
        ("tokens_in", record.prompt),
        ("tokens_out", record.completion),
        ("tokens_cached", record.cached),
        ("tokens_reasoning", record.reasoning),
    ] {
        line.number(name, count);
    }
    if let Some(cost) = record.cost_usd() {
        line.field("cost_usd", &cost);
    }
    if record.estimated {
        line.field("tokens", "estimated");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    const ALL: Exchanges = Exchanges { failures: true, share: 1.0, per_second: None };

    fn lines(wanted: Exchanges, room: usize) -> (Lines, Receiver<Line>) {
        let (out, written) = sync_channel(room);
        (Lines::new(wanted, out), written)
    }

    fn record(number: u64) -> Record<'static> {
        Record {
            written_ms: 1_700_000_000_000,
            trace: u128::from(number).wrapping_mul(0x0123_4567_89ab_cdef_1234_5678_9abc_def1),
            total: 1042,
            waited: 1000,
            status: 200,
            ending: Ending::Answered,
            id: "req_1",
            model: "m",
            ..Record::default()
        }
    }

    fn failed() -> Record<'static> {
        Record { status: 502, ending: Ending::Failed, cause: "bad_gateway", reason: 1, ..record(1) }
    }

    fn texts(written: &Receiver<Line>) -> Vec<String> {
        written.try_iter().map(Line::text).collect()
    }

    #[test]
    fn a_line_says_where_the_time_went_and_how_it_ended() {
        let (mut lines, written) = lines(ALL, 9);
        lines.on_record(&record(1));
        lines.on_record(&failed());
        lines.on_record(&Record { priced: true, cost_nanos: 1_500, ..record(2) });
        lines.on_record(&Record { ending: Ending::Open, ..record(3) });
        let texts = texts(&written);
        assert_eq!(texts.len(), 3);
        for part in
            ["info  exchange shard=0 req=req_1 trace=", "ms_gateway=0.042", "ms_total=1.042"]
        {
            assert!(texts[0].contains(part), "{} lacks {part}", texts[0]);
        }
        assert!(!texts[0].contains("cost_usd") && !texts[0].contains("cause="), "{}", texts[0]);
        for part in ["warn  exchange", "status=502 ending=failed cause=bad_gateway reason=no_token"]
        {
            assert!(texts[1].contains(part), "{} lacks {part}", texts[1]);
        }
        assert!(texts[2].contains("cost_usd=0.000001500"), "{}", texts[2]);
    }

    #[test]
    fn successes_are_sampled_and_failures_are_not() {
        let (mut lines, written) = lines(Exchanges { share: 0.25, ..ALL }, 5000);
        (1..=1000).for_each(|number| lines.on_record(&record(number)));
        (0..100).for_each(|_| lines.on_record(&failed()));
        let texts = texts(&written);
        let count = |part: &str| texts.iter().filter(|text| text.contains(part)).count();
        assert!((180..320).contains(&count("ending=answered")), "{}", count("ending=answered"));
        assert_eq!(count("ending=failed"), 100);
        let (mut lines, written) = self::lines(Exchanges { failures: false, share: 0.0, ..ALL }, 9);
        lines.on_record(&record(1));
        lines.on_record(&failed());
        assert!(texts_are_none(&written));
    }

    fn texts_are_none(written: &Receiver<Line>) -> bool {
        texts(written).is_empty()
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_one_says_what_is_missing() {
        let (mut lines, written) = lines(Exchanges { per_second: Some(3), ..ALL }, 99);
        (0..10).for_each(|number| lines.on_record(&record(number)));
        lines.on_record(&Record { written_ms: 1_700_000_001_000, ..record(1) });
        let texts = texts(&written);
        assert_eq!(texts.len(), 5, "{texts:?}");
        assert!(texts[3].contains("exchanges without a line count=7"), "{texts:?}");
    }

    #[test]
    fn a_log_that_nobody_reads_costs_lines_and_no_time() {
        let (mut lines, written) = lines(ALL, 2);
        (0..10).for_each(|number| lines.on_record(&record(number)));
        assert_eq!(texts(&written).len(), 2);
        lines.on_record(&Record { written_ms: 1_700_000_001_000, ..record(1) });
        assert!(texts(&written)[0].contains("count=8"));
    }
}
