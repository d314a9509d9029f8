//! Texts that are made while a request is read, and live as long as its body.
//!
//! The hub's requests are slices of the client's. Some APIs say in their structure what the hub
//! wants as one text; that is made once, and kept here.

use std::cell::OnceCell;

use typed_arena::Arena;

use crate::wire::json::{self, JsonText};

/// Keeps texts. Most requests need none, and then it has allocated nothing.
#[derive(Default)]
pub struct Shelf {
    texts: OnceCell<Arena<String>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = self.texts.get().map_or(0, Arena::len);
        write!(f, "Shelf({texts} texts)")
    }
}

impl Shelf {
    /// Keeps a text as it is.
    pub(super) fn keep(&self, text: String) -> &str {
        self.texts.get_or_init(Arena::new).alloc(text)
    }

    /// Keeps a text in the spelling that it has in JSON.
    pub(super) fn spell(&self, text: &str) -> JsonText<'_> {
        let mut spelt = Vec::with_capacity(text.len() + 16);
        json::push_escaped(&mut spelt, text);
        // Escaping adds only ASCII.
        JsonText::spelt(self.keep(String::from_utf8(spelt).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_while_others_come() {
        let shelf = Shelf::default();
        let first = shelf.spell("a\"b\n");
        let many: Vec<&str> = (0..1000).map(|index| shelf.keep(index.to_string())).collect();
        assert_eq!(first.raw(), "a\\\"b\\n");
        assert!(many.iter().enumerate().all(|(index, text)| *text == index.to_string()));
    }
}
