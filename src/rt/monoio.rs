//! The backend that stands in for our own: monoio on `io_uring`, or on epoll where the ring cannot
//! be had.
//!
//! monoio's own `FusionDriver` is not used: its probe ring is so small that the real ring's
//! `ENOMEM` (a low memlock limit) or `EINVAL` (flags of a newer kernel) comes back as an error
//! instead of a fallback. We climb down a ladder of our own and report which rung held.

use std::cell::{RefCell, UnsafeCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::rc::Rc;
use std::time::Duration;

use monoio::buf::{IoBufMut, SliceMut};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, Canceller};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::ladder::{self, Chosen, Driver, Rung};
use super::listen::{Accepted, ListenSocket};
use super::socket;
use super::{Conn, Lent, Listener, Peek, RawConn, Runtime};
use crate::base::Tick;

/// Entries of the submission ring. 1024 cost 256 KiB of locked memory and hold more operations
/// than one turn of a busy core submits.
const RING_ENTRIES: u32 = 1024;

/// The executor of one core.
#[derive(Clone, Debug)]
pub struct Monoio {
    origin: u64,
}

/// Builds the best driver this thread may have and runs `start`'s future on it to its end.
/// `refused` names rungs that a test wants refused, with the error an old kernel would give.
///
/// # Errors
/// When not even the last rung of `driver` could be built.
pub fn run<F: Future>(
    driver: Driver,
    refused: &[(Rung, i32)],
    start: impl FnOnce(Monoio, Chosen) -> F,
) -> io::Result<F::Output> {
    let origin = super::clock::origin();
    let mut start = Some(start);
    ladder::descend(driver, refused, |rung, chosen| {
        let me = Monoio { origin };
        let mut run_on = |chosen| start.take().map(|start| start(me.clone(), chosen));
        match rung {
            Rung::UringDeferred | Rung::Uring => {
                let mut ring = io_uring_06::IoUring::builder();
                if rung == Rung::UringDeferred {
                    ring.setup_single_issuer().setup_defer_taskrun();
                }
                let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring);
                let mut runtime = builder.with_entries(RING_ENTRIES).enable_timer().build()?;
                Ok(runtime.block_on(async { run_future(run_on(chosen)).await }))
            }
            Rung::Epoll => {
                let builder = RuntimeBuilder::<LegacyDriver>::new().enable_timer();
                let mut runtime = builder.build()?;
                Ok(runtime.block_on(async { run_future(run_on(chosen)).await }))
            }
        }
    })
}

/// `start` is there on the one rung that was built: a rung that fails never takes it.
async fn run_future<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// A connection of one core.
#[derive(Clone)]
pub struct MonoioConn(Rc<UnsafeCell<TcpStream>>);

/// A listening socket of one core.
pub struct MonoioListener {
    listener: TcpListener,
    /// None once the listener was told to stop.
    canceller: RefCell<Option<Canceller>>,
}

impl std::fmt::Debug for MonoioListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MonoioListener")
    }
}

impl std::fmt::Debug for MonoioConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MonoioConn")
    }
}

impl Runtime for Monoio {
    type Conn = MonoioConn;
    type Listener = MonoioListener;
    type Socket = ListenSocket;
    type Accepted = Accepted;

    fn now(&self) -> Tick {
        super::clock::now(self.origin)
    }

    fn lately(&self) -> Tick {
        super::clock::seen()
    }

    fn unix_millis(&self) -> u64 {
        super::clock::unix_millis()
    }

    fn worked(&self) -> Duration {
        super::clock::worked()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(monoio::spawn(task));
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(wait)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<MonoioConn> {
        let stream = TcpStream::connect_addr(to).await?;
        stream.set_nodelay(true)?;
        socket::bound_upstream(stream.as_raw_fd())?;
        Ok(MonoioConn::new(stream))
    }

    fn listen(&self, socket: ListenSocket) -> io::Result<MonoioListener> {
        Ok(MonoioListener {
            listener: TcpListener::from_std(socket.0)?,
            canceller: RefCell::new(Some(Canceller::new())),
        })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<MonoioConn> {
        Ok(MonoioConn::new(TcpStream::from_std(accepted.0)?))
    }
}

impl Listener for MonoioListener {
    type Accepted = Accepted;

    async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        let handle = self.canceller.borrow().as_ref().map(Canceller::handle);
        let Some(handle) = handle else { return Err(io::ErrorKind::Interrupted.into()) };
        match self.listener.cancelable_accept(handle).await {
            Ok((stream, peer)) => Ok((socket::own(stream.into_raw_fd()), peer)),
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) => Err(error),
        }
    }

    fn stop(&self) {
        if let Some(canceller) = self.canceller.take() {
            // Cancelling hands back a fresh canceller; nothing will be accepted with it.
            drop(canceller.cancel());
        }
    }

    fn take_waiting(&self) -> Option<Accepted> {
        socket::accept_waiting(self.listener.as_raw_fd())
    }
}

impl MonoioConn {
    fn new(stream: TcpStream) -> Self {
        Self(Rc::new(UnsafeCell::new(stream)))
    }

    /// monoio asks for `&mut` in both directions, although its calls only clone the shared
    /// descriptor out of the stream; its own `into_split` does what is done here.
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "reading and writing at the same time")]
    fn both(&self) -> &mut TcpStream {
        // SAFETY: the stream stays on this thread. The two calls that may be pending at once,
        // one read and one write, touch disjoint parts: each copies the descriptor when it is
        // created, and from then on owns its operation and its buffer.
        unsafe { &mut *self.0.get() }
    }

    fn descriptor(&self) -> i32 {
        self.both().as_raw_fd()
    }
}

impl Conn for MonoioConn {
    async fn read(&self, buffer: Vec<u8>) -> Lent<usize> {
        let (filled, room) = (buffer.len(), buffer.capacity());
        debug_assert!(filled < room, "a read without room looks like the end of the stream");
        let slice: SliceMut<Vec<u8>> = buffer.slice_mut(filled..room);
        let (result, slice) = self.both().read(slice).await;
        (result, slice.into_inner())
    }

    async fn write_all(&self, buffer: Vec<u8>) -> Lent<()> {
        let (result, mut buffer) = self.both().write_all(buffer).await;
        buffer.clear();
        (result.map(drop), buffer)
    }

    fn peek(&self) -> Peek {
        socket::peek(self.descriptor())
    }

    fn finish(&self) {
        socket::shut(self.descriptor(), libc::SHUT_WR);
    }

    fn stop_reading(&self) {
        socket::shut(self.descriptor(), libc::SHUT_RD);
    }

    fn abort(&self) {
        socket::shut(self.descriptor(), libc::SHUT_RDWR);
    }
}

impl RawConn for MonoioConn {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        socket::try_read(self.descriptor(), into)
    }

    fn try_write(&self, bytes: &[u8]) -> usize {
        socket::try_write(self.descriptor(), bytes)
    }

    fn peer_address(&self) -> Option<SocketAddr> {
        socket::peer_address(self.descriptor())
    }
}
