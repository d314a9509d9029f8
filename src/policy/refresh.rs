//! When a token is fetched again: well before it ends, later and later after failures, and at once
//! when an upstream refuses it.
//!
//! ```text
//!            on_token                   now >= due: fetch
//!   nothing ----------> a token kept --------------------> a token kept, or a newer one
//!      ^  \ on_failure      |  now >= end
//!      |   --> later        |
//!      +--------------------+
//! ```

use std::time::Duration;

use crate::base::Tick;
use crate::config::limits;

/// The schedule of one credential. Who owns it fetches when it is due and says what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Refresh {
    /// When to fetch next.
    due: Tick,
    /// When the token that is held ends; [`Tick::NEVER`] while none is held.
    end: Tick,
    /// Counts tokens; 0 before the first one.
    serial: u64,
    /// Failures since the last token.
    failures: u32,
    /// When an upstream's refusal was last acted upon.
    refused: Option<Tick>,
}

/// What to do about an upstream's refusal of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Fetch another one now.
    Fetch,
    /// A newer one is out already.
    Old,
    /// The last refusal was a moment ago: a new token would be refused as well.
    TooSoon,
}

impl Refresh {
    /// Nothing is held, and fetching is due at once.
    pub fn new(now: Tick) -> Self {
        Self { due: now, end: Tick::NEVER, serial: 0, failures: 0, refused: None }
    }

    /// A token has come that ends `lifetime` after `asked`, the time at which it was asked for.
    /// `random` spreads the refreshes of many processes. Gives the token's serial number.
    pub fn on_token(&mut self, asked: Tick, lifetime: Duration, random: u64) -> u64 {
        // Half of a short life is used, and most of a long one.
        let early = limits::TOKEN_EARLY.min(lifetime / 2);
        let jitter = share(early / 10, random);
        let wait = (lifetime - early).saturating_sub(jitter).max(limits::TOKEN_PAUSE);
        self.due = asked.after(wait);
        self.end = asked.after(lifetime);
        self.serial += 1;
        self.failures = 0;
        self.serial
    }

    /// A fetch has failed. What is held stays until it ends.
    pub fn on_failure(&mut self, now: Tick, random: u64) {
        let doubled = limits::TOKEN_PAUSE.saturating_mul(1 << self.failures.min(16));
        let wait = doubled.min(limits::TOKEN_PAUSE_MAX);
        // Never less than half of it, never more than all.
        self.due = now.after(wait / 2 + share(wait / 2, random));
        self.failures = self.failures.saturating_add(1);
    }

    /// An upstream has refused the token with this serial number.
    pub fn on_refused(&mut self, now: Tick, serial: u64) -> Refused {
        if serial < self.serial {
            return Refused::Old;
        }
        if self.refused.is_some_and(|last| now.since(last) < limits::TOKEN_REFUSAL_PAUSE) {
            return Refused::TooSoon;
        }
        self.refused = Some(now);
        self.due = now;
        Refused::Fetch
    }

    /// True, once, when the token that was held has ended.
    pub fn has_ended(&mut self, now: Tick) -> bool {
        let ended = self.end <= now;
        if ended {
            self.end = Tick::NEVER;
        }
        ended
    }

    /// Is it time to fetch?
    pub fn is_due(&self, now: Tick) -> bool {
        self.due <= now
    }

    /// Is a token held?
    pub fn holds(&self) -> bool {
        self.end != Tick::NEVER
    }

    /// When something is to be done without being asked.
    pub fn next(&self) -> Tick {
        self.due.min(self.end)
    }
}

/// From nothing to `all`, decided by `random`.
fn share(all: Duration, random: u64) -> Duration {
    let thousandths = u32::try_from(random % 1001).unwrap_or(0);
    all * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3599);

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000_000)
    }

    #[test]
    fn a_token_is_refreshed_five_minutes_before_its_end_or_a_little_earlier() {
        for (random, due) in [(0, 3299), (1000, 3269)] {
            let mut refresh = Refresh::new(at(0));
            assert!(refresh.is_due(at(0)) && !refresh.holds());
            assert_eq!(refresh.on_token(at(0), HOUR, random), 1);
            assert_eq!(refresh.next(), at(due));
            assert!(!refresh.is_due(at(due - 1)) && refresh.is_due(at(due)));
            assert!(refresh.holds() && !refresh.has_ended(at(3598)));
        }
    }

    #[test]
    fn a_short_life_is_used_to_its_half_and_never_hammers() {
        for (lifetime, due_ms) in [(600, 300_000), (8, 4000), (1, 1000), (0, 1000)] {
            let mut refresh = Refresh::new(at(0));
            refresh.on_token(at(0), Duration::from_secs(lifetime), 0);
            assert!(!refresh.is_due(Tick(due_ms * 1_000_000 - 1)), "{lifetime}");
            assert!(refresh.is_due(Tick(due_ms * 1_000_000)), "{lifetime}");
        }
    }

    #[test]
    fn failures_wait_longer_and_longer_and_keep_the_token_until_its_end() {
        let mut refresh = Refresh::new(at(0));
        refresh.on_token(at(0), HOUR, 0);
        let (mut now, mut waits) = (at(3299), Vec::new());
        for _ in 0..9 {
            assert!(refresh.is_due(now) && refresh.holds());
            refresh.on_failure(now, 1000);
            waits.push(refresh.due.since(now).as_secs());
            now = refresh.due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let mut early = refresh;
        early.on_failure(now, 0);
        assert_eq!(early.due.since(now).as_secs(), 30, "half of the wait at least");
        assert!(!refresh.has_ended(at(3598)) && refresh.holds());
        assert!(refresh.has_ended(at(3599)) && !refresh.has_ended(at(3600)), "said once");
        assert!(!refresh.holds());
        assert_eq!(refresh.on_token(at(3600), HOUR, 0), 2);
        refresh.on_failure(at(9000), 1000);
        assert_eq!(refresh.due, at(9001), "a token begins the count anew");
    }

    #[test]
    fn the_end_of_a_token_is_noticed_between_two_tries() {
        let mut refresh = Refresh::new(at(0));
        refresh.on_token(at(0), Duration::from_secs(40), 0);
        for _ in 0..10 {
            refresh.on_failure(at(39), 1000);
        }
        assert_eq!(refresh.next(), at(40));
    }

    #[test]
    fn a_refused_token_is_fetched_again_once_in_a_while() {
        let mut refresh = Refresh::new(at(0));
        let serial = refresh.on_token(at(0), HOUR, 0);
        assert_eq!(refresh.on_refused(at(5), serial), Refused::Fetch);
        assert!(refresh.is_due(at(5)));
        let newer = refresh.on_token(at(5), HOUR, 0);
        assert_eq!(refresh.on_refused(at(6), serial), Refused::Old);
        assert_eq!(refresh.on_refused(at(6), newer), Refused::TooSoon);
        assert!(!refresh.is_due(at(6)));
        assert_eq!(refresh.on_refused(at(15), newer), Refused::Fetch);
    }
}
