//! What Google refuses in everything but the conversation: configuration, tools, and what only
//! the other of its services has.

use serde_json::value::RawValue;

use super::super::json::Json;
use super::super::problem::{self, Step};
use super::super::reply::Reply;
use super::error::{refused, unknown_at, unreadable};
use super::path::{Address, generation};
use super::request::{GenerationConfig, Request, Schema, ThinkingConfig, ToolConfig};

/// Everything about a request but its contents.
pub(super) fn check(request: &Request<'_>, address: &Address<'_>) -> Result<(), Reply> {
    check_service(request, address)?;
    if request.cached_content.as_deref() == Some("") {
        return Err(refused("cachedContent must be a resource name."));
    }
    let also = request.system_instruction.is_some()
        || request.tools.is_some()
        || request.tool_config.is_some();
    if request.cached_content.is_some() && also {
        let message = "CachedContent can not be used with GenerateContent request setting \
                       system_instruction, tools or tool_config.\n\nProposed fix: move those \
                       values to CachedContent from GenerateContent request.";
        return Err(refused(message));
    }
    let settings = request.safety_settings.as_deref().unwrap_or_default();
    for (index, setting) in settings.iter().enumerate() {
        let known = setting.category.starts_with("HARM_CATEGORY_");
        if !known || !THRESHOLDS.contains(&setting.threshold.as_ref()) {
            let (field, value) = if known {
                ("threshold", &setting.threshold)
            } else {
                ("category", &setting.category)
            };
            let place = format!("safety_settings[{index}].{field}");
            return Err(refused(&format!("Invalid value at '{place}' (TYPE_ENUM), \"{value}\"")));
        }
    }
    check_tools(request)?;
    let config = request.generation_config.as_ref();
    config.map_or(Ok(()), |config| check_config(config, request, address))
}

const THRESHOLDS: [&str; 6] = [
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
];

/// Fields that only one of the two services has.
fn check_service(request: &Request<'_>, address: &Address<'_>) -> Result<(), Reply> {
    let config = request.generation_config.as_ref();
    let tools = || request.tools.iter().flatten();
    let contents = || request.contents.iter().flatten().chain(&request.system_instruction);
    let parts = || contents().flat_map(|content| content.parts());
    let calling =
        request.tool_config.as_ref().and_then(|config| config.function_calling_config.as_ref());
    let only_vertex: [(&[&str], &str, bool); 8] = [
        (&[], "labels", request.labels.is_some()),
        (&[], "modelArmorConfig", request.model_armor_config.is_some()),
        (
            &["generationConfig"],
            "audioTimestamp",
            config.is_some_and(|config| config.audio_timestamp.is_some()),
        ),
        (
            &["generationConfig"],
            "routingConfig",
            config.is_some_and(|config| config.routing_config.is_some()),
        ),
        (
            &["contents", "parts", "inlineData"],
            "displayName",
            parts().filter_map(|part| part.inline_data.as_ref()).any(|b| b.display_name.is_some()),
        ),
        (
            &["contents", "parts", "fileData"],
            "displayName",
            parts().filter_map(|part| part.file_data.as_ref()).any(|f| f.display_name.is_some()),
        ),
        (
            &["tools"],
            "enterpriseWebSearch",
            tools().any(|tool| tool.enterprise_web_search.is_some()),
        ),
        (
            &["toolConfig", "functionCallingConfig"],
            "streamFunctionCallArguments",
            calling.is_some_and(|calling| calling.stream_function_call_arguments.is_some()),
        ),
    ];
    let server_side =
        |config: &ToolConfig<'_>| config.include_server_side_tool_invocations.is_some();
    let only_studio: [(&[&str], &str, bool); 4] = [
        (&[], "serviceTier", request.service_tier.is_some()),
        (&["contents", "parts"], "partMetadata", parts().any(|part| part.part_metadata.is_some())),
        (&["tools"], "fileSearch", tools().any(|tool| tool.file_search.is_some())),
        (
            &["toolConfig"],
            "includeServerSideToolInvocations",
            request.tool_config.as_deref().is_some_and(server_side),
        ),
    ];
    let foreign: &[(&[&str], &str, bool)] =
        if address.is_studio() { &only_vertex } else { &only_studio };
    if let Some((parents, name, _)) = foreign.iter().find(|(_, _, given)| *given) {
        return Err(unknown_at(parents, name));
    }
    match request.service_tier.as_deref() {
        None | Some("flex" | "priority" | "standard" | "unspecified") => Ok(()),
        Some(tier) => {
            Err(refused(&format!("Invalid value at 'service_tier' (TYPE_ENUM), \"{tier}\"")))
        }
    }
}

fn check_tools(request: &Request<'_>) -> Result<(), Reply> {
    let mut declared: Vec<&str> = Vec::new();
    for (place, tool) in request.tools.iter().flatten().enumerate() {
        for (index, function) in tool.function_declarations.iter().flatten().enumerate() {
            let at = format!("tools[{place}].function_declarations[{index}]");
            let name = function.name.as_deref().unwrap_or_default();
            if !is_function_name(name) {
                return Err(refused(&format!("GenerateContentRequest.{at}.name: {BAD_NAME}")));
            }
            if declared.contains(&name) {
                return Err(refused(&format!("Duplicate function declaration found: {name}")));
            }
            declared.push(name);
            let schemas = (function.parameters, function.parameters_json_schema);
            if let (Some(_), Some(_)) = schemas {
                let message =
                    format!("{at}: parameters and parameters_json_schema must not both be set.");
                return Err(refused(&message));
            }
            if let Some(schema) = schemas.0 {
                check_schema(schema, &["tools", "functionDeclarations", "parameters"])?;
            }
            if let Some(schema) = schemas.1
                && !schema.get().starts_with('{')
            {
                let place = format!("{at}.parameters_json_schema");
                let message = format!("Invalid value at '{place}' (google.protobuf.Value)");
                return Err(refused(&message));
            }
        }
    }
    let config = request.tool_config.as_ref();
    config.map_or(Ok(()), |config| check_tool_config(config, &declared))
}

const BAD_NAME: &str = "Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, \
     A-Z, 0-9), underscores (_), dots (.), colons (:) or dashes (-), with a maximum length of 64.";

/// `^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$`
pub(super) fn is_function_name(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    begins && name.len() <= 64 && name.bytes().all(fits)
}

fn check_tool_config(config: &ToolConfig<'_>, declared: &[&str]) -> Result<(), Reply> {
    let Some(calling) = &config.function_calling_config else { return Ok(()) };
    if declared.is_empty() {
        return Err(refused("Function calling config is set without function_declarations."));
    }
    let mode = calling.mode.as_deref().unwrap_or("AUTO");
    if !["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"].contains(&mode) {
        let place = "tool_config.function_calling_config.mode";
        return Err(refused(&format!("Invalid value at '{place}' (TYPE_ENUM), \"{mode}\"")));
    }
    let allowed = calling.allowed_function_names.as_deref().unwrap_or_default();
    if !allowed.is_empty() && !matches!(mode, "ANY" | "VALIDATED") {
        let message = "Please set allowed_function_names only when function calling mode is ANY or VALIDATED.";
        return Err(refused(message));
    }
    let strange = allowed.iter().find(|name| !declared.contains(&name.as_ref()));
    strange.map_or(Ok(()), |name| {
        let message = format!(
            "allowed_function_names contains a name that is not declared in \
             function_declarations: {name}"
        );
        Err(refused(&message))
    })
}

/// Google's own schemas know few names.
fn check_schema(schema: &RawValue, place: &[&str]) -> Result<(), Reply> {
    let read = problem::read::<Schema<'_>>(schema.get().as_bytes());
    read.map(drop).map_err(|mut problem| {
        let place = place.iter().map(|name| Step::Key((*name).to_owned()));
        problem.path.splice(0..0, place);
        unreadable(&problem)
    })
}

fn check_config(
    config: &GenerationConfig<'_>,
    request: &Request<'_>,
    address: &Address<'_>,
) -> Result<(), Reply> {
    check_ranges(config)?;
    let mime = config.response_mime_type.as_deref();
    let structured = config.response_json_schema.is_some() || config.response_schema.is_some();
    match mime {
        None | Some("text/plain") if structured => {
            let message = "A response schema needs response_mime_type: \"application/json\".";
            return Err(refused(message));
        }
        None | Some("text/plain" | "application/json" | "text/x.enum") => {}
        Some(_) => {
            let message = "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes \
                 are `text/plain`, `application/json`, `application/xml`, `application/yaml` and \
                 `text/x.enum`.\n";
            return Err(refused(message));
        }
    }
    if let (Some(_), Some(_)) = (config.response_json_schema, config.response_schema) {
        return Err(refused("Only one of response_schema and response_json_schema can be set."));
    }
    if let Some(schema) = config.response_schema {
        check_schema(schema, &["generationConfig", "responseSchema"])?;
    }
    let broken = |schema: &&RawValue| Json::parse(schema.get()).is_none();
    if config.response_json_schema.filter(broken).is_some() {
        return Err(refused("The response schema is too deep."));
    }
    let declares = request.tools.iter().flatten().any(|tool| tool.function_declarations.is_some());
    if mime == Some("application/json") && declares && generation(address.model) < (3, 0) {
        let message =
            "Function calling with a response mime type: 'application/json' is unsupported";
        return Err(refused(message));
    }
    let known = ["TEXT", "IMAGE", "AUDIO", "MODALITY_UNSPECIFIED"];
    let strange = |mode: &&_| !known.contains(&AsRef::<str>::as_ref(*mode));
    if let Some(mode) = config.response_modalities.iter().flatten().find(strange) {
        let place = "generation_config.response_modalities";
        return Err(refused(&format!("Invalid value at '{place}' (TYPE_ENUM), \"{mode}\"")));
    }
    let thinking = config.thinking_config.as_ref();
    thinking.map_or(Ok(()), |thinking| check_thinking(thinking, address.model))
}

fn check_ranges(config: &GenerationConfig<'_>) -> Result<(), Reply> {
    let within = |value: Option<f64>, least: f64, most: f64| {
        value.is_none_or(|value| (least..=most).contains(&value))
    };
    if !within(config.temperature, 0.0, 2.0) {
        return Err(refused(
            "Unable to submit request because it has a temperature value out of range.",
        ));
    }
    if !within(config.top_p, 0.0, 1.0) || !within(config.top_k, 0.0, 1e6) {
        return Err(refused(
            "Unable to submit request because it has a topP or topK value out of range.",
        ));
    }
    let penalties = [config.presence_penalty, config.frequency_penalty];
    if !penalties.iter().all(|value| within(*value, -2.0, 1.999_999)) {
        return Err(refused("Penalty is supported in the range [-2.0, 2.0)."));
    }
    if config.candidate_count.is_some_and(|count| !(1..=8).contains(&count)) {
        return Err(refused("candidate_count must be in the range [1, 8]."));
    }
    if config.stop_sequences.as_ref().is_some_and(|stops| stops.len() > 5) {
        return Err(refused("The number of stop sequences must be at most 5."));
    }
    if config.max_output_tokens == Some(0) {
        return Err(refused("max_output_tokens must be positive."));
    }
    match config.logprobs {
        Some(_) if config.response_logprobs != Some(true) => {
            Err(refused("logprobs is set without responseLogprobs."))
        }
        Some(21..) => Err(refused("logprobs must be in the range [0, 20].")),
        _ => Ok(()),
    }
}

fn check_thinking(thinking: &ThinkingConfig<'_>, model: &str) -> Result<(), Reply> {
    let version = generation(model);
    if version < (2, 5) {
        let message = "Unable to submit request because thinking is not supported by this model.";
        return Err(refused(message));
    }
    if thinking.thinking_level.is_some() && thinking.thinking_budget.is_some() {
        return Err(refused("You can only set only one of thinking budget and thinking level."));
    }
    if let Some(level) = thinking.thinking_level.as_deref() {
        return check_level(level, model, version);
    }
    let (pro, lite) = (model.contains("pro"), model.contains("lite"));
    let (least, most) = match (pro, lite) {
        (true, _) => (128, 32_768),
        (false, true) => (512, 24_576),
        (false, false) => (1, 24_576),
    };
    match thinking.thinking_budget {
        Some(0) if pro => {
            Err(refused("Budget 0 is invalid. This model only works in thinking mode."))
        }
        None | Some(-1 | 0) => Ok(()),
        Some(budget) if (least..=most).contains(&budget) => Ok(()),
        Some(budget) => Err(refused(&format!(
            "The thinking budget {budget} is invalid. Please choose a value between {least} and \
             {most}."
        ))),
    }
}

/// Which levels a model has differs from model to model.
fn check_level(level: &str, model: &str, version: (u32, u32)) -> Result<(), Reply> {
    if version < (3, 0) {
        return Err(refused("Thinking level is not supported for this model."));
    }
    let level = level.to_ascii_uppercase();
    let pro = model.contains("pro");
    let newer_flash = model.contains("flash") && !model.contains("lite") && version >= (3, 7);
    let has = match level.as_str() {
        "LOW" | "HIGH" | "THINKING_LEVEL_UNSPECIFIED" => true,
        "MINIMAL" => !pro && !newer_flash,
        "MEDIUM" => !(pro && version == (3, 0)),
        _ => {
            let place = "generation_config.thinking_config.thinking_level";
            return Err(refused(&format!("Invalid value at '{place}' (TYPE_ENUM), \"{level}\"")));
        }
    };
    if has {
        return Ok(());
    }
    Err(refused(&format!(
        "Thinking level {level} is not supported for this model. Please retry with other \
         thinking level."
    )))
}

#[cfg(test)]
mod tests {
    use super::super::path::Address;
    use super::*;

    const STUDIO: &str = "/v1beta/models/MODEL:generateContent";
    const VERTEX: &str =
        "/v1/projects/p/locations/l/publishers/google/models/MODEL:generateContent";

    fn verdict(path: &str, model: &str, body: &str) -> Option<String> {
        let path = path.replace("MODEL", model);
        let address = Address::parse(&path).unwrap();
        let request = problem::read::<Request<'_>>(body.as_bytes()).unwrap();
        check(&request, &address).err().map(|reply| reply.shown().1)
    }

    #[test]
    fn each_service_has_its_own_fields() {
        for (body, vertex_only) in [
            (r#"{"labels":{"team":"a"}}"#, true),
            (r#"{"modelArmorConfig":{}}"#, true),
            (r#"{"generationConfig":{"audioTimestamp":true}}"#, true),
            (r#"{"generation_config":{"routing_config":{}}}"#, true),
            (r#"{"contents":[{"parts":[{"inlineData":{"displayName":"x"}}]}]}"#, true),
            (r#"{"tools":[{"enterpriseWebSearch":{}}]}"#, true),
            (r#"{"serviceTier":"flex"}"#, false),
            (r#"{"tools":[{"fileSearch":{}}]}"#, false),
            (r#"{"toolConfig":{"includeServerSideToolInvocations":true}}"#, false),
        ] {
            let (studio, vertex) = (verdict(STUDIO, "m", body), verdict(VERTEX, "m", body));
            let (taken, refused) = if vertex_only { (vertex, studio) } else { (studio, vertex) };
            assert_eq!(taken, None, "{body}");
            assert!(refused.unwrap().contains("Unknown name"), "{body}");
        }
        let labels = verdict(STUDIO, "m", r#"{"generationConfig":{"audioTimestamp":true}}"#);
        assert!(labels.unwrap().contains("at 'generation_config'"));
    }

    #[test]
    fn tools_are_checked() {
        let tools = |inner: &str| format!(r#"{{"tools":[{{"functionDeclarations":[{inner}]}}]}}"#);
        let config = |inner: &str| {
            format!(
                r#"{{"tools":[{{"functionDeclarations":[{{"name":"a"}},{{"name":"b"}}]}}],"toolConfig":{{"functionCallingConfig":{{{inner}}}}}}}"#
            )
        };
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(65));
        for (body, words) in [
            (tools(r#"{"name":"ok_1.a:b-c","parametersJsonSchema":{"anything":[1]}}"#), None),
            (tools(r#"{"name":"1bad"}"#), Some("Invalid function name")),
            (tools(r#"{"name":"é"}"#), Some("Invalid function name")),
            (tools("{}"), Some("Invalid function name")),
            (tools(&long), Some("Invalid function name")),
            (tools(r#"{"name":"a"},{"name":"a"}"#), Some("Duplicate function declaration")),
            (tools(r#"{"name":"a","parameters":{"type":"OBJECT","properties":{}}}"#), None),
            (
                tools(r#"{"name":"a","parameters":{"additionalProperties":false}}"#),
                Some("at 'tools.function_declarations.parameters'"),
            ),
            (
                tools(r#"{"name":"a","parameters":{},"parametersJsonSchema":{}}"#),
                Some("must not both be set"),
            ),
            (tools(r#"{"name":"a","parametersJsonSchema":[]}"#), Some("parameters_json_schema")),
            (config(r#""mode":"AUTO""#), None),
            (config(r#""mode":"ANY","allowedFunctionNames":["b"]"#), None),
            (config(r#""mode":"VALIDATED","allowed_function_names":["a"]"#), None),
            (config(r#""mode":"ANY","allowedFunctionNames":["c"]"#), Some("not declared")),
            (config(r#""mode":"AUTO","allowedFunctionNames":["a"]"#), Some("only when")),
            (config(r#""mode":"SOME""#), Some("TYPE_ENUM")),
            (
                r#"{"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}"#.to_owned(),
                Some("without function_declarations"),
            ),
        ] {
            let found = verdict(STUDIO, "gemini-2.5-flash", &body);
            match words {
                None => assert_eq!(found, None, "{body}"),
                Some(words) => assert!(found.expect(&body).contains(words), "{body}"),
            }
        }
    }

    #[test]
    fn thinking_depends_on_the_model() {
        for (model, thinking, words) in [
            ("gemini-2.5-flash", r#""thinkingBudget":0"#, None),
            ("gemini-2.5-flash", r#""thinkingBudget":-1,"includeThoughts":true"#, None),
            ("gemini-2.5-flash", r#""thinkingBudget":99999"#, Some("between 1 and 24576")),
            ("gemini-2.5-pro", r#""thinkingBudget":0"#, Some("only works in thinking mode")),
            ("gemini-2.5-pro", r#""thinkingBudget":128"#, None),
            ("gemini-2.5-flash-lite", r#""thinkingBudget":100"#, Some("between 512")),
            ("gemini-2.5-flash", r#""thinkingLevel":"low""#, Some("not supported for this")),
            ("gemini-2.0-flash", r#""includeThoughts":true"#, Some("thinking is not supported")),
            ("gemini-3-pro-preview", r#""thinkingLevel":"HIGH""#, None),
            ("gemini-3-pro-preview", r#""thinkingLevel":"medium""#, Some("MEDIUM")),
            ("gemini-3-pro-preview", r#""thinkingLevel":"minimal""#, Some("MINIMAL")),
            ("gemini-3.1-pro-preview", r#""thinkingLevel":"medium""#, None),
            ("gemini-3-flash-preview", r#""thinkingLevel":"minimal""#, None),
            ("gemini-3.7-flash", r#""thinkingLevel":"minimal""#, Some("MINIMAL")),
            ("gemini-3-flash-preview", r#""thinkingLevel":"loud""#, Some("TYPE_ENUM")),
            ("gemini-3-flash-preview", r#""thinkingBudget":100"#, None),
            (
                "gemini-3-flash-preview",
                r#""thinkingBudget":100,"thinkingLevel":"low""#,
                Some("only one of"),
            ),
        ] {
            let body = format!(r#"{{"generationConfig":{{"thinkingConfig":{{{thinking}}}}}}}"#);
            let found = verdict(STUDIO, model, &body);
            match words {
                None => assert_eq!(found, None, "{model} {thinking}"),
                Some(words) => assert!(found.expect(thinking).contains(words), "{model}"),
            }
        }
    }

    #[test]
    fn ranges_and_formats_are_checked() {
        for (config, words) in [
            (r#""temperature":2,"topP":1,"topK":40,"maxOutputTokens":1"#, None),
            (r#""temperature":2.1"#, Some("temperature")),
            (r#""topP":1.5"#, Some("topP")),
            (r#""presencePenalty":2"#, Some("Penalty")),
            (r#""candidateCount":9"#, Some("candidate_count")),
            (r#""maxOutputTokens":0"#, Some("max_output_tokens")),
            (r#""stopSequences":["1","2","3","4","5","6"]"#, Some("at most 5")),
            (r#""logprobs":3"#, Some("without responseLogprobs")),
            (r#""logprobs":21,"responseLogprobs":true"#, Some("[0, 20]")),
            (r#""responseJsonSchema":{}"#, Some("mime_type")),
            (r#""responseMimeType":"text/html""#, Some("allowed mimetypes")),
            (r#""responseMimeType":"application/json","responseJsonSchema":{"$defs":{}}"#, None),
            (
                r#""responseMimeType":"application/json","responseSchema":{"$ref":"x"}"#,
                Some("Unknown name"),
            ),
            (
                r#""responseMimeType":"application/json","responseSchema":{},"responseJsonSchema":{}"#,
                Some("Only one of"),
            ),
            (r#""responseModalities":["SMELL"]"#, Some("response_modalities")),
        ] {
            let found = verdict(STUDIO, "m", &format!(r#"{{"generationConfig":{{{config}}}}}"#));
            match words {
                None => assert_eq!(found, None, "{config}"),
                Some(words) => assert!(found.expect(config).contains(words), "{config}"),
            }
        }
        let both = r#"{"tools":[{"functionDeclarations":[{"name":"a"}]}],"generationConfig":{"responseMimeType":"application/json"}}"#;
        assert!(verdict(STUDIO, "gemini-2.5-flash", both).unwrap().contains("unsupported"));
        assert_eq!(verdict(STUDIO, "gemini-3-flash-preview", both), None);
        let cached = r#"{"cachedContent":"cachedContents/1","tools":[]}"#;
        assert!(verdict(VERTEX, "m", cached).unwrap().contains("CachedContent can not"));
        let safety =
            r#"{"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"MAYBE"}]}"#;
        assert!(verdict(STUDIO, "m", safety).unwrap().contains("safety_settings[0].threshold"));
    }
}
