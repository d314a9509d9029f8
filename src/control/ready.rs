//! Readiness: may a balancer send new clients here?

use crate::obs::TokenFigures;

/// What readiness depends on.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// How many shards there are.
    pub shards: usize,
    /// How many of them accept connections.
    pub listening: usize,
    /// A drain has begun.
    pub draining: bool,
    /// The upstreams, in their order.
    pub upstreams: Vec<UpstreamState>,
}

/// What is known of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamState {
    /// Its name.
    pub name: String,
    /// Is any address known?
    pub resolved: bool,
    /// Index of the service account whose token it needs.
    pub account: Option<usize>,
}

impl UpstreamState {
    /// In a word, can it be asked? `circuit` is 0 closed, 1 half open, 2 open.
    pub fn word(&self, tokens: &[TokenFigures], circuit: u64) -> &'static str {
        let token = self.account.map(|account| tokens.get(account));
        match token {
            _ if !self.resolved => "unresolved",
            Some(token) if token.is_none_or(|token| token.end.is_none()) => "no_token",
            _ if circuit == 2 => "circuit_open",
            _ if circuit == 1 => HALF_OPEN,
            _ => USABLE,
        }
    }
}

const USABLE: &str = "usable";
const HALF_OPEN: &str = "circuit_half_open";

impl Readiness {
    /// Can requests be served? `circuit` tells how the one of an upstream stands.
    pub fn is_ready(&self, tokens: &[TokenFigures], circuit: impl Fn(usize) -> u64) -> bool {
        let words = self.upstreams.iter().enumerate();
        let mut words = words.map(|(index, upstream)| upstream.word(tokens, circuit(index)));
        let usable = words.any(|word| word == USABLE || word == HALF_OPEN);
        !self.draining && self.listening == self.shards && usable
    }

    /// The status and the JSON body.
    pub fn render(
        &self,
        tokens: &[TokenFigures],
        circuit: impl Fn(usize) -> u64,
    ) -> (u16, Vec<u8>) {
        let ready = self.is_ready(tokens, &circuit);
        let status = match () {
            () if self.draining => "draining",
            () if ready => "ready",
            () => "not_ready",
        };
        let mut body = format!(
            "{{\"status\":\"{status}\",\"shards\":{},\"listening\":{},\"upstreams\":{{",
            self.shards, self.listening
        );
        for (index, upstream) in self.upstreams.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Names are `[A-Za-z0-9._-]`: nothing to escape.
            body.extend([
                comma,
                "\"",
                &upstream.name,
                "\":\"",
                upstream.word(tokens, circuit(index)),
                "\"",
            ]);
        }
        body.push_str("}}");
        (if ready { 200 } else { 503 }, body.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn upstream(name: &str, resolved: bool, account: Option<usize>) -> UpstreamState {
        UpstreamState { name: name.to_owned(), resolved, account }
    }

    #[test]
    fn ready_means_all_shards_and_some_upstream_and_no_drain() {
        let mut readiness = Readiness {
            shards: 2,
            listening: 2,
            draining: false,
            upstreams: vec![upstream("google", true, None), upstream("other", false, None)],
        };
        let (status, body) = readiness.render(&[], |_| 0);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200);
        assert!(body.contains(r#""google":"usable","other":"unresolved""#), "{body}");
        let (status, body) = readiness.render(&[], |_| 2);
        assert!(status == 503 && String::from_utf8(body).unwrap().contains("circuit_open"));
        assert!(readiness.is_ready(&[], |_| 1));
        readiness.listening = 1;
        assert_eq!(readiness.render(&[], |_| 0).0, 503);
        readiness.listening = 2;
        readiness.draining = true;
        assert_eq!(readiness.render(&[], |_| 0).0, 503);
        readiness.draining = false;
        readiness.upstreams.clear();
        assert_eq!(readiness.render(&[], |_| 0).0, 503);
    }

    #[test]
    fn an_upstream_without_its_token_is_not_usable() {
        let upstreams = vec![upstream("vertex", true, Some(0))];
        let readiness = Readiness { shards: 1, listening: 1, draining: false, upstreams };
        let mut tokens = [TokenFigures::default()];
        let (status, body) = readiness.render(&tokens, |_| 0);
        assert_eq!(status, 503);
        assert!(String::from_utf8(body).unwrap().contains(r#""vertex":"no_token""#));
        tokens[0].end = Some(Duration::from_secs(9));
        assert!(readiness.is_ready(&tokens, |_| 0));
    }
}
