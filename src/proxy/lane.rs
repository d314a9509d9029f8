//! Two candidates that are asked at once, and who of them may speak.

use std::cell::Cell;
use std::rc::Rc;

/// What both know.
#[derive(Debug, Default)]
struct Race {
    winner: Cell<Option<usize>>,
    /// The client has left.
    gone: Cell<bool>,
}

/// One of the two.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    race: Rc<Race>,
    number: usize,
}

impl Lane {
    /// The lane of the first candidate and that of its rival.
    pub(super) fn pair() -> [Self; 2] {
        let race = Rc::new(Race::default());
        [Self { race: Rc::clone(&race), number: 0 }, Self { race, number: 1 }]
    }

    /// Asks for the right to speak. Only one gets it, and keeps it.
    pub(super) fn claim(&self) -> bool {
        let winner = self.race.winner.get().unwrap_or(self.number);
        self.race.winner.set(Some(winner));
        winner == self.number
    }

    /// Has this one won?
    pub(super) fn has_won(&self) -> bool {
        self.race.winner.get() == Some(self.number)
    }

    /// Has the other one won, or the client left?
    pub(super) fn is_over(&self) -> bool {
        self.race.gone.get() || self.race.winner.get().is_some_and(|winner| winner != self.number)
    }

    /// The client has left.
    pub(super) fn leave(&self) {
        self.race.gone.set(true);
    }

    /// An exchange ends once: the winner's does, and the first candidate's when nobody has won.
    pub(super) fn is_silent(&self) -> bool {
        self.race.winner.get().unwrap_or(0) != self.number
    }

    /// Changes when anything is decided.
    pub(super) fn state(&self) -> (Option<usize>, bool) {
        (self.race.winner.get(), self.race.gone.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wins_and_one_ends() {
        let [first, rival] = Lane::pair();
        assert!(!first.is_over() && !rival.is_over());
        assert!(!first.is_silent() && rival.is_silent(), "nobody has won");
        assert!(rival.claim() && rival.claim() && !first.claim());
        assert!(first.is_over() && !rival.is_over() && rival.has_won());
        assert!(first.is_silent() && !rival.is_silent());
        rival.leave();
        assert!(rival.is_over());
        let [first, rival] = Lane::pair();
        assert!(first.claim() && !rival.claim());
        assert!(rival.is_silent() && !first.is_silent());
    }
}
