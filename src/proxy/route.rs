//! Which endpoint a request is for, and whose API it speaks.

use crate::chat::generate_out::Series;
use crate::chat::{Dialect, Door};
use crate::wire::Method;

/// What the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'p> {
    /// A conversation, and the model where it stands in the path, as it was sent.
    Door(Door, &'p str),
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
    /// `POST /v1/explain`
    Explain,
    /// `GET /v1/models`, `GET /v1beta/models`
    Models,
    /// `GET /v1/models/{id}`, `GET /v1beta/models/{id}`
    Model(&'p str),
    /// `GET /health`
    Health,
    /// `GET /health/ready`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /metrics/prometheus`
    Prometheus,
    /// `/admin` and what is below it, whatever the method
    Admin,
    /// `GET /dashboard`
    Dashboard,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// Everything.
    All,
    /// Everything but what an address of its own has for operators.
    Clients,
    /// What is for operators, and health.
    Operators,
}

impl Port {
    /// Is an endpoint served here?
    const fn serves(self, endpoint: Endpoint<'_>) -> bool {
        let operators = matches!(
            endpoint,
            Endpoint::Admin | Endpoint::Dashboard | Endpoint::Metrics | Endpoint::Prometheus
        );
        match self {
            Self::All => true,
            Self::Clients => !operators,
            Self::Operators => operators || matches!(endpoint, Endpoint::Health | Endpoint::Ready),
        }
    }
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// No endpoint has this path.
    Unknown,
    /// The path has an endpoint, for this method.
    Method(&'static str),
}

/// Whose API a request belongs to, also where its path has no endpoint. `has` tells whether the
/// head has a field.
pub(super) fn dialect(path: &str, has: impl Fn(&str) -> bool) -> Dialect {
    let below = |root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let openai = ["/v1/chat", "/v1/completions", "/v1/embeddings", "/v1/explain", "/v1/responses"];
    match () {
        () if below("/v1beta") || below("/v1beta1") || generate(path, None).is_some() => {
            Dialect::Google
        }
        () if below("/v1/messages") => Dialect::Anthropic,
        () if openai.into_iter().any(below) => Dialect::OpenAi,
        // The vendors' clients send these with every request, and nobody else's do.
        () if has("anthropic-version") => Dialect::Anthropic,
        () if has("x-goog-api-key") || has("x-goog-api-client") => Dialect::Google,
        () => Dialect::OpenAi,
    }
}

/// Google's methods stand behind the model. Its clients may ask for another form of the chunks.
fn generate<'p>(path: &'p str, query: Option<&str>) -> Option<Endpoint<'p>> {
    let rest = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    let (model, method) = rest.rsplit_once(':')?;
    let sse = query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    let series = match method {
        "generateContent" => None,
        "streamGenerateContent" if sse => Some(Series::Events),
        "streamGenerateContent" => Some(Series::Array),
        _ => return None,
    };
    (!model.is_empty()).then_some(Endpoint::Door(Door::Generate(series), model))
}

/// Finds the endpoint of `path` on a listener. A trailing slash is another path, as in the vendors'
/// APIs.
pub(super) fn find<'p>(
    port: Port,
    method: Method,
    path: &'p str,
    query: Option<&str>,
) -> Result<Endpoint<'p>, NoRoute> {
    // What `CONNECT` names is no path.
    let unknown = if method == Method::Connect {
        NoRoute::Method("GET, HEAD, POST")
    } else {
        NoRoute::Unknown
    };
    let (endpoint, wants) = listed(method, path, query).ok_or(unknown)?;
    // One of Google's methods that is not served here.
    let unserved =
        method == Method::Post && matches!(endpoint, Endpoint::Model(name) if name.contains(':'));
    if unserved || !port.serves(endpoint) {
        return Err(NoRoute::Unknown);
    }
    // HEAD is GET without the body (RFC 9110 section 9.3.2).
    let fits = method == wants || (method == Method::Head && wants == Method::Get);
    if fits {
        return Ok(endpoint);
    }
    Err(NoRoute::Method(if wants == Method::Post { "POST" } else { "GET, HEAD" }))
}

/// The endpoint of a path, and the method that it wants.
fn listed<'p>(
    method: Method,
    path: &'p str,
    query: Option<&str>,
) -> Option<(Endpoint<'p>, Method)> {
    Some(match path {
        "/v1/chat/completions" => (Endpoint::Door(Door::Chat, ""), Method::Post),
        "/v1/completions" => (Endpoint::Door(Door::Completions, ""), Method::Post),
        "/v1/embeddings" => (Endpoint::Embeddings, Method::Post),
        "/v1/explain" => (Endpoint::Explain, Method::Post),
        "/v1/responses" => (Endpoint::Door(Door::Responses, ""), Method::Post),
        "/v1/messages" => (Endpoint::Door(Door::Messages, ""), Method::Post),
        "/v1/messages/count_tokens" => (Endpoint::CountTokens, Method::Post),
        "/v1/models" | "/v1beta/models" => (Endpoint::Models, Method::Get),
        "/health" => (Endpoint::Health, Method::Get),
        "/health/ready" => (Endpoint::Ready, Method::Get),
        "/metrics" => (Endpoint::Metrics, Method::Get),
        "/metrics/prometheus" => (Endpoint::Prometheus, Method::Get),
        "/dashboard" => (Endpoint::Dashboard, Method::Get),
        _ if path.starts_with("/admin/") => (Endpoint::Admin, method),
        _ => {
            let model = path.strip_prefix("/v1/models/");
            let model = model.or_else(|| path.strip_prefix("/v1beta/models/"));
            match (generate(path, query), model) {
                // A colon may as well stand in the name of a model that is looked up.
                (Some(endpoint), _) if method != Method::Get => (endpoint, Method::Post),
                (_, Some(id)) if !id.is_empty() => (Endpoint::Model(id), Method::Get),
                _ => return None,
            }
        }
    })
}

/// A name as it stands in a path (RFC 3986 section 2.1), decoded. What is not UTF-8 then is no
/// name, and a check behind this refuses it.
pub(super) fn decoded(name: &str) -> String {
    if !name.contains('%') {
        return name.to_owned();
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = behind;
                }
                _ => {
                    bytes.push(b'%');
                    rest = tail;
                }
            },
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Result<Endpoint<'_>, NoRoute> {
        find(Port::All, Method::Get, path, None)
    }

    fn post(path: &str) -> Result<Endpoint<'_>, NoRoute> {
        find(Port::All, Method::Post, path, Some("alt=sse"))
    }

    #[test]
    fn paths_and_methods_decide() {
        assert_eq!(post("/v1/chat/completions"), Ok(Endpoint::Door(Door::Chat, "")));
        assert_eq!(post("/v1/messages"), Ok(Endpoint::Door(Door::Messages, "")));
        assert_eq!(post("/v1/messages/count_tokens"), Ok(Endpoint::CountTokens));
        assert_eq!(post("/v1/explain"), Ok(Endpoint::Explain));
        assert_eq!(find(Port::All, Method::Head, "/health", None), Ok(Endpoint::Health));
        assert_eq!(get("/v1/models/a/b"), Ok(Endpoint::Model("a/b")));
        assert_eq!(get("/v1/models/a:generateContent"), Ok(Endpoint::Model("a:generateContent")));
        assert_eq!(get("/v1/models/"), Err(NoRoute::Unknown));
        assert_eq!(get("/v1/chat/completions"), Err(NoRoute::Method("POST")));
        assert_eq!(
            find(Port::All, Method::Connect, "/metrics", None),
            Err(NoRoute::Method("GET, HEAD"))
        );
        assert_eq!(post("/"), Err(NoRoute::Unknown));
    }

    #[test]
    fn what_is_for_operators_may_have_an_address_of_its_own() {
        let get = |port, path| find(port, Method::Get, path, None).is_ok();
        for path in ["/admin/v1/state", "/dashboard", "/metrics", "/metrics/prometheus"] {
            let served = [Port::All, Port::Clients, Port::Operators].map(|port| get(port, path));
            assert_eq!(served, [true, false, true], "{path}");
        }
        assert!(get(Port::Operators, "/health") && get(Port::Clients, "/health/ready"));
        assert!(!get(Port::Operators, "/v1/models") && get(Port::Clients, "/v1/models"));
        let delete = find(Port::All, Method::Delete, "/admin/v1/exchanges/x", None);
        assert_eq!(delete, Ok(Endpoint::Admin), "the API knows its methods itself");
    }

    #[test]
    fn googles_methods_stand_behind_the_model() {
        let door = |series, model| Ok(Endpoint::Door(Door::Generate(series), model));
        assert_eq!(post("/v1beta/models/m:generateContent"), door(None, "m"));
        assert_eq!(post("/v1/models/a/b:c:generateContent"), door(None, "a/b:c"));
        let stream = "/v1beta/models/m:streamGenerateContent";
        assert_eq!(post(stream), door(Some(Series::Events), "m"));
        for query in [None, Some("alt=json"), Some("x=alt=sse")] {
            assert_eq!(
                find(Port::All, Method::Post, stream, query),
                door(Some(Series::Array), "m")
            );
        }
        assert_eq!(find(Port::All, Method::Put, stream, None), Err(NoRoute::Method("POST")));
        for path in ["/v1beta/models/:generateContent", "/v1beta/models/m:tune", "/v1beta/files"] {
            assert!(post(path).is_err(), "{path}");
        }
        assert_eq!(get("/v1beta/models"), Ok(Endpoint::Models));
        assert_eq!(decoded("a%2Fb%3a%zz%2"), "a/b:%zz%2");
    }

    #[test]
    fn paths_and_fields_tell_the_api() {
        let by_path = |path: &str| dialect(path, |_| false);
        for path in ["/v1beta", "/v1beta/models/x", "/v1/models/m:generateContent", "/v1beta1/x"] {
            assert_eq!(by_path(path), Dialect::Google, "{path}");
        }
        for path in ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/x"] {
            assert_eq!(by_path(path), Dialect::Anthropic, "{path}");
        }
        for path in ["/v1/models", "/v1/messages2", "/v1betas", "/", "/v1/models/m"] {
            assert_eq!(by_path(path), Dialect::OpenAi, "{path}");
        }
        let with = |path: &str, field: &'static str| dialect(path, |name| name == field);
        assert_eq!(with("/v1/models", "anthropic-version"), Dialect::Anthropic);
        assert_eq!(with("/v1/models", "x-goog-api-key"), Dialect::Google);
        assert_eq!(with("/v1/responses", "anthropic-version"), Dialect::OpenAi);
    }
}
