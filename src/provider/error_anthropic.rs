//! How Anthropic spells what went wrong (<https://docs.claude.com/en/api/errors>).

use std::borrow::Cow;

use crate::wire::json::{JsonError, Kind, Reader};

use super::error::{self, UpstreamError, UpstreamErrorKind};

/// What Anthropic's `error` object says.
#[derive(Debug, Default)]
struct Anthropic {
    kind: String,
    message: String,
}

/// Reads an answer with an error status: Anthropic's object, or a page of something before it.
pub(super) fn read(status: u16, retry_after: Option<&[u8]>, body: &[u8]) -> UpstreamError {
    let said = parse(std::str::from_utf8(body).unwrap_or("")).unwrap_or_default();
    let mut error = said.to_error(status);
    error.retry_after_ms = retry_after.and_then(error::retry_after_ms);
    error
}

/// The same for Claude on Vertex AI, where Google may answer for itself.
pub(super) fn read_on_vertex(
    status: u16,
    retry_after: Option<&[u8]>,
    body: &[u8],
) -> UpstreamError {
    let said = parse(std::str::from_utf8(body).unwrap_or(""));
    if said.is_ok_and(|said| !said.kind.is_empty()) {
        return read(status, retry_after, body);
    }
    error::read_google(status, retry_after, body)
}

/// Reads the `error` member of an answer that began well.
pub(super) fn in_answer(reader: &mut Reader<'_>) -> Result<UpstreamError, JsonError> {
    let mut said = Anthropic::default();
    said.read(reader)?;
    // A request that was wrong is wrong also when that is told late.
    let status = if said.kind == "invalid_request_error" { 400 } else { 500 };
    Ok(said.to_error(status))
}

fn parse(text: &str) -> Result<Anthropic, JsonError> {
    let (mut said, mut reader) = (Anthropic::default(), Reader::new(text));
    reader.object(|reader, key| match key.raw() {
        "error" => said.read(reader),
        _ => reader.skip(),
    })?;
    Ok(said)
}

impl Anthropic {
    /// `error` is an object, or in front of proxies a plain string.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? == Kind::String {
            self.message = reader.string()?.unescape().into_owned();
            return Ok(());
        }
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                ("type", Kind::String) => &mut self.kind,
                ("message", Kind::String) => &mut self.message,
                _ => return reader.skip(),
            };
            *place = reader.string()?.unescape().into_owned();
            Ok(())
        })
    }

    fn to_error(&self, status: u16) -> UpstreamError {
        let kind = match self.kind.as_str() {
            // An account without money is told as a mistake in the request.
            "invalid_request_error" if self.message.contains("credit balance is too low") => {
                UpstreamErrorKind::Auth
            }
            "authentication_error" | "permission_error" | "billing_error" => {
                UpstreamErrorKind::Auth
            }
            "not_found_error" => UpstreamErrorKind::ModelNotFound,
            "request_too_large" => UpstreamErrorKind::TooLarge,
            "rate_limit_error" => UpstreamErrorKind::RateLimited,
            "timeout_error" => UpstreamErrorKind::Timeout,
            "overloaded_error" => UpstreamErrorKind::Overloaded,
            _ => error::kind_of_status(status),
        };
        let message = if self.message.is_empty() {
            format!("the upstream answered with status {status}")
        } else {
            self.message.clone()
        };
        let mut error = UpstreamError::new(kind, message);
        if kind == UpstreamErrorKind::Refused {
            error.code = code_of(&self.message).map(Cow::Borrowed);
        }
        error
    }
}

/// Anthropic has no codes, only words.
fn code_of(message: &str) -> Option<&'static str> {
    if error::is_context_overflow(message) {
        return Some("context_length_exceeded");
    }
    message.contains("content filtering policy").then_some("content_policy_violation")
}
