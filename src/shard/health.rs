//! What one shard knows of an upstream's health, and the probes that all shards share.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::Tick;
use crate::config::Config;
use crate::policy::Fault;
use crate::policy::breaker::{Breaker, Circuit, Pass, Thresholds};
use crate::policy::pick::{PeakEwma, Standing};
use crate::policy::retry::Budget;
use crate::rt::Mutant;

/// Which upstreams are probed now, for all shards: one request at a time.
#[derive(Clone, Debug)]
pub struct Probes(Arc<[AtomicBool]>);

/// The right to probe; dropping it gives it back.
#[derive(Debug)]
pub struct Probe(Probes, usize);

impl Probes {
    /// None is under way.
    pub fn new(upstreams: usize) -> Self {
        Self((0..upstreams).map(|_| AtomicBool::default()).collect())
    }

    /// The right to probe this upstream, unless somebody has it.
    pub fn take(&self, upstream: usize) -> Option<Probe> {
        let taken = self.0.get(upstream)?.swap(true, Ordering::Acquire);
        (!taken).then(|| Probe(self.clone(), upstream))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(flag) = self.0.0.get(self.1).filter(|_| !Mutant::LostProbe.active()) {
            flag.store(false, Ordering::Release);
        }
    }
}

/// What an operator may do with an upstream's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The upstream is left alone until the circuit is closed by hand.
    Open,
    /// Requests pass again, and failures are counted from zero.
    Close,
    /// The same, and the upstream's latency and its repeats are forgotten, too.
    Reset,
}

/// One upstream as this shard has met it.
#[derive(Debug)]
pub struct Health {
    thresholds: Thresholds,
    /// Share of traffic that may be repeats.
    repeats: f64,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    latency: PeakEwma,
    budget: Budget,
}

impl State {
    fn new(repeats: f64) -> Self {
        Self {
            breaker: Breaker::default(),
            latency: PeakEwma::default(),
            budget: Budget::new(repeats),
        }
    }
}

impl Health {
    /// Nothing has happened yet.
    pub fn new(config: &Config) -> Self {
        let thresholds = Thresholds {
            failures: config.breaker.failures,
            timeout: config.breaker.timeout,
            successes: config.breaker.successes,
        };
        let repeats = config.retry.budget;
        Self { thresholds, repeats, state: RefCell::new(State::new(repeats)) }
    }

    /// Does what an operator wants done with the circuit.
    pub fn switch(&self, to: Switch) {
        let mut state = self.state.borrow_mut();
        match to {
            Switch::Open => state.breaker.hold_open(),
            Switch::Close => state.breaker = Breaker::default(),
            Switch::Reset => *state = State::new(self.repeats),
        }
    }

    /// What decides the order of candidates.
    pub fn standing(&self, weight: u32, in_flight: usize, now: Tick) -> Standing {
        let state = self.state.borrow();
        Standing {
            weight,
            open: matches!(state.breaker.pass(now), Pass::No(_)),
            // One that is half open keeps its place, else a healthy fallback would keep it from
            // ever being probed.
            cooling: state.breaker.is_cooling(now),
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            latency: state.latency.read(now),
        }
    }

    /// May a request pass?
    pub fn pass(&self, now: Tick) -> Pass {
        self.state.borrow().breaker.pass(now)
    }

    /// Where the circuit stands.
    pub fn circuit(&self, now: Tick) -> Circuit {
        self.state.borrow().breaker.circuit(now)
    }

    /// A probe is on its way.
    pub fn probing(&self) {
        self.state.borrow_mut().breaker.probing();
    }

    /// A first attempt is made.
    pub fn on_first(&self) {
        self.state.borrow_mut().budget.on_first();
    }

    /// May a failed attempt be repeated? The repeat is taken from the budget then.
    pub fn may_repeat(&self) -> bool {
        self.state.borrow_mut().budget.take() || Mutant::RetryPastBudget.active()
    }

    /// An answer came as it should; it took so long to begin.
    pub fn on_success(&self, took: Duration, now: Tick) {
        let mut state = self.state.borrow_mut();
        state.breaker.on_success(&self.thresholds);
        state.latency.observe(took, now);
    }

    /// An attempt failed.
    pub fn on_fault(&self, fault: Fault, retry_after: Option<Duration>, now: Tick) {
        let mut state = self.state.borrow_mut();
        if !fault.hurts() {
            state.breaker.on_success(&self.thresholds);
            return;
        }
        state.breaker.on_fault(fault, retry_after, now, &self.thresholds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_at_a_time_for_all_shards() {
        let probes = Probes::new(2);
        let other = probes.clone();
        let first = probes.take(1);
        assert!(first.is_some() && other.take(1).is_none() && other.take(0).is_some());
        drop(first);
        assert!(other.take(1).is_some() && other.take(7).is_none());
    }
}
