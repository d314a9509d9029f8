//! How many exchanges one shard has with one upstream at a time, and who waits for a place.
//!
//! The queue is first in, first out, bounded, and nobody waits in it for longer than a moment: what
//! is older than its sender's patience only makes others late. When it has not been empty for that
//! long it no longer evens out a burst, and whoever is served would be served late. Then those who
//! have waited longer than half of it are refused as a place becomes free, as long as somebody
//! stands behind them to take it (controlled delay, RFC 8289, with one step instead of its law).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::Tick;
use crate::rt::Mutant;

/// What has become of one who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Waits,
    Granted,
    Refused,
}

/// One who waits.
#[derive(Debug)]
struct Waiter {
    since: Tick,
    turn: Cell<Turn>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Inner {
    out: Cell<usize>,
    most: usize,
    queue_max: usize,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    /// How long the queue may stand before it is shortened.
    patience: Duration,
    /// When somebody came to an empty queue, and when somebody came last.
    filled: Cell<Tick>,
    latest: Cell<Tick>,
}

/// The places at one upstream.
#[derive(Clone, Debug)]
pub struct Gate(Rc<Inner>);

/// A place; dropping it gives it to the one who has waited longest.
#[derive(Debug)]
pub struct Place(Gate);

impl Gate {
    /// At most `most` places, and `queue_max` who wait for one. A queue that has not been empty for
    /// `patience` is shortened.
    pub fn new(most: usize, queue_max: usize, patience: Duration) -> Self {
        Self(Rc::new(Inner {
            out: Cell::new(0),
            most,
            queue_max,
            waiting: RefCell::default(),
            patience,
            filled: Cell::default(),
            latest: Cell::default(),
        }))
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.0.out.get()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting.borrow().len()
    }

    /// A place at once. Whoever comes does not overtake those who wait.
    pub fn take(&self) -> Option<Place> {
        let most = self.0.most.saturating_add(usize::from(Mutant::CapOverByOne.active()));
        let free = self.0.out.get() < most && self.0.waiting.borrow().is_empty();
        free.then(|| {
            self.0.out.set(self.0.out.get() + 1);
            Place(self.clone())
        })
    }

    /// A wait for a place, or none when the queue is full. Dropping it leaves the queue.
    pub fn wait(&self, now: Tick) -> Option<Wait> {
        let mut waiting = self.0.waiting.borrow_mut();
        if waiting.is_empty() {
            self.0.filled.set(now);
        }
        // In overload somebody comes every moment: that is clock enough for the shortening.
        self.0.latest.set(now);
        if waiting.len() >= self.0.queue_max {
            return None;
        }
        let (turn, waker) = (Cell::new(Turn::Waits), RefCell::default());
        let waiter = Rc::new(Waiter { since: now, turn, waker });
        waiting.push_back(Rc::clone(&waiter));
        Some(Wait { gate: self.clone(), waiter })
    }

    /// A place has become free.
    fn pass_on(&self) {
        loop {
            let mut waiting = self.0.waiting.borrow_mut();
            let next = match () {
                () if Mutant::QueueNotFifo.active() => waiting.pop_back(),
                () => waiting.pop_front(),
            };
            let somebody_else = !waiting.is_empty();
            drop(waiting);
            let Some(next) = next else {
                self.0.out.set(self.0.out.get().saturating_sub(1));
                return;
            };
            let refused = somebody_else && self.is_late(&next);
            next.turn.set(if refused { Turn::Refused } else { Turn::Granted });
            if let Some(waker) = next.waker.take() {
                waker.wake();
            }
            if !refused {
                return;
            }
        }
    }

    /// Does the queue stand, and has this one waited for too long then?
    fn is_late(&self, waiter: &Waiter) -> bool {
        let Inner { patience, filled, latest, .. } = &*self.0;
        let now = latest.get();
        now.since(filled.get()) >= *patience && now.since(waiter.since) > *patience / 2
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !Mutant::LostPlace.active() {
            self.0.pass_on();
        }
    }
}

/// A wait for a place.
#[derive(Debug)]
pub struct Wait {
    gate: Gate,
    waiter: Rc<Waiter>,
}

impl Future for Wait {
    /// None: a queue that stands was shortened.
    type Output = Option<Place>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Place>> {
        match self.waiter.turn.get() {
            Turn::Granted => {
                self.waiter.turn.set(Turn::Refused);
                Poll::Ready(Some(Place(self.gate.clone())))
            }
            Turn::Refused => Poll::Ready(None),
            Turn::Waits => {
                *self.waiter.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.waiter.turn.get() == Turn::Granted {
            // It came too late: the next one has it.
            self.gate.pass_on();
            return;
        }
        let mut waiting = self.gate.0.waiting.borrow_mut();
        waiting.retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(wait: &mut Wait) -> Option<Place> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(wait).poll(&mut context) {
            Poll::Ready(place) => Some(place.expect("a place")),
            Poll::Pending => None,
        }
    }

    fn at(millis: u64) -> Tick {
        Tick::default().after(Duration::from_millis(millis))
    }

    fn gate(most: usize, queue_max: usize) -> Gate {
        Gate::new(most, queue_max, Duration::from_millis(200))
    }

    #[test]
    fn who_waits_longest_is_next_and_nobody_overtakes() {
        let gate = gate(1, 2);
        let first = gate.take().expect("a place");
        let (mut second, mut third) =
            (gate.wait(at(0)).expect("room"), gate.wait(at(0)).expect("room"));
        assert!(gate.wait(at(0)).is_none(), "the queue is full");
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        drop(first);
        assert!(gate.take().is_none() && poll(&mut third).is_none());
        let second = poll(&mut second).expect("its turn");
        drop(second);
        assert!(poll(&mut third).is_some());
        assert_eq!((gate.taken(), gate.waiting()), (0, 0));
    }

    #[test]
    fn a_wait_that_is_given_up_loses_no_place() {
        let gate = gate(1, 5);
        let first = gate.take().expect("a place");
        let (second, mut third) =
            (gate.wait(at(0)).expect("room"), gate.wait(at(0)).expect("room"));
        drop(second);
        assert_eq!(gate.waiting(), 1);
        drop(first);
        // Granted, but its owner has gone.
        let fourth = gate.wait(at(0)).expect("room");
        let late = poll(&mut third).expect("its turn");
        drop(late);
        drop(fourth);
        assert_eq!((gate.taken(), gate.waiting()), (0, 0));
        assert!(gate.take().is_some());
    }

    #[test]
    fn a_queue_that_stands_is_shortened_but_never_to_nobody() {
        let gate = gate(1, 50);
        let mut served = gate.take().expect("a place");
        let mut waiting: VecDeque<(u64, Wait)> = VecDeque::new();
        let (mut waits, mut refused) = (Vec::new(), 0);
        // Every 10 ms somebody comes, every 30 ms a place becomes free.
        for now in (0..3000).step_by(10) {
            if let Some(wait) = gate.wait(at(now)) {
                waiting.push_back((now, wait));
            }
            if now % 30 != 0 {
                continue;
            }
            drop(served);
            let mut context = Context::from_waker(Waker::noop());
            served = loop {
                let (since, mut wait) = waiting.pop_front().expect("somebody waits");
                match Pin::new(&mut wait).poll(&mut context) {
                    Poll::Ready(Some(place)) => {
                        waits.push((now, now - since));
                        break place;
                    }
                    Poll::Ready(None) => refused += 1,
                    Poll::Pending => panic!("a place was free, and nobody has it"),
                }
            };
            assert_eq!(gate.waiting(), waiting.len());
        }
        let longest = |before: bool| {
            let of_then = waits.iter().filter(|(now, _)| (*now < 400) == before);
            of_then.map(|(_, waited)| *waited).max().expect("some were served")
        };
        assert!(longest(true) > 100 && longest(false) <= 100, "{waits:?}");
        assert!((180..=210).contains(&refused), "two of three: {refused}");
        // The last one is served however long it has waited.
        waiting.drain(1..);
        drop(served);
        let mut last = waiting.pop_front().expect("the last").1;
        assert!(poll(&mut last).is_some());
    }
}
