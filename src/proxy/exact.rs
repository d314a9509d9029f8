//! Requests that need no translation, because the upstream speaks the client's API: the client's
//! bytes go on, the vendor's come back.
//!
//! What is changed all the same stands at the end of the error table: nothing of a good answer but
//! a usage chunk that only we asked for; failures that are not about the client's request.

use crate::chat::door::Beside;
use crate::chat::{ApiError, ChatError, Dialect, Door, Form, Outline};
use crate::config::{Compat, Kind, StreamUsage, Upstream};
use crate::provider::decode::AnswerLimits;
use crate::provider::{Dropped, ExactStream, Shape, UpstreamError, Watched, exact};
use crate::rt::{Lent, Runtime};

use super::answer::{self, Whole, after};
use super::attempt::{self, Forward, Head, Outgoing, Plan};
use super::body::Answer;
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::stream::{self, Pipe};
use super::unary::{self, ErrorEnd, Unread};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// An answer in a conversation, in the words of some API.
    Talk(Door),
    /// Embeddings, in OpenAI's words.
    Embed,
}

impl Errand {
    /// Checks a body and reads what it is routed by.
    pub(super) fn outline<'b>(
        self,
        body: &'b [u8],
        beside: &'b Beside,
    ) -> Result<Outline<'b>, ChatError> {
        match self {
            Self::Talk(door) => door.outline(body, beside),
            Self::Embed => Outline::parse(body, &Form::EMBEDDINGS),
        }
    }
}

/// How requests go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// What follows the upstream's own path.
    target: &'static str,
    /// What answers look like.
    shape: Shape,
}

/// The way to an upstream that speaks the client's API.
pub(super) fn way(errand: Errand, upstream: &Upstream) -> Option<Way> {
    let (target, shape) = match (errand, upstream.kind) {
        (Errand::Talk(Door::Chat), Kind::OpenAi) => ("/chat/completions", Shape::OpenAiChoices),
        (Errand::Talk(Door::Completions), Kind::OpenAi) => ("/completions", Shape::OpenAiChoices),
        (Errand::Embed, Kind::OpenAi) => ("/embeddings", Shape::OpenAiEmbeddings),
        (Errand::Talk(Door::Responses | Door::Messages | Door::Generate(_)), _)
        | (_, Kind::Gemini | Kind::Vertex | Kind::Anthropic) => return None,
    };
    Some(Way { target, shape })
}

/// Serves one request whose body goes on.
pub(super) async fn serve<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    way: Way,
    outline: &Outline<'_>,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (forward, ask_usage) = forward(way, plan, outline);
    let (outgoing, mut nothing) = (Outgoing::Exact(&forward), Dropped::default());
    let attempted = attempt::attempt(client, &mut exchange, plan, outgoing, &mut nothing).await;
    let (head, answer) = match attempted {
        Ok(answered) => answered,
        Err(why) => return answer::none(client, exchange, plan.upstream, why).await,
    };
    let repair = (plan.upstream.compat == Compat::Fixups).then(|| exchange.shard.random());
    let watched = Watched { shape: way.shape, withhold_usage: ask_usage, repair };
    if head.status != 200 {
        return refused(client, exchange, plan, (head, answer), watched).await;
    }
    if let Some(unfit) = head.unfit(outline.stream) {
        let look = |body: &[u8]| exact::read_whole(watched, body, &mut |_| {});
        let answered = (head, answer);
        let read = unary::read_misfit(client, &mut exchange, plan, answered, unfit, look).await;
        return answer::failed_unless_gone(client, exchange, plan.upstream, read).await;
    }
    if !outline.stream {
        return whole(client, exchange, plan, answer, watched).await;
    }
    let limits = AnswerLimits::of(&exchange.shard.config.limits);
    let fields = answer.crossing.clone();
    let dialect = exchange.envelope.dialect;
    let pipe = Passage { stream: ExactStream::new(watched, limits), dialect };
    stream::relay(client, exchange, plan, answer, pipe, fields).await
}

/// The body as it goes on, and whether usage is asked for that the client has not.
pub(super) fn forward<'b>(way: Way, plan: Plan<'_>, outline: &Outline<'b>) -> (Forward<'b>, bool) {
    let ask_usage = outline.stream && !outline.include_usage && wants_usage(plan.upstream);
    let changes = outline.changes(plan.order.model, ask_usage);
    (Forward { target: way.target, body: outline.body(), changes }, ask_usage)
}

/// Is usage needed that the client did not ask for? So far no limit depends on it.
fn wants_usage(upstream: &Upstream) -> bool {
    match upstream.stream_usage {
        StreamUsage::Always => true,
        StreamUsage::Auto | StreamUsage::Never => false,
    }
}

/// An answer with an error status: an error object about the client's request passes.
async fn refused<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    (head, mut answer): (Head, Answer<R>),
    watched: Watched,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (status, crossing) = (head.status, answer.crossing.clone());
    let most = exchange.shard.config.limits.upstream_body_bytes;
    let read = unary::read_error_body(client, &mut exchange, &mut answer, most).await;
    let Ok((body, end)) = read else {
        exchange.settle(Ending::ClientLeft);
        return After::Gone;
    };
    let is_whole = matches!(end, ErrorEnd::Whole);
    if is_whole {
        answer.release(&exchange, plan.index);
    }
    let failure = match end {
        ErrorEnd::Broken(failure) if status < 400 => failure,
        _ => {
            let mut error = exact::read_error(watched.shape, status, None, &body);
            error.retry_after_ms = head.retry_after_ms.or(error.retry_after_ms);
            Failure::Status(status, error)
        }
    };
    if !is_whole || !exact::error_passes(watched, status, &body) || quotes_key(plan, &body) {
        return answer::failed(client, exchange, plan.upstream, &failure).await;
    }
    exchange.on_failure(failure.reason());
    let error = failure.told(plan.upstream);
    let mut fields = crossing;
    answer::error_fields(&error, exchange.shard, &mut fields);
    let content_type = exchange.envelope.dialect.head().json;
    let passing = Whole { status, content_type, fields: &fields, body: &body };
    let failed = Ending::Failed(status, error.row.code.unwrap_or("refused"));
    send(client, exchange, passing, failed).await
}

/// Does a vendor's error quote a key of ours?
fn quotes_key(plan: Plan<'_>, body: &[u8]) -> bool {
    let quoted = |key: &str| std::str::from_utf8(body).is_ok_and(|text| text.contains(key));
    plan.upstream.keys.iter().any(|key| quoted(key.expose()))
}

/// An answer that is not streamed: looked at when it is whole, and passed.
async fn whole<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    mut answer: Answer<R>,
    watched: Watched,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let mut body = exchange.shard.buffers.take();
    let read = unary::read_all(client, &mut exchange, &mut answer, |data| {
        body.extend_from_slice(data);
        Ok(())
    });
    let looked_at = read.await.and_then(|()| {
        exact::read_whole(watched, &body, &mut |event| exchange.on_event(&event))
            .and_then(|()| exact::repair_whole(watched, &mut body))
            .map_err(|error| Unread::Failed(Failure::Vendor(error)))
    });
    match looked_at {
        Ok(()) => {}
        Err(Unread::ClientLeft) => {
            exchange.settle(Ending::ClientLeft);
            return After::Gone;
        }
        Err(Unread::Failed(failure)) => {
            answer.discard(&exchange, plan.index);
            return answer::failed(client, exchange, plan.upstream, &failure).await;
        }
    }
    let mut fields = answer.crossing.clone();
    answer.release(&exchange, plan.index);
    exchange.phases.gateway = exchange.age().saturating_sub(exchange.waited);
    exchange.push_own(&mut fields);
    let content_type = exchange.envelope.dialect.head().json;
    let passing = Whole { status: 200, content_type, fields: &fields, body: &body };
    send(client, exchange, passing, Ending::Answered).await
}

/// Writes a vendor's body and ends the exchange.
async fn send<R, F, M>(
    client: &Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    passing: Whole<'_>,
    ending: Ending,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    match answer::send(client, &exchange.envelope, passing).await {
        Ok(sent) => {
            let after = after(&exchange.envelope);
            exchange.bytes_out = sent;
            exchange.settle(ending);
            after
        }
        Err(Gone) => {
            exchange.settle(Ending::ClientLeft);
            After::Gone
        }
    }
}

/// A stream that passes as it came, as a [`Pipe`].
struct Passage {
    stream: ExactStream,
    dialect: Dialect,
}

impl<R: Runtime> Pipe<R> for Passage {
    fn feed(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        self.stream.feed(bytes, out, &mut |event| exchange.on_event(&event))
    }

    fn finish(
        &mut self,
        exchange: &mut Exchange<'_, R>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        self.stream.finish(out, &mut |event| exchange.on_event(&event))
    }

    /// The vendor's own error has passed where there was one.
    fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        if !self.stream.has_failed() {
            error.render_event(self.dialect, id, out);
        }
    }

    fn has_started(&self) -> bool {
        self.stream.has_started()
    }

    fn has_ended(&self) -> bool {
        self.stream.has_ended()
    }

    fn ping(&self) -> &'static [u8] {
        b""
    }

    fn content_type(&self) -> &'static str {
        self.dialect.head().events
    }
}
