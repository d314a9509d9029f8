//! What must hold for any bytes from outside: one function per kind of input, which panics where
//! something does not hold.
//!
//! The same functions are the targets of `cargo fuzz` (the crate in `fuzz/`) and of the property
//! tests on stable Rust (`tests/it/prop.rs`). An input is the bytes as they would come over the
//! wire and nothing else, so that recorded traffic is a corpus as it is. Whatever else a target
//! needs, such as where to cut, is drawn from the input itself.

#![expect(clippy::expect_used, clippy::panic, reason = "a target stops where something is wrong")]

mod answer;
pub(crate) mod compare;
mod cut;
mod errors;
mod exact_answer;
mod exact_json;
mod exact_request;
mod grammar;
mod http;
mod json;
mod request;
mod sse;

/// One kind of input.
#[derive(Debug)]
pub(crate) struct Target {
    /// The name of the fuzz target and of the folders with its inputs.
    pub(crate) name: &'static str,
    /// Checks one input.
    pub(crate) run: fn(&[u8]),
    /// Which files of the golden cases are inputs of this kind.
    pub(crate) golden: Golden,
}

/// Files of `tests/golden/VENDOR/CASE/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Golden {
    /// None.
    Nothing,
    /// Requests of every vendor's cases.
    Requests,
    /// Answers of a vendor's cases, or of all without a name, streamed or whole.
    Answers(&'static str, Form),
    /// Both of every vendor.
    Everything,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In server-sent events.
    Stream,
    /// As one JSON text.
    Whole,
}

const fn target(name: &'static str, run: fn(&[u8]), golden: Golden) -> Target {
    Target { name, run, golden }
}

const GEMINI_STREAMS: Golden = Golden::Answers("gemini", Form::Stream);
const ANTHROPIC_STREAMS: Golden = Golden::Answers("anthropic", Form::Stream);
const OPENAI_STREAMS: Golden = Golden::Answers("openai", Form::Stream);

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    target("chat_request", request::chat, Golden::Requests),
    target("completions_request", request::completions, Golden::Nothing),
    target("responses_request", request::responses, Golden::Nothing),
    target("messages_request", request::messages, Golden::Nothing),
    target("generate_request", request::generate, Golden::Nothing),
    target("exact_request", exact_request::request, Golden::Requests),
    target("gemini_stream", answer::gemini_stream, GEMINI_STREAMS),
    target("gemini_whole", answer::gemini_whole, Golden::Answers("gemini", Form::Whole)),
    target("anthropic_stream", answer::anthropic_stream, ANTHROPIC_STREAMS),
    target("anthropic_whole", answer::anthropic_whole, Golden::Answers("anthropic", Form::Whole)),
    target("openai_stream", answer::openai_stream, OPENAI_STREAMS),
    target("openai_whole", answer::openai_whole, Golden::Answers("openai", Form::Whole)),
    target("exact_stream", exact_answer::stream, Golden::Answers("", Form::Stream)),
    target("exact_whole", exact_answer::whole, Golden::Answers("", Form::Whole)),
    target("vendor_error", errors::of_vendor, Golden::Nothing),
    target("sse", sse::decoder, Golden::Everything),
    target("json", json::reader, Golden::Everything),
    target("http_request_head", http::request_head, Golden::Nothing),
    target("http_response_head", http::response_head, Golden::Nothing),
    target("http_body", http::body, Golden::Nothing),
];

/// Checks one input of the target `name`.
pub(crate) fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let Some(target) = target else { panic!("there is no target {name}") };
    (target.run)(data);
}
