//! The inner loops of the JSON reader, sixteen bytes at a time where that can be.

use wide::u8x16;

/// Space between tokens.
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The next place from `at` on where no space is.
#[inline]
pub(super) fn behind_space(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at).copied().is_some_and(is_space) { behind_long_space(bytes, at) } else { at }
}

/// Line ends and indents of text that is written for people.
#[inline(never)]
fn behind_long_space(bytes: &[u8], at: usize) -> usize {
    const INDENT: u64 = u64::from_le_bytes([b' '; 8]);
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let [byte, behind @ ..] = rest
        && is_space(*byte)
    {
        rest = behind;
        while let Some((eight, behind)) = rest.split_first_chunk() {
            let other = u64::from_le_bytes(*eight) ^ INDENT;
            if other != 0 {
                let spaces = usize::try_from(other.trailing_zeros() / 8).unwrap_or(0);
                rest = rest.get(spaces..).unwrap_or_default();
                break;
            }
            rest = behind;
        }
    }
    bytes.len() - rest.len()
}

/// Where the string ends whose inside begins at `from`: the place of its quote.
#[inline]
pub fn text_end(bytes: &[u8], from: usize) -> Option<usize> {
    // Most strings are keys and words.
    let rest = bytes.get(from..)?;
    let end = from + rest.first_chunk().map_or(0, |sixteen| plain_of_sixteen(*sixteen));
    if bytes.get(end) == Some(&b'"') { Some(end) } else { long_text_end(bytes, end) }
}

/// The same for one that goes on at `at`.
#[inline(never)]
fn long_text_end(bytes: &[u8], at: usize) -> Option<usize> {
    spelling_end(bytes, at).filter(|end| bytes.get(*end) == Some(&b'"'))
}

/// Is this the inside of a JSON string?
pub fn is_spelling(bytes: &[u8]) -> bool {
    spelling_end(bytes, 0) == Some(bytes.len()) && std::str::from_utf8(bytes).is_ok()
}

/// How far from `at` on what stands there can be the inside of a string; nowhere where an escape is
/// none.
#[inline]
fn spelling_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += plain_length(bytes.get(at..)?);
        if bytes.get(at) != Some(&b'\\') {
            return Some(at);
        }
        at += escape_length(bytes.get(at..)?)?;
    }
}

/// How many of sixteen bytes come before the first quote, backslash or control byte.
#[inline]
fn plain_of_sixteen(sixteen: [u8; 16]) -> usize {
    let special = special_of_sixteen(sixteen).to_bitmask() | 1 << 16;
    usize::try_from(special.trailing_zeros()).unwrap_or(0)
}

/// Marks the quotes, backslashes and control bytes among sixteen bytes.
#[inline]
fn special_of_sixteen(sixteen: [u8; 16]) -> u8x16 {
    let bytes = u8x16::new(sixteen);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes come before the first quote, backslash or control byte.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((sixteen, tail)) = rest.split_first_chunk() {
        let plain = plain_of_sixteen(*sixteen);
        if plain < 16 {
            return bytes.len() - rest.len() + plain;
        }
        rest = tail;
    }
    let special = rest.iter().position(|byte| is_special(*byte));
    bytes.len() - rest.len() + special.unwrap_or(rest.len())
}

/// The length of the escape at the start of `bytes`.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(2),
        Some(b'u') if bytes.get(2..6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
            Some(6)
        }
        _ => None,
    }
}
