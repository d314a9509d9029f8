//! All holders that there have been since the process began. A place means the same key for ever,
//! so that what runs can be settled whatever becomes of its key.

use std::collections::{BTreeMap, BTreeSet};

use super::holder::Holder;

/// The holders, by their places: first those of the configuration, then those of the store in the
/// order in which they became known.
#[derive(Clone, Debug)]
pub struct Roll {
    holders: Vec<Holder>,
    configured: usize,
}

impl Roll {
    /// Begins with the holders of the configuration.
    pub fn new(configured: Vec<Holder>) -> Self {
        Self { configured: configured.len(), holders: configured }
    }

    /// The holders.
    pub fn holders(&self) -> &[Holder] {
        &self.holders
    }

    /// Names that the configuration has too are not the store's to decide on. The first such name.
    pub fn clash<'s>(&self, stored: &'s [Holder]) -> Option<&'s str> {
        let configured = self.holders.get(..self.configured).unwrap_or_default();
        let own: BTreeSet<&str> = configured.iter().map(|holder| &*holder.name).collect();
        stored.iter().map(|holder| holder.name.as_str()).find(|name| own.contains(name))
    }

    /// What the store holds now. Who has gone from it keeps the place, and opens no more. Has
    /// anything changed?
    pub fn update(&mut self, stored: Vec<Holder>) -> bool {
        let (configured, known) = self.holders.split_at_mut(self.configured);
        let own: BTreeSet<&str> = configured.iter().map(|holder| &*holder.name).collect();
        let places: BTreeMap<String, usize> =
            known.iter().enumerate().map(|(place, holder)| (holder.name.clone(), place)).collect();
        let mut found = vec![false; known.len()];
        let (mut changed, mut new) = (false, Vec::new());
        for holder in stored {
            if own.contains(&*holder.name) {
                continue;
            }
            let place = places.get(&holder.name).copied().unwrap_or(usize::MAX);
            match (known.get_mut(place), found.get_mut(place)) {
                (Some(known), Some(found)) => {
                    changed |= *known != holder;
                    (*known, *found) = (holder, true);
                }
                _ => new.push(holder),
            }
        }
        for (gone, _) in known.iter_mut().zip(found).filter(|(_, found)| !found) {
            changed |= !gone.secrets.is_empty();
            gone.secrets.clear();
        }
        changed |= !new.is_empty();
        self.holders.append(&mut new);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::holder::Limits;
    use super::*;

    fn holder(name: &str, secret: u8) -> Holder {
        Holder {
            name: name.to_owned(),
            secrets: vec![([secret; 32], u64::MAX)],
            models: Vec::new(),
            routes: Vec::new(),
            trusted: false,
            limits: Limits::default(),
        }
    }

    fn shown(roll: &Roll) -> Vec<(&str, Option<u8>)> {
        let of = |holder: &Holder| holder.secrets.first().map(|(digest, _)| digest[0]);
        roll.holders().iter().map(|holder| (&*holder.name, of(holder))).collect()
    }

    #[test]
    fn places_stay_whatever_the_store_holds() {
        let mut roll = Roll::new(vec![holder("file", 1)]);
        assert!(roll.update(vec![holder("a", 2), holder("b", 3)]));
        assert!(!roll.update(vec![holder("a", 2), holder("b", 3)]), "nothing has changed");
        assert!(roll.update(vec![holder("c", 4), holder("b", 5)]));
        let want = [("file", Some(1)), ("a", None), ("b", Some(5)), ("c", Some(4))];
        assert_eq!(shown(&roll), want);
        assert!(roll.update(vec![holder("c", 4), holder("b", 5), holder("a", 2)]));
        assert_eq!(shown(&roll)[1], ("a", Some(2)));
    }

    #[test]
    fn the_file_decides_on_its_own_names() {
        let mut roll = Roll::new(vec![holder("file", 1)]);
        let stored = [holder("a", 2), holder("file", 9)];
        assert_eq!(roll.clash(&stored), Some("file"));
        assert_eq!(roll.clash(&stored[..1]), None);
        assert!(roll.update(stored.to_vec()));
        assert_eq!(shown(&roll), [("file", Some(1)), ("a", Some(2))]);
    }
}
