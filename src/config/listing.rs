//! What is set, by whom, and what a reload would change. Secrets show as `***`.

use std::collections::BTreeMap;

use super::error::Place;
use super::secret::Secret;

/// One key that is set.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name: `server.port`, or `route[fast].targets[1].weight` in a table.
    pub key: String,
    /// Its value, as it is written where it is set.
    pub shown: String,
    /// Where it is set.
    pub place: Place,
    /// What is not shown, and changes all the same.
    pub(super) hidden: Vec<Secret>,
}

impl Listed {
    /// Does it mean the same? Where it is written does not matter.
    fn means(&self, other: &Self) -> bool {
        let [one, other_one] = [self, other].map(|listed| listed.hidden.iter().map(Secret::expose));
        self.shown == other.shown && one.eq(other_one)
    }
}

/// What a configuration sets differently from the one before it, a line for each key.
pub fn differences(before: &[Listed], after: &[Listed]) -> Vec<String> {
    let mut pairs: BTreeMap<&str, (Option<&Listed>, Option<&Listed>)> = BTreeMap::new();
    for listed in before {
        pairs.entry(&listed.key).or_default().0 = Some(listed);
    }
    for listed in after {
        pairs.entry(&listed.key).or_default().1 = Some(listed);
    }
    let line = |(key, pair): (&str, _)| match pair {
        (Some(old), Some(new)) if Listed::means(old, new) => None,
        (Some(old), Some(new)) if old.shown == new.shown => {
            Some(format!("{key}: another {}", new.shown))
        }
        (Some(old), Some(new)) => Some(format!("{key}: {} -> {}", old.shown, new.shown)),
        (None, Some(new)) => Some(format!("{key}: set to {}", new.shown)),
        (Some(old), None) => Some(format!("{key}: no longer {}", old.shown)),
        (None, None) => None,
    };
    pairs.into_iter().filter_map(line).collect()
}
