//! Errors and refusals of OpenAI on request, in the spellings that were seen or are documented.

use super::super::fault::Fault;
use super::super::reply::{Asked, Reply};
use super::door::{finish, wrong_key};
use super::error::{Label, error, refused};
use super::responses;

/// The event that ends a stream with an error. Responses have events of their own.
pub(crate) fn error_event(asked: &Asked<'_>) -> &'static str {
    if asked.path == "/v1/responses" {
        "event: error\ndata: {\"type\":\"error\",\"sequence_number\":3,\"code\":\"server_error\",\"message\":\"The server had an error while processing your request. Sorry about that!\",\"param\":null}\n\n"
    } else {
        "data: {\"error\":{\"message\":\"The server had an error while processing your request. Sorry about that!\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n"
    }
}

/// The error body of this name.
pub(crate) fn named_error(asked: &Asked<'_>, name: &str) -> Option<Reply> {
    let reply = client_error(name).or_else(|| server_error(name))?;
    Some(finish(asked, reply))
}

fn client_error(name: &str) -> Option<Reply> {
    let coded =
        |status, message: &str, code| error(status, message, Label { code, ..Label::default() });
    Some(match name {
        "bad-request" => refused(
            "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
        "context" => refused(
            "This model's maximum context length is 128000 tokens. However, your messages \
             resulted in 140012 tokens. Please reduce the length of the messages.",
            "messages",
            "context_length_exceeded",
        ),
        "policy" => refused(
            "Your request was rejected as a result of our safety system.",
            "prompt",
            "content_policy_violation",
        ),
        "key" => wrong_key(),
        "billing" => error(
            429,
            "You exceeded your current quota, please check your plan and billing details. For \
             more information on this error, read the docs: \
             https://platform.openai.com/docs/guides/error-codes/api-errors.",
            Label { kind: "insufficient_quota", param: "", code: "insufficient_quota" },
        ),
        "permission" => error(
            403,
            "You have insufficient permissions for this operation. Missing scopes: \
             model.request.",
            Label::default(),
        ),
        "location" => error(
            403,
            "Country, region, or territory not supported",
            Label {
                kind: "request_forbidden",
                param: "",
                code: "unsupported_country_region_territory",
            },
        ),
        "notfound" => coded(
            404,
            "The model `gpt-nope` does not exist or you do not have access to it.",
            "model_not_found",
        ),
        "429" => limited(),
        "quota" => error(
            429,
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40012. \
             The input or output tokens must be reduced in order to run successfully.",
            Label { kind: "tokens", param: "", code: "rate_limit_exceeded" },
        ),
        _ => return None,
    })
}

fn server_error(name: &str) -> Option<Reply> {
    let server = |status, message: &str| {
        error(status, message, Label { kind: "server_error", ..Label::default() })
    };
    Some(match name {
        "too-large" => server(413, "Request body is too large."),
        "500" => {
            server(500, "The server had an error while processing your request. Sorry about that!")
        }
        "502" => server(502, "Bad gateway."),
        "503" => error(
            503,
            "The engine is currently overloaded, please try again later",
            Label { kind: "service_unavailable_error", ..Label::default() },
        ),
        "504" => server(504, "The request timed out."),
        "529" => error(
            503,
            "That model is currently overloaded with other requests. You can retry your request.",
            Label { kind: "server_error", param: "", code: "server_overloaded" },
        ),
        _ => return None,
    })
}

/// With the fields that say when to come back.
fn limited() -> Reply {
    let label = Label { kind: "requests", param: "", code: "rate_limit_exceeded" };
    let message = "Rate limit reached for gpt-4o in organization org-simulated on requests per \
                   min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.";
    error(429, message, label).with(
        "retry-after: 20\r\n\
         retry-after-ms: 20000\r\n\
         x-ratelimit-limit-requests: 3\r\n\
         x-ratelimit-remaining-requests: 0\r\n\
         x-ratelimit-reset-requests: 20s\r\n",
    )
}

const REFUSAL: [&str; 4] = ["I'm sorry,", " I can't", " assist", " with that."];

/// A refusal in place of an answer, or a filter in the middle of one.
pub(crate) fn refusal(asked: &Asked<'_>, fault: Fault, streamed: bool) -> Option<Reply> {
    if asked.path == "/v1/responses" {
        return responses::refusal(asked, fault, streamed).map(|reply| finish(asked, reply));
    }
    let chat = asked.path == "/v1/chat/completions";
    if !chat || !matches!(fault, Fault::Blocked | Fault::Filtered) {
        return None;
    }
    let blocked = fault == Fault::Blocked;
    let finish_reason = if blocked { "stop" } else { "content_filter" };
    let head = |object: &str| {
        format!(
            "\"id\":\"chatcmpl-refused{}\",\"object\":\"{object}\",\"created\":{},\"model\":\"gpt-4o-2024-08-06\",\"system_fingerprint\":\"fp_sim\"",
            asked.serial,
            asked.now()
        )
    };
    if !streamed {
        let words = REFUSAL.concat();
        let message = if blocked {
            format!("\"content\":null,\"refusal\":\"{words}\"")
        } else {
            "\"content\":\"Hello\",\"refusal\":null".to_owned()
        };
        let body = format!(
            "{{{},\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",{message}}},\"logprobs\":null,\"finish_reason\":\"{finish_reason}\"}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}}}",
            head("chat.completion")
        );
        return Some(finish(asked, Reply::json(200, body).typed("application/json")));
    }
    let first = if blocked { "\"content\":null,\"refusal\":\"\"" } else { "\"content\":\"Hello\"" };
    let mut deltas = vec![(format!("{{\"role\":\"assistant\",{first}}}"), "null".to_owned())];
    let words = REFUSAL.iter().filter(|_| blocked);
    deltas.extend(words.map(|word| (format!("{{\"refusal\":\"{word}\"}}"), "null".to_owned())));
    deltas.push(("{}".to_owned(), format!("\"{finish_reason}\"")));
    let chunk = |(delta, reason): (String, String)| {
        format!(
            "data: {{{},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}]}}\n\n",
            head("chat.completion.chunk")
        )
        .into_bytes()
    };
    let events = deltas.into_iter().map(chunk).chain([b"data: [DONE]\n\n".to_vec()]);
    Some(finish(asked, Reply::events(events.collect())))
}
