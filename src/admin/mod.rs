//! The admin API: what operators see and change. Answers are bytes; what is done on the shards and
//! in the process goes through [`Hands`].
//!
//! It blocks (the audit log is in SQLite), so it runs on a thread of its own, never on a core.

pub mod api;
mod captures;
mod change;
mod figures;
mod mask;
pub mod page;
mod query;
pub mod recent;
mod see;
mod table;

pub use api::{Api, Standing};
pub use change::Hands;
pub use recent::Recent;
pub use see::audited;
