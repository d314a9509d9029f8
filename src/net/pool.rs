//! Idle links to one upstream, newest first.
//!
//! The newest link is the least likely to have been closed by the upstream, and taking it lets
//! the others grow old and be closed: a pool that shrinks by itself after a burst.

use std::time::Duration;

use crate::base::Tick;
use crate::rt::Conn;

use super::link::Link;

/// What the pool did, for the metrics of its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Links that were found closed or with stray bytes, and were dropped.
    pub stale: u64,
}

/// The idle links of one shard to one upstream.
#[derive(Debug)]
pub struct Pool<C: Conn> {
    /// Invariant: sorted by `idle_since`, oldest first; `len() <= idle_max`.
    idle: Vec<Link<C>>,
    idle_max: usize,
    idle_timeout: Duration,
}

impl<C: Conn> Pool<C> {
    /// An empty pool that keeps at most `idle_max` links, each at most `idle_timeout`.
    pub fn new(idle_max: usize, idle_timeout: Duration) -> Self {
        Self { idle: Vec::new(), idle_max, idle_timeout }
    }

    /// The newest idle link that may still be used, and what was dropped on the way to it.
    pub fn take(&mut self, now: Tick) -> (Option<Link<C>>, Taken) {
        let mut taken = Taken::default();
        while let Some(link) = self.idle.pop() {
            let fresh = now.since(link.idle_since()) < self.idle_timeout;
            if fresh && link.is_usable() {
                return (Some(link), taken);
            }
            taken.stale += 1;
        }
        (None, taken)
    }

    /// Takes back a link whose last answer was read to its very end.
    pub fn put(&mut self, mut link: Link<C>, now: Tick) {
        debug_assert!(self.idle.last().is_none_or(|last| last.idle_since() <= now));
        if self.idle.len() >= self.idle_max {
            self.idle.remove(0);
        }
        link.rest(now);
        self.idle.push(link);
    }

    /// Closes links that are too old, that the upstream closed, or that hold stray bytes; returns
    /// how many.
    pub fn prune(&mut self, now: Tick) -> u64 {
        let before = self.idle.len();
        let timeout = self.idle_timeout;
        self.idle.retain(|link| now.since(link.idle_since()) < timeout && link.is_usable());
        u64::try_from(before - self.idle.len()).unwrap_or(u64::MAX)
    }

    /// Closes every idle link.
    pub fn clear(&mut self) {
        self.idle.clear();
    }

    /// How many links are idle.
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Is no link idle?
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::rt::{Lent, Peek};

    /// A connection that only answers `peek`.
    #[derive(Clone, Debug)]
    struct Peeked(Rc<Cell<Peek>>, u32);

    impl Conn for Peeked {
        async fn read(&self, buffer: Vec<u8>) -> Lent<usize> {
            (Ok(0), buffer)
        }
        async fn write_all(&self, buffer: Vec<u8>) -> Lent<()> {
            (Ok(()), buffer)
        }
        fn peek(&self) -> Peek {
            self.0.get()
        }
        fn finish(&self) {}
        fn stop_reading(&self) {}
        fn abort(&self) {}
    }

    fn link(name: u32) -> (Link<Peeked>, Rc<Cell<Peek>>) {
        let state = Rc::new(Cell::new(Peek::Quiet));
        (Link::new(Peeked(Rc::clone(&state), name)), state)
    }

    fn pool() -> Pool<Peeked> {
        Pool::new(3, Duration::from_secs(60))
    }

    #[test]
    fn the_newest_link_is_taken_first_and_counts_as_reused() {
        let mut pool = pool();
        for name in 1..=2 {
            pool.put(link(name).0, Tick(u64::from(name)));
        }
        let (taken, _) = pool.take(Tick(3));
        let taken = taken.unwrap();
        assert_eq!(taken.conn().1, 2);
        assert!(taken.is_reused());
    }

    #[test]
    fn closed_links_and_stray_bytes_are_passed_over() {
        let mut pool = pool();
        pool.put(link(1).0, Tick(1));
        for (name, state) in [(2, Peek::Closed), (3, Peek::Bytes)] {
            let (link, seen) = link(name);
            pool.put(link, Tick(2));
            seen.set(state);
        }
        let (taken, what) = pool.take(Tick(3));
        assert_eq!(taken.unwrap().conn().1, 1);
        assert_eq!(what.stale, 2);
        assert!(pool.is_empty());
    }

    #[test]
    fn old_links_are_pruned_and_the_oldest_makes_room() {
        let mut pool = pool();
        for name in 1..=4 {
            pool.put(link(name).0, Tick(u64::from(name) * 1_000_000_000));
        }
        assert_eq!(pool.len(), 3);
        assert_eq!(pool.prune(Tick(62_500_000_000)), 1);
        assert_eq!(pool.take(Tick(70_000_000_000)).0.map(|link| link.conn().1), None);
    }
}
