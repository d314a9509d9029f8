//! Names of fields in Google's API, which takes two spellings of each.

use std::borrow::Cow;

use crate::wire::json::JsonText;

/// The name as Google's documentation spells it, whether it was sent like that or with
/// underscores (<https://protobuf.dev/programming-guides/json>).
pub(super) fn camel(key: JsonText<'_>) -> Cow<'_, str> {
    camel_of(key.unescape())
}

/// The same for a name without escapes.
pub(super) fn camel_of(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.contains('_') {
        return name;
    }
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        match character {
            '_' if !camel.is_empty() => raise = true,
            _ if raise => {
                camel.push(character.to_ascii_uppercase());
                raise = false;
            }
            _ => camel.push(character),
        }
    }
    Cow::Owned(camel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_name() {
        for (sent, name) in [
            ("systemInstruction", "systemInstruction"),
            ("system_instruction", "systemInstruction"),
            ("_responseJsonSchema", "_responseJsonSchema"),
            ("top_k", "topK"),
            ("a__b_", "aB"),
        ] {
            assert_eq!(camel(JsonText::plain(sent)), name);
        }
    }
}
