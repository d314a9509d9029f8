//! Monotonic time as a plain value. Pure rooms take a `Tick` as an argument; only `rt` reads a
//! clock, so that a test or the simulation decides what time it is.

use std::time::Duration;

/// Nanoseconds since an arbitrary origin of this process. 64 bits last for 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// Later than any time that is reached: "no deadline".
    pub const NEVER: Self = Self(u64::MAX);

    /// This time plus `wait`, at most [`Tick::NEVER`].
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Tick(5).after(Duration::from_nanos(7)), Tick(12));
        assert_eq!(Tick(5).after(Duration::MAX), Tick::NEVER);
        assert_eq!(Tick(5).since(Tick(9)), Duration::ZERO);
        assert_eq!(Tick(9).since(Tick(5)), Duration::from_nanos(4));
    }
}
