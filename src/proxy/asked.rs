//! What the head of a request asks for, decided before any byte of its body is awaited.

use std::borrow::Cow;

use crate::base::{RequestId, Rng, trace};
use crate::chat::door::Beside;
use crate::chat::{ApiError, Dialect, Door, Row};
use crate::policy::{Accepts, KeyId, Reject, screen};
use crate::rt::Runtime;
use crate::shard::{Page, Permit, Shard};
use crate::wire::head::{Known, field_store};
use crate::wire::{Framing, HeadLimits, Method, RequestHead, WireError};

use super::cached;
use super::candidate::Asker;
use super::cors;
use super::exact::Errand;
use super::limits;
use super::reply::Envelope;
use super::route::{self, Endpoint, NoRoute, Port};
use super::wishes::Wishes;

/// What the head of a request asks for, without the head.
pub(super) struct Asked {
    pub(super) envelope: Envelope,
    /// Who asks.
    pub(super) key: KeyId,
    pub(super) what: What,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
    pub(super) head_bytes: usize,
}

/// What an operator asks for.
pub(super) struct Wish {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    /// The fingerprint of the admin key; nobody for the page.
    pub(super) who: Option<String>,
    /// What proxies say of where it comes from: the values of `x-forwarded-for`.
    pub(super) forwarded: String,
}

/// What is to be done.
pub(super) enum What {
    /// A conversation.
    Talk(Permit, Asker),
    /// Something that the admin API answers.
    Errand(Box<Wish>),
    Health,
    Page(Page),
    Models,
    Model(String),
    /// What a browser asks on behalf of a page, and the fields that answer it.
    Preflight(Vec<u8>),
    /// A refusal of an API request, which is counted.
    Refuse(ApiError),
    /// Any other refusal.
    Error(ApiError),
    /// A refusal with a fixed body, a field, and whether it is counted.
    Fixed(u16, &'static str, bool),
}

/// Reads a head and decides what is to be done, before any byte of the body is awaited.
pub(super) fn understand<R: Runtime>(
    shard: &Shard<R>,
    port: Port,
    bytes: &[u8],
) -> Result<Asked, WireError> {
    let config = &shard.config.limits;
    let limits = HeadLimits {
        head_bytes: config.head_bytes,
        fields: config.fields,
        target_bytes: config.target_bytes,
    };
    let mut store = field_store();
    let head = RequestHead::parse(bytes, &limits, &mut store)?;
    let framing = head.framing()?;
    let sent_id = head.known(Known::RequestId).and_then(RequestId::from_client);
    let mut envelope = Envelope {
        id: sent_id.unwrap_or_else(|| shard.request_id()),
        trace: shard.trace(head.known(Known::TraceParent)),
        keep_alive: head.keep_alive() && !shard.closes_connections(),
        http10: head.minor_version == 0,
        head_only: head.method == Method::Head,
        trailers: head.minor_version > 0 && head.known(Known::Te).is_some_and(takes_trailers),
        accepts: accepts(&head),
        dialect: route::dialect(head.path(), |name| head.field(name).is_some()),
        page: None,
    };
    let page = cors::page(shard, &head);
    let expects_continue = head.expects_continue()?;
    let mut key = KeyId::Nobody;
    let what = match route::find(port, head.method, head.path(), head.query()) {
        Ok(endpoint) => {
            envelope.page = page.filter(|_| cors::serves(endpoint));
            decide(shard, &head, (endpoint, framing), envelope.dialect, &mut key)
        }
        Err(NoRoute::Unknown) => What::Fixed(404, "", false),
        Err(NoRoute::Method(allow)) => match page.and_then(|_| cors::preflight(port, &head)) {
            Some(fields) => {
                envelope.page = page;
                What::Preflight(fields)
            }
            None => What::Fixed(405, allow, false),
        },
    };
    Ok(Asked { envelope, key, what, framing, expects_continue, head_bytes: bytes.len() })
}

/// How the client takes the bodies of answers. Most say it in one field, or not at all.
fn accepts(head: &RequestHead<'_, '_>) -> Accepts {
    match head.count_known(Known::AcceptEncoding) {
        0 => Accepts::PLAIN,
        1 => Accepts::read(head.known(Known::AcceptEncoding).into_iter()),
        _ => Accepts::read(head.lines("accept-encoding")),
    }
}

/// Key, size, rate and room, in this order. `who_asks` is set as soon as it is known.
fn decide<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
    (endpoint, framing): (Endpoint<'_>, Framing),
    dialect: Dialect,
    who_asks: &mut KeyId,
) -> What {
    if let Endpoint::Admin | Endpoint::Dashboard = endpoint {
        return operate(shard, head, endpoint);
    }
    let counted = matches!(
        endpoint,
        Endpoint::Door(..) | Endpoint::Embeddings | Endpoint::CountTokens | Endpoint::Explain
    );
    let mut key = KeyId::Nobody;
    if !matches!(endpoint, Endpoint::Health | Endpoint::Ready) {
        match who(shard, head, dialect) {
            Ok(known) => (key, *who_asks) = (known, known),
            // Operators may see the metrics with their own key.
            Err(_) if is_metrics(endpoint) && administrator(shard, head).is_ok() => {}
            Err(reject) => return refused(reject, counted),
        }
    }
    // Whoever looks for them finds them otherwise, too, but by another pass over the body.
    let keeps_fields = shard.cache.is_some() || shard.access.rates().has_budget(key);
    let asker = |errand, beside, explain| Asker {
        key,
        errand,
        beside: Beside { keeps_fields, ..beside },
        explain,
        wishes: None,
        cache: None,
        turn: None,
        sessions: sessions(shard, head),
        trace_state: trace_state(head),
    };
    match endpoint {
        Endpoint::Health => What::Health,
        Endpoint::Ready => What::Page(Page::Ready),
        Endpoint::Metrics => What::Page(Page::Metrics),
        Endpoint::Prometheus if wants_open_metrics(head) => What::Page(Page::OpenMetrics),
        Endpoint::Prometheus => What::Page(Page::Prometheus),
        Endpoint::Models => What::Models,
        Endpoint::Model(id) => What::Model(route::decoded(id)),
        Endpoint::Door(door, model) => {
            let (errand, model) = (Errand::Talk(door), route::decoded(model));
            let beside = Beside { model, ..beside(head) };
            admit(shard, head, framing, asker(errand, beside, false))
        }
        Endpoint::Embeddings => {
            let (errand, beside) = (Errand::Embed, Beside::default());
            admit(shard, head, framing, asker(errand, beside, false))
        }
        Endpoint::CountTokens => {
            let (errand, beside) = (Errand::Count, beside(head));
            admit(shard, head, framing, asker(errand, beside, false))
        }
        Endpoint::Explain => {
            let (errand, beside) = (Errand::Talk(Door::Chat), Beside::default());
            admit(shard, head, framing, asker(errand, beside, true))
        }
        Endpoint::Admin | Endpoint::Dashboard => operate(shard, head, endpoint),
    }
}

const fn is_metrics(endpoint: Endpoint<'_>) -> bool {
    matches!(endpoint, Endpoint::Metrics | Endpoint::Prometheus)
}

/// What is for operators. The page itself holds nothing that is secret, so a browser may load it;
/// what it shows it asks for with the admin key.
fn operate<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
    endpoint: Endpoint<'_>,
) -> What {
    let who = match administrator(shard, head) {
        _ if endpoint == Endpoint::Dashboard => None,
        Ok(who) => Some(who),
        Err(reject @ Reject::NoAdminKey) => {
            return What::Error(ApiError::new(Row::PERMISSION_DENIED, reject.message()));
        }
        Err(reject) => return refused(reject, false),
    };
    What::Errand(Box::new(Wish {
        method: head.method,
        path: head.path().to_owned(),
        query: head.query().unwrap_or_default().to_owned(),
        who,
        forwarded: forwarded(head),
    }))
}

fn forwarded(head: &RequestHead<'_, '_>) -> String {
    let values: Vec<_> = head.lines("x-forwarded-for").map(String::from_utf8_lossy).collect();
    values.join(",")
}

/// The fingerprint of the admin key that the request has. The query is not screened for keys: one
/// that stands there opens nothing here, and `key` in it is the name of a client's key.
fn administrator<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
) -> Result<String, Reject> {
    screen(head.count_known(Known::Authorization), None)?;
    shard.access.keys().check_admin(head.known(Known::Authorization), head.known(Known::Host))
}

/// The fields that keep a session at one target, as numbers that are the same in every process.
fn sessions<R: Runtime>(shard: &Shard<R>, head: &RequestHead<'_, '_>) -> Vec<(String, u64)> {
    let names = shard.config.routes.affinities().iter();
    let told = names.filter_map(|name| Some((name.clone(), Rng::digest(head.field(name)?))));
    told.collect()
}

/// What vendors of tracing tools add to a trace; it means nothing without the trace itself.
fn trace_state(head: &RequestHead<'_, '_>) -> Option<Box<str>> {
    trace::Parent::parse(head.known(Known::TraceParent)?)?;
    trace::read_state(head.lines("tracestate"))
}

/// What fields of the head say about a request in Anthropic's words.
fn beside(head: &RequestHead<'_, '_>) -> Beside {
    let text = |name| head.field(name).map(String::from_utf8_lossy).map(Cow::into_owned);
    let (betas, version) = (text("anthropic-beta"), text("anthropic-version"));
    Beside { betas, version, ..Beside::default() }
}

/// Whose key the request has, in whichever field the client's API has for it.
fn who<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
    dialect: Dialect,
) -> Result<KeyId, Reject> {
    let own = dialect.key_field();
    let count = head.count_known(Known::Authorization) + own.map_or(0, |name| head.count(name));
    screen(count, head.query())?;
    let now_ms = || shard.rt.unix_millis();
    match own.and_then(|name| head.field(name)) {
        Some(token) => shard.access.keys().check_token(token, now_ms),
        None => shard.access.keys().check(head.known(Known::Authorization), now_ms),
    }
}

/// What a key's refusal looks like.
fn refused(reject: Reject, counted: bool) -> What {
    match reject {
        Reject::DuplicateKey => What::Error(ApiError::new(Row::BAD_REQUEST, reject.message())),
        Reject::KeyInQuery if counted => {
            What::Refuse(ApiError::new(Row::INVALID_API_KEY, reject.message()))
        }
        _ => What::Fixed(401, "", counted),
    }
}

/// The checks of a chat request that need no body.
fn admit<R: Runtime>(
    shard: &Shard<R>,
    head: &RequestHead<'_, '_>,
    framing: Framing,
    mut asker: Asker,
) -> What {
    if shard.is_refusing() {
        let message = "the gateway is shutting down";
        return What::Refuse(ApiError::new(Row::SHUTTING_DOWN, message));
    }
    if let Some(kind) = head.known(Known::ContentType).filter(|kind| !is_json(kind)) {
        let shown = String::from_utf8_lossy(kind).chars().take(100).collect::<String>();
        let message = format!("the content type must be application/json, not `{shown}`");
        return What::Refuse(ApiError::new(Row::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let packed = |coding: &&[u8]| !coding.eq_ignore_ascii_case(b"identity");
    if head.known(Known::ContentEncoding).filter(packed).is_some() {
        let message = "the body must be sent as it is, without a content encoding";
        return What::Refuse(ApiError::new(Row::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let most = shard.config.server.request_body_bytes_max;
    if matches!(framing, Framing::Length(length) if length > u64::try_from(most).unwrap_or(0)) {
        return What::Refuse(wire_error(WireError::BodyTooLarge, shard));
    }
    match Wishes::read(shard, head, asker.key) {
        Ok(wishes) => asker.wishes = wishes,
        Err(error) => return What::Refuse(error),
    }
    match cached::wish(shard, head) {
        Ok(wish) => asker.cache = wish,
        Err(error) => return What::Refuse(error),
    }
    if !asker.explain {
        // The turn first: a request that may not run does not count.
        match limits::turn(shard, asker.key) {
            Ok(turn) => asker.turn = Some(turn),
            Err(error) => return What::Refuse(error),
        }
        if let Err(error) = limits::admit(shard, asker.key) {
            return What::Refuse(error);
        }
    }
    match shard.permits.take() {
        Some(permit) => What::Talk(permit, asker),
        None => {
            let message = "the gateway runs as many requests as it may";
            What::Refuse(ApiError::new(Row::OVERLOADED, message))
        }
    }
}

/// The row of a broken rule of HTTP, with the limit that was passed.
pub(super) fn wire_error<R: Runtime>(error: WireError, shard: &Shard<R>) -> ApiError {
    let limits = &shard.config.limits;
    let (row, message) = match error {
        WireError::HeadTooLarge => {
            (Row::HEAD_TOO_LARGE, format!("the head is longer than {} bytes", limits.head_bytes))
        }
        WireError::TooManyFields => {
            (Row::HEAD_TOO_LARGE, format!("the head has more than {} fields", limits.fields))
        }
        WireError::TargetTooLong => {
            let most = limits.target_bytes;
            (Row::TARGET_TOO_LONG, format!("the target is longer than {most} bytes"))
        }
        WireError::BodyTooLarge => {
            let most = shard.config.server.request_body_bytes_max;
            (Row::BODY_TOO_LARGE, format!("the body is longer than {most} bytes"))
        }
        WireError::BadVersion => {
            let row = Row { status: 505, ..Row::BAD_REQUEST };
            (row, "only HTTP/1.1 and HTTP/1.0 are spoken here".to_owned())
        }
        WireError::BadExpectation => {
            let row = Row { status: 417, ..Row::BAD_REQUEST };
            (row, "the only expectation known here is 100-continue".to_owned())
        }
        WireError::BadHost => (Row::BAD_REQUEST, "one valid Host field is required".to_owned()),
        WireError::BadChunk => (Row::BAD_REQUEST, "the chunked body is broken".to_owned()),
        WireError::FramingConflict | WireError::UnsupportedCoding => {
            (Row::BAD_REQUEST, "the length of the body is ambiguous".to_owned())
        }
        _ => (Row::BAD_REQUEST, "the request is not valid HTTP".to_owned()),
    };
    ApiError::new(row, message)
}

/// Does the client name the newer form of metrics? A server of Prometheus's prefers it.
fn wants_open_metrics(head: &RequestHead<'_, '_>) -> bool {
    let named =
        |value: &[u8]| value.windows(28).any(|text| text == b"application/openmetrics-text");
    head.lines("accept").any(named)
}

/// `application/json`, with or without parameters.
fn is_json(kind: &[u8]) -> bool {
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
}

/// Does the client keep fields that follow a body (RFC 9110 section 10.1.4)?
fn takes_trailers(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_http_means_them() {
        assert!(takes_trailers(b"gzip;q=0.5, Trailers") && !takes_trailers(b"trailer"));
        assert!(is_json(b"Application/JSON; charset=utf-8") && !is_json(b"text/plain"));
    }
}
