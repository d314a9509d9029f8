//! Decisions as pure functions of state and time.

mod auth;
pub mod breaker;
mod fault;
pub mod pick;
pub mod price;
pub mod rate;
mod refresh;
mod reject;
pub mod retry;

pub use auth::{KeyId, Keyring, screen};
pub use fault::Fault;
pub use refresh::{Refresh, Refused};
pub use reject::Reject;
