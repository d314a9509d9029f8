//! Figures as people read them, in few columns.

use super::figures::real;

/// What stands where there is no figure.
pub(super) const NONE: &str = "–";

/// A time of the day, UTC.
pub(super) fn time(unix_millis: u64) -> String {
    let seconds = unix_millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// How long something has lasted.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        86_400.. => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        3600.. => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        60.. => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{seconds} s"),
    }
}

/// A span of time, in at most eight columns.
pub(super) fn span(millis: Option<f64>) -> String {
    match millis {
        None => NONE.to_owned(),
        Some(ms) if ms >= 3_600_000.0 => format!("{:.1} h", ms / 3_600_000.0),
        Some(ms) if ms >= 60_000.0 => format!("{:.1} min", ms / 60_000.0),
        Some(ms) if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        Some(ms) if ms >= 100.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}

/// A span of time in microseconds, of which none have passed where nothing happened.
pub(super) fn micros(micros: u64) -> String {
    span((micros > 0).then(|| real(micros) / 1000.0))
}

/// A count in at most six columns.
pub(super) fn count(count: u64) -> String {
    short(real(count))
}

/// A figure in at most six columns.
pub(super) fn short(value: f64) -> String {
    match value {
        value if value >= 10_000_000_000.0 => format!("{:.0}G", value / 1_000_000_000.0),
        value if value >= 10_000_000.0 => format!("{:.0}M", value / 1_000_000.0),
        value if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        value if value >= 100.0 || value.fract().abs() < 0.05 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

/// An amount in dollars, in at most nine columns.
pub(super) fn money(usd: Option<&str>) -> String {
    match usd.and_then(|usd| usd.parse::<f64>().ok()) {
        None => NONE.to_owned(),
        Some(usd) if usd >= 1.0 => format!("${usd:.2}"),
        Some(usd) if usd == 0.0 || usd >= 0.000_01 => format!("${usd:.5}"),
        Some(_) => "<$0.00001".to_owned(),
    }
}

/// `text` in so many columns, with a mark where it was cut.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept = text.chars().take(columns.saturating_sub(1));
    kept.chain((columns > 0).then_some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let spans = [0.04, 82.0, 999.4, 1234.0, 90_000.0, 7_200_000.0].map(|ms| span(Some(ms)));
        assert_eq!(spans, ["0.0 ms", "82.0 ms", "999 ms", "1.23 s", "1.5 min", "2.0 h"]);
        assert_eq!(
            (span(None).as_str(), micros(0).as_str(), micros(1500).as_str()),
            ("–", "–", "1.5 ms")
        );
        let counts = [0, 99, 9999, 30_000, 12_345_678, 98_765_432_100].map(count);
        assert_eq!(counts, ["0", "99", "9999", "30k", "12M", "99G"]);
        assert_eq!((short(0.25).as_str(), short(40.01).as_str()), ("0.2", "40"));
        let amounts = ["0", "0.00003125", "0.0000001", "12.345", "x"].map(|usd| money(Some(usd)));
        assert_eq!(amounts, ["$0.00000", "$0.00003", "<$0.00001", "$12.35", "–"]);
        assert_eq!(
            (age(59), age(3700), age(90_000)),
            ("59 s".into(), "1 h 1 min".into(), "1 d 1 h".into())
        );
        assert_eq!(time(3_601_234), "01:00:01");
    }

    #[test]
    fn what_is_cut_is_marked() {
        assert_eq!((fit("google", 6).as_str(), fit("google", 4).as_str()), ("google", "goo…"));
        assert_eq!((fit("ü", 0).as_str(), fit("üü", 1).as_str()), ("", "…"));
    }
}
