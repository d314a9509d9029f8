//! Which fields of a vendor's response cross to the client. Everything else dies here, hop-by-hop
//! fields (RFC 9110 section 7.6.1) with the rest: heads are rebuilt, never forwarded.

/// What becomes of a vendor's response field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// It crosses under its own name.
    Same,
    /// It crosses as `x-upstream-request-id`.
    RequestId,
    /// It dies here.
    Dies,
}

/// An id of fewer characters is none that a vendor could find a request by. Proxies on the way put
/// all sorts of things into `x-request-id`; OpenAI's own are `req_…` or a UUID.
const REQUEST_ID_MIN: usize = 16;

/// Decides for the field `name` of a vendor's response.
pub fn crossing(name: &str, value: &[u8]) -> Crossing {
    let starts = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if starts("x-ratelimit-") || starts("openai-") {
        return Crossing::Same;
    }
    let is_id = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let unique = value.len() >= REQUEST_ID_MIN && value.iter().all(is_id);
    // Anthropic's, Google's and OpenAI's own names.
    if is("request-id") || is("x-goog-request-id") || is("x-request-id") && unique {
        return Crossing::RequestId;
    }
    Crossing::Dies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_fields_cross() {
        assert_eq!(crossing("X-RateLimit-Remaining-Requests", b"1"), Crossing::Same);
        assert_eq!(crossing("openai-processing-ms", b"1"), Crossing::Same);
        assert_eq!(crossing("X-Goog-Request-Id", b"1"), Crossing::RequestId);
        for id in [&b"req_0123456789abcdef"[..], b"9a1e2b3c-0000-4000-8000-0123456789ab"] {
            assert_eq!(crossing("X-Request-Id", id), Crossing::RequestId);
        }
        for other in [&b"edge-7"[..], b"0123456789abcdef, x"] {
            assert_eq!(crossing("X-Request-Id", other), Crossing::Dies);
        }
        assert_eq!(crossing("request-id", b"req_1"), Crossing::RequestId);
        let dies = ["Set-Cookie", "Server", "Via", "Connection", "Keep-Alive", "Upgrade", "openai"];
        for name in dies {
            assert_eq!(crossing(name, b"1"), Crossing::Dies, "{name}");
        }
    }
}
