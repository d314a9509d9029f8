//! The last exchanges that ended, as their records' bytes, for the table of the dashboard.

use std::collections::VecDeque;

use crate::journal::{RECORD_BYTES, Record};

use super::query::Query;

/// So many are kept; each takes some 300 bytes.
const KEPT: usize = 4096;

/// So many are given at once, unless more or fewer are asked for.
const GIVEN: usize = 100;

/// The last exchanges.
#[derive(Debug, Default)]
pub struct Recent {
    records: VecDeque<Vec<u8>>,
    /// The number of the newest; the first of all was 1.
    last: u64,
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Only those after this number.
    after: u64,
    /// At most so many.
    limit: usize,
    /// Somewhere in the id, the key, the route, the model, the upstream or the cause, in any case.
    text: String,
    /// Members that must be exactly so.
    exact: [Option<String>; 4],
    /// A status, or a class such as `5xx`.
    status: Option<String>,
}

impl Recent {
    /// Keeps a record, instead of the oldest when there are many.
    pub fn push(&mut self, record: &Record<'_>) {
        let mut room = [0; RECORD_BYTES];
        let length = record.encode(&mut room);
        let mut bytes = if self.records.len() < KEPT {
            Vec::new()
        } else {
            self.records.pop_front().unwrap_or_default()
        };
        bytes.clear();
        bytes.extend_from_slice(room.get(..length).unwrap_or_default());
        self.records.push_back(bytes);
        self.last += 1;
    }

    /// The number of the newest record; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Shows those that fit, the newest first, with their numbers.
    pub(super) fn find(&self, filter: &Filter, mut show: impl FnMut(u64, &Record<'_>)) {
        let numbers = (0..=self.last).rev();
        let newest_first = self.records.iter().rev().zip(numbers);
        let new = newest_first.take_while(|(_, number)| *number > filter.after);
        let known = new.filter_map(|(bytes, number)| Some((number, Record::decode(bytes)?)));
        let fitting = known.filter(|(_, record)| filter.fits(record));
        for (number, record) in fitting.take(filter.limit) {
            show(number, &record);
        }
    }
}

impl Filter {
    /// Reads the query `after`, `limit`, `q`, `key`, `model`, `upstream`, `ending` and `status`.
    pub(super) fn of(query: &Query) -> Result<Self, &'static str> {
        let text = |name| query.get(name).filter(|text| !text.is_empty());
        let after = query.number("after", u64::MAX)?.unwrap_or(0);
        let limit = query.number("limit", u64::try_from(KEPT).unwrap_or(u64::MAX))?;
        Ok(Self {
            after,
            limit: limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(GIVEN),
            text: text("q").unwrap_or_default().to_lowercase(),
            exact: ["key", "model", "upstream", "ending"].map(|name| text(name).map(str::to_owned)),
            status: text("status").map(str::to_owned),
        })
    }

    fn fits(&self, record: &Record<'_>) -> bool {
        let [key, model, upstream, ending] = &self.exact;
        let same = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        same(key, record.key)
            && same(model, record.model)
            && same(upstream, record.upstream_name)
            && same(ending, record.ending.label())
            && self.status.as_ref().is_none_or(|wanted| is_status(wanted, record.status))
            && self.holds_text(record)
    }

    fn holds_text(&self, record: &Record<'_>) -> bool {
        let Record { id, key, route, upstream_name, model, cause, .. } = record;
        let mut texts = [id, key, route, upstream_name, model, cause].into_iter();
        self.text.is_empty() || texts.any(|text| text.to_lowercase().contains(&self.text))
    }
}

/// Is it this status, or one of this class?
fn is_status(wanted: &str, status: u16) -> bool {
    match wanted.strip_suffix("xx") {
        Some(class) => class.parse() == Ok(status / 100),
        None => wanted.parse() == Ok(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(recent: &Recent, query: &str) -> Vec<(u64, String)> {
        let filter = Filter::of(&Query::parse(query)).expect("a filter");
        let mut found = Vec::new();
        recent.find(&filter, |number, record| found.push((number, record.id.to_owned())));
        found
    }

    fn numbers(recent: &Recent, query: &str) -> Vec<u64> {
        found(recent, query).into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn the_newest_come_first_and_only_so_many_are_kept() {
        let mut recent = Recent::default();
        assert!(found(&recent, "").is_empty());
        let all = u64::try_from(KEPT).unwrap() + 3;
        for number in 1..=all {
            let id = format!("req_{number}");
            recent.push(&Record { id: &id, ..Record::default() });
        }
        let newest = found(&recent, "limit=2");
        let want = [(all, format!("req_{all}")), (all - 1, format!("req_{}", all - 1))];
        assert_eq!((newest, recent.last()), (want.to_vec(), all));
        let everything = numbers(&recent, "limit=4096");
        assert_eq!((everything.len(), everything.last()), (KEPT, Some(&4)));
        assert_eq!(numbers(&recent, &format!("after={}", all - 1)), [all]);
        assert_eq!(numbers(&recent, "").len(), GIVEN);
    }

    #[test]
    fn whatever_is_asked_for_must_fit() {
        let mut recent = Recent::default();
        for (key, model, status, cause) in [
            ("team-a", "gemini-2.5-flash", 200, ""),
            ("team-b", "claude-haiku", 502, "upstream_error"),
            ("team-a", "claude-haiku", 429, "rate_limit_exceeded"),
        ] {
            recent.push(&Record { key, model, status, cause, id: "req_x", ..Record::default() });
        }
        for (query, want) in [
            ("key=team-a", &[3, 1][..]),
            ("key=team", &[]),
            ("model=claude-haiku&key=team-a", &[3]),
            ("status=502", &[2]),
            ("status=4xx", &[3]),
            ("status=x", &[]),
            ("q=UPSTREAM", &[2]),
            ("q=req_x&limit=1", &[3]),
            ("q=nothing", &[]),
            ("ending=open&after=2", &[3]),
        ] {
            assert_eq!(numbers(&recent, query), want, "{query}");
        }
        assert!(Filter::of(&Query::parse("limit=many")).is_err());
    }
}
