//! From the record of an exchange to its spans, in the words of OpenTelemetry's conventions for
//! generative AI (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>).
//!
//! The exchange is a server's span. Below it lie its phases, and what was asked of the upstream as
//! a client's span: what the upstream traces itself lies below that one, because its `traceparent`
//! named it. A record has durations only, so phases are laid end to end from the beginning.

use crate::base::Trace;
use crate::config::{Config, Kind as Vendor};
use crate::journal::{Ending, Record};

use super::proto::{Event, KeyValue, Kind, Span, Status, attribute};

/// The flags of a span that is recorded, and whose parent is known to be local, or remote.
const LOCAL: u32 = 0x101;
const REMOTE: u32 = 0x301;

/// Where an upstream is, in the conventions' words.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name in the configuration.
    name: String,
    provider: &'static str,
    host: String,
    port: u16,
}

/// What is known of all upstreams.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<Place>);

impl Places {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let place = |upstream: &crate::config::Upstream| Place {
            name: upstream.name.clone(),
            provider: provider(upstream.kind, &upstream.origin.host),
            host: upstream.origin.host.clone(),
            port: upstream.origin.port,
        };
        Self(config.upstreams.iter().map(place).collect())
    }

    fn find(&self, name: &str) -> Option<&Place> {
        self.0.iter().find(|place| place.name == name)
    }

    /// The conventions' name of whoever stands behind an upstream; empty when it is unknown.
    pub fn provider(&self, upstream: &str) -> &'static str {
        self.find(upstream).map_or("", |place| place.provider)
    }
}

/// `gen_ai.provider.name`.
fn provider(kind: Vendor, host: &str) -> &'static str {
    let is_at = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    match kind {
        Vendor::Gemini => "gcp.gemini",
        Vendor::Vertex => "gcp.vertex_ai",
        Vendor::Anthropic => "anthropic",
        Vendor::OpenAi if is_at("deepseek.com") => "deepseek",
        Vendor::OpenAi if is_at("groq.com") => "groq",
        Vendor::OpenAi if is_at("mistral.ai") => "mistral_ai",
        Vendor::OpenAi if is_at("x.ai") => "x_ai",
        Vendor::OpenAi if is_at("perplexity.ai") => "perplexity",
        Vendor::OpenAi if is_at("azure.com") => "azure.ai.openai",
        Vendor::OpenAi => "openai",
    }
}

/// The spans of one exchange, its own first.
pub fn spans(record: &Record<'_>, places: &Places) -> Vec<Span> {
    let begin = record.started_ms.saturating_mul(1_000_000);
    let nanos = |micros: u32| u64::from(micros) * 1000;
    let mut spans = Vec::with_capacity(5);
    spans.push(exchange(record, places, (begin, begin + nanos(record.total))));
    let phases = [
        ("parse", record.parse),
        ("queue", record.queue),
        ("connect", record.connect),
        ("tls", record.tls),
    ];
    let mut at = begin;
    for ((name, spent), number) in phases.into_iter().zip(0..Trace::UPSTREAM) {
        let end = at + nanos(spent);
        if spent > 0 {
            let id = Trace::phase(record.span, number);
            spans.push(Span {
                name: name.to_owned(),
                ..below(record, id, Kind::Internal, (at, end))
            });
        }
        at = end;
    }
    if record.attempts > 0 {
        let end = (begin + nanos(record.total)).max(at);
        spans.push(upstream(record, places, (at, end)));
    }
    spans
}

/// The server's span.
fn exchange(record: &Record<'_>, places: &Places, time: (u64, u64)) -> Span {
    let parent_is_remote = record.parent != 0;
    let mut attributes = asked(record, places);
    attributes.extend([
        attribute("http.request.method", "POST"),
        attribute("http.response.status_code", u64::from(record.status)),
        attribute("vertex_bridge.request_id", record.id),
        attribute("vertex_bridge.ending", record.ending.label()),
        attribute("vertex_bridge.attempts", u64::from(record.attempts)),
        attribute("vertex_bridge.shard", u64::from(record.shard)),
        attribute("vertex_bridge.cache_hit", record.cache_hit),
    ]);
    for (name, text) in [
        ("vertex_bridge.key", record.key),
        ("vertex_bridge.route", record.route),
        ("vertex_bridge.upstream", record.upstream_name),
    ] {
        attributes.extend((!text.is_empty()).then(|| attribute(name, text)));
    }
    if let Some(cost) = record.cost_usd() {
        // As text, like everywhere: a binary fraction would round it.
        attributes.push(attribute("vertex_bridge.cost_usd", cost.as_str()));
        attributes.push(attribute("vertex_bridge.cost_estimated", record.estimated));
    }
    Span {
        trace_id: record.trace.to_be_bytes().to_vec(),
        span_id: record.span.to_be_bytes().to_vec(),
        parent_span_id: if parent_is_remote {
            record.parent.to_be_bytes().to_vec()
        } else {
            Vec::new()
        },
        name: name(record),
        kind: Kind::Server.into(),
        start_time_unix_nano: time.0,
        end_time_unix_nano: time.1,
        attributes,
        events: Vec::new(),
        // Of a server's span an error is what the server has to answer for.
        status: status(record, record.status >= 500),
        flags: if parent_is_remote { REMOTE } else { LOCAL },
    }
}

/// What was asked of the upstream, from the request to the last byte of the answer.
fn upstream(record: &Record<'_>, places: &Places, (begin, end): (u64, u64)) -> Span {
    let id = Trace::phase(record.span, Trace::UPSTREAM);
    let mut attributes = asked(record, places);
    if let Some(place) = places.find(record.upstream_name) {
        attributes.push(attribute("server.address", place.host.as_str()));
        attributes.push(attribute("server.port", u64::from(place.port)));
    }
    let first = begin + u64::from(record.upstream) * 1000;
    let event = || Event { time_unix_nano: first.min(end), name: "first_byte".to_owned() };
    Span {
        name: name(record),
        attributes,
        events: (record.upstream > 0).then(event).into_iter().collect(),
        status: status(record, record.status >= 400 && record.ending != Ending::ClientLeft),
        ..below(record, id, Kind::Client, (begin, end))
    }
}

/// A span below the one of the exchange.
fn below(record: &Record<'_>, id: u64, kind: Kind, (begin, end): (u64, u64)) -> Span {
    Span {
        trace_id: record.trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: record.span.to_be_bytes().to_vec(),
        kind: kind.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: end,
        flags: LOCAL,
        ..Span::default()
    }
}

fn name(record: &Record<'_>) -> String {
    format!("{} {}", record.api.operation(), record.model).trim_end().to_owned()
}

/// What the conventions say of a request to a model and its answer.
fn asked(record: &Record<'_>, places: &Places) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(24);
    attributes.push(attribute("gen_ai.operation.name", record.api.operation()));
    let provider = places.provider(record.upstream_name);
    for (name, text) in [
        ("gen_ai.provider.name", provider),
        ("gen_ai.request.model", record.model),
        ("error.type", error_type(record)),
    ] {
        attributes.extend((!text.is_empty()).then(|| attribute(name, text)));
    }
    attributes.push(attribute("gen_ai.request.stream", record.stream));
    for (name, count) in [
        ("gen_ai.usage.input_tokens", record.prompt),
        ("gen_ai.usage.output_tokens", record.completion),
        ("gen_ai.usage.cache_read.input_tokens", record.cached),
        ("gen_ai.usage.cache_creation.input_tokens", record.cache_write),
        ("gen_ai.usage.reasoning.output_tokens", record.reasoning),
    ] {
        attributes.extend((count > 0).then(|| attribute(name, count)));
    }
    attributes
}

/// `error.type`: the code of the error table; empty when there was none.
pub fn error_type<'r>(record: &Record<'r>) -> &'r str {
    match record.ending {
        Ending::Answered | Ending::Open => "",
        Ending::ClientLeft => "client_cancelled",
        Ending::Bug => "internal_error",
        Ending::Failed | Ending::Broken if record.cause.is_empty() => "refused",
        Ending::Failed | Ending::Broken => record.cause,
    }
}

/// `failed` is whether the status alone says that it is an error.
fn status(record: &Record<'_>, failed: bool) -> Option<Status> {
    let is_error = failed || matches!(record.ending, Ending::Broken | Ending::Bug);
    is_error.then(|| Status { message: error_type(record).to_owned(), code: 2 })
}

#[cfg(test)]
mod tests {
    use super::super::proto::Value;
    use super::*;

    fn record() -> Record<'static> {
        Record {
            started_ms: 1_700_000_000_000,
            trace: 7,
            span: 9,
            parent: 11,
            prompt: 100,
            completion: 5,
            parse: 40,
            connect: 1000,
            upstream: 20_000,
            total: 50_000,
            status: 200,
            attempts: 1,
            ending: Ending::Answered,
            id: "req_1",
            upstream_name: "near",
            model: "m",
            ..Record::default()
        }
    }

    fn places() -> Places {
        let host = "vllm.internal".to_owned();
        Places(vec![Place { name: "near".to_owned(), provider: "openai", host, port: 8000 }])
    }

    fn value<'s>(span: &'s Span, key: &str) -> Option<&'s Value> {
        let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    #[test]
    fn an_exchange_has_its_span_its_phases_and_its_upstream() {
        let spans = spans(&record(), &places());
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["chat m", "parse", "connect", "chat m"]);
        let [exchange, parse, connect, upstream] = &spans[..] else { panic!("{names:?}") };
        assert_eq!(exchange.kind(), Kind::Server);
        assert_eq!(exchange.parent_span_id, 11_u64.to_be_bytes());
        assert_eq!(exchange.flags, REMOTE);
        let length = |span: &Span| span.end_time_unix_nano - span.start_time_unix_nano;
        assert_eq!(
            (length(exchange), length(parse), length(connect)),
            (50_000_000, 40_000, 1_000_000)
        );
        assert_eq!(upstream.kind(), Kind::Client);
        assert_eq!(upstream.start_time_unix_nano, connect.end_time_unix_nano);
        assert_eq!(upstream.end_time_unix_nano, exchange.end_time_unix_nano);
        let told = Trace::phase(9, Trace::UPSTREAM);
        assert_eq!(upstream.span_id, told.to_be_bytes(), "the span that the upstream was told");
        for span in &spans {
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            assert!(span.status.is_none());
        }
        assert!(spans[1..].iter().all(|span| span.parent_span_id == 9_u64.to_be_bytes()));
    }

    #[test]
    fn spans_speak_the_words_of_the_conventions() {
        let spans = spans(&record(), &places());
        let (exchange, upstream) = (&spans[0], &spans[3]);
        assert_eq!(value(exchange, "gen_ai.usage.input_tokens"), Some(&Value::Int(100)));
        assert_eq!(value(exchange, "http.response.status_code"), Some(&Value::Int(200)));
        assert_eq!(value(exchange, "vertex_bridge.request_id"), Some(&"req_1".into()));
        assert_eq!(value(upstream, "server.address"), Some(&"vllm.internal".into()));
        assert_eq!(value(upstream, "gen_ai.provider.name"), Some(&"openai".into()));
        assert_eq!(value(exchange, "error.type"), None);
        assert_eq!(value(exchange, "vertex_bridge.cost_usd"), None, "unknown is not zero");
    }

    #[test]
    fn failures_say_what_they_are_and_whose() {
        let failed = |status, ending, cause| {
            let record = Record { status, ending, cause, ..record() };
            let spans = spans(&record, &places());
            let codes = [&spans[0], &spans[3]];
            let codes = codes.map(|span| span.status.as_ref().map_or(0, |status| status.code));
            (codes, value(&spans[0], "error.type").cloned())
        };
        let said = |text: &str| Some(Value::from(text));
        assert_eq!(failed(502, Ending::Failed, "bad_gateway"), ([2, 2], said("bad_gateway")));
        assert_eq!(failed(400, Ending::Failed, "invalid"), ([0, 2], said("invalid")));
        assert_eq!(failed(200, Ending::Broken, "cut"), ([2, 2], said("cut")));
        assert_eq!(failed(499, Ending::ClientLeft, ""), ([0, 0], said("client_cancelled")));
    }

    #[test]
    fn a_refusal_asks_nobody_and_costs_are_exact() {
        let record = Record {
            attempts: 0,
            upstream_name: "",
            priced: true,
            cost_nanos: 1_000_000_007,
            ..record()
        };
        let spans = spans(&record, &places());
        assert!(spans.iter().all(|span| span.kind() != Kind::Client));
        assert_eq!(value(&spans[0], "vertex_bridge.cost_usd"), Some(&"1.000000007".into()));
    }
}
