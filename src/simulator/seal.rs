//! Marks that the simulator puts on what it says, and knows again when they come back: thought
//! signatures, ids of calls, opaque data, access tokens.
//!
//! Nothing is remembered. A mark is a keyed hash over what it stands on, so it is still good
//! after a restart of the simulator. The key is in this file and protects nothing.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{digest, hmac};

/// A key that everybody may know.
const KEY: &[u8] = b"vertex-bridge simulator: this key is public and protects nothing";

/// What Google documents for calls in a history that comes from elsewhere.
const DUMMIES: [&str; 2] =
    ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// Bytes of the number that makes two marks on the same thing differ.
const NONCE: usize = 8;

/// Bytes of the short mark of arguments.
const SHORT: usize = 8;

/// Real signatures are long, and what carries them must be able to. Divisible by three, so that
/// the text ends without padding.
const SIGNATURE_BYTES: usize = 240;

/// What a thought signature turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// Not base64.
    Broken,
    /// Not from this simulator, or moved to a part that it was not made for.
    Foreign,
    /// The documented stand-in.
    Dummy,
    /// Ours; whether the arguments are still those that it was made for.
    Ours { intact: bool },
}

/// A signature for a call of the function `name` with these canonical arguments; for a text the
/// name is empty.
pub(super) fn signature(name: &str, arguments: &str, nonce: u64) -> String {
    STANDARD.encode(signature_bytes(name, nonce.to_be_bytes(), &short(arguments)))
}

/// Looks at the signature of a part.
pub(super) fn inspect(signature: &str, name: &str, arguments: &str) -> Signature {
    if DUMMIES.contains(&signature) {
        return Signature::Dummy;
    }
    // Google takes both alphabets, and its SDK sends the other one back.
    let standard = signature.replace('-', "+").replace('_', "/");
    let Ok(bytes) = STANDARD.decode(&standard) else { return Signature::Broken };
    let Some((nonce, rest)) = bytes.split_first_chunk::<NONCE>() else {
        return Signature::Foreign;
    };
    let marked = rest.get(..SHORT).unwrap_or_default();
    if signature_bytes(name, *nonce, marked) == bytes {
        Signature::Ours { intact: marked == short(arguments) }
    } else {
        Signature::Foreign
    }
}

fn signature_bytes(name: &str, nonce: [u8; NONCE], arguments: &[u8]) -> Vec<u8> {
    let mac = keyed(&[b"signature", name.as_bytes(), &nonce, arguments]);
    let mut bytes = [&nonce, arguments, &mac].concat();
    let mut block = mac;
    while bytes.len() < SIGNATURE_BYTES {
        // The rest says nothing, but it must be the same when it comes back.
        block = keyed(&[b"padding", &block]);
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(SIGNATURE_BYTES);
    bytes
}

/// An id for a call of `name` with these canonical arguments.
pub(super) fn call_id(prefix: &str, name: &str, arguments: &str, nonce: u64) -> String {
    let nonce = letters::<8>(&keyed(&[b"nonce", &nonce.to_be_bytes()]));
    format!("{prefix}{nonce}{}{}", id_check(&nonce), id_mark(&nonce, name, arguments))
}

/// Has the call with this id come back as it was made? None when the id is not ours.
pub(super) fn is_intact(id: &str, name: &str, arguments: &str) -> Option<bool> {
    let tail = id.len().checked_sub(8 + 4 + 12).and_then(|start| id.get(start..))?;
    let (nonce, rest) = tail.split_at_checked(8)?;
    let (check, mark) = rest.split_at_checked(4)?;
    (check == id_check(nonce)).then(|| mark == id_mark(nonce, name, arguments))
}

fn id_check(nonce: &str) -> String {
    letters::<4>(&keyed(&[b"id", nonce.as_bytes()]))
}

fn id_mark(nonce: &str, name: &str, arguments: &str) -> String {
    letters::<12>(&keyed(&[b"call", nonce.as_bytes(), name.as_bytes(), arguments.as_bytes()]))
}

/// Letters and digits that stand for a hash.
fn letters<const COUNT: usize>(mac: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let letters = mac.iter().take(COUNT).map(|byte| ALPHABET.get(usize::from(byte % 62)));
    letters.map(|letter| letter.map_or('0', |letter| char::from(*letter))).collect()
}

/// Opaque data of one `kind` that belongs to `text`.
pub(super) fn opaque(kind: &str, text: &str, nonce: u64) -> String {
    STANDARD.encode(opaque_bytes(kind, text, nonce.to_be_bytes()))
}

/// Is this opaque data of `kind`, made for exactly this text?
pub(super) fn is_opaque(data: &str, kind: &str, text: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(data) else { return false };
    let nonce = bytes.first_chunk::<NONCE>();
    nonce.is_some_and(|nonce| opaque_bytes(kind, text, *nonce) == bytes)
}

fn opaque_bytes(kind: &str, text: &str, nonce: [u8; NONCE]) -> Vec<u8> {
    let mac = keyed(&[kind.as_bytes(), &nonce, text.as_bytes()]);
    [&nonce[..], &mac, &keyed(&[b"padding", &mac])].concat()
}

/// An access token that is good until `expires`, in seconds since 1970.
pub(super) fn token(expires: u64, nonce: u64) -> String {
    let body = [expires.to_be_bytes(), nonce.to_be_bytes()].concat();
    let mac = keyed(&[b"token", &body]);
    format!("ya29.sim-{}", URL_SAFE_NO_PAD.encode([&body[..], &mac].concat()))
}

/// When an access token of this simulator expires; none for any other text.
pub(super) fn token_expiry(token: &str) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("ya29.sim-")?).ok()?;
    let (body, mac) = bytes.split_at_checked(16)?;
    let ours = mac == keyed(&[b"token", body]);
    let expires = body.first_chunk::<8>().filter(|_| ours)?;
    Some(u64::from_be_bytes(*expires))
}

/// The first eight hexadecimal digits of the SHA-256 of `text`.
pub(super) fn fingerprint(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// A stream of numbers that depends on `text` alone, for vectors.
pub(super) fn numbers_of(text: &str) -> impl Iterator<Item = u8> + use<> {
    let mut block = keyed(&[b"numbers", text.as_bytes()]);
    std::iter::repeat_with(move || {
        let now = block;
        block = keyed(&[b"next", &now]);
        now
    })
    .flatten()
}

fn short(arguments: &str) -> [u8; SHORT] {
    let mac = keyed(&[b"arguments", arguments.as_bytes()]);
    mac.first_chunk().copied().unwrap_or_default()
}

fn keyed(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, KEY));
    for part in parts {
        // Lengths keep two lists of parts from running into the same bytes.
        context.update(&u64::try_from(part.len()).unwrap_or(0).to_be_bytes());
        context.update(part);
    }
    let mut mac = [0; 32];
    for (slot, byte) in mac.iter_mut().zip(context.sign().as_ref()) {
        *slot = *byte;
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_known_again_and_only_on_their_part() {
        let made = signature("weather", r#"{"city":"Bern"}"#, 7);
        assert_eq!(made.len(), 320);
        let look = |text: &str, name, arguments| inspect(text, name, arguments);
        let intact = Signature::Ours { intact: true };
        assert_eq!(look(&made, "weather", r#"{"city":"Bern"}"#), intact);
        let other_alphabet = made.replace('+', "-").replace('/', "_");
        assert_eq!(look(&other_alphabet, "weather", r#"{"city":"Bern"}"#), intact);
        assert_eq!(look(&made, "weather", "{}"), Signature::Ours { intact: false });
        assert_eq!(look(&made, "time", r#"{"city":"Bern"}"#), Signature::Foreign);
        assert_ne!(made, signature("weather", r#"{"city":"Bern"}"#, 8));
        for at in [0, 9, 20, 100, 319] {
            let mut changed = made.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(look(&changed, "weather", r#"{"city":"Bern"}"#), Signature::Foreign, "{at}");
        }
        assert_eq!(look("AAAA", "weather", ""), Signature::Foreign);
        assert_eq!(look("not base64", "weather", ""), Signature::Broken);
        assert_eq!(look("skip_thought_signature_validator", "weather", ""), Signature::Dummy);
    }

    #[test]
    fn ids_tell_whether_a_call_came_back_as_it_was() {
        let id = call_id("toolu_01", "weather", "{}", 1);
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        assert_eq!(is_intact(&id, "weather", "{}"), Some(true));
        assert_eq!(is_intact(&id, "weather", "{\"a\":1}"), Some(false));
        assert_eq!(is_intact(&id, "time", "{}"), Some(false));
        for foreign in ["", "call_1", "call_0123456789abcdefghijklmn", "ü".repeat(24).as_str()] {
            assert_eq!(is_intact(foreign, "weather", "{}"), None, "{foreign}");
        }
    }

    #[test]
    fn opaque_data_belongs_to_its_text() {
        let data = opaque("thinking", "Hm.", 3);
        assert!(is_opaque(&data, "thinking", "Hm."));
        assert!(!is_opaque(&data, "thinking", "Hm!") && !is_opaque(&data, "redacted", "Hm."));
        assert!(!is_opaque("", "thinking", "Hm.") && !is_opaque("*", "thinking", "Hm."));
    }

    #[test]
    fn tokens_carry_their_end() {
        let made = token(1_000, 5);
        assert_eq!(token_expiry(&made), Some(1_000));
        assert_eq!(token_expiry("ya29.sim-AAAA"), None);
        assert_eq!(token_expiry(&made.replace("sim-AAAA", "sim-AAAB")), None);
        assert_eq!(token_expiry("ya29.a0AfH6SMB"), None);
        assert_eq!(fingerprint("abc"), "ba7816bf");
        let (some, same) = (numbers_of("a").take(100), numbers_of("a").take(100));
        assert!(some.eq(same) && numbers_of("a").take(9).ne(numbers_of("b").take(9)));
    }
}
