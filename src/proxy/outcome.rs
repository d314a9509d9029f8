//! What became of a request at one candidate: an end, or a failure of which the client knows
//! nothing yet, so that another candidate may be asked.

use std::time::Duration;

use crate::chat::ApiError;
use crate::chat::problem::ChatError;
use crate::config::Upstream;
use crate::policy::Fault;
use crate::rt::{Lent, Runtime};
use crate::shard::Permit;

use super::answer::{self, Whole};
use super::attempt::NoAnswer;
use super::client::{Client, Gone};
use super::early;
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::side::Cut;

/// What became of a request at one candidate.
pub(super) enum Outcome<'s, R: Runtime> {
    /// The exchange has ended.
    Ended(After),
    /// The client has got nothing.
    Failed(Exchange<'s, R>, Failed),
    /// The client has got the beginning, and another candidate may go on.
    Cut(Box<Cut<'s, R>>),
}

/// Why a candidate has no answer.
pub(super) enum Failed {
    /// Its API has no words for the request.
    Request(ChatError),
    /// It failed.
    Attempt(Failure),
    /// It failed, and the client may have its own words for that.
    Told(Failure, Words),
}

/// An error in a vendor's words.
pub(super) struct Words {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl<'s, R: Runtime> Outcome<'s, R> {
    /// Gives the permit back to the exchange that goes on.
    pub(super) fn with_permit(mut self, permit: Option<Permit>) -> Self {
        match &mut self {
            Self::Ended(_) => {}
            Self::Failed(exchange, _) => exchange.give_permit(permit),
            Self::Cut(cut) => cut.side.exchange.give_permit(permit),
        }
        self
    }

    /// There was no answer.
    pub(super) fn none(exchange: Exchange<'s, R>, why: NoAnswer) -> Self {
        match why {
            NoAnswer::ClientLeft => Self::left(exchange),
            NoAnswer::Request(error) => Self::Failed(exchange, Failed::Request(error)),
            NoAnswer::Failed(failure) => Self::failed(exchange, failure),
        }
    }

    /// The client has left.
    pub(super) fn left(exchange: Exchange<'s, R>) -> Self {
        Self::Ended(exchange.client_left())
    }

    /// The candidate failed.
    pub(super) fn failed(exchange: Exchange<'s, R>, failure: Failure) -> Self {
        Self::Failed(exchange, Failed::Attempt(failure))
    }

    /// The candidate's failure was read, unless the client left meanwhile.
    pub(super) fn failed_unless_gone(
        exchange: Exchange<'s, R>,
        read: Result<Failure, Gone>,
    ) -> Self {
        match read {
            Ok(failure) => Self::failed(exchange, failure),
            Err(Gone) => Self::left(exchange),
        }
    }
}

impl Failed {
    /// Whose fault it was.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Request(_) => Fault::Request,
            Self::Attempt(failure) | Self::Told(failure, _) => failure.fault(),
        }
    }

    /// When the upstream wants to be asked again.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.failure().and_then(Failure::retry_after_ms).map(Duration::from_millis)
    }

    /// What went wrong, for the metrics.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Request(_) => None,
            Self::Attempt(failure) | Self::Told(failure, _) => Some(failure),
        }
    }

    /// The exchange leaves the upstream that failed so.
    pub(super) fn leave<R: Runtime>(&self, exchange: &mut Exchange<'_, R>) {
        exchange.leave(self.failure().map(Failure::reason), self.fault(), self.wait());
    }

    /// Ends the exchange with what it means. `spent`: we have tried again ourselves, so the client
    /// need not.
    pub(super) async fn tell<R, F, M>(
        self,
        client: &Client<'_, R, F, M>,
        exchange: Exchange<'_, R>,
        upstream: &Upstream,
        spent: bool,
    ) -> After
    where
        R: Runtime,
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        match self {
            Self::Request(error) => answer::fail(client, exchange, &error.to_api()).await,
            Self::Attempt(failure) => {
                let mut error = failure.told(upstream);
                error.row.final_answer |= spent;
                answer::fail(client, exchange, &error).await
            }
            Self::Told(failure, words) => {
                let mut error = failure.told(upstream);
                error.row.final_answer |= spent;
                pass(client, exchange, &error, &words).await
            }
        }
    }
}

/// Ends an exchange with an error in the vendor's own words.
async fn pass<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    error: &ApiError,
    words: &Words,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    if client.speaks().await.is_some() {
        return Box::pin(early::fail(client, exchange, error)).await;
    }
    let mut fields = answer::take_fields(&mut exchange);
    answer::error_fields(error, exchange.shard, &mut fields);
    let content_type = exchange.envelope.dialect.head().json;
    let Words { status, body } = words;
    let whole = Whole { status: *status, content_type, fields: &fields, body };
    let ending = Ending::Failed(*status, error.row.code.unwrap_or("refused"));
    answer::end(client, exchange, &whole, ending).await
}
