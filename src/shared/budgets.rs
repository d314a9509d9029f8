//! The leases of all budgets that this process shares: what to ask the pools, and what the meters
//! of the keys are told of it. Asking is left to the caller.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Tick;
use crate::base::date::DAY_MS;
use crate::config::{Budget, Shared, WhenAway};
use crate::policy::lease::{Ask, Grant, Lease};
use crate::policy::{Holder, KeyId};
use crate::shard::{Access, Lending, Rates};

/// The next period is left alone so long before it begins, in milliseconds: it may have begun
/// where the clock was read a moment later.
const QUIET_MS: u64 = 200;

/// A question for one pool.
#[derive(Clone, Debug)]
pub struct Question {
    /// The pool's name: the key's, the kind of period, and its begin.
    pub pool: String,
    /// What is asked.
    pub ask: Ask,
    /// What all may use.
    pub ceiling: u64,
    /// How long the pool is remembered, in milliseconds; 0 is for ever.
    pub keep_ms: u64,
    place: Place,
}

impl Question {
    /// A question to a pool that is remembered for ever, outside of any budget.
    pub fn new(pool: &str, ask: Ask, ceiling: u64) -> Self {
        Self { pool: pool.to_owned(), ask, ceiling, keep_ms: 0, place: Place::default() }
    }
}

/// Whose lease it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: usize,
    /// The kind of period.
    per: u8,
    next: bool,
}

/// A lease, and of which budget.
#[derive(Debug)]
struct Held {
    budget: Budget,
    since_ms: u64,
    lease: Lease,
    /// That of the period behind it, and when it begins.
    next: Option<(u64, Lease)>,
    /// What a request lacked that was refused since the pool was last asked.
    short: u64,
}

/// All leases of this process.
#[derive(Debug)]
pub struct Budgets {
    lifetime: Duration,
    away: WhenAway,
    held: BTreeMap<(usize, u8), Held>,
}

impl Budgets {
    /// None yet.
    pub fn new(shared: &Shared) -> Self {
        Self { lifetime: shared.lease, away: shared.when_away, held: BTreeMap::new() }
    }

    /// What is to be asked now. From here on no more is used than the questions claim.
    pub fn questions(&mut self, access: &Access, now: Tick, now_ms: u64) -> Vec<Question> {
        let mut questions = Vec::new();
        for (key, holder) in access.keys.holders().iter().enumerate() {
            if holder.limits.budgets.is_empty() {
                continue;
            }
            for lending in access.rates.lendings(KeyId::Configured(key), now_ms) {
                self.question(&access.rates, (key, holder), lending, (now, now_ms), &mut questions);
            }
        }
        questions
    }

    fn question(
        &mut self,
        rates: &Rates,
        (place, holder): (usize, &Holder),
        lending: Lending,
        (now, now_ms): (Tick, u64),
        questions: &mut Vec<Question>,
    ) {
        let Lending { budget, used, short, since_ms, ends_ms } = lending;
        let (key, per, lifetime) = (KeyId::Configured(place), budget.per as u8, self.lifetime);
        let lease = Lease::new(budget.nanos);
        let fresh = || Held { budget, since_ms, lease, next: None, short: 0 };
        let held = self.held.entry((place, per)).or_insert_with(fresh);
        if held.since_ms != since_ms {
            held.begin(rates, key, since_ms);
            return;
        }
        let short = std::mem::take(&mut held.short).max(short);
        held.look(rates, (key, used), (now, now_ms), self.away);
        let pool = |since_ms: u64| pool_of(holder, budget, since_ms);
        let keep_ms = keep_ms(ends_ms, now_ms);
        let ceiling = budget.nanos;
        if let Some(ask) = held.lease.ask(used, short, now, lifetime) {
            let used = held.lend(rates, (key, used), now_ms);
            let ask = held.lease.claimed(ask, used);
            let place = Place { key: place, per, next: false };
            questions.push(Question { pool: pool(since_ms), ask, ceiling, keep_ms, place });
        }
        let Some(begins_ms) = ends_ms else { return };
        let left_ms = u128::from(begins_ms.saturating_sub(now_ms));
        if left_ms > (lifetime / 2).as_millis() || left_ms < u128::from(QUIET_MS) {
            return;
        }
        let (_, next) = held.next.get_or_insert_with(|| (begins_ms, Lease::new(budget.nanos)));
        next.has_ended(0, now, self.away);
        rates.open_next(key, budget, begins_ms, next.elsewhere());
        if let Some(ask) = next.ask(0, 0, now, lifetime) {
            rates.open_next(key, budget, begins_ms, next.elsewhere());
            let (place, pool) = (Place { key: place, per, next: true }, pool(begins_ms));
            let keep_ms = keep_ms.saturating_mul(2).saturating_add(62 * DAY_MS);
            questions.push(Question { pool, ask, ceiling, keep_ms, place });
        }
    }

    /// The pools have answered what was asked at `asked`, in the same order.
    pub fn on_answers(
        &mut self,
        rates: &Rates,
        questions: &[Question],
        answers: &[Grant],
        (asked, now_ms): (Tick, u64),
    ) {
        let lifetime = self.lifetime;
        for (Question { ask, place, .. }, grant) in questions.iter().zip(answers) {
            let key = KeyId::Configured(place.key);
            let Some(held) = self.held.get_mut(&(place.key, place.per)) else { continue };
            let budget = held.budget;
            if let (true, Some((begins_ms, next))) = (place.next, &mut held.next) {
                next.on_grant(*ask, asked, *grant, lifetime);
                let quiet = begins_ms.saturating_sub(now_ms) < QUIET_MS;
                if !quiet {
                    rates.open_next(key, budget, *begins_ms, next.elsewhere());
                }
            } else if !place.next {
                held.lease.on_grant(*ask, asked, *grant, lifetime);
                held.lend(rates, (key, ask.used), now_ms);
            }
        }
    }

    /// Ends the leases that are over. Called also while the store is waited for.
    pub fn end_leases(&mut self, access: &Access, now: Tick, now_ms: u64) {
        let mut keys: Vec<usize> = self.held.keys().map(|(key, _)| *key).collect();
        keys.dedup();
        for place in keys {
            let key = KeyId::Configured(place);
            for lending in access.rates.lendings(key, now_ms) {
                let entry = self.held.get_mut(&(place, lending.budget.per as u8));
                let Some(held) = entry else { continue };
                held.short = held.short.max(lending.short);
                if lending.since_ms == held.since_ms {
                    held.look(&access.rates, (key, lending.used), (now, now_ms), self.away);
                }
            }
        }
    }

    /// What to tell the pools when this process ends: what is not used is free for others.
    pub fn farewell(&self, access: &Access, now_ms: u64) -> Vec<Question> {
        let mut questions = Vec::new();
        for ((key, per), held) in &self.held {
            let Some(holder) = access.keys.holders().get(*key) else { continue };
            let lendings = access.rates.lendings(KeyId::Configured(*key), now_ms);
            let found = lendings.iter().find(|lending| lending.budget == held.budget);
            let Some(lending) = found.filter(|lending| lending.since_ms == held.since_ms) else {
                continue;
            };
            let used = lending.used;
            let pool = pool_of(holder, held.budget, held.since_ms);
            let ask = Ask { used, claim: used, target: 0, short: 0, known: None };
            let keep_ms = keep_ms(lending.ends_ms, now_ms);
            let place = Place { key: *key, per: *per, next: false };
            questions.push(Question { pool, ask, ceiling: held.budget.nanos, keep_ms, place });
        }
        questions
    }
}

/// The name of a budget's pool for the period that began then.
fn pool_of(holder: &Holder, budget: Budget, since_ms: u64) -> String {
    format!("{}:{}:{since_ms}", holder.name, budget.per.as_str())
}

/// A pool is remembered for a day when its period is over, and that of a total for ever.
fn keep_ms(ends_ms: Option<u64>, now_ms: u64) -> u64 {
    ends_ms.map_or(0, |end| end.saturating_sub(now_ms).saturating_add(DAY_MS))
}

impl Held {
    /// What may be used behind the lease's end is by the rule.
    fn look(
        &mut self,
        rates: &Rates,
        (key, used): (KeyId, u64),
        (now, now_ms): (Tick, u64),
        away: WhenAway,
    ) {
        if self.lease.has_ended(used, now, away) {
            self.lend(rates, (key, used), now_ms);
        }
    }

    /// Tells the key's meter what this process may use; what it has used when that holds.
    fn lend(&self, rates: &Rates, (key, used): (KeyId, u64), now_ms: u64) -> u64 {
        let others = (self.lease.elsewhere(), self.lease.unused_elsewhere(used));
        rates.lend(key, self.budget, now_ms, others)
    }

    /// Another period has begun: its word holds what was said of it before.
    fn begin(&mut self, rates: &Rates, key: KeyId, since_ms: u64) {
        let known = self.next.take().filter(|(begins_ms, _)| *begins_ms == since_ms);
        self.lease = known.map_or_else(|| Lease::new(self.budget.nanos), |(_, lease)| lease);
        self.since_ms = since_ms;
        rates.period_begun(key, self.budget, self.lease.elsewhere());
    }
}
