//! The calendar: days since 1970, and points in time as RFC 3339 spells them. Everything is UTC.

use super::ascii::parse_u64;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// Days of the Gregorian calendar between 1970-01-01 and a date that is not before it.
pub fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // A year that begins in March has its leap day last (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// Year, month and day of a day that counts from 1970-01-01 (the same source).
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month, day)
}

/// Reads `2026-02-15T07:50:39.884152Z` or with an offset like `+01:00` to seconds since 1970;
/// fractions are cut off. Nothing for anything else and for times before 1970.
pub fn rfc3339_to_unix(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| parse_u64(text.get(from..to)?.as_bytes());
    let days = date_to_days(text.get(..10)?)?;
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let bytes = text.as_bytes();
    let fits = bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':')
        && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
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
    let local = days * 86_400 + hour * 3600 + minute * 60 + second;
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

/// Reads `2026-02-15` to days since 1970. Nothing for anything else, for days that no month has and
/// for years before 1970.
pub fn date_to_days(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| parse_u64(text.get(from..to)?.as_bytes());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let marks = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    let looks_right = text.len() == 10 && marks && (1970..=9999).contains(&year);
    if !looks_right || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    (civil(days) == (year, month, day)).then_some(days)
}

/// Writes seconds since 1970 as `2026-02-15T07:50:39Z`.
pub fn rfc3339(unix: u64) -> String {
    let (year, month, day) = civil(unix / 86_400);
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
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
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
    }

    #[test]
    fn every_day_is_its_own_and_no_other_is_read() {
        for days in 0..200_000 {
            let (year, month, day) = civil(days);
            assert_eq!(days_since_1970(year, month, day), days);
            assert_eq!(date_to_days(&format!("{year:04}-{month:02}-{day:02}")), Some(days));
        }
        for wrong in
            ["2026-02-29", "2026-2-15", "2026-02-15T", "1969-12-31", "2026-00-10", "2026é-1-1"]
        {
            assert_eq!(date_to_days(wrong), None, "{wrong}");
        }
    }
}
