//! What is wrong with a configuration: where it was said, what was found, what would be right.

use std::fmt;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file, at a line that counts from 1.
    File {
        /// The file's path as it was given.
        path: String,
        /// The line of the key or value.
        line: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// On the command line.
    Flag(String),
    /// Nowhere: it is missing.
    Nowhere,
}

/// One mistake. Never holds a secret's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, as `server.port`; empty when the file as a whole is meant.
    pub key: String,
    /// Where it was set.
    pub place: Place,
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, found, expected } = self;
        match place {
            Place::File { path, line } if key.is_empty() => write!(f, "{path}:{line}: ")?,
            Place::File { path, line } => write!(f, "{path}:{line}: {key}: ")?,
            Place::Variable(name) | Place::Flag(name) if key.is_empty() => write!(f, "{name}: ")?,
            Place::Variable(name) | Place::Flag(name) => write!(f, "{name} ({key}): ")?,
            Place::Nowhere => write!(f, "{key}: ")?,
        }
        write!(f, "found {found}, expected {expected}")
    }
}

impl std::error::Error for ConfigError {}

/// The most characters of a found value that an error repeats.
const QUOTE_CHARS_MAX: usize = 80;

/// `text` as an error shows it: quoted, escaped, shortened.
pub(super) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The candidate that `written` was most likely meant to be, if one is near.
pub(super) fn nearest<'c>(
    written: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    // Names are short; a longer one is no slip of the finger.
    if written.len() > 64 {
        return None;
    }
    let near = candidates.map(|candidate| (distance(written, candidate), candidate));
    let (steps, candidate) = near.min_by_key(|(steps, _)| *steps)?;
    (steps <= 3 && steps * 3 <= written.len()).then_some(candidate)
}

/// The number of inserted, removed and changed bytes between two words (Levenshtein 1965).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let cost = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = cost.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_its_own_shape() {
        let file = Place::File { path: "vb.toml".to_owned(), line: 12 };
        let cases = [
            (file.clone(), "server.port", "vb.toml:12: server.port: found A, expected B"),
            (file, "", "vb.toml:12: found A, expected B"),
            (Place::Variable("APP_X".to_owned()), "x", "APP_X (x): found A, expected B"),
            (Place::Variable("APP_X".to_owned()), "", "APP_X: found A, expected B"),
            (Place::Flag("--cores".to_owned()), "y", "--cores (y): found A, expected B"),
            (Place::Nowhere, "z", "z: found A, expected B"),
        ];
        for (place, key, want) in cases {
            let (found, expected) = ("A".to_owned(), "B".to_owned());
            let error = ConfigError { key: key.to_owned(), place, found, expected };
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn quotes_are_escaped_and_short() {
        assert_eq!(quote("a\n\u{1b}[31m"), "\"a\\n\\u{1b}[31m\"");
        assert!(quote(&"ä".repeat(5000)).len() < 200);
    }

    #[test]
    fn distances_and_suggestions() {
        for (a, b, want) in
            [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("a", "a", 0)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
        let words = ["server.port", "server.host"];
        assert_eq!(nearest("server.prot", words.into_iter()), Some("server.port"));
        assert_eq!(nearest("colour", words.into_iter()), None);
        assert_eq!(nearest("x", ["y"].into_iter()), None, "a single letter is no hint");
    }
}
