//! A client's request through any door: whatever it holds, a vendor gets one JSON object or
//! nothing.

use std::borrow::Cow;

use vertex_bridge::chat::door::Beside;
use vertex_bridge::chat::generate_out::Series;
use vertex_bridge::chat::{ChatError, Door, Request};
use vertex_bridge::config::{ApiVersion, VertexPlace};
use vertex_bridge::provider::{Dropped, Order, Rules, Vendor, encode, target, vendor};
use vertex_bridge::wire::json::push_compact;

use super::cut;
use super::errors::presentable;
use super::exact_json::{Unique, depth, is_json};

/// Express mode; a project would only make the paths longer.
static PLACE: VertexPlace = VertexPlace { api_version: ApiVersion::V1, project: None };

/// Every vendor, with models and rules that make a difference.
fn orders() -> [Order<'static>; 11] {
    let order = |vendor, model| Order { vendor, model, rules: Rules::default() };
    let on_vertex = |vendor, model| Order {
        rules: Rules { place: Some(&PLACE), ..Rules::default() },
        ..order(vendor, model)
    };
    let strict = Rules {
        place: Some(&PLACE),
        safety_settings: Some("[]"),
        openapi_schemas: true,
        no_stream_usage: true,
        max_tokens: Some(4096),
        ..Rules::default()
    };
    [
        order(Vendor::Gemini, "gemini-2.5-flash"),
        order(Vendor::Gemini, "gemini-3-pro-preview"),
        on_vertex(Vendor::Vertex, "gemini-3.1-pro"),
        order(Vendor::Anthropic, "claude-3-5-haiku-latest"),
        order(Vendor::Anthropic, "claude-sonnet-4-5"),
        on_vertex(Vendor::Claude, "claude-opus-4-6"),
        order(Vendor::OpenAi, "gpt-5.1"),
        Order { rules: strict, ..order(Vendor::Vertex, "gemini-2.0-flash") },
        order(Vendor::Anthropic, "claude-opus-4-6"),
        Order { rules: strict, ..order(Vendor::Anthropic, "claude-3-haiku") },
        Order { rules: strict, ..order(Vendor::OpenAi, "deepseek-chat") },
    ]
}

/// What a vendor is sent, and what is left out.
type Sent = Result<(Vec<u8>, Vec<u8>), ChatError>;

pub(super) fn chat(data: &[u8]) {
    talk(Door::Chat, data);
}

pub(super) fn completions(data: &[u8]) {
    talk(Door::Completions, data);
}

pub(super) fn responses(data: &[u8]) {
    talk(Door::Responses, data);
}

pub(super) fn messages(data: &[u8]) {
    talk(Door::Messages, data);
}

pub(super) fn generate(data: &[u8]) {
    talk(Door::Generate(cut::rng_of(data).percent(50).then_some(Series::Events)), data);
}

/// What does not stand in the body.
fn beside() -> Beside {
    let betas = Some("context-1m-2025-08-07, interleaved-thinking-2025-05-14".to_owned());
    Beside { model: "gemini-2.5-flash".to_owned(), betas, ..Beside::default() }
}

fn parse<'b>(door: Door, body: &'b [u8], beside: &'b Beside) -> Result<Request<'b>, ChatError> {
    door.read(&door.outline(body, beside)?, beside)
}

fn talk(door: Door, data: &[u8]) {
    let beside = beside();
    let request = match parse(door, data, &beside) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    assert!(is_json(data), "what is not JSON passes");
    let text = std::str::from_utf8(data).expect("text");
    assert!(depth(text) <= 128, "what is too deep passes");
    torn(door, data);
    let mut compact = Vec::new();
    push_compact(&mut compact, text);
    let again = parse(door, &compact, &beside).expect("space means nothing");
    for order in &orders() {
        let sent = send(order, &request);
        check(&sent);
        let sent_again = send(order, &again);
        if order.vendor == Vendor::OpenAi {
            // Arguments are a text there, and all of a text means something.
            assert_eq!(sent.is_ok(), sent_again.is_ok());
        } else {
            assert_eq!(spaceless(&sent), spaceless(&sent_again), "space means nothing");
        }
        paths(order, &request);
    }
}

pub(super) fn refused(error: &ChatError) {
    let error = error.to_api();
    presentable(&error);
    assert_eq!(error.row.status, 400);
}

/// A body that broke off is never taken for a whole one.
fn torn(door: Door, data: &[u8]) {
    let end = data.trim_ascii_end().len();
    let keep = cut::rng_of(data).below(u64::try_from(end).expect("a length"));
    let torn = &data[..usize::try_from(keep).expect("a length")];
    assert!(parse(door, torn, &beside()).is_err(), "{}", String::from_utf8_lossy(torn));
}

fn send(order: &Order<'_>, request: &Request<'_>) -> Sent {
    let (mut out, mut dropped, mut names) = (Vec::new(), Dropped::default(), Vec::new());
    encode(order, request, &mut out, &mut dropped)?;
    dropped.render(&mut names);
    Ok((out, names))
}

/// Nothing of a body gets into a path or into a field of a head but what may stand there.
fn paths(order: &Order<'_>, request: &Request<'_>) {
    let mut name = Vec::new();
    let own = Order { model: &request.model, ..*order };
    if target(&own, request.stream, &mut name).is_ok() {
        let clean = |byte: &u8| matches!(byte, 0x21..=0x7e) && *byte != b'#';
        assert!(name.starts_with(b"/") && name.iter().all(clean), "{name:?}");
        assert!(!name.windows(2).any(|two| two == b".."), "{name:?}");
    }
    let mut fields = Vec::new();
    vendor::fields(order, request, &mut fields);
    let fields = std::str::from_utf8(&fields).expect("text");
    for line in fields.split_terminator("\r\n") {
        let clean = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        assert!(line.contains(": ") && line.bytes().all(clean), "{fields:?}");
    }
}

fn check(sent: &Sent) {
    let (body, dropped) = match sent {
        Ok(sent) => sent,
        Err(error) => return refused(error),
    };
    let text = std::str::from_utf8(body).expect("a request is text");
    let members: Unique<'_> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    for config in ["generationConfig", "toolConfig", "output_config", "thinking"] {
        if let Some(config) = members.0.get(config) {
            serde_json::from_str::<Unique<'_>>(config.get()).expect("an object");
        }
    }
    // Our own objects stand around what the client sent.
    assert!(depth(text) <= 140, "{text}");
    assert!(dropped.len() <= 1200, "{} bytes", dropped.len());
    let clean = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    assert!(dropped.iter().all(clean), "{}", String::from_utf8_lossy(dropped));
}

fn spaceless(sent: &Sent) -> Result<(String, Cow<'_, str>), String> {
    let (body, dropped) = sent.as_ref().map_err(|error| format!("{error:?}"))?;
    let mut compact = Vec::new();
    push_compact(&mut compact, std::str::from_utf8(body).expect("text"));
    Ok((String::from_utf8(compact).expect("text"), String::from_utf8_lossy(dropped)))
}
