//! Reports: sums of days in rows, and single exchanges.

use rusqlite::{OptionalExtension, Row, params};

use super::super::db::StoreError;
use super::book::Ledger;
use super::day::{Sums, whole};
use super::entry::{Cursor, Entry};
use crate::base::date::DAY_MS;

/// Exchanges that are read in one go. Between two goes others may tidy up behind us.
const PAGE: usize = 10_000;

/// What is reported of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span<'k> {
    /// The first day, as whole days since 1970, UTC.
    pub from_day: Option<u64>,
    /// The last day.
    pub to_day: Option<u64>,
    /// Only of this key.
    pub key: Option<&'k str>,
}

/// What makes a row of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The UTC day when an exchange began.
    Day,
    /// The client's key.
    Key,
    /// The pattern of the route.
    Route,
    /// The upstream that answered.
    Upstream,
    /// The model that it was asked for.
    Model,
}

/// One row of a report. What it is not divided by is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whole days since 1970.
    pub day: Option<u64>,
    /// The name of the key; empty for exchanges without one.
    pub key: Option<String>,
    /// The pattern of the route.
    pub route: Option<String>,
    /// The name of the upstream; empty where none was reached.
    pub upstream: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// What it comes to.
    pub sums: Sums,
}

const USAGE: &str = "
SELECT iif(?4, day, NULL), iif(?5, k.text, NULL), iif(?6, r.text, NULL), iif(?7, u.text, NULL),
    iif(?8, m.text, NULL), sum(requests), sum(unsuccessful), sum(open), sum(cache_hits),
    sum(estimated), sum(unpriced), sum(prompt), sum(cached), sum(cache_write), sum(prompt_audio),
    sum(completion), sum(reasoning), sum(completion_audio), sum(cost_nanos), sum(corrected_nanos)
FROM day JOIN word k ON k.n = key JOIN word r ON r.n = route JOIN word u ON u.n = upstream
    JOIN word m ON m.n = model
WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR k.text = ?3)
GROUP BY 1, 2, 3, 4, 5
HAVING sum(requests) > 0 OR sum(corrected_nanos) != 0
ORDER BY 1, sum(cost_nanos) + sum(corrected_nanos) DESC, sum(requests) DESC, 2, 3, 4, 5";

impl Span<'_> {
    /// The first and the last day.
    pub(super) fn days(&self) -> (i64, i64) {
        (self.from_day.map_or(0, whole), self.to_day.map_or(i64::MAX, whole))
    }

    /// The first millisecond, and the first one behind it.
    pub(super) fn times(&self) -> (i64, i64) {
        let from = self.from_day.unwrap_or(0).saturating_mul(DAY_MS);
        let past = self.to_day.map(|day| day.saturating_add(1).saturating_mul(DAY_MS));
        (whole(from), past.map_or(i64::MAX, whole))
    }
}

impl Ledger {
    /// What the exchanges of a span come to: a row for each value of what they are divided by, by
    /// days and then with the dearest first. Nothing is divided when `by` is empty; there is no row
    /// without an exchange or a correction.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn usage(&self, span: &Span<'_>, by: &[By]) -> Result<Vec<Usage>, StoreError> {
        let (from, to) = span.days();
        let has = |what| by.contains(&what);
        let divided = [By::Day, By::Key, By::Route, By::Upstream, By::Model].map(has);
        let [day, key, route, upstream, model] = divided;
        let read = || {
            let mut statement = self.db.connection.prepare_cached(USAGE)?;
            let filter = params![from, to, span.key, day, key, route, upstream, model];
            let rows = statement.query_map(filter, usage)?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(|error| self.db.blame(&error))
    }

    /// Shows every exchange and every correction of a span, in the order of time: what the costs
    /// of all of them come to is the cost that [`Ledger::usage`] tells. Stops when `each` says so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entries(
        &self,
        span: &Span<'_>,
        mut each: impl FnMut(&Entry<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let blame = |error| self.db.blame(&error);
        let mut cursor = self.cursor(span)?;
        while cursor.exchanges(&self.db.connection, PAGE, &mut each).map_err(blame)? {}
        cursor.corrections(&self.db.connection, &mut each).map_err(blame)
    }

    /// Where the entries of a span begin.
    pub(super) fn cursor(&self, span: &Span<'_>) -> Result<Cursor, StoreError> {
        let key = match span.key {
            None => None,
            // A key that has no number has no entries.
            Some(key) => Some(self.word(key)?.unwrap_or(-1)),
        };
        Ok(Cursor::new(span.times(), key))
    }

    /// The number of a text that has one.
    pub(super) fn word(&self, text: &str) -> Result<Option<i64>, StoreError> {
        let find = "SELECT n FROM word WHERE text = ?1";
        let number = self.db.connection.query_row(find, [text], |row| row.get(0)).optional();
        number.map_err(|error| self.db.blame(&error))
    }
}

fn usage(row: &Row<'_>) -> rusqlite::Result<Usage> {
    let day: Option<i64> = row.get(0)?;
    Ok(Usage {
        day: day.and_then(|day| u64::try_from(day).ok()),
        key: row.get(1)?,
        route: row.get(2)?,
        upstream: row.get(3)?,
        model: row.get(4)?,
        sums: Sums::read(row, 5)?,
    })
}
