//! Readiness: may a balancer send new clients here?

/// What readiness depends on.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// How many shards there are.
    pub shards: usize,
    /// How many of them accept connections.
    pub listening: usize,
    /// A drain has begun.
    pub draining: bool,
    /// Names of the upstreams, and whether any address is known.
    pub upstreams: Vec<(String, bool)>,
}

impl Readiness {
    /// Can requests be served?
    pub fn is_ready(&self) -> bool {
        let usable = self.upstreams.iter().any(|(_, usable)| *usable);
        !self.draining && self.listening == self.shards && usable
    }

    /// The status and the JSON body.
    pub fn render(&self) -> (u16, Vec<u8>) {
        let status = match () {
            () if self.draining => "draining",
            () if self.is_ready() => "ready",
            () => "not_ready",
        };
        let mut body = format!(
            "{{\"status\":\"{status}\",\"shards\":{},\"listening\":{},\"upstreams\":{{",
            self.shards, self.listening
        );
        for (index, (name, usable)) in self.upstreams.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let state = if *usable { "usable" } else { "unresolved" };
            // Names are `[A-Za-z0-9._-]`: nothing to escape.
            body.extend([comma, "\"", name, "\":\"", state, "\""]);
        }
        body.push_str("}}");
        (if self.is_ready() { 200 } else { 503 }, body.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_all_shards_and_some_upstream_and_no_drain() {
        let mut readiness = Readiness {
            shards: 2,
            listening: 2,
            draining: false,
            upstreams: vec![("google".to_owned(), true), ("other".to_owned(), false)],
        };
        let (status, body) = readiness.render();
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200);
        assert!(body.contains(r#""google":"usable","other":"unresolved""#), "{body}");
        readiness.listening = 1;
        assert_eq!(readiness.render().0, 503);
        readiness.listening = 2;
        readiness.draining = true;
        assert_eq!(readiness.render().0, 503);
        readiness.draining = false;
        readiness.upstreams.clear();
        assert_eq!(readiness.render().0, 503);
    }
}
