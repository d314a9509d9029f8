//! The registry as Prometheus text, encoded by prometheus-client.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::figures::{Figure, Figures};
use super::names::{FAMILIES, Family, Type};
use super::spread::Spread;

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
        for spread in self.0.histograms_of(family.name) {
            if spread.labels.is_empty() {
                return encode_histogram(spread, metric);
            }
            encode_histogram(spread, metric.encode_family(&spread.labels)?)?;
        }
        Ok(())
    }
}

fn encode_number(kind: Type, value: f64, metric: MetricEncoder<'_>) -> Result<(), Error> {
    if kind == Type::Counter {
        // Money is the only kind that is not counted in whole ones.
        if value.fract() > 0.0 {
            return ConstCounter::new(value).encode(metric);
        }
        return ConstCounter::new(whole(value)).encode(metric);
    }
    ConstGauge::new(value).encode(metric)
}

/// Counters of whole numbers below 2^53 are written without a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number was a u64 below 2^53"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

fn encode_histogram(spread: &Spread, mut metric: MetricEncoder<'_>) -> Result<(), Error> {
    metric.encode_histogram::<NoLabelSet>(spread.sum, spread.count(), &spread.buckets, None)
}
