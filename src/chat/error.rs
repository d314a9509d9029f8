//! The one table of errors that a client may see, and their bodies.

use std::borrow::Cow;

use crate::base::ascii;
use crate::wire::json;

use super::dialect::Dialect;

/// The longest message that is passed on, in bytes. A vendor's text may be a whole page.
const MESSAGE_BYTES_MAX: usize = 2000;

/// One row of the table: how a cause looks to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The HTTP status.
    pub status: u16,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// OpenAI's `code`; none is `null`.
    pub code: Option<&'static str>,
    /// `x-should-retry: false`: the SDK must not try again.
    pub final_answer: bool,
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

const fn row(status: u16, kind: &'static str, code: &'static str) -> Row {
    Row { status, kind, code: Some(code), final_answer: false }
}

const fn last(row: Row) -> Row {
    Row { final_answer: true, ..row }
}

#[expect(missing_docs, reason = "each row says what it is")]
impl Row {
    pub const INVALID_JSON: Self = row(400, INVALID, "invalid_json");
    pub const INVALID_VALUE: Self = row(400, INVALID, "invalid_value");
    pub const MISSING_FIELD: Self = row(400, INVALID, "missing_field");
    pub const BAD_REQUEST: Self = row(400, INVALID, "bad_request");
    pub const INVALID_API_KEY: Self = row(401, "authentication_error", "invalid_api_key");
    pub const PERMISSION_DENIED: Self = row(403, "permission_error", "permission_denied");
    pub const UNKNOWN_URL: Self = row(404, INVALID, "unknown_url");
    pub const NOT_FOUND: Self = row(404, INVALID, "not_found");
    pub const METHOD_NOT_ALLOWED: Self = row(405, INVALID, "method_not_allowed");
    pub const MODEL_NOT_FOUND: Self = row(404, INVALID, "model_not_found");
    pub const REQUEST_TIMEOUT: Self = row(408, INVALID, "request_timeout");
    pub const BODY_TOO_LARGE: Self = row(413, INVALID, "request_too_large");
    pub const HEAD_TOO_LARGE: Self = row(431, INVALID, "request_too_large");
    pub const TARGET_TOO_LONG: Self = row(414, INVALID, "request_too_large");
    pub const UNSUPPORTED_MEDIA_TYPE: Self = row(415, INVALID, "unsupported_media_type");
    pub const UPSTREAM_UNAVAILABLE: Self = row(503, SERVER, "upstream_unavailable");
    pub const RATE_LIMITED: Self = row(429, "rate_limit_error", "rate_limit_exceeded");
    pub const BUDGET_SPENT: Self = last(row(429, "insufficient_quota", "insufficient_quota"));
    pub const VENDOR_REFUSED: Self =
        Self { status: 400, kind: INVALID, code: None, final_answer: false };
    pub const UPSTREAM_AUTH: Self = last(row(502, SERVER, "upstream_auth_error"));
    pub const UPSTREAM_ERROR: Self = row(502, SERVER, "upstream_error");
    pub const UPSTREAM_OVERLOADED: Self = row(503, SERVER, "upstream_overloaded");
    pub const UPSTREAM_TIMEOUT: Self = row(504, SERVER, "upstream_timeout");
    pub const UPSTREAM_CONNECTION: Self = row(502, SERVER, "upstream_connection_error");
    pub const UPSTREAM_TLS: Self = last(row(502, SERVER, "upstream_tls_error"));
    pub const UPSTREAM_INVALID: Self = row(502, SERVER, "upstream_invalid_response");
    pub const UPSTREAM_TRUNCATED: Self = row(502, SERVER, "upstream_truncated");
    pub const OVERLOADED: Self = row(503, SERVER, "overloaded");
    pub const SHUTTING_DOWN: Self = row(503, SERVER, "shutting_down");
    pub const NOT_CACHED: Self = last(row(504, INVALID, "not_cached"));
    pub const STORE_UNAVAILABLE: Self = row(503, SERVER, "store_unavailable");
    pub const INTERNAL: Self = row(500, SERVER, "internal_error");
}

/// What a client gets instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// How the cause looks.
    pub row: Row,
    /// In words; keys are masked and the length is bounded.
    pub message: String,
    /// The field of the request that is at fault.
    pub param: Option<String>,
    /// The vendor's own code, which then stands in place of the row's.
    pub vendor_code: Option<Cow<'static, str>>,
    /// When to try again, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl ApiError {
    /// An error of this row. Keys in `message` are masked, and it is cut to a sane length.
    pub fn new(row: Row, message: impl Into<String>) -> Self {
        let mut message = mask_keys(message.into());
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(end.unwrap_or(0));
        }
        Self { row, message, param: None, vendor_code: None, retry_after_ms: None }
    }

    /// Names the field that is at fault.
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to try again.
    pub fn with_retry_after(mut self, millis: Option<u64>) -> Self {
        self.retry_after_ms = millis;
        self
    }

    /// Takes a secret out of all texts, also where it does not look like one.
    pub fn conceal(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let hide = |text: &mut String| {
            if text.contains(secret) {
                *text = text.replace(secret, "***");
            }
        };
        hide(&mut self.message);
        if let Some(param) = &mut self.param {
            hide(param);
        }
        if let Some(code) = self.vendor_code.as_mut().filter(|code| code.contains(secret)) {
            *code = Cow::Owned(code.replace(secret, "***"));
        }
    }

    /// The `code` that goes out.
    pub fn code(&self) -> Option<&str> {
        self.vendor_code.as_deref().or(self.row.code)
    }

    /// The HTTP status, as the API has it.
    pub const fn status(&self, dialect: Dialect) -> u16 {
        dialect.status(self.row.status)
    }

    /// Appends the JSON body in the shape of an API; `id` is the request's.
    pub fn render(&self, dialect: Dialect, id: &str, out: &mut Vec<u8>) {
        match dialect {
            Dialect::OpenAi => {
                out.extend_from_slice(b"{\"error\":");
                self.render_openai(out);
            }
            Dialect::Anthropic => self.render_anthropic(id, out),
            Dialect::Google => self.render_google(out),
        }
        out.push(b'}');
    }

    /// Appends the error as an event of a stream that has begun.
    pub fn render_event(&self, dialect: Dialect, id: &str, out: &mut Vec<u8>) {
        if dialect == Dialect::Anthropic {
            out.extend_from_slice(b"event: error\n");
        }
        out.extend_from_slice(b"data: ");
        self.render(dialect, id, out);
        out.extend_from_slice(if dialect == Dialect::Google { b"\r\n\r\n" } else { b"\n\n" });
    }

    /// Appends OpenAI's error object.
    pub(super) fn render_openai(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"message\":");
        json::push_string(out, &self.message);
        out.extend_from_slice(b",\"type\":");
        json::push_string(out, self.row.kind);
        out.extend_from_slice(b",\"param\":");
        push_nullable(out, self.param.as_deref());
        out.extend_from_slice(b",\"code\":");
        push_nullable(out, self.code());
        out.push(b'}');
    }

    /// All but the last brace. Anthropic has no place for our code, which a client may want to
    /// tell causes of one type apart.
    fn render_anthropic(&self, id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
        json::push_string(out, Dialect::Anthropic.kind(self.row.status));
        out.extend_from_slice(b",\"message\":");
        json::push_string(out, &self.message);
        out.extend_from_slice(b"},\"request_id\":");
        json::push_string(out, id);
    }

    /// All but the last brace. What Google has no field for stands in its usual details
    /// (<https://google.aip.dev/193>).
    fn render_google(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":{\"code\":");
        ascii::push_u64(out, u64::from(self.row.status));
        out.extend_from_slice(b",\"message\":");
        json::push_string(out, &self.message);
        out.extend_from_slice(b",\"status\":");
        json::push_string(out, Dialect::Google.kind(self.row.status));
        out.extend_from_slice(b",\"details\":[{\"@type\":");
        json::push_string(out, "type.googleapis.com/google.rpc.ErrorInfo");
        out.extend_from_slice(b",\"reason\":\"");
        let reason = match self.code() {
            Some("invalid_api_key") => "API_KEY_INVALID",
            Some(code) => code,
            None => "INVALID_ARGUMENT",
        };
        let spelt = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'_' };
        out.extend(reason.bytes().map(|byte| spelt(byte.to_ascii_uppercase())));
        out.extend_from_slice(b"\",\"domain\":\"googleapis.com\"}");
        if let Some(field) = &self.param {
            out.extend_from_slice(b",{\"@type\":\"type.googleapis.com/google.rpc.BadRequest\",");
            out.extend_from_slice(b"\"fieldViolations\":[{\"field\":");
            json::push_string(out, field);
            out.extend_from_slice(b",\"description\":");
            json::push_string(out, &self.message);
            out.extend_from_slice(b"}]}");
        }
        if let Some(millis) = self.retry_after_ms {
            out.extend_from_slice(b",{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",");
            out.extend_from_slice(b"\"retryDelay\":\"");
            ascii::push_u64(out, millis.div_ceil(1000));
            out.extend_from_slice(b"s\"}");
        }
        out.extend_from_slice(b"]}");
    }
}

fn push_nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => json::push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Replaces what looks like a credential. A vendor may quote the key it was sent.
fn mask_keys(message: String) -> String {
    const MARKS: [&str; 6] = ["AIza", "sk-", "ya29.", "key=", "Bearer ", "bearer "];
    if !MARKS.iter().any(|mark| message.contains(mark)) {
        return message;
    }
    let mut masked = String::with_capacity(message.len());
    let mut rest = message.as_str();
    loop {
        let first = MARKS.iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min();
        let Some((at, mark)) = first else { break };
        let (before, found) = rest.split_at(at);
        masked.push_str(before);
        masked.push_str(mark);
        masked.push_str("***");
        let after = found.get(mark.len()..).unwrap_or("");
        let secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
        rest = after.trim_start_matches(secret);
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &ApiError) -> String {
        let mut out = Vec::new();
        error.render(Dialect::OpenAi, "req_1", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_body_is_openais() {
        let error = ApiError::new(Row::INVALID_VALUE, "say \"n\"").with_param("n");
        let expected = r#"{"error":{"message":"say \"n\"","type":"invalid_request_error","param":"n","code":"invalid_value"}}"#;
        assert_eq!(body(&error), expected);
        let vendor = ApiError::new(Row::VENDOR_REFUSED, "no");
        let expected =
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#;
        assert_eq!(body(&vendor), expected);
        let mut event = Vec::new();
        vendor.render_event(Dialect::OpenAi, "", &mut event);
        assert!(event.starts_with(b"data: {") && event.ends_with(b"}\n\n"));
    }

    #[test]
    fn other_apis_have_their_own_shapes() {
        let error = ApiError::new(Row::RATE_LIMITED, "slow \"down\"").with_retry_after(Some(1500));
        let mut out = Vec::new();
        error.render_event(Dialect::Anthropic, "req_1", &mut out);
        let expected = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\
                        \"rate_limit_error\",\"message\":\"slow \\\"down\\\"\"},\
                        \"request_id\":\"req_1\"}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        error.with_param("a.b").render(Dialect::Google, "", &mut out);
        let body: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let error = &body["error"];
        assert_eq!(
            (error["code"].as_u64(), error["status"].as_str()),
            (Some(429), Some("RESOURCE_EXHAUSTED"))
        );
        assert_eq!(error["details"][0]["reason"], "RATE_LIMIT_EXCEEDED");
        assert_eq!(error["details"][1]["fieldViolations"][0]["field"], "a.b");
        assert_eq!(error["details"][2]["retryDelay"], "2s");
    }

    #[test]
    fn keys_are_masked_and_pages_are_cut() {
        let quoted = "bad key AIzaSyD-1_2 at ?key=abc123&x, Bearer ya29.tok-en. sk-proj-99!";
        let masked = ApiError::new(Row::UPSTREAM_AUTH, quoted).message;
        for secret in ["SyD", "abc123", "tok", "proj"] {
            assert!(!masked.contains(secret), "{masked}");
        }
        assert!(masked.contains("&x,") && masked.ends_with('!'), "{masked}");
        let mut plain = ApiError::new(Row::UPSTREAM_ERROR, "plain-secret twice: plain-secret");
        plain.conceal("plain-secret");
        plain.conceal("");
        assert_eq!(plain.message, "*** twice: ***");
        let long = ApiError::new(Row::UPSTREAM_ERROR, "é".repeat(5000)).message;
        assert_eq!(long.len(), MESSAGE_BYTES_MAX);
    }
}
