//! What keys have spent.

use rusqlite::params;

use super::super::db::StoreError;
use super::book::Ledger;
use super::day::{of_ms, whole};
use crate::base::date::DAY_MS;

impl Ledger {
    /// What exchanges that began from `from_ms` on and before `to_ms` cost, in nano-dollars, for
    /// each key that there was, corrections included; reservations of exchanges that never ended
    /// count, and a sum below nothing is nothing.
    ///
    /// Whole UTC days are read from their sums; of a day that is cut the records are read, as far
    /// as they are still kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn spent_by_key(&self, from_ms: u64, to_ms: u64) -> Result<Vec<(String, u64)>, StoreError> {
        self.spent_of(None, from_ms, to_ms)
    }

    /// A number that is another one whenever anybody else has written to the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn others(&self) -> Result<i64, StoreError> {
        let version = self.db.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.db.blame(&error))
    }

    /// The same of one key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn spent(&self, key: &str, from_ms: u64, to_ms: u64) -> Result<u64, StoreError> {
        let Some(number) = self.word(key)? else { return Ok(0) };
        let spent = self.spent_of(Some(number), from_ms, to_ms)?;
        Ok(spent.first().map_or(0, |(_, nanos)| *nanos))
    }

    fn spent_of(
        &self,
        key: Option<i64>,
        from_ms: u64,
        to_ms: u64,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        // The cut days at both ends, and the whole ones between them.
        let head_end = from_ms.div_ceil(DAY_MS).saturating_mul(DAY_MS).min(to_ms);
        let tail = (to_ms / DAY_MS * DAY_MS).max(head_end);
        let bounds = params![
            key,
            of_ms(head_end),
            of_ms(tail),
            whole(from_ms),
            whole(head_end),
            whole(tail),
            whole(to_ms),
        ];
        let read = || {
            let mut statement = self.db.connection.prepare_cached(SPENT)?;
            let rows = statement.query_map(bounds, |row| {
                let nanos: i64 = row.get(1)?;
                Ok((row.get(0)?, u64::try_from(nanos).unwrap_or(0)))
            })?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(|error| self.db.blame(&error))
    }
}

const SPENT: &str = "
SELECT text, sum(nanos) FROM (
    SELECT key, cost_nanos + corrected_nanos AS nanos FROM day WHERE day >= ?2 AND day < ?3
    UNION ALL
    SELECT key, ifnull(cost_nanos, 0) FROM exchange WHERE started_ms >= ?4 AND started_ms < ?5
    UNION ALL
    SELECT key, ifnull(cost_nanos, 0) FROM exchange WHERE started_ms >= ?6 AND started_ms < ?7
    UNION ALL
    SELECT key, nanos FROM correction
    WHERE valid_ms >= ?4 AND valid_ms < ?5 OR valid_ms >= ?6 AND valid_ms < ?7
) JOIN word ON n = key
WHERE ?1 IS NULL OR key = ?1
GROUP BY key ORDER BY text";
