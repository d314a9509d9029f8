//! A conversation through any door: understand, choose, attempt, relay.

use crate::chat::door::Beside;
use crate::chat::{ApiError, Door, ReplyMeta, Request, Row, StreamWriter, WholeWriter};
use crate::config::{Config, Kind, SchemaMode, SystemMessages, Target};
use crate::policy::KeyId;
use crate::provider::decode::AnswerLimits;
use crate::provider::{Dropped, Expected, Order, Rules, UpstreamError, UpstreamErrorKind, Vendor};
use crate::rt::{Lent, Runtime};
use crate::shard::Shard;

use super::answer;
use super::attempt::{self, Head, NoAnswer, Plan};
use super::body::Answer;
use super::client::Client;
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::translate::Translation;
use super::{marks, stream, unary};

/// Who asks through which door, known from the head.
pub(super) struct Asker {
    pub(super) key: KeyId,
    pub(super) door: Door,
    pub(super) beside: Beside,
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
    let shard = exchange.shard;
    let mut request = match asker.door.parse(body, &asker.beside) {
        Ok(request) => request,
        Err(error) => return answer::fail(client, exchange, &error.to_api()).await,
    };
    exchange.phases.parse = exchange.age();
    let (target, vendor) = match choose(shard, &mut exchange, asker.key, &request) {
        Ok(chosen) => chosen,
        Err(error) => return answer::fail(client, exchange, &error).await,
    };
    let google = matches!(vendor, Vendor::Gemini | Vendor::Vertex);
    if google && shard.config.gemini.system_messages == SystemMessages::Inline {
        request.inline_system();
    }
    marks::recall(&mut request, vendor, &shard.signatures, shard.rt.now());
    let Some(plan) = plan(shard, target, vendor, &request) else {
        let error = not_found(&request.model);
        return answer::fail(client, exchange, &error).await;
    };
    let mut dropped = Dropped::default();
    let attempted = attempt::attempt(client, &mut exchange, plan, &request, &mut dropped).await;
    match attempted {
        Ok(answered) => {
            let asked = (asker.door, &request, &dropped);
            hand_on(client, exchange, plan, answered, asked).await
        }
        Err(NoAnswer::ClientLeft) => {
            exchange.settle(Ending::ClientLeft);
            After::Gone
        }
        Err(NoAnswer::Request(error)) => answer::fail(client, exchange, &error.to_api()).await,
        Err(NoAnswer::Failed(failure)) => {
            exchange.on_failure(failure.reason());
            answer::fail(client, exchange, &failure.told(plan.upstream)).await
        }
    }
}

/// Hands an upstream's answer on, or what its failure means.
async fn hand_on<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    (head, upstream_answer): (Head, Answer<R>),
    (door, request, dropped): (Door, &Request<'_>, &Dropped<'_>),
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    if head.status != 200 {
        let failure = unary::read_failure(client, &mut exchange, plan, head, upstream_answer).await;
        let Ok(failure) = failure else {
            exchange.settle(Ending::ClientLeft);
            return After::Gone;
        };
        exchange.on_failure(failure.reason());
        return answer::fail(client, exchange, &failure.told(plan.upstream)).await;
    }
    if let Some(failure) = unfit(head, request.stream) {
        exchange.on_failure(failure.reason());
        upstream_answer.discard(&exchange, plan.index);
        return answer::fail(client, exchange, &failure.told(plan.upstream)).await;
    }
    let meta = ReplyMeta {
        fallback_id: shard.random(),
        created: shard.rt.unix_millis() / 1000,
        model: plan.order.model.to_owned(),
    };
    let mut fields = upstream_answer.crossing.clone();
    push_dropped(dropped, shard.config.server.own_headers, &mut fields);
    let expected = Expected::of(&plan.order, request, shard.random());
    if request.stream {
        let limits = AnswerLimits::of(&shard.config.limits);
        let writer = StreamWriter::new(door, meta, request);
        let pipe = Translation::new(expected, limits, writer);
        stream::relay(client, exchange, plan, upstream_answer, pipe, fields).await
    } else {
        let writer = WholeWriter::new(door, meta, request);
        unary::relay(client, exchange, plan, upstream_answer, writer, (expected, &fields)).await
    }
}

/// The first target of the model's route, if the key may use the model, and whose wire format
/// it speaks.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn choose<'s, R: Runtime>(
    shard: &'s Shard<R>,
    exchange: &mut Exchange<'_, R>,
    key: KeyId,
    request: &Request<'_>,
) -> Result<(&'s Target, Vendor), ApiError> {
    shard.keys.check_model(key, &request.model).map_err(|reject| {
        ApiError::new(Row::PERMISSION_DENIED, reject.message()).with_param("model")
    })?;
    let missing = || not_found(&request.model);
    let index = shard.config.route(&request.model).ok_or_else(missing)?;
    let route = shard.config.routes.as_slice().get(index).ok_or_else(missing)?;
    let target = route.targets.first().ok_or_else(missing)?;
    exchange.target = shard.series(index);
    let upstream = shard.config.upstreams.get(target.upstream).ok_or_else(missing)?;
    let model = shard.config.upstream_model(target, &request.model);
    let vendor = match upstream.kind {
        Kind::Gemini => Vendor::Gemini,
        Kind::Vertex if model.starts_with("claude") => Vendor::Claude,
        Kind::Vertex => Vendor::Vertex,
        Kind::Anthropic => Vendor::Anthropic,
        Kind::OpenAi => return Err(missing()),
    };
    Ok((target, vendor))
}

/// What is asked of a target.
fn plan<'p, R: Runtime>(
    shard: &'p Shard<R>,
    target: &'p Target,
    vendor: Vendor,
    request: &'p Request<'_>,
) -> Option<Plan<'p>> {
    let upstream = shard.config.upstreams.get(target.upstream)?;
    let model = shard.config.upstream_model(target, &request.model);
    let Config { gemini, anthropic, .. } = &shard.config;
    let rules = Rules {
        place: upstream.vertex.as_ref(),
        safety_settings: gemini.safety_settings.as_deref(),
        openapi_schemas: gemini.schema_mode == SchemaMode::OpenApi,
        signature_in_id: gemini.signatures.in_id,
        first_call_only: gemini.enforce_parallel,
        max_tokens: anthropic.default_max_tokens,
    };
    Some(Plan { upstream, index: target.upstream, order: Order { vendor, model, rules } })
}

fn not_found(model: &str) -> ApiError {
    let message = format!("no route serves the model `{model}`");
    ApiError::new(Row::MODEL_NOT_FOUND, message).with_param("model")
}

/// An answer of a kind that was not asked for.
fn unfit(head: Head, stream: bool) -> Option<Failure> {
    let what = match (head.is_event_stream, stream) {
        _ if head.encoded => "the upstream's answer has a content coding that was not asked for",
        (true, false) => "the upstream streamed an answer that was asked for whole",
        (false, true) => "the upstream did not stream its answer",
        _ => return None,
    };
    Some(Failure::Vendor(UpstreamError::new(UpstreamErrorKind::Invalid, what)))
}

/// Appends the field that tells what was left out of the translated request.
fn push_dropped(dropped: &Dropped<'_>, own_headers: bool, fields: &mut Vec<u8>) {
    if own_headers && !dropped.is_empty() {
        fields.extend_from_slice(b"x-vertex-bridge-dropped: ");
        dropped.render(fields);
        fields.extend_from_slice(b"\r\n");
    }
}
