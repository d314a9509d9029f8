//! A conversation through any door: understand, choose, attempt, relay.

use crate::chat::door::Beside;
use crate::chat::problem::Problem;
use crate::chat::{ApiError, ChatError, Door, ReplyMeta, Request, Row, StreamWriter, WholeWriter};
use crate::config::{Config, Kind, SchemaMode, StreamUsage, SystemMessages, Target, Upstream};
use crate::policy::KeyId;
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, Dropped, Expected, Order, Rules, Vendor};
use crate::rt::{Lent, Runtime};
use crate::shard::Shard;

use super::answer;
use super::attempt::{self, Head, Outgoing, Plan};
use super::body::Answer;
use super::client::Client;
use super::exact::{self, Errand};
use super::exchange::{After, Exchange};
use super::translate::Translation;
use super::{marks, stream, unary};

/// Who asks for what, known from the head.
pub(super) struct Asker {
    pub(super) key: KeyId,
    pub(super) errand: Errand,
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
    let outline = match asker.errand.outline(body, &asker.beside) {
        Ok(outline) => outline,
        Err(error) => return answer::fail(client, exchange, &error.to_api()).await,
    };
    exchange.phases.parse = exchange.age();
    let (target, upstream, vendor) = match choose(shard, &mut exchange, asker.key, &outline.model) {
        Ok(chosen) => chosen,
        Err(error) => return answer::fail(client, exchange, &error).await,
    };
    let model = shard.config.upstream_model(target, &outline.model);
    let plan = plan(shard, (target.upstream, upstream), (vendor, model));
    if let Some(way) = exact::way(asker.errand, upstream) {
        return exact::serve(client, exchange, plan, way, &outline).await;
    }
    let Errand::Talk(door) = asker.errand else {
        let why = "the upstream of this model has no embeddings that can be asked for here";
        let error = ChatError::at("model", Problem::Unsupported(why));
        return answer::fail(client, exchange, &error.to_api()).await;
    };
    let mut request = match door.read(&outline, &asker.beside) {
        Ok(request) => request,
        Err(error) => return answer::fail(client, exchange, &error.to_api()).await,
    };
    exchange.phases.parse = exchange.age();
    let google = matches!(vendor, Vendor::Gemini | Vendor::Vertex);
    if google && shard.config.gemini.system_messages == SystemMessages::Inline {
        request.inline_system();
    }
    marks::recall(&mut request, vendor, &shard.signatures, shard.rt.now());
    let (outgoing, mut dropped) = (Outgoing::Translated(&request), Dropped::default());
    let attempted = attempt::attempt(client, &mut exchange, plan, outgoing, &mut dropped).await;
    match attempted {
        Ok(answered) => {
            let asked = (door, &request, &dropped);
            hand_on(client, exchange, plan, answered, asked).await
        }
        Err(why) => answer::none(client, exchange, plan.upstream, why).await,
    }
}

/// Hands an upstream's answer on, or what its failure means.
async fn hand_on<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'_, R>,
    plan: Plan<'_>,
    (head, mut upstream_answer): (Head, Answer<R>),
    (door, request, dropped): (Door, &Request<'_>, &Dropped<'_>),
) -> After
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
        return answer::failed_unless_gone(client, exchange, plan.upstream, read).await;
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
        return answer::failed_unless_gone(client, exchange, plan.upstream, read).await;
    }
    let meta = ReplyMeta {
        fallback_id: shard.random(),
        created: shard.rt.unix_millis() / 1000,
        model: plan.order.model.to_owned(),
    };
    let mut fields = exchange.crossing.clone();
    push_dropped(dropped, shard.config.server.own_headers, &mut fields);
    if request.stream {
        let writer = StreamWriter::new(door, meta, request);
        let pipe = Translation::new(expected, limits, writer);
        stream::relay(client, exchange, plan, upstream_answer, pipe, fields).await
    } else {
        let writer = WholeWriter::new(door, meta, request);
        unary::relay(client, exchange, plan, upstream_answer, writer, (expected, &fields)).await
    }
}

/// The first target of the model's route, if the key may use the model, its upstream, and whose
/// wire format that speaks.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn choose<'s, R: Runtime>(
    shard: &'s Shard<R>,
    exchange: &mut Exchange<'_, R>,
    key: KeyId,
    model: &str,
) -> Result<(&'s Target, &'s Upstream, Vendor), ApiError> {
    shard.keys.check_model(key, model).map_err(|reject| {
        ApiError::new(Row::PERMISSION_DENIED, reject.message()).with_param("model")
    })?;
    let missing = || not_found(model);
    let index = shard.config.route(model).ok_or_else(missing)?;
    let route = shard.config.routes.as_slice().get(index).ok_or_else(missing)?;
    let target = route.targets.first().ok_or_else(missing)?;
    exchange.target = shard.series(index);
    let upstream = shard.config.upstreams.get(target.upstream).ok_or_else(missing)?;
    let model = shard.config.upstream_model(target, model);
    let vendor = match upstream.kind {
        Kind::Gemini => Vendor::Gemini,
        Kind::Vertex if model.starts_with("claude") => Vendor::Claude,
        Kind::Vertex => Vendor::Vertex,
        Kind::Anthropic => Vendor::Anthropic,
        Kind::OpenAi => Vendor::OpenAi,
    };
    Ok((target, upstream, vendor))
}

/// What is asked of an upstream.
fn plan<'p, R: Runtime>(
    shard: &'p Shard<R>,
    (index, upstream): (usize, &'p Upstream),
    (vendor, model): (Vendor, &'p str),
) -> Plan<'p> {
    let Config { gemini, anthropic, .. } = &shard.config;
    let rules = Rules {
        place: upstream.vertex.as_ref(),
        safety_settings: gemini.safety_settings.as_deref(),
        openapi_schemas: gemini.schema_mode == SchemaMode::OpenApi,
        signature_in_id: gemini.signatures.in_id,
        first_call_only: gemini.enforce_parallel,
        no_stream_usage: upstream.stream_usage == StreamUsage::Never,
        max_tokens: anthropic.default_max_tokens,
    };
    Plan { upstream, index, order: Order { vendor, model, rules } }
}

fn not_found(model: &str) -> ApiError {
    let message = format!("no route serves the model `{model}`");
    ApiError::new(Row::MODEL_NOT_FOUND, message).with_param("model")
}

/// Appends the field that tells what was left out of the translated request.
fn push_dropped(dropped: &Dropped<'_>, own_headers: bool, fields: &mut Vec<u8>) {
    if own_headers && !dropped.is_empty() {
        fields.extend_from_slice(b"x-vertex-bridge-dropped: ");
        dropped.render(fields);
        fields.extend_from_slice(b"\r\n");
    }
}
