//! Tasks, and what wakes them.
//!
//! A waker is a number: which executor, which place in it, and which of the tasks that have been
//! in that place. Cloning and dropping one costs nothing, there is nothing to count, and one that
//! outlives its task wakes nobody.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::os::fd::FromRawFd as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::places::Places;

/// Bits of a waker's number that say which place, and which of its tasks; the rest is the executor.
const PLACE_BITS: u32 = 24;
const AGE_BITS: u32 = 24;

const _: () = assert!(usize::BITS == 64, "a waker's number has 64 bits");

/// What a waker names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    /// Never 0.
    executor: u16,
    place: u32,
    age: u32,
}

impl Name {
    fn number(self) -> usize {
        let (executor, place, age) =
            (usize::from(self.executor), self.place as usize, self.age as usize);
        executor << (PLACE_BITS + AGE_BITS) | age << PLACE_BITS | place
    }

    fn of(number: usize) -> Self {
        let part = |from: u32, bits: u32| {
            u32::try_from(number >> from & ((1 << bits) - 1)).unwrap_or(u32::MAX)
        };
        Self {
            executor: u16::try_from(part(PLACE_BITS + AGE_BITS, 16)).unwrap_or(0),
            place: part(0, PLACE_BITS),
            age: part(PLACE_BITS, AGE_BITS),
        }
    }

    #[expect(unsafe_code, reason = "a waker is a pointer and a table")]
    fn waker(self) -> Waker {
        let raw = raw(std::ptr::without_provenance(self.number()));
        // SAFETY: the table's functions never follow the pointer, which is a number; what they
        // reach by it is behind locks or belongs to the thread that asks.
        unsafe { Waker::from_raw(raw) }
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(raw, wake, wake, forget);

fn raw(number: *const ()) -> RawWaker {
    RawWaker::new(number, &TABLE)
}

fn wake(number: *const ()) {
    let number = number.addr();
    let name = Name::of(number);
    let here = HERE.try_with(|here| here.borrow_mut().wake(name)).unwrap_or(false);
    if !here {
        ring_bell(name.executor, number);
    }
}

fn forget(_number: *const ()) {}

/// One place for a task.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    age: u32,
    queued: bool,
}

/// The tasks of this thread's executor that are to run.
struct Here {
    /// Of the executor; 0 where the thread has none.
    executor: u16,
    queue: VecDeque<u32>,
    places: Vec<Place>,
}

thread_local! {
    static HERE: RefCell<Here> = const { RefCell::new(Here::none()) };
}

impl Here {
    /// The thread runs no executor.
    const fn none() -> Self {
        Self { executor: 0, queue: VecDeque::new(), places: Vec::new() }
    }

    /// Queues a task, once, if it still is the one that `name` means. False when it is of another
    /// executor.
    fn wake(&mut self, name: Name) -> bool {
        if self.executor != name.executor {
            return false;
        }
        if let Some(place) = self.places.get_mut(name.place as usize)
            && place.age == name.age
            && !place.queued
        {
            place.queued = true;
            self.queue.push_back(name.place);
        }
        true
    }
}

/// What other threads ring to wake tasks of an executor.
#[derive(Debug)]
pub(super) struct Bell {
    /// Numbers of wakers.
    woken: Mutex<Vec<usize>>,
    /// An eventfd, from which the executor reads.
    event: File,
}

/// Every executor's bell; an executor's number is one more than its place.
static BELLS: Mutex<Vec<Option<Arc<Bell>>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ring_bell(executor: u16, number: usize) {
    let Some(place) = usize::from(executor).checked_sub(1) else { return };
    let bell = lock(&BELLS).get(place).cloned().flatten();
    let Some(bell) = bell else { return };
    let mut woken = lock(&bell.woken);
    let first = woken.is_empty();
    woken.push(number);
    drop(woken);
    if first {
        // It cannot fail: the counter is read whenever it is not 0.
        let _counted = (&bell.event).write(&1_u64.to_ne_bytes());
    }
}

impl Bell {
    #[expect(unsafe_code, reason = "std has no eventfd")]
    fn new() -> io::Result<Self> {
        // SAFETY: the call takes no memory of ours.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given it, and nobody else has it.
        let event = unsafe { File::from_raw_fd(descriptor) };
        Ok(Self { woken: Mutex::new(Vec::new()), event })
    }

    /// The eventfd.
    pub(super) fn event(&self) -> &File {
        &self.event
    }

    /// Wakes those that others have rung for.
    pub(super) fn answer(&self) {
        let woken = std::mem::take(&mut *lock(&self.woken));
        HERE.with(|here| {
            let mut here = here.borrow_mut();
            for number in woken {
                let _ours = here.wake(Name::of(number));
            }
        });
    }
}

/// A task's future.
pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The place of the future that the executor was started with.
const MAIN: u32 = 0;

/// The tasks of one executor.
pub(super) struct Tasks {
    executor: u16,
    bell: Arc<Bell>,
    /// Empty while it runs, and where none is.
    tasks: Places<Option<Task>>,
}

/// What is to run next.
pub(super) enum Next {
    /// The future that the executor was started with.
    Main(Waker),
    /// A task, which goes back where it was unless it has ended.
    Task(u32, Task, Waker),
}

impl Tasks {
    /// Makes this thread's executor known, its first future queued.
    ///
    /// # Errors
    /// When the thread runs an executor already, or no descriptor is left.
    pub(super) fn begin() -> io::Result<Self> {
        if HERE.with(|here| here.borrow().executor != 0) {
            return Err(io::Error::other("this thread runs an executor already"));
        }
        let bell = Arc::new(Bell::new()?);
        let executor = enter(&bell)?;
        HERE.with(|here| {
            let places = vec![Place { age: 0, queued: true }];
            *here.borrow_mut() = Here { executor, queue: VecDeque::from([MAIN]), places };
        });
        let mut tasks = Places::new();
        tasks.put(None);
        Ok(Self { executor, bell, tasks })
    }

    /// What other threads ring.
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Queues a new task.
    pub(super) fn spawn(&mut self, task: Task) {
        let number = self.tasks.put(Some(task));
        let place = number as usize;
        HERE.with(|here| {
            let mut here = here.borrow_mut();
            if here.places.len() <= place {
                here.places.resize(place + 1, Place::default());
            }
            let age = here.places.get(place).map_or(0, |place| place.age);
            let _ours = here.wake(Name { executor: self.executor, place: number, age });
        });
    }

    /// The task of an earlier [`Next`], which has not ended.
    pub(super) fn put_back(&mut self, number: u32, task: Task) {
        self.tasks.set(number, Some(task));
    }

    /// The task of an earlier [`Next`] has ended.
    pub(super) fn end(&mut self, number: u32) {
        HERE.with(|here| {
            if let Some(place) = here.borrow_mut().places.get_mut(number as usize) {
                place.age = (place.age + 1) & ((1 << AGE_BITS) - 1);
            }
        });
        self.tasks.free(number);
    }

    /// How many are to run.
    pub(super) fn queued() -> usize {
        HERE.with(|here| here.borrow().queue.len())
    }

    /// Takes the task that is to run next.
    pub(super) fn next(&mut self) -> Option<Next> {
        loop {
            let name = HERE.with(|here| {
                let mut here = here.borrow_mut();
                let index = here.queue.pop_front()?;
                let place = here.places.get_mut(index as usize)?;
                place.queued = false;
                Some(Name { executor: self.executor, place: index, age: place.age })
            })?;
            if name.place == MAIN {
                return Some(Next::Main(name.waker()));
            }
            // None for a task that was woken and has ended meanwhile.
            if let Some(task) = self.tasks.take(name.place).flatten() {
                return Some(Next::Task(name.place, task, name.waker()));
            }
        }
    }

    /// Gives back what a peak has left behind. A waker of then may wake a later task once for
    /// nothing.
    pub(super) fn trim(&mut self) {
        self.tasks.trim();
        HERE.with(|here| {
            let mut here = here.borrow_mut();
            let left = self.tasks.len();
            here.places.truncate(left);
            here.places.shrink_to_fit();
            // What was woken and has ended since may be queued still.
            here.queue.retain(|number| (*number as usize) < left);
            here.queue.shrink_to_fit();
        });
    }

    /// Takes all tasks out, to be dropped.
    pub(super) fn clear(&mut self) -> Vec<Option<Task>> {
        self.tasks.clear()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // The thread itself may be ending.
        let _gone = HERE.try_with(|here| *here.borrow_mut() = Here::none());
        let place = usize::from(self.executor) - 1;
        if let Some(bell) = lock(&BELLS).get_mut(place) {
            *bell = None;
        }
    }
}

/// Hangs up a bell and gives the number of its executor.
fn enter(bell: &Arc<Bell>) -> io::Result<u16> {
    let mut bells = lock(&BELLS);
    let place = bells.iter().position(Option::is_none).unwrap_or(bells.len());
    let executor = u16::try_from(place + 1)
        .map_err(|_large| io::Error::other("more executors than a waker can name"))?;
    if place == bells.len() {
        bells.push(None);
    }
    if let Some(slot) = bells.get_mut(place) {
        *slot = Some(Arc::clone(bell));
    }
    Ok(executor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_names_executor_place_and_age() {
        for name in [
            Name { executor: 1, place: 0, age: 0 },
            Name { executor: u16::MAX, place: (1 << 24) - 1, age: (1 << 24) - 1 },
            Name { executor: 7, place: 12_345, age: 54_321 },
        ] {
            assert_eq!(Name::of(name.number()), name);
        }
    }
}
