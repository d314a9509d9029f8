//! Corrections: what was charged stays as it was, and an entry of its own says by how much it was
//! wrong.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::db::StoreError;
use super::book::Ledger;
use super::day::{self, Group, Sums, of_ms, whole};
use super::entry::{Cursor, Entry};
use super::report::Span;
use crate::base::date::DAY_MS;
use crate::journal::{Ending, Record};

/// Exchanges that are priced anew in one transaction.
const BATCH: usize = 2000;

/// What pricing anew has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repriced {
    /// Exchanges that were looked at: all that have ended and used an upstream.
    pub exchanges: u64,
    /// Of them, those that cost something else now.
    pub changed: u64,
    /// Of those, the ones whose cost was not known before.
    pub first_priced: u64,
    /// Of all, those whose cost is not known now either.
    pub unpriced: u64,
    /// What is charged on top, in nano-dollars.
    pub nanos: i64,
}

/// A price for an exchange: nano-dollars, and the day of the prices as `yyyymmdd`.
pub type Pricing<'p> = dyn Fn(&Record<'_>) -> Option<(u64, u32)> + 'p;

/// What pricing anew does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is only told.
    DryRun,
    /// It is written.
    Write,
}

/// An exchange whose charge is wrong.
struct Wrong {
    place: (i64, i64),
    valid_ms: i64,
    group: Group,
    nanos: i64,
    prices: u32,
    was_unpriced: bool,
}

const ADD: &str = "INSERT INTO correction (written_ms, valid_ms, process, seq, key, route, \
     upstream, model, nanos, prices, was_unpriced, reason) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

impl Ledger {
    /// Charges a key `nanos` on top, or less than nothing to give something back, on the day of
    /// `now_ms`.
    ///
    /// # Errors
    /// The store cannot be written, or knows no such key.
    pub fn adjust(
        &mut self,
        now_ms: u64,
        key: &str,
        nanos: i64,
        reason: &str,
    ) -> Result<(), StoreError> {
        let Some(number) = self.word(key)? else {
            return Err(self.db.refuse(format!("no exchange of a key {key:?} is in the ledger")));
        };
        let group = Group { day: of_ms(now_ms), key: number, route: 0, upstream: 0, model: 0 };
        let sums = Sums { corrected_nanos: nanos, ..Sums::default() };
        let connection = &mut self.db.connection;
        let write = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let now = whole(now_ms);
            let none = None::<i64>;
            transaction.execute(
                ADD,
                params![now, now, none, none, number, 0, 0, 0, nanos, 0, false, reason],
            )?;
            day::add(&transaction, &HashMap::from([(group, sums)]))?;
            transaction.commit()
        };
        write(connection).map_err(|error| self.db.blame(&error))
    }

    /// Compares what the exchanges of a span were charged, corrections included, with what they
    /// cost by `price`, and corrects the difference. Where no price is known nothing changes.
    /// Doing it twice corrects nothing more.
    ///
    /// # Errors
    /// The store cannot be read or written; what was done before stays, and the rest can be done
    /// again.
    pub fn reprice(
        &mut self,
        now_ms: u64,
        span: &Span<'_>,
        price: &Pricing<'_>,
        mode: Mode,
    ) -> Result<Repriced, StoreError> {
        let mut cursor = self.cursor(span)?;
        let mut done = Repriced::default();
        let connection = &mut self.db.connection;
        let mut run = || {
            loop {
                let transaction = match mode {
                    Mode::DryRun => connection.transaction()?,
                    Mode::Write => {
                        connection.transaction_with_behavior(TransactionBehavior::Immediate)?
                    }
                };
                let (wrong, more) = find(&transaction, &mut cursor, price, &mut done)?;
                if mode == Mode::Write {
                    correct(&transaction, now_ms, &wrong)?;
                }
                transaction.commit()?;
                if !more {
                    return Ok(());
                }
            }
        };
        let ran: rusqlite::Result<()> = run();
        ran.map_err(|error| self.db.blame(&error))?;
        Ok(done)
    }
}

/// Looks at the next exchanges.
fn find(
    transaction: &Transaction<'_>,
    cursor: &mut Cursor,
    price: &Pricing<'_>,
    done: &mut Repriced,
) -> rusqlite::Result<(Vec<Wrong>, bool)> {
    let mut repriced = Vec::new();
    let more = cursor.exchanges(transaction, BATCH, &mut |entry| {
        if let Entry::Exchange { boot, seq, record } = entry
            && record.ending != Ending::Open
            && !record.cache_hit
            && record.attempts > 0
        {
            done.exchanges += 1;
            let was = record.priced.then_some(record.cost_nanos);
            match price(record) {
                Some(priced) => {
                    repriced.push((boot.cast_signed(), seq.cast_signed(), was, priced));
                }
                None => done.unpriced += u64::from(was.is_none()),
            }
        }
        true
    })?;
    let mut wrong = Vec::new();
    for (boot, seq, was, (nanos, prices)) in repriced {
        let Some(found) = compare(transaction, (boot, seq), was, (nanos, prices))? else {
            continue;
        };
        done.changed += 1;
        done.first_priced += u64::from(found.was_unpriced);
        done.nanos = done.nanos.saturating_add(found.nanos);
        wrong.push(found);
    }
    Ok((wrong, more))
}

/// What is wrong with the charge of an exchange, if anything is.
fn compare(
    connection: &Connection,
    (boot, seq): (i64, i64),
    was: Option<u64>,
    (nanos, prices): (u64, u32),
) -> rusqlite::Result<Option<Wrong>> {
    let mut statement = connection.prepare_cached(
        "SELECT e.process, e.started_ms, e.key, e.route, e.upstream, e.model,
             (SELECT ifnull(sum(nanos), 0) FROM correction c
              WHERE c.process = e.process AND c.seq = e.seq),
             (SELECT ifnull(max(was_unpriced), 0) FROM correction c
              WHERE c.process = e.process AND c.seq = e.seq)
         FROM exchange e JOIN process p ON p.n = e.process WHERE p.boot = ?1 AND e.seq = ?2",
    )?;
    let read = statement.query_row([boot, seq], |row| {
        let started: i64 = row.get(1)?;
        let group = Group {
            day: started / whole(DAY_MS),
            key: row.get(2)?,
            route: row.get(3)?,
            upstream: row.get(4)?,
            model: row.get(5)?,
        };
        let (corrected, priced_since): (i64, bool) = (row.get(6)?, row.get(7)?);
        let was_unpriced = was.is_none() && !priced_since;
        let charged = whole(was.unwrap_or(0)).saturating_add(corrected);
        let nanos = day::money(nanos).saturating_sub(charged);
        let place = (row.get(0)?, seq);
        Ok(Wrong { place, valid_ms: started, group, nanos, prices, was_unpriced })
    });
    Ok(read.optional()?.filter(|wrong| wrong.was_unpriced || wrong.nanos != 0))
}

fn correct(transaction: &Transaction<'_>, now_ms: u64, wrong: &[Wrong]) -> rusqlite::Result<()> {
    let mut add = transaction.prepare_cached(ADD)?;
    let mut sums: HashMap<Group, Sums> = HashMap::new();
    for Wrong { place: (process, seq), valid_ms, group, nanos, prices, was_unpriced } in wrong {
        add.execute(params![
            whole(now_ms),
            valid_ms,
            process,
            seq,
            group.key,
            group.route,
            group.upstream,
            group.model,
            nanos,
            prices,
            was_unpriced,
            "repriced",
        ])?;
        let more = Sums {
            corrected_nanos: *nanos,
            unpriced: -i64::from(*was_unpriced),
            ..Sums::default()
        };
        sums.entry(*group).or_default().add(&more, 1);
    }
    day::add(transaction, &sums)
}
