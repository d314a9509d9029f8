//! A client's key.

use super::budget::Budget;
use super::secret::Secret;

/// One client's key.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// Unique; `master` is the one of `auth.master_key`.
    pub name: String,
    /// At least 16 characters.
    pub secret: Secret,
    /// Names, and prefixes ending in `*`, that it may use; empty means all.
    pub models: Vec<String>,
    /// At most so many requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// At most so many tokens in a minute, of prompts and answers.
    pub tokens_per_minute: Option<u64>,
    /// Its requests may say what they want otherwise than configured.
    pub trusted: bool,
    /// At most so many requests at a time, in the whole process.
    pub concurrency: Option<u32>,
    /// Routes that it may use, by their patterns, or prefixes of them ending in `*`; empty means
    /// all.
    pub routes: Vec<String>,
    /// From then on it is refused, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// What the operator wants to know of it: names and texts.
    pub labels: Vec<(String, String)>,
    /// What it may spend; each holds.
    pub budgets: Vec<Budget>,
}

impl ClientKey {
    /// A key that may do everything.
    pub fn plain(name: &str, secret: Secret) -> Self {
        Self {
            name: name.to_owned(),
            secret,
            models: Vec::new(),
            requests_per_minute: None,
            tokens_per_minute: None,
            trusted: false,
            concurrency: None,
            routes: Vec::new(),
            expires_ms: None,
            labels: Vec::new(),
            budgets: Vec::new(),
        }
    }
}
