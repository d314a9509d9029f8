//! Anthropic's `POST /v1/messages`, whole and streamed.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::reply::{Asked, Reply, unknown_field};
use super::script;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most fields are read only to be accepted")]
struct Request {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<u32>,
    stream: Option<bool>,
    system: Option<IgnoredAny>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    metadata: Option<IgnoredAny>,
    tools: Option<IgnoredAny>,
    tool_choice: Option<IgnoredAny>,
    thinking: Option<IgnoredAny>,
    output_config: Option<IgnoredAny>,
    service_tier: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    role: Option<String>,
}

/// The answer to a request for this path; none for any other.
pub(super) fn answer(asked: &Asked<'_>) -> Option<Reply> {
    let path = asked.target.split('?').next().unwrap_or_default();
    (path == "/v1/messages").then(|| respond(asked).unwrap_or_else(|reply| reply))
}

fn respond(asked: &Asked<'_>) -> Result<Reply, Reply> {
    let refuse = |message: &str| Err(error(400, "invalid_request_error", message));
    if asked.key.is_none_or(<[u8]>::is_empty) {
        return Err(error(401, "authentication_error", "x-api-key header is required"));
    }
    if asked.version.is_none() {
        return refuse("anthropic-version: header is required");
    }
    let request: Request = serde_json::from_slice(asked.body).map_err(|problem| {
        let message = unknown_field(&problem).map_or_else(
            || format!("The request body is not valid JSON: {problem}"),
            |name| format!("{name}: Extra inputs are not permitted"),
        );
        error(400, "invalid_request_error", &message)
    })?;
    let Some(model) = request.model else { return refuse("model: Field required") };
    let Some(limit) = request.max_tokens else { return refuse("max_tokens: Field required") };
    let messages = request.messages.unwrap_or_default();
    if messages.is_empty() {
        return refuse("messages: at least one message is required");
    }
    let known = |message: &Message| matches!(message.role.as_deref(), Some("user" | "assistant"));
    if !messages.iter().all(known) {
        return refuse("messages.0.role: Input should be 'user' or 'assistant'");
    }
    let speech = Speech {
        model: serde_json::to_string(&model).unwrap_or_default(),
        id: format!("msg_sim{:016x}", asked.serial),
        prompt: script::tokens_of(asked.body.len()),
        tokens: asked.tokens.min(limit),
        stop: if limit < asked.tokens { "max_tokens" } else { "end_turn" },
    };
    if request.stream == Some(true) {
        return Ok(Reply::events(speech.events()));
    }
    Ok(Reply::json(200, speech.whole()))
}

struct Speech {
    /// Quoted.
    model: String,
    id: String,
    prompt: u32,
    tokens: u32,
    stop: &'static str,
}

impl Speech {
    fn message(&self, content: &str, stop: &str, tokens: u32) -> String {
        format!(
            "{{\"id\":\"{}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{},\"content\":[{content}],\"stop_reason\":{stop},\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{},\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":{tokens},\"service_tier\":\"standard\"}}}}",
            self.id, self.model, self.prompt
        )
    }

    fn whole(&self) -> Vec<u8> {
        let text = format!("{{\"type\":\"text\",\"text\":\"{}\"}}", script::text(self.tokens));
        self.message(&text, &format!("\"{}\"", self.stop), self.tokens).into_bytes()
    }

    fn events(&self) -> Vec<Vec<u8>> {
        let event =
            |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n").into_bytes();
        let start =
            format!("{{\"type\":\"message_start\",\"message\":{}}}", self.message("", "null", 1));
        let mut events = vec![
            event("message_start", &start),
            event(
                "content_block_start",
                "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
            ),
            event("ping", "{\"type\": \"ping\"}"),
        ];
        for index in 0..self.tokens {
            let data = format!(
                "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}}}}",
                script::token(index)
            );
            events.push(event("content_block_delta", &data));
        }
        events.push(event("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"));
        let delta = format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{}\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{}}}}}",
            self.stop, self.tokens
        );
        events.push(event("message_delta", &delta));
        events.push(event("message_stop", "{\"type\":\"message_stop\"}"));
        events
    }
}

/// Anthropic's error body.
fn error(status: u16, kind: &str, message: &str) -> Reply {
    let message = serde_json::to_string(message).unwrap_or_default();
    Reply::json(
        status,
        format!(
            "{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":{message}}},\"request_id\":\"req_sim\"}}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::reply::Body;
    use super::*;

    fn ask(version: Option<&[u8]>, body: &str) -> (u16, String) {
        let asked = Asked {
            target: "/v1/messages",
            key: Some(b"k"),
            version,
            body: body.as_bytes(),
            tokens: 2,
            serial: 1,
            now: 7,
        };
        let reply = answer(&asked).unwrap();
        let bytes = match reply.body {
            Body::Whole(bytes) => bytes,
            Body::Stream(events) => events.concat(),
        };
        (reply.status, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn answers_and_refusals() {
        let version = Some(&b"2023-06-01"[..]);
        let good =
            r#"{"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#;
        let (status, body) = ask(version, good);
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["stop_reason"]), (200, &"max_tokens".into()));
        let (_, stream) =
            ask(version, &good.replace("\"max_tokens\":1", "\"max_tokens\":9,\"stream\":true"));
        assert!(
            stream.starts_with("event: message_start") && stream.contains("event: message_stop")
        );
        assert_eq!(ask(None, good).0, 400);
        for (body, words) in [
            ("{", "not valid JSON"),
            (r#"{"n":1}"#, "n: Extra inputs"),
            (r#"{"model":"m","messages":[{"role":"user"}]}"#, "max_tokens"),
            (r#"{"model":"m","max_tokens":1}"#, "messages"),
            (r#"{"model":"m","max_tokens":1,"messages":[{"role":"system"}]}"#, "role"),
        ] {
            let (status, answer) = ask(version, body);
            assert_eq!(status, 400, "{body}");
            assert!(answer.contains(words), "{answer}");
        }
    }
}
