//! Errors and refusals of Anthropic on request, in the spellings that were seen or are documented.

use super::super::fault::Fault;
use super::super::json::quote;
use super::super::reply::{Asked, Reply};
use super::answer::event;
use super::door::finish;
use super::error::{error, refused};

/// The event that ends a stream with an error.
pub(crate) const ERROR_EVENT: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

/// The error body of this name.
pub(crate) fn named_error(asked: &Asked<'_>, name: &str) -> Option<Reply> {
    let reply = match name {
        "bad-request" => refused("messages.0.content: Input should be a valid list"),
        "context" => refused("prompt is too long: 215413 tokens > 200000 maximum"),
        "policy" => refused("Output blocked by content filtering policy"),
        "key" => error(401, "authentication_error", "invalid x-api-key"),
        // Of old a 400, by the book a 402.
        "billing" => error(
            402,
            "billing_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
             Billing to upgrade or purchase credits.",
        ),
        "permission" => error(
            403,
            "permission_error",
            "Your API key does not have permission to use the specified resource.",
        ),
        "location" => error(403, "forbidden", "Request not allowed"),
        "notfound" => error(404, "not_found_error", "model: claude-nope-9"),
        "too-large" => error(413, "request_too_large", "Request exceeds the maximum size"),
        "429" => limited(asked),
        "quota" => refused(
            "You have reached your specified API usage limits. You will regain access on \
             2026-12-01 at 00:00 UTC.",
        ),
        "500" => error(500, "api_error", "Internal server error"),
        "502" => error(502, "api_error", "Bad gateway"),
        "503" => error(503, "api_error", "Service unavailable"),
        "504" => error(504, "timeout_error", "Request timed out"),
        "529" => error(529, "overloaded_error", "Overloaded"),
        _ => return None,
    };
    Some(finish(asked, reply))
}

/// With the fields that say when to come back.
fn limited(asked: &Asked<'_>) -> Reply {
    let mut reset = Vec::new();
    crate::wire::write::push_rfc3339(&mut reset, asked.now() + 17);
    let reset = String::from_utf8(reset).unwrap_or_default();
    let fields = format!(
        "retry-after: 17\r\n\
         anthropic-ratelimit-requests-limit: 50\r\n\
         anthropic-ratelimit-requests-remaining: 0\r\n\
         anthropic-ratelimit-requests-reset: {reset}\r\n\
         anthropic-ratelimit-input-tokens-limit: 40000\r\n\
         anthropic-ratelimit-input-tokens-remaining: 39000\r\n\
         anthropic-ratelimit-input-tokens-reset: {reset}\r\n\
         anthropic-ratelimit-output-tokens-limit: 8000\r\n\
         anthropic-ratelimit-output-tokens-remaining: 8000\r\n\
         anthropic-ratelimit-output-tokens-reset: {reset}\r\n"
    );
    let message = "This request would exceed your organization's rate limit of 50 requests per \
                   minute. Please reduce the prompt length or the maximum tokens requested, or \
                   try again later.";
    error(429, "rate_limit_error", message).with(&fields)
}

const DETAILS: &str = "{\"type\":\"refusal\",\"category\":\"cyber\",\"explanation\":\"This request was blocked under Anthropic's Usage Policy.\"}";

/// A refusal, at once or after the first words.
pub(crate) fn refusal(asked: &Asked<'_>, fault: Fault, streamed: bool) -> Option<Reply> {
    let words = match fault {
        Fault::Blocked => "",
        Fault::Filtered => "Hello",
        _ => return None,
    };
    if asked.path.contains("count") {
        return None;
    }
    let text = format!("{{\"type\":\"text\",\"text\":{}}}", quote(words));
    let content = if words.is_empty() { "" } else { &text };
    let message = |content: &str, stop: &str| {
        format!(
            "{{\"model\":\"claude-sonnet-4-5\",\"id\":\"msg_01Refused{:011}\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{content}],{stop},\"stop_sequence\":null,\"usage\":{{\"input_tokens\":18,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":5,\"service_tier\":\"standard\"}}}}",
            asked.serial
        )
    };
    let stop = format!("\"stop_reason\":\"refusal\",\"stop_details\":{DETAILS}");
    if !streamed {
        let reply = Reply::json(200, message(content, &stop)).typed("application/json");
        return Some(finish(asked, reply));
    }
    let start = message("", "\"stop_reason\":null");
    let mut events = vec![
        event("message_start", &format!("{{\"type\":\"message_start\",\"message\":{start}}}")),
        event("ping", "{\"type\": \"ping\"}"),
    ];
    if !words.is_empty() {
        events.extend([
            event(
                "content_block_start",
                "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
            ),
            event(
                "content_block_delta",
                &format!(
                    "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{}}}}}",
                    quote(words)
                ),
            ),
            event("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"),
        ]);
    }
    let delta = format!(
        "{{\"type\":\"message_delta\",\"delta\":{{{stop},\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":5}}}}"
    );
    events.push(event("message_delta", &delta));
    events.push(event("message_stop", "{\"type\":\"message_stop\"}"));
    Some(finish(asked, Reply::events(events)))
}
