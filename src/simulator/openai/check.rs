//! What OpenAI refuses in everything but the messages.

use super::super::json::Json;
use super::super::reply::Reply;
use super::error::{Label, error, invalid_value, refused};
use super::request::{Function, JsonSchema, Request, ResponseFormat, Tool};
use super::schema::{is_name, is_type, strict_problem};

/// Does the model reason? Such models take fewer parameters.
pub(super) fn reasons(model: &str) -> bool {
    let numbered = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    model.strip_prefix('o').is_some_and(numbered) || model.starts_with("gpt-5")
}

/// The model that is asked for.
pub(super) fn check_model(model: Option<&str>) -> Result<&str, Reply> {
    let Some(model) = model.filter(|model| !model.is_empty()) else {
        return Err(refused("you must provide a model parameter", "", ""));
    };
    // Every other name may be that of a model which some compatible server has.
    if ["claude-", "gemini-"].iter().any(|foreign| model.starts_with(foreign)) {
        let message =
            format!("The model `{model}` does not exist or you do not have access to it.");
        let label = Label { code: "model_not_found", ..Label::default() };
        return Err(error(404, &message, label));
    }
    Ok(model)
}

/// Everything about a request but its messages.
pub(super) fn check(request: &Request<'_>, model: &str) -> Result<(), Reply> {
    check_ranges(request)?;
    check_limits(request, model)?;
    if let Some(effort) = request.reasoning_effort.as_deref() {
        if !reasons(model) {
            let message = "Unrecognized request argument supplied: reasoning_effort";
            return Err(refused(message, "", ""));
        }
        let levels = ["none", "minimal", "low", "medium", "high", "xhigh"];
        if !levels.contains(&effort) {
            return Err(invalid_value(effort, &levels, "reasoning_effort"));
        }
    }
    if let Some(tier) = request.service_tier.as_deref() {
        let tiers = ["auto", "default", "flex", "scale", "priority", "fast"];
        if !tiers.contains(&tier) {
            return Err(invalid_value(tier, &tiers, "service_tier"));
        }
    }
    if request.stream_options.is_some() && request.stream != Some(true) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(refused(message, "stream_options", ""));
    }
    check_tools(request.tools.as_deref())?;
    let offered = request.tools.as_deref().unwrap_or_default();
    let without = |param: &str| {
        let message = format!("'{param}' is only allowed when 'tools' are specified.");
        Err(refused(&message, param, ""))
    };
    if request.parallel_tool_calls.is_some() && offered.is_empty() {
        return without("parallel_tool_calls");
    }
    if let Some(raw) = request.tool_choice {
        if offered.is_empty() {
            return without("tool_choice");
        }
        let names: Vec<&str> = offered.iter().filter_map(|tool| name_of(tool)).collect();
        check_choice(&Json::parse(raw.get()).unwrap_or(Json::Plain("null")), &names)?;
    }
    request.response_format.as_ref().map_or(Ok(()), check_format)
}

/// The name of a function that is offered.
pub(super) fn name_of<'t>(tool: &'t Tool<'_>) -> Option<&'t str> {
    tool.function.as_ref().and_then(|function| function.name.as_deref())
}

fn check_ranges(request: &Request<'_>) -> Result<(), Reply> {
    let decimals = [
        ("temperature", request.temperature, 0.0, 2.0),
        ("top_p", request.top_p, 0.0, 1.0),
        ("presence_penalty", request.presence_penalty, -2.0, 2.0),
        ("frequency_penalty", request.frequency_penalty, -2.0, 2.0),
    ];
    for (name, value, least, most) in decimals {
        check_decimal(name, value, (least, most))?;
    }
    let integers = [
        ("n", request.n, 1, 128),
        ("top_logprobs", request.top_logprobs, 0, 20),
        ("max_tokens", request.max_tokens, 1, u32::MAX),
        ("max_completion_tokens", request.max_completion_tokens, 1, u32::MAX),
    ];
    for (name, value, least, most) in integers {
        check_integer(name, value, (least, most))?;
    }
    if request.top_logprobs.is_some() && request.logprobs != Some(true) {
        let message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.";
        return Err(refused(message, "top_logprobs", "invalid_value"));
    }
    let stop = request.stop.and_then(|raw| Json::parse(raw.get()));
    match stop {
        None | Some(Json::Plain("null") | Json::Text(_)) => Ok(()),
        Some(Json::List(stops)) if stops.len() > 4 => {
            let message = format!(
                "Invalid 'stop': array too long. Expected an array with maximum length 4, but got \
                 an array with length {} instead.",
                stops.len()
            );
            Err(refused(&message, "stop", "array_above_max_length"))
        }
        Some(Json::List(stops)) if stops.iter().all(|stop| stop.as_text().is_some()) => Ok(()),
        Some(_) => {
            let message = "Invalid type for 'stop': expected one of a string or array of strings.";
            Err(refused(message, "stop", "invalid_type"))
        }
    }
}

pub(super) fn check_decimal(
    name: &str,
    value: Option<f64>,
    (least, most): (f64, f64),
) -> Result<(), Reply> {
    match value {
        Some(value) if value > most => {
            let message = format!(
                "Invalid '{name}': decimal above maximum value. Expected a value <= {most}, but \
                 got {value} instead."
            );
            Err(refused(&message, name, "decimal_above_max_value"))
        }
        Some(value) if value < least => {
            let message = format!(
                "Invalid '{name}': decimal below minimum value. Expected a value >= {least}, but \
                 got {value} instead."
            );
            Err(refused(&message, name, "decimal_below_min_value"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_integer(
    name: &str,
    value: Option<u32>,
    (least, most): (u32, u32),
) -> Result<(), Reply> {
    match value {
        Some(value) if value > most => {
            let message = format!(
                "Invalid '{name}': integer above maximum value. Expected a value <= {most}, but \
                 got {value} instead."
            );
            Err(refused(&message, name, "integer_above_max_value"))
        }
        Some(value) if value < least => {
            let message = format!(
                "Invalid '{name}': integer below minimum value. Expected a value >= {least}, but \
                 got {value} instead."
            );
            Err(refused(&message, name, "integer_below_min_value"))
        }
        _ => Ok(()),
    }
}

/// Models that reason have no temperature, and a limit of another name.
fn check_limits(request: &Request<'_>, model: &str) -> Result<(), Reply> {
    if request.max_tokens.is_some() && request.max_completion_tokens.is_some() {
        let message =
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(refused(message, "max_tokens", "invalid_parameter_combination"));
    }
    if !reasons(model) {
        return Ok(());
    }
    if request.max_tokens.is_some() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                       'max_completion_tokens' instead.";
        return Err(refused(message, "max_tokens", "unsupported_parameter"));
    }
    if let Some(value) = request.temperature.filter(|value| (value - 1.0).abs() > f64::EPSILON) {
        let message = format!(
            "Unsupported value: 'temperature' does not support {value} with this model. Only the \
             default (1) value is supported."
        );
        return Err(refused(&message, "temperature", "unsupported_value"));
    }
    if request.logprobs == Some(true) {
        let message = "Unsupported parameter: 'logprobs' is not supported with this model.";
        return Err(refused(message, "logprobs", "unsupported_parameter"));
    }
    Ok(())
}

fn check_tools(tools: Option<&[Tool<'_>]>) -> Result<(), Reply> {
    let Some(tools) = tools else { return Ok(()) };
    if tools.is_empty() {
        let message = "Invalid 'tools': empty array. Expected an array with minimum length 1, but \
                       got an empty array instead.";
        return Err(refused(message, "tools", "empty_array"));
    }
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("tools[{index}]");
        match tool.kind.as_deref() {
            Some("custom") => continue,
            Some("function") => {}
            Some(kind) => {
                return Err(invalid_value(kind, &["function", "custom"], &format!("{at}.type")));
            }
            None => return Err(super::error::missing(&format!("{at}.type"))),
        }
        let function = tool.function.as_ref();
        let function = function.ok_or_else(|| super::error::missing(&format!("{at}.function")))?;
        check_function(function, &format!("{at}.function"))?;
    }
    Ok(())
}

/// A function, of chat completions or of responses.
pub(super) fn check_function(function: &Function<'_>, at: &str) -> Result<(), Reply> {
    let name = function.name.as_deref().unwrap_or_default();
    check_function_name(name, &format!("{at}.name"))?;
    let raw = function.parameters.map(|raw| raw.get());
    check_parameters(name, (raw, function.strict), &format!("{at}.parameters"))
}

pub(super) fn check_function_name(name: &str, param: &str) -> Result<(), Reply> {
    if name.is_empty() {
        return Err(super::error::missing(param));
    }
    if name.len() > 64 {
        let message = format!(
            "Invalid '{param}': string too long. Expected a string with maximum length 64, but \
             got a string with length {} instead.",
            name.len()
        );
        return Err(refused(&message, param, "string_above_max_length"));
    }
    if is_name(name) {
        return Ok(());
    }
    let message = format!(
        "Invalid '{param}': string does not match pattern. Expected a string that matches the \
         pattern '^[a-zA-Z0-9_-]+$'."
    );
    Err(refused(&message, param, "invalid_value"))
}

pub(super) fn check_parameters(
    name: &str,
    (raw, strict): (Option<&str>, Option<bool>),
    param: &str,
) -> Result<(), Reply> {
    let bad = |what: &str| {
        let message = format!("Invalid schema for function '{name}': {what}");
        Err(refused(&message, param, "invalid_function_parameters"))
    };
    let Some(schema) = raw.and_then(Json::parse).filter(|schema| *schema != Json::Plain("null"))
    else {
        return Ok(());
    };
    if schema.as_map().is_none() {
        return bad("schema must be an object.");
    }
    let empty = schema.as_map().is_some_and(<[_]>::is_empty);
    if !empty && !is_type(&schema, "object") {
        let found = schema.member("type").and_then(Json::as_text).unwrap_or("None");
        return bad(&format!(
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'."
        ));
    }
    if strict == Some(true)
        && let Some(problem) = strict_problem(&schema)
    {
        return bad(&problem);
    }
    Ok(())
}

fn check_choice(choice: &Json<'_>, offered: &[&str]) -> Result<(), Reply> {
    let known = |name: Option<&str>| match name {
        Some(name) if offered.contains(&name) => Ok(()),
        _ => {
            let name = name.unwrap_or_default();
            let message = format!(
                "Invalid value for 'tool_choice': Tool choice '{name}' not found in 'tools' parameter."
            );
            Err(refused(&message, "tool_choice", "invalid_value"))
        }
    };
    match choice {
        Json::Plain("null") => Ok(()),
        Json::Text(mode) => {
            let modes = ["none", "auto", "required"];
            if modes.contains(&mode.as_ref()) {
                return Ok(());
            }
            Err(invalid_value(mode, &modes, "tool_choice"))
        }
        _ => match choice.member("type").and_then(Json::as_text) {
            Some("function") => {
                let function = choice.member("function");
                known(function.and_then(|function| function.member("name")?.as_text()))
            }
            Some("allowed_tools") => {
                let allowed = choice.member("allowed_tools");
                let mode = allowed.and_then(|allowed| allowed.member("mode")?.as_text());
                if !matches!(mode, Some("auto" | "required")) {
                    let param = "tool_choice.allowed_tools.mode";
                    return Err(invalid_value(
                        mode.unwrap_or_default(),
                        &["auto", "required"],
                        param,
                    ));
                }
                let tools = allowed.and_then(|allowed| allowed.member("tools")?.as_list());
                tools.unwrap_or_default().iter().try_for_each(|tool| {
                    let function = tool.member("function");
                    known(function.and_then(|function| function.member("name")?.as_text()))
                })
            }
            kind => {
                let kinds = ["function", "allowed_tools", "custom"];
                Err(invalid_value(kind.unwrap_or_default(), &kinds, "tool_choice.type"))
            }
        },
    }
}

fn check_format(format: &ResponseFormat<'_>) -> Result<(), Reply> {
    match (format.kind.as_deref(), &format.json_schema) {
        (Some("text" | "json_object"), None) => Ok(()),
        (Some("json_schema"), Some(schema)) => check_json_schema(schema),
        (Some("json_schema"), None) => Err(super::error::missing("response_format.json_schema")),
        (Some("text" | "json_object"), Some(_)) => {
            let param = "response_format.json_schema";
            Err(refused(&format!("Unknown parameter: '{param}'."), param, "unknown_parameter"))
        }
        (kind, _) => {
            let kinds = ["json_object", "json_schema", "text"];
            Err(invalid_value(kind.unwrap_or_default(), &kinds, "response_format.type"))
        }
    }
}

fn check_json_schema(format: &JsonSchema<'_>) -> Result<(), Reply> {
    let name = format.name.as_deref().unwrap_or_default();
    check_function_name(name, "response_format.json_schema.name")?;
    check_output_schema(
        (name, format.schema.map(|raw| raw.get()), format.strict),
        "response_format",
    )
}

/// The schema of an answer, in either API.
pub(super) fn check_output_schema(
    (name, raw, strict): (&str, Option<&str>, Option<bool>),
    param: &str,
) -> Result<(), Reply> {
    let bad = |what: &str| {
        let message = format!("Invalid schema for response_format '{name}': {what}");
        Err(refused(&message, param, ""))
    };
    let Some(raw) = raw else {
        return if strict == Some(true) {
            bad("schema must be supplied when strict is true.")
        } else {
            Ok(())
        };
    };
    let Some(schema) = Json::parse(raw).filter(|schema| schema.as_map().is_some()) else {
        return bad("schema must be an object.");
    };
    if strict != Some(true) {
        return Ok(());
    }
    if !is_type(&schema, "object") {
        let found = schema.member("type").and_then(Json::as_text).unwrap_or("None");
        return bad(&format!(
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'."
        ));
    }
    strict_problem(&schema).map_or(Ok(()), |problem| bad(&problem))
}
