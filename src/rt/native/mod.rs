//! The default backend: our own executor on `io_uring`.
//!
//! It does what the gateway needs and nothing else: one timer in the kernel for all that wait,
//! wakers that count nothing, operations that a task waits for by number.
//!
//! It wants one issuer and deferred task running (Linux 6.1). Where they cannot be had,
//! [`Executor::open`] says why, and another backend serves.

mod ops;
mod places;
mod tasks;
#[cfg(test)]
mod tests;
mod timers;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use io_uring::opcode;
use io_uring::types::Fd;

use super::listen::{Accepted, ListenSocket};
use super::{Conn, Driver, Lent, Listener, Peek, RawConn, Runtime};
use super::{ladder, socket};
use crate::base::Tick;

use ops::{Ended, Load, Ops, Peer};
use tasks::{Next, Task, Tasks};

/// How often, for each task that is queued, one is run before the kernel is looked at again.
const ROUNDS: usize = 2;

struct Core {
    origin: u64,
    tasks: RefCell<Tasks>,
    ops: RefCell<Ops<Rc<Socket>>>,
}

/// An executor that was built on this thread and has not begun.
pub struct Executor(Rc<Core>);

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Executor")
    }
}

impl Executor {
    /// Builds the executor of this thread, if `driver` allows a ring.
    ///
    /// # Errors
    /// What the kernel has against it, or that it is not wanted.
    pub fn open(driver: Driver) -> io::Result<Self> {
        let emulated = driver == Driver::Auto && ladder::under_valgrind();
        if emulated || driver == Driver::Epoll {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let origin = super::clock::origin();
        let tasks = Tasks::begin()?;
        let ops = Ops::build(tasks.bell(), origin)?;
        Ok(Self(Rc::new(Core { origin, tasks: RefCell::new(tasks), ops: RefCell::new(ops) })))
    }

    /// Runs `start`'s future to its end. What else runs then is dropped.
    ///
    /// # Errors
    /// When the ring cannot be used any more.
    pub fn run<F: Future>(self, start: impl FnOnce(Native) -> F) -> io::Result<F::Output> {
        let core = &self.0;
        let output = core.run(std::pin::pin!(start(Native(Rc::clone(core)))));
        let tasks = core.tasks.borrow_mut().clear();
        drop(tasks);
        core.ops.borrow_mut().shut_down();
        output
    }
}

impl Core {
    fn run<F: Future>(&self, mut main: Pin<&mut F>) -> io::Result<F::Output> {
        loop {
            if let Poll::Ready(output) = self.round(main.as_mut()) {
                return Ok(output);
            }
            self.ops.borrow_mut().turn()?;
        }
    }

    /// Runs what is queued. Not until nobody is left to run: two that wake each other would keep
    /// all others from what the kernel has for them.
    fn round<F: Future>(&self, mut main: Pin<&mut F>) -> Poll<F::Output> {
        for _ in 0..Tasks::queued() * ROUNDS {
            let next = self.tasks.borrow_mut().next();
            match next {
                None => break,
                Some(Next::Task(number, task, waker)) => self.run_task(number, task, &waker),
                Some(Next::Main(waker)) => {
                    let poll = main.as_mut().poll(&mut Context::from_waker(&waker));
                    if poll.is_ready() {
                        return poll;
                    }
                }
            }
        }
        Poll::Pending
    }

    fn run_task(&self, number: u32, mut task: Task, waker: &Waker) {
        if task.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
            return self.tasks.borrow_mut().put_back(number, task);
        }
        // What it held may wake and spawn others when it is dropped.
        drop(task);
        self.tasks.borrow_mut().end(number);
    }

    fn begin(&self, entry: io_uring::squeue::Entry, load: Load<Rc<Socket>>) -> Op<'_> {
        Op { core: self, number: Some(self.ops.borrow_mut().begin(entry, load)) }
    }
}

/// An operation in the kernel. Dropped, it is cancelled.
struct Op<'c> {
    core: &'c Core,
    /// None once it is over.
    number: Option<u32>,
}

impl Future for Op<'_> {
    type Output = Ended<Rc<Socket>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(number) = self.number else { return Poll::Pending };
        let poll = self.core.ops.borrow_mut().poll(number, context.waker());
        if poll.is_ready() {
            self.number = None;
        }
        poll
    }
}

impl Drop for Op<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.core.ops.borrow_mut().leave(number);
        }
    }
}

/// The executor of one core.
#[derive(Clone)]
pub struct Native(Rc<Core>);

/// A socket, open until its last owner is gone: a connection, or a pending operation.
struct Socket {
    descriptor: OwnedFd,
    core: Rc<Core>,
}

/// A connection of one core.
#[derive(Clone)]
pub struct NativeConn(Rc<Socket>);

/// A listening socket of one core.
pub struct NativeListener {
    listener: Rc<std::net::TcpListener>,
    core: Rc<Core>,
    stopped: Cell<bool>,
    /// The pending `accept`.
    pending: Cell<Option<u32>>,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Native")
    }
}

impl std::fmt::Debug for NativeConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NativeConn")
    }
}

impl std::fmt::Debug for NativeListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NativeListener")
    }
}

impl Native {
    fn conn(&self, descriptor: OwnedFd) -> NativeConn {
        let core = Rc::clone(&self.0);
        NativeConn(Rc::new(Socket { descriptor, core }))
    }
}

impl Runtime for Native {
    type Conn = NativeConn;
    type Listener = NativeListener;
    type Socket = ListenSocket;
    type Accepted = Accepted;

    fn now(&self) -> Tick {
        super::clock::now(self.0.origin)
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
        self.0.tasks.borrow_mut().spawn(Box::pin(task));
    }

    fn trim(&self) {
        self.0.tasks.borrow_mut().trim();
        self.0.ops.borrow_mut().trim();
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> {
        let at = self.0.ops.borrow().timers.after(wait);
        Sleep { core: Rc::clone(&self.0), at, alarm: None }
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<NativeConn> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(to),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        let conn = self.conn(socket.into());
        let address = Box::new(socket2::SockAddr::from(to));
        let entry = opcode::Connect::new(conn.0.fd(), address.as_ptr().cast(), address.len());
        let load = Load::Connect(address, Rc::clone(&conn.0));
        self.0.begin(entry.build(), load).await.outcome()?;
        socket::bound_upstream(conn.descriptor())?;
        Ok(conn)
    }

    fn listen(&self, socket: ListenSocket) -> io::Result<NativeListener> {
        Ok(NativeListener {
            listener: Rc::new(socket.0),
            core: Rc::clone(&self.0),
            stopped: Cell::new(false),
            pending: Cell::new(None),
        })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<NativeConn> {
        Ok(self.conn(accepted.0.into()))
    }
}

struct Sleep {
    core: Rc<Core>,
    at: u64,
    /// Once it was polled.
    alarm: Option<timers::Alarm>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        let timers = &mut me.core.ops.borrow_mut().timers;
        match me.alarm {
            Some(alarm) => timers.poll(alarm, context.waker()),
            None => {
                me.alarm = Some(timers.begin(me.at, context.waker()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm {
            self.core.ops.borrow_mut().timers.leave(alarm);
        }
    }
}

impl Listener for NativeListener {
    type Accepted = Accepted;

    async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        if self.stopped.get() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut peer = Box::new(Peer::default());
        let entry = opcode::Accept::new(
            Fd(self.listener.as_raw_fd()),
            (&raw mut peer.address).cast(),
            &raw mut peer.length,
        )
        .flags(libc::SOCK_CLOEXEC)
        .build();
        let op = self.core.begin(entry, Load::Accept(peer, Rc::clone(&self.listener)));
        self.pending.set(op.number);
        let ended = op.await;
        self.pending.set(None);
        if ended.result == -libc::ECANCELED {
            return Err(io::ErrorKind::Interrupted.into());
        }
        ended.outcome()?;
        let accepted = socket::own(ended.result);
        let peer = match ended.load {
            Load::Accept(peer, _) => peer.address(),
            Load::Bytes(..) | Load::Connect(..) => None,
        };
        Ok((accepted, peer.ok_or(io::ErrorKind::AddrNotAvailable)?))
    }

    fn stop(&self) {
        self.stopped.set(true);
        if let Some(number) = self.pending.take() {
            self.core.ops.borrow_mut().cancel(number);
        }
    }

    fn take_waiting(&self) -> Option<Accepted> {
        socket::accept_waiting(self.listener.as_raw_fd())
    }
}

impl Socket {
    fn fd(&self) -> Fd {
        Fd(self.descriptor.as_raw_fd())
    }
}

impl NativeConn {
    fn descriptor(&self) -> i32 {
        self.0.descriptor.as_raw_fd()
    }

    fn begin_read(&self, mut buffer: Vec<u8>) -> Op<'_> {
        let room = buffer.spare_capacity_mut();
        debug_assert!(!room.is_empty(), "a read without room looks like the end of the stream");
        let length = u32::try_from(room.len()).unwrap_or(u32::MAX);
        let into = room.as_mut_ptr().cast();
        let entry = opcode::Recv::new(self.0.fd(), into, length).build();
        self.0.core.begin(entry, Load::Bytes(buffer, Rc::clone(&self.0)))
    }

    fn begin_write(&self, buffer: Vec<u8>, written: usize) -> Op<'_> {
        let rest = buffer.get(written..).unwrap_or_default();
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = opcode::Send::new(self.0.fd(), rest.as_ptr(), length).flags(flags).build();
        self.0.core.begin(entry, Load::Bytes(buffer, Rc::clone(&self.0)))
    }
}

/// The buffer of an operation that has ended.
fn buffer_of<S>(load: Load<S>) -> Vec<u8> {
    match load {
        Load::Bytes(buffer, _) => buffer,
        Load::Connect(..) | Load::Accept(..) => Vec::new(),
    }
}

impl Conn for NativeConn {
    #[expect(unsafe_code, reason = "the kernel has filled the buffer")]
    async fn read(&self, mut buffer: Vec<u8>) -> Lent<usize> {
        loop {
            let ended = self.begin_read(buffer).await;
            let outcome = ended.outcome();
            buffer = buffer_of(ended.load);
            match outcome {
                Ok(count) => {
                    // SAFETY: the kernel wrote `count` bytes behind what was there, and was given
                    // no more than the room.
                    unsafe { buffer.set_len(buffer.len() + count) };
                    return (Ok(count), buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buffer),
            }
        }
    }

    async fn write_all(&self, mut buffer: Vec<u8>) -> Lent<()> {
        let mut written = 0;
        while written < buffer.len() {
            let ended = self.begin_write(buffer, written).await;
            let outcome = ended.outcome();
            buffer = buffer_of(ended.load);
            let failed = match outcome {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            buffer.clear();
            return (Err(failed), buffer);
        }
        buffer.clear();
        (Ok(()), buffer)
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

impl RawConn for NativeConn {
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
