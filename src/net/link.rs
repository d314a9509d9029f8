//! One connection to an upstream, with what the pool must know of it.

use crate::base::Tick;
use crate::rt::{Conn, Lent, Mutant, Peek};

/// A connection to an upstream.
#[derive(Debug)]
pub struct Link<C: Conn> {
    conn: C,
    /// How many exchanges it has carried to their end.
    uses: u64,
    idle_since: Tick,
}

impl<C: Conn> Link<C> {
    /// A link over a fresh connection.
    pub fn new(conn: C) -> Self {
        Self { conn, uses: 0, idle_since: Tick::default() }
    }

    /// Reads as [`Conn::read`] does.
    pub fn read(&self, buffer: Vec<u8>) -> impl Future<Output = Lent<usize>> {
        self.conn.read(buffer)
    }

    /// Ends every pending operation; the link cannot be used again.
    pub fn abort(&self) {
        self.conn.abort();
    }

    /// The connection, for a deadline that has to end it.
    pub fn conn(&self) -> &C {
        &self.conn
    }

    /// Has it carried an exchange before? A failure may then mean only that the upstream closed
    /// an idle link, which says nothing about the request.
    pub fn is_reused(&self) -> bool {
        self.uses > 0
    }

    /// Marks the end of an exchange, and the beginning of idleness.
    pub(super) fn rest(&mut self, now: Tick) {
        self.uses += 1;
        self.idle_since = now;
    }

    /// Since when it has been idle.
    pub(super) fn idle_since(&self) -> Tick {
        self.idle_since
    }

    /// May the next request use it? Stray bytes would be taken for the answer of that request.
    pub(super) fn is_usable(&self) -> bool {
        Mutant::StaleLinkUnchecked.active() || self.conn.peek() == Peek::Quiet
    }
}
