//! The figures of one scrape, between the registry that sums and the encoder that writes.

use super::spread::Spread;

/// One number with its labels.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

/// The figures of one scrape, by family.
#[derive(Debug, Default)]
pub(super) struct Figures {
    numbers: Vec<(&'static str, Figure)>,
    pub(super) histograms: Vec<(&'static str, Spread)>,
}

impl Figures {
    pub(super) fn of(&self, family: &str) -> impl Iterator<Item = Figure> + '_ {
        let family = family.to_owned();
        let named = self.numbers.iter().filter(move |(name, _)| *name == family);
        named.map(|(_, figure)| figure.clone())
    }

    pub(super) fn histograms_of(&self, family: &str) -> impl Iterator<Item = &Spread> {
        let named = self.histograms.iter().filter(move |(name, _)| *name == family);
        named.map(|(_, spread)| spread)
    }

    pub(super) fn number(&mut self, name: &'static str, value: f64) {
        self.numbers.push((name, Figure { labels: Vec::new(), value }));
    }

    pub(super) fn labelled(
        &mut self,
        name: &'static str,
        labels: Vec<(&'static str, String)>,
        value: f64,
    ) {
        self.numbers.push((name, Figure { labels, value }));
    }
}
