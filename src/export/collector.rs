//! The way to a collector: one POST for each batch (OTLP over HTTP with binary Protobuf,
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>). Blocks, so never on a core.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use ureq::Agent;
use ureq::config::Config;

use crate::base::ascii::parse_u64;
use crate::config::{Export, Secret, Tunnel};
use crate::web::{self, Trust};

use super::proto::{
    Request, Resource, ResourceSpans, Response, Scope, ScopeSpans, Span, attribute,
};

/// For one batch, from the connection to the answer: OTLP's own default.
const EXPORT: Duration = Duration::from_secs(10);

/// An answer has a few numbers and a sentence.
const ANSWER_BYTES: u64 = 64 * 1024;

/// The conventions that our attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// A collector and what it is told of us.
#[derive(Debug)]
pub struct Collector {
    agent: Agent,
    url: String,
    headers: Vec<(String, Secret)>,
    resource: Resource,
}

/// Why a batch was not taken. Nothing of an answer is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It may be sent again: not before so long, when the collector said so.
    Later(Why, Option<Duration>),
    /// It never will be taken.
    Never(Why),
}

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no way to it.
    Connection,
    /// Its certificate or its TLS is not to be trusted.
    Tls,
    /// It did not answer in time.
    Timeout,
    /// It answered with this status.
    Status(u16),
}

impl Collector {
    /// The collector of `export`; `trust` decides whether it is believed, and it is reached through
    /// the tunnel, if that serves it. `instance` tells this process from others of its name.
    pub fn new(export: Export, instance: &str, (trust, tunnel): (&Trust, Option<&Tunnel>)) -> Self {
        let config = Config::builder()
            .timeout_global(Some(EXPORT))
            .http_status_as_error(false)
            // Spans and secrets go where the configuration says and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(web::proxy(tunnel, &export.endpoint.url()))
            .user_agent(concat!("vertex-bridge/", env!("CARGO_PKG_VERSION")))
            .build();
        let own = [
            ("service.name", export.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", instance),
        ];
        let more = export.resource.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let more = more.filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        let attributes = own.into_iter().chain(more).map(|(name, value)| attribute(name, value));
        Self {
            agent: web::agent(config, trust),
            url: format!("{}/v1/traces", export.endpoint.url()),
            resource: Resource { attributes: attributes.collect() },
            headers: export.headers,
        }
    }

    /// The bytes of a batch, compressed.
    fn encode(&self, spans: Vec<Span>) -> Vec<u8> {
        let scope = Scope {
            name: "vertex-bridge".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let schema_url = || SCHEMA.to_owned();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: schema_url() }];
        let resource = Some(self.resource.clone());
        let all = ResourceSpans { resource, scope_spans, schema_url: schema_url() };
        let plain = Request { resource_spans: vec![all] }.encode_to_vec();
        let mut zipped = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
        // Writing into memory cannot fail; an empty batch would be refused.
        let written = zipped.write_all(&plain).and_then(|()| zipped.finish());
        written.unwrap_or_default()
    }

    /// Sends a batch; tells how many of its spans were refused all the same. Blocks, at most
    /// [`EXPORT`].
    ///
    /// # Errors
    /// [`Refused`], which can be shown.
    pub fn send(&self, spans: Vec<Span>) -> Result<u64, Refused> {
        let body = self.encode(spans);
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "gzip");
        for (name, value) in &self.headers {
            request = request.header(name, value.expose());
        }
        let mut response = request.send(&body).map_err(|error| refused(&error))?;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").map(|value| value.as_bytes());
        let after = after.and_then(parse_u64).map(Duration::from_secs);
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
        match status {
            200..=299 => {
                let answer = answer.map_err(|error| refused(&error))?;
                let partial = Response::decode(&*answer).ok().and_then(|told| told.partial_success);
                let rejected = partial.map_or(0, |partial| partial.rejected_spans);
                Ok(u64::try_from(rejected).unwrap_or(0))
            }
            429 | 502 | 503 | 504 => Err(Refused::Later(Why::Status(status), after)),
            _ => Err(Refused::Never(Why::Status(status))),
        }
    }
}

fn refused(error: &ureq::Error) -> Refused {
    let why = match error {
        ureq::Error::Timeout(_) => Why::Timeout,
        ureq::Error::Io(error) if web::is_tls(error) => Why::Tls,
        _ => Why::Connection,
    };
    Refused::Later(why, None)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Later(why, _) | Self::Never(why)) = self;
        match why {
            Why::Connection => f.write_str("it cannot be reached"),
            Why::Tls => f.write_str("its certificate or TLS is not trusted"),
            Why::Timeout => f.write_str("it did not answer in time"),
            Why::Status(status) => write!(f, "it answered {status}"),
        }
    }
}

impl std::error::Error for Refused {}
