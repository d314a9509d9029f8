//! Which call a piece of OpenAI's `tool_calls` belongs to.
//!
//! OpenAI numbers the calls of a choice from 0 and names each in its first piece. Compatible
//! services number from 1, by content block or not at all, or begin again in every chunk.

use crate::wire::json::JsonText;

/// No vendor calls more tools in one answer.
const CALLS_MAX: usize = 4096;

/// One call.
#[derive(Debug)]
struct Known {
    /// The vendor's number.
    number: Option<u64>,
    /// The vendor's id; empty while there is none.
    id: String,
}

/// What a piece says about its call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Label<'b> {
    /// The vendor's number.
    pub(super) number: Option<u64>,
    /// The vendor's id; never empty.
    pub(super) id: Option<JsonText<'b>>,
    /// It names the tool.
    pub(super) named: bool,
}

/// The calls of one choice, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Known>);

impl Numbers {
    /// The place of the call that a piece belongs to, and whether it begins there. Nothing when
    /// there are too many.
    pub(super) fn place(&mut self, label: Label<'_>) -> Option<(usize, bool)> {
        let at = self.find(label);
        let new = at == self.0.len();
        if new {
            if at >= CALLS_MAX {
                return None;
            }
            self.0.push(Known { number: label.number, id: String::new() });
        }
        let known = self.0.get_mut(at)?;
        if let (true, Some(id)) = (known.id.is_empty(), label.id) {
            id.raw().clone_into(&mut known.id);
        }
        Some((at, new))
    }

    /// The vendor's id of the call at a place; empty when it has none.
    pub(super) fn id(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |known| &known.id)
    }

    /// Has there been no call?
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, label: Label<'_>) -> usize {
        let new = self.0.len();
        // One number with another id and a name is another call.
        let other = |known: &Known| {
            label.named && !known.id.is_empty() && label.id.is_some_and(|id| known.id != id.raw())
        };
        match (label.number, label.id) {
            (Some(number), _) => {
                let known = self.0.iter().rposition(|known| known.number == Some(number));
                let same = known.filter(|at| !self.0.get(*at).is_some_and(other));
                same.unwrap_or(new)
            }
            (None, Some(id)) => {
                let known = self.0.iter().position(|known| known.id == id.raw());
                known.unwrap_or(new)
            }
            (None, None) if label.named => new,
            (None, None) => new.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(labels: &[(Option<u64>, &'static str, bool)]) -> Vec<usize> {
        let mut numbers = Numbers::default();
        let mut place = |(number, id, named): &(Option<u64>, &'static str, bool)| {
            let id = Some(JsonText::plain(id)).filter(|id| !id.is_empty());
            numbers.place(Label { number: *number, id, named: *named }).unwrap().0
        };
        labels.iter().map(&mut place).collect()
    }

    #[test]
    fn pieces_find_their_call() {
        let as_openai = [(Some(0), "a", true), (Some(0), "", false), (Some(1), "b", true)];
        assert_eq!(places(&as_openai), [0, 0, 1]);
        let from_one = [(Some(1), "a", true), (Some(3), "b", true), (Some(1), "", false)];
        assert_eq!(places(&from_one), [0, 1, 0]);
        let restarting = [(Some(0), "a", true), (Some(0), "b", true), (Some(0), "", false)];
        assert_eq!(places(&restarting), [0, 1, 1]);
        let repeating = [(Some(0), "a", true), (Some(0), "a", true)];
        assert_eq!(places(&repeating), [0, 0]);
        let bare = [(None, "", true), (None, "", false), (None, "", true), (None, "", false)];
        assert_eq!(places(&bare), [0, 0, 1, 1]);
        let by_id = [(None, "a", true), (None, "b", true), (None, "a", false)];
        assert_eq!(places(&by_id), [0, 1, 0]);
    }
}
