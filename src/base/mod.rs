//! Plain values that every room may use: time, the calendar, ids, traces, random numbers, ascii.

pub mod ascii;
pub mod date;
pub mod id;
pub mod rng;
pub mod tick;
pub mod trace;

pub use id::RequestId;
pub use rng::Rng;
pub use tick::Tick;
pub use trace::{Sampling, Trace};
