//! Which upstream serves a model, and what is asked of it.

use crate::chat::{ApiError, Request, Row};
use crate::config::{
    Config, Kind, Route, SchemaMode, StreamUsage, SystemMessages, Target, Upstream,
};
use crate::provider::{Order, Rules, Vendor};

use super::attempt::Plan;

/// The route that serves a model, with its place in the configuration.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn route<'c>(config: &'c Config, model: &str) -> Result<(usize, &'c Route), ApiError> {
    let index = config.route(model);
    let found = index.and_then(|index| Some((index, config.routes.as_slice().get(index)?)));
    found.ok_or_else(|| not_found(model))
}

/// What is asked of a target's upstream; `model` is the client's name of it.
pub(super) fn plan<'p>(config: &'p Config, target: &'p Target, model: &'p str) -> Option<Plan<'p>> {
    let index = target.upstream;
    let upstream = config.upstreams.get(index)?;
    let model = config.upstream_model(target, model);
    let Config { gemini, anthropic, .. } = config;
    let rules = Rules {
        place: upstream.vertex.as_ref(),
        safety_settings: gemini.safety_settings.as_deref(),
        openapi_schemas: gemini.schema_mode == SchemaMode::OpenApi,
        signature_in_id: gemini.signatures.in_id,
        first_call_only: gemini.enforce_parallel,
        no_stream_usage: upstream.stream_usage == StreamUsage::Never,
        max_tokens: anthropic.default_max_tokens,
    };
    let vendor = vendor(upstream, model);
    Some(Plan { upstream, index, order: Order { vendor, model, rules }, keeps: false })
}

/// Does what the operator decided about requests to a vendor of this kind.
pub(super) fn prepare(config: &Config, plan: &Plan<'_>, request: &mut Request<'_>) {
    let google = matches!(plan.order.vendor, Vendor::Gemini | Vendor::Vertex);
    if google && config.gemini.system_messages == SystemMessages::Inline {
        request.inline_system();
    }
}

/// Whose wire format an upstream speaks for this model.
fn vendor(upstream: &Upstream, model: &str) -> Vendor {
    match upstream.kind {
        Kind::Gemini => Vendor::Gemini,
        Kind::Vertex if model.starts_with("claude") => Vendor::Claude,
        Kind::Vertex => Vendor::Vertex,
        Kind::Anthropic => Vendor::Anthropic,
        Kind::OpenAi => Vendor::OpenAi,
    }
}

pub(super) fn not_found(model: &str) -> ApiError {
    let message = format!("no route serves the model `{model}`");
    ApiError::new(Row::MODEL_NOT_FOUND, message).with_param("model")
}
