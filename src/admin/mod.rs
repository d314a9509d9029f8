//! The admin API: what operators see and change. Answers are bytes; what is done on the shards and
//! in the process goes through [`Hands`].
//!
//! It blocks (the audit log is in SQLite), so it runs on a thread of its own, never on a core.

pub mod api;
mod captures;
mod change;
mod figures;
mod keys;
mod mask;
pub mod page;
mod query;
pub mod recent;
mod see;
mod store;
mod table;
mod usage;

pub use api::{Api, Known, Standing};
pub use change::Hands;
pub use keys::{key_json, standing_word};
pub use recent::Recent;
pub use see::audited;
pub use store::{FindStore, MakeStore, Store};
pub use usage::{counts, day, figures, signed_usd};
