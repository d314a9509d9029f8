//! The runtime seam: all that the gateway may ask of a per-core executor, and its backends.
//!
//! Everything here is `!Send`: one [`Runtime`] value per core, cloned into the tasks of that core.
//! The contract that every backend keeps:
//!
//! * A buffer is owned by the call and always comes back, also after an error.
//! * A [`Conn::read`] or [`Conn::write_all`] that has begun is awaited to its end. On `io_uring` a
//!   dropped read loses the bytes that had arrived (54 of 200 races). What must end early is
//!   ended by [`Conn::abort`], after which the pending call returns at once.
//! * [`Runtime::sleep`] and [`Runtime::connect`] may be dropped at any time.
//! * No future wakes itself: monoio would run it again before any IO.
//!
//! Nothing of an executor shows outside this room.

mod clock;
mod guard;
mod handle;
pub mod handover;
mod heap;
mod ladder;
mod listen;
mod mutant;
pub mod native;
mod pin;
pub mod slab;
mod socket;
pub mod virt;

#[cfg(feature = "glommio")]
pub mod glommio;
#[cfg(feature = "glommio")]
mod probe;

#[cfg(feature = "monoio")]
pub mod monoio;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::Tick;

pub use clock::{Clock, unix_millis};
pub use guard::catch;
pub use handle::{Letters, Mailbox, mailbox};
pub use heap::give_back_memory;
pub use ladder::{Chosen, Driver, Rung};
pub use listen::{Accepted, ListenSocket, bind, raise_descriptor_limit};
pub use mutant::Mutant;
pub use pin::{allowed_cores, pin_to};

/// What an IO call gives back: its result and the buffer it was lent.
pub type Lent<T> = (io::Result<T>, Vec<u8>);

/// One core's executor.
pub trait Runtime: Clone + 'static {
    /// A connected byte stream.
    type Conn: RawConn;
    /// A listening socket that accepts on this core.
    type Listener: Listener<Accepted = Self::Accepted>;
    /// A bound socket, before a core takes it.
    type Socket: 'static;
    /// An accepted connection that any core may adopt.
    type Accepted: 'static;

    /// Monotonic time. Virtual in the simulation.
    fn now(&self) -> Tick;

    /// What [`Runtime::now`] gave last on this core. A shard reads the clock whenever it looks for
    /// what is late, so this is at most that old: exact enough for a deadline, and free.
    fn lately(&self) -> Tick {
        self.now()
    }

    /// Milliseconds since 1970 UTC. Virtual in the simulation.
    fn unix_millis(&self) -> u64;

    /// How long this core has worked for its executor, waiting not included.
    fn worked(&self) -> Duration;

    /// Runs `task` on this core until it ends.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// Gives back what a peak has left behind; called now and then.
    fn trim(&self) {}

    /// Resolves after at least `wait`. The real backends tick once a millisecond.
    fn sleep(&self, wait: Duration) -> impl Future<Output = ()>;

    /// Connects by address; names are never resolved on a core.
    ///
    /// # Errors
    /// The operating system's reason, `ConnectionRefused` for example.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Conn>>;

    /// Takes a bound socket into this core.
    ///
    /// # Errors
    /// The operating system's reason.
    fn listen(&self, socket: Self::Socket) -> io::Result<Self::Listener>;

    /// Takes an accepted connection into this core.
    ///
    /// # Errors
    /// The operating system's reason; the connection is then closed.
    fn adopt(&self, accepted: Self::Accepted) -> io::Result<Self::Conn>;
}

/// Accepts connections on one core.
pub trait Listener: 'static {
    /// An accepted connection that any core may adopt.
    type Accepted;

    /// The next connection and its peer. Awaited to its end; [`Listener::stop`] ends it.
    ///
    /// # Errors
    /// `Interrupted` after `stop`, else the operating system's reason.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Accepted, SocketAddr)>>;

    /// Ends a pending `accept` and refuses further ones. The socket stays open until the listener
    /// is dropped, so that another process can go on accepting from it.
    fn stop(&self);

    /// A connection that waits already, to be asked for after `stop`: of several that wait for one
    /// queue the kernel wakes only one, so what it announced here nobody else has heard of.
    fn take_waiting(&self) -> Option<Self::Accepted>;
}

/// What a connection that nobody reads from has in store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Nothing has arrived: the connection is idle and open.
    Quiet,
    /// Bytes wait to be read.
    Bytes,
    /// The peer has closed or reset the connection.
    Closed,
}

/// A connected byte stream. Clones share it; it closes when the last one and the pending calls
/// are gone. At most one read and one write at a time.
pub trait Conn: Clone + 'static {
    /// Appends what arrives to `buffer`, at most its spare capacity, which is not zero. `Ok(0)`
    /// is the end of the stream.
    fn read(&self, buffer: Vec<u8>) -> impl Future<Output = Lent<usize>>;

    /// Writes all of `buffer` and gives it back empty.
    fn write_all(&self, buffer: Vec<u8>) -> impl Future<Output = Lent<()>>;

    /// Looks without reading and without waiting.
    fn peek(&self) -> Peek;

    /// Tells the peer that nothing more will be written.
    fn finish(&self);

    /// Ends reading: a pending read returns `Ok(0)` at once with its buffer. Writing goes on, so
    /// that a slow client can still be told so.
    fn stop_reading(&self);

    /// Shuts both directions down. Pending reads and writes return at once with their buffers.
    fn abort(&self);
}

/// A connection of the executor itself: what needs no wait can be done at once. The TLS pump sends
/// its last words so, and looks for them.
pub trait RawConn: Conn {
    /// Takes what has arrived, without waiting. Only while no read is pending.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived, else the operating system's reason.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Hands over what the connection takes at once, without waiting; returns how many bytes
    /// that was. Only while no write is pending.
    fn try_write(&self, bytes: &[u8]) -> usize;

    /// Where the peer is; unknown when the connection is gone, and in memory.
    fn peer_address(&self) -> Option<SocketAddr> {
        None
    }
}
