//! Clock, tasks, timers and counters of one simulated world.

use std::any::Any;
use std::cell::RefCell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::base::{Rng, Tick};

/// Where virtual time starts: 2026-01-01, so that dates are plausible.
const EPOCH_MILLIS: u64 = 1_767_225_600_000;

/// A world that polls more often than this is in a live-lock.
const POLLS_MAX: u64 = 20_000_000;

/// How a connection to a faulty address may misbehave. The first three hit the connect, the
/// others the bytes from the accepting side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FaultKind {
    Refused,
    BlackHole,
    SlowConnect,
    Reset,
    Close,
    Stall,
    Drip,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::BlackHole,
        Self::SlowConnect,
        Self::Reset,
        Self::Close,
        Self::Stall,
        Self::Drip,
    ];
}

/// Which connections misbehave.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Only connections to these addresses do.
    pub to: Vec<SocketAddr>,
    /// In so many of 100 connections, one kind each with equal chance.
    pub percent: u64,
    /// A fault of the byte stream hits within so many bytes.
    pub within_bytes: u64,
}

/// What a world has seen; a test looks at it after the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// How often each kind of fault really happened.
    pub hits: BTreeMap<FaultKind, u64>,
    /// Breaches of the seam's contract, in words.
    pub violations: Vec<String>,
    /// Decided by every poll, its time and its order: equal seeds, equal hash.
    pub trace: u64,
    /// How many polls it took.
    pub polls: u64,
}

/// The run cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck(pub String);

/// How many parts of a world have their buffers counted, part 0 included.
const PARTS: usize = 8;

type Task = Pin<Box<dyn Future<Output = ()>>>;
type ReadyQueue = Arc<Mutex<Vec<usize>>>;

struct TaskWaker {
    task: usize,
    ready: ReadyQueue,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

/// One connection that waits to be accepted. The world need not know what a connection is; the
/// network, which does, puts it in and takes it out.
pub(super) type Waiting = (Box<dyn Any>, SocketAddr);

#[derive(Default)]
pub(super) struct Backlog {
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) acceptor: Option<Waker>,
    pub(super) open: bool,
}

pub(super) struct World {
    pub(super) now: Tick,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) witness: Witness,
    /// Several listeners may share an address.
    pub(super) listeners: BTreeMap<SocketAddr, Vec<Rc<RefCell<Backlog>>>>,
    pub(super) next_port: u16,
    /// What pending reads and writes hold, in bytes, by part.
    lent: [usize; PARTS],
    timers: BinaryHeap<Reverse<Timer>>,
    sequence: u64,
    tasks: Vec<Option<Task>>,
    /// One for each task, so that whoever waits sees that it is the same one.
    wakers: Vec<Waker>,
    ending: bool,
}

/// One who waits for a time; among equal times the first that began to.
struct Timer {
    at: Tick,
    sequence: u64,
    waker: Waker,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timer {}

/// Looks at the world after every step.
type Watch = Rc<dyn Fn()>;

/// A simulated executor and its world; clones share it.
#[derive(Clone)]
pub struct Virt {
    pub(super) world: Rc<RefCell<World>>,
    ready: ReadyQueue,
    watch: Rc<RefCell<Option<Watch>>>,
    /// Whose buffers its connections hold.
    pub(super) part: usize,
}

impl std::fmt::Debug for Virt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Virt")
    }
}

impl World {
    /// Wakes `waker` when `at` has come.
    pub(super) fn wake_at(&mut self, at: Tick, waker: Waker) {
        self.sequence += 1;
        self.timers.push(Reverse(Timer { at, sequence: self.sequence, waker }));
    }

    /// A pending call of `part` holds a buffer of so many bytes where it held one of `before`.
    pub(super) fn lend(&mut self, part: usize, before: usize, now: usize) {
        if let Some(lent) = self.lent.get_mut(part) {
            *lent = (*lent + now).saturating_sub(before);
        }
    }

    /// How long a packet travels: mostly little, sometimes long.
    pub(super) fn latency(&mut self) -> Duration {
        let micros =
            if self.rng.percent(90) { 20 + self.rng.below(400) } else { self.rng.below(9000) };
        Duration::from_micros(micros)
    }

    pub(super) fn hit(&mut self, kind: FaultKind) {
        *self.witness.hits.entry(kind).or_insert(0) += 1;
    }

    pub(super) fn violation(&mut self, what: &str) {
        if !self.ending {
            self.witness.violations.push(what.to_owned());
        }
    }

    fn trace(&mut self, task: usize) {
        self.witness.polls += 1;
        let task = u64::try_from(task).unwrap_or(u64::MAX);
        let mixed = self.witness.trace ^ self.now.0.rotate_left(17) ^ task;
        self.witness.trace = Rng::new(mixed).bits();
    }
}

impl Virt {
    /// A world whose history `seed` decides.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let world = World {
            now: Tick(1),
            rng: Rng::new(seed),
            faults,
            witness: Witness::default(),
            listeners: BTreeMap::new(),
            next_port: 20_000,
            lent: [0; PARTS],
            timers: BinaryHeap::new(),
            sequence: 0,
            tasks: Vec::new(),
            wakers: Vec::new(),
            ending: false,
        };
        let (world, watch) = (Rc::new(RefCell::new(world)), Rc::default());
        Self { world, ready: ReadyQueue::default(), watch, part: 0 }
    }

    /// The same world, for the part of it with this number: what its connections hold is counted.
    #[must_use]
    pub fn part(&self, part: usize) -> Self {
        Self { part, ..self.clone() }
    }

    /// How many bytes the buffers of a part's pending reads and writes can hold.
    pub fn lent(&self, part: usize) -> usize {
        self.world.borrow().lent.get(part).copied().unwrap_or(0)
    }

    /// `look` is called after every step, until the run ends.
    pub fn watch(&self, look: impl Fn() + 'static) {
        *self.watch.borrow_mut() = Some(Rc::new(look));
    }

    /// What has been seen so far.
    pub fn witness(&self) -> Witness {
        self.world.borrow().witness.clone()
    }

    /// A random number below `bound`, for a test's own script.
    pub fn below(&self, bound: u64) -> u64 {
        self.world.borrow_mut().rng.below(bound)
    }

    /// Runs until `main` ends; then every other task is dropped.
    ///
    /// # Errors
    /// When nothing is ready and no timer is set, or in a live-lock.
    pub fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> Result<T, Stuck> {
        let result = Rc::new(RefCell::new(None));
        let place = Rc::clone(&result);
        self.start(Box::pin(async move { *place.borrow_mut() = Some(main.await) }));
        let ran = loop {
            if let Some(value) = result.borrow_mut().take() {
                break Ok(value);
            }
            if let Err(stuck) = self.step() {
                break Err(stuck);
            }
        };
        self.end();
        ran
    }

    /// Polls all that is ready, or lets time pass.
    fn step(&self) -> Result<(), Stuck> {
        let ready = self.take_ready();
        if ready.is_empty() {
            self.pass_time()?;
        }
        self.poll_all(ready)
    }

    pub(super) fn start(&self, task: Task) {
        let mut world = self.world.borrow_mut();
        world.tasks.push(Some(task));
        let id = world.tasks.len() - 1;
        let waker = TaskWaker { task: id, ready: Arc::clone(&self.ready) };
        world.wakers.push(Waker::from(Arc::new(waker)));
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn take_ready(&self) -> Vec<usize> {
        let mut ready =
            std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        ready.sort_unstable();
        ready.dedup();
        ready
    }

    /// Goes on to the next timer.
    fn pass_time(&self) -> Result<(), Stuck> {
        let mut world = self.world.borrow_mut();
        let Some(Reverse(Timer { at, waker, .. })) = world.timers.pop() else {
            return Err(Stuck("nothing is ready and no timer is set".to_owned()));
        };
        world.now = world.now.max(at);
        drop(world);
        waker.wake();
        Ok(())
    }

    fn poll_all(&self, mut ready: Vec<usize>) -> Result<(), Stuck> {
        while !ready.is_empty() {
            let chosen = self.below(u64::try_from(ready.len()).unwrap_or(1));
            let task = ready.swap_remove(usize::try_from(chosen).unwrap_or(0));
            let mut world = self.world.borrow_mut();
            let taken = world.tasks.get_mut(task).and_then(Option::take);
            let (Some(mut future), Some(waker)) = (taken, world.wakers.get(task).cloned()) else {
                continue;
            };
            world.trace(task);
            if world.witness.polls > POLLS_MAX {
                return Err(Stuck("a live-lock: too many polls".to_owned()));
            }
            drop(world);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_pending()
                && let Some(place) = self.world.borrow_mut().tasks.get_mut(task)
            {
                *place = Some(future);
            }
            let watch = self.watch.borrow().clone();
            if let Some(look) = watch {
                look();
            }
        }
        Ok(())
    }

    /// Drops what still runs; that is no breach of any contract.
    fn end(&self) {
        self.world.borrow_mut().ending = true;
        drop(self.watch.take());
        let tasks = std::mem::take(&mut self.world.borrow_mut().tasks);
        drop(tasks);
    }

    pub(super) fn unix_millis_now(&self) -> u64 {
        EPOCH_MILLIS + self.world.borrow().now.0 / 1_000_000
    }
}

/// Sleeps in virtual time; the real backends tick once a millisecond, so does this.
pub(super) struct Sleep {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) until: Tick,
    pub(super) waker: Option<Waker>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.world.borrow_mut();
        if world.now >= self.until {
            return Poll::Ready(());
        }
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !known {
            let until = self.until;
            world.wake_at(until, context.waker().clone());
            drop(world);
            self.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}
