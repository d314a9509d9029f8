//! Decisions as pure functions of state and time.

mod auth;
mod reject;

pub use auth::{KeyId, Keyring, screen};
pub use reject::Reject;
