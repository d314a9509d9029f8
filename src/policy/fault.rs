//! Whose fault a failed attempt was: what that says about the upstream, and about another try.

/// What went wrong with an attempt, in the classes that decisions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request's: it would end the same everywhere. Content policies too, which are never
    /// routed around.
    Request,
    /// The request is too long for this model; a larger one may take it.
    TooLong,
    /// The vendor does not know the model.
    UnknownModel,
    /// Our credential or our bill: it stays so until somebody acts.
    Credential,
    /// It was not asked: we have nothing to show to it yet.
    Unasked,
    /// The upstream wants less: its rate limit, or it is overloaded.
    Busy,
    /// The upstream failed and said so.
    Failed,
    /// No connection came about and nothing was sent.
    Unsent,
    /// The upstream said nothing for too long.
    Silent,
    /// The answer broke off or was none.
    Broken,
}

impl Fault {
    /// Does it count against the upstream?
    pub const fn hurts(self) -> bool {
        match self {
            Self::Request | Self::TooLong | Self::UnknownModel | Self::Unasked => false,
            Self::Credential
            | Self::Busy
            | Self::Failed
            | Self::Unsent
            | Self::Silent
            | Self::Broken => true,
        }
    }
}
