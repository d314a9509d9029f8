//! A request at one candidate: understood, written in its vendor's words, sent, and its answer
//! handed on.

use crate::chat::door::Beside;
use crate::chat::{Continuity, Door, Outline, ReplyMeta, Request, StreamWriter, WholeWriter};
use crate::policy::{CacheWish, KeyId};
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Dropped, Expected};
use crate::rt::{Lent, Runtime};
use crate::shard::Turn;

use super::answer;
use super::attempt::{self, Head, Outgoing, Plan};
use super::body::Answer;
use super::client::Client;
use super::exact::{self, Errand};
use super::exchange::Exchange;
use super::outcome::{Failed, Outcome};
use super::remains::Tale;
use super::translate::Translation;
use super::wishes::Wishes;
use super::{choice, marks, once, stream, unary};

/// Who asks for what, known from the head.
pub(super) struct Asker {
    pub(super) key: KeyId,
    pub(super) errand: Errand,
    pub(super) beside: Beside,
    /// Wants to know what would become of the request; nothing is sent.
    pub(super) explain: bool,
    /// What the client wants otherwise than configured, if it may.
    pub(super) wishes: Option<Box<Wishes>>,
    /// What it says about the response cache, if there is one and it says anything.
    pub(super) cache: Option<Box<CacheWish>>,
    /// The key's right to run one more request.
    pub(super) turn: Option<Turn>,
    /// What fields that name a session said, by their names in lower case.
    pub(super) sessions: Vec<(String, u64)>,
    /// What goes on beside the place in the trace.
    pub(super) trace_state: Option<Box<str>>,
}

impl Asker {
    /// What it says about the response cache.
    pub(super) fn wish(&self) -> &CacheWish {
        self.cache.as_deref().unwrap_or(&CacheWish::NONE)
    }

    /// The session that a field of this name tells, as a number.
    pub(super) fn session(&self, field: &str) -> Option<u64> {
        self.sessions.iter().find(|(name, _)| name == field).map(|(_, session)| *session)
    }
}

/// Asks one candidate.
pub(super) async fn candidate<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    asker: &Asker,
    outline: &Outline<'_>,
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    if let Some(way) = exact::way(asker.errand, plan, &shard.config, outline) {
        let asked = (asker.errand, &asker.beside);
        return exact::serve(client, exchange, plan, way, (asked, outline)).await;
    }
    let Errand::Talk(door) = asker.errand else {
        let asked = (outline, &asker.beside);
        return Box::pin(once::serve(client, exchange, plan, asker.errand, asked)).await;
    };
    let prepared = translated(client, exchange, plan, (door, &asker.beside), outline).await;
    relay(client, plan, prepared).await
}

/// Hands an answer on. A stream may last for long, and needs nothing of the request any more.
#[expect(clippy::manual_async_fn, reason = "what is given would stand in the future twice")]
fn relay<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    plan: &Plan<'_>,
    prepared: Prepared<'s, R>,
) -> impl Future<Output = Outcome<'s, R>>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    async move {
        match prepared {
            Prepared::Stream(exchange, answer, pipe, fields) => {
                stream::relay(client, exchange, plan, answer, pipe, fields).await
            }
            Prepared::Whole(exchange, answer, writer, expected) => {
                unary::relay(client, exchange, plan, answer, writer, expected).await
            }
            Prepared::Not(outcome) => outcome,
        }
    }
}

/// Asks in the words of another API.
async fn translated<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    (door, beside): (Door, &Beside),
    outline: &Outline<'_>,
) -> Prepared<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    client.fill_silence(true);
    let mut request = match door.read(outline, beside) {
        Ok(request) => request,
        Err(error) => {
            return Prepared::Not(Outcome::Failed(exchange, Failed::Request(error)));
        }
    };
    exchange.phases.parse = exchange.age().saturating_sub(exchange.waited);
    choice::prepare(&shard.config, plan, &mut request);
    marks::recall(&mut request, plan.order.vendor, &shard.signatures, shard.rt.lately());
    let (outgoing, mut dropped) = (Outgoing::Translated(&request), Dropped::default());
    match attempt::attempt(client, &mut exchange, plan, outgoing, &mut dropped).await {
        Ok(answered) => {
            let asked = (door, &request, &dropped);
            prepare(client, exchange, plan, answered, asked).await
        }
        Err(why) => Prepared::Not(Outcome::none(exchange, why)),
    }
}

/// What is to be done with an upstream's answer.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, mostly as the large ones")]
enum Prepared<'s, R: Runtime> {
    /// It is relayed event by event.
    Stream(Exchange<'s, R>, Answer<R>, Translation, Vec<u8>),
    /// It is read whole.
    Whole(Exchange<'s, R>, Answer<R>, WholeWriter, Expected),
    /// Nothing more.
    Not(Outcome<'s, R>),
}

/// Looks at the head of an upstream's answer: it is handed on, or it is a failure.
async fn prepare<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: &Plan<'_>,
    (head, mut upstream_answer): (Head, Answer<R>),
    (door, request, dropped): (Door, &Request<'_>, &Dropped<'_>),
) -> Prepared<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    // A failure crosses with them too: they say when to come again.
    exchange.crossing = std::mem::take(&mut upstream_answer.crossing);
    if head.status != 200 {
        let read = unary::read_failure(client, &mut exchange, plan, head, upstream_answer);
        let read = Box::pin(read).await;
        return Prepared::Not(Outcome::failed_unless_gone(exchange, read));
    }
    let expected = Expected::of(&plan.order, request, shard.random());
    let limits = AnswerLimits::of(&shard.config.limits);
    if let Some(unfit) = head.unfit(request.stream) {
        let look = |body: &[u8]| {
            let mut decoder = Decoder::new(Expected { stream: false, ..expected }, limits);
            decoder.feed(body, &mut |_| {})?;
            decoder.finish(&mut |_| {})
        };
        let answered = (head, upstream_answer);
        let read = unary::read_misfit(client, &mut exchange, plan, answered, unfit, look);
        let read = Box::pin(read).await;
        return Prepared::Not(Outcome::failed_unless_gone(exchange, read));
    }
    let meta = ReplyMeta {
        fallback_id: shard.random(),
        created: shard.rt.unix_millis() / 1000,
        model: plan.order.model.to_owned(),
    };
    answer::push_dropped(dropped, shard.config.server.own_headers, &mut exchange.crossing);
    if request.stream {
        let writer = StreamWriter::new(door, meta, request);
        let continuity = (plan.keeps && expected.choices == 1).then(Continuity::new);
        let pipe = Translation::new(expected, limits, Tale::new(writer, continuity));
        let fields = exchange.crossing.clone();
        Prepared::Stream(exchange, upstream_answer, pipe, fields)
    } else {
        let writer = WholeWriter::new(door, meta, request);
        Prepared::Whole(exchange, upstream_answer, writer, expected)
    }
}
