//! How many client connections each shard has, for spreading few connections well.
//!
//! The kernel's hash puts 8 or more of 10 connections on one of two cores in every tenth trial.
//! The shard that accepts a connection therefore looks at the board once, and hands the
//! connection over when another shard has clearly fewer. This happens per connection, never per
//! request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One shard's count, alone on its cache lines, and whether it takes no more from others.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicUsize, AtomicBool);

/// The counts of all shards.
#[derive(Clone, Debug)]
pub struct Board(Arc<[Count]>);

impl Board {
    /// A board for `shards` shards, at least one.
    pub fn new(shards: usize) -> Self {
        Self((0..shards.max(1)).map(|_| Count::default()).collect())
    }

    /// Which shard shall serve a connection that `own` has accepted? Its count is raised already.
    ///
    /// A difference of one moves a connection while there are few; with many, only a difference
    /// of a sixteenth is worth the move.
    pub fn place(&self, own: usize) -> usize {
        let mut chosen = own;
        let mut mine = self.add(own);
        // Two shards may have placed at the same time: look again after the count is raised,
        // and move on while a clearly better place is seen. Each move goes strictly down.
        for _ in 0..self.0.len() {
            let Some((best, count)) = self.smallest() else { break };
            if best == chosen || count + slack(mine) >= mine {
                break;
            }
            let there = self.add(best);
            // Closed meanwhile? Whoever closes looks at the counts behind it, as this does the
            // other way round: one of both sees the other.
            if there < mine && !self.is_closed(best) {
                self.leave(chosen);
                (chosen, mine) = (best, there);
            } else {
                self.leave(best);
            }
        }
        chosen
    }

    /// A connection stays with `shard`, whatever the others have.
    pub fn enter(&self, shard: usize) {
        self.add(shard);
    }

    /// A connection of `shard` has ended.
    pub fn leave(&self, shard: usize) {
        if let Some(count) = self.0.get(shard) {
            let before = count.0.fetch_sub(1, Ordering::SeqCst);
            debug_assert!(before > 0, "a connection leaves once");
        }
    }

    /// From now on no other shard hands a connection to `shard`. One that is on its way is in the
    /// counts.
    pub fn close(&self, shard: usize) {
        if let Some(count) = self.0.get(shard) {
            count.1.store(true, Ordering::SeqCst);
        }
    }

    /// How many connections `shard` has.
    pub fn count(&self, shard: usize) -> usize {
        self.0.get(shard).map_or(0, |count| count.0.load(Ordering::SeqCst))
    }

    /// How many connections all shards have, those on their way from one to another included.
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| count.0.load(Ordering::SeqCst)).sum()
    }

    /// Raises a count and returns what it was before.
    fn add(&self, shard: usize) -> usize {
        self.0.get(shard).map_or(0, |count| count.0.fetch_add(1, Ordering::SeqCst))
    }

    fn smallest(&self) -> Option<(usize, usize)> {
        let counts = self.0.iter().map(|count| count.0.load(Ordering::SeqCst)).enumerate();
        counts.filter(|(shard, _)| !self.is_closed(*shard)).min_by_key(|(_, count)| *count)
    }

    fn is_closed(&self, shard: usize) -> bool {
        self.0.get(shard).is_some_and(|count| count.1.load(Ordering::SeqCst))
    }
}

/// The difference that is not worth a move.
fn slack(count: usize) -> usize {
    count / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_connections_accepted_by_one_shard_stand_five_and_five() {
        let board = Board::new(2);
        for _ in 0..10 {
            board.place(0);
        }
        assert_eq!((board.count(0), board.count(1)), (5, 5));
    }

    #[test]
    fn a_closed_shard_gets_none() {
        let board = Board::new(2);
        board.close(1);
        assert!((0..10).all(|_| board.place(0) == 0));
        assert_eq!((board.count(0), board.total()), (10, 10));
    }

    #[test]
    fn many_connections_are_moved_only_for_a_clear_difference() {
        let board = Board::new(2);
        for shard in [0, 1] {
            for _ in 0..320 {
                board.add(shard);
            }
        }
        for _ in 0..10 {
            board.add(0);
        }
        assert_eq!(board.place(0), 0);
        for _ in 0..30 {
            board.add(0);
        }
        assert_eq!(board.place(0), 1);
    }

    #[test]
    fn shards_that_place_at_the_same_time_stay_close() {
        let place_five = |board: &Board, own: usize| {
            (0..5).fold(0, |placed, _| placed + usize::from(board.place(own) < 2))
        };
        for _ in 0..200 {
            let board = Board::new(2);
            std::thread::scope(|scope| {
                let other = scope.spawn(|| place_five(&board, 1));
                assert_eq!(place_five(&board, 0) + other.join().unwrap(), 10);
            });
            let counts = (board.count(0), board.count(1));
            assert!(counts.0.abs_diff(counts.1) <= 2, "{counts:?}");
            assert_eq!(counts.0 + counts.1, 10);
        }
    }
}
