//! Numbers that differ in every process.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// The library's own randomness: different in every process and at every call.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
