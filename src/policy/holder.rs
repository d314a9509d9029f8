//! Who has a key, and what it allows: from the file or from the store, in one form.

use crate::config::{Budget, ClientKey};

use super::digest::{Digest, sha256};

/// The holder of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder {
    /// Unique.
    pub name: String,
    /// The digests of the secrets that open, each with the time, in milliseconds since 1970, from
    /// which on it does not. None for a key that was revoked.
    pub secrets: Vec<(Digest, u64)>,
    /// Names, and prefixes ending in `*`, that it may use; empty means all.
    pub models: Vec<String>,
    /// The same for the patterns of routes.
    pub routes: Vec<String>,
    /// Its requests may say what they want otherwise than configured.
    pub trusted: bool,
    /// How much it may ask.
    pub limits: Limits,
}

/// How much a key may ask; nothing is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute, of prompts and answers.
    pub tokens_per_minute: Option<u64>,
    /// Requests at a time, in the whole process.
    pub concurrency: Option<u32>,
    /// Money, at most one for each period.
    pub budgets: Vec<Budget>,
}

impl Holder {
    /// The holders of configured keys, in their order.
    pub fn of(keys: &[ClientKey]) -> Vec<Self> {
        let holder = |key: &ClientKey| Self {
            name: key.name.clone(),
            secrets: vec![(
                sha256(key.secret.expose().as_bytes()),
                key.expires_ms.unwrap_or(u64::MAX),
            )],
            models: key.models.clone(),
            routes: key.routes.clone(),
            trusted: key.trusted,
            limits: Limits {
                requests_per_minute: key.requests_per_minute,
                tokens_per_minute: key.tokens_per_minute,
                concurrency: key.concurrency,
                budgets: key.budgets.clone(),
            },
        };
        keys.iter().map(holder).collect()
    }
}

/// Without the digests.
impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("name", &self.name).finish_non_exhaustive()
    }
}
