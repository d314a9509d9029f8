//! What crosses cores: a mailbox into one core.
//!
//! It is not on the request path: a mailbox carries configuration, addresses and connections
//! handed over at accept time.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct Inner<T> {
    queue: VecDeque<T>,
    /// The task of the owning core that waits for the next letter.
    reader: Option<Waker>,
}

/// The sending side of a core's mailbox; any thread may hold one.
pub struct Mailbox<T>(Arc<Mutex<Inner<T>>>);

/// The receiving side; it stays on its core.
pub struct Letters<T>(Arc<Mutex<Inner<T>>>);

/// A new mailbox and its reader.
pub fn mailbox<T>() -> (Mailbox<T>, Letters<T>) {
    let inner = Arc::new(Mutex::new(Inner { queue: VecDeque::new(), reader: None }));
    (Mailbox(Arc::clone(&inner)), Letters(inner))
}

/// A panic while the lock was held cannot leave the queue half changed: every change is one call.
fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailbox")
    }
}

impl<T> std::fmt::Debug for Letters<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Letters")
    }
}

impl<T> Mailbox<T> {
    /// Queues `letter` and wakes the owning core.
    pub fn send(&self, letter: T) {
        let mut inner = lock(&self.0);
        inner.queue.push_back(letter);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> Letters<T> {
    /// The next letter, in the order sent. May be dropped at any time.
    pub fn next(&self) -> impl Future<Output = T> + '_ {
        Next(self)
    }
}

struct Next<'l, T>(&'l Letters<T>);

impl<T> Future for Next<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut inner = lock(&self.0.0);
        if let Some(letter) = inner.queue.pop_front() {
            return Poll::Ready(letter);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_arrive_in_order_and_wake_the_reader() {
        let (sender, letters) = mailbox();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut Next(&letters)).poll(&mut context).is_pending());
        sender.send(1);
        sender.send(2);
        assert_eq!(Pin::new(&mut Next(&letters)).poll(&mut context), Poll::Ready(1));
        assert_eq!(Pin::new(&mut Next(&letters)).poll(&mut context), Poll::Ready(2));
    }
}
