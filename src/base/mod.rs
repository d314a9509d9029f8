//! Plain values that every room may use: time, ids, random numbers, ascii.

pub mod ascii;
pub mod id;
pub mod rng;
pub mod tick;

pub use id::RequestId;
pub use rng::Rng;
pub use tick::Tick;
