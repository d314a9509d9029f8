//! One record for each exchange, in a form that outlives the process.
//!
//! A shard writes the record when an exchange is admitted, and once more when it has ended. What
//! everybody else wants to know of an exchange (the ledger, traces, lines of the log, the
//! dashboard's table) is read from these records, off the cores.

pub mod keep;
pub mod record;

pub use keep::{Entry, Folder, Journal, Left, Reading, pair};
pub use record::{Api, Ending, Owned, RECORD_BYTES, Record};
