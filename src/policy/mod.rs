//! Decisions as pure functions of state and time.

mod auth;
pub mod price;
mod refresh;
mod reject;

pub use auth::{KeyId, Keyring, screen};
pub use refresh::{Refresh, Refused};
pub use reject::Reject;
