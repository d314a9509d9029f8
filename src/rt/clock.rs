//! The one place that reads clocks.
//!
//! The calls go to the C library: the standard library's types check and normalise what the kernel
//! gives, which costs more than the reading, a dozen times per exchange.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Duration;

use crate::base::Tick;

thread_local! {
    /// What this thread's monotonic clock showed last.
    static SEEN: Cell<Tick> = const { Cell::new(Tick(0)) };
}

#[expect(unsafe_code, reason = "the C library's call")]
fn nanos(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the type that the call fills. It cannot fail for a
    // clock that every Linux has; it would leave zeros.
    let _zero = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Where monotonic time starts: one place for all executors of the process, so that times of two
/// shards can be compared.
pub(super) fn origin() -> u64 {
    static ORIGIN: OnceLock<u64> = OnceLock::new();
    *ORIGIN.get_or_init(|| nanos(libc::CLOCK_MONOTONIC))
}

/// Monotonic time since `origin`.
pub(super) fn now(origin: u64) -> Tick {
    let now = Tick(nanos(libc::CLOCK_MONOTONIC).saturating_sub(origin));
    SEEN.set(now);
    now
}

/// What [`now`] gave last on this thread.
pub(super) fn seen() -> Tick {
    SEEN.get()
}

/// Monotonic time for a thread without an executor.
#[derive(Clone, Copy, Debug)]
pub struct Clock(u64);

impl Clock {
    /// The clock of this process, whoever asks for it first.
    pub fn start() -> Self {
        Self(origin())
    }

    /// The time since the process asked for its clock first.
    pub fn now(&self) -> Tick {
        now(self.0)
    }
}

/// Processor time of this thread.
pub(super) fn worked() -> Duration {
    Duration::from_nanos(nanos(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// Milliseconds since 1970 UTC, in the kernel's coarse steps; 0 on a clock set before that.
pub fn unix_millis() -> u64 {
    nanos(libc::CLOCK_REALTIME_COARSE) / 1_000_000
}
