//! What outlives the process: keys, the ledger and the audit log, in one SQLite file.
//!
//! Everything here blocks, so nothing of it is called on a core.

pub mod audit;
pub mod db;
pub mod key_copies;
mod key_tables;
pub mod keys;
pub mod ledger;

pub use db::{Db, StoreError};
pub use ledger::Ledger;
