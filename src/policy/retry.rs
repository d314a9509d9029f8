//! Whether a failed attempt is repeated, where, and when: one pure function, and the budget that
//! keeps repeats from multiplying an outage.

use std::time::Duration;

use super::fault::Fault;

/// Before the first repeat at most so long; twice as long before each further one.
const BACKOFF: Duration = Duration::from_millis(100);

/// No backoff is longer.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// One attempt that failed before the client got anything.
#[derive(Clone, Copy, Debug)]
pub struct Attempted {
    /// Why.
    pub fault: Fault,
    /// Attempts at this upstream so far, this one included.
    pub tries: u32,
    /// When the upstream wants to be asked again.
    pub retry_after: Option<Duration>,
    /// What is left of the time for the whole request.
    pub left: Option<Duration>,
    /// Is there another candidate?
    pub others: bool,
}

/// The operator's limits.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Tries after the first one at one upstream.
    pub attempts: u32,
    /// The longest `retry-after` that is waited for.
    pub wait_max: Duration,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same upstream after this time. Costs the budget one repeat.
    Again(Duration),
    /// The next candidate, at once.
    Other,
    /// Nothing: the client is told.
    Stop,
}

/// What to do after a failed attempt. `random` decides the jitter: the backoff is anything from
/// nothing to its whole, so that clients that failed together do not come back together.
pub fn next(attempted: &Attempted, rules: &Rules, random: u64) -> Next {
    let other = if attempted.others { Next::Other } else { Next::Stop };
    match attempted.fault {
        Fault::Request => return Next::Stop,
        Fault::TooLong | Fault::UnknownModel | Fault::Credential | Fault::Unasked => return other,
        // A second silence would cost the client as much again, and what broke may have cost money.
        Fault::Silent | Fault::Broken => return other,
        Fault::Busy | Fault::Failed | Fault::Unsent => {}
    }
    if attempted.tries > rules.attempts {
        return other;
    }
    let wanted = attempted.retry_after.unwrap_or_default();
    let wait = wanted + jittered(attempted.tries, random);
    let in_time = attempted.left.is_none_or(|left| wait < left);
    if wanted > rules.wait_max || !in_time { other } else { Next::Again(wait) }
}

/// Full jitter: uniform from zero to the backoff of this try.
fn jittered(tries: u32, random: u64) -> Duration {
    let doubled = BACKOFF.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let most = u64::try_from(doubled.min(BACKOFF_MAX).as_micros()).unwrap_or(u64::MAX);
    let micros = (u128::from(random) * u128::from(most)) >> 64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(most))
}

/// Repeats that a shard may make at one upstream: a share of its first attempts, and a few more so
/// that a quiet upstream has any.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// In thousandths of a repeat.
    left: u32,
    /// What a first attempt adds.
    share: u32,
}

/// One repeat.
const WHOLE: u32 = 1000;

/// What is saved up at most, and there at the start.
const SAVED: u32 = 10 * WHOLE;

impl Budget {
    /// `share` of traffic from 0 to 1; 0 allows none.
    pub fn new(share: f64) -> Self {
        // The configuration has checked the range, so the number fits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        let share = (share.clamp(0.0, 1.0) * f64::from(WHOLE)) as u32;
        Self { left: if share == 0 { 0 } else { SAVED }, share }
    }

    /// A first attempt is made.
    pub fn on_first(&mut self) {
        self.left = (self.left + self.share).min(SAVED);
    }

    /// May one repeat be made? It is taken then.
    pub fn take(&mut self) -> bool {
        let enough = self.left >= WHOLE;
        if enough {
            self.left -= WHOLE;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { attempts: 2, wait_max: Duration::from_secs(5) };

    fn after(fault: Fault, tries: u32, others: bool) -> Attempted {
        Attempted { fault, tries, retry_after: None, left: None, others }
    }

    #[test]
    fn every_fault_has_its_next_step() {
        for (fault, alone, beside) in [
            (Fault::Request, Next::Stop, Next::Stop),
            (Fault::TooLong, Next::Stop, Next::Other),
            (Fault::UnknownModel, Next::Stop, Next::Other),
            (Fault::Credential, Next::Stop, Next::Other),
            (Fault::Unasked, Next::Stop, Next::Other),
            (Fault::Silent, Next::Stop, Next::Other),
            (Fault::Broken, Next::Stop, Next::Other),
        ] {
            assert_eq!(next(&after(fault, 1, false), &RULES, 7), alone, "{fault:?}");
            assert_eq!(next(&after(fault, 1, true), &RULES, 7), beside, "{fault:?}");
        }
        for fault in [Fault::Busy, Fault::Failed, Fault::Unsent] {
            for (tries, most) in [(1, 100), (2, 200)] {
                let Next::Again(wait) = next(&after(fault, tries, true), &RULES, u64::MAX) else {
                    panic!("{fault:?}")
                };
                assert!(wait <= Duration::from_millis(most) && wait.as_millis() >= 99, "{wait:?}");
            }
            assert_eq!(next(&after(fault, 3, true), &RULES, 1), Next::Other);
            assert_eq!(next(&after(fault, 3, false), &RULES, 1), Next::Stop);
            assert_eq!(next(&after(fault, 2, true), &RULES, 0), Next::Again(Duration::ZERO));
        }
    }

    #[test]
    fn a_wish_to_be_asked_later_is_heard_within_reason() {
        let asked = |seconds: u64, left: Option<u64>, others| {
            let seconds = Some(Duration::from_secs(seconds));
            let left = left.map(Duration::from_secs);
            let base = after(Fault::Busy, 1, others);
            next(&Attempted { retry_after: seconds, left, ..base }, &RULES, 0)
        };
        assert_eq!(asked(2, None, true), Next::Again(Duration::from_secs(2)));
        assert_eq!(asked(6, None, true), Next::Other);
        assert_eq!(asked(6, None, false), Next::Stop, "it is passed on");
        assert_eq!(asked(2, Some(1), false), Next::Stop);
        assert_eq!(asked(2, Some(3), false), Next::Again(Duration::from_secs(2)));
    }

    #[test]
    fn an_outage_is_not_multiplied() {
        let mut budget = Budget::new(0.2);
        let repeats = (0..1000).filter(|_| {
            budget.on_first();
            budget.take()
        });
        let repeats = repeats.count();
        assert!((200..=210).contains(&repeats), "{repeats}");
        let mut none = Budget::new(0.0);
        none.on_first();
        assert!(!none.take());
        let mut all = Budget::new(1.0);
        assert!((0..100).all(|_| {
            all.on_first();
            all.take()
        }));
    }
}
