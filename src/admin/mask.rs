//! Takes secrets out of what clients sent and got: those that this process knows, and what looks
//! like one.

use crate::config::Secret;
use crate::policy::Keyring;
use crate::wire::find::find;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// Shorter words open nothing; nor is a shorter secret looked for, which would be everywhere.
const SHORTEST: usize = 8;

/// How vendors' keys and tokens begin.
const SHAPES: [&[u8]; 9] =
    [b"sk-", b"AIza", b"ya29.", b"vb-", b"gsk_", b"xai-", b"pk-", b"Bearer", b"eyJhbGciOi"];

/// A word of such a beginning is a key if it is at least so long.
const SHAPED: usize = 16;

/// Gives `text` without secrets. `ended` is false when it is only the beginning of one: its last
/// word may be part of a key then, and goes as well.
pub(super) fn masked(text: &[u8], ended: bool, secrets: &[Secret], keys: &Keyring) -> Vec<u8> {
    let mut text = text.to_vec();
    for secret in secrets {
        text = replaced(&text, secret.expose().as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = &text[..];
    while !rest.is_empty() {
        let word = rest.iter().take_while(|byte| is_word(**byte)).count();
        let (word, behind) = rest.split_at(word);
        let cut = behind.is_empty() && !ended;
        // A word behind a backslash begins with the letter of an escape.
        let letters = usize::from(out.last() == Some(&b'\\') && !word.is_empty());
        let (escape, inner) = word.split_at(letters);
        if is_secret(word, cut, keys) {
            out.extend_from_slice(MASK);
        } else if is_secret(inner, cut, keys) {
            out.extend_from_slice(escape);
            out.extend_from_slice(MASK);
        } else {
            out.extend_from_slice(word);
        }
        let gap = behind.iter().take_while(|byte| !is_word(**byte)).count();
        let (gap, behind) = behind.split_at(gap);
        out.extend_from_slice(gap);
        rest = behind;
    }
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

fn is_secret(word: &[u8], cut: bool, keys: &Keyring) -> bool {
    // A sentence may end behind a key.
    let dots = word.iter().rev().take_while(|byte| **byte == b'.').count();
    let bare = word.get(..word.len() - dots).unwrap_or_default();
    let shaped = word.len() >= SHAPED && SHAPES.iter().any(|shape| word.starts_with(shape));
    (cut && word.len() >= SHORTEST)
        || shaped
        || word.len() >= SHORTEST && (keys.knows(word) || keys.knows(bare))
}

fn replaced(text: &[u8], secret: &[u8]) -> Vec<u8> {
    if secret.len() < SHORTEST {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = find(rest, secret).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(before);
        out.extend_from_slice(MASK);
        rest = behind.get(secret.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use crate::config::{Auth, ClientKey};
    use crate::policy::Holder;

    use super::*;

    const CLIENTS: &str = "client-canary-0123456789";

    fn keys() -> Keyring {
        let key = ClientKey::plain("team-a", Secret::new(CLIENTS.to_owned()));
        let admin = Some(Secret::new("admin.canary.0123456789".to_owned()));
        let auth = Auth { keys: vec![key.clone()], required: true, admin, unless_stored: None };
        Keyring::new(Holder::of(&[key]), &auth, 7)
    }

    fn shown(text: &str, ended: bool) -> String {
        let secrets = ["upstream/canary+0123", "short"].map(|text| Secret::new(text.to_owned()));
        String::from_utf8(masked(text.as_bytes(), ended, &secrets, &keys())).expect("text")
    }

    #[test]
    fn known_secrets_go_wherever_they_stand() {
        for (text, want) in [
            (format!("\"{CLIENTS}\""), "\"***\""),
            (format!("my key\\n{CLIENTS}\\nis it."), "my key\\n***\\nis it."),
            (format!("It is {CLIENTS}."), "It is ***"),
            (format!("key={CLIENTS}&"), "key=***&"),
            ("admin.canary.0123456789 opens".to_owned(), "*** opens"),
            ("x/upstream/canary+0123y short".to_owned(), "x/***y short"),
            ("a sk-proj-0123456789abcdef b".to_owned(), "a *** b"),
            ("sk-it, a word like another".to_owned(), "sk-it, a word like another"),
        ] {
            assert_eq!(shown(&text, true), want, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_cut_ends_before_a_word_that_may_be_a_key() {
        for length in SHORTEST..CLIENTS.len() {
            let text = format!("so: {}", CLIENTS.get(..length).expect("ASCII"));
            assert_eq!(shown(&text, false), "so: ***");
        }
        assert_eq!(shown("so: brief", false), "so: brief");
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
        for text in ["", "{\"model\":\"gpt-4o\",\"n\":[1,2.50e+10]}", "\\u00e9\\\\ \u{e9}\n\t"] {
            assert_eq!(shown(text, true), text);
        }
    }
}
