//! The circuit breaker of one upstream: after too many failures in a row it is left alone for a
//! while, then asked by one request at a time until enough of them went well.

use std::time::Duration;

use crate::base::Tick;

use super::fault::Fault;

/// The operator's settings.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open.
    pub timeout: Duration,
    /// Good answers in a row that close it again.
    pub successes: u32,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Requests pass.
    Closed,
    /// None pass.
    Open,
    /// One at a time passes.
    HalfOpen,
}

/// May a request pass?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Yes.
    Yes,
    /// If no other probe is under way; see [`Breaker::probing`].
    Probe,
    /// Not before this time.
    No(Tick),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Tick },
    HalfOpen { successes: u32 },
}

/// Until this time an operator keeps a circuit open: until it is closed by hand.
pub const HELD: Tick = Tick::NEVER;

/// The breaker.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    state: State,
    /// The upstream wants to be left alone until then. It is not refused for that, only asked
    /// after the others.
    cooling: Tick,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, cooling: Tick::default() }
    }
}

impl Breaker {
    /// Where it stands at this time.
    pub fn circuit(&self, now: Tick) -> Circuit {
        match self.state {
            State::Closed { .. } => Circuit::Closed,
            State::Open { until } if now < until => Circuit::Open,
            State::Open { .. } | State::HalfOpen { .. } => Circuit::HalfOpen,
        }
    }

    /// May a request pass?
    pub fn pass(&self, now: Tick) -> Pass {
        match self.state {
            State::Closed { .. } => Pass::Yes,
            State::Open { until } if now < until => Pass::No(until),
            State::Open { .. } | State::HalfOpen { .. } => Pass::Probe,
        }
    }

    /// Did the upstream ask to be left alone at this time?
    pub fn is_cooling(&self, now: Tick) -> bool {
        now < self.cooling
    }

    /// An operator wants the upstream left alone until the circuit is closed by hand.
    pub fn hold_open(&mut self) {
        self.state = State::Open { until: HELD };
    }

    /// A probe is under way.
    pub fn probing(&mut self) {
        if let State::Open { .. } = self.state {
            self.state = State::HalfOpen { successes: 0 };
        }
    }

    /// An answer came as it should, or a failure that was not the upstream's.
    pub fn on_success(&mut self, thresholds: &Thresholds) {
        self.cooling = Tick::default();
        self.state = match self.state {
            State::HalfOpen { successes } if successes + 1 < thresholds.successes => {
                State::HalfOpen { successes: successes + 1 }
            }
            // What was under way when it opened tells nothing about now.
            State::Open { until } => State::Open { until },
            State::HalfOpen { .. } | State::Closed { .. } => State::Closed { failures: 0 },
        };
    }

    /// An attempt failed. `retry_after` is what the upstream asked for.
    pub fn on_fault(
        &mut self,
        fault: Fault,
        retry_after: Option<Duration>,
        now: Tick,
        thresholds: &Thresholds,
    ) {
        if !fault.hurts() {
            return;
        }
        // Repeating does not pay a bill: others are asked first until it is worth another look.
        let unpaid = (fault == Fault::Credential).then_some(thresholds.timeout);
        if let Some(wait) = retry_after.max(unpaid) {
            self.cooling = self.cooling.max(now.after(wait));
        }
        let open = State::Open { until: now.after(thresholds.timeout) };
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < thresholds.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } | State::HalfOpen { .. } => open,
            State::Open { until } => State::Open { until },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds =
        Thresholds { failures: 3, timeout: Duration::from_secs(60), successes: 2 };

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000_000)
    }

    fn fail(breaker: &mut Breaker, seconds: u64) {
        breaker.on_fault(Fault::Failed, None, at(seconds), &THRESHOLDS);
    }

    #[test]
    fn failures_in_a_row_open_it_and_probes_close_it() {
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            fail(&mut breaker, 1);
        }
        breaker.on_success(&THRESHOLDS);
        for seconds in [2, 3] {
            fail(&mut breaker, seconds);
            assert_eq!(breaker.pass(at(3)), Pass::Yes);
        }
        fail(&mut breaker, 4);
        assert_eq!(
            (breaker.circuit(at(5)), breaker.pass(at(63))),
            (Circuit::Open, Pass::No(at(64)))
        );
        breaker.on_success(&THRESHOLDS);
        assert_eq!(breaker.circuit(at(5)), Circuit::Open, "an old answer proves nothing");
        assert_eq!(breaker.pass(at(64)), Pass::Probe);
        breaker.probing();
        breaker.on_success(&THRESHOLDS);
        assert_eq!(breaker.circuit(at(65)), Circuit::HalfOpen);
        breaker.on_success(&THRESHOLDS);
        assert_eq!(breaker.circuit(at(65)), Circuit::Closed);
    }

    #[test]
    fn what_an_operator_holds_open_stays_open() {
        let mut breaker = Breaker::default();
        breaker.hold_open();
        breaker.on_success(&THRESHOLDS);
        fail(&mut breaker, 1);
        assert_eq!(breaker.pass(at(1_000_000)), Pass::No(HELD));
        assert_eq!(breaker.circuit(at(1_000_000)), Circuit::Open);
    }

    #[test]
    fn a_failed_probe_opens_it_again() {
        let mut breaker = Breaker::default();
        (0..3).for_each(|_| fail(&mut breaker, 0));
        breaker.probing();
        fail(&mut breaker, 61);
        assert_eq!(breaker.pass(at(120)), Pass::No(at(121)));
    }

    #[test]
    fn whose_fault_it_was_decides() {
        let mut breaker = Breaker::default();
        for fault in [Fault::Request, Fault::TooLong, Fault::UnknownModel] {
            (0..9).for_each(|_| breaker.on_fault(fault, None, at(0), &THRESHOLDS));
            assert_eq!(breaker.circuit(at(0)), Circuit::Closed, "{fault:?}");
        }
        breaker.on_fault(Fault::Credential, None, at(0), &THRESHOLDS);
        assert!(breaker.is_cooling(at(59)) && !breaker.is_cooling(at(60)));
        let mut busy = Breaker::default();
        busy.on_fault(Fault::Busy, Some(Duration::from_secs(9)), at(1), &THRESHOLDS);
        assert!(busy.is_cooling(at(9)) && !busy.is_cooling(at(10)));
        assert_eq!(busy.pass(at(2)), Pass::Yes, "it is only asked after others");
    }
}
