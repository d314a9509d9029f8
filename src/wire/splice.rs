//! Small changes to a text of which everything else stays byte for byte.

use std::ops::Range;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    /// What goes: a range of the source, empty for an insertion.
    at: Range<usize>,
    /// What comes: a range of the new text.
    with: Range<usize>,
}

/// Changes to one text. They are made in any order and do not overlap.
#[derive(Clone, Debug, Default)]
pub struct Splices {
    /// Invariant: in ascending order of their place.
    edits: Vec<Edit>,
    /// All new text, one piece behind the other.
    text: Vec<u8>,
}

impl Splices {
    /// Puts `with` in the place of the bytes `at`. An empty range inserts, an empty text removes;
    /// of two insertions at one place the earlier one comes first.
    pub fn replace(&mut self, at: Range<usize>, with: &[u8]) {
        let from = self.text.len();
        self.text.extend_from_slice(with);
        let edit = Edit { at, with: from..self.text.len() };
        let behind = self.edits.iter().rposition(|known| known.at.start <= edit.at.start);
        debug_assert!(
            behind.and_then(|at| self.edits.get(at)).is_none_or(|b| b.at.end <= edit.at.start),
            "changes do not overlap"
        );
        self.edits.insert(behind.map_or(0, |place| place + 1), edit);
    }

    /// Is there nothing to change?
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Forgets all changes and keeps the room for new ones.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
    }

    /// Appends the changed `source`.
    pub fn apply(&self, source: &[u8], out: &mut Vec<u8>) {
        self.apply_mapped(source, |offset| offset, out);
    }

    /// Appends the changed `source`, whose places are found by `map`.
    pub fn apply_mapped(&self, source: &[u8], map: impl Fn(usize) -> usize, out: &mut Vec<u8>) {
        let mut done = 0;
        for edit in &self.edits {
            let start = map(edit.at.start).max(done);
            out.extend_from_slice(source.get(done..start).unwrap_or_default());
            out.extend_from_slice(self.text.get(edit.with.clone()).unwrap_or_default());
            // The end is found from the start: the place behind a change may lie on another line.
            done = start + edit.at.len();
        }
        out.extend_from_slice(source.get(done..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_made_in_the_order_of_their_places() {
        let mut splices = Splices::default();
        assert!(splices.is_empty());
        splices.replace(6..11, b"you");
        splices.replace(0..5, b"");
        splices.replace(5..5, b"Hi");
        splices.replace(5..5, b",");
        splices.replace(11..11, b"!");
        let mut out = Vec::new();
        splices.apply(b"Hello world", &mut out);
        assert_eq!(out, b"Hi, you!");
        splices.clear();
        out.clear();
        splices.apply(b"Hello world", &mut out);
        assert_eq!(out, b"Hello world");
    }

    #[test]
    fn places_may_be_mapped() {
        let mut splices = Splices::default();
        splices.replace(2..3, b"X");
        let mut out = Vec::new();
        splices.apply_mapped(b"....abc", |offset| offset + 4, &mut out);
        assert_eq!(out, b"....abX");
    }
}
