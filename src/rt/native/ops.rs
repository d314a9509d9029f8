//! The ring of one core: what has been asked of the kernel, and what it answered.

use std::io;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, TimeoutFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::places::Places;
use super::tasks::{Bell, Tasks};
use super::timers::Timers;

/// Entries of the submission ring. 1024 cost 256 KiB of locked memory and hold more operations
/// than one turn of a busy core submits.
const RING_ENTRIES: u32 = 1024;

/// User data that is no operation's.
const IGNORED: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;

/// How long is waited for the kernel to let go of buffers when an executor ends.
const LAST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAITS: u32 = 100;

/// What an operation needs until its end: what the kernel reads and writes, and a socket, so that
/// the descriptor stays open.
#[expect(dead_code, reason = "some parts only have to live")]
pub(super) enum Load<S> {
    /// A read or a write.
    Bytes(Vec<u8>, S),
    /// A connection being made.
    Connect(Box<socket2::SockAddr>, S),
    /// A connection being accepted: its descriptor is the result.
    Accept(Box<Peer>, Rc<std::net::TcpListener>),
}

/// Where the kernel writes whom it accepted.
pub(super) struct Peer {
    pub(super) address: socket2::SockAddrStorage,
    pub(super) length: socket2::socklen_t,
}

/// An operation that has ended.
pub(super) struct Ended<S> {
    /// As the system call's, the error negated.
    pub(super) result: i32,
    pub(super) load: Load<S>,
}

impl<S> Ended<S> {
    /// The result as the standard library would give it.
    pub(super) fn outcome(&self) -> io::Result<usize> {
        usize::try_from(self.result)
            .map_err(|_negative| io::Error::from_raw_os_error(self.result.saturating_neg()))
    }
}

/// Where an operation is.
#[derive(Default)]
enum Place<S> {
    #[default]
    Free,
    /// In the kernel; whoever waits for it.
    Running(Load<S>, Waker),
    /// In the kernel; nobody waits.
    Left(Load<S>),
    Over(Ended<S>),
}

/// The ring and its operations.
pub(super) struct Ops<S> {
    ring: IoUring,
    places: Places<Place<S>>,
    /// How many are in the kernel.
    running: usize,
    pub(super) timers: Timers,
    /// Read by the kernel when a turn submits; one timer is armed in a turn at most.
    until: Box<Timespec>,
    bell: Arc<Bell>,
    /// Where the bell's count is read into.
    rung: Box<u64>,
    /// Is that read in the kernel?
    listening: bool,
}

impl<S> Ops<S> {
    /// Builds the ring for this thread.
    ///
    /// # Errors
    /// What the kernel says against it.
    pub(super) fn build(bell: Arc<Bell>, origin: u64) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .build(RING_ENTRIES)?;
        Ok(Self {
            ring,
            places: Places::new(),
            running: 0,
            timers: Timers::new(origin),
            until: Box::default(),
            bell,
            rung: Box::default(),
            listening: false,
        })
    }

    /// Gives an operation to the kernel with the next turn. `entry` points into `load` or to
    /// nothing.
    pub(super) fn begin(&mut self, entry: squeue::Entry, load: Load<S>) -> u32 {
        let number = self.places.put(Place::Running(load, Waker::noop().clone()));
        self.running += 1;
        self.push(&entry.user_data(u64::from(number)));
        number
    }

    #[expect(unsafe_code, reason = "the kernel is given addresses")]
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what an operation's entry points to is in its load, which stays in `places`
            // until the kernel has answered, and so does the bell's box; `shut_down` waits for the
            // last answers. A timer's time is read when it is submitted, and boxed until then.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            // Full: what is there goes to the kernel, whose answers may have to make room first.
            if self.ring.submit().is_err() {
                self.reap();
            }
        }
    }

    /// How the operation stands; `waker` is woken at its end.
    pub(super) fn poll(&mut self, number: u32, waker: &Waker) -> Poll<Ended<S>> {
        let Some(place) = self.places.get(number) else { return Poll::Pending };
        if let Place::Running(_, waiting) = place {
            if !waiting.will_wake(waker) {
                waiting.clone_from(waker);
            }
            return Poll::Pending;
        }
        match std::mem::take(place) {
            Place::Over(ended) => {
                self.places.free(number);
                Poll::Ready(ended)
            }
            other => {
                *place = other;
                Poll::Pending
            }
        }
    }

    /// Nobody waits for the operation any more: the kernel is to end it.
    pub(super) fn leave(&mut self, number: u32) {
        let Some(place) = self.places.get(number) else { return };
        match std::mem::take(place) {
            Place::Running(load, _) => {
                *place = Place::Left(load);
                self.cancel(number);
            }
            Place::Over(ended) => {
                close_unclaimed(ended.result, &ended.load);
                self.places.free(number);
            }
            other => *place = other,
        }
    }

    /// Ends a running operation, which then ends as cancelled unless it is over already.
    pub(super) fn cancel(&mut self, number: u32) {
        let entry = opcode::AsyncCancel::new(u64::from(number)).build();
        self.push(&entry.user_data(IGNORED));
    }

    /// One turn: submits what was begun, waits for an answer if no task is to run, and takes all
    /// answers.
    ///
    /// # Errors
    /// When the ring cannot be used any more.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.listen();
        self.arm();
        // Behind the above: where the ring is full, they take answers, which wake tasks.
        let wanted = usize::from(Tasks::queued() == 0);
        let entered = self.ring.submit_and_wait(wanted);
        self.reap();
        match entered {
            // Interrupted; or answers had to be taken first.
            Err(error)
                if !matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn listen(&mut self) {
        if self.listening {
            return;
        }
        self.listening = true;
        let fd = Fd(self.bell.event().as_raw_fd());
        let into: *mut u64 = &raw mut *self.rung;
        let entry = opcode::Read::new(fd, into.cast(), 8).build();
        self.push(&entry.user_data(BELL));
    }

    fn arm(&mut self) {
        let Some(nanos) = self.timers.arm() else { return };
        let part = u32::try_from(nanos % 1_000_000_000).unwrap_or(0);
        *self.until = Timespec::new().sec(nanos / 1_000_000_000).nsec(part);
        let entry = opcode::Timeout::new(&raw const *self.until).flags(TimeoutFlags::ABS).build();
        self.push(&entry.user_data(TIMER));
    }

    fn reap(&mut self) {
        let mut ended = 0;
        for answer in self.ring.completion() {
            match answer.user_data() {
                IGNORED => {}
                BELL => {
                    self.listening = false;
                    self.bell.answer();
                }
                TIMER => self.timers.fire(),
                number => {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    let Some(place) = self.places.get(number) else { continue };
                    ended += 1;
                    if complete(place, &answer) {
                        self.places.free(number);
                    }
                }
            }
        }
        self.running -= ended;
    }

    /// Gives back what a peak has left behind.
    pub(super) fn trim(&mut self) {
        self.places.trim();
    }

    /// Ends all operations and waits until the kernel has let go of their memory. What it has not
    /// let go of by then is never freed.
    pub(super) fn shut_down(&mut self) {
        if self.running == 0 && !self.listening {
            return;
        }
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        self.push(&entry.user_data(IGNORED));
        let wait = Timespec::from(LAST_WAIT);
        for _ in 0..LAST_WAITS {
            let _late =
                self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&wait));
            self.reap();
            if self.running == 0 && !self.listening {
                return;
            }
        }
        Vec::leak(self.places.clear());
        Box::leak(std::mem::take(&mut self.rung));
        (self.running, self.listening) = (0, false);
    }
}

/// Also where a panic ends the executor, the kernel must not write into memory that was freed.
impl<S> Drop for Ops<S> {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Takes the kernel's answer; true when the place is free.
fn complete<S>(place: &mut Place<S>, answer: &cqueue::Entry) -> bool {
    match std::mem::take(place) {
        Place::Running(load, waker) => {
            *place = Place::Over(Ended { result: answer.result(), load });
            waker.wake();
            false
        }
        Place::Left(load) => {
            close_unclaimed(answer.result(), &load);
            true
        }
        other => {
            *place = other;
            false
        }
    }
}

/// A connection that was accepted for nobody is closed.
fn close_unclaimed<S>(result: i32, load: &Load<S>) {
    if matches!(load, Load::Accept(..)) && result >= 0 {
        drop(super::super::socket::own(result));
    }
}

impl Default for Peer {
    fn default() -> Self {
        let address = socket2::SockAddrStorage::zeroed();
        let length = address.size_of();
        Self { address, length }
    }
}

impl Peer {
    /// What the kernel wrote.
    #[expect(unsafe_code, reason = "an address as the kernel has it")]
    pub(super) fn address(self) -> Option<std::net::SocketAddr> {
        // SAFETY: the kernel has set the length to what it wrote of the address.
        let address = unsafe { socket2::SockAddr::new(self.address, self.length) };
        address.as_socket()
    }
}
