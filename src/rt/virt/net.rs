//! Virtual listeners and connections.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::{Conn, Lent, Listener, Peek, RawConn, Runtime};
use super::pipe::{End, Pipe};
use super::world::{Backlog, FaultKind, Sleep, Virt, World};
use crate::base::Tick;

/// A slow connect takes this much longer.
const SLOW_CONNECT: Duration = Duration::from_secs(1);

/// An address to listen on; several listeners may share one.
#[derive(Clone, Copy, Debug)]
pub struct VirtSocket(pub SocketAddr);

/// A virtual listener.
pub struct VirtListener {
    backlog: Rc<RefCell<Backlog>>,
    stopped: Cell<bool>,
}

struct Side {
    world: Rc<RefCell<World>>,
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    /// Whose buffers it holds.
    part: Cell<usize>,
}

/// What a test may know of a connection though no packet has told it yet.
#[derive(Clone)]
pub struct VirtPeer(Rc<RefCell<Pipe>>);

/// A virtual connection.
#[derive(Clone)]
pub struct VirtConn(Rc<Side>);

impl std::fmt::Debug for VirtConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VirtConn")
    }
}

impl std::fmt::Debug for VirtPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VirtPeer")
    }
}

impl VirtPeer {
    /// Has it closed its side?
    pub fn has_left(&self) -> bool {
        self.0.borrow().has_end()
    }
}

impl VirtConn {
    /// The other side, as it is at this moment.
    pub fn peer(&self) -> VirtPeer {
        VirtPeer(Rc::clone(&self.0.incoming))
    }
}

impl std::fmt::Debug for VirtListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VirtListener")
    }
}

impl Runtime for Virt {
    type Conn = VirtConn;
    type Listener = VirtListener;
    type Socket = VirtSocket;
    type Accepted = VirtConn;

    fn now(&self) -> Tick {
        self.world.borrow().now
    }

    fn unix_millis(&self) -> u64 {
        self.unix_millis_now()
    }

    fn worked(&self) -> Duration {
        self.now().since(Tick::default())
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.start(Box::pin(task));
    }

    fn sleep(&self, wait: Duration) -> impl Future<Output = ()> {
        const TICK: u64 = 1_000_000;
        let until = self.now().after(wait.max(Duration::from_millis(1)));
        let until = Tick(until.0.div_ceil(TICK).saturating_mul(TICK));
        Sleep { world: Rc::clone(&self.world), until, waker: None }
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<VirtConn> {
        let fault = self.draw_fault(to);
        let travel = self.world.borrow_mut().latency();
        match fault {
            Some((FaultKind::Refused, _)) => {
                self.world.borrow_mut().hit(FaultKind::Refused);
                self.sleep(travel).await;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Some((FaultKind::BlackHole, _)) => {
                self.world.borrow_mut().hit(FaultKind::BlackHole);
                std::future::pending::<()>().await;
            }
            Some((FaultKind::SlowConnect, _)) => {
                self.world.borrow_mut().hit(FaultKind::SlowConnect);
                self.sleep(travel + SLOW_CONNECT).await;
            }
            _ => self.sleep(travel).await,
        }
        let backlog = self.choose_listener(to).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (here, there) = self.pair();
        here.0.part.set(self.part);
        let bytes_fault = fault.filter(|(kind, _)| {
            !matches!(kind, FaultKind::Refused | FaultKind::BlackHole | FaultKind::SlowConnect)
        });
        here.0.incoming.borrow_mut().fault = bytes_fault;
        let from = self.next_address();
        let mut backlog = backlog.borrow_mut();
        backlog.waiting.push_back((Box::new(there), from));
        if let Some(acceptor) = backlog.acceptor.take() {
            acceptor.wake();
        }
        Ok(here)
    }

    fn listen(&self, socket: VirtSocket) -> io::Result<VirtListener> {
        let backlog = Rc::new(RefCell::new(Backlog { open: true, ..Backlog::default() }));
        let mut world = self.world.borrow_mut();
        world.listeners.entry(socket.0).or_default().push(Rc::clone(&backlog));
        Ok(VirtListener { backlog, stopped: Cell::new(false) })
    }

    fn adopt(&self, accepted: VirtConn) -> io::Result<VirtConn> {
        accepted.0.part.set(self.part);
        Ok(accepted)
    }
}

impl Virt {
    fn draw_fault(&self, to: SocketAddr) -> Option<(FaultKind, usize)> {
        let mut world = self.world.borrow_mut();
        let percent = world.faults.percent;
        if !world.faults.to.contains(&to) || !world.rng.percent(percent) {
            return None;
        }
        let kinds = u64::try_from(FaultKind::ALL.len()).unwrap_or(1);
        let kind = usize::try_from(world.rng.below(kinds)).unwrap_or(0);
        let within = world.faults.within_bytes.max(1);
        let after = usize::try_from(world.rng.below(within)).unwrap_or(0);
        FaultKind::ALL.get(kind).map(|kind| (*kind, after))
    }

    fn choose_listener(&self, to: SocketAddr) -> Option<Rc<RefCell<Backlog>>> {
        let mut world = self.world.borrow_mut();
        let open = world.listeners.get(&to)?.iter().filter(|backlog| backlog.borrow().open);
        let open: Vec<_> = open.map(Rc::clone).collect();
        let chosen = world.rng.below(u64::try_from(open.len()).unwrap_or(0));
        open.get(usize::try_from(chosen).unwrap_or(0)).map(Rc::clone)
    }

    fn next_address(&self) -> SocketAddr {
        let mut world = self.world.borrow_mut();
        world.next_port = world.next_port.wrapping_add(1).max(1024);
        SocketAddr::from(([127, 0, 0, 1], world.next_port))
    }

    fn pair(&self) -> (VirtConn, VirtConn) {
        let pipes: [Rc<RefCell<Pipe>>; 2] = Default::default();
        let [first, second] = pipes;
        let side = |incoming: &Rc<RefCell<Pipe>>, outgoing: &Rc<RefCell<Pipe>>| {
            VirtConn(Rc::new(Side {
                world: Rc::clone(&self.world),
                incoming: Rc::clone(incoming),
                outgoing: Rc::clone(outgoing),
                part: Cell::new(0),
            }))
        };
        (side(&first, &second), side(&second, &first))
    }
}

impl Listener for VirtListener {
    type Accepted = VirtConn;

    async fn accept(&self) -> io::Result<(VirtConn, SocketAddr)> {
        std::future::poll_fn(|context| {
            if self.stopped.get() {
                return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
            }
            let mut backlog = self.backlog.borrow_mut();
            if let Some((accepted, from)) = backlog.waiting.pop_front()
                && let Ok(conn) = accepted.downcast::<VirtConn>()
            {
                return Poll::Ready(Ok((*conn, from)));
            }
            backlog.acceptor = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn stop(&self) {
        self.stopped.set(true);
        let acceptor = self.backlog.borrow_mut().acceptor.take();
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
    }

    fn take_waiting(&self) -> Option<VirtConn> {
        let (accepted, _from) = self.backlog.borrow_mut().waiting.pop_front()?;
        accepted.downcast::<VirtConn>().ok().map(|conn| *conn)
    }
}

impl Drop for VirtListener {
    fn drop(&mut self) {
        self.backlog.borrow_mut().open = false;
        let waiting = std::mem::take(&mut self.backlog.borrow_mut().waiting);
        drop(waiting);
    }
}

impl Conn for VirtConn {
    fn read(&self, buffer: Vec<u8>) -> impl Future<Output = Lent<usize>> {
        Read { side: Rc::clone(&self.0), buffer: Some(buffer), pending: false, lent: 0 }
    }

    fn write_all(&self, buffer: Vec<u8>) -> impl Future<Output = Lent<()>> {
        let side = Rc::clone(&self.0);
        Write { side, buffer: Some(buffer), written: 0, pending: false, lent: 0 }
    }

    fn peek(&self) -> Peek {
        let now = self.0.world.borrow().now;
        let mut pipe = self.0.incoming.borrow_mut();
        pipe.land(now);
        match pipe.ended(now) {
            _ if pipe.has_bytes() => Peek::Bytes,
            Some(_) => Peek::Closed,
            None => Peek::Quiet,
        }
    }

    fn finish(&self) {
        self.0.outgoing.borrow_mut().close(&mut self.0.world.borrow_mut(), End::Close);
    }

    fn stop_reading(&self) {
        let mut pipe = self.0.incoming.borrow_mut();
        pipe.closed_here = true;
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }

    fn abort(&self) {
        self.stop_reading();
        self.finish();
        if let Some(writer) = self.0.outgoing.borrow_mut().writer.take() {
            writer.wake();
        }
    }
}

impl RawConn for VirtConn {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut world = self.0.world.borrow_mut();
        let mut pipe = self.0.incoming.borrow_mut();
        if pipe.reading {
            world.violation("a try beside a pending read");
        }
        let now = world.now;
        pipe.land(now);
        match pipe.ended(now) {
            _ if pipe.closed_here => Ok(0),
            Some(End::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            _ if pipe.has_bytes() => Ok(pipe.take_into(into)),
            Some(End::Close) => Ok(0),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> usize {
        let mut world = self.0.world.borrow_mut();
        let mut pipe = self.0.outgoing.borrow_mut();
        if pipe.writing {
            world.violation("a try beside a pending write");
        }
        if pipe.closed_here || pipe.is_broken() || !pipe.is_open() {
            return 0;
        }
        let taken = bytes.get(..pipe.room().min(bytes.len())).unwrap_or_default();
        pipe.push(&mut world, taken.to_vec());
        taken.len()
    }
}

impl Drop for Side {
    /// Bytes that nobody read make the peer see a reset, as on Linux.
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let mut incoming = self.incoming.borrow_mut();
        incoming.land(now);
        let end = if incoming.has_bytes() { End::Reset } else { End::Close };
        incoming.closed_here = true;
        if let Some(writer) = incoming.writer.take() {
            writer.wake();
        }
        self.outgoing.borrow_mut().close(&mut world, end);
    }
}

/// A read that owns its buffer until it is done, as on `io_uring`.
struct Read {
    side: Rc<Side>,
    buffer: Option<Vec<u8>>,
    pending: bool,
    lent: usize,
}

impl Future for Read {
    type Output = Lent<usize>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lent<usize>> {
        let side = Rc::clone(&self.side);
        let Some(mut buffer) = self.buffer.take() else { return Poll::Pending };
        let mut world = side.world.borrow_mut();
        let mut pipe = side.incoming.borrow_mut();
        let room = buffer.capacity() - buffer.len();
        if room == 0 {
            world.violation("a read without room");
        }
        if !self.pending && std::mem::replace(&mut pipe.reading, true) {
            world.violation("two reads at once");
        }
        let now = world.now;
        pipe.land(now);
        let result = match pipe.ended(now) {
            _ if pipe.closed_here => Some(Ok(0)),
            Some(End::Reset) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            _ if pipe.has_bytes() => {
                // Short reads on purpose.
                let most = u64::try_from(room).unwrap_or(1);
                let short = world.rng.percent(30);
                let most = if short { 1 + world.rng.below(most) } else { most };
                Some(Ok(pipe.take(&mut buffer, usize::try_from(most).unwrap_or(room))))
            }
            Some(End::Close) => Some(Ok(0)),
            None => None,
        };
        let Some(result) = result else {
            pipe.wait(&mut world, context.waker());
            world.lend(side.part.get(), self.lent, buffer.capacity());
            drop((world, pipe));
            self.pending = true;
            self.lent = buffer.capacity();
            self.buffer = Some(buffer);
            return Poll::Pending;
        };
        pipe.reading = false;
        (pipe.reader, pipe.told) = (None, None);
        world.lend(side.part.get(), self.lent, 0);
        drop((world, pipe));
        self.pending = false;
        Poll::Ready((result, buffer))
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if self.pending {
            self.side.incoming.borrow_mut().reading = false;
            let mut world = self.side.world.borrow_mut();
            world.lend(self.side.part.get(), self.lent, 0);
            world.violation("a pending read was dropped");
        }
    }
}

struct Write {
    side: Rc<Side>,
    buffer: Option<Vec<u8>>,
    written: usize,
    pending: bool,
    lent: usize,
}

impl Future for Write {
    type Output = Lent<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lent<()>> {
        let side = Rc::clone(&self.side);
        let Some(mut buffer) = self.buffer.take() else { return Poll::Pending };
        let mut world = side.world.borrow_mut();
        let mut pipe = side.outgoing.borrow_mut();
        if !self.pending && std::mem::replace(&mut pipe.writing, true) {
            world.violation("two writes at once");
        }
        let now = world.now;
        // A reset of the other direction reaches the writer too.
        let reset = side.incoming.borrow().ended(now) == Some(End::Reset);
        let gone = pipe.closed_here || pipe.is_broken() || reset || !pipe.is_open();
        let rest = buffer.len() - self.written;
        let count = pipe.room().min(rest);
        if !gone && count > 0 {
            let piece = buffer.get(self.written..self.written + count).unwrap_or_default();
            pipe.push(&mut world, piece.to_vec());
            self.written += count;
        }
        if !gone && self.written < buffer.len() {
            pipe.writer = Some(context.waker().clone());
            world.lend(side.part.get(), self.lent, buffer.capacity());
            drop((world, pipe));
            self.pending = true;
            self.lent = buffer.capacity();
            self.buffer = Some(buffer);
            return Poll::Pending;
        }
        pipe.writing = false;
        pipe.writer = None;
        world.lend(side.part.get(), self.lent, 0);
        drop((world, pipe));
        self.pending = false;
        buffer.clear();
        let result = if gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) };
        Poll::Ready((result, buffer))
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if self.pending {
            self.side.outgoing.borrow_mut().writing = false;
            let mut world = self.side.world.borrow_mut();
            world.lend(self.side.part.get(), self.lent, 0);
            world.violation("a pending write was dropped");
        }
    }
}
