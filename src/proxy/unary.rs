//! Answers that are not streamed: read whole, translated, written with their length.

use crate::chat::{Event, WholeWriter};
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Expected, UpstreamError, UpstreamErrorKind, read_error};
use crate::rt::{Lent, Runtime};

use super::answer::{self, Whole};
use super::attempt::{Head, Plan};
use super::body::{Answer, More};
use super::client::{Client, Gone};
use super::exchange::{Ending, Exchange};
use super::failure::Failure;
use super::outcome::Outcome;

/// How much of a vendor's error is read; the rest says nothing new.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Why a body was not read to its end.
pub(super) enum Unread {
    /// The answer broke off, or is not what it should be.
    Failed(Failure),
    /// The client has left.
    ClientLeft,
}

/// Reads a whole body into `sink`.
pub(super) async fn read_all<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    answer: &mut Answer<R>,
    mut sink: impl FnMut(&[u8]) -> Result<(), UpstreamError>,
) -> Result<(), Unread>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    loop {
        let done = answer.drain(&mut sink);
        if done.map_err(|error| Unread::Failed(Failure::Vendor(error)))? {
            return Ok(());
        }
        let until = exchange.until(exchange.shard.config.timeouts.idle);
        match answer.more(client, exchange, (until, None)).await {
            More::Some if answer.ended_by_close() => return Ok(()),
            More::Some => {}
            More::ClientLeft => return Err(Unread::ClientLeft),
            More::Failed(failure) => return Err(Unread::Failed(failure)),
        }
    }
}

/// Relays a successful answer. What is given stands in the future once; in that of an `async fn` it
/// would stand twice.
pub(super) fn relay<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    mut answer: Answer<R>,
    mut writer: WholeWriter,
    expected: Expected,
) -> impl Future<Output = Outcome<'s, R>>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let limits = AnswerLimits::of(&exchange.shard.config.limits);
    let room = exchange.shard.buffers.take();
    let mut decoder = Decoder::new(expected, limits).with_room(room);
    async move {
        let mut nothing = |_: Event<'_>| {};
        let read =
            read_all(client, &mut exchange, &mut answer, |data| decoder.feed(data, &mut nothing))
                .await;
        let read = read.and_then(|()| {
            let finished = decoder.finish(&mut |event| {
                exchange.on_event(&event);
                writer.on_event(&event);
            });
            finished.map_err(|error| Unread::Failed(answer.blame(error)))
        });
        exchange.shard.buffers.give(decoder.room());
        let rendered = read.map(|()| {
            let mut body = exchange.shard.buffers.take();
            writer.render(&mut body);
            body
        });
        let (exchange, body) = match part(exchange, plan, answer, rendered) {
            Ok(parted) => parted,
            Err(outcome) => return outcome,
        };
        tell(client, exchange, body).await
    }
}

/// Parts with the upstream, now that its answer has become a body for the client.
///
/// # Errors
/// What it is if it has not.
pub(super) fn part<'s, R: Runtime>(
    exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    answer: Answer<R>,
    read: Result<Vec<u8>, Unread>,
) -> Result<(Exchange<'s, R>, Vec<u8>), Outcome<'s, R>> {
    match read {
        Ok(body) => {
            answer.release(&exchange, plan.index);
            Ok((exchange, body))
        }
        Err(Unread::ClientLeft) => Err(Outcome::left(exchange)),
        Err(Unread::Failed(failure)) => {
            answer.discard(&exchange, plan.index);
            Err(Outcome::failed(exchange, failure))
        }
    }
}

/// Writes a body to the client.
pub(super) async fn tell<'s, R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    body: Vec<u8>,
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut fields = answer::take_fields(&mut exchange);
    exchange.push_cost(&mut fields);
    let content_type = exchange.envelope.dialect.head().json;
    let whole = Whole { status: 200, content_type, fields: &fields, body: &body };
    let after = answer::end(client, exchange, &whole, Ending::Answered).await;
    client.shard.buffers.give(body);
    Outcome::Ended(after)
}

/// Reads the body of an answer with an error status and gives what it means.
pub(super) async fn read_failure<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: &Plan<'_>,
    head: Head,
    mut answer: Answer<R>,
) -> Result<Failure, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (bytes, end) = read_error_body(client, exchange, &mut answer, ERROR_BYTES_MAX).await?;
    match end {
        ErrorEnd::Whole => answer.release(exchange, plan.index),
        ErrorEnd::Broken(failure) if head.status < 400 => return Ok(failure),
        // The status is known, whatever became of the body.
        ErrorEnd::Broken(_) | ErrorEnd::TooLong => {}
    }
    let mut error = read_error(plan.order.vendor, head.status, None, &bytes);
    error.retry_after_ms = head.retry_after_ms.or(error.retry_after_ms);
    Ok(Failure::Status(head.status, error))
}

/// What an answer of a kind that was not asked for means: `unfit`, or the error in it. Vendors
/// send an error as one JSON text, also where a stream was asked for.
pub(super) async fn read_misfit<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: &Plan<'_>,
    (head, mut answer): (Head, Answer<R>),
    unfit: Failure,
    look: impl FnOnce(&[u8]) -> Result<(), UpstreamError>,
) -> Result<Failure, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut body = Vec::new();
    if !head.encoded && !head.is_event_stream {
        body = read_error_body(client, exchange, &mut answer, ERROR_BYTES_MAX).await?.0;
    }
    answer.discard(exchange, plan.index);
    match look(&body) {
        Err(error)
            if !matches!(error.kind, UpstreamErrorKind::Invalid | UpstreamErrorKind::Truncated) =>
        {
            Ok(Failure::Vendor(error))
        }
        _ => Ok(unfit),
    }
}

/// How the body of an answer with an error status ended.
pub(super) enum ErrorEnd {
    /// It is whole.
    Whole,
    /// It is longer than anybody wants to read.
    TooLong,
    /// It broke off.
    Broken(Failure),
}

/// Reads the body of an answer with an error status, at most so many bytes of it.
pub(super) async fn read_error_body<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    answer: &mut Answer<R>,
    bytes_max: usize,
) -> Result<(Vec<u8>, ErrorEnd), Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (mut bytes, mut too_long) = (Vec::new(), false);
    let read = read_all(client, exchange, answer, |data| {
        let room = bytes_max - bytes.len();
        bytes.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
        too_long |= data.len() > room;
        // Reading ends here: the link is closed, which costs less than a page of megabytes.
        if too_long { Err(UpstreamError::new(UpstreamErrorKind::Invalid, "")) } else { Ok(()) }
    })
    .await;
    let end = match read {
        Err(Unread::ClientLeft) => return Err(Gone),
        Err(Unread::Failed(_)) if too_long => ErrorEnd::TooLong,
        Err(Unread::Failed(failure)) => ErrorEnd::Broken(failure),
        Ok(()) => ErrorEnd::Whole,
    };
    Ok((bytes, end))
}
