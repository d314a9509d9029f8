//! Bugs planted on purpose, so that the shard simulation can prove that it would find them.
//!
//! In a build without the `mutants` feature [`Mutant::active`] is a constant `false` and the
//! planted branch is removed. With the feature, a test switches one mutant on for its thread.

/// One planted bug of the shard; each is found by `tests/simulation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// An exchange ends without `settle`.
    DroppedSettle,
    /// An exchange is settled twice.
    DoubleSettle,
    /// The permit of an exchange is given back twice.
    DoubleRelease,
    /// The permit of an exchange is never given back.
    LostPermit,
    /// Bytes of a pipelined request that arrived during an exchange are thrown away.
    DroppedRead,
    /// A link whose answer was not read to its end goes back into the pool.
    PoisonedLinkReused,
    /// An idle link is used without looking whether the peer closed it or sent stray bytes.
    StaleLinkUnchecked,
    /// A truncated upstream stream ends like a whole one.
    TruncationHidden,
    /// A client that leaves does not end its upstream attempt.
    CancelIgnored,
    /// A write of half the buffer counts as the whole write.
    ShortWrite,
    /// A deadline that passed does not end the operation it guards.
    DeadlineIgnored,
    /// The bytes of one upstream read are relayed twice.
    DoubledRead,
    /// A place at an upstream is never given back.
    LostPlace,
    /// The right to probe an upstream is never given back.
    LostProbe,
    /// One more than allowed ask an upstream at a time.
    CapOverByOne,
    /// A bucket admits one more than it holds.
    RateOverByOne,
    /// Who came last to an upstream's queue leaves it first.
    QueueNotFifo,
    /// An attempt is repeated though the budget has none left.
    RetryPastBudget,
    /// A short piece of an upstream's answer is thrown away.
    DroppedPiece,
    /// Requests behind the running one are read without a limit.
    UnboundedBuffer,
}

#[cfg(feature = "mutants")]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    std::thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    impl Mutant {
        /// Every mutant, for tests that try each.
        pub const ALL: [Self; 20] = [
            Self::DroppedSettle,
            Self::DoubleSettle,
            Self::DoubleRelease,
            Self::LostPermit,
            Self::DroppedRead,
            Self::PoisonedLinkReused,
            Self::StaleLinkUnchecked,
            Self::TruncationHidden,
            Self::CancelIgnored,
            Self::ShortWrite,
            Self::DeadlineIgnored,
            Self::DoubledRead,
            Self::LostPlace,
            Self::LostProbe,
            Self::CapOverByOne,
            Self::RateOverByOne,
            Self::QueueNotFifo,
            Self::RetryPastBudget,
            Self::DroppedPiece,
            Self::UnboundedBuffer,
        ];

        /// Switches `mutant` on for this thread, or all off.
        pub fn plant(mutant: Option<Self>) {
            ACTIVE.with(|active| active.set(mutant));
        }

        /// Is this bug planted?
        pub fn active(self) -> bool {
            ACTIVE.with(Cell::get) == Some(self)
        }
    }
}

#[cfg(not(feature = "mutants"))]
impl Mutant {
    /// Is this bug planted? Never, in this build.
    pub const fn active(self) -> bool {
        false
    }
}
