//! The one place that reads clocks.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::Tick;

/// Where monotonic time starts: one place for all executors of the process, so that times of two
/// shards can be compared.
#[expect(clippy::disallowed_methods, reason = "rt is where the clock is read")]
pub(super) fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Monotonic time since `origin`.
pub(super) fn now(origin: Instant) -> Tick {
    Tick(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Monotonic time for a thread without an executor.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts at zero.
    pub fn start() -> Self {
        Self(origin())
    }

    /// The time since its start.
    pub fn now(&self) -> Tick {
        now(self.0)
    }
}

/// Milliseconds since 1970 UTC; 0 on a clock set before that.
#[expect(clippy::disallowed_methods, reason = "rt is where the clock is read")]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
