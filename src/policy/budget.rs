//! Budgets as one number each: the number of the period and what is spent and reserved in it.
//! Whoever holds the number moves it with one compare-and-swap, so a budget is exact across shards.
//!
//! A request reserves what it may cost before it goes upstream, and settles what it did cost at its
//! end. What it does not use is free again for others. When its period ends before it does, nothing
//! is settled: what it cost belongs to the period that is over.
//!
//! The number of the period never goes back, so a clock that steps back frees nothing.
//!
//! Where other processes share a budget, what they may use of it counts as spent here
//! ([`super::lease`]), and a new period begins with what is known of it then, or with nothing left.

use crate::base::date::{DAY_MS, civil, days_since_1970};
use crate::config::{Budget, Period};

/// One word for each kind of period.
pub const PERIODS: usize = 4;

const AMOUNT_BITS: u32 = 48;
const AMOUNT_MAX: u64 = (1 << AMOUNT_BITS) - 1;
/// Periods are counted in sixteen bits: which of two is later is told by the shorter way round.
const NUMBER_MASK: u64 = 0xFFFF;
/// 1970-01-01 was a Thursday.
const DAYS_TO_MONDAY: u64 = 3;

/// A budget, and how its word is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    budget: Budget,
    /// The word counts in this unit: one nano-dollar up to 140,000 USD, more above, rounded up.
    unit: u64,
    /// Other processes spend of it, too.
    shared: bool,
}

/// What was taken from a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The new word.
    pub word: u64,
    /// The period that it was taken from, as [`Allowance::settle`] wants it back.
    pub period: u16,
}

/// There is not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// The budget.
    pub budget: Budget,
    /// What is spent and reserved of it, in nano-dollars.
    pub used: u64,
    /// When the next period begins, in milliseconds since 1970; never for a total.
    pub resets_ms: Option<u64>,
    /// There is enough left, but other processes hold it at this moment.
    pub elsewhere: bool,
}

/// The number of the period that a time is in, counted from 1970.
fn number(per: Period, ms: u64) -> u64 {
    let days = ms / DAY_MS;
    match per {
        Period::Day => days,
        Period::Week => (days + DAYS_TO_MONDAY) / 7,
        Period::Month => {
            let (year, month, _) = civil(days);
            year.saturating_sub(1970) * 12 + month - 1
        }
        Period::Total => 0,
    }
}

/// When a period begins, in milliseconds since 1970.
fn begins_ms(per: Period, number: u64) -> u64 {
    let days = match per {
        Period::Day => number,
        Period::Week => (number * 7).saturating_sub(DAYS_TO_MONDAY),
        Period::Month => days_since_1970(1970 + number / 12, number % 12 + 1, 1),
        Period::Total => 0,
    };
    days.saturating_mul(DAY_MS)
}

impl Allowance {
    /// How the word of a budget is read.
    pub fn new(budget: Budget) -> Self {
        // Half of what the word can hold, so that more than was reserved can be settled.
        Self { budget, unit: budget.nanos.div_ceil(AMOUNT_MAX / 2).max(1), shared: false }
    }

    /// The same, where other processes spend of it, too.
    #[must_use]
    pub const fn shared(self, shared: bool) -> Self {
        Self { shared, ..self }
    }

    /// Do other processes spend of it, too?
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// The budget.
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// The word of a budget of which `nanos` are spent.
    pub fn start(&self, now_ms: u64, nanos: u64) -> u64 {
        pack(number(self.budget.per, now_ms), nanos.div_ceil(self.unit))
    }

    /// Takes what a request may cost. `next` is what is known of the period behind that of the
    /// word, if anything is.
    ///
    /// # Errors
    /// There is not so much left.
    pub fn reserve(
        &self,
        (word, next): (u64, u64),
        now_ms: u64,
        nanos: u64,
    ) -> Result<Taken, Short> {
        let (number, spent) = self.at((word, next), now_ms);
        let sum = spent.saturating_add(nanos.div_ceil(self.unit));
        if sum > self.budget.nanos / self.unit {
            let used = spent.saturating_mul(self.unit);
            let resets_ms = self.resets_ms(number);
            return Err(Short { budget: self.budget, used, resets_ms, elsewhere: false });
        }
        let period = u16::try_from(number & NUMBER_MASK).unwrap_or(0);
        Ok(Taken { word: pack(number, sum), period })
    }

    /// Where `reserved` was taken from `period`, `cost` was spent.
    pub fn settle(&self, word: u64, period: u16, reserved: u64, cost: u64) -> u64 {
        if word >> AMOUNT_BITS != u64::from(period) {
            return word;
        }
        let (reserved, cost) = (reserved.div_ceil(self.unit), cost.div_ceil(self.unit));
        pack(word >> AMOUNT_BITS, (amount(word) + cost).saturating_sub(reserved))
    }

    /// Others have spent `more` of it in its present period, or `less` than was thought.
    pub fn correct(&self, words: (u64, u64), now_ms: u64, more: u64, less: u64) -> u64 {
        let (number, spent) = self.at(words, now_ms);
        let (more, less) = (more.div_ceil(self.unit), less / self.unit);
        pack(number, spent.saturating_add(more).saturating_sub(less))
    }

    /// Of what is spent, `before` was others' share, and now `after` is.
    pub fn shift(&self, words: (u64, u64), now_ms: u64, before: u64, after: u64) -> u64 {
        let (number, spent) = self.at(words, now_ms);
        let (before, after) = (before.div_ceil(self.unit), after.div_ceil(self.unit));
        pack(number, spent.saturating_add(after).saturating_sub(before))
    }

    /// What is spent and reserved, in nano-dollars.
    pub fn used(&self, words: (u64, u64), now_ms: u64) -> u64 {
        self.at(words, now_ms).1.saturating_mul(self.unit)
    }

    /// When the period that the word counts began, in milliseconds since 1970.
    pub fn since_ms(&self, words: (u64, u64), now_ms: u64) -> u64 {
        begins_ms(self.budget.per, self.at(words, now_ms).0)
    }

    /// When the period ends that began at `since_ms`; never for a total.
    pub fn ends_ms(&self, since_ms: u64) -> Option<u64> {
        self.resets_ms(number(self.budget.per, since_ms))
    }

    fn resets_ms(&self, number: u64) -> Option<u64> {
        match self.budget.per {
            Period::Total => None,
            per => Some(begins_ms(per, number + 1)),
        }
    }

    /// The period at a time, or the word's own if that is later, and what is spent in it.
    fn at(&self, (word, next): (u64, u64), now_ms: u64) -> (u64, u64) {
        let now = number(self.budget.per, now_ms);
        let ahead = now.wrapping_sub(word >> AMOUNT_BITS) & NUMBER_MASK;
        match ahead {
            0 => (now, amount(word)),
            ahead if ahead <= NUMBER_MASK / 2 => (now, self.opening(now, next)),
            // The clock has stepped back.
            ahead => (now + (NUMBER_MASK + 1 - ahead), amount(word)),
        }
    }

    /// What is spent of a period that begins.
    fn opening(&self, number: u64, next: u64) -> u64 {
        if !self.shared {
            0
        } else if next >> AMOUNT_BITS == number & NUMBER_MASK {
            amount(next)
        } else {
            self.budget.nanos.div_ceil(self.unit)
        }
    }
}

fn amount(word: u64) -> u64 {
    word & AMOUNT_MAX
}

fn pack(number: u64, amount: u64) -> u64 {
    ((number & NUMBER_MASK) << AMOUNT_BITS) | amount.min(AMOUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::date::date_to_days;

    const USD: u64 = 1_000_000_000;

    fn ms(date: &str) -> u64 {
        date_to_days(date).expect(date) * DAY_MS
    }

    fn allowance(usd: u64, per: Period) -> Allowance {
        Allowance::new(Budget { nanos: usd * USD, per })
    }

    #[test]
    fn what_is_not_used_is_free_again() {
        let (day, now) = (allowance(10, Period::Day), ms("2026-11-30"));
        let mut word = day.start(now, 0);
        let mut reserved = Vec::new();
        while let Ok(taken) = day.reserve((word, 0), now, 3 * USD) {
            word = taken.word;
            reserved.push(taken.period);
        }
        assert_eq!((reserved.len(), day.used((word, 0), now)), (3, 9 * USD));
        for period in reserved {
            word = day.settle(word, period, 3 * USD, USD + 1);
        }
        assert_eq!(day.used((word, 0), now), 3 * USD + 3);
        assert!(day.reserve((word, 0), now, 7 * USD - 3).is_ok());
        let short = day.reserve((word, 0), now, 7 * USD - 2).unwrap_err();
        assert_eq!((short.used, short.resets_ms), (3 * USD + 3, Some(ms("2026-12-01"))));
    }

    #[test]
    fn more_than_was_reserved_counts_too_and_nothing_falls_below_zero() {
        let total = allowance(10, Period::Total);
        let taken = total.reserve((total.start(7, 0), 0), 7, USD).unwrap();
        let word = total.settle(taken.word, taken.period, USD, 11 * USD);
        assert_eq!(total.used((word, 0), 7), 11 * USD);
        let short = total.reserve((word, 0), u64::MAX, 0).unwrap_err();
        assert_eq!((short.used, short.resets_ms), (11 * USD, None));
        assert_eq!(total.used((total.correct((word, 0), 7, 0, 20 * USD), 0), 7), 0);
        assert_eq!(total.used((total.correct((word, 0), 7, 5 * USD, USD), 0), 7), 15 * USD);
    }

    #[test]
    fn periods_begin_at_midnight_utc() {
        for (per, before, first) in [
            (Period::Day, "2026-11-30", "2026-12-01"),
            (Period::Week, "2026-11-29", "2026-11-30"),
            (Period::Month, "2027-02-28", "2027-03-01"),
            (Period::Month, "2026-12-31", "2027-01-01"),
        ] {
            let allowance = allowance(1, per);
            let last = ms(before) + DAY_MS - 1;
            let word = allowance.start(last, USD);
            let short = allowance.reserve((word, 0), last, 1).unwrap_err();
            assert_eq!(short.resets_ms, Some(ms(first)), "{per:?}");
            let taken = allowance.reserve((word, 0), ms(first), USD).expect("another period");
            assert!(allowance.reserve((taken.word, 0), ms(first), 1).is_err());
            assert_eq!(allowance.since_ms((taken.word, 0), ms(first)), ms(first));
        }
    }

    #[test]
    fn what_was_reserved_in_a_period_that_is_over_is_not_given_back_to_the_next() {
        let (day, now) = (allowance(10, Period::Day), ms("2026-11-30"));
        let old = day.reserve((day.start(now, 0), 0), now, 9 * USD).unwrap();
        let tomorrow = now + DAY_MS;
        let new = day.reserve((old.word, 0), tomorrow, 8 * USD).unwrap();
        let word = day.settle(new.word, old.period, 9 * USD, USD);
        assert_eq!(day.used((word, 0), tomorrow), 8 * USD);
        assert_eq!(day.used((day.settle(word, new.period, 8 * USD, USD), 0), tomorrow), USD);
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing() {
        for per in [Period::Day, Period::Week, Period::Month] {
            let (allowance, now) = (allowance(10, per), ms("2026-03-02"));
            let word = allowance.start(now, 10 * USD);
            for back in [1, DAY_MS, 40 * DAY_MS, 400 * DAY_MS] {
                let short = allowance.reserve((word, 0), now - back, 1).unwrap_err();
                assert_eq!(short.used, 10 * USD, "{per:?}");
                assert!(short.resets_ms > Some(now));
            }
            let taken =
                allowance.reserve((allowance.start(now, 0), 0), now - 40 * DAY_MS, USD).unwrap();
            let word = allowance.settle(taken.word, taken.period, USD, 0);
            assert_eq!(allowance.used((word, 0), now), 0, "what was taken meanwhile is settled");
        }
    }

    #[test]
    fn small_budgets_are_exact_and_large_ones_never_passed() {
        let small = Allowance::new(Budget { nanos: 140_000 * USD, per: Period::Total });
        assert_eq!(small.unit, 1);
        let large = Allowance::new(Budget { nanos: 1_000_000_000 * USD, per: Period::Total });
        let (mut word, mut sum) = (large.start(0, 0), 0);
        while let Ok(taken) = large.reserve((word, 0), 0, 12_345_678 * USD + 1) {
            (word, sum) = (taken.word, sum + 12_345_678 * USD + 1);
        }
        assert!(sum <= 1_000_000_000 * USD && sum > 985_000_000 * USD, "{sum}");
        assert!(large.used((word, 0), 0) >= sum);
    }

    #[test]
    fn a_shared_budget_begins_a_period_with_what_is_known_of_it_or_closed() {
        let (day, now) = (allowance(10, Period::Day).shared(true), ms("2026-11-30"));
        let tomorrow = now + DAY_MS;
        let word = day.start(now, 2 * USD);
        assert!(day.reserve((word, 0), tomorrow, 1).is_err());
        let next = day.start(tomorrow, 7 * USD);
        assert!(day.reserve((word, next), tomorrow, 3 * USD + 1).is_err());
        let taken = day.reserve((word, next), tomorrow, 3 * USD).unwrap();
        assert_eq!(day.used((taken.word, 0), tomorrow), 10 * USD);
        let other = day.start(tomorrow + DAY_MS, 0);
        assert!(day.reserve((word, other), tomorrow, 1).is_err(), "that is of another day");
        let word = day.shift((taken.word, 0), tomorrow, 7 * USD, 4 * USD);
        assert_eq!(day.used((word, 0), tomorrow), 7 * USD);
        assert_eq!(day.ends_ms(now), Some(tomorrow));
    }
}
