//! What an exchange holds of an upstream while it asks it.

use crate::shard::{Place, Probe};

/// A place at an upstream, and the right to probe it.
#[derive(Debug)]
pub(super) struct Stay {
    /// The upstream.
    pub(super) upstream: usize,
    /// Dropped with the attempt.
    _place: Place,
    _probe: Option<Probe>,
}

impl Stay {
    /// Begins with an attempt.
    pub(super) fn new(upstream: usize, place: Place, probe: Option<Probe>) -> Self {
        Self { upstream, _place: place, _probe: probe }
    }
}
