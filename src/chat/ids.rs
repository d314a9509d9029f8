//! Ids in the form that an API's clients know.

use crate::base::Rng;
use crate::wire::json::JsonText;

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Appends the vendor's id with `prefix` in place of its own; without one a random id of
/// `length` characters that `seed` decides.
pub(super) fn push(
    prefix: &str,
    id: Option<JsonText<'_>>,
    (seed, length): (u64, usize),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(prefix.as_bytes());
    match id {
        Some(id) => out.extend_from_slice(bare(id.raw()).as_bytes()),
        None => push_random(&mut Rng::new(seed), length, out),
    }
}

/// Appends random letters and digits, none of which looks like another.
pub(super) fn push_random(rng: &mut Rng, length: usize, out: &mut Vec<u8>) {
    for _ in 0..length {
        let place = usize::try_from(rng.below(58)).unwrap_or(0);
        out.extend(ALPHABET.get(place));
    }
}

/// An id without the prefix that tells what it is the id of.
pub fn bare(id: &str) -> &str {
    const PREFIXES: [&str; 8] =
        ["chatcmpl-", "msg_", "resp_", "cmpl-", "toolu_", "call_", "fc_", "gen-"];
    PREFIXES.iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_changed_and_the_rest_stays() {
        let made = |id: Option<&'static str>| {
            let mut out = Vec::new();
            push("msg_", id.map(JsonText::plain), (7, 24), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(made(Some("chatcmpl-a-b")), "msg_a-b");
        assert_eq!(made(Some("msg_x")), "msg_x");
        assert_eq!(made(Some("xyz")), "msg_xyz");
        let random = made(None);
        assert!(random.starts_with("msg_") && random.len() == 28 && random == made(None));
    }
}
