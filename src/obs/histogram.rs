//! Histograms of durations with a bounded relative error, one writer, mergeable.
//!
//! Buckets are log-linear: each power of two microseconds is divided into 32 equal parts, so a
//! quantile is at most 3.2 % off. 1,024 buckets reach beyond an hour.

use std::time::Duration;

use super::cell::Cell;
use super::spread::{BOUNDS, Spread};

/// Parts of one power of two, as a power of two.
const PART_BITS: u32 = 5;
const PARTS: u64 = 1 << PART_BITS;
const BUCKETS: usize = 1024;

/// One shard's histogram.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[Cell]>,
    sum_micros: Cell,
}

/// The sum of several shards' histograms.
#[derive(Clone, Debug)]
pub struct Merged {
    buckets: Vec<u64>,
    sum_micros: u64,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Cell::default()).collect(),
            sum_micros: Cell::default(),
        }
    }
}

impl Histogram {
    /// Counts one duration; only the owning shard may call this.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(index_of(micros)) {
            bucket.add(1);
        }
        self.sum_micros.add(micros);
    }

    /// Sums histograms of several shards.
    pub fn merge(all: &[&Self]) -> Merged {
        let mut merged = Merged { buckets: vec![0; BUCKETS], sum_micros: 0, count: 0 };
        for histogram in all {
            for (sum, bucket) in merged.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += bucket.read();
            }
            merged.sum_micros += histogram.sum_micros.read();
        }
        merged.count = merged.buckets.iter().sum();
        merged
    }
}

impl Merged {
    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    pub fn sum_seconds(&self) -> f64 {
        to_f64(self.sum_micros) / 1e6
    }

    /// Their sum in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros
    }

    /// The buckets that hold anything: from and to in microseconds, the end not included, and how
    /// many. What was counted between two looks is the difference of their buckets.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(index, count)| (lower_bound(index), lower_bound(index + 1), *count))
    }

    /// Their mean in milliseconds; 0 without any.
    pub fn mean_ms(&self) -> f64 {
        if self.count == 0 { 0.0 } else { to_f64(self.sum_micros) / 1e3 / to_f64(self.count) }
    }

    /// The duration in milliseconds that `share` (0 to 1) of all stay below or at; 0 without any.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (to_f64(self.count) * share).ceil().max(1.0);
        let mut seen = 0.0;
        for (index, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            seen += to_f64(*count);
            if seen >= wanted {
                let (from, to) = (lower_bound(index), lower_bound(index + 1));
                return (to_f64(from) + to_f64(to)) / 2.0 / 1e3;
            }
        }
        0.0
    }

    /// In the exported buckets.
    pub(super) fn spread(&self) -> Spread {
        Spread { labels: Vec::new(), sum: self.sum_seconds(), buckets: self.coarse(&BOUNDS) }
    }

    /// How many were at most each of `bounds` seconds, not cumulated, then the rest.
    pub fn coarse(&self, bounds: &[f64]) -> Vec<(f64, u64)> {
        let mut coarse: Vec<(f64, u64)> = bounds.iter().map(|bound| (*bound, 0)).collect();
        coarse.push((f64::INFINITY, 0));
        for (index, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let upper = to_f64(lower_bound(index + 1)) / 1e6;
            let place = coarse.iter_mut().find(|(bound, _)| upper <= *bound);
            if let Some((_, sum)) = place {
                *sum += count;
            }
        }
        coarse
    }
}

/// Small numbers have a bucket each; then each power of two has [`PARTS`].
fn index_of(micros: u64) -> usize {
    if micros < PARTS {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = 63 - micros.leading_zeros();
    let part = (micros >> (power - PART_BITS)) & (PARTS - 1);
    let index = u64::from(power - PART_BITS + 1) * PARTS + part;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The smallest number of microseconds that falls into a bucket.
fn lower_bound(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < PARTS {
        return index;
    }
    let (power, part) = (index / PARTS - 1, index % PARTS);
    (PARTS + part) << power
}

/// Counts stay far below 2^53, where floating point becomes inexact.
#[expect(clippy::cast_precision_loss, reason = "counts and sums stay below 2^53")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_its_bucket() {
        for micros in (0..10_000).chain([1 << 20, 3_600_000_000]) {
            let index = index_of(micros);
            assert!(lower_bound(index) <= micros && micros < lower_bound(index + 1), "{micros}");
        }
    }

    #[test]
    fn quantiles_are_within_their_error() {
        let (a, b) = (Histogram::default(), Histogram::default());
        for millis in 1..=1000 {
            let half = if millis % 2 == 0 { &a } else { &b };
            half.observe(Duration::from_millis(millis));
        }
        let merged = Histogram::merge(&[&a, &b]);
        assert_eq!(merged.count(), 1000);
        assert!((merged.sum_seconds() - 500.5).abs() < 1e-6);
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = merged.quantile_ms(share);
            assert!((got - expected).abs() / expected < 0.035, "{share}: {got}");
        }
        assert_eq!(merged.buckets().map(|(_, _, count)| count).sum::<u64>(), 1000);
        assert!(merged.buckets().all(|(from, to, _)| from < to));
        let coarse = merged.coarse(&[0.1, 0.5, 10.0]);
        assert_eq!(coarse.iter().map(|(_, count)| count).sum::<u64>(), 1000);
        assert!((95..=100).contains(&coarse[0].1), "{coarse:?}");
    }
}
