//! Who is let in to Anthropic's endpoints, and which of them answers. Claude on Vertex AI shares
//! everything behind the door.
//!
//! <https://docs.claude.com/en/api/claude-on-vertex-ai>

use std::borrow::Cow;

use super::super::gemini::Address;
use super::super::json::quote;
use super::super::problem;
use super::super::reply::{Asked, Body, Reply};
use super::super::seal;
use super::answer::{prompt_tokens, say};
use super::check::check;
use super::error::{error, extra, refused, unreadable};
use super::history::review;
use super::request::Request;

/// The answer of Anthropic's own API.
pub(crate) fn answer(asked: &Asked<'_>) -> Reply {
    finish(asked, respond(asked).unwrap_or_else(|reply| reply))
}

fn respond(asked: &Asked<'_>) -> Result<Reply, Reply> {
    check_caller(asked)?;
    let path = asked.path;
    match (asked.get, path) {
        (false, "/v1/messages") => {
            let request = read(asked)?;
            messages(asked, request, None)
        }
        (false, "/v1/messages/count_tokens") => count(asked, &read(asked)?, None),
        (true, "/v1/models") => Ok(models()),
        (true, _) => {
            let name = path.strip_prefix("/v1/models/").unwrap_or_default();
            let model = MODELS.iter().find(|(id, _)| *id == name).copied();
            model
                .map(|model| Reply::json(200, entry(model)).typed("application/json"))
                .ok_or_else(|| error(404, "not_found_error", &format!("model: {name}")))
        }
        _ => Err(error(404, "not_found_error", "Not Found")),
    }
}

fn check_caller(asked: &Asked<'_>) -> Result<(), Reply> {
    let bearer = asked.fields.bearer().map(str::as_bytes);
    match asked.fields.api_key.or(bearer) {
        None | Some(b"") => {
            return Err(error(401, "authentication_error", "x-api-key header is required"));
        }
        Some(key) if key.starts_with(b"invalid") => {
            return Err(error(401, "authentication_error", "invalid x-api-key"));
        }
        Some(_) => {}
    }
    match asked.fields.version {
        None => Err(refused("anthropic-version: header is required")),
        Some(version) if is_version(version) => Ok(()),
        Some(other) => {
            let version = quote(&String::from_utf8_lossy(other));
            Err(refused(&format!("anthropic-version: {version} is not a valid version")))
        }
    }
}

/// Versions are days; the first was in 2023.
fn is_version(text: &[u8]) -> bool {
    let shaped = text.iter().zip(b"0000-00-00").all(|(byte, place)| match place {
        b'0' => byte.is_ascii_digit(),
        dash => byte == dash,
    });
    text.len() == 10 && shaped && text >= &b"2023-01-01"[..]
}

fn read<'r>(asked: &Asked<'r>) -> Result<Request<'r>, Reply> {
    problem::read(asked.body).map_err(|problem| unreadable(&problem, asked.body))
}

/// The name of the model, from the path on Vertex, else from the body.
fn model_of<'m>(request: &'m Request<'_>, address: Option<&Address<'m>>) -> Result<&'m str, Reply> {
    match address {
        None if request.anthropic_version.is_some() => Err(extra("anthropic_version")),
        None => request.model.as_deref().ok_or_else(|| refused("model: Field required")),
        Some(_) if request.model.is_some() => Err(extra("model")),
        Some(address) => match request.anthropic_version.as_deref() {
            None => Err(refused("anthropic_version: Field required")),
            Some("vertex-2023-10-16") => Ok(address.model),
            Some(version) if is_version(version.as_bytes()) => Ok(address.model),
            Some(_) => Err(refused("anthropic_version: Input should be 'vertex-2023-10-16'")),
        },
    }
}

fn messages(
    asked: &Asked<'_>,
    mut request: Request<'_>,
    address: Option<&Address<'_>>,
) -> Result<Reply, Reply> {
    let model = model_of(&request, address)?.to_owned();
    if request.max_tokens.is_none() {
        return Err(refused("max_tokens: Field required"));
    }
    let known = check(&request, &model)?;
    let history = review(&request, known)?;
    if let Some(address) = address {
        // The method decides; the field repeats it.
        let streams = address.verb == "streamRawPredict";
        request.stream = Some(streams || request.stream == Some(true));
    }
    Ok(say(asked, (&request, &model), history, address.is_some()))
}

/// Counting takes what shapes the prompt, and nothing else.
fn count(
    asked: &Asked<'_>,
    request: &Request<'_>,
    address: Option<&Address<'_>>,
) -> Result<Reply, Reply> {
    let model = model_of(request, address)?;
    let given = [
        ("max_tokens", request.max_tokens.is_some()),
        ("stream", request.stream.is_some()),
        ("temperature", request.temperature.is_some()),
        ("top_p", request.top_p.is_some()),
        ("top_k", request.top_k.is_some()),
        ("stop_sequences", request.stop_sequences.is_some()),
        ("metadata", request.metadata.is_some()),
        ("service_tier", request.service_tier.is_some()),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        return Err(extra(name));
    }
    let known = check(request, model)?;
    review(request, known)?;
    let body = format!("{{\"input_tokens\":{}}}", prompt_tokens(asked));
    Ok(Reply::json(200, body).typed("application/json"))
}

/// The answer of Claude on Vertex AI to a caller whom Google has let in.
pub(crate) fn on_vertex(asked: &Asked<'_>, address: &Address<'_>) -> Reply {
    let answered = read(asked).and_then(|mut request| match address.verb {
        // This model is none; the body names the one that counts.
        "rawPredict" if address.model == "count-tokens" => {
            if request.anthropic_version.take().is_none() {
                return Err(refused("anthropic_version: Field required"));
            }
            count(asked, &request, None)
        }
        "rawPredict" | "streamRawPredict" => {
            let config = request.output_config.as_ref();
            if config.is_some_and(|config| config.format.is_some()) {
                return Err(extra("output_config.format"));
            }
            messages(asked, request, Some(address))
        }
        _ => Err(error(404, "not_found_error", "Not Found")),
    });
    finish(asked, answered.unwrap_or_else(|reply| reply))
}

/// Names and birthdays of models.
const MODELS: [(&str, &str); 6] = [
    ("claude-opus-4-6", "2026-02-04T00:00:00Z"),
    ("claude-opus-4-5-20251101", "2025-11-24T00:00:00Z"),
    ("claude-haiku-4-5-20251001", "2025-10-15T00:00:00Z"),
    ("claude-sonnet-4-5-20250929", "2025-09-29T00:00:00Z"),
    ("claude-sonnet-4-20250514", "2025-05-22T00:00:00Z"),
    ("claude-3-haiku-20240307", "2024-03-07T00:00:00Z"),
];

fn entry((id, created): (&str, &str)) -> String {
    format!(
        "{{\"type\":\"model\",\"id\":\"{id}\",\"display_name\":\"{id}\",\"created_at\":\"{created}\"}}"
    )
}

fn models() -> Reply {
    let entries: Vec<String> = MODELS.iter().map(|model| entry(*model)).collect();
    let [first, .., last] = MODELS;
    let body = format!(
        "{{\"data\":[{}],\"has_more\":false,\"first_id\":\"{}\",\"last_id\":\"{}\"}}",
        entries.join(","),
        first.0,
        last.0
    );
    Reply::json(200, body).typed("application/json")
}

/// The fields that every answer has; the id of the request also stands in an error's body.
pub(super) fn finish(asked: &Asked<'_>, mut reply: Reply) -> Reply {
    let id = seal::call_id("req_011", "request", "", asked.nonce());
    if let Body::Whole(body) = &mut reply.body
        && body.starts_with(b"{\"type\":\"error\"")
    {
        body.truncate(body.len() - 1);
        body.extend_from_slice(format!(",\"request_id\":\"{id}\"}}").as_bytes());
    }
    let limits = "anthropic-ratelimit-requests-limit: 4000\r\n\
                  anthropic-ratelimit-requests-remaining: 3999\r\n\
                  anthropic-ratelimit-input-tokens-limit: 2000000\r\n\
                  anthropic-ratelimit-input-tokens-remaining: 1999000\r\n\
                  anthropic-ratelimit-output-tokens-limit: 400000\r\n\
                  anthropic-ratelimit-output-tokens-remaining: 399000\r\n";
    let limits = if reply.is_good() { Cow::Borrowed(limits) } else { Cow::Borrowed("") };
    reply.with(&format!("request-id: {id}\r\n{limits}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::{Value, json};

    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    const FIELDS: Fields<'_> = Fields {
        google_key: None,
        api_key: Some(b"sk-ant"),
        authorization: None,
        version: Some(b"2023-06-01"),
        vertex_tier: None,
        host: None,
    };

    /// No two answers have the same.
    static SERIAL: AtomicU64 = AtomicU64::new(1);

    fn ask_as(fields: Fields<'_>, get: bool, path: &str, body: &str) -> Reply {
        let options = Options { tokens: 3, ..Options::default() };
        let asked = Asked {
            get,
            path,
            query: "",
            fields,
            body: body.as_bytes(),
            options: &options,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            now_ms: 7_000,
        };
        match Address::parse(path) {
            Some(address) => on_vertex(&asked, &address),
            None => answer(&asked),
        }
    }

    fn ask(body: &Value) -> (u16, String) {
        ask_as(FIELDS, false, "/v1/messages", &body.to_string()).shown()
    }

    /// A request with these fields beside the usual ones.
    fn with(fields: &Value) -> Value {
        let mut body = json!({
            "model": "claude-sonnet-4-5",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": "hi"}],
        });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    fn served(body: &Value) -> Value {
        let (status, text) = ask(body);
        assert_eq!(status, 200, "{body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn refusal(body: &Value) -> String {
        let (status, text) = ask(body);
        let error: Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(
            (status, &error["error"]["type"]),
            (400, &"invalid_request_error".into()),
            "{body}"
        );
        assert!(error["request_id"].as_str().unwrap().starts_with("req_011"));
        error["error"]["message"].as_str().unwrap().to_owned()
    }

    fn two_tools() -> Value {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        json!([{"name": "a", "input_schema": schema}, {"name": "b", "input_schema": {"type": "object"}}])
    }

    #[test]
    fn whole_answers_and_events() {
        let answer = served(&with(&json!({"max_tokens": 2})));
        assert_eq!(answer["content"][0]["text"], "Hello from");
        assert_eq!(
            (&answer["stop_reason"], &answer["usage"]["output_tokens"]),
            (&"max_tokens".into(), &2.into())
        );
        let (_, events) = ask(&with(&json!({"stream": true})));
        let names: Vec<&str> =
            events.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!(
            names,
            [
                "message_start",
                "content_block_start",
                "ping",
                "content_block_delta",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ]
        );
        let nothing = served(&with(&json!({"max_tokens": 0})));
        assert_eq!(nothing["content"], json!([]));
        let answer = served(&with(&json!({"stop_sequences": ["from"]})));
        assert_eq!(
            (&answer["stop_reason"], &answer["stop_sequence"]),
            (&"stop_sequence".into(), &"from".into())
        );
        let cached =
            json!([{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}]);
        let usage = served(&with(&json!({"system": cached})))["usage"].clone();
        assert!(usage["cache_creation_input_tokens"].as_u64() > Some(0), "{usage}");
        assert_eq!(usage["cache_read_input_tokens"], 0);
    }

    /// Plays turns of calls and results until the model only talks.
    fn play(fields: &Value, first: bool) -> Vec<Value> {
        let mut messages = vec![json!({"role": "user", "content": "go"})];
        let mut answers = Vec::new();
        for _ in 0..3 {
            let mut body = with(fields);
            body["messages"] = json!(messages);
            let answer = served(&body);
            let content = answer["content"].clone();
            let calls =
                content.as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
            let results: Vec<Value> = calls
                .map(|call| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}))
                .collect();
            answers.push(answer);
            if results.is_empty() || first {
                break;
            }
            messages.push(json!({"role": "assistant", "content": content}));
            messages.push(json!({"role": "user", "content": results}));
        }
        answers
    }

    #[test]
    fn a_loop_has_two_rounds_of_calls_and_a_summary() {
        for fields in [
            json!({"tools": two_tools()}),
            json!({"tools": two_tools(), "thinking": {"type": "enabled", "budget_tokens": 1024}}),
            json!({"tools": two_tools(), "model": "claude-opus-4-6", "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ] {
            let answers = play(&fields, false);
            assert_eq!(answers.len(), 3, "{fields}");
            let kinds = |turn: usize| -> Vec<String> {
                let blocks = answers[turn]["content"].as_array().unwrap().iter();
                blocks.map(|block| block["type"].as_str().unwrap().to_owned()).collect()
            };
            let thinks = fields.get("thinking").is_some();
            let skip = usize::from(thinks);
            assert_eq!(kinds(0)[skip..], ["text", "tool_use", "tool_use"]);
            assert_eq!(kinds(1)[skip..], ["tool_use", "tool_use"]);
            assert_eq!(kinds(0)[0] == "thinking", thinks);
            let print = seal::fingerprint("sunny");
            let text = answers[2]["content"][skip]["text"].as_str().unwrap();
            let expected = format!(
                "I saw 4 tool results in 2 rounds: a={print}, b={print}, a={print}, b={print}. All arguments came back intact."
            );
            assert_eq!(text, expected);
            assert_eq!(answers[0]["stop_reason"], "tool_use");
        }
        let one = json!({"tools": two_tools(), "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
        assert_eq!(play(&one, true)[0]["content"].as_array().unwrap().len(), 2);
        let named = json!({"tools": two_tools(), "tool_choice": {"type": "tool", "name": "b"}});
        assert_eq!(play(&named, true)[0]["content"][1]["name"], "b");
        let none = json!({"tools": two_tools(), "tool_choice": {"type": "none"}});
        assert_eq!(play(&none, true)[0]["stop_reason"], "end_turn");
    }

    /// Puts a delta to what its block has so far.
    fn grow(block: &mut Value, delta: &Value) {
        let fields = [
            ("text", "text"),
            ("thinking", "thinking"),
            ("signature", "signature"),
            ("partial_json", "json"),
        ];
        for (name, field) in fields {
            if let Some(piece) = delta[name].as_str() {
                let so_far = block[field].as_str().unwrap_or("").to_owned();
                block[field] = json!(so_far + piece);
            }
        }
    }

    #[test]
    fn streamed_calls_come_in_pieces_that_make_up_the_whole() {
        let thinking = json!({"type": "enabled", "budget_tokens": 1024});
        let mut fields = json!({"tools": two_tools(), "thinking": thinking});
        let whole = served(&with(&fields));
        fields["stream"] = json!(true);
        let (_, events) = ask(&with(&fields));
        let mut blocks: Vec<Value> = Vec::new();
        for data in events.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let data: Value = serde_json::from_str(data).unwrap();
            match data["type"].as_str().unwrap() {
                "content_block_start" => blocks.push(data["content_block"].clone()),
                "content_block_delta" => {
                    let index = usize::try_from(data["index"].as_u64().unwrap()).unwrap();
                    grow(&mut blocks[index], &data["delta"]);
                }
                _ => {}
            }
        }
        for (block, expected) in blocks.iter_mut().zip(whole["content"].as_array().unwrap()) {
            if let Some(text) = block.as_object_mut().unwrap().remove("json") {
                let text = text.as_str().unwrap().to_owned();
                let text = if text.is_empty() { "{}" } else { &text };
                block["input"] = serde_json::from_str(text).unwrap();
            }
            // These two differ from answer to answer.
            for mark in ["id", "signature"] {
                if let Some(value) = block.get_mut(mark) {
                    assert_eq!(value.as_str().map(str::len), expected[mark].as_str().map(str::len));
                    *value = expected[mark].clone();
                }
            }
            assert_eq!(block, expected);
        }
        assert_eq!(blocks.len(), 4);
    }

    /// Fields of a request, and words of its refusal.
    const AT_THE_TOP: &str = r#"
{"n":1} => n: Extra inputs are not permitted
{"model":null} => model: Field required
{"max_tokens":null} => max_tokens: Field required
{"max_tokens":-1} => greater than or equal to 0
{"max_tokens":64001} => 64001 > 64000, which is the maximum
{"max_tokens":"many"} => max_tokens: Input should be a valid integer
{"temperature":1.5} => temperature: range: 0..1
{"temperature":1,"top_p":1} => cannot both be specified
{"stop_sequences":[" "]} => non-whitespace
{"service_tier":"flex"} => 'auto' or 'standard_only'
{"metadata":{"user":"x"}} => metadata.user: Extra inputs
{"anthropic_version":"x"} => anthropic_version: Extra inputs
{"tools":[{"name":"a"}]} => tools.0.custom.input_schema: Field required
{"tools":[{"name":"a","input_schema":{"type":"array"}}]} => Input should be 'object'
{"tools":[{"name":"a b","input_schema":{"type":"object"}}]} => String should match pattern
{"tools":[{"name":"a","parameters":{}}]} => tools.0.custom.parameters: Extra inputs
{"tools":[{"name":"a","strict":true,"input_schema":{"type":"object"}}]} => 'additionalProperties' must be
{"tools":[TOOL,TOOL]} => Tool names must be unique
{"tool_choice":{"type":"auto"}} => while providing tools
{"tools":[TOOL],"tool_choice":{"type":"tool","name":"c"}} => Tool 'c' not found
{"tools":[TOOL],"tool_choice":{"type":"sometimes"}} => Input tag 'sometimes'
{"tools":[TOOL],"tool_choice":{"type":"tool"}} => tool_choice.tool.name: Field required
{"thinking":{"type":"enabled"}} => budget_tokens: Field required
{"thinking":{"type":"enabled","budget_tokens":1023}} => greater than or equal to 1024
{"thinking":{"type":"enabled","budget_tokens":4096}} => `max_tokens` must be greater than
{"thinking":THINK,"temperature":0.5} => `temperature` may only be set to 1
{"thinking":THINK,"top_p":0.5} => `top_p` must be greater
{"thinking":THINK,"top_k":5} => `top_k` must be unset
{"thinking":THINK,"tools":[TOOL],"tool_choice":{"type":"any"}} => forces tool use
{"thinking":{"type":"adaptive"}} => adaptive thinking is not supported
{"thinking":{"type":"disabled","budget_tokens":1}} => thinking.disabled.budget_tokens: Extra
{"model":"claude-fable-5","thinking":THINK} => thinking.type.adaptive
{"model":"claude-3-haiku","max_tokens":9,"thinking":THINK} => does not support thinking
{"output_config":{"effort":"low"}} => does not support the effort parameter
{"model":"claude-opus-4-6","output_config":{"effort":"xhigh"}} => Supported levels: high, low, max, medium.
{"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}} => For 'object' type
{"output_config":{"format":{"type":"json_schema","schema":{"type":"integer","minimum":1}}}} => properties minimum are not supported
{"cache_control":{"type":"forever"}} => 'ephemeral'
{"system":[CACHED,CACHED,CACHED,CACHED,CACHED]} => maximum of 4 blocks
{"system":[{"type":"image"}]} => Input tag 'image'
"#;

    /// Messages, and words of their refusal.
    const IN_MESSAGES: &str = r#"
[] => at least one message
[{"role":"system","content":"x"}] => messages.0.role: Input should be 'user' or 'assistant'
[{"role":"user"}] => messages.0.content: Field required
[{"role":"user","content":""}] => non-empty content
[U[{"type":"text","text":""}]] => must be non-empty
[U[{"type":"text","text":" "}]] => non-whitespace text
[U[{"type":"text","text":"x","y":1}]] => messages.0.content.0.text.y: Extra
[U[{"type":"text","text":"x","id":"1"}]] => messages.0.content.0.text.id: Extra
[U[{"type":"video"}]] => Input tag 'video'
[U[CALL1]] => Input tag 'tool_use'
[USER,USER] => multiple "user" roles in a row
[U[RESULT1]] => messages.0.content.0: unexpected `tool_use_id`
[USER,A[CALL1]] => messages.1: `tool_use` ids were found without
[USER,A[CALL1,CALL2],U[RESULT1]] => immediately after: 2.
[USER,A[CALL1],U[TEXT,RESULT1]] => immediately after: 1.
[USER,A[CALL1,TEXT],U[RESULT1]] => immediately after: 1.
[USER,A[CALL1],U[RESULT1,RESULT1]] => single result
[USER,A[CALL1,CALL1],U[RESULT1]] => must be unique
[USER,A[{"type":"tool_use","id":"a.b","name":"a","input":{}}]] => String should match pattern '^[a-zA-Z0-9_-]+$'
[USER,A[{"type":"tool_use","id":"1","name":"a","input":[]}]] => valid dictionary
[USER,{"role":"assistant","content":"y "}] => trailing whitespace
[USER,A[{"type":"thinking","thinking":"t","signature":"s"}],USER] => messages.1.content.0: Invalid `signature`
[USER,A[{"type":"redacted_thinking","data":"s"}],USER] => Invalid `data`
[U[{"type":"image","source":{"type":"base64","media_type":"image/bmp","data":"AA=="}}]] => source.base64.media_type
[U[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"%"}}]] => Invalid base64
[U[{"type":"image","source":{"type":"url","url":"http://x"}}]] => Only HTTPS
[U[{"type":"document","source":{"type":"base64","media_type":"text/html","data":"AA=="}}]] => 'application/pdf'
"#;

    /// Spells out the short words of the tables.
    fn spelled(short: &str) -> Value {
        let tool = r#"{"name":"a","input_schema":{"type":"object"}}"#;
        let cached = r#"{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}"#;
        let call = |id| format!(r#"{{"type":"tool_use","id":"{id}","name":"a","input":{{}}}}"#);
        let result = r#"{"type":"tool_result","tool_use_id":"1","content":"x"}"#;
        let long = short
            .replace("USER", "U[TEXT]")
            .replace("TOOL", tool)
            .replace("THINK", r#"{"type":"enabled","budget_tokens":1024}"#)
            .replace("CACHED", cached)
            .replace("CALL1", &call(1))
            .replace("CALL2", &call(2))
            .replace("RESULT1", result)
            .replace("TEXT", r#"{"type":"text","text":"hi"}"#);
        let open = |long: &str, mark: &str, role: &str| {
            let mut out = String::new();
            for (index, part) in long.split(mark).enumerate() {
                // The first part stands before the first mark.
                if index > 0 {
                    let end = closing(part);
                    let (content, rest) = part.split_at(end);
                    let content = format!(r#"{{"role":"{role}","content":[{content}}}"#);
                    out.extend([content.as_str(), rest]);
                } else {
                    out += part;
                }
            }
            out
        };
        let long = open(&open(&long, "U[", "user"), "A[", "assistant");
        serde_json::from_str(&long).expect(&long)
    }

    /// Where the bracket ends that was opened just before `text`.
    fn closing(text: &str) -> usize {
        let mut depth = 1;
        for (at, letter) in text.char_indices() {
            depth += i32::from(letter == '[') - i32::from(letter == ']');
            if depth == 0 {
                return at + 1;
            }
        }
        text.len()
    }

    fn cases(table: &str) -> impl Iterator<Item = (&str, &str)> {
        table.trim().lines().map(|line| line.split_once(" => ").expect(line))
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (fields, words) in cases(AT_THE_TOP) {
            let message = refusal(&with(&spelled(fields)));
            assert!(message.contains(words), "{fields}: {message}");
        }
        for (messages, words) in cases(IN_MESSAGES) {
            let message = refusal(&with(&json!({"messages": spelled(messages)})));
            assert!(message.contains(words), "{messages}: {message}");
        }
    }

    #[test]
    fn what_is_nearly_wrong_is_served() {
        let calls = spelled("[USER,A[CALL1],U[RESULT1,TEXT]]");
        served(&with(&json!({"messages": calls})));
        let thinking = json!({"type": "enabled", "budget_tokens": 1024});
        let message = refusal(&with(&json!({"messages": calls, "thinking": thinking})));
        let words = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.";
        assert!(message.starts_with(words), "{message}");
        let prefill = spelled("[USER,A[TEXT]]");
        served(&with(&json!({"messages": prefill})));
        let newer = with(&json!({"messages": prefill, "model": "claude-opus-4-6"}));
        assert!(refusal(&newer).contains("prefill"));
        let format = r#"{"type":"json_schema","schema":{"type":"object","properties":{"a":{"const":1}},"additionalProperties":false}}"#;
        let format: Value = serde_json::from_str(format).unwrap();
        let answer = served(&with(&json!({"output_config": {"format": format}})));
        assert_eq!(answer["content"][0]["text"], "{\"a\":1}");
    }

    #[test]
    fn secret_thoughts_come_back() {
        let magic = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING_46C9A13E193C177646C7398A98432ECCCE4C1253D5E2D82641AC0E52CC2876CB";
        let thinking = json!({"type": "enabled", "budget_tokens": 1024});
        let first = json!({"role": "user", "content": magic});
        let answer = served(&with(&json!({"messages": [first], "thinking": thinking})));
        assert_eq!(answer["content"][0]["type"], "redacted_thinking");
        let back = json!([first, {"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "and?"}]);
        served(&with(&json!({"messages": back, "thinking": thinking})));
    }

    #[test]
    fn doors_are_guarded_and_others_are_there() {
        let body = with(&json!({})).to_string();
        let status = |fields| ask_as(fields, false, "/v1/messages", &body).shown();
        let (code, text) = status(Fields { api_key: None, ..FIELDS });
        assert!(code == 401 && text.contains("x-api-key header is required"), "{text}");
        let (code, text) = status(Fields { api_key: Some(b"invalid"), ..FIELDS });
        assert!(code == 401 && text.contains("invalid x-api-key"), "{text}");
        assert!(status(Fields { version: None, ..FIELDS }).1.contains("header is required"));
        assert!(
            status(Fields { version: Some(b"2020"), ..FIELDS }).1.contains("not a valid version")
        );
        assert_eq!(ask(&with(&json!({"model": "gpt-4"}))).0, 404);
        let reply = ask_as(FIELDS, false, "/v1/messages", &body);
        assert!(reply.fields.contains("request-id: req_011"), "{}", reply.fields);
        let (code, text) = ask_as(FIELDS, true, "/v1/models", "").shown();
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &list["data"][0]["type"]), (200, &"model".into()));
        assert_eq!(ask_as(FIELDS, true, "/v1/models/claude-opus-4-6", "").status, 200);
        assert_eq!(ask_as(FIELDS, true, "/v1/models/claude-nope", "").status, 404);
        assert_eq!(ask_as(FIELDS, false, "/v1/nowhere", "").status, 404);
        let count = |body: &str| ask_as(FIELDS, false, "/v1/messages/count_tokens", body).shown();
        assert!(count(&body).1.contains("max_tokens: Extra inputs"));
        let (code, text) =
            count(r#"{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"hi"}]}"#);
        assert!(code == 200 && text.starts_with("{\"input_tokens\":"), "{text}");
    }

    #[test]
    fn vertex_has_the_model_in_the_path() {
        let base = "/v1/projects/p/locations/us/publishers/anthropic/models/";
        let ask = |model: &str, verb: &str, fields: &Value| {
            let mut body = json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
            for (name, value) in fields.as_object().unwrap() {
                body[name] = value.clone();
            }
            ask_as(Fields::default(), false, &format!("{base}{model}:{verb}"), &body.to_string())
                .shown()
        };
        let (code, text) = ask("claude-haiku-4-5@20251001", "rawPredict", &json!({}));
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &answer["model"]), (200, &"claude-haiku-4-5@20251001".into()));
        assert!(answer["id"].as_str().unwrap().starts_with("msg_vrtx_"));
        let (_, text) = ask("claude-haiku-4-5", "streamRawPredict", &json!({"stream": true}));
        assert!(text.starts_with("event: message_start"), "{text}");
        for (fields, words) in [
            (json!({"model": "claude-haiku-4-5"}), "model: Extra inputs"),
            (json!({"anthropic_version": null}), "anthropic_version: Field required"),
            (json!({"anthropic_version": "1"}), "vertex-2023-10-16"),
            (
                json!({"output_config": {"format": {"type": "json_schema"}}}),
                "output_config.format: Extra",
            ),
        ] {
            let (code, text) = ask("claude-haiku-4-5", "rawPredict", &fields);
            assert!(code == 400 && text.contains(words), "{text}");
        }
        let counted = json!({"model": "claude-haiku-4-5", "max_tokens": null});
        assert_eq!(ask("count-tokens", "rawPredict", &counted).0, 200);
        assert_eq!(ask("gemini-2.5-flash", "rawPredict", &json!({})).0, 404);
    }
}
