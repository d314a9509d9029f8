//! Which endpoint a request is for.

use crate::chat::{Dialect, Door};
use crate::wire::{Method, RequestHead};

/// What the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'p> {
    /// A conversation, and the model where it stands in the path.
    Door(Door, &'p str),
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`
    Model(&'p str),
    /// `GET /health`
    Health,
    /// `GET /health/ready`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /metrics/prometheus`
    Prometheus,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// No endpoint has this path.
    Unknown,
    /// The path has an endpoint, for this method.
    Method(&'static str),
}

/// Whose API a request belongs to, also where its path has no endpoint.
pub(super) fn dialect(head: &RequestHead<'_, '_>) -> Dialect {
    let path = head.path();
    if path == "/v1/messages" || path.starts_with("/v1/messages/") {
        return Dialect::Anthropic;
    }
    // Anthropic's clients send it with every request, and nobody else's do.
    if head.field("anthropic-version").is_some() { Dialect::Anthropic } else { Dialect::OpenAi }
}

/// Finds the endpoint of `path`. A trailing slash is another path, as in the vendors' APIs.
pub(super) fn find(method: Method, path: &str) -> Result<Endpoint<'_>, NoRoute> {
    let (endpoint, wants) = match path {
        "/v1/chat/completions" => (Endpoint::Door(Door::Chat, ""), Method::Post),
        "/v1/completions" => (Endpoint::Door(Door::Completions, ""), Method::Post),
        "/v1/messages" => (Endpoint::Door(Door::Messages, ""), Method::Post),
        "/v1/models" => (Endpoint::Models, Method::Get),
        "/health" => (Endpoint::Health, Method::Get),
        "/health/ready" => (Endpoint::Ready, Method::Get),
        "/metrics" => (Endpoint::Metrics, Method::Get),
        "/metrics/prometheus" => (Endpoint::Prometheus, Method::Get),
        _ => match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() => (Endpoint::Model(id), Method::Get),
            _ => return Err(NoRoute::Unknown),
        },
    };
    // HEAD is GET without the body (RFC 9110 section 9.3.2).
    let fits = method == wants || (method == Method::Head && wants == Method::Get);
    if fits {
        return Ok(endpoint);
    }
    Err(NoRoute::Method(if wants == Method::Post { "POST" } else { "GET, HEAD" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_decide() {
        assert_eq!(find(Method::Post, "/v1/chat/completions"), Ok(Endpoint::Door(Door::Chat, "")));
        assert_eq!(find(Method::Post, "/v1/messages"), Ok(Endpoint::Door(Door::Messages, "")));
        assert_eq!(find(Method::Head, "/health"), Ok(Endpoint::Health));
        assert_eq!(find(Method::Get, "/v1/models/a/b"), Ok(Endpoint::Model("a/b")));
        assert_eq!(find(Method::Get, "/v1/models/"), Err(NoRoute::Unknown));
        assert_eq!(find(Method::Get, "/v1/chat/completions"), Err(NoRoute::Method("POST")));
        assert_eq!(find(Method::Connect, "/metrics"), Err(NoRoute::Method("GET, HEAD")));
        assert_eq!(find(Method::Post, "/"), Err(NoRoute::Unknown));
    }
}
