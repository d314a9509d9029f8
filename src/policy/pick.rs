//! In which order the candidates of a route are asked.

use std::time::Duration;

use crate::base::Tick;
use crate::config::Balance;

/// What is known of one candidate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// Its share beside the others of its group.
    pub weight: u32,
    /// Its circuit is open: it is not asked at all.
    pub open: bool,
    /// It wants to be left alone for a while: it is asked after the others.
    pub cooling: bool,
    /// Answers that are awaited from it.
    pub in_flight: u32,
    /// How long it took lately, see [`PeakEwma`]; zero when nobody knows.
    pub latency: Duration,
}

/// Whom to ask, in this order: the targets, drawn one after the other by weight, then the fallbacks
/// as they are written; those that cool down behind all others. Candidates are places in `targets`
/// and, behind them, in `fallbacks`. `draw` gives 64 random bits, or for a session always the same.
pub fn order(
    targets: &[Standing],
    fallbacks: &[Standing],
    balance: Balance,
    mut draw: impl FnMut() -> u64,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..targets.len()).collect();
    let mut order = Vec::with_capacity(targets.len() + fallbacks.len());
    while !left.is_empty() {
        let mut place = drawn(targets, &left, draw());
        if balance == Balance::Latency && order.is_empty() && left.len() > 1 {
            place = faster(targets, &left, place, drawn(targets, &left, draw()));
        }
        order.push(left.remove(place));
    }
    order.extend((0..fallbacks.len()).map(|place| targets.len() + place));
    let standing = |place: &usize| targets.iter().chain(fallbacks).nth(*place);
    order.retain(|place| standing(place).is_some_and(|standing| !standing.open));
    // Stable: among equals the order stays.
    order.sort_by_key(|place| standing(place).is_some_and(|standing| standing.cooling));
    order
}

/// The place in `left` that these bits draw; a weight of zero is drawn only when all are zero.
fn drawn(targets: &[Standing], left: &[usize], bits: u64) -> usize {
    let weight = |place: &usize| u64::from(targets.get(*place).map_or(0, |target| target.weight));
    let sum: u64 = left.iter().map(weight).sum();
    let point = (u128::from(bits) * u128::from(sum)) >> 64;
    let mut point = u64::try_from(point).unwrap_or(0);
    left.iter()
        .position(|place| {
            let inside = point < weight(place);
            point = point.saturating_sub(weight(place));
            inside
        })
        .unwrap_or(0)
}

/// Of two places in `left` the one whose next answer is expected sooner.
fn faster(targets: &[Standing], left: &[usize], one: usize, other: usize) -> usize {
    let cost = |place: usize| {
        let target = left.get(place).and_then(|place| targets.get(*place));
        target.map_or(u128::MAX, |target| {
            // Nobody knows yet: asking is how to learn.
            target.latency.as_nanos() * u128::from(target.in_flight + 1)
        })
    };
    if cost(other) < cost(one) { other } else { one }
}

/// How long an upstream takes to begin its answers: rises at once to what is worse and falls slowly
/// to what is better, so that one good answer does not hide a bad minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeakEwma {
    nanos: u64,
    at: Tick,
}

/// In this time two thirds of what was is forgotten.
const MEMORY: Duration = Duration::from_secs(10);

impl PeakEwma {
    /// An answer began after `took`.
    pub fn observe(&mut self, took: Duration, now: Tick) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let past = self.read(now);
        let past = u64::try_from(past.as_nanos()).unwrap_or(u64::MAX);
        // What is left of the past counts half beside a better present.
        self.nanos = if took >= past { took } else { took + (past - took) / 2 };
        self.at = now;
    }

    /// What is expected at this time.
    pub fn read(&self, now: Tick) -> Duration {
        let gone = now.since(self.at).as_nanos();
        let memory = MEMORY.as_nanos();
        // A hyperbola instead of an exponential: no floating point, and as good.
        let left = u128::from(self.nanos) * memory / (memory + gone);
        Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn weights(all: &[u32]) -> Vec<Standing> {
        all.iter().map(|weight| Standing { weight: *weight, ..Standing::default() }).collect()
    }

    #[test]
    fn weights_decide_who_is_first_and_nobody_is_left_out() {
        let (targets, fallbacks) = (weights(&[80, 20, 0]), weights(&[1, 1]));
        let mut rng = Rng::new(5);
        let mut first = [0; 3];
        for _ in 0..10_000 {
            let order = order(&targets, &fallbacks, Balance::Weight, || rng.bits());
            assert_eq!(order[2..], [2, 3, 4], "a weight of zero is the last of its group");
            first[order[0]] += 1;
        }
        assert!((7800..8200).contains(&first[0]) && first[2] == 0, "{first:?}");
    }

    #[test]
    fn open_circuits_are_left_out_and_cooling_ones_asked_last() {
        let (mut targets, fallbacks) = (weights(&[1, 1]), weights(&[1]));
        targets[0].open = true;
        targets[1].cooling = true;
        assert_eq!(order(&targets, &fallbacks, Balance::Weight, || 0), [2, 1]);
        targets[1].open = true;
        assert_eq!(order(&targets, &[], Balance::Weight, || 0), Vec::<usize>::new());
    }

    #[test]
    fn the_faster_of_two_is_asked_more() {
        let mut targets = weights(&[1, 1]);
        targets[0].latency = Duration::from_millis(900);
        targets[1].latency = Duration::from_millis(100);
        let mut rng = Rng::new(9);
        let mut firsts = |targets: &[Standing]| {
            let first = |_| order(targets, &[], Balance::Latency, || rng.bits())[0];
            (0..1000).map(first).filter(|first| *first == 1).count()
        };
        assert!((700..800).contains(&firsts(&targets)));
        targets[1].in_flight = 20;
        assert!((200..300).contains(&firsts(&targets)), "it has enough to do");
    }

    #[test]
    fn a_latency_rises_at_once_and_falls_slowly() {
        let (mut latency, second) = (PeakEwma::default(), Tick(1_000_000_000));
        latency.observe(Duration::from_millis(100), Tick(0));
        latency.observe(Duration::from_millis(900), second);
        assert_eq!(latency.read(second), Duration::from_millis(900));
        latency.observe(Duration::from_millis(100), second);
        assert_eq!(latency.read(second), Duration::from_millis(500));
        let later = second.after(MEMORY);
        assert_eq!(latency.read(later), Duration::from_millis(250));
    }
}
