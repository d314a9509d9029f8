//! Which vendor, and its half of the work: the one place that branches on it before an answer.

use std::borrow::Cow;

use crate::chat::Request;
use crate::chat::problem::{ChatError, Problem};

use super::dropped::Dropped;
use super::error::UpstreamError;
use super::gemini::Service;
use super::{error, gemini};

/// A vendor's wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Google AI Studio, `generateContent` in API-key mode.
    Gemini,
    /// `generateContent` of Vertex AI.
    Vertex,
}

/// Whom a request goes to, and for which model.
#[derive(Clone, Copy, Debug)]
pub struct Order<'p> {
    /// The wire format.
    pub vendor: Vendor,
    /// The model by the vendor's name.
    pub model: &'p str,
}

/// Appends the request target.
///
/// # Errors
/// When the model's name cannot stand in a URL.
pub fn target(order: &Order<'_>, stream: bool, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let model = order.model;
    match order.vendor {
        Vendor::Gemini | Vendor::Vertex => {
            // A slash or a colon would name another resource or another method.
            if model.contains(['/', ':', '?', '#', '@']) {
                let what = Problem::Expected("a model name that this vendor can have");
                return Err(ChatError::at("model", what));
            }
            out.extend_from_slice(b"/v1beta/models/");
            out.extend_from_slice(model.as_bytes());
            gemini::method(stream, out);
            Ok(())
        }
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
    let model = order.model;
    for name in &request.others {
        dropped.push(Cow::Borrowed(name.as_ref()));
    }
    match order.vendor {
        Vendor::Gemini => gemini::encode(request, model, Service::Studio, out, dropped),
        Vendor::Vertex => gemini::encode(request, model, Service::Vertex, out, dropped),
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_only_clean_names() {
        let mut out = Vec::new();
        let order = |model| Order { vendor: Vendor::Gemini, model };
        target(&order("gemini-2.5-flash"), true, &mut out).unwrap();
        assert_eq!(out, b"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        for name in ["a/b", "a:b", "a@b"] {
            assert!(target(&order(name), false, &mut Vec::new()).is_err());
        }
    }
}
