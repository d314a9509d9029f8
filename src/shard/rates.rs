//! How much each client key has asked, for all shards together.
//!
//! A limit of N is N for the process: each rate is one number, moved on with one compare-and-swap.
//! A key without limits costs a look at its meter, which nobody writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::Tick;
use crate::config::{Budget, Config, Rate};
use crate::policy::budget::{Allowance, PERIODS, Short, Taken};
use crate::policy::rate::{Bucket, Verdict, Window};
use crate::policy::{Holder, KeyId, Limits};
use crate::rt::Mutant;

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The bucket that every key has.
    Bucket,
    /// The key's requests per minute.
    Requests,
    /// The key's tokens per minute.
    Tokens,
    /// The key's requests at a time.
    Concurrency,
    /// The key's money.
    Budget,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// What was reached.
    pub limit: Limit,
    /// When there will be room.
    pub wait: Duration,
}

/// What a client is told about one limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The limit.
    pub limit: u64,
    /// What is left of it.
    pub left: u64,
    /// How long until all of it is there again.
    pub reset: Duration,
}

/// What moves of one key, alone on its cache lines. It lives as long as the process, whatever
/// becomes of the key's limits.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Words {
    bucket: AtomicU64,
    requests: AtomicU64,
    tokens: AtomicU64,
    running: AtomicU32,
    /// By the places of the meter's allowances.
    budgets: [AtomicU64; PERIODS],
    lent: [Lent; PERIODS],
}

/// What moves of a budget that other processes spend of, too. One thread writes it, and whoever
/// refuses a request writes `short`.
#[derive(Debug, Default)]
struct Lent {
    /// What others may use of it, which counts as spent here, in nano-dollars.
    elsewhere: AtomicU64,
    /// Of that, what nobody has used.
    unused: AtomicU64,
    /// The word that the next period begins with.
    next: AtomicU64,
    /// What a request lacked that was refused since this was last looked at.
    short: AtomicU64,
}

/// One key's limits, and what moves.
#[derive(Debug, Default)]
struct Meter {
    bucket: Option<Bucket>,
    requests: Option<Window>,
    tokens: Option<Window>,
    /// At most so many requests at a time.
    most: Option<u32>,
    /// By their periods.
    budgets: [Option<Allowance>; PERIODS],
    words: Arc<Words>,
}

/// The right of a key to run one more request; dropping it gives it back.
#[derive(Debug)]
pub struct Turn(Option<Arc<Words>>);

/// What was reserved of a key's budgets. It must be settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Nano-dollars.
    pub nanos: u64,
    /// Of each budget, the period that it was taken from.
    periods: [u16; PERIODS],
}

/// A budget that other processes spend of, too, as it is in this one. Amounts are in nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lending {
    /// The budget.
    pub budget: Budget,
    /// What this process has spent and reserved in the present period.
    pub used: u64,
    /// What a request lacked that was refused since this was last asked for.
    pub short: u64,
    /// When the period began, in milliseconds since 1970.
    pub since_ms: u64,
    /// When the next one begins; never for a total.
    pub ends_ms: Option<u64>,
}

/// The meters of all keys.
#[derive(Clone, Debug)]
pub struct Rates(Arc<[Meter]>);

impl Rates {
    /// Meters for the keys of a process that begins, all empty.
    pub fn new(config: &Config, holders: &[Holder], now_ms: u64) -> Self {
        Self::with(config, holders, (now_ms, 1), &[])
    }

    /// The meters when there are other keys, or other limits. Who has a meter keeps it. Each of so
    /// many `processes` admits its part of every limit.
    #[must_use]
    pub fn next(&self, config: &Config, holders: &[Holder], now_ms: u64, processes: u64) -> Self {
        Self::with(config, holders, (now_ms, processes.max(1)), &self.0)
    }

    fn with(
        config: &Config,
        holders: &[Holder],
        (now_ms, processes): (u64, u64),
        known: &[Meter],
    ) -> Self {
        let Rate { mut capacity, per_second } = config.rate;
        capacity += u64::from(Mutant::RateOverByOne.active());
        // Whoever tries the gateway out on its simulator measures the gateway.
        let free = config.simulated && holders.is_empty();
        let bucket = (!free).then(|| Bucket::new(capacity, per_second).part(processes));
        let shared = config.shared.as_ref().is_some_and(|shared| shared.budgets);
        let part = |limit: u64| (limit / processes).max(1);
        let most = |limit: u32| u32::try_from(part(u64::from(limit))).unwrap_or(limit);
        let nobody = Limits::default();
        let limits = std::iter::once(&nobody).chain(holders.iter().map(|holder| &holder.limits));
        let meter = |(place, limits): (usize, &Limits)| {
            let before = known.get(place);
            let meter = Meter {
                bucket,
                requests: limits.requests_per_minute.map(part).map(Window::new),
                tokens: limits.tokens_per_minute.map(part).map(Window::new),
                most: limits.concurrency.map(most),
                budgets: allowances(&limits.budgets, shared),
                words: before.map_or_else(Arc::default, |meter| Arc::clone(&meter.words)),
            };
            if before.is_none() {
                meter.open_budgets(now_ms);
            }
            meter
        };
        Self(limits.enumerate().map(meter).collect())
    }

    /// One request of `key`, or why not.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(&self, key: KeyId, now: Tick) -> Result<(), Limited> {
        let Some(meter) = self.meter(key) else { return Ok(()) };
        if let Some(bucket) = &meter.bucket {
            advance(&meter.words.bucket, |state| bucket.admit(state, now.0))
                .map_err(|wait| Limited { limit: Limit::Bucket, wait })?;
        }
        let Some(window) = &meter.requests else { return Ok(()) };
        advance(&meter.words.requests, |state| window.admit(state, now.0, 1)).map_err(|wait| {
            if let Some(bucket) = &meter.bucket {
                let back = |state| Verdict::Admit(bucket.give_back(state));
                let _never_refused = advance(&meter.words.bucket, back);
            }
            Limited { limit: Limit::Requests, wait }
        })
    }

    /// The right to run one more request of `key`.
    ///
    /// # Errors
    /// As many run as may: how many that is.
    pub fn turn(&self, key: KeyId) -> Result<Turn, u32> {
        let Some((meter, most)) = self.meter(key).and_then(|meter| Some((meter, meter.most?)))
        else {
            return Ok(Turn(None));
        };
        let one_more = |running: u32| (running < most).then_some(running + 1);
        let (order, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        match meter.words.running.fetch_update(order, seen, one_more) {
            Ok(_) => Ok(Turn(Some(Arc::clone(&meter.words)))),
            Err(_) => Err(most),
        }
    }

    /// So many tokens of `key`, as far as they can be told before an answer.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn reserve(&self, key: KeyId, now: Tick, tokens: u64) -> Result<(), Limited> {
        let Some(meter) = self.meter(key) else { return Ok(()) };
        let Some(window) = &meter.tokens else { return Ok(()) };
        advance(&meter.words.tokens, |state| window.admit(state, now.0, tokens))
            .map_err(|wait| Limited { limit: Limit::Tokens, wait })
    }

    /// Where `reserved` tokens were taken, `used` were.
    pub fn correct(&self, key: KeyId, now: Tick, reserved: u64, used: u64) {
        let Some(meter) = self.meter(key) else { return };
        if let Some(window) = &meter.tokens {
            let correct = |state| Verdict::Admit(window.correct(state, now.0, reserved, used));
            let _never_refused = advance(&meter.words.tokens, correct);
        }
    }

    /// Reserves money of `key`, of all its budgets or of none.
    ///
    /// # Errors
    /// The budget that has not so much left.
    pub fn spend(&self, key: KeyId, now_ms: u64, nanos: u64) -> Result<Reserved, Short> {
        let mut reserved = Reserved { nanos, periods: [0; PERIODS] };
        let Some(meter) = self.meter(key) else { return Ok(reserved) };
        for (place, (allowance, word, lent)) in meter.budgets() {
            let next = lent.next.load(Ordering::Relaxed);
            match take(word, |word| allowance.reserve((word, next), now_ms, nanos)) {
                Ok(period) => {
                    if let Some(of) = reserved.periods.get_mut(place) {
                        *of = period;
                    }
                }
                Err(short) => {
                    meter.settle(reserved, 0, place);
                    return Err(lent.refused(short, nanos));
                }
            }
        }
        Ok(reserved)
    }

    /// What was reserved has cost so much.
    pub fn settle(&self, key: KeyId, reserved: Reserved, cost: u64) {
        if let Some(meter) = self.meter(key) {
            meter.settle(reserved, cost, PERIODS);
        }
    }

    /// Has this key a budget?
    pub fn has_budget(&self, key: KeyId) -> bool {
        self.meter(key).is_some_and(|meter| meter.budgets.iter().any(Option::is_some))
    }

    /// The budgets of a key: each with what is spent and reserved of it, in nano-dollars, and when
    /// its period began, in milliseconds since 1970.
    pub fn spent(&self, key: KeyId, now_ms: u64) -> Vec<(Budget, u64, u64)> {
        let Some(meter) = self.meter(key) else { return Vec::new() };
        let told = |(_, (allowance, word, lent)): (usize, (&Allowance, &AtomicU64, &Lent))| {
            let words = lent.beside(word);
            let unused = lent.unused.load(Ordering::Relaxed);
            let used = allowance.used(words, now_ms).saturating_sub(unused);
            (allowance.budget(), used, allowance.since_ms(words, now_ms))
        };
        meter.budgets().map(told).collect()
    }

    /// Other processes have spent `more` of one of a key's budgets in its present period, or `less`
    /// than was thought.
    pub fn correct_spent(&self, key: KeyId, budget: Budget, now_ms: u64, (more, less): (u64, u64)) {
        let Some((allowance, word, lent)) = self.budget(key, budget) else { return };
        let next = lent.next.load(Ordering::Relaxed);
        let correct = |word| Verdict::Admit(allowance.correct((word, next), now_ms, more, less));
        let _never_refused = advance(word, correct);
    }

    /// The budgets of a key that other processes spend of, too.
    pub fn lendings(&self, key: KeyId, now_ms: u64) -> Vec<Lending> {
        let Some(meter) = self.meter(key) else { return Vec::new() };
        let shared = meter.budgets().filter(|(_, (allowance, _, _))| allowance.is_shared());
        let lending = |(_, (allowance, word, lent)): (usize, (&Allowance, &AtomicU64, &Lent))| {
            let words = lent.beside(word);
            let since_ms = allowance.since_ms(words, now_ms);
            let elsewhere = lent.elsewhere.load(Ordering::Relaxed);
            Lending {
                budget: allowance.budget(),
                used: allowance.used(words, now_ms).saturating_sub(elsewhere),
                short: lent.short.swap(0, Ordering::Relaxed),
                since_ms,
                ends_ms: allowance.ends_ms(since_ms),
            }
        };
        shared.map(lending).collect()
    }

    /// Others may use `elsewhere` of one of a key's budgets, and `unused` of that is not used yet.
    /// What this process has used when that holds is given back. Only one thread may call this,
    /// [`Rates::open_next`] and [`Rates::period_begun`].
    pub fn lend(
        &self,
        key: KeyId,
        budget: Budget,
        now_ms: u64,
        (elsewhere, unused): (u64, u64),
    ) -> u64 {
        let Some((allowance, word, lent)) = self.budget(key, budget) else { return 0 };
        let next = lent.next.load(Ordering::Relaxed);
        let before = lent.elsewhere.swap(elsewhere, Ordering::Relaxed);
        lent.unused.store(unused, Ordering::Relaxed);
        let shift = |word| Verdict::Admit(allowance.shift((word, next), now_ms, before, elsewhere));
        let _never_refused = advance(word, shift);
        allowance.used(lent.beside(word), now_ms).saturating_sub(elsewhere)
    }

    /// The period that begins at `begins_ms` begins with so much for others.
    pub fn open_next(&self, key: KeyId, budget: Budget, begins_ms: u64, elsewhere: u64) {
        if let Some((allowance, _, lent)) = self.budget(key, budget) {
            lent.next.store(allowance.start(begins_ms, elsewhere), Ordering::Relaxed);
        }
    }

    /// A period has begun with what was said of it before, or closed: what counts as others' now.
    pub fn period_begun(&self, key: KeyId, budget: Budget, elsewhere: u64) {
        if let Some((_, _, lent)) = self.budget(key, budget) {
            lent.elsewhere.store(elsewhere, Ordering::Relaxed);
        }
    }

    fn budget(&self, key: KeyId, budget: Budget) -> Option<(&Allowance, &AtomicU64, &Lent)> {
        let all = self.meter(key)?.budgets();
        all.map(|(_, found)| found).find(|(allowance, _, _)| allowance.budget() == budget)
    }

    /// Are this key's tokens counted?
    pub fn counts_tokens(&self, key: KeyId) -> bool {
        self.meter(key).is_some_and(|meter| meter.tokens.is_some())
    }

    /// The limits of requests and of tokens that this key has of its own.
    pub fn told(&self, key: KeyId, now: Tick) -> [Option<Told>; 2] {
        let told = |window: &Option<Window>, state: &AtomicU64| {
            let (window, state) = (window.as_ref()?, state.load(Ordering::Relaxed));
            let (left, reset) = (window.left(state, now.0), Window::reset(state, now.0));
            Some(Told { limit: window.limit(), left, reset })
        };
        let Some(meter) = self.meter(key) else { return [None, None] };
        [told(&meter.requests, &meter.words.requests), told(&meter.tokens, &meter.words.tokens)]
    }

    fn meter(&self, key: KeyId) -> Option<&Meter> {
        let place = match key {
            KeyId::Nobody | KeyId::Development => 0,
            KeyId::Configured(index) => index + 1,
        };
        self.0.get(place)
    }
}

impl Meter {
    fn budgets(&self) -> impl Iterator<Item = (usize, (&Allowance, &AtomicU64, &Lent))> {
        let words = self.words.budgets.iter().zip(&self.words.lent);
        let all = self.budgets.iter().zip(words).enumerate();
        all.filter_map(|(place, (allowance, (word, lent)))| {
            Some((place, (allowance.as_ref()?, word, lent)))
        })
    }

    /// Nothing is spent yet. Of what is shared nothing may be used yet, either.
    fn open_budgets(&self, now_ms: u64) {
        for (_, (allowance, word, lent)) in self.budgets() {
            let elsewhere = if allowance.is_shared() { allowance.budget().nanos } else { 0 };
            word.store(allowance.start(now_ms, elsewhere), Ordering::Relaxed);
            lent.elsewhere.store(elsewhere, Ordering::Relaxed);
            lent.unused.store(elsewhere, Ordering::Relaxed);
        }
    }

    /// Settles the budgets before `end`.
    fn settle(&self, reserved: Reserved, cost: u64, end: usize) {
        for (place, (allowance, word, _)) in self.budgets().filter(|(place, _)| *place < end) {
            let period = reserved.periods.get(place).copied().unwrap_or_default();
            let settle =
                |word| Verdict::Admit(allowance.settle(word, period, reserved.nanos, cost));
            let _never_refused = advance(word, settle);
        }
    }
}

impl Lent {
    /// The word of the present period, and that of the next.
    fn beside(&self, word: &AtomicU64) -> (u64, u64) {
        (word.load(Ordering::Relaxed), self.next.load(Ordering::Relaxed))
    }

    /// A request over `nanos` was refused: is it the budget that is spent, or only this process's
    /// part of it?
    fn refused(&self, short: Short, nanos: u64) -> Short {
        let used = short.used.saturating_sub(self.unused.load(Ordering::Relaxed));
        if used.saturating_add(nanos) > short.budget.nanos {
            return Short { used, ..short };
        }
        self.short.fetch_max(nanos, Ordering::Relaxed);
        Short { used, elsewhere: true, ..short }
    }
}

/// By their periods.
fn allowances(budgets: &[Budget], shared: bool) -> [Option<Allowance>; PERIODS] {
    let mut all = [None; PERIODS];
    for budget in budgets {
        if let Some(place) = all.get_mut(budget.per as usize) {
            *place = Some(Allowance::new(*budget).shared(shared));
        }
    }
    all
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(words) = &self.0 {
            words.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Takes from a budget, if there is enough. Others may do the same at the same time.
fn take(word: &AtomicU64, reserve: impl Fn(u64) -> Result<Taken, Short>) -> Result<u16, Short> {
    let mut seen = word.load(Ordering::Relaxed);
    loop {
        let Taken { word: next, period } = reserve(seen)?;
        match word.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ok(period),
            Err(other) => seen = other,
        }
    }
}

/// Moves a rate on, if it admits. Others may do the same at the same time.
fn advance(state: &AtomicU64, decide: impl Fn(u64) -> Verdict) -> Result<(), Duration> {
    let mut seen = state.load(Ordering::Relaxed);
    loop {
        let next = match decide(seen) {
            Verdict::Admit(next) => next,
            Verdict::Wait(wait) => return Err(wait),
        };
        match state.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ok(()),
            Err(other) => seen = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::config::{Config, Sources};

    /// Two keys, the second with limits of its own.
    fn rates(more: &str) -> Rates {
        let file = format!(
            "[rate_limit]\ncapacity = 10\nrefill_per_second = 1\n\
             [[key]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n\
             [[key]]\nname = \"b\"\nsecret = \"fedcba9876543210\"\n{more}"
        );
        let none = |_: &str| Err(String::new());
        let sources =
            Sources { file: Some(("f", &file)), flags: &[], variables: &[], read_file: &none };
        let config = Config::load(&sources).expect("a configuration");
        Rates::new(&config, &Holder::of(&config.auth.keys), NOON)
    }

    /// 2026-11-30T12:00:00Z.
    const NOON: u64 = 1_796_040_000_000;
    const A: KeyId = KeyId::Configured(0);
    const B: KeyId = KeyId::Configured(1);

    #[test]
    fn a_key_runs_as_many_as_it_may_on_all_shards_together() {
        let rates = rates("concurrency = 3\n");
        let three = || -> [Turn; 3] { std::array::from_fn(|_| rates.clone().turn(B).unwrap()) };
        let turns = three();
        assert_eq!(rates.turn(B).unwrap_err(), 3);
        assert!(rates.turn(A).is_ok(), "others have their own");
        drop(turns);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..1000).for_each(|_| drop(rates.turn(B))));
            }
        });
        let turns = three();
        assert!(rates.turn(B).is_err(), "none came to be too much");
        drop(turns);
    }

    #[test]
    fn of_a_thousand_at_once_ten_are_admitted_on_any_number_of_shards() {
        for round in 1..=100_u64 {
            let rates = rates("");
            let admitted: usize = thread::scope(|scope| {
                let shard = || {
                    let at = |count: u64| Tick(round * 1_000_000_000 + count * 1_000_000);
                    (0..500).filter(|count| rates.admit(A, at(*count)).is_ok()).count()
                };
                let threads = [scope.spawn(shard), scope.spawn(shard)];
                threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
            });
            assert_eq!(admitted, 10);
        }
    }

    #[test]
    fn each_key_has_its_own_and_a_refusal_costs_nothing() {
        let rates = rates("requests_per_minute = 4\ntokens_per_minute = 1000\n");
        let now = Tick(7_000_000_000);
        for key in [A, KeyId::Nobody] {
            assert!((0..10).all(|_| rates.admit(key, now).is_ok()));
            assert_eq!(rates.admit(key, now).unwrap_err().limit, Limit::Bucket);
        }
        assert!((0..4).all(|_| rates.admit(B, now).is_ok()));
        for _ in 0..100 {
            assert_eq!(rates.admit(B, now).unwrap_err().limit, Limit::Requests);
        }
        let meter = rates.meter(B).expect("a meter");
        let bucket = meter.bucket.expect("a bucket");
        let left = bucket.left(meter.words.bucket.load(Ordering::Relaxed), now.0);
        assert_eq!(left, 6, "only what was admitted is gone");
        let [requests, tokens] = rates.told(B, now).map(|told| told.expect("a limit"));
        assert_eq!((requests.limit, requests.left, tokens.left), (4, 0, 1000));
        assert_eq!(rates.told(A, now), [None, None]);
        assert!(rates.reserve(B, now, 900).is_ok());
        assert_eq!(rates.reserve(B, now, 200).unwrap_err().limit, Limit::Tokens);
        rates.correct(B, now, 900, 100);
        assert!(rates.reserve(B, now, 200).is_ok() && rates.counts_tokens(B));
    }

    const USD: u64 = 1_000_000_000;

    #[test]
    fn of_a_thousand_at_once_ten_are_admitted_where_the_budget_is_for_ten() {
        for _ in 0..100 {
            let rates = rates("budget = { usd = \"10\", per = \"month\" }\n");
            let admitted: usize = thread::scope(|scope| {
                let shard = || (0..500).filter(|_| rates.spend(B, NOON, USD).is_ok()).count();
                let threads = [scope.spawn(shard), scope.spawn(shard)];
                threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
            });
            assert_eq!(admitted, 10);
        }
    }

    #[test]
    fn what_is_given_back_is_spent_by_others_and_no_dollar_twice() {
        let rates = rates("budget = { usd = \"10\", per = \"day\" }\n");
        let spent: u64 = thread::scope(|scope| {
            let shard = || {
                let one = |at: u64| {
                    let reserved = rates.spend(B, NOON, 3 * USD).ok()?;
                    let cost = at % 2 * USD / 10;
                    rates.settle(B, reserved, cost);
                    Some(cost)
                };
                (0..1000).filter_map(one).sum::<u64>()
            };
            let threads = [scope.spawn(shard), scope.spawn(shard)];
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
        });
        let [(_, used, _)] = rates.spent(B, NOON)[..] else { panic!("one budget") };
        assert_eq!(used, spent, "nothing stays reserved and nothing is forgotten");
        assert!((7 * USD + 1..=10 * USD).contains(&used), "{used}");
    }

    #[test]
    fn a_request_takes_from_every_budget_or_from_none() {
        let rates =
            rates("budget = [{ usd = \"5\", per = \"day\" }, { usd = \"3\", per = \"total\" }]\n");
        let spent = |rates: &Rates| -> Vec<u64> {
            rates.spent(B, NOON).into_iter().map(|(_, used, _)| used).collect()
        };
        let first = rates.spend(B, NOON, 2 * USD).expect("enough of both");
        let short = rates.spend(B, NOON, 2 * USD).unwrap_err();
        assert_eq!((short.used, short.resets_ms), (2 * USD, None));
        assert_eq!(spent(&rates), [2 * USD, 2 * USD]);
        rates.settle(B, first, USD);
        assert_eq!(spent(&rates), [USD, USD]);
        let budget = rates.spent(B, NOON)[0].0;
        rates.correct_spent(B, budget, NOON, (2 * USD, 0));
        assert_eq!(spent(&rates), [3 * USD, USD]);
        assert!(rates.has_budget(B) && !rates.has_budget(A));
        assert!(rates.spend(A, NOON, u64::MAX).is_ok(), "who has no budget may spend");
    }

    #[test]
    fn who_is_known_keeps_its_meter_when_others_come() {
        let before = rates("concurrency = 1\nbudget = { usd = \"3\", per = \"total\" }\n");
        let config = Config::load(&Sources {
            file: None,
            flags: &[],
            variables: &[],
            read_file: &|_: &str| Err(String::new()),
        })
        .expect("a configuration");
        let limits = Limits {
            concurrency: Some(1),
            budgets: before.spent(B, NOON).iter().map(|(budget, ..)| *budget).collect(),
            ..Limits::default()
        };
        let holder = |name: &str| Holder {
            name: name.to_owned(),
            secrets: Vec::new(),
            models: Vec::new(),
            routes: Vec::new(),
            trusted: false,
            limits: limits.clone(),
        };
        let turn = before.turn(B).expect("the first");
        let reserved = before.spend(B, NOON, 2 * USD).expect("enough");
        let after = before.next(&config, &["a", "b", "c"].map(holder), NOON, 1);
        assert!(after.turn(B).is_err() && after.spend(B, NOON, 2 * USD).is_err());
        assert!(after.spend(KeyId::Configured(2), NOON, 3 * USD).is_ok());
        after.settle(B, reserved, USD);
        drop(turn);
        assert!(after.turn(B).is_ok() && after.spend(B, NOON, 2 * USD).is_ok());
    }
}
