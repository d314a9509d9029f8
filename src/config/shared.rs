//! What several gateways share, over Redis or Valkey.

use std::time::Duration;

use super::secret::Secret;

/// Where what is shared is kept, and what that is.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is shared")]
pub struct Shared {
    /// `redis://` or `rediss://` URLs of the servers, one of which is the primary. They may hold a
    /// password.
    pub servers: Vec<Secret>,
    /// What all names in the store begin with.
    pub prefix: String,
    /// How long a process may use what it holds without hearing of the store.
    pub lease: Duration,
    /// What becomes of budgets when that is over.
    pub when_away: WhenAway,
    /// Budgets hold for all together.
    pub budgets: bool,
    /// Each process admits its part of every limit.
    pub limits: bool,
    /// Keys of the store are known to all, and what is revoked is revoked everywhere.
    pub keys: bool,
    /// Cached answers are known to all.
    pub cache: bool,
    /// Thought signatures are known to all.
    pub signatures: bool,
}

/// What becomes of a shared budget without a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAway {
    /// Each process spends all of it by itself.
    Serve,
    /// Nothing is spent.
    Refuse,
}
