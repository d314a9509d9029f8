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

/// Is this body an error object of Anthropic's own?
pub(super) fn is_error_object(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut reader = Reader::new(text);
    reader.kind() == Ok(Kind::Object)
        && parse_from(&mut reader).is_ok_and(|said| !said.kind.is_empty())
        && reader.end().is_ok()
}

fn parse(text: &str) -> Result<Anthropic, JsonError> {
    parse_from(&mut Reader::new(text))
}

fn parse_from(reader: &mut Reader<'_>) -> Result<Anthropic, JsonError> {
    let mut said = Anthropic::default();
    let mut read = |reader: &mut Reader<'_>| {
        reader.object(|reader, key| match key.raw() {
            "error" => said.read(reader),
            _ => reader.skip(),
        })
    };
    if reader.kind()? == Kind::Array {
        reader.array(|reader, _index| read(reader))?;
    } else {
        read(reader)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const AUTH: Row = (502, "server_error", Some("upstream_auth_error"));

    fn body(kind: &str, message: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_011"}}"#
        )
    }

    /// Status, type and code of what a client sees, the message, and the wait in milliseconds.
    #[track_caller]
    fn seen(error: &UpstreamError, (status, kind, code): Row, message: &str, wait: Option<u64>) {
        let api = error.to_api();
        assert_eq!((api.row.status, api.row.kind, api.code()), (status, kind, code), "{message}");
        assert_eq!((api.message.as_str(), api.retry_after_ms), (message, wait));
        assert_eq!(api.row.final_answer, code == AUTH.2, "retried in vain: {message}");
    }

    /// Status, type and message of Anthropic's; status, type, code and wait of ours.
    type Spelling = (u16, &'static str, &'static str, Row, Option<u64>);

    type Row = (u16, &'static str, Option<&'static str>);

    const BAD: &str = "invalid_request_error";
    const SERVER: &str = "server_error";

    const SPELLINGS: [Spelling; 16] = [
        (400, BAD, "max_tokens: Field required", (400, BAD, None), None),
        (
            400,
            BAD,
            "prompt is too long: 210000 tokens > 200000 maximum",
            (400, BAD, Some("context_length_exceeded")),
            None,
        ),
        (
            400,
            BAD,
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            (400, BAD, Some("context_length_exceeded")),
            None,
        ),
        (
            400,
            BAD,
            "Output blocked by content filtering policy",
            (400, BAD, Some("content_policy_violation")),
            None,
        ),
        (400, BAD, "Your credit balance is too low to access the Anthropic API.", AUTH, None),
        (401, "authentication_error", "invalid x-api-key", AUTH, None),
        (402, "billing_error", "There is an issue with your billing.", AUTH, None),
        (403, "permission_error", "Your API key does not have permission.", AUTH, None),
        (404, "not_found_error", "model: claude-nope", (404, BAD, Some("model_not_found")), None),
        (
            413,
            "request_too_large",
            "Request exceeds the maximum size",
            (413, BAD, Some("request_too_large")),
            None,
        ),
        (
            429,
            "rate_limit_error",
            "This request would exceed your rate limit",
            (429, "rate_limit_error", Some("rate_limit_exceeded")),
            Some(17_000),
        ),
        (500, "api_error", "Internal server error", (500, SERVER, Some("upstream_error")), None),
        (
            504,
            "timeout_error",
            "The request timed out",
            (504, SERVER, Some("upstream_timeout")),
            None,
        ),
        (
            529,
            "overloaded_error",
            "Overloaded",
            (503, SERVER, Some("upstream_overloaded")),
            Some(17_000),
        ),
        (418, "new_error", "m", (400, BAD, None), None),
        (503, "new_error", "m", (503, SERVER, Some("upstream_overloaded")), Some(17_000)),
    ];

    #[test]
    fn anthropics_spellings_become_rows() {
        for (status, kind, message, expected, wait) in SPELLINGS {
            let after = wait.map(|_| &b"17"[..]);
            let text = body(kind, message);
            seen(&read(status, after, text.as_bytes()), expected, message, wait);
            seen(&read_on_vertex(status, after, text.as_bytes()), expected, message, wait);
        }
    }

    #[test]
    fn without_a_wait_of_theirs_ours_stands() {
        let limited = (429, "rate_limit_error", Some("rate_limit_exceeded"));
        let text = body("rate_limit_error", "m");
        seen(&read(429, None, text.as_bytes()), limited, "m", Some(1000));
        let odd = b"Wed, 21 Oct 2026 07:28:00 GMT";
        seen(&read(429, Some(odd), text.as_bytes()), limited, "m", Some(1000));
    }

    #[test]
    fn what_is_not_anthropics_is_told_by_its_status() {
        let says = |status: u16| format!("the upstream answered with status {status}");
        let server = |status, code| (status, "server_error", Some(code));
        for (status, text, expected, wait) in [
            (502, "<html>secret stack</html>", server(502, "upstream_error"), None),
            (520, "", server(520, "upstream_error"), None),
            (529, "[]", server(503, "upstream_overloaded"), Some(1000)),
            (301, "moved", server(502, "upstream_invalid_response"), None),
            (403, "\u{feff}{}", AUTH, None),
            (403, r#"{"type":"error","error":7}"#, AUTH, None),
        ] {
            seen(&read(status, None, text.as_bytes()), expected, &says(status), wait);
        }
        let plain = read(500, None, br#"{"error":"upstream \"x\" died"}"#);
        seen(&plain, server(500, "upstream_error"), "upstream \"x\" died", None);
        let bytes = read(500, None, b"\xff\xfe");
        seen(&bytes, server(500, "upstream_error"), &says(500), None);
    }

    #[test]
    fn google_answers_for_itself_on_vertex() {
        let google = br#"[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"2.5s"}]}}]"#;
        let limited = (429, "rate_limit_error", Some("rate_limit_exceeded"));
        seen(&read_on_vertex(429, None, google), limited, "Quota exceeded", Some(2500));
        let denied =
            br#"{"error":{"code":403,"message":"no access","status":"PERMISSION_DENIED"}}"#;
        seen(&read_on_vertex(403, None, denied), AUTH, "no access", None);
        let unknown =
            br#"{"error":{"code":404,"message":"Publisher Model x","status":"NOT_FOUND"}}"#;
        let missing = (404, "invalid_request_error", Some("model_not_found"));
        seen(&read_on_vertex(404, None, unknown), missing, "Publisher Model x", None);
    }
}
