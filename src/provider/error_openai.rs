//! How OpenAI, and what is compatible with it, spells what went wrong.
//!
//! <https://platform.openai.com/docs/guides/error-codes>. Compatible services put numbers into
//! `code`, a bare text into `error`, or Google's array around it all.

use std::borrow::Cow;

use crate::wire::json::{JsonError, Kind, Reader};

use super::error::{
    UpstreamError, UpstreamErrorKind, is_context_overflow, kind_of_status, retry_after_ms,
};

/// What a vendor's policy does not allow.
const POLICY_CODE: &str = "content_policy_violation";

/// What an `error` object says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    kind: String,
    code: Option<String>,
    /// A status that the object names itself.
    status: Option<u16>,
}

/// Reads an answer with an error status: OpenAI's object, or anything else.
pub(super) fn read(status: u16, retry_after: Option<&[u8]>, body: &[u8]) -> UpstreamError {
    let text = std::str::from_utf8(body).unwrap_or("");
    let said = parse(text).unwrap_or_default();
    let mut error = translate(said, status);
    error.retry_after_ms = retry_after.and_then(retry_after_ms);
    error
}

/// Reads the value of `error` inside a successful answer: it is as that error's own status.
pub(super) fn in_answer(reader: &mut Reader<'_>) -> Result<UpstreamError, JsonError> {
    let mut said = Said::default();
    read_value(reader, &mut said)?;
    let status = said.own_status();
    Ok(translate(said, status))
}

/// Does this value of `error` mean that there is one? The SDKs ask for its truth, too.
pub(super) fn is_error(reader: &mut Reader<'_>) -> Result<bool, JsonError> {
    let raw = reader.raw()?;
    Ok(!matches!(raw, "null" | "false" | "0" | "\"\"" | "{}" | "[]"))
}

/// Is this body, or the first element of this array, an object with an `error` object in it?
pub(super) fn is_error_object(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut reader = Reader::new(text);
    let mut found = false;
    let mut member = |reader: &mut Reader<'_>| {
        reader.object(|reader, key| {
            found |= key.raw() == "error" && reader.kind()? == Kind::Object;
            reader.skip()
        })
    };
    let read = match reader.kind() {
        Ok(Kind::Array) => reader.array(|reader, index| match (index, reader.kind()?) {
            (0, Kind::Object) => member(reader),
            _ => reader.skip(),
        }),
        _ => member(&mut reader),
    };
    read.and_then(|()| reader.end()).is_ok() && found
}

impl Said {
    /// The status that OpenAI gives to such an error.
    fn own_status(&self) -> u16 {
        if let Some(status) = self.status {
            return status;
        }
        let code = self.code.as_deref().unwrap_or_default();
        match (self.kind.as_str(), code) {
            (_, "invalid_api_key" | "account_deactivated") | ("authentication_error", _) => 401,
            (_, "billing_not_active") => 402,
            (_, "model_not_found") | ("not_found_error", _) => 404,
            ("permission_error" | "permission_denied_error", _) => 403,
            (_, "rate_limit_exceeded" | "insufficient_quota")
            | ("rate_limit_error" | "insufficient_quota" | "requests" | "tokens", _) => 429,
            ("overloaded_error" | "service_unavailable_error" | "engine_overloaded_error", _) => {
                503
            }
            ("timeout_error" | "timeout", _) => 504,
            ("invalid_request_error" | "BadRequestError", _) => 400,
            _ => 500,
        }
    }
}

fn translate(said: Said, status: u16) -> UpstreamError {
    let Said { message, code, .. } = said;
    // What the policy forbids is forbidden to the client, not to our key.
    let forbidden = status == 403 && code.as_deref() == Some(POLICY_CODE);
    let kind = if forbidden { UpstreamErrorKind::Refused } else { kind_of_status(status) };
    let code = (kind == UpstreamErrorKind::Refused)
        .then(|| code.map(Cow::Owned).or_else(|| recognised(&message)))
        .flatten();
    let message = if message.is_empty() {
        format!("the upstream answered with status {status}")
    } else {
        message
    };
    UpstreamError { code, ..UpstreamError::new(kind, message) }
}

/// Compatible services have no codes for the two cases that clients look for, only words.
fn recognised(message: &str) -> Option<Cow<'static, str>> {
    const POLICY: [&str; 3] = [
        "content management policy",
        "content policy",
        "rejected as a result of our safety system",
    ];
    if is_context_overflow(message) || message.contains("maximum context length") {
        return Some(Cow::Borrowed("context_length_exceeded"));
    }
    let policy = POLICY.iter().any(|words| message.contains(words));
    policy.then_some(Cow::Borrowed(POLICY_CODE))
}

fn parse(text: &str) -> Result<Said, JsonError> {
    let mut said = Said::default();
    let mut reader = Reader::new(text);
    if reader.kind()? == Kind::Array {
        reader.array(|reader, _index| read_member(reader, &mut said))?;
    } else {
        read_member(&mut reader, &mut said)?;
    }
    Ok(said)
}

/// The object around `error`. Some services have nothing around it.
fn read_member(reader: &mut Reader<'_>, said: &mut Said) -> Result<(), JsonError> {
    let mut bare = Said::default();
    let mut found = false;
    reader.object(|reader, key| {
        if key.raw() == "error" {
            found = true;
            return read_value(reader, said);
        }
        read_field(reader, key.raw(), &mut bare)
    })?;
    if !found {
        *said = bare;
    }
    Ok(())
}

fn read_value(reader: &mut Reader<'_>, said: &mut Said) -> Result<(), JsonError> {
    match reader.kind()? {
        Kind::String => said.message = reader.string()?.unescape().into_owned(),
        Kind::Object => reader.object(|reader, key| read_field(reader, key.raw(), said))?,
        _ => reader.skip()?,
    }
    Ok(())
}

fn read_field(reader: &mut Reader<'_>, name: &str, said: &mut Said) -> Result<(), JsonError> {
    match (name, reader.kind()?) {
        ("message" | "detail", Kind::String) => {
            said.message = reader.string()?.unescape().into_owned();
        }
        ("type", Kind::String) => said.kind = reader.string()?.unescape().into_owned(),
        ("code", Kind::String) => said.code = Some(reader.string()?.unescape().into_owned()),
        ("code" | "status", Kind::Number) => {
            said.status = reader.number()?.parse().ok().filter(|code| (400..600).contains(code));
        }
        _ => reader.skip()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and code.
    type Row = (u16, Option<String>);

    fn seen(status: u16, body: &str) -> Row {
        let error = read(status, None, body.as_bytes()).to_api();
        (error.row.status, error.code().map(str::to_owned))
    }

    fn in_200(error: &str) -> Row {
        let error = in_answer(&mut Reader::new(error)).unwrap().to_api();
        (error.row.status, error.code().map(str::to_owned))
    }

    fn row(status: u16, code: &str) -> Row {
        (status, Some(code.to_owned()))
    }

    #[test]
    fn openais_spellings_become_rows() {
        let body = |kind: &str, code: &str| {
            format!(r#"{{"error":{{"message":"m","type":"{kind}","param":null,"code":{code}}}}}"#)
        };
        let invalid = "invalid_request_error";
        let cases = [
            (400, body(invalid, "null"), (400, None)),
            (400, body(invalid, r#""unsupported_value""#), row(400, "unsupported_value")),
            (
                400,
                body(invalid, r#""context_length_exceeded""#),
                row(400, "context_length_exceeded"),
            ),
            (
                400,
                body("image_generation_user_error", r#""content_policy_violation""#),
                row(400, "content_policy_violation"),
            ),
            (401, body(invalid, r#""invalid_api_key""#), row(502, "upstream_auth_error")),
            (
                402,
                body("insufficient_quota", r#""billing_not_active""#),
                row(502, "upstream_auth_error"),
            ),
            (
                403,
                body(invalid, r#""unsupported_country_region_territory""#),
                row(502, "upstream_auth_error"),
            ),
            (
                403,
                body(invalid, r#""content_policy_violation""#),
                row(400, "content_policy_violation"),
            ),
            (404, body(invalid, r#""model_not_found""#), row(404, "model_not_found")),
            (408, body("server_error", r#""timeout""#), row(504, "upstream_timeout")),
            (409, body(invalid, r#""conflict""#), row(400, "conflict")),
            (413, body(invalid, r#""string_above_max_length""#), row(413, "request_too_large")),
            (418, body(invalid, r#""teapot""#), row(400, "teapot")),
            (422, body(invalid, "null"), (400, None)),
            (429, body("requests", r#""rate_limit_exceeded""#), row(429, "rate_limit_exceeded")),
            (
                429,
                body("insufficient_quota", r#""insufficient_quota""#),
                row(429, "rate_limit_exceeded"),
            ),
            (500, body("server_error", "null"), row(500, "upstream_error")),
            (502, "<html>Bad gateway</html>".to_owned(), row(502, "upstream_error")),
            (503, body("server_error", "null"), row(503, "upstream_overloaded")),
            (504, String::new(), row(504, "upstream_timeout")),
            (529, body("overloaded_error", "null"), row(503, "upstream_overloaded")),
            (307, String::new(), row(502, "upstream_invalid_response")),
        ];
        for (status, body, expected) in cases {
            assert_eq!(seen(status, &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn compatible_services_are_understood() {
        let message = |body: &str| read(400, None, body.as_bytes()).message;
        assert_eq!(message(r#"{"error":"no such model"}"#), "no such model");
        assert_eq!(message(r#"{"object":"error","message":"vllm","code":400}"#), "vllm");
        assert_eq!(message(r#"{"detail":"fastapi"}"#), "fastapi");
        assert_eq!(message(r#"[{"error":{"code":400,"message":"google"}}]"#), "google");
        let long = r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#;
        assert_eq!(seen(400, long), row(400, "context_length_exceeded"));
        let azure = r#"{"error":{"message":"… triggering Azure OpenAI's content management policy.","code":null}}"#;
        assert_eq!(seen(400, azure), row(400, "content_policy_violation"));
        assert_eq!(read(429, Some(b"7"), b"").retry_after_ms, Some(7000));
    }

    #[test]
    fn an_error_inside_an_answer_has_its_own_status() {
        assert_eq!(in_200(r#"{"message":"m","type":"server_error"}"#), row(500, "upstream_error"));
        assert_eq!(in_200(r#"{"code":503,"message":"m"}"#), row(503, "upstream_overloaded"));
        assert_eq!(in_200(r#""out of memory""#), row(500, "upstream_error"));
        let limited = r#"{"type":"tokens","code":"rate_limit_exceeded"}"#;
        assert_eq!(in_200(limited), row(429, "rate_limit_exceeded"));
        let refused = r#"{"type":"invalid_request_error","code":"bad_thing"}"#;
        assert_eq!(in_200(refused), row(400, "bad_thing"));
        let key = r#"{"type":"invalid_request_error","code":"invalid_api_key"}"#;
        assert_eq!(in_200(key), row(502, "upstream_auth_error"));
        for (value, expected) in
            [("null", false), ("\"\"", false), ("{}", false), ("{\"a\":1}", true)]
        {
            assert_eq!(is_error(&mut Reader::new(value)), Ok(expected), "{value}");
        }
    }

    #[test]
    fn error_objects_are_told_from_other_bodies() {
        for body in [&br#" {"error":{"message":"m"}} "#[..], br#"[{"error":{"code":400}},7]"#] {
            assert!(is_error_object(body), "{body:?}");
        }
        let others = ["", "<html>", r#"{"error":"x"}"#, r#"{"detail":{}}"#, r#"{"error":{}"#, "[]"];
        for other in others {
            assert!(!is_error_object(other.as_bytes()), "{other}");
        }
        assert!(!is_error_object(b"{\"error\":{\"message\":\"\xff\"}}"));
    }
}
