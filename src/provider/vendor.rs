//! Which vendor, and its half of the work: the one place that branches on it before an answer.

use std::borrow::Cow;

use crate::chat::Request;
use crate::chat::problem::{ChatError, Problem};

use super::error::UpstreamError;
use super::{error, gemini};

/// A vendor's wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Google AI Studio, `generateContent` in API-key mode.
    Gemini,
}

/// Names of request fields that a vendor cannot take, for `x-vertex-bridge-dropped`.
#[derive(Clone, Debug, Default)]
pub struct Dropped<'r> {
    names: Vec<Cow<'r, str>>,
}

impl<'r> Dropped<'r> {
    /// Notes one field.
    pub fn push(&mut self, name: Cow<'r, str>) {
        self.names.push(name);
    }

    /// Was anything left out?
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Appends the names, separated by commas, safe for a header and at most 1 KiB.
    pub fn render(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for (index, name) in self.names.iter().enumerate() {
            if out.len() - start > 1000 {
                out.extend_from_slice(b", ...");
                return;
            }
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            // A client chooses its field names; only harmless characters go into a header.
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(&byte);
            let bytes = name.bytes().take(100);
            out.extend(bytes.map(|byte| if safe(byte) { byte } else { b'?' }));
        }
    }
}

/// Appends the request target.
///
/// # Errors
/// When the model's name cannot stand in a URL.
pub fn target(
    vendor: Vendor,
    model: &str,
    stream: bool,
    out: &mut Vec<u8>,
) -> Result<(), ChatError> {
    match vendor {
        Vendor::Gemini => {
            // A slash or a colon would name another resource or another method.
            if model.contains(['/', ':', '?', '#', '@']) {
                let what = Problem::Expected("a model name that this vendor can have");
                return Err(ChatError::at("model", what));
            }
            gemini::target(model, stream, out);
            Ok(())
        }
    }
}

/// Appends the request body, and notes what it leaves out.
///
/// # Errors
/// What the vendor cannot express and must not be left out.
pub fn encode<'r>(
    vendor: Vendor,
    request: &'r Request<'_>,
    model: &str,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    for name in &request.others {
        dropped.push(Cow::Borrowed(name.as_ref()));
    }
    match vendor {
        Vendor::Gemini => gemini::encode(request, model, out),
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
        Vendor::Gemini => error::read_google(status, retry_after, body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_only_clean_names() {
        let mut out = Vec::new();
        target(Vendor::Gemini, "gemini-2.5-flash", true, &mut out).unwrap();
        assert_eq!(out, b"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        for name in ["a/b", "a:b", "a@b"] {
            assert!(target(Vendor::Gemini, name, false, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn dropped_names_are_safe_in_a_header() {
        let mut dropped = Dropped::default();
        dropped.push("user".into());
        dropped.push("a\r\nb: c".into());
        let mut out = Vec::new();
        dropped.render(&mut out);
        assert_eq!(out, b"user, a??b??c");
    }
}
