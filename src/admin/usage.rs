//! What was used and what it cost, out of the ledger, as the command `usage` tells it.

use serde_json::{Map, Value, json};

use crate::base::date::{civil, date_to_days};
use crate::policy::price;
use crate::store::ledger::{By, Ledger, Span, Sums, Usage};

use super::change::{Refusal, wrong};
use super::query::Query;
use super::store::unavailable;

/// What makes a row of its own, by its name in queries.
const PARTS: [(&str, By); 5] = [
    ("key", By::Key),
    ("model", By::Model),
    ("day", By::Day),
    ("route", By::Route),
    ("upstream", By::Upstream),
];

/// What is asked for.
pub(super) struct Wish<'q> {
    span: Span<'q>,
    by: Vec<(&'static str, By)>,
}

impl<'q> Wish<'q> {
    /// Reads `from`, `to`, `key` and `by`.
    pub(super) fn of(query: &'q Query) -> Result<Self, Refusal> {
        let text = |name| query.get(name).filter(|text| !text.is_empty());
        let day = |name| {
            let expected = || wrong(name, &format!("{name} must be a day (UTC), as 2026-07-01"));
            text(name).map(|text| date_to_days(text).ok_or_else(expected)).transpose()
        };
        let words = text("by").unwrap_or_default().split(',').filter(|word| !word.is_empty());
        let by = words.map(|word| {
            let found = PARTS.iter().find(|(name, _)| *name == word).copied();
            found.ok_or_else(|| wrong("by", "by is a list of key, model, day, route and upstream"))
        });
        let span = Span { from_day: day("from")?, to_day: day("to")?, key: text("key") };
        Ok(Self { span, by: by.collect::<Result<_, _>>()? })
    }

    /// The sums, and a row for each value of what they are divided by.
    pub(super) fn answer(&self, ledger: Option<&Ledger>) -> Result<Map<String, Value>, Refusal> {
        let by: Vec<By> = self.by.iter().map(|(_, by)| *by).collect();
        let rows = ledger.map_or(Ok(Vec::new()), |ledger| ledger.usage(&self.span, &by));
        let rows = rows.map_err(|error| unavailable(&error))?;
        let mut all = Sums::default();
        rows.iter().for_each(|row| all.add(&row.sums, 1));
        // Without parts the only row is the sum.
        let rows = if by.is_empty() { &[] } else { rows.as_slice() };
        let mut object = figures(&all);
        object.insert("from".to_owned(), json!(self.span.from_day.map(day)));
        object.insert("to".to_owned(), json!(self.span.to_day.map(day)));
        object.insert("rows".to_owned(), rows.iter().map(|row| self.row(row)).collect());
        Ok(object)
    }

    fn row(&self, row: &Usage) -> Value {
        let mut object = figures(&row.sums);
        for (name, by) in &self.by {
            let text = match by {
                By::Key => row.key.clone(),
                By::Model => row.model.clone(),
                By::Route => row.route.clone(),
                By::Upstream => row.upstream.clone(),
                By::Day => row.day.map(day),
            };
            object.insert((*name).to_owned(), json!(text.unwrap_or_default()));
        }
        Value::Object(object)
    }
}

/// Sums by their names.
pub fn figures(sums: &Sums) -> Map<String, Value> {
    let tokens = Sums::KINDS.iter().zip(sums.tokens);
    let tokens: Map<String, Value> =
        tokens.map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
    let mut object = Map::new();
    object.insert("requests".to_owned(), json!(sums.requests));
    object.insert("tokens".to_owned(), Value::Object(tokens));
    object.insert("cost_usd".to_owned(), json!(sums.charged().map(signed_usd)));
    object.insert("corrected_usd".to_owned(), json!(signed_usd(sums.corrected_nanos)));
    for (name, count) in counts(sums) {
        object.insert(name.to_owned(), json!(count));
    }
    object
}

/// How many of the requests are special, by their names.
pub const fn counts(sums: &Sums) -> [(&'static str, i64); 5] {
    [
        ("unpriced_requests", sums.unpriced),
        ("estimated_requests", sums.estimated),
        ("unsuccessful_requests", sums.unsuccessful),
        ("open_requests", sums.open),
        ("cache_hits", sums.cache_hits),
    ]
}

/// An amount in dollars, exactly: `-0.00003`.
pub fn signed_usd(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}", price::usd(nanos.unsigned_abs()))
}

/// Whole days since 1970 as `2026-07-01`.
pub fn day(days: u64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}
