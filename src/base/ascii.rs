//! Numbers and words in ascii, without allocation and without a locale.

/// Parses digits only: no sign, no space, no overflow.
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A set of bytes.
#[derive(Debug)]
pub struct ByteSet([bool; 256]);

impl ByteSet {
    /// All letters and digits, and these.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is below 256, and this is made of constants"
    )]
    pub const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 128_u8 {
            set[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            set[others[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    /// Are all `bytes` in it?
    pub fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.0.get(usize::from(*byte)).is_some_and(|is_in| *is_in))
    }
}

/// Appends `value` in decimal.
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    let mut room = [0; DIGITS_MAX];
    out.extend_from_slice(digits(value, &mut room));
}

/// Digits of the largest number.
pub const DIGITS_MAX: usize = 20;

/// `value` in decimal, at the end of `room`.
pub fn digits(mut value: u64, room: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            return &room[at..];
        }
    }
}

/// Appends `value` in lower-case hexadecimal, without leading zeros.
pub fn push_hex(out: &mut Vec<u8>, value: u64) {
    let digits = (64 - (value | 1).leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        let nibble = usize::try_from((value >> (digit * 4)) & 15).unwrap_or(0);
        out.push(b"0123456789abcdef"[nibble]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_round_trip_and_refusals() {
        for value in [0, 1, 9, 10, 99, 12_345, u64::MAX] {
            let mut out = Vec::new();
            push_u64(&mut out, value);
            assert_eq!(parse_u64(&out), Some(value));
        }
        for bad in [&b""[..], b"+1", b"1 ", b"-1", b"18446744073709551616", b"0x1"] {
            assert_eq!(parse_u64(bad), None);
        }
    }

    #[test]
    fn hex_has_no_leading_zeros() {
        for (value, text) in [(0, "0"), (15, "f"), (16, "10"), (0xdead_beef, "deadbeef")] {
            let mut out = Vec::new();
            push_hex(&mut out, value);
            assert_eq!(out, text.as_bytes());
        }
    }
}
