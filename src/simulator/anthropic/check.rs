//! What Anthropic refuses in everything but the conversation.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::Json;
use super::super::reply::Reply;
use super::error::{error, extra, refused};
use super::model::{Model, Thinking as Can};
use super::request::{Block, CacheControl, Format, Request, Thinking, Tool};

const CONSULT: &str = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking";

/// Everything about a request but its messages. The model's limits are not those of `name`
/// itself, which an error only repeats.
pub(super) fn check(request: &Request<'_>, name: &str) -> Result<Model, Reply> {
    let Some(model) = Model::of(name) else {
        return Err(error(404, "not_found_error", &format!("model: {name}")));
    };
    if let Some(most) = request.max_tokens.filter(|most| *most > model.output_max()) {
        return Err(refused(&format!(
            "max_tokens: {most} > {}, which is the maximum allowed number of output tokens for \
             {name}",
            model.output_max()
        )));
    }
    check_sampling(request, model)?;
    check_caching(request)?;
    check_tools(request)?;
    check_choice(request)?;
    if let Some(thinking) = &request.thinking {
        check_thinking(thinking, request, model)?;
    }
    check_output(request, model)?;
    let tier = request.service_tier.as_deref();
    if tier.is_some_and(|tier| !matches!(tier, "auto" | "standard_only")) {
        return Err(refused("service_tier: Input should be 'auto' or 'standard_only'"));
    }
    let user = request.metadata.as_ref().and_then(|metadata| metadata.user_id.as_deref());
    if user.is_some_and(|user| user.len() > 256) {
        return Err(refused("metadata.user_id: String should have at most 256 characters"));
    }
    Ok(model)
}

fn check_sampling(request: &Request<'_>, model: Model) -> Result<(), Reply> {
    for (name, value) in [("temperature", request.temperature), ("top_p", request.top_p)] {
        if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return Err(refused(&format!("{name}: range: 0..1")));
        }
    }
    if request.temperature.is_some() && request.top_p.is_some() && model.takes_one_sampler() {
        return Err(refused(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only \
             one.",
        ));
    }
    let blank = |stop: &Cow<'_, str>| stop.trim().is_empty();
    if request.stop_sequences.iter().flatten().any(blank) {
        return Err(refused("stop_sequences: each stop sequence must contain non-whitespace"));
    }
    Ok(())
}

/// At most four places, each of a known kind.
fn check_caching(request: &Request<'_>) -> Result<(), Reply> {
    let all = caches(request);
    if all.len() > 4 {
        return Err(refused(&format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {}.",
            all.len()
        )));
    }
    for control in all {
        if control.kind.as_deref() != Some("ephemeral") {
            return Err(refused("cache_control.type: Input should be 'ephemeral'"));
        }
        if control.ttl.as_deref().is_some_and(|ttl| !matches!(ttl, "5m" | "1h")) {
            return Err(refused("cache_control.ephemeral.ttl: Input should be '5m' or '1h'"));
        }
    }
    Ok(())
}

/// Every place that asks for caching.
pub(super) fn caches<'q, 'r>(request: &'q Request<'r>) -> Vec<&'q CacheControl<'r>> {
    let system = request.system.iter().flat_map(|system| system.blocks());
    let messages = request.messages.iter().flatten().flat_map(|message| message.blocks());
    let blocks = system.chain(messages).flat_map(|block: &Block<'r>| {
        let inner = block.content.iter().flat_map(|content| content.blocks());
        std::iter::once(block).chain(inner)
    });
    let blocks = blocks.filter_map(|block| block.cache_control.as_ref());
    let tools = request.tools.iter().flatten().filter_map(|tool| tool.cache_control.as_ref());
    tools.chain(blocks).chain(&request.cache_control).collect()
}

fn check_tools(request: &Request<'_>) -> Result<(), Reply> {
    let mut names: Vec<&str> = Vec::new();
    for (index, tool) in request.tools.iter().flatten().enumerate() {
        if let Some(kind) = tool.kind.as_deref().filter(|kind| *kind != "custom") {
            return Err(refused(&format!(
                "tools.{index}: Input tag '{kind}' found using 'type' does not match any of the \
                 expected tags: 'custom'"
            )));
        }
        let at = format!("tools.{index}.custom");
        let Some(name) = tool.name.as_deref() else {
            return Err(refused(&format!("{at}.name: Field required")));
        };
        if !is_tool_name(name) {
            return Err(refused(&format!(
                "{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )));
        }
        check_input_schema(tool, &at)?;
        if names.contains(&name) {
            return Err(refused("tools: Tool names must be unique."));
        }
        names.push(name);
    }
    Ok(())
}

pub(super) fn is_tool_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(fits)
}

fn check_input_schema(tool: &Tool<'_>, at: &str) -> Result<(), Reply> {
    let Some(raw) = tool.input_schema else {
        return Err(refused(&format!("{at}.input_schema: Field required")));
    };
    let schema = Json::parse(raw.get());
    let Some(schema) = schema.filter(|schema| schema.as_map().is_some()) else {
        return Err(refused(&format!("{at}.input_schema: Input should be a valid dictionary")));
    };
    match schema.member("type").map(Json::as_text) {
        None => Err(refused(&format!("{at}.input_schema.type: Field required"))),
        Some(Some("object")) if tool.strict == Some(true) => check_closed(&schema, at),
        Some(Some("object")) => Ok(()),
        Some(_) => Err(refused(&format!("{at}.input_schema.type: Input should be 'object'"))),
    }
}

fn check_choice(request: &Request<'_>) -> Result<(), Reply> {
    let Some(choice) = &request.tool_choice else { return Ok(()) };
    let kind = choice.kind.as_deref().unwrap_or_default();
    if !matches!(kind, "auto" | "any" | "tool" | "none") {
        return Err(refused(&format!(
            "tool_choice: Input tag '{kind}' found using 'type' does not match any of the \
             expected tags: 'auto', 'any', 'tool', 'none'"
        )));
    }
    if kind == "none" && choice.disable_parallel_tool_use.is_some() {
        return Err(extra("tool_choice.none.disable_parallel_tool_use"));
    }
    if choice.name.is_some() && kind != "tool" {
        return Err(extra(&format!("tool_choice.{kind}.name")));
    }
    let mut tools = request.tools.iter().flatten().peekable();
    if tools.peek().is_none() && kind != "none" {
        return Err(refused(
            "tool_choice: tool_choice may only be specified while providing tools",
        ));
    }
    match choice.name.as_deref() {
        None if kind == "tool" => Err(refused("tool_choice.tool.name: Field required")),
        Some(name) if !tools.any(|tool| tool.name.as_deref() == Some(name)) => {
            Err(refused(&format!("Tool '{name}' not found in provided tools")))
        }
        _ => Ok(()),
    }
}

fn check_thinking(
    thinking: &Thinking<'_>,
    request: &Request<'_>,
    model: Model,
) -> Result<(), Reply> {
    let kind = thinking.kind.as_deref().unwrap_or_default();
    if !matches!(kind, "enabled" | "disabled" | "adaptive" | "between_tools") {
        return Err(refused(&format!(
            "thinking: Input tag '{kind}' found using 'type' does not match any of the expected \
             tags: 'adaptive', 'between_tools', 'disabled', 'enabled'"
        )));
    }
    let budget = thinking.budget_tokens;
    if kind != "enabled" && budget.is_some() {
        return Err(extra(&format!("thinking.{kind}.budget_tokens")));
    }
    let display = thinking.display.as_deref();
    if display.is_some_and(|display| !matches!(display, "summarized" | "omitted")) {
        return Err(refused(&format!(
            "thinking.{kind}.display: Input should be 'summarized' or 'omitted'"
        )));
    }
    match (kind, model.thinking()) {
        ("disabled", _) | ("adaptive", Can::Both | Can::Adaptive) => Ok(()),
        ("between_tools", Can::Adaptive) => Ok(()),
        ("between_tools", _) => Err(refused("thinking.type: not supported on this model")),
        ("adaptive", _) => Err(refused("adaptive thinking is not supported on this model")),
        (_, Can::None) => Err(refused("This model does not support thinking.")),
        (_, Can::Adaptive) => Err(refused(
            "\"thinking.type.enabled\" is not supported for this model. Use \
             \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.",
        )),
        (_, Can::Budget | Can::Both) => check_budget(budget, request),
    }
}

fn check_budget(budget: Option<u32>, request: &Request<'_>) -> Result<(), Reply> {
    let place = "thinking.enabled.budget_tokens";
    let Some(budget) = budget else {
        return Err(refused(&format!("{place}: Field required")));
    };
    if budget < 1024 {
        return Err(refused(&format!("{place}: Input should be greater than or equal to 1024")));
    }
    if request.max_tokens.is_some_and(|most| most <= budget) {
        return Err(refused(&format!(
            "`max_tokens` must be greater than `thinking.budget_tokens`. {CONSULT}"
        )));
    }
    if request.temperature.is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
        return Err(refused(&format!(
            "`temperature` may only be set to 1 when thinking is enabled. {CONSULT}"
        )));
    }
    if request.top_p.is_some_and(|value| value < 0.95) {
        return Err(refused(&format!(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. \
             {CONSULT}"
        )));
    }
    if request.top_k.is_some() {
        return Err(refused(&format!("`top_k` must be unset when thinking is enabled. {CONSULT}")));
    }
    let choice = request.tool_choice.as_ref().and_then(|choice| choice.kind.as_deref());
    if matches!(choice, Some("any" | "tool")) {
        return Err(refused("Thinking may not be enabled when tool_choice forces tool use."));
    }
    Ok(())
}

fn check_output(request: &Request<'_>, model: Model) -> Result<(), Reply> {
    let Some(config) = &request.output_config else { return Ok(()) };
    if let Some(effort) = config.effort.as_deref() {
        if !matches!(effort, "low" | "medium" | "high" | "xhigh" | "max") {
            return Err(refused(
                "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
            ));
        }
        let levels = model.efforts();
        if levels.is_empty() {
            return Err(refused("This model does not support the effort parameter."));
        }
        if !levels.contains(&effort) {
            return Err(refused(&format!(
                "This model does not support effort level '{effort}'. Supported levels: {}.",
                levels.join(", ")
            )));
        }
    }
    config.format.as_ref().map_or(Ok(()), check_format)
}

fn check_format(format: &Format<'_>) -> Result<(), Reply> {
    if format.kind.as_deref() != Some("json_schema") {
        return Err(refused("output_config.format.type: Input should be 'json_schema'"));
    }
    let schema = format.schema.map(RawValue::get).and_then(Json::parse);
    match schema.filter(|schema| schema.as_map().is_some()) {
        None => Err(refused("output_config.format.schema: Input should be a valid dictionary")),
        Some(schema) => check_closed(&schema, "output_config.format.schema"),
    }
}

/// Keywords that structured outputs do not know, with the type that has them.
const UNSUPPORTED: [(&str, &[&str]); 4] = [
    ("integer", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("string", &["minLength", "maxLength"]),
    ("array", &["maxItems", "uniqueItems"]),
];

/// Every object must say that it has no other properties, and some keywords are not supported.
fn check_closed(schema: &Json<'_>, place: &str) -> Result<(), Reply> {
    let kind = schema.member("type").and_then(Json::as_text).unwrap_or_default();
    let closed = schema.member("additionalProperties") == Some(&Json::Plain("false"));
    if kind == "object" && !closed {
        return Err(refused(&format!(
            "{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )));
    }
    let words = UNSUPPORTED.iter().find(|(known, _)| *known == kind).map(|(_, words)| *words);
    let found: Vec<&str> = words
        .unwrap_or_default()
        .iter()
        .copied()
        .filter(|word| schema.member(word).is_some())
        .collect();
    if !found.is_empty() {
        return Err(refused(&format!(
            "{place}: For '{kind}' type, properties {} are not supported",
            found.join(", ")
        )));
    }
    for name in ["properties", "$defs", "definitions"] {
        let inner = schema.member(name).and_then(Json::as_map).unwrap_or_default();
        inner.iter().try_for_each(|(_, inner)| check_closed(inner, place))?;
    }
    for name in ["anyOf", "allOf", "oneOf", "prefixItems"] {
        let inner = schema.member(name).and_then(Json::as_list).unwrap_or_default();
        inner.iter().try_for_each(|inner| check_closed(inner, place))?;
    }
    schema.member("items").map_or(Ok(()), |items| check_closed(items, place))
}
