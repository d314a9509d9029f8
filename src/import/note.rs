//! What is said about a part of the other configuration that is not ours as it stands.

use std::fmt;

use super::yaml::Node;

/// Something that was not carried over, or differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The line it stands at, from 1.
    pub line: usize,
    /// Where it stands, as `model_list[2].litellm_params.rpm`; empty for the file as a whole.
    pub path: String,
    /// Why, and what to do instead.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, path, why } = self;
        if path.is_empty() {
            write!(f, "{line}: {why}")
        } else {
            write!(f, "{line}: {path}: {why}")
        }
    }
}

impl std::error::Error for Note {}

/// All that was noticed.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn add(&mut self, node: &Node, path: &str, why: impl Into<String>) {
        self.at(node.line, path, why);
    }

    pub(super) fn at(&mut self, line: usize, path: &str, why: impl Into<String>) {
        self.0.push(Note { line, path: path.to_owned(), why: why.into() });
    }

    /// By their lines; those of one line as they came.
    pub(super) fn in_order(mut self) -> Vec<Note> {
        self.0.sort_by_key(|note| note.line);
        self.0
    }
}
