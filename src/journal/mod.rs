//! One record for each exchange, in a form that outlives the process.
//!
//! A shard writes the record when an exchange is admitted, and once more when it has ended. What
//! everybody else wants to know of an exchange (the ledger, traces, the dashboard's table) is read
//! from these records, off the cores.

pub mod record;

pub use record::{Ending, RECORD_BYTES, Record};
