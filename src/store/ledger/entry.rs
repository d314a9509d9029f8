//! Single entries of the ledger, read in the order of time.

use rusqlite::{Connection, Row, params};

use crate::journal::{Ending, Record};

/// An exchange or a correction.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'r> {
    /// An exchange as it was recorded.
    Exchange {
        /// Names it together with `seq`.
        boot: u64,
        /// Its number among those of `boot`.
        seq: u64,
        /// The record; it is `priced`, at the reservation, when it is an admission without an end
        /// whose cost is not known otherwise.
        record: Record<'r>,
    },
    /// A charge that was wrong, and by how much.
    Correction(Correction<'r>),
}

/// A correction.
#[derive(Clone, Copy, Debug)]
pub struct Correction<'r> {
    /// When it was written, in milliseconds since 1970.
    pub written_ms: u64,
    /// When what it corrects began.
    pub valid_ms: u64,
    /// What is charged on top, in nano-dollars.
    pub nanos: i64,
    /// The exchange, by boot and number; none where it is about a key as a whole.
    pub exchange: Option<(u64, u64)>,
    /// The exchange's id, as long as it is kept.
    pub id: &'r str,
    /// The key.
    pub key: &'r str,
    /// The route; empty without an exchange.
    pub route: &'r str,
    /// The upstream; empty without an exchange.
    pub upstream: &'r str,
    /// The model; empty without an exchange.
    pub model: &'r str,
    /// The day of the prices as `yyyymmdd`; 0 without.
    pub prices: u32,
    /// Why.
    pub reason: &'r str,
}

/// Where in time the reading is.
pub(super) struct Cursor {
    /// What was read last: start, process and number.
    last: (i64, i64, i64),
    /// The first time that is not read.
    past: i64,
    from: i64,
    key: Option<i64>,
}

pub(super) const EXCHANGES: &str = "
SELECT e.started_ms, e.process, e.seq, p.boot, e.written_ms, e.ending, e.status, k.text, r.text,
    u.text, m.text, c.text, e.prompt, e.cached, e.cache_write, e.prompt_audio, e.completion,
    e.reasoning, e.completion_audio, e.estimated, e.cost_nanos, e.prices, e.reserved_nanos,
    e.stream, e.cache_hit, e.attempts, e.shard, e.bytes_in, e.bytes_out, e.parse, e.queue,
    e.connect, e.tls, e.upstream_first, e.waited, e.first_token, e.total, e.id, e.trace, e.span,
    e.cache_write_1h, e.cached_audio, e.completion_image, e.tier
FROM exchange e JOIN process p ON p.n = e.process JOIN word k ON k.n = e.key
    JOIN word r ON r.n = e.route JOIN word u ON u.n = e.upstream JOIN word m ON m.n = e.model
    JOIN word c ON c.n = e.cause
WHERE (e.started_ms, e.process, e.seq) > (?1, ?2, ?3) AND e.started_ms < ?4
    AND (?5 IS NULL OR e.key = ?5)
ORDER BY e.started_ms, e.process, e.seq LIMIT ?6";

const CORRECTIONS: &str = "
SELECT c.written_ms, c.valid_ms, c.nanos, p.boot, c.seq, ifnull(e.id, ''), k.text, r.text, u.text,
    m.text, c.prices, c.reason
FROM correction c LEFT JOIN process p ON p.n = c.process
    LEFT JOIN exchange e ON e.process = c.process AND e.seq = c.seq
    JOIN word k ON k.n = c.key JOIN word r ON r.n = c.route JOIN word u ON u.n = c.upstream
    JOIN word m ON m.n = c.model
WHERE c.valid_ms >= ?1 AND c.valid_ms < ?2 AND (?3 IS NULL OR c.key = ?3)
ORDER BY c.valid_ms, c.n";

impl Cursor {
    /// Before the first entry from `from` on and before `past`.
    pub(super) const fn new((from, past): (i64, i64), key: Option<i64>) -> Self {
        Self { last: (from.saturating_sub(1), i64::MAX, i64::MAX), past, from, key }
    }

    /// Shows the next `most` exchanges; tells whether there may be more.
    pub(super) fn exchanges(
        &mut self,
        connection: &Connection,
        most: usize,
        each: &mut impl FnMut(&Entry<'_>) -> bool,
    ) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(EXCHANGES)?;
        let (started, process, seq) = self.last;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows =
            statement.query(params![started, process, seq, self.past, self.key, limit])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            self.last = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (boot, seq): (i64, i64) = (row.get(3)?, row.get(2)?);
            let (boot, seq) = (boot.cast_unsigned(), seq.cast_unsigned());
            if !each(&Entry::Exchange { boot, seq, record: record(row)? }) {
                return Ok(false);
            }
        }
        Ok(read == most)
    }

    /// Shows the corrections.
    pub(super) fn corrections(
        &self,
        connection: &Connection,
        each: &mut impl FnMut(&Entry<'_>) -> bool,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(CORRECTIONS)?;
        let mut rows = statement.query(params![self.from, self.past, self.key])?;
        while let Some(row) = rows.next()? {
            if !each(&Entry::Correction(correction(row)?)) {
                break;
            }
        }
        Ok(())
    }
}

fn record<'r>(row: &'r Row<'_>) -> rusqlite::Result<Record<'r>> {
    let flag = |at| row.get::<_, bool>(at);
    let trace: Option<[u8; 16]> = row.get(38)?;
    let span: Option<i64> = row.get(39)?;
    let cost: Option<i64> = row.get(20)?;
    Ok(Record {
        started_ms: count(row, 0)?,
        written_ms: count(row, 4)?,
        trace: trace.map_or(0, u128::from_be_bytes),
        span: span.unwrap_or(0).cast_unsigned(),
        prompt: count(row, 12)?,
        cached: count(row, 13)?,
        cache_write: count(row, 14)?,
        prompt_audio: count(row, 15)?,
        completion: count(row, 16)?,
        reasoning: count(row, 17)?,
        completion_audio: count(row, 18)?,
        cache_write_1h: count(row, 40)?,
        cached_audio: count(row, 41)?,
        completion_image: count(row, 42)?,
        tier: row.get(43)?,
        reserved_nanos: count(row, 22)?,
        cost_nanos: cost.and_then(|cost| u64::try_from(cost).ok()).unwrap_or(0),
        bytes_in: count(row, 27)?,
        bytes_out: count(row, 28)?,
        parse: row.get(29)?,
        queue: row.get(30)?,
        connect: row.get(31)?,
        tls: row.get(32)?,
        upstream: row.get(33)?,
        waited: row.get(34)?,
        first_token: row.get(35)?,
        total: row.get(36)?,
        prices: row.get(21)?,
        status: row.get(6)?,
        attempts: row.get(25)?,
        shard: row.get(26)?,
        ending: Ending::of(row.get(5)?).unwrap_or(Ending::Bug),
        priced: cost.is_some(),
        estimated: flag(19)?,
        stream: flag(23)?,
        cache_hit: flag(24)?,
        id: text(row, 37)?,
        key: text(row, 7)?,
        route: text(row, 8)?,
        upstream_name: text(row, 9)?,
        model: text(row, 10)?,
        cause: text(row, 11)?,
        // The ledger does not keep the rest.
        ..Record::default()
    })
}

fn correction<'r>(row: &'r Row<'_>) -> rusqlite::Result<Correction<'r>> {
    let exchange: (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
    Ok(Correction {
        written_ms: count(row, 0)?,
        valid_ms: count(row, 1)?,
        nanos: row.get(2)?,
        exchange: exchange
            .0
            .zip(exchange.1)
            .map(|(boot, seq)| (boot.cast_unsigned(), seq.cast_unsigned())),
        id: text(row, 5)?,
        key: text(row, 6)?,
        route: text(row, 7)?,
        upstream: text(row, 8)?,
        model: text(row, 9)?,
        prices: row.get(10)?,
        reason: text(row, 11)?,
    })
}

/// A number that was never negative.
fn count(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn text<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<&'r str> {
    Ok(row.get_ref(at)?.as_str()?)
}
