//! What waits for a time. The kernel has one timer for the earliest of them, so that a core that
//! sleeps and wakes for other things does not set it anew each time.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::base::Tick;
use crate::rt::clock;

/// Times are rounded up to it, so that what ends at about the same time ends in one turn.
const STEP_NANOS: u64 = 1_000_000;

/// A waiting task's key: when, and which of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm {
    /// Since the process's origin of time.
    at: u64,
    number: u64,
}

/// The timers of one executor.
#[derive(Debug)]
pub(super) struct Timers {
    origin: u64,
    waiting: BTreeMap<Alarm, Waker>,
    /// The times of the timers in the kernel, earliest last: each is earlier than the ones that
    /// were armed before it.
    armed: Vec<u64>,
    count: u64,
}

impl Timers {
    pub(super) fn new(origin: u64) -> Self {
        Self { origin, waiting: BTreeMap::new(), armed: Vec::new(), count: 0 }
    }

    /// When something begun now and lasting `wait` is over.
    pub(super) fn after(&self, wait: Duration) -> u64 {
        let Tick(now) = clock::now(self.origin);
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2);
        now.saturating_add(wait).checked_next_multiple_of(STEP_NANOS).unwrap_or(u64::MAX / 2)
    }

    /// Wakes `waker` at `at`.
    pub(super) fn begin(&mut self, at: u64, waker: &Waker) -> Alarm {
        self.count += 1;
        let alarm = Alarm { at, number: self.count };
        self.waiting.insert(alarm, waker.clone());
        alarm
    }

    /// Ready when it has rung.
    pub(super) fn poll(&mut self, alarm: Alarm, waker: &Waker) -> Poll<()> {
        let Some(waiting) = self.waiting.get_mut(&alarm) else { return Poll::Ready(()) };
        if !waiting.will_wake(waker) {
            waiting.clone_from(waker);
        }
        Poll::Pending
    }

    /// Nobody waits for it any more.
    pub(super) fn leave(&mut self, alarm: Alarm) {
        self.waiting.remove(&alarm);
    }

    /// The time of the clock for which the kernel has to be given a timer, if it has none that is
    /// early enough.
    pub(super) fn arm(&mut self) -> Option<u64> {
        let at = self.waiting.first_key_value()?.0.at;
        if self.armed.last().is_some_and(|armed| *armed <= at) {
            return None;
        }
        self.armed.push(at);
        Some(self.origin.saturating_add(at))
    }

    /// The earliest timer of the kernel has ended.
    pub(super) fn fire(&mut self) {
        self.armed.pop();
        let Tick(now) = clock::now(self.origin);
        while let Some(first) = self.waiting.first_entry()
            && first.key().at <= now
        {
            first.remove().wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gets_a_timer_only_for_what_is_earlier_than_all_it_has() {
        let mut timers = Timers::new(0);
        let far = u64::MAX / 4;
        assert_eq!(timers.arm(), None);
        let late = timers.begin(far, Waker::noop());
        assert_eq!((timers.arm(), timers.arm()), (Some(far), None));
        timers.begin(far + 1, Waker::noop());
        assert_eq!(timers.arm(), None);
        let early = timers.begin(1, Waker::noop());
        assert_eq!((timers.arm(), timers.arm()), (Some(1), None));
        // The early one fires; the late one is in the kernel still.
        timers.fire();
        assert_eq!(timers.poll(early, Waker::noop()), Poll::Ready(()));
        assert_eq!(timers.poll(late, Waker::noop()), Poll::Pending);
        assert_eq!(timers.arm(), None);
        timers.leave(late);
        assert_eq!(timers.poll(late, Waker::noop()), Poll::Ready(()));
    }
}
