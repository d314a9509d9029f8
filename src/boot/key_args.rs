//! The command line of `keys`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::{Budget, duration, is_label, is_name, is_pattern, moment_of};

/// What can be done with the keys of the store.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its secret is printed this once
    Create(Create),
    /// All keys
    List,
    /// One key
    Show {
        /// Its name
        name: String,
    },
    /// Give a key another secret; it is printed this once
    Rotate {
        /// Its name
        name: String,
        /// How long the secret that it had opens as well
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = read_duration)]
        overlap: Duration,
    },
    /// Revoke a key, for ever; a second later it opens nothing any more
    Revoke {
        /// Its name
        name: String,
    },
}

/// What a new key shall be.
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// Its name, which no other key has or has had
    #[arg(long, value_parser = read_name)]
    pub name: String,
    /// A model that it may use, or a prefix ending in *; may be given several times [default: all]
    #[arg(long = "model", value_name = "PATTERN", value_parser = read_pattern)]
    pub models: Vec<String>,
    /// A route that it may use, by its pattern; may be given several times [default: all]
    #[arg(long = "route", value_name = "PATTERN", value_parser = read_pattern)]
    pub routes: Vec<String>,
    /// Requests in a minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute, of prompts and answers
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub tokens_per_minute: Option<u64>,
    /// Requests at a time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// USD that it may spend in each day, week, month, or in total, such as 25.00/month; may be
    /// given once for each period
    #[arg(long = "budget", value_name = "USD/PERIOD", value_parser = read_budget)]
    pub budgets: Vec<Budget>,
    /// Until when it opens: a date, which begins at midnight UTC, or a time
    #[arg(long, value_name = "TIME", value_parser = read_moment)]
    pub expires: Option<u64>,
    /// A note; may be given several times
    #[arg(long = "label", value_name = "NAME=TEXT", value_parser = read_label)]
    pub labels: Vec<(String, String)>,
}

fn read_duration(text: &str) -> Result<Duration, &'static str> {
    duration(text).ok_or("expected a duration such as 30s, 15m or 1h")
}

fn read_name(text: &str) -> Result<String, &'static str> {
    let fits = is_name(text) && text != "master";
    fits.then(|| text.to_owned())
        .ok_or("expected a name of 1 to 64 characters of A-Z a-z 0-9 . _ - other than master")
}

fn read_pattern(text: &str) -> Result<String, &'static str> {
    is_pattern(text).then(|| text.to_owned()).ok_or("expected a name, or a prefix ending in *")
}

fn read_budget(text: &str) -> Result<Budget, &'static str> {
    Budget::parse(text).ok_or("expected an amount and day, week, month or total: 25.00/month")
}

fn read_moment(text: &str) -> Result<u64, &'static str> {
    moment_of(text).ok_or("expected a date such as 2027-01-31, or 2027-01-31T12:00:00Z")
}

fn read_label(text: &str) -> Result<(String, String), &'static str> {
    let label = text.split_once('=').filter(|(name, text)| is_label(name, text));
    let (name, text) = label.ok_or("expected NAME=TEXT, such as owner=ops")?;
    Ok((name.to_owned(), text.to_owned()))
}
