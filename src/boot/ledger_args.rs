//! The command lines of `usage` and `ledger`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::base::date::date_to_days;
use crate::store::ledger::{By, Span};

/// Options of `usage`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Usage {
    /// Something else than sums.
    #[command(subcommand)]
    pub command: Option<UsageCommand>,
    /// What the sums are of.
    #[command(flatten)]
    pub days: Days,
    /// A row for each key, model, day, route or upstream, or for several of them
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub by: Vec<Part>,
    /// The form.
    #[command(flatten)]
    pub form: Form,
}

/// What `usage` does beside sums.
#[derive(Clone, Debug, Subcommand)]
pub enum UsageCommand {
    /// Print single exchanges and corrections, one a line
    Export {
        /// Which ones.
        #[command(flatten)]
        days: Days,
        /// Only the exchange with this id
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// The form; CSV if none is given.
        #[command(flatten)]
        form: Form,
    },
}

/// The days that a report is about.
#[derive(Args, Clone, Debug)]
pub struct Days {
    /// First day (UTC), such as 2026-07-01
    #[arg(long, value_name = "DAY", value_parser = read_day)]
    pub from: Option<u64>,
    /// Last day (UTC)
    #[arg(long, value_name = "DAY", value_parser = read_day)]
    pub to: Option<u64>,
    /// Only what this key has used
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
}

/// How something is printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Form {
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV
    #[arg(long)]
    pub csv: bool,
}

/// What makes a row of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The client's key
    Key,
    /// The model that the upstream was asked for
    Model,
    /// The UTC day
    Day,
    /// The route
    Route,
    /// The upstream
    Upstream,
}

/// What `ledger` does.
#[derive(Clone, Debug, Subcommand)]
pub enum LedgerCommand {
    /// Copy the store to a new file while the gateway runs
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Check the store: its file, its sums, and that no exchange is missing
    Verify {
        /// A backup [default: the store]
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring the store's tables up to date
    Migrate,
    /// Charge a key more, or less with an amount below 0
    Adjust {
        /// The key's name
        #[arg(long, value_name = "NAME")]
        key: String,
        /// US dollars, such as 1.25 or -0.000001
        #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, value_parser = read_usd)]
        usd: i64,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Correct what exchanges were charged to what they cost by the prices of now
    Reprice {
        /// Which ones.
        #[command(flatten)]
        days: Days,
        /// Only tell what would be corrected
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Days {
    /// The same for the ledger.
    pub fn span(&self) -> Span<'_> {
        Span { from_day: self.from, to_day: self.to, key: self.key.as_deref() }
    }
}

impl Part {
    /// The same for the ledger.
    pub const fn by(self) -> By {
        match self {
            Self::Key => By::Key,
            Self::Model => By::Model,
            Self::Day => By::Day,
            Self::Route => By::Route,
            Self::Upstream => By::Upstream,
        }
    }
}

fn read_day(text: &str) -> Result<u64, &'static str> {
    date_to_days(text).ok_or("expected a day such as 2026-07-01")
}

/// Dollars to nano-dollars, exactly.
fn read_usd(text: &str) -> Result<i64, &'static str> {
    const EXPECTED: &str =
        "expected an amount in US dollars with at most 9 decimals, such as 1.25 or -0.000001";
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (dollars, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let fits = |digits: &str, most| {
        (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !fits(dollars, 6) || !fits(decimals, 9) {
        return Err(EXPECTED);
    }
    let number: Option<i64> = format!("{dollars}{decimals:0<9}").parse().ok();
    number.map(|nanos| sign * nanos).ok_or(EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, nanos) in [
            ("1.25", Some(1_250_000_000)),
            ("-0.000001", Some(-1000)),
            ("0.000000001", Some(1)),
            ("999999", Some(999_999_000_000_000)),
            ("12", Some(12_000_000_000)),
            ("1000000", None),
            ("0.0000000001", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("1.", None),
            ("1e3", None),
            ("--1", None),
            ("+1", None),
        ] {
            assert_eq!(read_usd(text).ok(), nanos, "{text}");
        }
    }
}
