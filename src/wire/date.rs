//! Points in time as HTTP spells them.

use crate::base::ascii::parse_u64;
use crate::base::date::days_since_1970;

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7) to seconds since 1970. The two
/// obsolete forms, which no vendor sends, are nothing.
pub fn parse_http_date(text: &[u8]) -> Option<u64> {
    let field = |from: usize, to: usize| text.get(from..to);
    let number = |from: usize, to: usize| parse_u64(field(from, to)?);
    let (day, year) = (number(5, 7)?, number(12, 16)?);
    let month = MONTHS.iter().position(|month| field(8, 11) == Some(month))?;
    let month = u64::try_from(month).ok()? + 1;
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    let marks = [(3, 5, &b", "[..]), (7, 8, b" "), (11, 12, b" "), (16, 17, b" "), (19, 20, b":")];
    let fits = marks.iter().all(|(from, to, mark)| field(*from, *to) == Some(mark))
        && field(22, 23) == Some(b":")
        && text.get(25..) == Some(b" GMT")
        && year >= 1970
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let of_day = hour * 3600 + minute * 60 + second;
    fits.then(|| days_since_1970(year, month, day) * 86_400 + of_day)
}

#[cfg(test)]
mod tests {
    use super::super::write::push_http_date;
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for unix in [0, 784_111_777, 951_868_800, 1_709_251_199, 4_102_444_800] {
            let mut text = Vec::new();
            push_http_date(&mut text, unix);
            assert_eq!(parse_http_date(&text), Some(unix));
        }
        for other in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "soon",
        ] {
            assert_eq!(parse_http_date(other.as_bytes()), None, "{other}");
        }
    }
}
