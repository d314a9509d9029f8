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

/// Decides for the field `name` of a vendor's response.
pub fn crossing(name: &str) -> Crossing {
    let starts = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if starts("x-ratelimit-") || starts("openai-") {
        return Crossing::Same;
    }
    if is("x-goog-request-id") {
        return Crossing::RequestId;
    }
    Crossing::Dies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_fields_cross() {
        assert_eq!(crossing("X-RateLimit-Remaining-Requests"), Crossing::Same);
        assert_eq!(crossing("openai-processing-ms"), Crossing::Same);
        assert_eq!(crossing("X-Goog-Request-Id"), Crossing::RequestId);
        let dies = ["Set-Cookie", "Server", "Via", "Connection", "Keep-Alive", "Upgrade", "openai"];
        for name in dies {
            assert_eq!(crossing(name), Crossing::Dies, "{name}");
        }
    }
}
