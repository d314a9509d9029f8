//! The proxy through which upstreams and other services are reached (`CONNECT`, RFC 9110 section
//! 9.3.6). Only what speaks TLS goes through it: the proxy sees names and sizes, nothing else.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::origin::{Base, Origin};
use super::secret::Secret;

/// A proxy, and who is reached without it.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Where it listens.
    pub at: Origin,
    /// `USER:PASSWORD`, if it wants to know who asks.
    user: Option<Secret>,
    /// Hosts that are reached without it, in lower case, each with a port or for all of them; `*`
    /// stands for every host.
    except: Vec<(String, Option<u16>)>,
}

impl Tunnel {
    /// Reads the URL of a proxy. None when it is none; nothing of it is repeated in an error.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let rest = match url.split_once("://") {
            Some((scheme, rest)) => scheme.eq_ignore_ascii_case("http").then_some(rest)?,
            None => url,
        };
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(Secret::new(decoded(user)?)), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let mut at = Origin::parse(&format!("http://{place}"), Base::Versioned).ok()?;
        if !at.path.is_empty() {
            return None;
        }
        // As curl has it: no port is a proxy's own.
        if !place.ends_with(&format!(":{}", at.port)) {
            at.port = 1080;
        }
        Some(Self { at, user, except: Vec::new() })
    }

    /// The same, but for these hosts: names, which stand for those below them, too, and addresses,
    /// each with a port or without, with commas between them; or `*`.
    pub(super) fn except(mut self, list: &str) -> Self {
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        self.except = words.map(exception).collect();
        self
    }

    /// Is this one reached through the proxy?
    pub fn serves(&self, origin: &Origin) -> bool {
        origin.tls && !self.except.iter().any(|(host, port)| fits(host, *port, origin))
    }

    /// Is a service with this URL reached through it?
    pub fn serves_url(&self, url: &str) -> bool {
        Origin::parse(url, Base::Versioned).is_ok_and(|origin| self.serves(&origin))
    }

    /// What the proxy is shown, if it wants to know who asks (RFC 7617).
    pub fn authorization(&self) -> Option<Secret> {
        let user = self.user.as_ref()?.expose();
        Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(user))))
    }

    /// All that nobody may see: the password, and it in what the proxy is shown.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Secret> {
        let password = self.credentials().map(|(_, password)| Secret::new(password.to_owned()));
        let shown = self.authorization();
        password.into_iter().chain(shown).filter(|secret| !secret.expose().is_empty())
    }

    /// User and password, each empty where there is none.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        let user = self.user.as_ref()?.expose();
        Some(user.split_once(':').unwrap_or((user, "")))
    }
}

fn exception(word: &str) -> (String, Option<u16>) {
    let (host, port) = match word.rsplit_once(':') {
        // Not the end of an IPv6 address.
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
            (host, port.parse().ok())
        }
        _ => (word, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = bare.strip_prefix("*.").or_else(|| bare.strip_prefix('.')).unwrap_or(bare);
    (name.to_ascii_lowercase(), port)
}

fn fits(host: &str, port: Option<u16>, origin: &Origin) -> bool {
    let below = || {
        let rest = origin.host.strip_suffix(host);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    port.is_none_or(|port| port == origin.port) && (host == "*" || below())
}

/// Text without its percent signs (RFC 3986 section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(url: &str) -> Option<(String, u16, Option<String>)> {
        let Tunnel { at, user, .. } = Tunnel::parse(url)?;
        Some((at.host, at.port, user.map(|user| user.expose().to_owned())))
    }

    #[test]
    fn proxies_are_read_as_everybody_writes_them() {
        let plain = |host: &str, port| Some((host.to_owned(), port, None));
        assert_eq!(tunnel("http://proxy:3128"), plain("proxy", 3128));
        assert_eq!(tunnel("HTTP://Proxy.Example.com:80/"), plain("proxy.example.com", 80));
        assert_eq!(tunnel("10.0.0.1:8080"), plain("10.0.0.1", 8080));
        assert_eq!(tunnel("http://[::1]:8080"), plain("::1", 8080));
        assert_eq!(tunnel("http://proxy"), plain("proxy", 1080));
        let known = Some(("p".to_owned(), 1, Some("us er:pa@ss:w".to_owned())));
        assert_eq!(tunnel("http://us%20er:pa%40ss:w@p:1"), known);
        for wrong in
            ["https://p:1", "socks5://p:1", "http://p:1/path", "http://", "p:0", "a%0ab@p:1"]
        {
            assert_eq!(tunnel(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whoever_is_excepted_is_reached_without() {
        let serves =
            |except: &str, url: &str| Tunnel::parse("p:1").unwrap().except(except).serves_url(url);
        assert!(serves("", "https://api.example.com"));
        assert!(!serves("", "http://api.example.com"), "it would see what is said");
        assert!(!serves("*", "https://api.example.com"));
        for except in ["example.com", ".example.com", "*.example.com", "a, Example.com ,b"] {
            assert!(!serves(except, "https://api.example.com/v1"), "{except}");
            assert!(serves(except, "https://notexample.com"), "{except}");
        }
        assert!(!serves("example.com:8443", "https://example.com:8443"));
        assert!(serves("example.com:8443", "https://example.com"));
        assert!(!serves("10.0.0.1,::1", "https://10.0.0.1") && !serves("::1", "https://[::1]"));
        assert!(!serves("[::1]:8", "https://[::1]:8") && serves("[::1]:8", "https://[::1]"));
    }

    #[test]
    fn who_asks_is_not_shown() {
        let tunnel = Tunnel::parse("http://canary:secret@p:1").unwrap();
        assert_eq!(tunnel.credentials(), Some(("canary", "secret")));
        let shown = format!("{tunnel:?}");
        assert!(!shown.contains("canary") && !shown.contains("secret"), "{shown}");
    }
}
