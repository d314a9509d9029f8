//! The API that a client speaks, as far as heads and errors show it.

/// Whose API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's `generateContent`.
    Google,
}

/// What the heads of a vendor's answers have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadForm {
    /// The content type of a whole answer.
    pub json: &'static str,
    /// The content type of a stream of events.
    pub events: &'static str,
    /// The field that repeats the request's id, if the vendor has another one than we.
    pub id_field: Option<&'static str>,
    /// Ready lines that every answer has.
    pub fixed: &'static [u8],
    /// The field that tells how long the vendor took, in milliseconds, and lines beside it.
    pub took_field: Option<&'static str>,
}

impl Dialect {
    /// How heads look.
    pub const fn head(self) -> &'static HeadForm {
        match self {
            Self::OpenAi => &HeadForm {
                json: "application/json",
                events: "text/event-stream; charset=utf-8",
                id_field: None,
                fixed: b"",
                took_field: Some("openai-version: 2020-10-01\r\nopenai-processing-ms"),
            },
            Self::Anthropic => &HeadForm {
                json: "application/json",
                events: "text/event-stream; charset=utf-8",
                id_field: Some("request-id"),
                fixed: b"",
                took_field: None,
            },
            Self::Google => &HeadForm {
                json: "application/json; charset=UTF-8",
                events: "text/event-stream",
                id_field: None,
                fixed: b"vary: Origin\r\nvary: X-Origin\r\nvary: Referer\r\n\
                         x-xss-protection: 0\r\nx-frame-options: SAMEORIGIN\r\n\
                         x-content-type-options: nosniff\r\n",
                took_field: None,
            },
        }
    }

    /// The field that a key may stand in besides `authorization`.
    pub const fn key_field(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => None,
            Self::Anthropic => Some("x-api-key"),
            Self::Google => Some("x-goog-api-key"),
        }
    }

    /// The status that this API has for one of our table: Anthropic says 529 when it is
    /// overloaded, and its clients look for that.
    pub const fn status(self, status: u16) -> u16 {
        match (self, status) {
            (Self::Anthropic, 503) => 529,
            _ => status,
        }
    }

    /// Anthropic's `error.type` or Google's `error.status` for a status. OpenAI's stands in the
    /// table.
    pub(super) const fn kind(self, status: u16) -> &'static str {
        match self {
            Self::OpenAi => "",
            Self::Anthropic => match status {
                401 => "authentication_error",
                402 => "billing_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                503 | 529 => "overloaded_error",
                504 => "timeout_error",
                500..=599 => "api_error",
                _ => "invalid_request_error",
            },
            Self::Google => match status {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                408 | 504 => "DEADLINE_EXCEEDED",
                409 => "ABORTED",
                429 => "RESOURCE_EXHAUSTED",
                502 | 503 => "UNAVAILABLE",
                405 | 501 => "UNIMPLEMENTED",
                500..=599 => "INTERNAL",
                _ => "INVALID_ARGUMENT",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_has_its_words_for_a_status() {
        for (status, anthropic, google) in [
            (400, "invalid_request_error", "INVALID_ARGUMENT"),
            (401, "authentication_error", "UNAUTHENTICATED"),
            (403, "permission_error", "PERMISSION_DENIED"),
            (404, "not_found_error", "NOT_FOUND"),
            (413, "request_too_large", "INVALID_ARGUMENT"),
            (429, "rate_limit_error", "RESOURCE_EXHAUSTED"),
            (500, "api_error", "INTERNAL"),
            (502, "api_error", "UNAVAILABLE"),
            (503, "overloaded_error", "UNAVAILABLE"),
            (504, "timeout_error", "DEADLINE_EXCEEDED"),
        ] {
            assert_eq!(Dialect::Anthropic.kind(status), anthropic, "{status}");
            assert_eq!(Dialect::Google.kind(status), google, "{status}");
        }
        assert_eq!(Dialect::Anthropic.status(503), 529);
        assert_eq!(Dialect::Google.status(503), 503);
    }
}
