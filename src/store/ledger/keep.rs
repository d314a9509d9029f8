//! Looking after the ledger: old exchanges go, copies are made, and the books are checked.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, TransactionBehavior, params};

use super::super::db::StoreError;
use super::book::Ledger;
use super::day::whole;

/// An exchange may begin so long before its number is given, in milliseconds.
const DISORDER_MS: i64 = 3_600_000;
/// Findings of one kind that are told one by one.
const TOLD_MAX: usize = 20;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Exchanges in the ledger.
    pub exchanges: u64,
    /// Of them, admissions without an end: their processes died.
    pub open: u64,
    /// Corrections.
    pub corrections: u64,
    /// Numbers that have no exchange yet, since their process lives or was not read to its end.
    pub pending: u64,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

/// Sums of days that are not what exchanges and corrections come to. Days of which exchanges were
/// removed cannot be checked.
const WRONG_SUMS: &str = "
SELECT date(day * 86400, 'unixepoch'), k.text, r.text, u.text, m.text FROM (
    SELECT started_ms / 86400000 AS day, key, route, upstream, model, 1 AS requests,
        ending NOT IN (0, 1) AS unsuccessful, ending = 0 AS open, cache_hit AS cache_hits,
        estimated, cost_nanos IS NULL AS unpriced, prompt, cached, cache_write, prompt_audio,
        completion, reasoning, completion_audio, ifnull(cost_nanos, 0) AS cost_nanos,
        0 AS corrected_nanos
    FROM exchange
    UNION ALL
    SELECT valid_ms / 86400000, key, route, upstream, model, 0, 0, 0, 0, 0, -was_unpriced, 0, 0, 0,
        0, 0, 0, 0, 0, nanos
    FROM correction
    UNION ALL
    SELECT day, key, route, upstream, model, -requests, -unsuccessful, -open, -cache_hits,
        -estimated, -unpriced, -prompt, -cached, -cache_write, -prompt_audio, -completion,
        -reasoning, -completion_audio, -cost_nanos, -corrected_nanos
    FROM day
) JOIN word k ON k.n = key JOIN word r ON r.n = route JOIN word u ON u.n = upstream
    JOIN word m ON m.n = model
WHERE day * 86400000 >= (SELECT from_ms FROM kept)
GROUP BY day, key, route, upstream, model
HAVING sum(requests) OR sum(unsuccessful) OR sum(open) OR sum(cache_hits) OR sum(estimated)
    OR sum(unpriced) OR sum(prompt) OR sum(cached) OR sum(cache_write) OR sum(prompt_audio)
    OR sum(completion) OR sum(reasoning) OR sum(completion_audio) OR sum(cost_nanos)
    OR sum(corrected_nanos)
ORDER BY 1, 2, 3, 4, 5";

/// For each process the numbers that have no exchange, though a later one has. Where exchanges
/// were removed, only what lies safely behind those is looked at.
const GAPS: &str = "
SELECT boot, most - past - stored - ifnull((
    SELECT sum(min(last, most) - max(first, past + 1) + 1) FROM skipped
    WHERE process = n AND last > past AND first <= most
), 0) AS missing FROM (
    SELECT n, boot, past, max(seq) AS most, count(*) AS stored FROM exchange e JOIN (
        SELECT n, boot, CASE (SELECT from_ms FROM kept) WHEN 0 THEN 0 ELSE ifnull(
            (SELECT max(seq) FROM exchange
             WHERE process = n AND started_ms < (SELECT from_ms FROM kept) + ?1),
            (SELECT min(seq) - 1 FROM exchange WHERE process = n)
        ) END AS past FROM process
    ) ON n = e.process AND seq > past
    GROUP BY e.process
) WHERE missing > 0 ORDER BY n";

impl Ledger {
    /// Removes at most `most` of the oldest exchanges that began before `before_ms`, and likewise
    /// corrections of that time, and tells how many went. What they came to stays in the sums of
    /// their days.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn forget(&mut self, before_ms: u64, most: usize) -> Result<usize, StoreError> {
        let (before, most) = (whole(before_ms), i64::try_from(most).unwrap_or(i64::MAX));
        let forget = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let exchanges = transaction.execute(
                "DELETE FROM exchange WHERE (process, seq) IN (
                     SELECT process, seq FROM exchange WHERE started_ms < ?1
                     ORDER BY started_ms LIMIT ?2)",
                [before, most],
            )?;
            let corrections = transaction.execute(
                "DELETE FROM correction WHERE n IN (
                     SELECT n FROM correction WHERE valid_ms < ?1 ORDER BY valid_ms LIMIT ?2)",
                [before, most],
            )?;
            if exchanges + corrections > 0 {
                transaction.execute("UPDATE kept SET from_ms = max(from_ms, ?1)", [before])?;
            }
            transaction.commit()?;
            Ok(exchanges + corrections)
        };
        forget(&mut self.db.connection).map_err(|error| self.db.blame(&error))
    }

    /// Copies the store as it is at this moment to a new file, while others go on writing.
    ///
    /// # Errors
    /// There is such a file already, it cannot be written, or the store cannot be read.
    pub fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        let error = |path: &Path, what: String, full| StoreError { path: path.into(), what, full };
        if to.exists() {
            return Err(error(to, "it is there already; give another name".to_owned(), false));
        }
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let outside = |path: &Path, problem: &std::io::Error| {
            let full = problem.kind() == std::io::ErrorKind::StorageFull;
            error(path, problem.to_string(), full)
        };
        let made = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(|problem| outside(&partial, &problem))?;
        let copied = self.copy(&partial);
        let ended = copied.and_then(|()| {
            // The name stands for a whole copy, also after a power cut.
            let synced = made.sync_all().and_then(|()| std::fs::rename(&partial, to));
            synced.map_err(|problem| outside(to, &problem))
        });
        if ended.is_err() {
            let _stays = std::fs::remove_file(&partial);
        }
        ended
    }

    /// In one go: if it stopped in between, every write of another process would begin it anew.
    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        let copy = || {
            let mut target = Connection::open(to)?;
            let backup = Backup::new(&self.db.connection, &mut target)?;
            while backup.step(-1)? != StepResult::Done {}
            drop(backup);
            // One file that can be carried away.
            target.pragma_update(None, "journal_mode", "delete")
        };
        copy().map_err(|error: rusqlite::Error| {
            let blamed = self.db.blame(&error);
            StoreError { path: to.to_owned(), ..blamed }
        })
    }

    /// The steps that its tables have gone through.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn schema(&self) -> Result<u32, StoreError> {
        self.db.version()
    }

    /// Checks the file, the sums of days, and that no number of an exchange is missing. Of the
    /// processes in `running` numbers may be, and of all where it is not known which those are.
    ///
    /// # Errors
    /// The store cannot be read at all.
    pub fn verify(&self, running: Option<&[u64]>) -> Result<Verified, StoreError> {
        verify(&self.db.connection, running).map_err(|error| self.db.blame(&error))
    }
}

fn verify(connection: &Connection, running: Option<&[u64]>) -> rusqlite::Result<Verified> {
    let count = |what: &str| -> rusqlite::Result<u64> {
        let count: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let mut found = Verified::default();
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({TOLD_MAX})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines {
        found.problems.extend(Some(line?).filter(|line| line != "ok"));
    }
    if !found.problems.is_empty() {
        return Ok(found);
    }
    found.exchanges = count("exchange")?;
    found.open = count("exchange WHERE ending = 0")?;
    found.corrections = count("correction")?;
    let mut statement = connection.prepare(WRONG_SUMS)?;
    let mut rows = statement.query([])?;
    let mut wrong = 0;
    while let Some(row) = rows.next()? {
        wrong += 1;
        if wrong <= TOLD_MAX {
            let text = |at| row.get::<_, String>(at);
            found.problems.push(format!(
                "the sums of {} for key {:?}, route {:?}, upstream {:?}, model {:?} are not what \
                 its exchanges come to",
                text(0)?,
                text(1)?,
                text(2)?,
                text(3)?,
                text(4)?
            ));
        }
    }
    if wrong > TOLD_MAX {
        found.problems.push(format!("{} more sums are wrong", wrong - TOLD_MAX));
    }
    let mut statement = connection.prepare(GAPS)?;
    let mut rows = statement.query(params![DISORDER_MS])?;
    while let Some(row) = rows.next()? {
        let (boot, missing): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (boot, missing) = (boot.cast_unsigned(), u64::try_from(missing).unwrap_or(0));
        if running.is_none_or(|running| running.contains(&boot)) {
            found.pending += missing;
        } else {
            let what = if missing == 1 { "exchange is" } else { "exchanges are" };
            found.problems.push(format!("{missing} {what} missing of process {boot:016x}"));
        }
    }
    Ok(found)
}
