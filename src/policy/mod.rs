//! Decisions as pure functions of state and time.

mod auth;
pub mod books;
pub mod breaker;
pub mod budget;
mod cache;
mod coding;
mod digest;
mod fault;
mod forwarded;
mod holder;
pub mod lease;
pub mod pick;
pub mod price;
pub mod rate;
mod refresh;
mod reject;
pub mod retry;
mod roll;

pub use auth::{KeyId, Keyring, screen};
pub use cache::{CacheHasher, CacheKey, CacheWish, NoSuchWish};
pub use coding::{Accepts, Allowance, Coding};
pub use digest::{Digest, hex, sha256, unhex};
pub use fault::Fault;
pub use forwarded::client_address;
pub use holder::{Holder, Limits};
pub use refresh::{Refresh, Refused};
pub use reject::Reject;
pub use roll::Roll;
