//! One vendor's marks in another API's clothes.
//!
//! Vendors mark what their models thought, and want the marks back in the next turn. A client
//! returns what it was given, so a mark travels in the place that the client's own API has for
//! such a thing: `vbridge1.`, two letters for whose mark it is and on what, a dot, the mark. It is
//! taken off again on the way in and goes to nobody but its vendor.

use crate::wire::json::JsonText;

/// Version 1 of the form. A reader that does not know a later one takes it for another vendor's
/// mark, so the text before the dot must change with the form.
const FORM: &str = "vbridge1.";

/// How the form begins in base64, where an API wants that: it fills whole groups, so it always
/// looks the same.
pub(super) const OPAQUE_FORM: &str = "dmJyaWRnZTEu";

/// What a text that holds a mark has in it.
pub(super) const FORMS: [&str; 2] = [FORM, OPAQUE_FORM];

/// Whose mark, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Google's on the next call of a tool.
    GoogleCall,
    /// Google's on the text of the turn.
    GoogleText,
    /// Anthropic's on the reasoning beside it.
    AnthropicThinking,
    /// Anthropic's reasoning itself, which only Anthropic can read.
    AnthropicRedacted,
    /// None: the reasoning beside it was signed by nobody, and goes back to nobody.
    Unsigned,
}

const LETTERS: [(Mark, &str); 5] = [
    (Mark::GoogleCall, "gc."),
    (Mark::GoogleText, "gt."),
    (Mark::AnthropicThinking, "at."),
    (Mark::AnthropicRedacted, "ar."),
    (Mark::Unsigned, "un."),
];

/// Appends what stands before a mark.
pub(super) fn open(mark: Mark, out: &mut Vec<u8>) {
    out.extend_from_slice(FORM.as_bytes());
    let letters = LETTERS.iter().find(|(known, _)| *known == mark);
    out.extend_from_slice(letters.map_or("", |(_, letters)| letters).as_bytes());
}

/// Takes a mark out of its clothes; nothing when the text is a vendor's own.
pub(super) fn read(text: JsonText<'_>) -> Option<(Mark, JsonText<'_>)> {
    let inside = text.raw().strip_prefix(FORM)?;
    let (mark, letters) = LETTERS.iter().find(|(_, letters)| inside.starts_with(letters))?;
    Some((*mark, text.tail(FORM.len() + letters.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_out_and_come_back() {
        for (mark, _) in LETTERS {
            let mut out = Vec::new();
            open(mark, &mut out);
            out.extend_from_slice(b"c2ln\\/+=");
            let text = String::from_utf8(out).unwrap();
            let (read, inside) = read(JsonText::spelt(&text)).unwrap();
            assert_eq!((read, inside.raw()), (mark, "c2ln\\/+="));
        }
        for other in ["", "vbridge1.", "vbridge1.zz.x", "vbridge2.gc.x", "EqQBCgIYAhIM"] {
            assert_eq!(read(JsonText::plain(other)), None, "{other}");
        }
    }
}
