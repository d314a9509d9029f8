//! What is told of exchanges: traces and lines of the log.

use super::origin::Origin;
use super::secret::Secret;
use crate::base::Sampling;

/// Traces.
#[derive(Clone, Debug)]
pub struct Otel {
    /// Of traces that begin here, the share that is exported; `None` without a collector.
    pub sample: Option<f64>,
    /// Where they go.
    pub export: Option<Export>,
}

/// A collector that speaks OTLP over HTTP, and what it is told of us.
#[derive(Clone, Debug)]
pub struct Export {
    /// The base URL, without `/v1/traces`.
    pub endpoint: Origin,
    /// Fields of every request to it: names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// What this service is called.
    pub service_name: String,
    /// More that is said of it, as names and values.
    pub resource: Vec<(String, String)>,
}

/// Which exchanges get a line of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchanges {
    /// Those that failed.
    pub failures: bool,
    /// Of all others, this share.
    pub share: f64,
    /// At most so many lines in a second; `None` has no limit.
    pub per_second: Option<u64>,
}

impl Otel {
    /// Which traces are recorded: none without a collector.
    pub fn sampling(&self) -> Sampling {
        self.sample.map_or(Sampling::OFF, Sampling::of)
    }
}
