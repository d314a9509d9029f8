//! Vendors' points in time: RFC 3339 text to seconds since 1970.

use crate::base::ascii::parse_u64;
use crate::wire::date::days_since_1970;

/// Reads `2026-02-15T07:50:39.884152Z` or with an offset like `+01:00`; fractions are cut off.
/// Nothing for anything else and for times before 1970.
pub(super) fn rfc3339_to_unix(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| parse_u64(text.get(from..to)?.as_bytes());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    let fits = marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark))
        && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        && (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    let rest = text.get(19..)?;
    let fraction = rest
        .strip_prefix('.')
        .map_or(0, |digits| 1 + digits.bytes().take_while(u8::is_ascii_digit).count());
    let local = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    match rest.get(fraction..)? {
        "Z" | "z" => Some(local),
        offset => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let ahead = parse_u64(hours.as_bytes())? * 3600 + parse_u64(minutes.as_bytes())? * 60;
            match offset.as_bytes().first() {
                Some(b'+') => local.checked_sub(ahead),
                Some(b'-') => local.checked_add(ahead),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T23:59:59.999Z", Some(1_709_251_199)),
            ("2026-02-15T07:50:39.884152Z", Some(1_771_141_839)),
            ("2026-02-15T08:50:39+01:00", Some(1_771_141_839)),
            ("2000-03-01T00:00:00-00:30", Some(951_870_600)),
            ("2026-02-15 07:50:39Z", Some(1_771_141_839)),
            ("2026-02-15T07:50:39", None),
            ("2026-13-15T07:50:39Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(rfc3339_to_unix(text), unix, "{text}");
        }
    }
}
