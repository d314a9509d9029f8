//! How close upon each other the writes of a core come.

use std::cell::Cell;

use crate::base::Tick;

/// Writes that come further apart than this on average are made at once: another one to send them
/// together with would come too late. Closer ones share a call into the kernel.
const APART_NANOS: u64 = 40_000;

/// No pause counts for more: a burst behind a long one is a burst after some writes.
const PAUSE_NANOS_MAX: u64 = 1_000_000;

/// Watches the writes of a core.
#[derive(Debug, Default)]
pub struct Pace {
    last: Cell<Tick>,
    /// Mean time between two writes, newer ones counting for more.
    gap_nanos: Cell<u64>,
}

impl Pace {
    /// Notes a write at `now` and says whether it should be made at once.
    pub fn is_slow(&self, now: Tick) -> bool {
        let gap = now.0.saturating_sub(self.last.replace(now).0).min(PAUSE_NANOS_MAX);
        let mean = self.gap_nanos.get();
        let mean = mean - mean / 8 + gap / 8;
        self.gap_nanos.set(mean);
        mean >= APART_NANOS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_shares_and_a_trickle_does_not() {
        let (pace, mut now) = (Pace::default(), Tick(0));
        let mut write = |gap: u64| {
            now = Tick(now.0 + gap);
            pace.is_slow(now)
        };
        for _ in 0..40 {
            write(200_000);
        }
        assert!(write(200_000), "200 µs apart");
        let shared = (0..40).map(|_| write(8_000)).position(|slow| !slow);
        assert!(shared.is_some_and(|writes| writes < 20), "8 µs apart, shared after {shared:?}");
        write(60_000_000_000);
        let shared = (0..40).map(|_| write(0)).position(|slow| !slow);
        assert!(shared.is_some_and(|writes| writes < 30), "after a minute: {shared:?}");
    }
}
