//! Spare IO buffers of one shard, so that an exchange does not ask the allocator for them.

use std::cell::RefCell;

/// What a new buffer can hold. Most requests, answers and stream events fit.
pub const BUFFER_BYTES: usize = 4096;

/// A buffer that grew beyond this is given back to the allocator: one large body must not stay
/// in memory for good.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// How many spare buffers are kept.
const KEPT_MAX: usize = 256;

/// The spare buffers.
#[derive(Debug, Default)]
pub struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with room for at least [`BUFFER_BYTES`].
    pub fn take(&self) -> Vec<u8> {
        let spare = self.0.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Keeps `buffer` for the next user, if it is worth it.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let worth = (BUFFER_BYTES..=KEPT_BYTES_MAX).contains(&buffer.capacity());
        let mut spare = self.0.borrow_mut();
        if worth && spare.len() < KEPT_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_huge_ones_do_not() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"secret");
        let place = buffer.as_ptr();
        buffers.give(buffer);
        let again = buffers.take();
        assert!(again.is_empty() && again.as_ptr() == place);
        buffers.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        buffers.give(Vec::new());
        assert!(buffers.0.borrow().is_empty());
    }
}
