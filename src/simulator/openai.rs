//! OpenAI's `POST /v1/chat/completions`, whole and streamed.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::reply::{Asked, Reply, unknown_field};
use super::script;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "many fields are read only to be accepted")]
struct Request {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<u32>,
    stop: Option<IgnoredAny>,
    seed: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    user: Option<String>,
    tools: Option<IgnoredAny>,
    tool_choice: Option<IgnoredAny>,
    response_format: Option<IgnoredAny>,
    reasoning_effort: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    role: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// The answer to a request for this path; none for any other.
pub(super) fn answer(asked: &Asked<'_>) -> Option<Reply> {
    let path = asked.target.split('?').next().unwrap_or_default();
    (path == "/v1/chat/completions").then(|| respond(asked).unwrap_or_else(|reply| reply))
}

fn respond(asked: &Asked<'_>) -> Result<Reply, Reply> {
    if asked.key.is_none_or(<[u8]>::is_empty) {
        let message = "You didn't provide an API key.";
        return Err(error(401, "invalid_request_error", message, "null"));
    }
    let request: Request = serde_json::from_slice(asked.body).map_err(|problem| {
        let message = unknown_field(&problem).map_or_else(
            || format!("We could not parse the JSON body of your request. ({problem})"),
            |name| format!("Unrecognized request argument supplied: {name}"),
        );
        error(400, "invalid_request_error", &message, "null")
    })?;
    let Some(model) = request.model else {
        return Err(error(
            400,
            "invalid_request_error",
            "you must provide a model parameter",
            "null",
        ));
    };
    let messages = request.messages.unwrap_or_default();
    if messages.is_empty() || messages.iter().any(|message| message.role.is_none()) {
        let message = "Missing required parameter: 'messages'.";
        return Err(error(400, "invalid_request_error", message, "\"missing_required_parameter\""));
    }
    let limit = request.max_completion_tokens.or(request.max_tokens).unwrap_or(u32::MAX);
    let speech = Speech {
        model,
        id: format!("chatcmpl-sim{:016x}", asked.serial),
        created: asked.now,
        prompt: script::tokens_of(asked.body.len()),
        tokens: asked.tokens.min(limit),
        finish: if limit < asked.tokens { "length" } else { "stop" },
    };
    if request.stream == Some(true) {
        let usage = request.stream_options.and_then(|options| options.include_usage) == Some(true);
        return Ok(Reply::events(speech.events(usage)));
    }
    Ok(Reply::json(200, speech.whole()))
}

struct Speech {
    model: String,
    id: String,
    created: u64,
    prompt: u32,
    tokens: u32,
    finish: &'static str,
}

impl Speech {
    fn head(&self, object: &str) -> String {
        let model = serde_json::to_string(&self.model).unwrap_or_default();
        format!(
            "\"id\":\"{}\",\"object\":\"{object}\",\"created\":{},\"model\":{model},\"system_fingerprint\":\"fp_sim\"",
            self.id, self.created
        )
    }

    fn usage(&self) -> String {
        format!(
            "\"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\"prompt_tokens_details\":{{\"cached_tokens\":0,\"audio_tokens\":0}},\"completion_tokens_details\":{{\"reasoning_tokens\":0,\"audio_tokens\":0}}}}",
            self.prompt,
            self.tokens,
            self.prompt + self.tokens
        )
    }

    fn whole(&self) -> Vec<u8> {
        format!(
            "{{{},\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{}\",\"refusal\":null,\"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"{}\"}}],{},\"service_tier\":\"default\"}}",
            self.head("chat.completion"),
            script::text(self.tokens),
            self.finish,
            self.usage()
        )
        .into_bytes()
    }

    fn events(&self, usage: bool) -> Vec<Vec<u8>> {
        let head = self.head("chat.completion.chunk");
        let null = if usage { ",\"usage\":null" } else { "" };
        let chunk = |delta: &str, finish: &str| {
            format!("data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{null}}}\n\n").into_bytes()
        };
        let mut events =
            vec![chunk("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null")];
        for index in 0..self.tokens {
            events.push(chunk(&format!("{{\"content\":\"{}\"}}", script::token(index)), "null"));
        }
        events.push(chunk("{}", &format!("\"{}\"", self.finish)));
        if usage {
            events
                .push(format!("data: {{{head},\"choices\":[],{}}}\n\n", self.usage()).into_bytes());
        }
        events.push(b"data: [DONE]\n\n".to_vec());
        events
    }
}

/// OpenAI's error body.
pub(super) fn error(status: u16, kind: &str, message: &str, code: &str) -> Reply {
    let message = serde_json::to_string(message).unwrap_or_default();
    Reply::json(
        status,
        format!(
            "{{\n  \"error\": {{\n    \"message\": {message},\n    \"type\": \"{kind}\",\n    \"param\": null,\n    \"code\": {code}\n  }}\n}}\n"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::reply::Body;
    use super::*;

    fn ask(body: &str) -> (u16, String) {
        let asked = Asked {
            target: "/v1/chat/completions",
            key: Some(b"Bearer k"),
            version: None,
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
        let (status, body) =
            ask(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}"#);
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["choices"][0]["finish_reason"]), (200, &"stop".into()));
        let (_, stream) = ask(
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user"}]}"#,
        );
        assert!(stream.ends_with("data: [DONE]\n\n") && stream.contains("\"choices\":[],"));
        for (body, words) in [
            ("{", "parse the JSON"),
            (r#"{"foo":1}"#, "foo"),
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":"m"}"#, "messages"),
        ] {
            let (status, answer) = ask(body);
            assert_eq!(status, 400, "{body}");
            assert!(answer.contains(words), "{answer}");
        }
    }
}
