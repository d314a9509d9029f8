//! The registry as Prometheus text, encoded by prometheus-client.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::figures::{Figure, Figures};
use super::histogram::Merged;
use super::names::{FAMILIES, Family, Type};

/// Upper bounds of the exported buckets, in seconds.
const BOUNDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    30.0, 120.0,
];

/// One scrape's figures as a collector.
#[derive(Debug)]
pub(super) struct Scrape(pub(super) Figures);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        for family in &FAMILIES {
            let kind = match family.kind {
                Type::Counter => MetricType::Counter,
                Type::Gauge => MetricType::Gauge,
                Type::Histogram => MetricType::Histogram,
            };
            // The library appends the suffix of counters itself.
            let name = match family.kind {
                Type::Counter => family.name.strip_suffix("_total").unwrap_or(family.name),
                Type::Gauge | Type::Histogram => family.name,
            };
            let metric = encoder.encode_descriptor(name, family.help, None, kind)?;
            self.encode_family(family, metric)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn encode_family(&self, family: &Family, mut metric: MetricEncoder<'_>) -> Result<(), Error> {
        for Figure { labels, value } in self.0.of(family.name) {
            if labels.is_empty() {
                encode_number(family.kind, value, metric)?;
                return Ok(());
            }
            encode_number(family.kind, value, metric.encode_family(&labels)?)?;
        }
        if let Some(merged) = self.0.histogram(family.name) {
            encode_histogram(merged, metric)?;
        }
        Ok(())
    }
}

fn encode_number(kind: Type, value: f64, metric: MetricEncoder<'_>) -> Result<(), Error> {
    if kind == Type::Counter {
        return ConstCounter::new(whole(value)).encode(metric);
    }
    ConstGauge::new(value).encode(metric)
}

/// Counters hold whole numbers below 2^53, and are written without a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number was a u64 below 2^53"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

fn encode_histogram(merged: &Merged, mut metric: MetricEncoder<'_>) -> Result<(), Error> {
    let buckets = merged.coarse(&BOUNDS);
    metric.encode_histogram::<NoLabelSet>(merged.sum_seconds(), merged.count(), &buckets, None)
}
