//! How many exchanges one shard has with one upstream at a time, and who waits for a place.
//!
//! The queue is first in, first out, bounded, and nobody waits in it for longer than a moment: what
//! is older than its sender's patience only makes others late.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::rt::Mutant;

/// One who waits.
#[derive(Debug, Default)]
struct Waiter {
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Inner {
    out: Cell<usize>,
    most: usize,
    queue_max: usize,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

/// The places at one upstream.
#[derive(Clone, Debug)]
pub struct Gate(Rc<Inner>);

/// A place; dropping it gives it to the one who has waited longest.
#[derive(Debug)]
pub struct Place(Gate);

impl Gate {
    /// At most `most` places, and `queue_max` who wait for one.
    pub fn new(most: usize, queue_max: usize) -> Self {
        let waiting = RefCell::default();
        Self(Rc::new(Inner { out: Cell::new(0), most, queue_max, waiting }))
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
    pub fn wait(&self) -> Option<Wait> {
        let mut waiting = self.0.waiting.borrow_mut();
        if waiting.len() >= self.0.queue_max {
            return None;
        }
        let waiter = Rc::new(Waiter::default());
        waiting.push_back(Rc::clone(&waiter));
        Some(Wait { gate: self.clone(), waiter })
    }

    /// A place has become free.
    fn pass_on(&self) {
        let mut waiting = self.0.waiting.borrow_mut();
        let next = match () {
            () if Mutant::QueueNotFifo.active() => waiting.pop_back(),
            () => waiting.pop_front(),
        };
        drop(waiting);
        let Some(next) = next else {
            self.0.out.set(self.0.out.get().saturating_sub(1));
            return;
        };
        next.granted.set(true);
        if let Some(waker) = next.waker.take() {
            waker.wake();
        }
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
    type Output = Place;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Place> {
        if self.waiter.granted.replace(false) {
            return Poll::Ready(Place(self.gate.clone()));
        }
        *self.waiter.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.waiter.granted.get() {
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
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_longest_is_next_and_nobody_overtakes() {
        let gate = Gate::new(1, 2);
        let first = gate.take().expect("a place");
        let (mut second, mut third) = (gate.wait().expect("room"), gate.wait().expect("room"));
        assert!(gate.wait().is_none(), "the queue is full");
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
        let gate = Gate::new(1, 5);
        let first = gate.take().expect("a place");
        let (second, mut third) = (gate.wait().expect("room"), gate.wait().expect("room"));
        drop(second);
        assert_eq!(gate.waiting(), 1);
        drop(first);
        // Granted, but its owner has gone.
        let fourth = gate.wait().expect("room");
        let late = poll(&mut third).expect("its turn");
        drop(late);
        drop(fourth);
        assert_eq!((gate.taken(), gate.waiting()), (0, 0));
        assert!(gate.take().is_some());
    }
}
