//! Counters with one writer: a load and a store, no locked instruction.
//!
//! Each shard writes its own cells; any thread may read them. A reader sees every value that was
//! stored before, and sums of monotonic cells never go back.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only its shard changes.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds to it. Only the owning shard may call this: two writers would lose counts.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Replaces it. Only the owning shard may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value now.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
