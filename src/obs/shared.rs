//! What becomes of sharing with other gateways. One thread writes it.

use super::cell::Cell;
use crate::base::Tick;

/// Counts of the thread that shares.
#[derive(Debug, Default)]
pub struct SharedCells {
    /// 1 while the shared store answers.
    up: Cell,
    /// Rounds that it answered.
    pub rounds: Cell,
    /// Rounds that it did not.
    pub failures: Cell,
    /// Processes that share, this one counted; 0 until the store was heard.
    pub processes: Cell,
    /// The tick at which the store last answered.
    heard: Cell,
    /// What others have sent. The thread that hears them writes these.
    pub received: Cell,
    /// Answers and bytes that came into the cache from others.
    pub cache_stored: [Cell; 2],
    /// Those that made room for them.
    pub cache_freed: [Cell; 2],
}

impl SharedCells {
    /// Does the shared store answer? What was known before is given back.
    pub fn set_up(&self, up: bool) -> bool {
        let before = self.up.read() == 1;
        self.up.set(u64::from(up));
        before
    }

    /// Does the shared store answer?
    pub fn is_up(&self) -> bool {
        self.up.read() == 1
    }

    /// The store has answered.
    pub fn heard(&self, now: Tick) {
        self.heard.set(now.0);
    }
}
