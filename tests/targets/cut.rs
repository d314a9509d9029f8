//! Cuts an input into pieces as a network may; the input itself decides where.

use vertex_bridge::base::Rng;

/// A generator that belongs to these bytes (FNV-1a).
pub(super) fn rng_of(data: &[u8]) -> Rng {
    let hash = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Rng::new(hash)
}

/// Pieces of very different sizes; some are empty.
pub(super) fn pieces<'d>(data: &'d [u8], rng: &mut Rng) -> Vec<&'d [u8]> {
    let size_max = [2, 8, 64, 1024][usize::try_from(rng.below(4)).unwrap_or(0)];
    let (mut pieces, mut rest) = (Vec::new(), data);
    while !rest.is_empty() {
        let size = usize::try_from(rng.below(size_max)).unwrap_or(0);
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
