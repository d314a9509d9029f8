//! The endpoints below `/admin/v1/`: which method and path lead where.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    State,
    Figures,
    Shards,
    Upstreams,
    Breakers,
    SetBreaker,
    Pools,
    Live,
    Cancel,
    Recent,
    Audit,
    Captures,
    StartCapture,
    StopCapture,
    Keys,
    Key,
    CreateKey,
    RotateKey,
    RevokeKey,
    Usage,
    Drain,
    Reload,
    LogLevel,
    SetLogLevel,
    OpenApi,
}

/// A path has at most one part that is not fixed, which is written as `{}`.
const TABLE: [(&str, &str, Endpoint); 25] = [
    ("GET", "state", Endpoint::State),
    ("GET", "figures", Endpoint::Figures),
    ("GET", "shards", Endpoint::Shards),
    ("GET", "upstreams", Endpoint::Upstreams),
    ("GET", "breakers", Endpoint::Breakers),
    ("PUT", "breakers/{}", Endpoint::SetBreaker),
    ("GET", "pools", Endpoint::Pools),
    ("GET", "exchanges", Endpoint::Live),
    ("DELETE", "exchanges/{}", Endpoint::Cancel),
    ("GET", "recent", Endpoint::Recent),
    ("GET", "audit", Endpoint::Audit),
    ("GET", "capture", Endpoint::Captures),
    ("PUT", "capture", Endpoint::StartCapture),
    ("DELETE", "capture", Endpoint::StopCapture),
    ("GET", "keys", Endpoint::Keys),
    ("POST", "keys", Endpoint::CreateKey),
    ("GET", "keys/{}", Endpoint::Key),
    ("POST", "keys/{}/rotate", Endpoint::RotateKey),
    // Not DELETE: the key stays in the store, since what it has spent is known by its name.
    ("POST", "keys/{}/revoke", Endpoint::RevokeKey),
    ("GET", "usage", Endpoint::Usage),
    ("POST", "drain", Endpoint::Drain),
    ("POST", "reload", Endpoint::Reload),
    ("GET", "log-level", Endpoint::LogLevel),
    ("PUT", "log-level", Endpoint::SetLogLevel),
    ("GET", "openapi.json", Endpoint::OpenApi),
];

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoEndpoint {
    Path,
    /// The methods that the path takes.
    Method(String),
}

/// Finds the endpoint, and the part of the path that is not fixed, as it was sent.
pub(super) fn find<'p>(method: &str, path: &'p str) -> Result<(Endpoint, &'p str), NoEndpoint> {
    let path = path.strip_prefix("/admin/v1/").ok_or(NoEndpoint::Path)?;
    // HEAD is GET without the body (RFC 9110 section 9.3.2).
    let method = if method == "HEAD" { "GET" } else { method };
    let rows = TABLE
        .iter()
        .filter_map(|(takes, pattern, endpoint)| Some((*takes, *endpoint, part(pattern, path)?)));
    let mut allowed = Vec::new();
    for (takes, endpoint, part) in rows {
        if takes == method {
            return Ok((endpoint, part));
        }
        allowed.push(takes);
    }
    Err(if allowed.is_empty() { NoEndpoint::Path } else { NoEndpoint::Method(allowed.join(", ")) })
}

/// What stands at the place of `{}`; empty without one. None when the path is another.
fn part<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, behind)) = pattern.split_once("{}") else {
        return (pattern == path).then_some("");
    };
    let part = path.strip_prefix(before)?.strip_suffix(behind)?;
    (!part.is_empty() && !part.contains('/')).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_decide() {
        assert_eq!(find("GET", "/admin/v1/state"), Ok((Endpoint::State, "")));
        assert_eq!(find("HEAD", "/admin/v1/state"), Ok((Endpoint::State, "")));
        let cancel = find("DELETE", "/admin/v1/exchanges/req_1");
        assert_eq!(cancel, Ok((Endpoint::Cancel, "req_1")));
        let rotate = find("POST", "/admin/v1/keys/team-a/rotate");
        assert_eq!(rotate, Ok((Endpoint::RotateKey, "team-a")));
        assert_eq!(find("GET", "/admin/v1/keys/rotate"), Ok((Endpoint::Key, "rotate")));
        let methods = |text: &str| Err(NoEndpoint::Method(text.to_owned()));
        assert_eq!(find("POST", "/admin/v1/log-level"), methods("GET, PUT"));
        assert_eq!(find("GET", "/admin/v1/drain"), methods("POST"));
        for path in ["/admin", "/admin/v1/", "/admin/v1/exchanges/", "/admin/v1/exchanges/a/b"] {
            assert_eq!(find("DELETE", path), Err(NoEndpoint::Path), "{path}");
        }
    }

    #[test]
    fn the_description_has_the_same_endpoints() {
        let text = include_str!("../../docs/openapi-admin.json");
        let document: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, methods) in paths {
            for method in methods.as_object().expect("methods").keys() {
                if method != "parameters" {
                    described.push((method.to_uppercase(), path.clone()));
                }
            }
        }
        let bare = |path: &str| {
            let (before, rest) = path.split_once('{').unwrap_or((path, ""));
            let behind = rest.split_once('}').map(|(_, behind)| format!("{{}}{behind}"));
            before.to_owned() + &behind.unwrap_or_default()
        };
        let mut described: Vec<_> =
            described.iter().map(|(method, path)| (method.clone(), bare(path))).collect();
        let listed = TABLE
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), format!("/admin/v1/{path}")));
        let mut listed: Vec<_> = listed.collect();
        described.sort();
        listed.sort();
        assert_eq!(described, listed);
    }
}
