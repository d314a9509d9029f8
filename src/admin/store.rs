//! The store as operators use it: opened when it is first needed, made only when something is
//! changed.

use std::path::PathBuf;

use crate::chat::Row;
use crate::store::{Db, Ledger, StoreError};

use super::change::{Refusal, refusal};

/// Tells where the store is; none when there is none yet.
pub type FindStore = Box<dyn Fn() -> Result<Option<PathBuf>, String> + Send>;

/// Makes the folder of the store where there is none, and tells where the store is to be.
pub type MakeStore = Box<dyn Fn() -> Result<PathBuf, String> + Send>;

/// The way to the store, and what of it is open.
pub struct Store {
    find: FindStore,
    make: MakeStore,
    db: Option<Db>,
    ledger: Option<Ledger>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// A store that nobody has opened yet.
    pub fn new(find: FindStore, make: MakeStore) -> Self {
        Self { find, make, db: None, ledger: None }
    }

    /// To be changed: it is made where there is none.
    pub(super) fn open(&mut self) -> Result<&mut Db, Refusal> {
        match &mut self.db {
            Some(db) => Ok(db),
            empty => {
                let path = (self.make)().map_err(nowhere)?;
                Ok(empty.insert(Db::open(&path).map_err(|error| unavailable(&error))?))
            }
        }
    }

    /// To be looked at; none when there is none.
    pub(super) fn look(&mut self) -> Result<Option<&Db>, Refusal> {
        if self.db.is_none() {
            let Some(path) = (self.find)().map_err(nowhere)? else { return Ok(None) };
            self.db = Some(Db::open(&path).map_err(|error| unavailable(&error))?);
        }
        Ok(self.db.as_ref())
    }

    /// The books in it, to be looked at; none when there is none.
    pub(super) fn ledger(&mut self) -> Result<Option<&Ledger>, Refusal> {
        if self.ledger.is_none() {
            let Some(path) = (self.find)().map_err(nowhere)? else { return Ok(None) };
            self.ledger = Some(Ledger::open(&path).map_err(|error| unavailable(&error))?);
        }
        Ok(self.ledger.as_ref())
    }
}

/// Without the path, which is nobody's business but the log's.
pub(super) fn unavailable(error: &StoreError) -> Refusal {
    refusal(Row::STORE_UNAVAILABLE, format!("the store cannot be used: {}", error.what))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn nowhere(why: String) -> Refusal {
    refusal(Row::STORE_UNAVAILABLE, format!("there is no store: {why}"))
}
