//! The right to run one exchange, as a value: dropping it gives it back.

use std::cell::Cell;
use std::rc::Rc;

use crate::rt::Mutant;

#[derive(Debug)]
struct Counts {
    out: Cell<i64>,
    limit: i64,
}

/// The permits of one shard.
#[derive(Clone, Debug)]
pub struct Permits(Rc<Counts>);

/// One permit.
#[derive(Debug)]
pub struct Permit(Permits);

impl Permits {
    /// At most `limit` permits at a time.
    pub fn new(limit: usize) -> Self {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Self(Rc::new(Counts { out: Cell::new(0), limit }))
    }

    /// A permit, or none when all are out.
    pub fn take(&self) -> Option<Permit> {
        let out = self.0.out.get();
        if out >= self.0.limit {
            return None;
        }
        self.0.out.set(out + 1);
        Some(Permit(self.clone()))
    }

    /// How many are out. Negative would mean that one was given back twice.
    pub fn out(&self) -> i64 {
        self.0.out.get()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let back = match () {
            () if Mutant::LostPermit.active() => 0,
            () if Mutant::DoubleRelease.active() => 2,
            () => 1,
        };
        self.0.0.out.set(self.0.0.out.get() - back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_run_out_and_come_back() {
        let permits = Permits::new(2);
        let first = permits.take();
        let second = permits.take();
        assert!(first.is_some() && second.is_some() && permits.take().is_none());
        drop(first);
        assert_eq!(permits.out(), 1);
        assert!(permits.take().is_some());
    }
}
