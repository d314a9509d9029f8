//! When spans are sent, and how often it is tried: a function of what came and of time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::Tick;

use super::collector::Refused;

/// As many exchanges wait at most; those that come then are lost, and counted. One has at most the
/// bytes of a record, so all together a few MiB.
pub const WAITING_MAX: usize = 4096;

/// As many exchanges go in one batch: some 2,000 spans, which compressed are 60 KB.
const BATCH: usize = 512;

/// The oldest exchange of a batch waits no longer, as in OpenTelemetry's own processors.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between the first two tries; doubled after each.
const BACKOFF: Duration = Duration::from_secs(1);
/// Between any two tries at most.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A batch that was not taken after so long is lost.
const TRYING: Duration = Duration::from_mins(5);

/// Exchanges that wait to be sent, as the bytes of their records.
#[derive(Debug, Default)]
pub struct Delivery {
    waiting: VecDeque<Box<[u8]>>,
    /// When the oldest of them came.
    oldest: Option<Tick>,
    /// Tries at the batch that stands first, and when the first one was.
    tries: u32,
    first_try: Option<Tick>,
    /// Not before this time.
    again: Option<Tick>,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was taken, or partly so.
    Taken,
    /// It is tried again.
    Again,
    /// It is lost.
    Lost,
}

impl Delivery {
    /// One more exchange; false when it is lost because too many wait.
    pub fn add(&mut self, now: Tick, record: Box<[u8]>) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.oldest.get_or_insert(now);
        self.waiting.push_back(record);
        true
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When something is to be sent; none when nothing waits.
    pub fn due(&self, now: Tick) -> Option<Tick> {
        let oldest = self.oldest?;
        let ready = if self.waiting.len() >= BATCH { now } else { oldest.after(PATIENCE) };
        Some(self.again.map_or(ready, |again| ready.max(again)))
    }

    /// The records that are to be sent next; they stay until [`Delivery::on_sent`].
    pub fn batch(&self) -> impl Iterator<Item = &[u8]> {
        self.waiting.iter().take(BATCH).map(AsRef::as_ref)
    }

    /// The batch was sent at `now`, and this came of it; `random` spreads the tries of many
    /// gateways.
    pub fn on_sent(&mut self, now: Tick, refused: Option<Refused>, random: u64) -> Fate {
        let first = *self.first_try.get_or_insert(now);
        let fate = match refused {
            None => Fate::Taken,
            Some(Refused::Never(_)) => Fate::Lost,
            Some(Refused::Later(..)) if now.since(first) >= TRYING => Fate::Lost,
            Some(Refused::Later(_, after)) => {
                let wait = after.unwrap_or_else(|| backoff(self.tries, random));
                self.tries += 1;
                self.again = Some(now.after(wait.min(TRYING)));
                return Fate::Again;
            }
        };
        let sent = self.waiting.len().min(BATCH);
        self.waiting.drain(..sent);
        // Those that are left came before now, so they are no older than that.
        self.oldest = (!self.waiting.is_empty()).then_some(now);
        (self.tries, self.first_try, self.again) = (0, None, None);
        fate
    }
}

/// Doubled with each try, and between half of that and all of it.
fn backoff(tries: u32, random: u64) -> Duration {
    let whole = BACKOFF.saturating_mul(1 << tries.min(8)).min(BACKOFF_MAX);
    let parts = u32::try_from(random % 512).unwrap_or(0) + 512;
    whole / 1024 * parts
}

#[cfg(test)]
mod tests {
    use super::super::collector::Why;
    use super::*;

    const LATER: Option<Refused> = Some(Refused::Later(Why::Status(503), None));

    fn at(seconds: u64) -> Tick {
        Tick(0).after(Duration::from_secs(seconds))
    }

    fn filled(count: usize) -> Delivery {
        let mut delivery = Delivery::default();
        (0..count).for_each(|_| assert!(delivery.add(at(1), Box::new([7]))));
        delivery
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_old() {
        assert_eq!(Delivery::default().due(at(9)), None);
        assert_eq!(filled(1).due(at(2)), Some(at(6)));
        let mut delivery = filled(BATCH + 1);
        assert_eq!(delivery.due(at(2)), Some(at(2)));
        assert_eq!(delivery.batch().count(), BATCH);
        assert_eq!(delivery.on_sent(at(2), None, 0), Fate::Taken);
        assert_eq!((delivery.waiting(), delivery.due(at(3))), (1, Some(at(7))));
    }

    #[test]
    fn more_than_the_bound_is_lost_and_said() {
        let mut delivery = filled(WAITING_MAX);
        assert!(!delivery.add(at(2), Box::new([7])));
        assert_eq!(delivery.waiting(), WAITING_MAX);
    }

    #[test]
    fn what_was_refused_for_now_is_tried_ever_more_seldom_and_not_for_ever() {
        let mut delivery = filled(1);
        let (mut now, mut waits) = (at(6), Vec::new());
        while delivery.on_sent(now, LATER, 511) == Fate::Again {
            let next = delivery.due(now).expect("a next try");
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits[..6], [0, 1, 3, 7, 15, 29]);
        assert!(now.since(at(6)) >= TRYING && waits.len() < 20, "{waits:?}");
        assert_eq!((delivery.waiting(), delivery.due(now)), (0, None));
    }

    #[test]
    fn the_collector_s_own_time_counts_and_what_it_never_takes_is_lost_at_once() {
        let mut delivery = filled(1);
        let told = Some(Refused::Later(Why::Status(429), Some(Duration::from_secs(17))));
        assert_eq!(delivery.on_sent(at(10), told, 3), Fate::Again);
        assert_eq!(delivery.due(at(10)), Some(at(27)));
        let never = Some(Refused::Never(Why::Status(400)));
        assert_eq!(delivery.on_sent(at(27), never, 3), Fate::Lost);
        assert_eq!(delivery.waiting(), 0);
    }
}
