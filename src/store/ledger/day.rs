//! What the exchanges of a day come to, by key, route, upstream and model.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::date::DAY_MS;
use crate::journal::{Ending, Record};

/// More tokens of a kind no exchange has: what claims to have is counted as this many, so that
/// sums stay far from the end of 64 bits.
const TOKENS_MAX: u64 = 1 << 32;
/// Likewise, in nano-dollars: about a million dollars.
const MONEY_MAX: u64 = 1 << 50;

/// Where the sums of an exchange go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    /// Whole days since 1970, UTC, when the exchange began.
    pub(super) day: i64,
    pub(super) key: i64,
    pub(super) route: i64,
    pub(super) upstream: i64,
    pub(super) model: i64,
}

/// What exchanges come to, in the order of the columns of `day`. Nothing but corrections is ever
/// below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Exchanges.
    pub requests: i64,
    /// Of them, those that failed, broke off or were left by their clients.
    pub unsuccessful: i64,
    /// Of them, admissions without an end.
    pub open: i64,
    /// Of them, answers of the response cache.
    pub cache_hits: i64,
    /// Of them, those whose figures are estimates.
    pub estimated: i64,
    /// Of them, those whose cost is not known.
    pub unpriced: i64,
    /// Their tokens in the order of [`Sums::KINDS`].
    pub tokens: [i64; 7],
    /// What they cost as far as it is known, in nano-dollars.
    pub cost_nanos: i64,
    /// What was charged on top later, in nano-dollars.
    pub corrected_nanos: i64,
}

impl Sums {
    /// The kinds of tokens: those of the prompt with three parts of them, and those of the
    /// completion with two.
    pub const KINDS: [&str; 7] = [
        "prompt",
        "cached",
        "cache_write",
        "prompt_audio",
        "completion",
        "reasoning",
        "completion_audio",
    ];

    /// What is charged in the end, in nano-dollars; none when of all exchanges that cost something
    /// not one's cost is known.
    pub const fn charged(&self) -> Option<i64> {
        if self.unpriced > 0 && self.cost_nanos == 0 && self.corrected_nanos == 0 {
            return None;
        }
        Some(self.cost_nanos.saturating_add(self.corrected_nanos))
    }

    /// What one exchange adds.
    pub(super) fn of(record: &Record<'_>) -> Self {
        let tokens = [
            record.prompt,
            record.cached,
            record.cache_write,
            record.prompt_audio,
            record.completion,
            record.reasoning,
            record.completion_audio,
        ];
        let cost = cost(record);
        Self {
            requests: 1,
            unsuccessful: i64::from(!matches!(record.ending, Ending::Answered | Ending::Open)),
            open: i64::from(record.ending == Ending::Open),
            cache_hits: i64::from(record.cache_hit),
            estimated: i64::from(is_estimated(record)),
            unpriced: i64::from(cost.is_none()),
            tokens: tokens.map(self::tokens),
            cost_nanos: cost.unwrap_or(0),
            corrected_nanos: 0,
        }
    }

    /// Adds others, so many times.
    pub fn add(&mut self, other: &Self, times: i64) {
        let sums = [
            (&mut self.requests, other.requests),
            (&mut self.unsuccessful, other.unsuccessful),
            (&mut self.open, other.open),
            (&mut self.cache_hits, other.cache_hits),
            (&mut self.estimated, other.estimated),
            (&mut self.unpriced, other.unpriced),
            (&mut self.cost_nanos, other.cost_nanos),
            (&mut self.corrected_nanos, other.corrected_nanos),
        ];
        for (sum, more) in sums.into_iter().chain(self.tokens.iter_mut().zip(other.tokens)) {
            *sum = sum.saturating_add(more.saturating_mul(times));
        }
    }

    /// Reads the sums that stand in a row from column `at` on.
    pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        let mut sums = Self {
            requests: row.get(at)?,
            unsuccessful: row.get(at + 1)?,
            open: row.get(at + 2)?,
            cache_hits: row.get(at + 3)?,
            estimated: row.get(at + 4)?,
            unpriced: row.get(at + 5)?,
            tokens: [0; 7],
            cost_nanos: row.get(at + 13)?,
            corrected_nanos: row.get(at + 14)?,
        };
        for (place, column) in sums.tokens.iter_mut().zip(at + 6..) {
            *place = row.get(column)?;
        }
        Ok(sums)
    }
}

/// Adds sums to the rows of `day`.
pub(super) fn add(connection: &Connection, sums: &HashMap<Group, Sums>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO day (day, key, route, upstream, model, requests, unsuccessful, open,
             cache_hits, estimated, unpriced, prompt, cached, cache_write, prompt_audio,
             completion, reasoning, completion_audio, cost_nanos, corrected_nanos)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20)
         ON CONFLICT DO UPDATE SET
             requests = requests + excluded.requests,
             unsuccessful = unsuccessful + excluded.unsuccessful,
             open = open + excluded.open,
             cache_hits = cache_hits + excluded.cache_hits,
             estimated = estimated + excluded.estimated,
             unpriced = unpriced + excluded.unpriced,
             prompt = prompt + excluded.prompt,
             cached = cached + excluded.cached,
             cache_write = cache_write + excluded.cache_write,
             prompt_audio = prompt_audio + excluded.prompt_audio,
             completion = completion + excluded.completion,
             reasoning = reasoning + excluded.reasoning,
             completion_audio = completion_audio + excluded.completion_audio,
             cost_nanos = cost_nanos + excluded.cost_nanos,
             corrected_nanos = corrected_nanos + excluded.corrected_nanos",
    )?;
    for (group, sums) in sums {
        let [prompt, cached, cache_write, prompt_audio, completion, reasoning, completion_audio] =
            sums.tokens;
        statement.execute(params![
            group.day,
            group.key,
            group.route,
            group.upstream,
            group.model,
            sums.requests,
            sums.unsuccessful,
            sums.open,
            sums.cache_hits,
            sums.estimated,
            sums.unpriced,
            prompt,
            cached,
            cache_write,
            prompt_audio,
            completion,
            reasoning,
            completion_audio,
            sums.cost_nanos,
            sums.corrected_nanos,
        ])?;
    }
    Ok(())
}

/// What the open admission at a place has added, and to what; none when it has been settled.
pub(super) fn of_open(
    connection: &Connection,
    (process, seq): (i64, i64),
) -> rusqlite::Result<Option<(Group, Sums)>> {
    let mut statement = connection.prepare_cached(
        "SELECT started_ms / 86400000, key, route, upstream, model, 1, 0, 1, cache_hit, estimated,
             cost_nanos IS NULL, prompt, cached, cache_write, prompt_audio, completion, reasoning,
             completion_audio, ifnull(cost_nanos, 0), 0
         FROM exchange WHERE process = ?1 AND seq = ?2 AND ending = 0",
    )?;
    let read = |row: &Row<'_>| Ok((group(row, 0)?, Sums::read(row, 5)?));
    statement.query_row([process, seq], read).optional()
}

/// Reads the group that stands in a row from column `at` on.
pub(super) fn group(row: &Row<'_>, at: usize) -> rusqlite::Result<Group> {
    Ok(Group {
        day: row.get(at)?,
        key: row.get(at + 1)?,
        route: row.get(at + 2)?,
        upstream: row.get(at + 3)?,
        model: row.get(at + 4)?,
    })
}

/// The UTC day of a time.
pub(super) fn of_ms(ms: u64) -> i64 {
    whole(ms / DAY_MS)
}

/// What an exchange is charged: its cost, or what was reserved for it while it is open; none when
/// no price was known.
pub(super) fn cost(record: &Record<'_>) -> Option<i64> {
    match record.ending {
        _ if record.priced => Some(money(record.cost_nanos)),
        // No upstream was asked.
        Ending::Answered | Ending::Failed | Ending::ClientLeft if record.attempts == 0 => Some(0),
        Ending::Open if record.reserved_nanos > 0 => Some(money(record.reserved_nanos)),
        _ => None,
    }
}

/// Are its figures not the vendor's? Those of an exchange without an end never are.
pub(super) fn is_estimated(record: &Record<'_>) -> bool {
    record.estimated || record.ending == Ending::Open
}

/// A count of tokens, bounded.
pub(super) fn tokens(count: u64) -> i64 {
    whole(count.min(TOKENS_MAX))
}

/// An amount, bounded.
pub(super) fn money(nanos: u64) -> i64 {
    whole(nanos.min(MONEY_MAX))
}

/// A number as SQLite has it; what does not fit is as large as can be.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_that_is_not_known_is_never_nothing() {
        let sums = |requests, unpriced, cost_nanos| Sums {
            requests,
            unpriced,
            cost_nanos,
            ..Sums::default()
        };
        // A refusal costs nothing, and that is known.
        for (sums, want) in [
            (sums(0, 0, 0), Some(0)),
            (sums(2, 0, 0), Some(0)),
            (sums(2, 1, 0), None),
            (sums(2, 2, 0), None),
            (sums(2, 1, 7), Some(7)),
        ] {
            assert_eq!(sums.charged(), want, "{sums:?}");
        }
    }
}
