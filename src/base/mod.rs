//! Plain values that every room may use: time, ids, traces, random numbers, ascii.

pub mod ascii;
pub mod id;
pub mod rng;
pub mod tick;
pub mod trace;

pub use id::RequestId;
pub use rng::Rng;
pub use tick::Tick;
pub use trace::{Sampling, Trace};
