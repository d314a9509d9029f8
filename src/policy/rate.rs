//! Rates as one number each, so that one compare-and-swap by whoever holds the number keeps them
//! exact across shards.

use std::time::Duration;

/// A token bucket: so many at once, and so many more per second. Its state is the time at which the
/// bucket will be full again (the generic cell rate algorithm, ITU-T I.371), in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Between two that are admitted for good, in nanoseconds.
    interval: u64,
    capacity: u64,
}

/// What a bucket says to one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes: this is the new state.
    Admit(u64),
    /// There is room for it after this time.
    Wait(Duration),
}

impl Bucket {
    /// `capacity` at once, `per_second` more each second; both 1 or more.
    pub fn new(capacity: u64, per_second: u64) -> Self {
        let interval = 1_000_000_000_u64.checked_div(per_second).unwrap_or(u64::MAX).max(1);
        Self { interval, capacity: capacity.max(1) }
    }

    /// One part of so many, at least one at once.
    #[must_use]
    pub fn part(self, of: u64) -> Self {
        let of = of.max(1);
        let interval = self.interval.saturating_mul(of);
        Self { interval, capacity: (self.capacity / of).max(1) }
    }

    /// One more at `now`, in nanoseconds.
    pub fn admit(&self, state: u64, now: u64) -> Verdict {
        let full = state.max(now);
        let most = self.interval.saturating_mul(self.capacity);
        let next = full.saturating_add(self.interval);
        match next.saturating_sub(now).checked_sub(most) {
            None | Some(0) => Verdict::Admit(next),
            Some(late) => Verdict::Wait(Duration::from_nanos(late)),
        }
    }

    /// One that was admitted was not wanted after all.
    pub fn give_back(&self, state: u64) -> u64 {
        state.saturating_sub(self.interval)
    }

    /// How many more would be admitted at `now`.
    pub fn left(&self, state: u64, now: u64) -> u64 {
        let used = state.saturating_sub(now).div_ceil(self.interval);
        self.capacity.saturating_sub(used)
    }
}

/// A limit per minute over a sliding window: what the minute before counts for fades evenly.
///
/// The state packs the number of the minute (16 bits), what the one before admitted and what this
/// one has (24 bits each). A burst of the whole limit is admitted, and then nothing until the first
/// minute fades: at saturation no minute has more than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    limit: u64,
    /// Counts are kept in this unit, so that any limit fits.
    unit: u64,
}

const MINUTE: u64 = 60_000_000_000;
const COUNT_MAX: u64 = (1 << 24) - 1;

#[derive(Clone, Copy)]
struct Counts {
    minute: u64,
    before: u64,
    now: u64,
}

impl Counts {
    fn unpack(state: u64) -> Self {
        Self { minute: state >> 48, before: (state >> 24) & COUNT_MAX, now: state & COUNT_MAX }
    }

    fn pack(self) -> u64 {
        ((self.minute & 0xFFFF) << 48)
            | (self.before.min(COUNT_MAX) << 24)
            | self.now.min(COUNT_MAX)
    }

    /// The same at a later time.
    fn at(self, now: u64) -> Self {
        let minute = (now / MINUTE) & 0xFFFF;
        match minute.wrapping_sub(self.minute) & 0xFFFF {
            0 => self,
            1 => Self { minute, before: self.now, now: 0 },
            _ => Self { minute, before: 0, now: 0 },
        }
    }

    /// What counts at this time, in units.
    fn used(self, now: u64) -> u64 {
        let left = MINUTE - now % MINUTE;
        let faded = u128::from(self.before) * u128::from(left);
        // Rounded up: never above the limit.
        self.now + u64::try_from(faded.div_ceil(u128::from(MINUTE))).unwrap_or(COUNT_MAX)
    }
}

impl Window {
    /// At most `limit` a minute, 1 or more.
    pub fn new(limit: u64) -> Self {
        let limit = limit.max(1);
        Self { limit, unit: limit.div_ceil(COUNT_MAX / 2) }
    }

    /// The limit.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// So many more at `now`, in nanoseconds. More than the limit is admitted into an empty window:
    /// it could never be otherwise.
    pub fn admit(&self, state: u64, now: u64, count: u64) -> Verdict {
        let counts = Counts::unpack(state).at(now);
        let (more, most) = (count.div_ceil(self.unit), self.limit / self.unit);
        let used = counts.used(now);
        if used + more <= most || used == 0 {
            return Verdict::Admit(Counts { now: counts.now + more, ..counts }.pack());
        }
        Verdict::Wait(Self::wait(counts, now, most.saturating_sub(more)))
    }

    /// What was used turned out to be `count` where `estimate` was admitted.
    pub fn correct(&self, state: u64, now: u64, estimate: u64, count: u64) -> u64 {
        let counts = Counts::unpack(state).at(now);
        let (estimate, count) = (estimate.div_ceil(self.unit), count.div_ceil(self.unit));
        Counts { now: (counts.now + count).saturating_sub(estimate), ..counts }.pack()
    }

    /// How many more would be admitted at `now`.
    pub fn left(&self, state: u64, now: u64) -> u64 {
        let used = Counts::unpack(state).at(now).used(now);
        (self.limit / self.unit).saturating_sub(used) * self.unit
    }

    /// How long until nothing counts any more.
    pub fn reset(state: u64, now: u64) -> Duration {
        let counts = Counts::unpack(state).at(now);
        let rest = MINUTE - now % MINUTE;
        Duration::from_nanos(match (counts.now, counts.before) {
            (0, 0) => 0,
            (0, _) => rest,
            _ => rest + MINUTE,
        })
    }

    /// How long until no more than `most` units count.
    fn wait(counts: Counts, now: u64, most: u64) -> Duration {
        let rest = MINUTE - now % MINUTE;
        // What fades is `before` now, and from the next minute on what this one has.
        let fade = |fading: u64, fixed: u64| {
            let room = most.checked_sub(fixed)?;
            if room >= fading {
                return Some(0);
            }
            let gone = u128::from(fading - room) * u128::from(MINUTE);
            u64::try_from(gone.div_ceil(u128::from(fading))).ok()
        };
        let here = fade(counts.before, counts.now).filter(|point| *point <= MINUTE);
        let nanos = match here {
            Some(point) => point.saturating_sub(now % MINUTE).max(1),
            None => rest + fade(counts.now, 0).unwrap_or(MINUTE),
        };
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_admits_its_capacity_at_once_and_then_its_rate() {
        let bucket = Bucket::new(10, 2);
        let (mut state, start) = (0, 5 * SECOND);
        let mut admitted = 0;
        for _ in 0..1000 {
            if let Verdict::Admit(next) = bucket.admit(state, start) {
                (state, admitted) = (next, admitted + 1);
            }
        }
        assert_eq!((admitted, bucket.left(state, start)), (10, 0));
        assert_eq!(bucket.admit(state, start), Verdict::Wait(Duration::from_millis(500)));
        let mut later = 0;
        for millis in 1..=60_000 {
            if let Verdict::Admit(next) = bucket.admit(state, start + millis * 1_000_000) {
                (state, later) = (next, later + 1);
            }
        }
        assert_eq!(later, 120, "two a second for a minute");
    }

    #[test]
    fn a_window_never_passes_its_limit_and_is_used_up() {
        let window = Window::new(600);
        let (mut state, mut admitted) = (0, Vec::new());
        for tick in 0..240_000 {
            let now = tick * 1_000_000;
            if let Verdict::Admit(next) = window.admit(state, now, 1) {
                state = next;
                admitted.push(now);
            }
        }
        assert_eq!(admitted.iter().filter(|now| **now < SECOND).count(), 600, "a burst of all");
        for (place, first) in admitted.iter().enumerate() {
            let within = admitted[place..].iter().take_while(|now| **now < first + MINUTE);
            assert!(within.count() <= 600, "at {first}");
        }
        let later = admitted.iter().filter(|now| **now >= 2 * MINUTE).count();
        assert!((1188..=1200).contains(&later), "{later} in two minutes");
    }

    #[test]
    fn a_wait_is_as_long_as_it_must_be() {
        let window = Window::new(10);
        let mut state = 0;
        for _ in 0..10 {
            let Verdict::Admit(next) = window.admit(state, 30 * SECOND, 1) else { panic!("room") };
            state = next;
        }
        let Verdict::Wait(wait) = window.admit(state, 30 * SECOND, 1) else { panic!("no room") };
        let nanos = u64::try_from(wait.as_nanos()).unwrap();
        assert!(matches!(window.admit(state, 30 * SECOND + nanos, 1), Verdict::Admit(_)));
        assert!(matches!(
            window.admit(state, 30 * SECOND + nanos - 1_000_000, 1),
            Verdict::Wait(_)
        ));
        assert_eq!(Window::reset(state, 30 * SECOND), Duration::from_secs(90));
        assert_eq!(window.left(state, 30 * SECOND), 0);
    }

    #[test]
    fn estimates_are_corrected_and_large_limits_fit() {
        let window = Window::new(100_000_000);
        let Verdict::Admit(state) = window.admit(0, 0, 40_000_000) else { panic!("room") };
        let state = window.correct(state, 0, 40_000_000, 10_000_000);
        let left = window.left(state, 0);
        assert!((89_990_000..=90_000_000).contains(&left), "{left}");
        let Verdict::Admit(_) = Window::new(5).admit(0, 0, 9) else { panic!("into an empty one") };
    }
}
