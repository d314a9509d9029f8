//! The second backend: glommio. It costs more CPU per request than monoio and panics when
//! `io_uring` is blocked or the memlock limit is low, so both are probed before it is built.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use super::listen::{Accepted, ListenSocket};
use super::socket;
use super::{Conn, Lent, Listener, Peek, RawConn, Runtime};
use crate::base::Tick;

/// Registered IO memory of one executor. Sockets do not use it; glommio's default pins 30 MiB.
const IO_MEMORY: usize = 1 << 16;

/// What glommio insists on, in bytes of locked memory.
const MEMLOCK_MIN: u64 = 512 * 1024;

/// The most that one read asks for: glommio reads into initialised memory, and clearing more than
/// usually arrives is waste.
const READ_BYTES_MAX: usize = 16 * 1024;

/// The executor of one core.
#[derive(Clone, Debug)]
pub struct Glommio {
    origin: u64,
}

/// Builds the executor on this thread and runs `start`'s future on it to its end.
///
/// # Errors
/// When the kernel refuses `io_uring`, the memlock limit is too low, or glommio cannot start.
pub fn run<F: Future>(
    core: Option<usize>,
    start: impl FnOnce(Glommio) -> F,
) -> io::Result<F::Output> {
    probe()?;
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement).io_memory(IO_MEMORY);
    let executor = builder.make().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(executor.run(start(Glommio { origin: super::clock::origin() })))
}

/// Finds out what would make glommio panic.
fn probe() -> io::Result<()> {
    let limit = super::listen::memlock_limit()?;
    if limit < MEMLOCK_MIN {
        let what = format!(
            "glommio needs a memlock limit of {MEMLOCK_MIN} bytes, it is {limit}: raise it \
             (LimitMEMLOCK=infinity) or use --runtime monoio"
        );
        return Err(io::Error::other(what));
    }
    super::probe::ring().map_err(|error| {
        io::Error::other(format!("glommio needs io_uring ({error}): use --runtime monoio"))
    })
}

/// A connection of one core.
#[derive(Clone)]
pub struct GlommioConn(Rc<RefCell<TcpStream>>);

/// A listening socket of one core.
pub struct GlommioListener {
    listener: TcpListener,
    /// The listener's, which does not tell it.
    descriptor: RawFd,
    stopped: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl std::fmt::Debug for GlommioConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GlommioConn")
    }
}

impl std::fmt::Debug for GlommioListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GlommioListener")
    }
}

/// glommio's errors carry the operating system's in many wrappings.
fn os_error<T>(error: glommio::GlommioError<T>) -> io::Error {
    match error {
        glommio::GlommioError::IoError(error) => error,
        glommio::GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}

impl Runtime for Glommio {
    type Conn = GlommioConn;
    type Listener = GlommioListener;
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
        drop(glommio::spawn_local(task).detach());
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> {
        glommio::timer::sleep(wait)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<GlommioConn> {
        let stream = TcpStream::connect(to).await.map_err(os_error)?;
        stream.set_nodelay(true).map_err(os_error)?;
        socket::bound_upstream(stream.as_raw_fd())?;
        Ok(GlommioConn(Rc::new(RefCell::new(stream))))
    }

    fn listen(&self, socket: ListenSocket) -> io::Result<GlommioListener> {
        let descriptor = socket.0.into_raw_fd();
        Ok(GlommioListener {
            listener: adopt_listener(descriptor),
            descriptor,
            stopped: Cell::new(false),
            waiting: RefCell::new(None),
        })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<GlommioConn> {
        let stream = adopt_stream(accepted.0.into_raw_fd());
        Ok(GlommioConn(Rc::new(RefCell::new(stream))))
    }
}

/// glommio's own `bind` sets neither the backlog nor `SO_REUSEADDR`, and panics on a bad name.
#[expect(unsafe_code, reason = "glommio takes foreign sockets only by descriptor")]
fn adopt_listener(descriptor: RawFd) -> TcpListener {
    // SAFETY: the descriptor comes from `into_raw_fd`: open, a listening socket, without owner.
    unsafe { TcpListener::from_raw_fd(descriptor) }
}

#[expect(unsafe_code, reason = "glommio takes foreign sockets only by descriptor")]
fn adopt_stream(descriptor: RawFd) -> TcpStream {
    // SAFETY: the descriptor comes from `into_raw_fd`: open, a connected socket, without owner.
    unsafe { TcpStream::from_raw_fd(descriptor) }
}

impl Listener for GlommioListener {
    type Accepted = Accepted;

    async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        let mut accept = std::pin::pin!(self.listener.shared_accept());
        let accepted = std::future::poll_fn(|context| {
            if self.stopped.get() {
                return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
            }
            if let Poll::Ready(result) = accept.as_mut().poll(context) {
                return Poll::Ready(result.map_err(os_error));
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await?;
        // glommio gives the descriptor only together with a stream that closes it: take a copy.
        let stream = socket::copy(accepted.bind_to_executor().as_raw_fd())?;
        let peer = stream.0.peer_addr()?;
        Ok((stream, peer))
    }

    fn stop(&self) {
        self.stopped.set(true);
        if let Some(waiting) = self.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }

    fn take_waiting(&self) -> Option<Accepted> {
        socket::accept_waiting(self.descriptor)
    }
}

impl Conn for GlommioConn {
    async fn read(&self, mut buffer: Vec<u8>) -> Lent<usize> {
        let filled = buffer.len();
        debug_assert!(filled < buffer.capacity(), "a read without room looks like the end");
        let room = (buffer.capacity() - filled).min(READ_BYTES_MAX);
        buffer.resize(filled + room, 0);
        let result = std::future::poll_fn(|context| {
            let mut stream = self.0.borrow_mut();
            let tail = buffer.get_mut(filled..).unwrap_or_default();
            Pin::new(&mut *stream).poll_read(context, tail)
        })
        .await;
        buffer.truncate(filled + *result.as_ref().unwrap_or(&0));
        (result, buffer)
    }

    async fn write_all(&self, mut buffer: Vec<u8>) -> Lent<()> {
        let mut written = 0;
        let result = std::future::poll_fn(|context| {
            while let Some(rest) = buffer.get(written..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut *self.0.borrow_mut()).poll_write(context, rest) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(count)) => written += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await;
        buffer.clear();
        (result, buffer)
    }

    fn peek(&self) -> Peek {
        socket::peek(self.0.borrow().as_raw_fd())
    }

    fn finish(&self) {
        socket::shut(self.0.borrow().as_raw_fd(), libc::SHUT_WR);
    }

    fn stop_reading(&self) {
        socket::shut(self.0.borrow().as_raw_fd(), libc::SHUT_RD);
    }

    fn abort(&self) {
        socket::shut(self.0.borrow().as_raw_fd(), libc::SHUT_RDWR);
    }
}

impl RawConn for GlommioConn {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        socket::try_read(self.0.borrow().as_raw_fd(), into)
    }

    fn try_write(&self, bytes: &[u8]) -> usize {
        socket::try_write(self.0.borrow().as_raw_fd(), bytes)
    }

    fn peer_address(&self) -> Option<SocketAddr> {
        socket::peer_address(self.0.borrow().as_raw_fd())
    }
}
