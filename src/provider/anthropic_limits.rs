//! What Anthropic's heads say of its rate limits (<https://docs.claude.com/en/api/rate-limits>),
//! in OpenAI's fields.

use crate::base::{ascii, date};
use crate::wire::write;

/// The limits that one head tells of. Fields are offered one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits<'h> {
    requests: Limit<'h>,
    tokens: Limit<'h>,
    input: Limit<'h>,
    output: Limit<'h>,
}

/// One limit, in the vendor's spelling.
#[derive(Clone, Copy, Debug, Default)]
struct Limit<'h> {
    limit: Option<&'h [u8]>,
    remaining: Option<&'h [u8]>,
    reset: Option<&'h [u8]>,
}

impl<'h> RateLimits<'h> {
    /// Takes a field if it is about limits, and says whether it is.
    pub fn take(&mut self, name: &str, value: &'h [u8]) -> bool {
        const PREFIX: &str = "anthropic-ratelimit-";
        let (start, rest) = name.split_at_checked(PREFIX.len()).unwrap_or((name, ""));
        if !start.eq_ignore_ascii_case(PREFIX) {
            return false;
        }
        let Some((of, what)) = rest.rsplit_once('-') else { return true };
        let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
        let limit = match of {
            of if is(of, "requests") => &mut self.requests,
            of if is(of, "tokens") => &mut self.tokens,
            of if is(of, "input-tokens") => &mut self.input,
            of if is(of, "output-tokens") => &mut self.output,
            _ => return true,
        };
        match what {
            what if is(what, "limit") => limit.limit = Some(value),
            what if is(what, "remaining") => limit.remaining = Some(value),
            what if is(what, "reset") => limit.reset = Some(value),
            _ => {}
        }
        true
    }

    /// Appends OpenAI's fields; `now` is in seconds since 1970.
    pub fn render(&self, now: u64, out: &mut Vec<u8>) {
        self.requests.render("requests", now, out);
        self.tightest().render("tokens", now, out);
    }

    /// OpenAI has one limit of tokens: the vendor's own sum, else the one of which less is left.
    fn tightest(&self) -> &Limit<'h> {
        let (input, output) = (self.input.left(), self.output.left());
        match (input, output) {
            _ if self.tokens.left().is_some() => &self.tokens,
            (Some(input), Some(output)) if output < input => &self.output,
            (None, Some(_)) => &self.output,
            _ => &self.input,
        }
    }
}

impl Limit<'_> {
    fn left(&self) -> Option<u64> {
        self.remaining.and_then(ascii::parse_u64)
    }

    fn render(&self, of: &str, now: u64, out: &mut Vec<u8>) {
        for (what, value) in [("limit", self.limit), ("remaining", self.remaining)] {
            if let Some(value) = value {
                write::field(out, &format!("x-ratelimit-{what}-{of}"), value);
            }
        }
        let reset = self.reset.and_then(|reset| std::str::from_utf8(reset).ok());
        if let Some(reset) = reset.and_then(date::rfc3339_to_unix) {
            let mut value = Vec::with_capacity(12);
            push_duration(reset.saturating_sub(now), &mut value);
            write::field(out, &format!("x-ratelimit-reset-{of}"), &value);
        }
    }
}

/// Appends `17s`, `1m30s`, `2h0m0s`, as OpenAI writes them.
fn push_duration(seconds: u64, out: &mut Vec<u8>) {
    let parts = [(seconds / 3600, b'h'), (seconds / 60 % 60, b'm'), (seconds % 60, b's')];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(2);
    for (count, unit) in parts.iter().skip(first) {
        ascii::push_u64(out, *count);
        out.push(*unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(fields: &[(&str, &str)]) -> String {
        let mut limits = RateLimits::default();
        for (name, value) in fields {
            assert!(limits.take(&format!("anthropic-ratelimit-{name}"), value.as_bytes()));
        }
        let mut out = Vec::new();
        // 2026-11-23T22:00:00Z
        limits.render(1_795_471_200, &mut out);
        String::from_utf8(out).unwrap().replace("\r\n", ";").replace("x-ratelimit-", "")
    }

    #[test]
    fn limits_are_openais() {
        let requests = [
            ("requests-limit", "50"),
            ("Requests-Remaining", "0"),
            ("requests-reset", "2026-11-23T22:00:17Z"),
        ];
        assert_eq!(
            rendered(&requests),
            "limit-requests: 50;remaining-requests: 0;reset-requests: 17s;"
        );
        let both = [
            ("input-tokens-limit", "40000"),
            ("input-tokens-remaining", "7000"),
            ("input-tokens-reset", "2026-11-23T22:01:30Z"),
            ("output-tokens-limit", "8000"),
            ("output-tokens-remaining", "7500"),
            ("output-tokens-reset", "2026-11-24T00:00:00+01:00"),
        ];
        let input = "limit-tokens: 40000;remaining-tokens: 7000;reset-tokens: 1m30s;";
        assert_eq!(rendered(&both), input);
        let output = [("input-tokens-remaining", "9"), ("output-tokens-remaining", "8")];
        assert_eq!(rendered(&output), "remaining-tokens: 8;");
        assert_eq!(rendered(&[("output-tokens-remaining", "8")]), "remaining-tokens: 8;");
        let sum = [("tokens-remaining", "99"), ("input-tokens-remaining", "1")];
        assert_eq!(rendered(&sum), "remaining-tokens: 99;");
    }

    #[test]
    fn odd_fields_say_nothing() {
        assert!(!RateLimits::default().take("anthropic-organization-id", b"x"));
        assert!(!RateLimits::default().take("é", b"x"));
        let odd = [
            ("requests-reset", "soon"),
            ("requests-colour", "red"),
            ("unified-status", "allowed"),
            ("x", "1"),
        ];
        assert_eq!(rendered(&odd), "");
        assert_eq!(rendered(&[("requests-reset", "2026-11-23T21:00:00Z")]), "reset-requests: 0s;");
        assert_eq!(rendered(&[("tokens-limit", "a\r\nb: c")]), "");
    }

    #[test]
    fn durations() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m0s"), (7200, "2h0m0s")] {
            let mut out = Vec::new();
            push_duration(seconds, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}
