//! Which vendor, and its half of the work: the one place that branches on it before an answer.

use std::borrow::Cow;

use crate::chat::Request;
use crate::chat::problem::{ChatError, Problem};
use crate::config::VertexPlace;
use crate::wire::json::JsonText;

use super::dropped::Dropped;
use super::error::UpstreamError;
use super::order::{Order, Vendor};
use super::{anthropic, error, error_anthropic, error_openai, gemini, openai};

/// Appends the request target.
///
/// # Errors
/// When the model's name cannot stand in a URL.
pub fn target(order: &Order<'_>, stream: bool, out: &mut Vec<u8>) -> Result<(), ChatError> {
    match order.vendor {
        Vendor::Gemini | Vendor::Vertex => {
            model(order, out)?;
            gemini::method(stream, out);
        }
        Vendor::Anthropic => out.extend_from_slice(b"/v1/messages"),
        Vendor::Claude => {
            model(order, out)?;
            anthropic::method(stream, out);
        }
        Vendor::OpenAi => out.extend_from_slice(b"/chat/completions"),
    }
    Ok(())
}

/// Appends the path of a model at Google's, to which methods belong.
pub(super) fn model(order: &Order<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let claude = order.vendor == Vendor::Claude;
    // Versions of Anthropic's models stand behind an `@`.
    let foul: &[char] = if claude { &['/', ':', '?', '#'] } else { &['/', ':', '?', '#', '@'] };
    must_be_clean(order.model, foul)?;
    match order.rules.place {
        Some(place) if claude => vertex_models(place, "anthropic", out),
        Some(place) => vertex_models(place, "google", out),
        None if claude => out.extend_from_slice(b"/v1/publishers/anthropic/models/"),
        None => out.extend_from_slice(b"/v1beta/models/"),
    }
    out.extend_from_slice(order.model.as_bytes());
    Ok(())
}

/// A slash or a colon would name another resource or another method.
fn must_be_clean(model: &str, foul: &[char]) -> Result<(), ChatError> {
    if !model.contains(foul) {
        return Ok(());
    }
    Err(ChatError::at("model", Problem::Expected("a model name that this vendor can have")))
}

/// Appends the path of a publisher's models on Vertex AI, up to the model's name.
fn vertex_models(place: &VertexPlace, publisher: &str, out: &mut Vec<u8>) {
    let mut push = |part: &str| out.extend_from_slice(part.as_bytes());
    push("/");
    push(place.api_version.as_str());
    if let Some(project) = &place.project {
        push("/projects/");
        push(&project.id);
        push("/locations/");
        push(&project.location);
    }
    push("/publishers/");
    push(publisher);
    push("/models/");
}

/// Appends the header fields that carry a part of the request, each with its line end.
pub fn fields(order: &Order<'_>, request: &Request<'_>, out: &mut Vec<u8>) {
    let tier = request.options.service_tier.map(JsonText::raw);
    if let (Vendor::Vertex, Some(tier @ ("flex" | "priority"))) = (order.vendor, tier) {
        // https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo
        out.extend_from_slice(b"x-vertex-ai-llm-request-type: shared\r\n");
        out.extend_from_slice(b"x-vertex-ai-llm-shared-request-type: ");
        out.extend_from_slice(tier.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if order.vendor.speaks_messages() {
        anthropic::betas(request, out);
    }
}

/// Appends the request body, and notes what it leaves out.
///
/// # Errors
/// What the vendor cannot express and must not be left out.
pub fn encode<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    for name in &request.others {
        dropped.push(Cow::Borrowed(name.as_ref()));
    }
    match order.vendor {
        Vendor::Gemini | Vendor::Vertex => gemini::encode(order, request, out, dropped),
        Vendor::Anthropic | Vendor::Claude => anthropic::encode(order, request, out, dropped),
        Vendor::OpenAi => openai::encode(order, request, out, dropped),
    }
}

/// Understands an answer whose status is not 200.
pub fn read_error(
    vendor: Vendor,
    status: u16,
    retry_after: Option<&[u8]>,
    body: &[u8],
) -> UpstreamError {
    match vendor {
        Vendor::Gemini | Vendor::Vertex => error::read_google(status, retry_after, body),
        Vendor::Anthropic => error_anthropic::read(status, retry_after, body),
        Vendor::Claude => error_anthropic::read_on_vertex(status, retry_after, body),
        Vendor::OpenAi => error_openai::read(status, retry_after, body),
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::Rules;
    use crate::config::{ApiVersion, VertexProject};

    use super::*;

    #[test]
    fn vertex_names_project_and_place() {
        let project = VertexProject { id: "p".to_owned(), location: "eu".to_owned() };
        let place = VertexPlace { api_version: ApiVersion::V1, project: Some(project) };
        let express = VertexPlace { api_version: ApiVersion::V1Beta1, project: None };
        let regional = "/v1/projects/p/locations/eu/publishers/";
        let named = |vendor, model, place, stream| {
            let rules = Rules { place: Some(place), ..Rules::default() };
            let mut out = Vec::new();
            target(&Order { vendor, model, rules }, stream, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            named(Vendor::Vertex, "m", &place, false),
            format!("{regional}google/models/m:generateContent")
        );
        assert_eq!(
            named(Vendor::Vertex, "m", &express, false),
            "/v1beta1/publishers/google/models/m:generateContent"
        );
        assert_eq!(
            named(Vendor::Claude, "claude-haiku-4-5@20251001", &place, false),
            format!("{regional}anthropic/models/claude-haiku-4-5@20251001:rawPredict")
        );
        assert_eq!(
            named(Vendor::Claude, "claude-x", &express, true),
            "/v1beta1/publishers/anthropic/models/claude-x:streamRawPredict"
        );
    }

    #[test]
    fn tiers_are_fields_on_vertex() {
        let body =
            br#"{"model":"m","messages":[{"role":"user","content":""}],"service_tier":"flex"}"#;
        let request = Request::parse(body).unwrap();
        let seen = |vendor| {
            let mut out = Vec::new();
            fields(&Order { vendor, model: "m", rules: Rules::default() }, &request, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(seen(Vendor::Vertex).ends_with("x-vertex-ai-llm-shared-request-type: flex\r\n"));
        assert_eq!(seen(Vendor::Gemini), "");
    }

    #[test]
    fn targets_hold_only_clean_names() {
        let mut out = Vec::new();
        let order = |model| Order { vendor: Vendor::Gemini, model, rules: Rules::default() };
        target(&order("gemini-2.5-flash"), true, &mut out).unwrap();
        assert_eq!(out, b"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        for name in ["a/b", "a:b", "a@b"] {
            assert!(target(&order(name), false, &mut Vec::new()).is_err());
        }
        for name in ["claude/b", "claude:b", "claude?b", "claude#b"] {
            let order = Order { vendor: Vendor::Claude, ..order(name) };
            assert!(target(&order, false, &mut Vec::new()).is_err());
            let order = Order { vendor: Vendor::Anthropic, ..order };
            assert!(target(&order, false, &mut Vec::new()).is_ok(), "it stands in the body");
        }
    }
}
