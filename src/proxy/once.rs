//! Requests whose answer is a small one and comes in one piece: counts of tokens and vectors, in
//! another API's words than the upstream's.

use crate::chat::door::Beside;
use crate::chat::embeddings::{self, Embeddings};
use crate::chat::problem::Problem;
use crate::chat::{ChatError, Door, Event, Outline, Request, Usage};
use crate::provider::{Dropped, UpstreamError, count, embed};
use crate::rt::{Lent, Runtime};
use crate::wire::splice::Splices;

use super::answer::{self, push_dropped};
use super::attempt::{self, Forward, Head, Outgoing, Plan};
use super::body::Answer;
use super::client::Client;
use super::exact::Errand;
use super::exchange::Exchange;
use super::outcome::{Failed, Outcome};
use super::unary::{self, Unread};
use super::{choice, marks};

/// What is asked for.
enum Asked<'b> {
    /// The tokens of a request.
    Count(Box<Request<'b>>),
    /// Vectors.
    Embed(Embeddings<'b>),
}

/// A request in the vendor's words.
struct Written {
    target: Vec<u8>,
    body: String,
}

/// Serves one request.
pub(super) async fn serve<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    errand: Errand,
    (outline, beside): (&Outline<'_>, &Beside),
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let mut asked = match Asked::read(errand, outline, beside) {
        Ok(asked) => asked,
        Err(error) => return Outcome::Failed(exchange, Failed::Request(error)),
    };
    if let Asked::Count(request) = &mut asked {
        choice::prepare(&shard.config, plan, request);
        marks::recall(request, plan.order.vendor, &shard.signatures, shard.rt.now());
        count::prepare(request);
    }
    let mut dropped = Dropped::default();
    let written = match asked.write(plan, &mut dropped) {
        Ok(written) => written,
        Err(error) => return Outcome::Failed(exchange, Failed::Request(error)),
    };
    exchange.phases.parse = exchange.age();
    let forward = Forward {
        target: written.target,
        version: None,
        betas: beside.betas.as_deref().filter(|_| plan.order.vendor.speaks_messages()),
        body: &written.body,
        changes: Splices::default(),
    };
    let (outgoing, mut nothing) = (Outgoing::Exact(&forward), Dropped::default());
    let attempted = attempt::attempt(client, &mut exchange, plan, outgoing, &mut nothing).await;
    match attempted {
        Ok(answered) => hand_on(client, exchange, plan, answered, (&asked, &dropped)).await,
        Err(why) => Outcome::none(exchange, why),
    }
}

impl<'b> Asked<'b> {
    fn read(errand: Errand, outline: &Outline<'b>, beside: &'b Beside) -> Result<Self, ChatError> {
        match errand {
            Errand::Embed => Embeddings::read(outline).map(Self::Embed),
            _ => Door::read_to_count(outline, beside).map(Box::new).map(Self::Count),
        }
    }

    fn write<'r>(
        &'r self,
        plan: &Plan<'_>,
        dropped: &mut Dropped<'r>,
    ) -> Result<Written, ChatError> {
        let (order, mut target, mut body) = (&plan.order, Vec::new(), Vec::new());
        match self {
            Self::Count(request) => {
                count::target(order, &mut target)?;
                count::encode(order, request, &mut body, dropped)?;
            }
            Self::Embed(asked) => {
                embed::target(order, &mut target)?;
                embed::encode(order, asked, &mut body, dropped);
            }
        }
        // The encoders write what they read as text, and JSON around it.
        let not_text = |_bytes| ChatError::at("", Problem::NotUtf8);
        Ok(Written { target, body: String::from_utf8(body).map_err(not_text)? })
    }

    /// Makes the client's answer of the vendor's, and gives what the vendor has counted.
    fn translate(
        &self,
        plan: &Plan<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Usage>, UpstreamError> {
        match self {
            Self::Count(_) => {
                let tokens = count::read(plan.order.vendor, body)?;
                out.extend_from_slice(b"{\"input_tokens\":");
                crate::base::ascii::push_u64(out, tokens);
                out.push(b'}');
                // Counting is free.
                Ok(Some(Usage::default()))
            }
            Self::Embed(asked) => {
                let found = embed::read(body, asked.texts.len())?;
                let vectors = (found.vectors.as_slice(), asked.base64);
                embeddings::render(plan.order.model, vectors, found.tokens, out)?;
                let usage = Usage { prompt: found.tokens, ..Usage::default() };
                Ok((found.tokens > 0).then_some(usage))
            }
        }
    }
}

/// Hands an upstream's answer on, or what its failure means.
async fn hand_on<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    (head, mut upstream_answer): (Head, Answer<R>),
    (asked, dropped): (&Asked<'_>, &Dropped<'_>),
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    // A failure crosses with them too: they say when to come again.
    exchange.crossing = std::mem::take(&mut upstream_answer.crossing);
    if head.status != 200 {
        let read = unary::read_failure(client, &mut exchange, plan, head, upstream_answer).await;
        return Outcome::failed_unless_gone(exchange, read);
    }
    if let Some(unfit) = head.unfit(false) {
        upstream_answer.discard(&exchange, plan.index);
        return Outcome::failed(exchange, unfit);
    }
    let mut body = shard.buffers.take();
    let read = unary::read_all(client, &mut exchange, &mut upstream_answer, |data| {
        body.extend_from_slice(data);
        Ok(())
    });
    let mut out = Vec::new();
    let read = read.await.and_then(|()| {
        let usage = asked.translate(plan, &body, &mut out);
        usage.map_err(|error| Unread::Failed(upstream_answer.blame(error)))
    });
    shard.buffers.give(body);
    match read {
        Ok(Some(usage)) => exchange.on_event(&Event::Usage(usage)),
        Ok(None) => {}
        Err(Unread::ClientLeft) => return Outcome::left(exchange),
        Err(Unread::Failed(failure)) => {
            upstream_answer.discard(&exchange, plan.index);
            return Outcome::failed(exchange, failure);
        }
    }
    upstream_answer.release(&exchange, plan.index);
    push_dropped(dropped, shard.config.server.own_headers, &mut exchange.crossing);
    let mut fields = answer::take_fields(&mut exchange);
    exchange.push_cost(&mut fields);
    exchange.crossing = fields;
    Outcome::Ended(answer::json(client, exchange, &out).await)
}
