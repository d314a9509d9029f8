//! Google's `generateContent` and `streamGenerateContent`, as strict as Google.
//!
//! <https://ai.google.dev/api/generate-content>; the wording of the errors is Google's.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::reply::{Asked, Reply, unknown_field};
use super::script;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request<'r> {
    #[serde(borrow)]
    contents: Option<Vec<Content<'r>>>,
    #[serde(borrow, alias = "system_instruction")]
    system_instruction: Option<Content<'r>>,
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    #[serde(alias = "safety_settings")]
    safety_settings: Option<Vec<Safety>>,
    tools: Option<Vec<IgnoredAny>>,
    #[serde(alias = "tool_config")]
    tool_config: Option<IgnoredAny>,
    #[serde(borrow, alias = "cached_content")]
    cached_content: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<'r> {
    #[serde(borrow)]
    role: Option<Cow<'r, str>>,
    #[serde(borrow)]
    parts: Option<Vec<Part<'r>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Part<'r> {
    #[serde(borrow)]
    text: Option<Cow<'r, str>>,
    thought: Option<bool>,
    #[serde(borrow, alias = "thought_signature")]
    thought_signature: Option<Cow<'r, str>>,
    #[serde(alias = "inline_data")]
    inline_data: Option<IgnoredAny>,
    #[serde(alias = "file_data")]
    file_data: Option<IgnoredAny>,
    #[serde(alias = "function_call")]
    function_call: Option<IgnoredAny>,
    #[serde(alias = "function_response")]
    function_response: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct GenerationConfig {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<f64>,
    max_output_tokens: Option<u32>,
    candidate_count: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    seed: Option<i32>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    response_mime_type: Option<String>,
    response_json_schema: Option<IgnoredAny>,
    response_schema: Option<IgnoredAny>,
    response_modalities: Option<Vec<String>>,
    response_logprobs: Option<bool>,
    logprobs: Option<u32>,
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ThinkingConfig {
    thinking_budget: Option<i32>,
    thinking_level: Option<String>,
    include_thoughts: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Safety {
    category: String,
    threshold: String,
}

/// How a target asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Events,
    Array,
}

/// The answer to a request for one of Google's paths; none for any other path.
pub(super) fn answer(asked: &Asked<'_>) -> Option<Reply> {
    let (path, query) = asked.target.split_once('?').unwrap_or((asked.target, ""));
    let (model, form) = parse_path(path, query)?;
    Some(respond(asked, query, model, form).unwrap_or_else(|reply| reply))
}

/// The model that a target names.
pub(super) fn model_of(target: &str) -> Option<&str> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    parse_path(path, query).map(|(model, _)| model)
}

fn parse_path<'p>(path: &'p str, query: &str) -> Option<(&'p str, Form)> {
    let in_studio =
        path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"));
    let on_vertex = || path.split_once("/publishers/google/models/").map(|(_, rest)| rest);
    let (model, method) = in_studio.or_else(on_vertex)?.split_once(':')?;
    let events = query.split('&').any(|pair| pair == "alt=sse");
    match method {
        "generateContent" => Some((model, Form::Whole)),
        "streamGenerateContent" => Some((model, if events { Form::Events } else { Form::Array })),
        _ => None,
    }
}

fn respond(asked: &Asked<'_>, query: &str, model: &str, form: Form) -> Result<Reply, Reply> {
    if query.split('&').any(|pair| pair.starts_with("key=")) {
        return Err(error(400, "INVALID_ARGUMENT", "The simulator takes the key in a header."));
    }
    match asked.key {
        None | Some(b"") => {
            let message = "Method doesn't allow unregistered callers (callers without established \
                           identity). Please use API Key or other form of API consumer identity \
                           to call this API.";
            return Err(error(403, "PERMISSION_DENIED", message));
        }
        Some(key) if key.starts_with(b"invalid") => return Err(invalid_key()),
        Some(_) => {}
    }
    if !model.starts_with("gemini-") {
        let message = format!(
            "models/{model} is not found for API version v1beta, or is not \
                               supported for generateContent."
        );
        return Err(error(404, "NOT_FOUND", &message));
    }
    let request = parse(asked.body)?;
    check(&request, model)?;
    Ok(say(asked, &request, model, form))
}

fn parse(body: &[u8]) -> Result<Request<'_>, Reply> {
    serde_json::from_slice(body).map_err(|problem| {
        let message = unknown_field(&problem).map_or_else(
            || format!("Invalid JSON payload received. {problem}"),
            |name| {
                format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
                )
            },
        );
        error(400, "INVALID_ARGUMENT", &message)
    })
}

fn check(request: &Request<'_>, model: &str) -> Result<(), Reply> {
    let refuse = |message: &str| Err(error(400, "INVALID_ARGUMENT", message));
    let contents = request.contents.as_deref().unwrap_or_default();
    if contents.is_empty() {
        return refuse("* GenerateContentRequest.contents: contents is not specified\n");
    }
    for content in contents {
        let role = content.role.as_deref().unwrap_or("user");
        if !matches!(role, "user" | "model") {
            return refuse("Please use a valid role: user, model.");
        }
        check_parts(content)?;
    }
    if let Some(system) = &request.system_instruction {
        check_parts(system)?;
    }
    if request.cached_content.as_deref() == Some("") {
        return refuse("cachedContent must be a resource name.");
    }
    let settings = request.safety_settings.as_deref().unwrap_or_default();
    let named = |text: &str, prefix: &str| text.starts_with(prefix);
    if !settings.iter().all(|s| named(&s.category, "HARM_CATEGORY_") && !s.threshold.is_empty()) {
        return refuse("Invalid value at 'safety_settings[0].category'");
    }
    let declares = request.tools.as_ref().is_some_and(|tools| !tools.is_empty());
    if request.tool_config.is_some() && !declares {
        return refuse("Function calling config is set without function_declarations.");
    }
    check_config(request.generation_config.as_ref(), model)
}

fn check_parts(content: &Content<'_>) -> Result<(), Reply> {
    let parts = content.parts.as_deref().unwrap_or_default();
    let has_data = |part: &Part<'_>| {
        let other =
            [&part.inline_data, &part.file_data, &part.function_call, &part.function_response];
        part.text.is_some() || other.iter().any(|data| data.is_some())
    };
    // A mark or a flag alone is no data.
    let marked = |part: &Part<'_>| part.thought.is_some() || part.thought_signature.is_some();
    if parts.is_empty() || !parts.iter().all(|part| has_data(part) || marked(part)) {
        let message =
            "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n";
        return Err(error(400, "INVALID_ARGUMENT", message));
    }
    Ok(())
}

fn check_config(config: Option<&GenerationConfig>, model: &str) -> Result<(), Reply> {
    let Some(config) = config else { return Ok(()) };
    let refuse = |message: &str| Err(error(400, "INVALID_ARGUMENT", message));
    let within = |value: Option<f64>, least: f64, most: f64| {
        value.is_none_or(|value| (least..=most).contains(&value))
    };
    if !within(config.temperature, 0.0, 2.0) {
        return refuse("Unable to submit request because it has a temperature value out of range.");
    }
    if !within(config.top_p, 0.0, 1.0) || !within(config.top_k, 0.0, 1e6) {
        return refuse(
            "Unable to submit request because it has a topP or topK value out of range.",
        );
    }
    let penalties = [config.presence_penalty, config.frequency_penalty];
    if !penalties.iter().all(|value| within(*value, -2.0, 1.999_999)) {
        return refuse("Penalty is supported in the range [-2.0, 2.0).");
    }
    if config.candidate_count.is_some_and(|count| !(1..=8).contains(&count)) {
        return refuse("candidate_count must be in the range [1, 8].");
    }
    if config.stop_sequences.as_ref().is_some_and(|stops| stops.len() > 5) {
        return refuse("The number of stop sequences must be at most 5.");
    }
    let structured = config.response_json_schema.is_some() || config.response_schema.is_some();
    if structured && config.response_mime_type.is_none() {
        return refuse("A response schema needs response_mime_type: \"application/json\".");
    }
    if config.logprobs.is_some() && config.response_logprobs != Some(true) {
        return refuse("logprobs is set without responseLogprobs.");
    }
    let levels = config.thinking_config.as_ref();
    if levels
        .is_some_and(|config| config.thinking_level.is_some() && config.thinking_budget.is_some())
    {
        return refuse("You can only set only one of thinking budget and thinking level.");
    }
    if levels.is_some_and(|config| config.thinking_level.is_some()) && model.starts_with("gemini-2")
    {
        return refuse("Thinking level is not supported for this model.");
    }
    Ok(())
}

/// Everything that all chunks of an answer have in common.
struct Speech<'s> {
    model: &'s str,
    id: String,
    prompt: u32,
    choices: u32,
    tokens: u32,
    finish: &'static str,
    thoughts: bool,
}

fn say(asked: &Asked<'_>, request: &Request<'_>, model: &str, form: Form) -> Reply {
    let config = request.generation_config.as_ref();
    let contents = request.contents.as_deref().unwrap_or_default();
    let said = |content: &Content<'_>| -> usize {
        let parts = content.parts.as_deref().unwrap_or_default();
        parts.iter().filter_map(|part| part.text.as_deref()).map(str::len).sum()
    };
    let bytes: usize = contents.iter().chain(&request.system_instruction).map(said).sum();
    let limit = config.and_then(|config| config.max_output_tokens).unwrap_or(u32::MAX);
    let include = config.and_then(|config| config.thinking_config.as_ref());
    let speech = Speech {
        model,
        id: format!("sim{:016x}", asked.serial),
        prompt: script::tokens_of(bytes),
        choices: config.and_then(|config| config.candidate_count).unwrap_or(1),
        tokens: asked.tokens.min(limit),
        finish: if limit < asked.tokens { "MAX_TOKENS" } else { "STOP" },
        thoughts: include.and_then(|config| config.include_thoughts) == Some(true),
    };
    match form {
        Form::Whole => Reply::json(200, speech.whole()),
        Form::Events => Reply::events(speech.events()),
        Form::Array => Reply::json(200, speech.array()),
    }
}

impl Speech<'_> {
    /// Google indents whole answers.
    fn whole(&self) -> Vec<u8> {
        let mut out = String::with_capacity(1024);
        out.push_str("{\n  \"candidates\": [\n");
        for choice in 0..self.choices {
            let comma = if choice + 1 < self.choices { "," } else { "" };
            let thought = if self.thoughts { THOUGHT } else { "" };
            let _infallible = write!(
                out,
                "    {{\n      \"content\": {{\n        \"parts\": [\n          {thought}{{\n            \"text\": \"{}\"\n          }}\n        ],\n        \"role\": \"model\"\n      }},\n      \"finishReason\": \"{}\",\n      \"index\": {choice}\n    }}{comma}\n",
                script::text(self.tokens),
                self.finish,
            );
        }
        let _infallible = write!(
            out,
            "  ],\n  \"usageMetadata\": {},\n  \"modelVersion\": \"{}\",\n  \"responseId\": \"{}\"\n}}\n",
            self.usage(self.tokens),
            self.model,
            self.id
        );
        out.into_bytes()
    }

    /// One chunk per token; the counts grow, and the reason stands on the last.
    fn events(&self) -> Vec<Vec<u8>> {
        let chunks = self.chunks();
        chunks.into_iter().map(|chunk| format!("data: {chunk}\r\n\r\n").into_bytes()).collect()
    }

    /// Without `alt=sse` a stream is one array that grows.
    fn array(&self) -> Vec<u8> {
        format!("[{}]\n", self.chunks().join(",\n")).into_bytes()
    }

    fn chunks(&self) -> Vec<String> {
        let last = self.tokens.max(1);
        (1..=last).map(|count| self.chunk(count, count == last)).collect()
    }

    fn chunk(&self, count: u32, last: bool) -> String {
        let mut candidates = String::new();
        for choice in 0..self.choices {
            let comma = if choice > 0 { "," } else { "" };
            let word = if self.tokens == 0 { "" } else { script::token(count - 1) };
            let thought = if self.thoughts && count == 1 { THOUGHT } else { "" };
            let finish = if last {
                format!(",\"finishReason\": \"{}\"", self.finish)
            } else {
                String::new()
            };
            let _infallible = write!(
                candidates,
                "{comma}{{\"content\": {{\"parts\": [{thought}{{\"text\": \"{word}\"}}],\"role\": \"model\"}}{finish},\"index\": {choice}}}"
            );
        }
        format!(
            "{{\"candidates\": [{candidates}],\"usageMetadata\": {},\"modelVersion\": \"{}\",\"responseId\": \"{}\"}}",
            self.usage(count.min(self.tokens)),
            self.model,
            self.id
        )
    }

    fn usage(&self, count: u32) -> String {
        let thoughts = if self.thoughts { 7 } else { 0 };
        let spoken = count * self.choices;
        let thinking = if self.thoughts {
            format!("\"thoughtsTokenCount\": {thoughts},")
        } else {
            String::new()
        };
        format!(
            "{{\"promptTokenCount\": {0},\"candidatesTokenCount\": {spoken},{thinking}\"totalTokenCount\": {1},\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": {0}}}]}}",
            self.prompt,
            self.prompt + spoken + thoughts
        )
    }
}

const THOUGHT: &str = "{\"text\": \"The user wants words.\",\"thought\": true},";

/// A prompt that Google blocks.
pub(super) fn blocked(stream: bool) -> Reply {
    let body = "{\"promptFeedback\": {\"blockReason\": \"PROHIBITED_CONTENT\"},\"usageMetadata\": {\"promptTokenCount\": 4,\"totalTokenCount\": 4},\"modelVersion\": \"gemini-2.5-flash\"}";
    if stream {
        Reply::events(vec![format!("data: {body}\r\n\r\n").into_bytes()])
    } else {
        Reply::json(200, body)
    }
}

/// Google's error body.
pub(super) fn error(status: u16, name: &str, message: &str) -> Reply {
    let message = serde_json::to_string(message).unwrap_or_default();
    let body = format!(
        "{{\n  \"error\": {{\n    \"code\": {status},\n    \"message\": {message},\n    \"status\": \"{name}\"\n  }}\n}}\n"
    );
    Reply::json(status, body)
}

fn invalid_key() -> Reply {
    Reply::json(
        400,
        "{\n  \"error\": {\n    \"code\": 400,\n    \"message\": \"API key not valid. Please pass a valid API key.\",\n    \"status\": \"INVALID_ARGUMENT\",\n    \"details\": [\n      {\n        \"@type\": \"type.googleapis.com/google.rpc.ErrorInfo\",\n        \"reason\": \"API_KEY_INVALID\",\n        \"domain\": \"googleapis.com\"\n      }\n    ]\n  }\n}\n",
    )
}

#[cfg(test)]
mod tests {
    use super::super::reply::Body;
    use super::*;

    fn ask(method: &str, body: &str) -> (u16, String) {
        let target = format!("/v1beta/models/gemini-2.5-flash:{method}");
        let asked = Asked {
            target: &target,
            key: Some(b"k"),
            version: None,
            body: body.as_bytes(),
            tokens: 3,
            serial: 1,
            now: 0,
        };
        let reply = answer(&asked).unwrap();
        let bytes = match reply.body {
            Body::Whole(bytes) => bytes,
            Body::Stream(events) => events.concat(),
        };
        (reply.status, String::from_utf8(bytes).unwrap())
    }

    const HI: &str = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;

    #[test]
    fn whole_and_streamed_answers_are_googles() {
        let (status, body) = ask("generateContent", &format!("{{{HI}}}"));
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], "Hello from the");
        assert_eq!(answer["usageMetadata"]["candidatesTokenCount"], 3);
        let (_, stream) = ask("streamGenerateContent?alt=sse", &format!("{{{HI}}}"));
        assert_eq!(stream.matches("\r\n\r\n").count(), 3);
        assert_eq!(stream.matches("finishReason").count(), 1);
        let (_, array) = ask("streamGenerateContent", &format!("{{{HI}}}"));
        let chunks: Vec<serde_json::Value> = serde_json::from_str(&array).unwrap();
        assert_eq!(chunks.len(), 3);
        let short =
            format!(r#"{{{HI},"generationConfig":{{"maxOutputTokens":2,"candidateCount":2}}}}"#);
        let (_, body) = ask("generateContent", &short);
        assert!(body.contains("MAX_TOKENS") && body.contains("\"index\": 1"), "{body}");
    }

    #[test]
    fn what_google_refuses_is_refused_in_its_words() {
        for (body, words) in [
            ("{", "Invalid JSON payload"),
            (r#"{"model":"x"}"#, r#"Unknown name \"model\""#),
            ("{}", "contents is not specified"),
            (r#"{"contents":[{"role":"king","parts":[{"text":"x"}]}]}"#, "valid role"),
            (r#"{"contents":[{"parts":[]}]}"#, "must not be empty"),
            (r#"{"contents":[{"parts":[{"txt":"x"}]}]}"#, r#"Unknown name \"txt\""#),
            (&format!(r#"{{{HI},"generationConfig":{{"max_tokens":1}}}}"#), "max_tokens"),
            (&format!(r#"{{{HI},"generationConfig":{{"candidateCount":9}}}}"#), "candidate_count"),
            (&format!(r#"{{{HI},"generationConfig":{{"presencePenalty":2}}}}"#), "Penalty"),
            (&format!(r#"{{{HI},"generationConfig":{{"responseJsonSchema":{{}}}}}}"#), "mime_type"),
            (&format!(r#"{{{HI},"toolConfig":{{}}}}"#), "function_declarations"),
        ] {
            let (status, answer) = ask("generateContent", body);
            assert_eq!(status, 400, "{body}");
            assert!(answer.contains(words) && answer.contains("INVALID_ARGUMENT"), "{answer}");
        }
    }

    #[test]
    fn keys_and_models_are_checked_first() {
        let asked = |key, target| {
            let asked =
                Asked { target, key, version: None, body: b"{}", tokens: 1, serial: 1, now: 0 };
            answer(&asked).map(|reply| reply.status)
        };
        let path = "/v1beta/models/gemini-x:generateContent";
        assert_eq!(asked(None, path), Some(403));
        assert_eq!(asked(Some(b"invalid-key"), path), Some(400));
        assert_eq!(asked(Some(b"k"), "/v1beta/models/gpt-4:generateContent"), Some(404));
        assert_eq!(asked(Some(b"k"), "/v1beta/models/gemini-x:embedContent"), None);
    }
}
