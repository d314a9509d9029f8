//! What every exchange used and cost, kept.
//!
//! The journal hands over what its shards have written, as often as it likes: a record has its
//! place by the process that wrote it and its number there, so what is stored twice is stored
//! once. An admission without an end, left by a process that died, is stored as such, at the price
//! that was reserved for it; only its own settlement may take its place.

pub mod tables;

mod book;
mod correct;
mod day;
mod entry;
mod keep;
mod report;
mod spent;
#[cfg(test)]
mod tests;

pub use book::Ledger;
pub use correct::{Mode, Pricing, Repriced};
pub use day::Sums;
pub use entry::{Correction, Entry};
pub use keep::Verified;
pub use report::{By, Span, Usage};
