//! Request ids: unique without any state that cores share.

use super::rng::Rng;

/// An id of at most [`RequestId::LENGTH_MAX`] bytes, either made by us (`req_` and 26 characters)
/// or sent by the client and found to be harmless.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; Self::LENGTH_MAX],
    /// Invariant: `length <= LENGTH_MAX`, and `bytes[..length]` is `[A-Za-z0-9._-]`.
    length: u8,
}

impl RequestId {
    /// The longest id that is kept.
    pub const LENGTH_MAX: usize = 128;

    /// A new id: 130 random bits, so that ids of many machines do not meet.
    pub fn random(rng: &mut Rng) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut id = Self { bytes: [0; Self::LENGTH_MAX], length: 30 };
        id.bytes[..4].copy_from_slice(b"req_");
        let mut bits = 0u64;
        for (index, slot) in id.bytes[4..30].iter_mut().enumerate() {
            if index % 12 == 0 {
                bits = rng.bits();
            }
            *slot = ALPHABET[usize::from(bits.to_le_bytes()[0] & 31)];
            bits >>= 5;
        }
        id
    }

    /// Keeps a client's own id if it is 1 to 128 characters of `[A-Za-z0-9._-]`.
    pub fn from_client(sent: &[u8]) -> Option<Self> {
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        if sent.is_empty() || sent.len() > Self::LENGTH_MAX || !sent.iter().all(harmless) {
            return None;
        }
        let mut id = Self { bytes: [0; Self::LENGTH_MAX], length: u8::try_from(sent.len()).ok()? };
        id.bytes[..sent.len()].copy_from_slice(sent);
        Some(id)
    }

    /// The bytes of the id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// A number that stands for the id among those that run; never zero. Cheap, so not safe from
    /// somebody who wants two ids to have the same.
    pub fn tag(&self) -> u64 {
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let words = usize::from(self.length).div_ceil(8);
        let (words, _rest) = self.bytes.as_chunks::<8>().0.split_at(words);
        let mix = |tag: u64, word: &[u8; 8]| {
            (tag.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(SPREAD)
        };
        words.iter().fold(u64::from(self.length), mix) | 1
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_differ_and_are_acceptable_ids_themselves() {
        let mut rng = Rng::new(3);
        let (a, b) = (RequestId::random(&mut rng), RequestId::random(&mut rng));
        assert_ne!(a, b);
        assert_eq!(RequestId::from_client(a.as_str().as_bytes()), Some(a));
        assert_eq!(a.as_str().len(), 30);
    }

    #[test]
    fn tags_tell_ids_apart() {
        let tag = |id: &str| RequestId::from_client(id.as_bytes()).expect("harmless").tag();
        let longest = "x".repeat(RequestId::LENGTH_MAX);
        let ids = ["a", "aa", "order-1-try-00000001", "order-1-try-00000002", &longest];
        let mut tags: Vec<u64> = ids.iter().map(|id| tag(id)).collect();
        tags.sort_unstable();
        tags.dedup();
        assert!(tags.len() == ids.len() && tags.iter().all(|tag| *tag != 0), "{tags:?}");
    }

    #[test]
    fn client_ids_are_kept_only_when_harmless() {
        assert_eq!(
            RequestId::from_client(b"a.B-9_").map(|id| id.as_str().to_owned()).unwrap(),
            "a.B-9_"
        );
        for bad in [&b""[..], b"a b", b"a\nb", b"\xc3\xa9", &[b'a'; 129]] {
            assert_eq!(RequestId::from_client(bad), None);
        }
        assert!(RequestId::from_client(&[b'a'; 128]).is_some());
    }
}
