//! Ids for calls of tools that a vendor gave none: 128 random bits, so that those of different
//! rounds and machines do not meet.

use crate::base::Rng;
use crate::wire::json::JsonText;

const PREFIX: &[u8; 5] = b"call_";
const LENGTH: usize = 27;

/// One id, `call_` and 22 letters and digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallId([u8; LENGTH]);

/// A new id.
pub(super) fn random(rng: &mut Rng) -> CallId {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = [0; LENGTH];
    let mut bits = u128::from(rng.bits()) << 64 | u128::from(rng.bits());
    for (slot, fixed) in id.iter_mut().zip(PREFIX) {
        *slot = *fixed;
    }
    for slot in id.iter_mut().skip(PREFIX.len()) {
        let digit = usize::try_from(bits % 62).unwrap_or(0);
        bits /= 62;
        *slot = ALPHABET.get(digit).copied().unwrap_or(b'0');
    }
    CallId(id)
}

impl CallId {
    /// The id as text.
    pub(super) fn text(&self) -> JsonText<'_> {
        JsonText::spelt(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_keep_their_form() {
        let mut rng = Rng::new(1);
        let (one, two) = (random(&mut rng), random(&mut rng));
        assert_ne!(one.text(), two.text());
        let text = one.text().raw();
        assert!(text.starts_with("call_") && text.len() == LENGTH);
        assert!(text.bytes().skip(5).all(|byte| byte.is_ascii_alphanumeric()));
    }
}
