//! A request as a vendor's file sees it, and an answer as a plan: what is to be written, before
//! anything is.

use std::borrow::Cow;

use super::script::Options;

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Written at once.
    Whole(Vec<u8>),
    /// Written event by event.
    Stream(Vec<Vec<u8>>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Ready field lines.
    pub(super) fields: Cow<'static, str>,
    pub(super) body: Body,
}

impl Reply {
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: "application/json; charset=UTF-8",
            fields: Cow::Borrowed(""),
            body: Body::Whole(body.into()),
        }
    }

    pub(super) fn events(events: Vec<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type: "text/event-stream",
            fields: Cow::Borrowed("cache-control: no-cache\r\n"),
            body: Body::Stream(events),
        }
    }

    /// The same answer with another type.
    pub(super) fn typed(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    /// The same answer with more field lines.
    pub(super) fn with(mut self, fields: &str) -> Self {
        self.fields.to_mut().push_str(fields);
        self
    }

    /// Was the request served?
    pub(super) fn is_good(&self) -> bool {
        self.status < 300
    }
}

/// The fields of a request that vendors look at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'r> {
    pub(super) google_key: Option<&'r [u8]>,
    pub(super) api_key: Option<&'r [u8]>,
    pub(super) authorization: Option<&'r [u8]>,
    /// `anthropic-version`.
    pub(super) version: Option<&'r [u8]>,
    /// `x-vertex-ai-llm-shared-request-type`.
    pub(super) vertex_tier: Option<&'r [u8]>,
    pub(super) host: Option<&'r [u8]>,
}

impl<'r> Fields<'r> {
    /// The token of `Authorization: Bearer`; empty when the field is of another kind.
    pub(super) fn bearer(&self) -> Option<&'r str> {
        let value = std::str::from_utf8(self.authorization?).unwrap_or_default();
        let (kind, token) = value.split_once(' ').unwrap_or((value, ""));
        Some(if kind.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
    }

    /// What Vertex calls the capacity that was asked for.
    pub(super) fn traffic(&self) -> &'static str {
        match self.vertex_tier {
            Some(b"flex") => "ON_DEMAND_FLEX",
            Some(b"priority") => "ON_DEMAND_PRIORITY",
            _ => "ON_DEMAND",
        }
    }
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'r> {
    /// `GET`; else `POST`.
    pub(super) get: bool,
    pub(super) path: &'r str,
    pub(super) query: &'r str,
    pub(super) fields: Fields<'r>,
    pub(super) body: &'r [u8],
    pub(super) options: &'r Options,
    /// Numbers the answers.
    pub(super) serial: u64,
    /// Milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl Asked<'_> {
    /// Seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.now_ms / 1000
    }

    /// A number for marks that no other answer has, nor one of an earlier run.
    pub(super) fn nonce(&self) -> u64 {
        self.now_ms.wrapping_mul(1 << 20).wrapping_add(self.serial)
    }
}

#[cfg(test)]
impl Reply {
    /// The status and the whole body, for tests.
    pub(super) fn shown(self) -> (u16, String) {
        let bytes = match self.body {
            Body::Whole(bytes) => bytes,
            Body::Stream(events) => events.concat(),
        };
        (self.status, String::from_utf8(bytes).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens_are_read_whatever_their_case() {
        let token = |text: &'static str| {
            Fields { authorization: Some(text.as_bytes()), ..Fields::default() }.bearer()
        };
        assert_eq!(token("Bearer abc"), Some("abc"));
        assert_eq!(token("bearer  abc "), Some("abc"));
        assert_eq!((token("Basic abc"), token("Bearer")), (Some(""), Some("")));
        assert_eq!(Fields::default().bearer(), None);
    }

    #[test]
    fn fields_add_up() {
        let reply = Reply::json(429, "{}").with("retry-after: 1\r\n").typed("text/plain");
        assert_eq!((reply.fields.as_ref(), reply.is_good()), ("retry-after: 1\r\n", false));
        assert_eq!(reply.shown(), (429, "{}".to_owned()));
    }
}
