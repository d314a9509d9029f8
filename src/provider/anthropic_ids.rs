//! Ids of tool calls as Anthropic takes them: `^[a-zA-Z0-9_-]+$`, and each once in a conversation.
//! Other vendors and gateways are not so strict.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::chat::history::Place;
use crate::wire::json::JsonText;

/// Ids that have been given out.
#[derive(Debug, Default)]
pub(super) struct CallIds<'t> {
    given: BTreeSet<Cow<'t, str>>,
    /// Calls whose id is not what theirs becomes by itself.
    renamed: Vec<(Place, String)>,
}

impl<'t> CallIds<'t> {
    /// The id under which a call goes out.
    pub(super) fn give(&mut self, place: Place, id: JsonText<'t>) -> Cow<'t, str> {
        let wanted = legal(id);
        if self.given.insert(wanted.clone()) {
            return wanted;
        }
        // Counters that begin anew in every turn: the first free number follows.
        let more = (2u32..).map(|count| format!("{wanted}_{count}"));
        let mut free = more.skip_while(|id| self.given.contains(id.as_str()));
        let Some(id) = free.next() else { return wanted };
        self.given.insert(Cow::Owned(id.clone()));
        self.renamed.push((place, id.clone()));
        Cow::Owned(id)
    }

    /// The id under which it went out.
    pub(super) fn given(&self, place: Place, id: JsonText<'t>) -> Cow<'t, str> {
        let found = self.renamed.iter().rev().find(|(renamed, _)| *renamed == place);
        found.map_or_else(|| legal(id), |(_, id)| Cow::Owned(id.clone()))
    }
}

/// An id with a `_` for every character that Anthropic does not take.
fn legal(id: JsonText<'_>) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let meant = id.unescape();
    if meant.is_empty() {
        return Cow::Borrowed("_");
    }
    if meant.chars().all(fits) {
        return meant;
    }
    Cow::Owned(meant.chars().map(|c| if fits(c) { c } else { '_' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_legal_and_stay_apart() {
        let mut ids = CallIds::default();
        let text = JsonText::plain;
        let calls = [
            ((0, 0), "toolu_01A-b", "toolu_01A-b"),
            ((0, 1), "call.1:x/é", "call_1_x__"),
            ((2, 0), "", "_"),
            ((2, 1), "", "__2"),
            ((4, 0), "toolu_01A-b", "toolu_01A-b_2"),
            ((6, 0), "toolu_01A-b", "toolu_01A-b_3"),
        ];
        for (place, id, expected) in calls {
            assert_eq!(ids.give(place, text(id)), expected);
        }
        for (place, id, expected) in calls {
            assert_eq!(ids.given(place, text(id)), expected);
        }
    }
}
