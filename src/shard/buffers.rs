//! Spare IO buffers of one shard, so that an exchange does not ask the allocator for them.

use std::cell::RefCell;

/// What a new buffer can hold. Most requests, answers and stream events fit.
pub const BUFFER_BYTES: usize = 4096;

/// What a read is given that waits for a client's next request or for its end, most of the time for
/// long: thousands of connections have one each. Small requests fit.
const SMALL_BYTES: usize = 512;

/// What a stream's read is given while its pieces are small, and the read of a first request.
pub const PIECE_BYTES: usize = 1024;

/// A buffer that grew beyond this is given back to the allocator: one large body must not stay
/// in memory for good.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// How many spare buffers are kept.
const KEPT_MAX: usize = 256;

/// How many are kept when a peak is over.
const KEPT_BEHIND_A_PEAK: usize = 16;

/// The spare buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    common: RefCell<Vec<Vec<u8>>>,
    piece: RefCell<Vec<Vec<u8>>>,
    small: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room for at least [`BUFFER_BYTES`].
    pub fn take(&self) -> Vec<u8> {
        let spare = self.common.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// An empty buffer for a small piece.
    pub fn take_piece(&self) -> Vec<u8> {
        let spare = self.piece.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES))
    }

    /// An empty buffer for a read that waits.
    pub fn take_small(&self) -> Vec<u8> {
        let spare = self.small.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES))
    }

    /// Keeps a few and frees the rest: a peak is over.
    pub fn trim(&self) {
        for pool in [&self.common, &self.piece, &self.small] {
            let mut spare = pool.borrow_mut();
            spare.truncate(KEPT_BEHIND_A_PEAK);
            spare.shrink_to_fit();
        }
    }

    /// Keeps `buffer` for the next user, if it is worth it.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let worth = (SMALL_BYTES..=KEPT_BYTES_MAX).contains(&capacity);
        let pool = match capacity {
            ..PIECE_BYTES => &self.small,
            PIECE_BYTES..BUFFER_BYTES => &self.piece,
            _ => &self.common,
        };
        let mut spare = pool.borrow_mut();
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
        assert!(buffers.common.borrow().is_empty() && buffers.small.borrow().is_empty());
        let (small, piece) = (buffers.take_small(), buffers.take_piece());
        buffers.give(small);
        buffers.give(piece);
        let kept =
            [&buffers.small, &buffers.piece, &buffers.common].map(|pool| pool.borrow().len());
        assert_eq!(kept, [1, 1, 0]);
    }
}
