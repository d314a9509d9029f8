//! Histograms as they are exported: few buckets, whose bounds are known.

/// Upper bounds of the exported buckets, in seconds.
pub(super) const BOUNDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    30.0, 120.0,
];

/// A histogram with few buckets.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) sum: f64,
    /// Upper bounds and counts, not cumulated; the last bound is infinite.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Spread {
    /// Nothing has been counted.
    pub(super) fn new(bounds: &[f64]) -> Self {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        Self { labels: Vec::new(), sum: 0.0, buckets: bounds.map(|bound| (bound, 0)).collect() }
    }

    pub(super) fn observe(&mut self, value: f64) {
        self.sum += value;
        if let Some((_, count)) = self.buckets.iter_mut().find(|(bound, _)| value <= *bound) {
            *count += 1;
        }
    }

    /// How many values were counted.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The same with these labels.
    pub(super) fn labelled(&self, labels: &[(&'static str, &str)]) -> Self {
        let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        Self { labels: labels.iter().map(owned).collect(), ..self.clone() }
    }
}
