//! Base URLs of upstreams. Only `http` and `https`; no user name, query or fragment, because
//! those would carry secrets into logs.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `https`.
    pub tls: bool,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// The value of the `host` field: brackets as needed, no default port.
    pub authority: String,
    /// What precedes every path: empty, or `/` and more without a trailing slash.
    pub path: String,
}

/// What a base URL of some vendor may end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The origin; version and paths are ours. A trailing `/v1beta` or `/v1` is tolerated.
    Bare,
    /// With `/v1`, as the SDKs have it.
    Versioned,
    /// As `Versioned`, with `/v1` added when there is no path.
    Completed,
}

impl Origin {
    /// Plain HTTP at an address of this machine.
    pub fn local(at: SocketAddr) -> Self {
        let (host, authority) = (at.ip().to_string(), at.to_string());
        Self { tls: false, host, port: at.port(), authority, path: String::new() }
    }

    /// The URL as a report shows it.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }

    /// The host as a URL has it: an IPv6 address in brackets.
    pub fn host_in_url(&self) -> String {
        in_url(&self.host)
    }

    /// Reads a base URL. The error says what is wrong with it, without repeating it.
    pub(super) fn parse(url: &str, base: Base) -> Result<Self, &'static str> {
        let (tls, rest) = strip_scheme(url).ok_or("a URL without http:// or https://")?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err("a URL with a user name or password");
        }
        if rest.contains(['?', '#']) {
            return Err("a URL with a query or fragment");
        }
        let (name, port) = split_port(authority).ok_or("a URL with a broken host or port")?;
        let host = check_host(name).ok_or("a URL with a broken host or port")?;
        let port = match port {
            None => default_port(tls),
            Some(digits) => parse_port(digits).ok_or("a URL with a broken host or port")?,
        };
        let path = clean_path(path, base).ok_or("a URL with a broken path")?;
        let shown = in_url(&host);
        let authority = if port == default_port(tls) { shown } else { format!("{shown}:{port}") };
        Ok(Self { tls, host, port, authority, path })
    }
}

fn in_url(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// True for addresses that never leave this machine, and for `localhost`.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |known| known.is_loopback())
}

/// Addresses at which machines tell what only they themselves should know, such as a cloud's
/// credentials: link-local ones, and the one that stands for them in IPv6.
pub fn is_link_local(address: IpAddr) -> bool {
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address == METADATA,
    }
}

/// A name or an address without brackets, in lower case; `None` when it is neither.
pub(super) fn check_host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let label = |part: &str| {
        let fits = (1..=63).contains(&part.len());
        let edges = !part.starts_with('-') && !part.ends_with('-');
        fits && edges && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    // A name whose last label is a number would be read as an address by some resolvers.
    let numeric = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    let valid = name.len() <= 253 && !numeric && name.split('.').all(label);
    valid.then(|| name.to_ascii_lowercase())
}

fn strip_scheme(url: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some((false, rest)),
        "https" => Some((true, rest)),
        _ => None,
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let (name, rest) = authority.split_at(authority.find(']')? + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None => rest.is_empty().then_some((name, None)),
        };
    }
    match authority.split_once(':') {
        // An IPv6 address needs its brackets in a URL.
        Some((_, port)) if port.contains(':') => None,
        Some((name, port)) => Some((name, Some(port))),
        None => Some((authority, None)),
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let known = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| known && *port > 0)
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn clean_path(path: &str, base: Base) -> Option<String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%:@!$&'()*+,;=".contains(&b);
    if !path.bytes().all(fine) || path.contains("//") || path.split('/').any(|part| part == "..") {
        return None;
    }
    let mut path = path.trim_end_matches('/');
    if base == Base::Bare {
        let cut = path.strip_suffix("/v1beta").or_else(|| path.strip_suffix("/v1"));
        path = cut.unwrap_or(path);
    }
    let missing = base == Base::Completed && path.is_empty();
    Some(if missing { "/v1".to_owned() } else { path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_work() {
        let cases = [
            ("https://api.example.com", Base::Bare, "api.example.com", 443, "api.example.com", ""),
            ("HTTPS://API.example.com/", Base::Bare, "api.example.com", 443, "api.example.com", ""),
            ("http://127.0.0.1:4100/v1beta", Base::Bare, "127.0.0.1", 4100, "127.0.0.1:4100", ""),
            ("http://127.0.0.1:4100/v1beta/", Base::Bare, "127.0.0.1", 4100, "127.0.0.1:4100", ""),
            ("http://[::1]:80/v1", Base::Bare, "::1", 80, "[::1]", ""),
            ("https://[0:0::1]:8443", Base::Bare, "::1", 8443, "[::1]:8443", ""),
            ("http://h:1/proxy/v1/", Base::Bare, "h", 1, "h:1", "/proxy"),
            ("http://h:1/proxy/v1/", Base::Versioned, "h", 1, "h:1", "/proxy/v1"),
            ("http://h:1", Base::Versioned, "h", 1, "h:1", ""),
            ("http://h:1/", Base::Completed, "h", 1, "h:1", "/v1"),
            ("http://h:1/x", Base::Completed, "h", 1, "h:1", "/x"),
        ];
        for (url, base, host, port, authority, path) in cases {
            let origin = Origin::parse(url, base).expect(url);
            assert_eq!((&*origin.host, origin.port), (host, port), "{url}");
            assert_eq!((&*origin.authority, &*origin.path), (authority, path), "{url}");
            assert_eq!(origin.tls, url.to_lowercase().starts_with("https"), "{url}");
        }
    }

    #[test]
    fn urls_that_do_not() {
        for url in [
            "",
            "h",
            "ftp://h",
            "http://",
            "http://:80",
            "http://h:",
            "http://h:0",
            "http://h:+1",
            "http://h:65536",
            "http://u:p@h",
            "http://u@h/v1",
            "http://h?key=x",
            "http://h/#f",
            "http://::1",
            "http://[::1",
            "http://[h]",
            "http://a b",
            "http://h/a b",
            "http://h/../x",
            "http://h//x",
            "http://1.2.3",
            "http://-a",
            "http://h\r\nx: y",
            "http://[::1]x",
        ] {
            let error = Origin::parse(url, Base::Bare).expect_err(url);
            assert!(error.starts_with("a URL w"), "{error}");
        }
    }

    #[test]
    fn local_addresses() {
        for (host, want) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("localhost", true),
            ("LOCALHOST", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(host), want, "{host}");
        }
        let origin = Origin::local("[::1]:4100".parse().unwrap());
        assert_eq!(origin.url(), "http://[::1]:4100");
        assert_eq!(Origin::parse(&origin.url(), Base::Bare), Ok(origin));
    }
}
