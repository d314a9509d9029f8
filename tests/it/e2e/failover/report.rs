//! The scenarios' table, for the one who reads a failure and for `docs/evidence`.

use std::time::Duration;

use super::cases::{Case, OUTAGE};
use super::rules::{Attempt, Said, Seen, Verdict};

/// More attempts than these are counted, not listed.
const LISTED: usize = 8;

/// What became of one case.
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) seen: Seen,
}

/// How many scenarios passed, of how many; one that is played twice passes twice or not at all.
pub(super) fn passed(rows: &[Row]) -> (usize, usize) {
    let mut ids: Vec<&str> = rows.iter().map(|row| row.case.id).collect();
    ids.dedup();
    let passes = |id: &&str| {
        let mut all = rows.iter().filter(|row| row.case.id == *id);
        all.all(|row| row.verdict == Verdict::Pass)
    };
    (ids.iter().copied().filter(passes).count(), ids.len())
}

/// The table, as Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| | the primary | verdict | reason | attempts | time |".to_owned(),
        "|---|---|---|---|---|---:|".to_owned(),
    ];
    lines.extend(rows.iter().map(|row| {
        let Row { case, verdict, reason, seen } = row;
        let last = seen.got.iter().map(|got| got.asked + got.took).max().unwrap_or_default();
        let attempts = attempts(&seen.attempts, case);
        let (id, fault) = (case.id, case.fault);
        format!("| {id} | {fault} | **{verdict}** | {reason} | {attempts} | {} |", time(last))
    }));
    lines.push(String::new());
    lines.join("\n")
}

fn attempts(all: &[Attempt], case: &Case) -> String {
    if all.len() > LISTED {
        let count = |wanted: &dyn Fn(&Attempt) -> bool| all.iter().filter(|a| wanted(a)).count();
        let down = count(&|attempt| attempt.at_primary && attempt.at < OUTAGE);
        let fallback = count(&|attempt| !attempt.at_primary);
        let back = all.iter().find(|attempt| attempt.at_primary && attempt.said == Said::Whole);
        let back = back.map_or_else(|| "never".to_owned(), |attempt| time(attempt.at));
        return format!(
            "{down} at the primary in the first {}, {fallback} at the fallback; the primary \
             answered at {back}",
            time(OUTAGE)
        );
    }
    let one = |attempt: &Attempt| {
        let who = if attempt.at_primary { "primary" } else { case.fallback };
        let said = match attempt.said {
            Said::Whole => "200".to_owned(),
            Said::Status(status) => status.to_string(),
            Said::NoPrefill => "400 `invalid_prefill`".to_owned(),
            Said::Broken(how) => how.to_owned(),
        };
        format!("{} {who}: {said}", time(attempt.at))
    };
    all.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn time(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
