//! A client's chat request: whatever it holds, a vendor gets one JSON object or nothing.

use std::borrow::Cow;

use vertex_bridge::chat::{ChatError, Request};
use vertex_bridge::config::{ApiVersion, VertexPlace};
use vertex_bridge::provider::{Dropped, Order, Rules, Vendor, encode, target};
use vertex_bridge::wire::json::push_compact;

use super::cut;
use super::errors::presentable;
use super::exact_json::{Unique, depth, is_json};

/// Express mode; a project would only make the paths longer.
static PLACE: VertexPlace = VertexPlace { api_version: ApiVersion::V1, project: None };

/// Every vendor, with models and rules that make a difference.
fn orders() -> [Order<'static>; 9] {
    let order = |vendor, model| Order { vendor, model, rules: Rules::default() };
    let on_vertex = |vendor, model| Order {
        rules: Rules { place: Some(&PLACE), ..Rules::default() },
        ..order(vendor, model)
    };
    let strict = Rules {
        place: Some(&PLACE),
        safety_settings: Some("[]"),
        openapi_schemas: true,
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
        Order { rules: strict, ..order(Vendor::Vertex, "gemini-2.0-flash") },
        order(Vendor::Anthropic, "claude-opus-4-6"),
        Order { rules: strict, ..order(Vendor::Anthropic, "claude-3-haiku") },
    ]
}

/// What a vendor is sent, and what is left out.
type Sent = Result<(Vec<u8>, Vec<u8>), ChatError>;

pub(super) fn chat(data: &[u8]) {
    let request = match Request::parse(data) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    assert!(is_json(data), "what is not JSON passes");
    let text = std::str::from_utf8(data).expect("text");
    assert!(depth(text) <= 128, "what is too deep passes");
    torn(data);
    let mut compact = Vec::new();
    push_compact(&mut compact, text);
    let again = Request::parse(&compact).expect("space means nothing");
    for order in &orders() {
        let sent = send(order, &request);
        check(&sent);
        assert_eq!(spaceless(&sent), spaceless(&send(order, &again)), "space means nothing");
        let mut name = Vec::new();
        let own = Order { model: &request.model, ..*order };
        if target(&own, request.stream, &mut name).is_ok() {
            let clean = |byte: &u8| matches!(byte, 0x21..=0x7e) && *byte != b'#';
            assert!(name.starts_with(b"/") && name.iter().all(clean), "{name:?}");
            assert!(!name.windows(2).any(|two| two == b".."), "{name:?}");
        }
    }
}

fn refused(error: &ChatError) {
    let error = error.to_api();
    presentable(&error);
    assert_eq!(error.row.status, 400);
}

/// A body that broke off is never taken for a whole one.
fn torn(data: &[u8]) {
    let end = data.trim_ascii_end().len();
    let keep = cut::rng_of(data).below(u64::try_from(end).expect("a length"));
    let torn = &data[..usize::try_from(keep).expect("a length")];
    assert!(Request::parse(torn).is_err(), "{}", String::from_utf8_lossy(torn));
}

fn send(order: &Order<'_>, request: &Request<'_>) -> Sent {
    let (mut out, mut dropped, mut names) = (Vec::new(), Dropped::default(), Vec::new());
    encode(order, request, &mut out, &mut dropped)?;
    dropped.render(&mut names);
    Ok((out, names))
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
