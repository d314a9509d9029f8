//! Finds a short text in another one, without the preparations of a searcher that pay only where
//! much is searched.

use memchr::memmem;
use wide::u8x16;

/// In a longer text the preparations pay.
const SHORT_BYTES: usize = 1024;

/// Where `needle`, which has at least one byte, begins first in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (Some(first), Some(last)) = (needle.first(), needle.last()) else { return Some(0) };
    if bytes.len() > SHORT_BYTES {
        return memmem::find(bytes, needle);
    }
    // It can begin at each of the places of `firsts`; its last byte is then at the same of `lasts`.
    let gap = needle.len() - 1;
    let firsts = bytes.get(..bytes.len().checked_sub(gap)?)?;
    let lasts = bytes.get(gap..)?;
    let is_at = |at: usize| bytes.get(at..).is_some_and(|rest| rest.starts_with(needle));
    let (first16, last16) = (u8x16::splat(*first), u8x16::splat(*last));
    let (firsts16, rest) = firsts.as_chunks::<16>();
    for (index, (begin, end)) in firsts16.iter().zip(lasts.as_chunks::<16>().0).enumerate() {
        let both = u8x16::new(*begin).simd_eq(first16) & u8x16::new(*end).simd_eq(last16);
        let mut places = both.to_bitmask();
        while places != 0 {
            let at = index * 16 + usize::try_from(places.trailing_zeros()).unwrap_or(0);
            if is_at(at) {
                return Some(at);
            }
            places &= places - 1;
        }
    }
    let from = firsts.len() - rest.len();
    let ends = lasts.get(from..)?;
    let both = |(begin, end): (&u8, &u8)| begin == first && end == last;
    (rest.iter().zip(ends).enumerate().filter(|(_, pair)| both(*pair)))
        .map(|(at, _)| from + at)
        .find(|at| is_at(*at))
}

/// The lines of ready fields, each with its end.
pub fn lines(fields: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = fields;
    std::iter::from_fn(move || {
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, behind) = rest.split_at_checked(length)?;
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        let text = "aab\r\n\r\nabcab\"x\"yz__thought__ab\"content\":\"aaaaaaaaaaaaaaaaaaaaaab\" é";
        let bytes = text.as_bytes();
        for from in 0..bytes.len() {
            for to in from + 1..bytes.len() {
                let needle = &bytes[from..to];
                for cut in [0, 1, 7, 30] {
                    let rest = &bytes[cut..];
                    let plain = rest.windows(needle.len()).position(|window| window == needle);
                    assert_eq!(find(rest, needle), plain, "{needle:?} behind {cut}");
                }
            }
        }
        assert_eq!(find(b"", b"a"), None);
        assert_eq!(find(b"a", b"aa"), None);
    }

    #[test]
    fn lines_keep_their_ends() {
        let cases: [(&str, &[&str]); 4] = [
            ("", &[]),
            ("a: 1\r\n", &["a: 1\r\n"]),
            ("a: 1\r\n\nb: 2", &["a: 1\r\n", "\n", "b: 2"]),
            ("\n\n", &["\n", "\n"]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = lines(text.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
