//! How many tokens a request has, asked of the vendor who would answer it.

use std::borrow::Cow;

use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Request, ToolChoice};
use crate::wire::json::{self, Kind, Reader};

use super::dropped::Dropped;
use super::error::{UpstreamError, google_in_answer};
use super::order::{Order, Rules, Vendor};
use super::watch::{text, wrong_shape};
use super::{anthropic, exact_anthropic, gemini, vendor};

/// Appends the request target.
///
/// # Errors
/// When the model's name cannot stand in a URL, or the vendor does not count.
pub fn target(order: &Order<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    match order.vendor {
        Vendor::Gemini | Vendor::Vertex => {
            vendor::model(order, out)?;
            out.extend_from_slice(b":countTokens");
        }
        Vendor::Anthropic => out.extend_from_slice(b"/v1/messages/count_tokens"),
        // The method belongs to a model of this name; the body tells the one that counts.
        Vendor::Claude => {
            vendor::model(&Order { model: "count-tokens", ..*order }, out)?;
            out.extend_from_slice(b":rawPredict");
        }
        Vendor::OpenAi => {
            let why = "its upstream speaks OpenAI's API, which has no way to count tokens without \
                       an answer";
            return Err(ChatError::at("model", Problem::Unsupported(why)));
        }
    }
    Ok(())
}

/// Appends the request body: what shapes the prompt, and no more.
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
        Vendor::Anthropic | Vendor::Claude => {
            anthropic::encode_prompt(order, request, out, dropped)
        }
        _ => google(order, request, out, dropped),
    }
}

/// Takes out of a request what does not shape the prompt, and what Google does not take here.
pub fn prepare(request: &mut Request<'_>) {
    request.tools.choice = ToolChoice::Unsaid;
    request.options.google.safety_settings = None;
    request.options.google.labels = None;
    request.options.service_tier = None;
}

/// AI Studio takes a whole request in another one, Vertex AI its parts.
fn google<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    let rules = Rules { safety_settings: None, ..order.rules };
    let order = Order { rules, ..*order };
    if order.vendor == Vendor::Vertex {
        return gemini::encode(&order, request, out, dropped);
    }
    let mut inner = Vec::new();
    gemini::encode(&order, request, &mut inner, dropped)?;
    out.extend_from_slice(b"{\"generateContentRequest\":{\"model\":");
    json::push_string(out, &["models/", order.model].concat());
    out.push(b',');
    out.extend_from_slice(inner.get(1..).unwrap_or_default());
    out.push(b'}');
    Ok(())
}

/// Reads the vendor's count.
///
/// # Errors
/// When the answer is not that, or the vendor's error.
pub fn read(vendor: Vendor, body: &[u8]) -> Result<u64, UpstreamError> {
    let mut reader = Reader::new(text(body)?);
    let tokens = match vendor {
        Vendor::Anthropic | Vendor::Claude => exact_anthropic::count(&mut reader)?,
        _ => google_count(&mut reader)?,
    };
    reader.end()?;
    Ok(tokens)
}

fn google_count(reader: &mut Reader<'_>) -> Result<u64, UpstreamError> {
    let (mut tokens, mut any) = (0, false);
    reader.object(|reader, key| {
        any |= matches!(key.raw(), "totalTokens" | "promptTokensDetails");
        match (key.raw(), reader.kind()?) {
            ("totalTokens", Kind::Number) => tokens = reader.unsigned()?,
            ("error", Kind::Object) => return Err(google_in_answer(reader)?),
            _ => reader.skip()?,
        }
        Ok::<(), UpstreamError>(())
    })?;
    if any { Ok(tokens) } else { Err(wrong_shape()) }
}

#[cfg(test)]
mod tests {
    use crate::chat::Door;
    use crate::chat::door::Beside;

    use super::super::error::UpstreamErrorKind;
    use super::*;

    const BODY: &str = r#"{"model":"m","system":"s","messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}}"#;

    fn asked(vendor: Vendor, model: &str) -> Result<(String, String), ChatError> {
        let beside = Beside::default();
        let outline = Door::Messages.outline(BODY.as_bytes(), &beside).unwrap();
        let mut request = Door::read_to_count(&outline, &beside).unwrap();
        prepare(&mut request);
        let rules = Rules { safety_settings: Some("[]"), ..Rules::default() };
        let order = Order { vendor, model, rules };
        let (mut path, mut body) = (Vec::new(), Vec::new());
        target(&order, &mut path)?;
        encode(&order, &request, &mut body, &mut Dropped::default())?;
        Ok((String::from_utf8(path).unwrap(), String::from_utf8(body).unwrap()))
    }

    #[test]
    fn every_vendor_that_counts_is_asked_in_its_words() {
        let google = r#""systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object"}}]}]}"#;
        let (path, body) = asked(Vendor::Gemini, "gemini-2.5-flash").unwrap();
        assert_eq!(path, "/v1beta/models/gemini-2.5-flash:countTokens");
        let model = "{\"generateContentRequest\":{\"model\":\"models/gemini-2.5-flash\",";
        assert_eq!(body, format!("{model}{google}}}"));
        let (_, body) = asked(Vendor::Vertex, "gemini-2.5-flash").unwrap();
        assert_eq!(body, format!("{{{google}"));
        let (path, body) = asked(Vendor::Anthropic, "claude-x").unwrap();
        assert_eq!(path, "/v1/messages/count_tokens");
        let rest = r#""system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}]}"#;
        assert_eq!(body, format!("{{\"model\":\"claude-x\",{rest}"));
        let (path, body) = asked(Vendor::Claude, "claude-x").unwrap();
        assert_eq!(path, "/v1/publishers/anthropic/models/count-tokens:rawPredict");
        let version = "\"anthropic_version\":\"vertex-2023-10-16\",\"model\":\"claude-x\"";
        assert_eq!(body, format!("{{{version},{rest}"));
        let refused = asked(Vendor::OpenAi, "gpt-4o").unwrap_err();
        assert_eq!(refused.param, "model");
    }

    #[test]
    fn counts_are_read() {
        let google = |body: &[u8]| read(Vendor::Gemini, body).map_err(|error| error.kind);
        assert_eq!(google(br#"{"totalTokens":14,"promptTokensDetails":[]}"#), Ok(14));
        let claude = |body: &[u8]| read(Vendor::Claude, body).map_err(|error| error.kind);
        assert_eq!(claude(br#"{"input_tokens":15}"#), Ok(15));
        for bad in [&b"{}"[..], b"[]", b"", b"{\"totalTokens\":1} x"] {
            assert_eq!(google(bad), Err(UpstreamErrorKind::Invalid));
            assert_eq!(claude(bad), Err(UpstreamErrorKind::Invalid));
        }
        let error = br#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#;
        assert_eq!(google(error), Err(UpstreamErrorKind::Overloaded));
    }
}
