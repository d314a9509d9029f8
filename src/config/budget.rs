//! Budgets: amounts of money that a key may spend, each in its period.

use crate::base::ascii::parse_u64;

/// Nano-dollars of a budget: a thousand million dollars.
const BUDGET_NANOS_MAX: u64 = 1_000_000_000_000_000_000;

/// An amount that may be spent in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Nano-dollars (10⁻⁹ USD).
    pub nanos: u64,
    /// The period. All begin and end at midnight UTC.
    pub per: Period,
}

/// A period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A week that begins on Monday.
    Week,
    /// A month of the calendar.
    Month,
    /// For ever.
    Total,
}

/// What budgets go by where something is not known.
#[derive(Clone, Copy, Debug)]
pub struct Budgeting {
    /// May a key with a budget use a model whose price is not known? What it costs does not count.
    pub allow_unknown: bool,
    /// So many tokens are reserved for an answer whose length the client leaves open.
    pub answer_tokens: u64,
}

impl Period {
    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The period of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Day, Self::Week, Self::Month, Self::Total].into_iter().find(|p| p.as_str() == word)
    }
}

impl Budget {
    /// Reads `25.00/month`: an amount in USD and the period's word.
    pub fn parse(text: &str) -> Option<Self> {
        let (usd, per) = text.split_once('/')?;
        Some(Self { nanos: nanos_of_usd(usd)?, per: Period::of(per)? })
    }
}

/// The nano-dollars of an amount in USD such as `25` or `0.000001`, above zero and not more than a
/// budget may be.
pub fn nanos_of_usd(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.len() > 9 {
        return None;
    }
    let zeros = u32::try_from(9 - part.len()).ok()?;
    let nanos = parse_u64(part.as_bytes())?.checked_mul(10_u64.pow(zeros))?;
    let nanos = parse_u64(whole.as_bytes())?.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    (1..=BUDGET_NANOS_MAX).contains(&nanos).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_last_digit() {
        for (text, nanos) in [
            ("25", Some(25_000_000_000)),
            ("25.00", Some(25_000_000_000)),
            ("0.000000001", Some(1)),
            ("1000000000", Some(BUDGET_NANOS_MAX)),
            ("1000000000.000000001", None),
            ("0.0000000001", None),
            ("0", None),
            ("0.00", None),
            ("", None),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("1e3", None),
        ] {
            assert_eq!(nanos_of_usd(text), nanos, "{text}");
        }
        let month = Budget { nanos: 5_000_000_000, per: Period::Month };
        assert_eq!(Budget::parse("5/month"), Some(month));
        for wrong in ["5", "5/year", "/day", "5/"] {
            assert_eq!(Budget::parse(wrong), None, "{wrong}");
        }
    }
}
