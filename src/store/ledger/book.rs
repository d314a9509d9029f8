//! The ledger itself: how records get into it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Statement, TransactionBehavior, params};

use super::super::db::{Db, StoreError};
use super::day::{self, Group, Sums};
use crate::journal::{Ending, Record};

/// Texts whose numbers are remembered; with more the memory begins anew.
const WORDS_MAX: usize = 16 * 1024;

/// With the names of the columns, since a later release may have more of them.
const INSERT: &str = "INTO exchange (process, seq, started_ms, written_ms, ending, status, key,
        route, upstream, model, cause, prompt, cached, cache_write, prompt_audio, completion,
        reasoning, completion_audio, estimated, cost_nanos, prices, reserved_nanos, stream,
        cache_hit, attempts, shard, bytes_in, bytes_out, parse, queue, connect, tls,
        upstream_first, waited, first_token, total, id, trace, span,
        cache_write_1h, cached_audio, completion_image, tier)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
        ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37,
        ?38, ?39, ?40, ?41, ?42, ?43)";

/// The ledger in the store.
#[derive(Debug)]
pub struct Ledger {
    pub(super) db: Db,
    names: Names,
}

/// The numbers of texts and processes. Invariant: each is committed, or of the transaction that
/// runs.
#[derive(Debug, Default)]
struct Names {
    words: HashMap<String, i64>,
    processes: HashMap<u64, i64>,
}

/// The words of one record, as numbers.
struct Words {
    group: Group,
    cause: i64,
}

impl Ledger {
    /// Opens the store at `path`, and makes it where there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is not ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: Db::open(path)?, names: Names::default() })
    }

    /// Opens a store that exists, to read it only.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: Db::open_to_read(path)?, names: Names::default() })
    }

    /// Stores records of the process `boot`, each with its number there: all of them, or none with
    /// an error. What is there already stays as it is, but for an open admission whose end comes.
    /// Of what no key has asked and no route has served only the number is noted: nobody is billed
    /// for it, and somebody who guesses keys must not fill the disk.
    ///
    /// # Errors
    /// The store cannot be written; the same records may be handed over again.
    pub fn append(&mut self, boot: u64, batch: &[(u64, Record<'_>)]) -> Result<(), StoreError> {
        let done = write(&mut self.db.connection, &mut self.names, boot, batch);
        done.map_err(|error| {
            // Numbers that were given in a transaction that is undone mean nothing.
            self.names = Names::default();
            self.db.blame(&error)
        })
    }
}

fn write(
    connection: &mut Connection,
    names: &mut Names,
    boot: u64,
    batch: &[(u64, Record<'_>)],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let process = names.process(&transaction, boot)?;
    let mut sums: HashMap<Group, Sums> = HashMap::new();
    {
        let mut insert =
            transaction.prepare_cached(&format!("INSERT {INSERT} ON CONFLICT DO NOTHING"))?;
        for (seq, record) in batch.iter().filter(|(_, record)| is_billed(record)) {
            let words = names.words(&transaction, record)?;
            let place = (process, seq.cast_signed());
            if put(&mut insert, place, record, &words)? == 0 {
                if record.ending == Ending::Open {
                    continue;
                }
                let Some((group, was)) = day::of_open(&transaction, place)? else { continue };
                let mut replace =
                    transaction.prepare_cached(&format!("INSERT OR REPLACE {INSERT}"))?;
                put(&mut replace, place, record, &words)?;
                sums.entry(group).or_default().add(&was, -1);
            }
            sums.entry(words.group).or_default().add(&Sums::of(record), 1);
        }
        day::add(&transaction, &sums)?;
        let skipped = batch.iter().filter(|(_, record)| !is_billed(record));
        skip(&transaction, process, skipped.map(|(seq, _)| seq.cast_signed()).collect())?;
    }
    transaction.commit()
}

/// Could anybody be billed for it?
const fn is_billed(record: &Record<'_>) -> bool {
    !record.key.is_empty() || !record.route.is_empty()
}

/// Notes numbers that have no row.
fn skip(connection: &Connection, process: i64, mut numbers: Vec<i64>) -> rusqlite::Result<()> {
    numbers.sort_unstable();
    for run in numbers.chunk_by(|before, after| after.checked_sub(*before) == Some(1)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        // The spans that the run meets become one with it: the first of them begins before it.
        let mut met = connection.prepare_cached(
            "SELECT min(first), max(last) FROM skipped WHERE process = ?1 AND first <= ?3 + 1
                 AND first >= ifnull((SELECT max(first) FROM skipped
                                      WHERE process = ?1 AND first <= ?2), ?2)
                 AND last >= ?2 - 1",
        )?;
        let met = met.query_row([process, *first, *last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (least, most): (Option<i64>, Option<i64>) = met;
        let least = least.map_or(*first, |least| least.min(*first));
        let most = most.map_or(*last, |most| most.max(*last));
        let mut remove = connection
            .prepare_cached("DELETE FROM skipped WHERE process = ?1 AND first BETWEEN ?2 AND ?3")?;
        remove.execute([process, least, most])?;
        let mut insert = connection.prepare_cached("INSERT INTO skipped VALUES (?1, ?2, ?3)")?;
        insert.execute([process, least, most])?;
    }
    Ok(())
}

/// Writes one row; tells how many were written.
fn put(
    statement: &mut Statement<'_>,
    (process, seq): (i64, i64),
    record: &Record<'_>,
    words: &Words,
) -> rusqlite::Result<usize> {
    let Group { day: _, key, route, upstream, model } = words.group;
    let trace = record.trace.to_be_bytes();
    let trace = (record.trace != 0).then_some(trace.as_slice());
    statement.execute(params![
        process,
        seq,
        day::whole(record.started_ms),
        day::whole(record.written_ms),
        record.ending as u8,
        record.status,
        key,
        route,
        upstream,
        model,
        words.cause,
        day::tokens(record.prompt),
        day::tokens(record.cached),
        day::tokens(record.cache_write),
        day::tokens(record.prompt_audio),
        day::tokens(record.completion),
        day::tokens(record.reasoning),
        day::tokens(record.completion_audio),
        day::is_estimated(record),
        day::cost(record),
        record.prices,
        day::money(record.reserved_nanos),
        record.stream,
        record.cache_hit,
        record.attempts,
        record.shard,
        day::whole(record.bytes_in),
        day::whole(record.bytes_out),
        record.parse,
        record.queue,
        record.connect,
        record.tls,
        record.upstream,
        record.waited,
        record.first_token,
        record.total,
        record.id,
        trace,
        (record.span != 0).then_some(record.span.cast_signed()),
        day::tokens(record.cache_write_1h),
        day::tokens(record.cached_audio),
        day::tokens(record.completion_image),
        record.tier,
    ])
}

impl Names {
    fn process(&mut self, connection: &Connection, boot: u64) -> rusqlite::Result<i64> {
        match self.processes.entry(boot) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(place) => {
                let boot = boot.cast_signed();
                connection.execute("INSERT OR IGNORE INTO process (boot) VALUES (?1)", [boot])?;
                let find = "SELECT n FROM process WHERE boot = ?1";
                Ok(*place.insert(connection.query_row(find, [boot], |row| row.get(0))?))
            }
        }
    }

    fn words(&mut self, connection: &Connection, record: &Record<'_>) -> rusqlite::Result<Words> {
        let group = Group {
            day: day::of_ms(record.started_ms),
            key: self.word(connection, record.key)?,
            route: self.word(connection, record.route)?,
            upstream: self.word(connection, record.upstream_name)?,
            model: self.word(connection, record.model)?,
        };
        Ok(Words { group, cause: self.word(connection, record.cause)? })
    }

    fn word(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(known) = self.words.get(text) {
            return Ok(*known);
        }
        let mut find = connection.prepare_cached("SELECT n FROM word WHERE text = ?1")?;
        let number = match find.query_row([text], |row| row.get(0)).optional()? {
            Some(number) => number,
            None => {
                connection.execute("INSERT INTO word (text) VALUES (?1)", [text])?;
                connection.last_insert_rowid()
            }
        };
        if self.words.len() >= WORDS_MAX {
            self.words.clear();
        }
        self.words.insert(text.to_owned(), number);
        Ok(number)
    }
}
