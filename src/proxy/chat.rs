//! A conversation through any door: understand, choose, attempt, relay.

use crate::chat::door::Beside;
use crate::chat::{ApiError, Door, Outline, ReplyMeta, Request, Row, StreamWriter, WholeWriter};
use crate::config::Route;
use crate::policy::KeyId;
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Dropped, Expected};
use crate::rt::{Lent, Runtime};
use crate::shard::Shard;

use super::answer;
use super::attempt::{self, Head, Outgoing, Plan};
use super::body::Answer;
use super::client::Client;
use super::exact::{self, Errand};
use super::exchange::{After, Exchange};
use super::outcome::{Failed, Outcome};
use super::translate::Translation;
use super::{choice, course, explain, limits, marks, once, stream, unary};

/// Who asks for what, known from the head.
pub(super) struct Asker {
    pub(super) key: KeyId,
    pub(super) errand: Errand,
    pub(super) beside: Beside,
    /// Wants to know what would become of the request; nothing is sent.
    pub(super) explain: bool,
}

/// Serves one request whose body has been read.
pub(super) async fn serve<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    asker: &Asker,
    body: &[u8],
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    if asker.explain {
        return explain(client, exchange, asker.key, body).await;
    }
    let shard = exchange.shard;
    let outline = match asker.errand.outline(body, &asker.beside) {
        Ok(outline) => outline,
        Err(error) => return answer::fail(client, exchange, &error.to_api()).await,
    };
    exchange.phases.parse = exchange.age();
    if shard.rates.counts_tokens(asker.key) {
        match limits::reserve(shard, asker.key, body.len()) {
            Ok(tokens) => exchange.reserved = Some(tokens),
            Err(error) => return answer::fail(client, exchange, &error).await,
        }
    }
    match choose(shard, &mut exchange, asker.key, &outline.model) {
        Ok(route) => course::run(client, exchange, asker, &outline, route).await,
        Err(error) => answer::fail(client, exchange, &error).await,
    }
}

/// Asks one candidate.
pub(super) async fn candidate<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: Plan<'_>,
    asker: &Asker,
    outline: &Outline<'_>,
) -> Outcome<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    if let Some(way) = exact::way(asker.errand, &plan, &shard.config, outline) {
        let asked = (asker.errand, &asker.beside);
        return exact::serve(client, exchange, plan, way, (asked, outline)).await;
    }
    let Errand::Talk(door) = asker.errand else {
        let asked = (outline, &asker.beside);
        return once::serve(client, exchange, plan, asker.errand, asked).await;
    };
    let mut request = match door.read(outline, &asker.beside) {
        Ok(request) => request,
        Err(error) => return Outcome::Failed(exchange, Failed::Request(error)),
    };
    exchange.phases.parse = exchange.age().saturating_sub(exchange.waited);
    choice::prepare(&shard.config, &plan, &mut request);
    marks::recall(&mut request, plan.order.vendor, &shard.signatures, shard.rt.now());
    let (outgoing, mut dropped) = (Outgoing::Translated(&request), Dropped::default());
    let attempted = attempt::attempt(client, &mut exchange, plan, outgoing, &mut dropped).await;
    match attempted {
        Ok(answered) => {
            let asked = (door, &request, &dropped);
            hand_on(client, exchange, plan, answered, asked).await
        }
        Err(why) => Outcome::none(exchange, why),
    }
}

/// Tells what would become of a request.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
async fn explain<R, F, M>(
    client: &Client<'_, R, F, M>,
    exchange: Exchange<'_, R>,
    key: KeyId,
    body: &[u8],
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let permit = |model: &str| permitted(shard, key, model);
    let recall = |request: &mut Request<'_>, vendor| {
        marks::recall(request, vendor, &shard.signatures, shard.rt.now());
    };
    match explain::explain(&shard.config, body, permit, recall) {
        Ok(text) => answer::json(client, exchange, &text).await,
        Err(error) => answer::fail(client, exchange, &error).await,
    }
}

/// Hands an upstream's answer on, or what its failure means.
async fn hand_on<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plan: Plan<'_>,
    (head, mut upstream_answer): (Head, Answer<R>),
    (door, request, dropped): (Door, &Request<'_>, &Dropped<'_>),
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
    let expected = Expected::of(&plan.order, request, shard.random());
    let limits = AnswerLimits::of(&shard.config.limits);
    if let Some(unfit) = head.unfit(request.stream) {
        let look = |body: &[u8]| {
            let mut decoder = Decoder::new(Expected { stream: false, ..expected }, limits);
            decoder.feed(body, &mut |_| {})?;
            decoder.finish(&mut |_| {})
        };
        let answered = (head, upstream_answer);
        let read = unary::read_misfit(client, &mut exchange, plan, answered, unfit, look).await;
        return Outcome::failed_unless_gone(exchange, read);
    }
    let meta = ReplyMeta {
        fallback_id: shard.random(),
        created: shard.rt.unix_millis() / 1000,
        model: plan.order.model.to_owned(),
    };
    let mut fields = exchange.crossing.clone();
    answer::push_dropped(dropped, shard.config.server.own_headers, &mut fields);
    if request.stream {
        let writer = StreamWriter::new(door, meta, request);
        let pipe = Translation::new(expected, limits, writer);
        stream::relay(client, exchange, plan, upstream_answer, pipe, fields).await
    } else {
        let writer = WholeWriter::new(door, meta, request);
        unary::relay(client, exchange, plan, upstream_answer, writer, (expected, &fields)).await
    }
}

/// The model's route, if the key may use the model.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn choose<'p, R: Runtime>(
    shard: &'p Shard<R>,
    exchange: &mut Exchange<'_, R>,
    key: KeyId,
    model: &str,
) -> Result<&'p Route, ApiError> {
    permitted(shard, key, model)?;
    let (index, route) = choice::route(&shard.config, model)?;
    exchange.target = shard.series(index);
    Ok(route)
}

/// May this key use this model?
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn permitted<R: Runtime>(shard: &Shard<R>, key: KeyId, model: &str) -> Result<(), ApiError> {
    shard.keys.check_model(key, model).map_err(|reject| {
        ApiError::new(Row::PERMISSION_DENIED, reject.message()).with_param("model")
    })
}
