//! The inner loops of the JSON reader, eight bytes at a time where that can be.

/// Space between tokens.
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The bracket that ends an object or an array.
pub(super) const fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// How many of eight bytes come before the first quote, backslash or control byte.
#[inline]
pub(super) fn plain_of_eight(eight: [u8; 8]) -> usize {
    // Without any flag this is 64 / 8.
    usize::try_from(special_of_eight(eight).trailing_zeros() / 8).unwrap_or(0)
}

/// Flags the quotes, backslashes and control bytes among eight bytes. The lowest flag is exact;
/// borrows only reach higher bytes.
#[inline]
fn special_of_eight(eight: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(eight);
    // Below 0x20, or 0x22: with one bit flipped both are below 0x21, and nothing else is.
    let low_or_quote = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (low_or_quote | backslash) & !word & HIGH
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes come before the first quote, backslash or control byte.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let special = special_of_eight(*eight);
        if special != 0 {
            let inside = usize::try_from(special.trailing_zeros() / 8).unwrap_or(0);
            return bytes.len() - rest.len() + inside;
        }
        rest = tail;
    }
    let special = rest.iter().position(|byte| is_special(*byte));
    bytes.len() - rest.len() + special.unwrap_or(rest.len())
}

/// The length of the escape at the start of `bytes`.
pub(super) fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(2),
        Some(b'u') if bytes.get(2..6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
            Some(6)
        }
        _ => None,
    }
}
