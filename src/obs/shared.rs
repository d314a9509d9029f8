//! What becomes of sharing with other gateways. Each cell has one writer.

use super::cell::Cell;

/// Counts of the thread that shares, and of the one that hears what others send.
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
}
