//! Deadlines that cost a store: one sweep per shard ends what is late.
//!
//! A timer per operation would be set and cleared for every read of every stream, and nearly none
//! would ever fire. Here each connection has a slot with a time in it; a task of the shard looks
//! at all slots every [`SWEEP`] and ends the connections whose time has passed. The pending
//! call then returns at once, and its owner asks [`Deadline::fired`] why.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use crate::base::Tick;
use crate::rt::{Conn, Mutant};

/// How often slots are looked at, and so how late a deadline may fire. The shortest limit that a
/// configuration allows is 100 ms.
pub const SWEEP: Duration = Duration::from_millis(25);

/// What a passed deadline does to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The peer may go: it is idle between two requests. A drain shortens such deadlines.
    CloseIdle,
    /// Reading ends, writing does not: a slow client is still told so.
    StopReading,
    /// Both directions end at once.
    Abort,
    /// Nothing ends: the task that waits is woken to look.
    Wake,
}

#[derive(Debug)]
struct Slot<C> {
    conn: C,
    at: Cell<Tick>,
    late: Cell<Late>,
    fired: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
    /// Stands for the id of the exchange that runs; zero when none does.
    tag: Cell<u64>,
    /// The upstream that it waits for, or hears.
    upstream: Cell<Option<usize>>,
}

/// The slots of one shard.
#[derive(Debug)]
pub struct Deadlines<C: Conn> {
    slots: RefCell<Vec<Option<Slot<C>>>>,
    free: RefCell<Vec<usize>>,
}

/// One connection's slot; freed on drop.
#[derive(Debug)]
pub struct Deadline<C: Conn> {
    owner: Rc<Deadlines<C>>,
    /// Invariant: `owner.slots[index]` is occupied while this value lives.
    index: usize,
}

impl<C: Conn> Default for Deadlines<C> {
    fn default() -> Self {
        Self { slots: RefCell::new(Vec::new()), free: RefCell::new(Vec::new()) }
    }
}

impl<C: Conn> Deadlines<C> {
    /// A slot for `conn`, with no deadline set.
    pub fn register(self: &Rc<Self>, conn: C) -> Deadline<C> {
        let slot = Slot {
            conn,
            at: Cell::new(Tick::NEVER),
            late: Cell::new(Late::Abort),
            fired: Cell::new(false),
            waiting: RefCell::new(None),
            tag: Cell::new(0),
            upstream: Cell::new(None),
        };
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(slots.len());
        if index == slots.len() {
            slots.push(None);
        }
        if let Some(place) = slots.get_mut(index) {
            debug_assert!(place.is_none(), "a free slot is empty");
            *place = Some(slot);
        }
        Deadline { owner: Rc::clone(self), index }
    }

    /// Aborts every connection whose deadline has passed; returns how many.
    pub fn sweep(&self, now: Tick) -> usize {
        let mut late = 0;
        for slot in self.slots.borrow().iter().flatten() {
            if slot.at.get() <= now && !slot.fired.get() && !Mutant::DeadlineIgnored.active() {
                slot.fired.set(true);
                match slot.late.get() {
                    Late::Abort => slot.conn.abort(),
                    Late::CloseIdle | Late::StopReading => slot.conn.stop_reading(),
                    Late::Wake => {
                        slot.waiting.take().into_iter().for_each(Waker::wake);
                    }
                }
                late += 1;
            }
        }
        late
    }

    /// Connections that are idle between two requests end at `at` or before.
    pub fn hurry_idle(&self, at: Tick) {
        for slot in self.slots.borrow().iter().flatten() {
            if slot.late.get() == Late::CloseIdle {
                slot.at.set(slot.at.get().min(at));
            }
        }
    }

    /// Aborts the connections on which an exchange with this tag runs; returns how many.
    pub fn cancel(&self, tag: u64) -> usize {
        let slots = self.slots.borrow();
        let tagged = slots.iter().flatten().filter(|slot| tag != 0 && slot.tag.get() == tag);
        tagged.inspect(|slot| slot.conn.abort()).count()
    }

    /// Calls `each` with the tag of every exchange that is with an upstream, and with its number.
    pub fn each_asking(&self, mut each: impl FnMut(u64, usize)) {
        for slot in self.slots.borrow().iter().flatten() {
            if let (tag @ 1.., Some(upstream)) = (slot.tag.get(), slot.upstream.get()) {
                each(tag, upstream);
            }
        }
    }

    /// How many slots are in use.
    pub fn len(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }

    /// Is no slot in use?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<C: Conn> Deadline<C> {
    /// `late` happens after `at`, unless another time is set before.
    pub fn set(&self, at: Tick, late: Late) {
        self.slot(|slot| {
            slot.at.set(at);
            slot.late.set(late);
        });
    }

    /// Wakes the task behind `waker` after `at`, once.
    pub fn wake_at(&self, at: Tick, waker: &Waker) {
        self.slot(|slot| {
            slot.at.set(at);
            slot.late.set(Late::Wake);
            slot.fired.set(false);
            let mut waiting = slot.waiting.borrow_mut();
            match waiting.as_mut() {
                Some(known) => known.clone_from(waker),
                None => *waiting = Some(waker.clone()),
            }
        });
    }

    /// Nothing is late any more. A deadline that has fired stays fired.
    pub fn clear(&self) {
        self.set(Tick::NEVER, Late::Abort);
    }

    /// An exchange with this tag runs on the connection from now on; zero: none does.
    pub fn tag(&self, tag: u64) {
        self.slot(|slot| {
            slot.tag.set(tag);
            slot.upstream.set(None);
        });
    }

    /// The exchange that runs asks this upstream.
    pub fn asks(&self, upstream: usize) {
        self.slot(|slot| slot.upstream.set(Some(upstream)));
    }

    /// Was the connection aborted because its time had passed?
    pub fn fired(&self) -> bool {
        self.slot(|slot| slot.fired.get()).unwrap_or(false)
    }

    fn slot<T>(&self, use_it: impl FnOnce(&Slot<C>) -> T) -> Option<T> {
        self.owner.slots.borrow().get(self.index)?.as_ref().map(use_it)
    }
}

impl<C: Conn> Drop for Deadline<C> {
    fn drop(&mut self) {
        let slot = self.owner.slots.borrow_mut().get_mut(self.index).and_then(Option::take);
        debug_assert!(slot.is_some(), "a slot is freed once");
        self.owner.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{Lent, Peek};

    #[derive(Clone, Debug, Default)]
    struct Counted(Rc<Cell<u32>>);

    impl Conn for Counted {
        async fn read(&self, buffer: Vec<u8>) -> Lent<usize> {
            (Ok(0), buffer)
        }
        async fn write_all(&self, buffer: Vec<u8>) -> Lent<()> {
            (Ok(()), buffer)
        }
        fn peek(&self) -> Peek {
            Peek::Quiet
        }
        fn finish(&self) {}
        fn stop_reading(&self) {}
        fn abort(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn only_what_is_late_is_aborted_and_only_once() {
        let deadlines = Rc::new(Deadlines::default());
        let (early, late) = (Counted::default(), Counted::default());
        let first = deadlines.register(early.clone());
        let second = deadlines.register(late.clone());
        first.set(Tick(10), Late::Abort);
        second.set(Tick(20), Late::Abort);
        assert_eq!(deadlines.sweep(Tick(9)), 0);
        assert_eq!(deadlines.sweep(Tick(15)), 1);
        assert_eq!(deadlines.sweep(Tick(16)), 0);
        assert!(first.fired() && !second.fired());
        second.clear();
        assert_eq!(deadlines.sweep(Tick(u64::MAX - 1)), 0);
        assert_eq!((early.0.get(), late.0.get()), (1, 0));
    }

    #[test]
    fn only_what_runs_under_a_tag_is_cancelled() {
        let deadlines = Rc::new(Deadlines::default());
        let (one, other) = (Counted::default(), Counted::default());
        let (first, second) = (deadlines.register(one.clone()), deadlines.register(other.clone()));
        first.tag(7);
        second.tag(8);
        second.asks(3);
        let mut asking = Vec::new();
        deadlines.each_asking(|tag, upstream| asking.push((tag, upstream)));
        assert_eq!(asking, [(8, 3)]);
        assert_eq!((deadlines.cancel(9), deadlines.cancel(7)), (0, 1));
        second.tag(0);
        assert_eq!((deadlines.cancel(8), deadlines.cancel(0)), (0, 0));
        assert_eq!((one.0.get(), other.0.get()), (1, 0));
    }

    #[test]
    fn slots_are_used_again() {
        let deadlines = Rc::new(Deadlines::default());
        for _ in 0..3 {
            let held = deadlines.register(Counted::default());
            assert_eq!(deadlines.len(), 1);
            drop(held);
        }
        assert!(deadlines.is_empty());
        assert_eq!(deadlines.slots.borrow().len(), 1);
    }
}
