//! Decisions as pure functions of state and time.

mod auth;
mod refresh;
mod reject;

pub use auth::{KeyId, Keyring, screen};
pub use refresh::{Refresh, Refused};
pub use reject::Reject;
