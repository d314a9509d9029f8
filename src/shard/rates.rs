//! How much each client key has asked, for all shards together.
//!
//! A limit of N is N for the process: each rate is one number, moved on with one compare-and-swap.
//! A key without limits costs a look at its meter, which nobody writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::Tick;
use crate::config::{ClientKey, Config, Rate};
use crate::policy::KeyId;
use crate::policy::rate::{Bucket, Verdict, Window};
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

/// One key's rates, alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Meter {
    bucket: Option<Bucket>,
    requests: Option<Window>,
    tokens: Option<Window>,
    in_bucket: AtomicU64,
    in_requests: AtomicU64,
    in_tokens: AtomicU64,
    /// At most so many requests at a time.
    most: Option<u32>,
    running: AtomicU32,
}

/// The right of a key to run one more request; dropping it gives it back.
#[derive(Debug)]
pub struct Turn(Option<(Rates, KeyId)>);

/// The meters of all keys.
#[derive(Clone, Debug)]
pub struct Rates(Arc<[Meter]>);

impl Rates {
    /// Meters for a configuration, all empty.
    pub fn new(config: &Config) -> Self {
        let Rate { mut capacity, per_second } = config.rate;
        capacity += u64::from(Mutant::RateOverByOne.active());
        // Whoever tries the gateway out on its simulator measures the gateway.
        let free = config.simulated && config.auth.keys.is_empty();
        let bucket = (!free).then(|| Bucket::new(capacity, per_second));
        let meter = |key: &ClientKey| Meter {
            bucket,
            requests: key.requests_per_minute.map(Window::new),
            tokens: key.tokens_per_minute.map(Window::new),
            most: key.concurrency,
            ..Meter::default()
        };
        let nobody = Meter { bucket, ..Meter::default() };
        Self(std::iter::once(nobody).chain(config.auth.keys.iter().map(meter)).collect())
    }

    /// One request of `key`, or why not.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(&self, key: KeyId, now: Tick) -> Result<(), Limited> {
        let Some(meter) = self.meter(key) else { return Ok(()) };
        if let Some(bucket) = &meter.bucket {
            advance(&meter.in_bucket, |state| bucket.admit(state, now.0))
                .map_err(|wait| Limited { limit: Limit::Bucket, wait })?;
        }
        let Some(window) = &meter.requests else { return Ok(()) };
        advance(&meter.in_requests, |state| window.admit(state, now.0, 1)).map_err(|wait| {
            if let Some(bucket) = &meter.bucket {
                let back = |state| Verdict::Admit(bucket.give_back(state));
                let _never_refused = advance(&meter.in_bucket, back);
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
        match meter.running.fetch_update(order, seen, one_more) {
            Ok(_) => Ok(Turn(Some((self.clone(), key)))),
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
        advance(&meter.in_tokens, |state| window.admit(state, now.0, tokens))
            .map_err(|wait| Limited { limit: Limit::Tokens, wait })
    }

    /// Where `reserved` tokens were taken, `used` were.
    pub fn correct(&self, key: KeyId, now: Tick, reserved: u64, used: u64) {
        let Some(meter) = self.meter(key) else { return };
        if let Some(window) = &meter.tokens {
            let correct = |state| Verdict::Admit(window.correct(state, now.0, reserved, used));
            let _never_refused = advance(&meter.in_tokens, correct);
        }
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
        [told(&meter.requests, &meter.in_requests), told(&meter.tokens, &meter.in_tokens)]
    }

    fn meter(&self, key: KeyId) -> Option<&Meter> {
        let place = match key {
            KeyId::Nobody | KeyId::Development => 0,
            KeyId::Configured(index) => index + 1,
        };
        self.0.get(place)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let meter = self.0.as_ref().and_then(|(rates, key)| rates.meter(*key));
        if let Some(meter) = meter {
            meter.running.fetch_sub(1, Ordering::Relaxed);
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
        Rates::new(&Config::load(&sources).expect("a configuration"))
    }

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
        let left = bucket.left(meter.in_bucket.load(Ordering::Relaxed), now.0);
        assert_eq!(left, 6, "only what was admitted is gone");
        let [requests, tokens] = rates.told(B, now).map(|told| told.expect("a limit"));
        assert_eq!((requests.limit, requests.left, tokens.left), (4, 0, 1000));
        assert_eq!(rates.told(A, now), [None, None]);
        assert!(rates.reserve(B, now, 900).is_ok());
        assert_eq!(rates.reserve(B, now, 200).unwrap_err().limit, Limit::Tokens);
        rates.correct(B, now, 900, 100);
        assert!(rates.reserve(B, now, 200).is_ok() && rates.counts_tokens(B));
    }
}
