//! Requests that need no translation, because the upstream speaks the client's API: the client's
//! bytes go on, the vendor's come back.
//!
//! What is changed all the same stands at the end of the error table: nothing of a good answer but
//! a usage chunk that only we asked for; failures that are not about the client's request.

use crate::chat::door::Beside;
use crate::chat::generate_out::Series;
use crate::chat::{ChatError, Door, Form, Outline};
use crate::config::{Compat, Config, Responses, StreamUsage, SystemMessages, Upstream};
use crate::provider::decode::AnswerLimits;
use crate::provider::native::Settings;
use crate::provider::{Dropped, ExactStream, Native, Shape, Vendor, Watched, exact, read_error};
use crate::rt::{Lent, Runtime};

use super::answer::push_dropped;
use super::attempt::{self, Forward, Head, Outgoing, Plan};
use super::body::Answer;
use super::client::Client;
use super::exchange::Exchange;
use super::failure::Failure;
use super::outcome::{Failed, Outcome, Words};
use super::passage::Passage;
use super::stream;
use super::unary::{self, ErrorEnd, Unread};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// An answer in a conversation, in the words of some API.
    Talk(Door),
    /// Embeddings, in OpenAI's words.
    Embed,
    /// The tokens of a request of Anthropic's.
    Count,
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
            Self::Count => Outline::parse(body, &Form::MESSAGES),
        }
    }
}

/// The way to an upstream that speaks the client's API, if the body can go it.
pub(super) fn way<'p>(
    errand: Errand,
    plan: &Plan<'p>,
    config: &Config,
    outline: &Outline<'_>,
) -> Option<Native<'p>> {
    match (errand, plan.order.vendor) {
        (Errand::Talk(door), _) => {
            let settings = Settings {
                responses: plan.upstream.responses == Responses::Native,
                inline_system: config.gemini.system_messages == SystemMessages::Inline,
            };
            Native::find(door, &plan.order, settings, outline)
        }
        (Errand::Embed, Vendor::OpenAi) => Some(Native::at("/embeddings", Shape::OpenAiEmbeddings)),
        (Errand::Embed, _) => None,
        (Errand::Count, _) => Native::find_count(&plan.order, outline),
    }
}

/// Does the client want the elements of an array, where the upstream sends events? It is not asked
/// for the array itself: events tell where each element ends, and the data of each is an element.
fn wants_array(errand: Errand) -> bool {
    errand == Errand::Talk(Door::Generate(Some(Series::Array)))
}

/// Serves one request whose body goes on.
pub(super) async fn serve<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    way: Native<'_>,
    ((errand, beside), outline): ((Errand, &Beside), &Outline<'_>),
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    // What the client gets is the vendor's, to the byte.
    client.fill_silence(false);
    let (forward, ask_usage) = match forward(way, plan, (outline, beside)) {
        Ok(forward) => forward,
        Err(error) => return Outcome::Failed(exchange, Failed::Request(error)),
    };
    exchange.phases.parse = exchange.age().saturating_sub(exchange.waited);
    let (outgoing, mut nothing) = (Outgoing::Exact(&forward), Dropped::default());
    let attempted = attempt::attempt(client, &mut exchange, plan, outgoing, &mut nothing).await;
    let (head, mut answer) = match attempted {
        Ok(answered) => answered,
        Err(why) => return Outcome::none(exchange, why),
    };
    if errand == Errand::Count {
        exchange.account.is_free();
    }
    // A failure crosses with them too: they say when to come again.
    exchange.crossing = std::mem::take(&mut answer.crossing);
    let own_headers = exchange.shard.config.server.own_headers;
    push_dropped(&way.dropped(outline), own_headers, &mut exchange.crossing);
    let repairs = plan.upstream.compat == Compat::Fixups && way.shape != Shape::OpenAiResponse;
    let repair = repairs.then(|| exchange.shard.random());
    let as_array = wants_array(errand);
    let watched = Watched { shape: way.shape, withhold_usage: ask_usage, repair, as_array };
    if head.status != 200 {
        return Box::pin(refused(client, exchange, plan, (head, answer), watched)).await;
    }
    if let Some(unfit) = head.unfit(outline.stream) {
        let look = |body: &[u8]| exact::read_whole(watched, body, &mut |_| {});
        let answered = (head, answer);
        let read = unary::read_misfit(client, &mut exchange, plan, answered, unfit, look);
        let read = Box::pin(read).await;
        return Outcome::failed_unless_gone(exchange, read);
    }
    if !outline.stream {
        let (exchange, body) = match whole(client, exchange, plan, answer, watched).await {
            Ok(parted) => parted,
            Err(outcome) => return outcome,
        };
        return unary::tell(client, exchange, body).await;
    }
    let limits = AnswerLimits::of(&exchange.shard.config.limits);
    let fields = std::mem::take(&mut exchange.crossing);
    let dialect = exchange.envelope.dialect;
    let content_type = if as_array { dialect.head().json } else { dialect.head().events };
    let mut stream = ExactStream::new(watched, limits);
    if plan.keeps && way.shape != Shape::OpenAiResponse {
        stream = stream.keeping();
    }
    if exchange.waits_for_word() {
        stream = stream.listening();
    }
    let pipe = Passage::new(stream, dialect, content_type);
    stream::relay(client, exchange, plan, answer, pipe, fields).await
}

/// The request as it goes on, and whether usage is asked for that the client has not.
pub(super) fn forward<'b>(
    way: Native<'_>,
    plan: &Plan<'_>,
    (outline, beside): (&Outline<'b>, &'b Beside),
) -> Result<(Forward<'b>, bool), ChatError> {
    let asks = way.shape == Shape::OpenAiChoices && wants_usage(plan.upstream);
    let ask_usage = asks && outline.stream && !outline.include_usage;
    let mut target = Vec::new();
    way.target(&plan.order, outline.stream, &mut target)?;
    let forward = Forward {
        target,
        version: beside.version.as_deref(),
        betas: beside.betas.as_deref().filter(|_| plan.order.vendor.speaks_messages()),
        body: outline.body(),
        changes: way.changes(outline, plan.order.model, ask_usage),
    };
    Ok((forward, ask_usage))
}

/// Is usage needed that the client did not ask for? So far no limit depends on it.
fn wants_usage(upstream: &Upstream) -> bool {
    match upstream.stream_usage {
        StreamUsage::Always => true,
        StreamUsage::Auto | StreamUsage::Never => false,
    }
}

/// An answer with an error status: an error object about the client's request passes.
async fn refused<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    (head, mut answer): (Head, Answer<R>),
    watched: Watched,
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let status = head.status;
    let most = exchange.shard.config.limits.upstream_body_bytes;
    let read = unary::read_error_body(client, &mut exchange, &mut answer, most).await;
    let Ok((body, end)) = read else {
        return Outcome::left(exchange);
    };
    let is_whole = matches!(end, ErrorEnd::Whole);
    if is_whole {
        answer.release(&exchange, plan.index);
    }
    let failure = match end {
        ErrorEnd::Broken(failure) if status < 400 => failure,
        _ => {
            let mut error = read_error(plan.order.vendor, status, None, &body);
            error.retry_after_ms = head.retry_after_ms.or(error.retry_after_ms);
            Failure::Status(status, error)
        }
    };
    let passes = match &failure {
        Failure::Status(_, error) => exact::error_passes(watched, status, &body, error),
        _ => false,
    };
    if !is_whole || !passes || quotes_key(plan, &body) {
        return Outcome::failed(exchange, failure);
    }
    Outcome::Failed(exchange, Failed::Told(failure, Words { status, body }))
}

/// Does a vendor's error quote a key of ours?
fn quotes_key(plan: &Plan<'_>, body: &[u8]) -> bool {
    let quoted = |key: &str| std::str::from_utf8(body).is_ok_and(|text| text.contains(key));
    plan.upstream.keys.iter().any(|key| quoted(key.expose()))
}

/// The body for the client of an answer that is not streamed: looked at when it is whole.
async fn whole<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    mut answer: Answer<R>,
    watched: Watched,
) -> Result<(Exchange<'s, R>, Vec<u8>), Outcome<'s, R>>
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
            .map_err(|error| Unread::Failed(answer.blame(error)))
    });
    unary::part(exchange, plan, answer, looked_at.map(|()| body))
}
