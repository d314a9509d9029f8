//! Answers that are not streamed: read whole, translated, written with their length.

use crate::chat::{Event, WholeWriter};
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Expected, UpstreamError, UpstreamErrorKind, read_error};
use crate::rt::{Lent, Runtime};

use super::answer::{self, Whole, after};
use super::attempt::{Head, Plan};
use super::body::{Answer, More};
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;

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
async fn read_all<R, F, M>(
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

/// Relays a successful answer.
pub(super) async fn relay<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    mut answer: Answer<R>,
    mut writer: WholeWriter,
    (expected, fields): (Expected, &[u8]),
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let limits = AnswerLimits::of(&exchange.shard.config.limits);
    let mut decoder = Decoder::new(expected, limits);
    let mut nothing = |_: Event<'_>| {};
    let read =
        read_all(client, &mut exchange, &mut answer, |data| decoder.feed(data, &mut nothing)).await;
    let read = read.and_then(|()| {
        let finished = decoder.finish(&mut |event| {
            exchange.on_event(&event);
            writer.on_event(&event);
        });
        finished.map_err(|error| Unread::Failed(answer.blame(error)))
    });
    match read {
        Ok(()) => {}
        Err(Unread::ClientLeft) => {
            exchange.settle(Ending::ClientLeft);
            return After::Gone;
        }
        Err(Unread::Failed(failure)) => {
            exchange.on_failure(failure.reason());
            answer.discard(&exchange, plan.index);
            return answer::fail(client, exchange, &failure.told(plan.upstream)).await;
        }
    }
    answer.release(&exchange, plan.index);
    let mut body = exchange.shard.buffers.take();
    writer.render(&mut body);
    let mut head = fields.to_vec();
    exchange.phases.gateway = exchange.age().saturating_sub(exchange.waited);
    exchange.push_timing(&mut head);
    let content_type = exchange.envelope.dialect.head().json;
    let whole = Whole { status: 200, content_type, fields: &head, body: &body };
    let sent = answer::send(client, &exchange.envelope, whole).await;
    exchange.shard.buffers.give(body);
    match sent {
        Ok(sent) => {
            let after = after(&exchange.envelope);
            exchange.bytes_out = sent;
            exchange.settle(Ending::Answered);
            after
        }
        Err(Gone) => {
            exchange.settle(Ending::ClientLeft);
            After::Gone
        }
    }
}

/// Reads the body of an answer with an error status and gives what it means.
pub(super) async fn read_failure<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: &mut Exchange<'_, R>,
    plan: Plan<'_>,
    head: Head,
    mut answer: Answer<R>,
) -> Result<Failure, Gone>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut body = Vec::new();
    let mut too_long = false;
    let read = read_all(client, exchange, &mut answer, |data| {
        let room = ERROR_BYTES_MAX - body.len();
        body.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
        too_long |= data.len() > room;
        // Reading ends here: the link is closed, which costs less than a page of megabytes.
        if too_long { Err(UpstreamError::new(UpstreamErrorKind::Invalid, "")) } else { Ok(()) }
    })
    .await;
    let retry_after = head.retry_after_s.map(|seconds| seconds.to_string());
    let understood = |body: &[u8]| {
        read_error(plan.order.vendor, head.status, retry_after.as_deref().map(str::as_bytes), body)
    };
    match read {
        Err(Unread::ClientLeft) => Err(Gone),
        // The status is known, whatever became of the body.
        Err(Unread::Failed(_)) if too_long || head.status >= 400 => {
            Ok(Failure::Status(head.status, understood(&body)))
        }
        Err(Unread::Failed(failure)) => Ok(failure),
        Ok(()) => {
            answer.release(exchange, plan.index);
            Ok(Failure::Status(head.status, understood(&body)))
        }
    }
}
