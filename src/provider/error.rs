//! What went wrong on a vendor's side, in our classes, and how vendors spell it.

use std::borrow::Cow;

use crate::base::ascii;
use crate::chat::{ApiError, Row};
use crate::wire::WireError;
use crate::wire::json::{JsonError, Kind, Reader};

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamErrorKind {
    /// The vendor refuses this request; another try would not help.
    Refused,
    /// The vendor does not know the model.
    ModelNotFound,
    /// The vendor finds the request too large.
    TooLarge,
    /// Our credential or our bill.
    Auth,
    /// The vendor's rate limit.
    RateLimited,
    /// The vendor failed, with this status.
    Failed(u16),
    /// The vendor is overloaded.
    Overloaded,
    /// The vendor took too long.
    Timeout,
    /// The answer is not what the vendor's documentation says.
    Invalid,
    /// The answer was cut short.
    Truncated,
}

/// A failed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    /// Its class.
    pub kind: UpstreamErrorKind,
    /// The vendor's words, or ours.
    pub message: String,
    /// A code that stands in place of the table's.
    pub code: Option<Cow<'static, str>>,
    /// When the vendor wants to be asked again, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl From<WireError> for UpstreamError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Truncated => Self::new(UpstreamErrorKind::Truncated, TRUNCATED),
            WireError::EventTooLarge | WireError::BodyTooLarge => {
                Self::new(UpstreamErrorKind::Invalid, "the upstream's answer is too large")
            }
            _ => Self::new(UpstreamErrorKind::Invalid, "the upstream's answer is not valid HTTP"),
        }
    }
}

impl From<JsonError> for UpstreamError {
    fn from(error: JsonError) -> Self {
        let message = match error {
            JsonError::Syntax => "the upstream's answer is not JSON",
            JsonError::Depth => "the upstream's answer nests too deep",
            JsonError::Type => "the upstream's answer has the wrong shape",
        };
        Self::new(UpstreamErrorKind::Invalid, message)
    }
}

/// What a client is told when a stream ends too early.
const TRUNCATED: &str = "upstream closed the stream early";

/// What a client is told when a vendor's message is empty.
const SILENT: &str = "the upstream failed and did not say why";

impl UpstreamError {
    /// A failure of this class.
    pub fn new(kind: UpstreamErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retry_after_ms: None }
    }

    /// The answer ended before it was whole.
    pub fn truncated() -> Self {
        Self::new(UpstreamErrorKind::Truncated, TRUNCATED)
    }

    /// As the client sees it.
    pub fn to_api(&self) -> ApiError {
        let row = match self.kind {
            UpstreamErrorKind::Refused => Row::VENDOR_REFUSED,
            UpstreamErrorKind::ModelNotFound => Row::MODEL_NOT_FOUND,
            UpstreamErrorKind::TooLarge => Row::BODY_TOO_LARGE,
            UpstreamErrorKind::Auth => Row::UPSTREAM_AUTH,
            UpstreamErrorKind::RateLimited => Row::RATE_LIMITED,
            UpstreamErrorKind::Failed(status @ 500..=599) => Row { status, ..Row::UPSTREAM_ERROR },
            UpstreamErrorKind::Failed(_) => Row::UPSTREAM_ERROR,
            UpstreamErrorKind::Overloaded => Row::UPSTREAM_OVERLOADED,
            UpstreamErrorKind::Timeout => Row::UPSTREAM_TIMEOUT,
            UpstreamErrorKind::Invalid => Row::UPSTREAM_INVALID,
            UpstreamErrorKind::Truncated => Row::UPSTREAM_TRUNCATED,
        };
        // A client that is told to come back needs to know when, also when the vendor is silent.
        let waits = matches!(row.status, 429 | 503);
        let retry_after = self.retry_after_ms.or_else(|| waits.then_some(1000));
        let message = if self.message.is_empty() { SILENT } else { &self.message };
        let mut error = ApiError::new(row, message).with_retry_after(retry_after);
        error.vendor_code.clone_from(&self.code);
        error
    }
}

/// The class of an HTTP status of any vendor.
pub(super) fn kind_of_status(status: u16) -> UpstreamErrorKind {
    match status {
        401..=403 => UpstreamErrorKind::Auth,
        404 => UpstreamErrorKind::ModelNotFound,
        408 | 504 => UpstreamErrorKind::Timeout,
        413 => UpstreamErrorKind::TooLarge,
        429 => UpstreamErrorKind::RateLimited,
        400..=499 => UpstreamErrorKind::Refused,
        503 | 529 => UpstreamErrorKind::Overloaded,
        500..=599 => UpstreamErrorKind::Failed(status),
        _ => UpstreamErrorKind::Invalid,
    }
}

/// What Google's `error` object says.
#[derive(Debug, Default)]
struct Google {
    code: Option<u16>,
    status: String,
    message: String,
    key_invalid: bool,
    retry_delay_ms: Option<u64>,
}

/// Reads Google's answer with an error status: an object, an object in an array, or a page.
pub(super) fn read_google(status: u16, retry_after: Option<&[u8]>, body: &[u8]) -> UpstreamError {
    let text = std::str::from_utf8(body).unwrap_or("");
    let said = parse_google(text).unwrap_or_default();
    let mut error = google_error(&said, status);
    error.retry_after_ms = retry_after.and_then(retry_after_ms).or(said.retry_delay_ms);
    error
}

/// Is this body an error object of Google's own?
pub(super) fn is_google_object(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let (mut said, mut reader) = (Google::default(), Reader::new(text));
    let read = read_error_member(&mut reader, &mut said).and_then(|()| reader.end());
    read.is_ok() && !said.status.is_empty()
}

/// Reads Google's `error` object inside a successful answer.
pub(super) fn google_in_answer(reader: &mut Reader<'_>) -> Result<UpstreamError, JsonError> {
    let mut said = Google::default();
    read_error_value(reader, &mut said)?;
    let mut error = google_error(&said, said.code.unwrap_or(500));
    error.retry_after_ms = said.retry_delay_ms;
    Ok(error)
}

fn google_error(said: &Google, status: u16) -> UpstreamError {
    let kind = match said.status.as_str() {
        _ if said.key_invalid => UpstreamErrorKind::Auth,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => UpstreamErrorKind::Auth,
        "RESOURCE_EXHAUSTED" => UpstreamErrorKind::RateLimited,
        "UNAVAILABLE" => UpstreamErrorKind::Overloaded,
        "DEADLINE_EXCEEDED" => UpstreamErrorKind::Timeout,
        _ => kind_of_status(status),
    };
    let message = if said.message.is_empty() {
        format!("the upstream answered with status {status}")
    } else {
        said.message.clone()
    };
    let mut error = UpstreamError::new(kind, message);
    if kind == UpstreamErrorKind::Refused && is_context_overflow(&said.message) {
        error.code = Some(Cow::Borrowed("context_length_exceeded"));
    }
    error
}

fn parse_google(text: &str) -> Result<Google, JsonError> {
    let mut said = Google::default();
    let mut reader = Reader::new(text);
    if reader.kind()? == Kind::Array {
        reader.array(|reader, _index| read_error_member(reader, &mut said))?;
    } else {
        read_error_member(&mut reader, &mut said)?;
    }
    Ok(said)
}

fn read_error_member(reader: &mut Reader<'_>, said: &mut Google) -> Result<(), JsonError> {
    reader.object(|reader, key| match key.raw() {
        "error" => read_error_value(reader, said),
        _ => reader.skip(),
    })
}

/// `error` is an object, or in front of proxies a plain string.
fn read_error_value(reader: &mut Reader<'_>, said: &mut Google) -> Result<(), JsonError> {
    if reader.kind()? == Kind::String {
        said.message = reader.string()?.unescape().into_owned();
        return Ok(());
    }
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("code", Kind::Number) => said.code = reader.number()?.parse().ok(),
            ("status", Kind::String) => said.status = reader.string()?.unescape().into_owned(),
            ("message", Kind::String) => said.message = reader.string()?.unescape().into_owned(),
            ("details", Kind::Array) => {
                reader.array(|reader, _index| read_detail(reader, said))?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })
}

fn read_detail(reader: &mut Reader<'_>, said: &mut Google) -> Result<(), JsonError> {
    if reader.kind()? != Kind::Object {
        return reader.skip();
    }
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("reason", Kind::String) => {
            said.key_invalid |= reader.string()?.raw() == "API_KEY_INVALID";
            Ok(())
        }
        ("retryDelay", Kind::String) => {
            said.retry_delay_ms = seconds_to_ms(reader.string()?.raw().trim_end_matches('s'));
            Ok(())
        }
        _ => reader.skip(),
    })
}

/// `Retry-After` in seconds. A date needs a clock, which the caller has: see `date_to_unix`.
pub(super) fn retry_after_ms(value: &[u8]) -> Option<u64> {
    let millis = seconds_to_ms(std::str::from_utf8(value).ok()?);
    millis.filter(|millis| *millis <= 1000 * 86_400 * 365)
}

/// Decimal seconds like `34.4` to milliseconds, rounded up, without floating point.
fn seconds_to_ms(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = ascii::parse_u64(whole.as_bytes()).filter(|seconds| *seconds < 1 << 32)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis = fraction.bytes().chain(*b"000").take(3);
    let millis = millis.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    let rounded_up = fraction.bytes().skip(3).any(|digit| digit != b'0');
    Some(whole * 1000 + millis + u64::from(rounded_up))
}

/// Vendors have no code for a prompt that is too long, only these words.
pub(super) fn is_context_overflow(message: &str) -> bool {
    const WORDS: [&str; 5] = [
        "prompt is too long",
        "exceeds the maximum number of tokens",
        "input token count",
        "context window",
        "exceed context limit",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: u16, body: &str) -> (u16, Option<String>, Option<u64>) {
        let error = read_google(status, None, body.as_bytes()).to_api();
        (error.row.status, error.code().map(str::to_owned), error.retry_after_ms)
    }

    fn coded(status: u16, code: &str) -> (u16, Option<String>, Option<u64>) {
        (status, Some(code.to_owned()), None)
    }

    #[test]
    fn googles_spellings_become_rows() {
        let body = |code: u16, status: &str, details: &str| {
            format!(
                r#"{{"error":{{"code":{code},"message":"m","status":"{status}","details":[{details}]}}}}"#
            )
        };
        let invalid = body(400, "INVALID_ARGUMENT", "");
        assert_eq!(seen(400, &invalid), (400, None, None));
        let key = body(400, "INVALID_ARGUMENT", r#"{"reason":"API_KEY_INVALID"}"#);
        assert_eq!(seen(400, &key), coded(502, "upstream_auth_error"));
        let quota = body(429, "RESOURCE_EXHAUSTED", r#"{"retryDelay":"34.4001s"}"#);
        let limited = Some("rate_limit_exceeded".to_owned());
        assert_eq!(seen(429, &quota), (429, limited.clone(), Some(34_401)));
        assert_eq!(seen(429, &format!("[{quota}]")), (429, limited.clone(), Some(34_401)));
        assert_eq!(seen(429, "slow down"), (429, limited, Some(1000)));
        assert_eq!(
            seen(403, &body(403, "PERMISSION_DENIED", "")),
            coded(502, "upstream_auth_error")
        );
        assert_eq!(seen(404, &body(404, "NOT_FOUND", "")), coded(404, "model_not_found"));
        assert_eq!(seen(500, &body(500, "INTERNAL", "")), coded(500, "upstream_error"));
        assert_eq!(seen(502, "<html>Bad</html>"), coded(502, "upstream_error"));
        assert_eq!(seen(504, &body(504, "DEADLINE_EXCEEDED", "")), coded(504, "upstream_timeout"));
        assert_eq!(seen(301, ""), coded(502, "upstream_invalid_response"));
        let overloaded = Some("upstream_overloaded".to_owned());
        assert_eq!(seen(503, &body(503, "UNAVAILABLE", "")), (503, overloaded, Some(1000)));
        let long = r#"{"error":{"code":400,"message":"The input token count (9) exceeds","status":"INVALID_ARGUMENT"}}"#;
        assert_eq!(seen(400, long), coded(400, "context_length_exceeded"));
    }

    #[test]
    fn pages_are_not_quoted_and_headers_win() {
        let page = read_google(502, None, b"<html>secret stack</html>").to_api();
        assert!(!page.message.contains("html"), "{}", page.message);
        let silent = UpstreamError::new(UpstreamErrorKind::Failed(502), "");
        assert_eq!(silent.to_api().message, SILENT);
        let said = read_google(429, Some(b"7"), br#"{"error":"calm down"}"#);
        assert_eq!((said.retry_after_ms, said.message.as_str()), (Some(7000), "calm down"));
    }
}
