//! Secrets as they are kept: SHA-256, compared in constant time.

use std::hint::black_box;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// A key's secret as it is kept.
pub type Digest = [u8; SHA256_OUTPUT_LEN];

/// The digest of a secret.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// A digest as text.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what [`hex`] has written.
pub fn unhex(text: &str) -> Option<Digest> {
    let mut digest = [0; SHA256_OUTPUT_LEN];
    if text.len() != digest.len() * 2 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// Looks at every byte; the optimizer is kept from stopping at the first difference.
pub(super) fn equal(a: &Digest, b: &Digest) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| black_box(sum | (x ^ y)));
    black_box(difference) == 0
}
