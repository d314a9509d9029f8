//! One value: what is written, what kind it must be, what it means.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeString, DeValue};

use crate::base::date::{date_to_days, rfc3339_to_unix};

use super::account::{self, ServiceAccount};
use super::budget::nanos_of_usd;
use super::error::quote;
use super::limits::{
    KEY_CHARS_MIN, LABEL_BYTES_MAX, LABELS_MAX, MODEL_CHARS_MAX, NAME_CHARS_MAX, Range,
    SECRET_CHARS_MAX,
};
use super::network::Network;
use super::origin::{Base, Origin, check_host};
use super::secret::Secret;

/// A value as it was written.
#[derive(Clone, Copy)]
pub(super) enum Raw<'t> {
    /// In a variable or on the command line: text, whatever it means.
    Word(&'t str),
    /// In the file, where it has a type.
    Toml(&'t DeValue<'t>),
}

/// The most dollars that a million tokens can cost: ten times what any has.
const PER_MILLION_MAX: u64 = 10_000;

/// The most times of a price that another can be.
const TIMES_MAX: u64 = 1000;

/// What a value must be. Tables are no scalars: see `parse.rs`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar {
    Flag,
    /// True, false or `auto`.
    AutoFlag,
    Port,
    Whole(Range),
    /// A number, or `auto`.
    AutoWhole(Range),
    /// A number, or `off`, which is read as `auto` is.
    WholeOrOff(Range),
    Size(Range),
    /// From 0 to 1.
    Ratio,
    /// The range is in milliseconds.
    Wait(Range),
    /// A duration, or `off`.
    WaitOrOff(Range),
    Choice(&'static [&'static str]),
    /// Printable text, such as a path.
    Text,
    /// Several of them.
    Texts,
    /// Addresses, and networks like `10.0.0.0/8`.
    Networks,
    /// What becomes a metric label.
    Name,
    Model,
    /// A model, or a prefix ending in `*`.
    Pattern,
    Patterns,
    Region,
    /// Of Google Cloud.
    Project,
    Host,
    Address,
    Base(Base),
    Cores,
    /// What clients send: not too short.
    ClientKey,
    /// What vendors gave us: one or several.
    VendorKeys,
    /// An amount of money, as text so that no cent is rounded.
    Amount,
    /// A date or a time with its offset, in milliseconds since 1970.
    Moment,
    /// A table of texts.
    Labels,
    /// US dollars for a million tokens, as a decimal number; it becomes millionths of a dollar.
    PerMillion,
    /// A factor as a decimal number; it becomes thousandths.
    Times,
    /// A day; it becomes the number `yyyymmdd`.
    Day,
    /// The path of a service account's key file.
    Account,
    /// Gemini's `safetySettings` as JSON.
    SafetySettings,
    /// The same as it is, or in a variable: `env:NAME`.
    OrVariable(&'static Self),
}

/// A value that was understood.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Flag(bool),
    Whole(u64),
    Auto,
    Ratio(f64),
    Wait(Option<Duration>),
    Text(String),
    Texts(Vec<String>),
    Base(Origin),
    Cores(Option<Vec<usize>>),
    Secrets(Vec<Secret>),
    Account(Box<ServiceAccount>),
    Labels(Vec<(String, String)>),
}

/// What a secret may refer to.
pub(super) struct Outside<'s> {
    pub(super) variables: &'s BTreeMap<&'s str, &'s str>,
    pub(super) read_file: &'s dyn Fn(&str) -> Result<String, String>,
}

/// What stands there instead of a right value; never a secret's content.
pub(super) type Found = String;

impl<'t> Raw<'t> {
    pub(super) fn found(self) -> Found {
        match self {
            Self::Word(text) => quote(text),
            Self::Toml(DeValue::String(text)) => quote(text),
            Self::Toml(DeValue::Integer(number)) => number.as_str().to_owned(),
            Self::Toml(DeValue::Float(number)) => number.as_str().to_owned(),
            Self::Toml(DeValue::Boolean(flag)) => flag.to_string(),
            Self::Toml(DeValue::Datetime(_)) => "a date".to_owned(),
            Self::Toml(DeValue::Array(_)) => "an array".to_owned(),
            Self::Toml(DeValue::Table(_)) => "a table".to_owned(),
        }
    }

    fn text(self) -> Option<&'t str> {
        match self {
            Self::Word(text) => Some(text),
            Self::Toml(value) => value.as_str(),
        }
    }

    fn whole(self) -> Option<u64> {
        match self {
            Self::Word(text) => crate::base::ascii::parse_u64(text.as_bytes()),
            Self::Toml(value) => {
                let number = value.as_integer()?;
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
        }
    }

    /// A decimal number as it was written, which floating point would round.
    fn digits(self) -> Option<&'t str> {
        match self {
            Self::Word(text) => Some(text),
            Self::Toml(DeValue::String(text)) => Some(text),
            Self::Toml(DeValue::Float(number)) => Some(number.as_str()),
            Self::Toml(DeValue::Integer(number)) if number.radix() == 10 => Some(number.as_str()),
            Self::Toml(_) => None,
        }
    }

    fn flag(self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Word(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            },
        }
    }

    fn ratio(self) -> Option<f64> {
        let text = match self {
            Self::Word(text) => text,
            Self::Toml(DeValue::Float(number)) => number.as_str(),
            Self::Toml(DeValue::Integer(number)) => number.as_str(),
            Self::Toml(_) => return None,
        };
        text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    }

    /// The items of an array of text, of a list with commas, or one text alone.
    fn items(self) -> Option<Vec<&'t str>> {
        match self {
            Self::Word(text) => Some(text.split(',').map(str::trim).collect()),
            Self::Toml(DeValue::Array(array)) => {
                array.iter().map(|item| item.get_ref().as_str()).collect()
            }
            Self::Toml(value) => value.as_str().map(|text| vec![text]),
        }
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let members = table.iter();
            let members: Vec<_> = members
                .map(|(name, value)| format!("{} = {}", name.get_ref(), shown(value.get_ref())))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        other => Raw::Toml(other).found(),
    }
}

impl Scalar {
    /// The words of a budget's `per`.
    pub(super) const PERIOD: Self = Self::Choice(&["day", "week", "month", "total"]);

    /// Understands `raw`, or says what stands there instead.
    pub(super) fn read(self, raw: Raw<'_>, outside: &Outside<'_>) -> Result<Value, Found> {
        match self {
            Self::ClientKey => {
                let text = raw.text().ok_or_else(|| "a value that is not text".to_owned())?;
                Ok(Value::Secrets(vec![secret(text, KEY_CHARS_MIN, outside)?]))
            }
            Self::VendorKeys => {
                let several = matches!(raw, Raw::Toml(_)).then(|| raw.items());
                let texts = several.unwrap_or_else(|| raw.text().map(|text| vec![text]));
                let texts = texts.filter(|texts| !texts.is_empty());
                let texts = texts.ok_or_else(|| "a value that is not text".to_owned())?;
                let keys = texts.into_iter().map(|text| secret(text, 1, outside));
                Ok(Value::Secrets(keys.collect::<Result<_, _>>()?))
            }
            Self::Base(base) => {
                let text = raw.text().ok_or_else(|| raw.found())?;
                Ok(Value::Base(Origin::parse(text, base).map_err(str::to_owned)?))
            }
            Self::Account => {
                let path = raw.text().ok_or_else(|| raw.found())?;
                let read = (outside.read_file)(path);
                let text =
                    read.map_err(|why| format!("{}, which cannot be read: {why}", quote(path)))?;
                let account = ServiceAccount::parse(path, &Secret::new(text));
                let account = account.map_err(|wrong| format!("{}, {wrong}", quote(path)))?;
                Ok(Value::Account(Box::new(account)))
            }
            Self::OrVariable(inner) => inner.read_or_variable(raw, outside),
            _ => self.plain(raw).ok_or_else(|| raw.found()),
        }
    }

    /// A value as it is written, for people; secrets are not shown.
    pub(super) fn shown(self, raw: Raw<'_>) -> String {
        match (self, raw) {
            (Self::ClientKey | Self::VendorKeys, _) => "***".to_owned(),
            (Self::OrVariable(inner), _) => inner.shown(raw),
            (_, Raw::Word(text)) => text.to_owned(),
            (_, Raw::Toml(value)) => shown(value),
        }
    }

    /// What stands in a variable may be a secret that is there by mistake: it is never repeated.
    fn read_or_variable(self, raw: Raw<'_>, outside: &Outside<'_>) -> Result<Value, Found> {
        let written = raw.text().unwrap_or_default();
        let Some(name) = written.strip_prefix("env:") else { return self.read(raw, outside) };
        let held = outside.variables.get(name).filter(|held| !held.is_empty());
        let held = held.ok_or_else(|| format!("{}, which is not set", quote(written)))?;
        let read = self.read(Raw::Word(held), outside);
        read.map_err(|_held| format!("{}, which holds something else", quote(written)))
    }

    fn plain(self, raw: Raw<'_>) -> Option<Value> {
        let within =
            |range: Range, number: u64| (range.min..=range.max).contains(&number).then_some(number);
        Some(match self {
            Self::AutoFlag if raw.text() == Some("auto") => Value::Auto,
            Self::Flag | Self::AutoFlag => Value::Flag(raw.flag()?),
            Self::Port => Value::Whole(raw.whole().filter(|port| (1..=65_535).contains(port))?),
            Self::AutoWhole(_) if raw.text() == Some("auto") => Value::Auto,
            Self::WholeOrOff(_) if raw.text() == Some("off") => Value::Auto,
            Self::Whole(range) | Self::AutoWhole(range) | Self::WholeOrOff(range) => {
                Value::Whole(within(range, raw.whole()?)?)
            }
            Self::Size(range) => {
                let bytes = raw.whole().or_else(|| raw.text().and_then(size))?;
                Value::Whole(within(range, bytes)?)
            }
            Self::Ratio => Value::Ratio(raw.ratio()?),
            Self::WaitOrOff(_) if raw.text() == Some("off") => Value::Wait(None),
            Self::Wait(range) | Self::WaitOrOff(range) => {
                let wait = within(range, raw.text().and_then(millis)?)?;
                Value::Wait(Some(Duration::from_millis(wait)))
            }
            Self::Cores => Value::Cores(cores(raw.text()?)?),
            Self::Choice(words) => {
                let text = raw.text()?;
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text))?;
                Value::Text((*word).to_owned())
            }
            Self::PerMillion | Self::Times | Self::Day | Self::Moment => {
                Value::Whole(self.scaled(raw)?)
            }
            Self::Texts | Self::Patterns | Self::Networks => {
                let single = if matches!(self, Self::Patterns) { Self::Pattern } else { self };
                let items = raw.items()?;
                let fits = items.iter().all(|item| single.accepts(item));
                Value::Texts(fits.then(|| items.into_iter().map(str::to_owned).collect())?)
            }
            Self::Host => Value::Text(check_host(raw.text()?)?),
            Self::Labels => Value::Labels(labels(raw)?),
            Self::SafetySettings => Value::Text(safety_settings(raw.text()?)?),
            _ => Value::Text(raw.text().filter(|text| self.accepts(text))?.to_owned()),
        })
    }

    /// For the kinds that become a number of a smaller unit.
    fn scaled(self, raw: Raw<'_>) -> Option<u64> {
        match self {
            Self::PerMillion => decimal(raw.digits()?, 6, PER_MILLION_MAX),
            Self::Times => decimal(raw.digits()?, 3, TIMES_MAX),
            Self::Day => day(raw),
            Self::Moment => moment(raw),
            _ => None,
        }
    }

    /// For the kinds that stay text.
    fn accepts(self, text: &str) -> bool {
        let made_of = |most: usize, more: &[u8]| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
            (1..=most).contains(&text.len()) && text.bytes().all(fits)
        };
        match self {
            Self::Networks => Network::parse(text).is_some(),
            Self::Name => made_of(NAME_CHARS_MAX, b"._-"),
            Self::Model => made_of(MODEL_CHARS_MAX, b"._:/@-"),
            Self::Pattern => match text.strip_suffix('*') {
                Some("") => true,
                Some(prefix) => Self::Model.accepts(prefix),
                None => Self::Model.accepts(text),
            },
            // It becomes part of a host's name.
            Self::Region => made_of(40, b"-") && !text.starts_with('-'),
            Self::Project => made_of(NAME_CHARS_MAX, b"-.:"),
            Self::Address => text.parse::<SocketAddr>().is_ok(),
            Self::Amount => nanos_of_usd(text).is_some(),
            _ => !text.trim().is_empty() && !text.contains(char::is_control),
        }
    }

    /// What would be right, for an error.
    pub(super) fn expected(self) -> String {
        let number = |range: Range| format!("a number from {} to {}", range.min, range.max);
        let wait = |range: Range| {
            let (min, max) = (range.min, range.max / 1000);
            format!("a duration from {min}ms to {max}s, such as 250ms, 30s or 5m")
        };
        let fixed = match self {
            Self::Whole(range) => return number(range),
            Self::AutoWhole(range) => return format!("\"auto\" or {}", number(range)),
            Self::WholeOrOff(range) => return format!("\"off\" or {}", number(range)),
            Self::Size(range) => {
                let (min, max) = (range.min, range.max);
                return format!("a size such as 10MiB or a number of bytes, from {min} to {max}");
            }
            Self::Wait(range) => return wait(range),
            Self::WaitOrOff(range) => return format!("\"off\" or {}", wait(range)),
            Self::Choice(words) => return format!("one of {}", words.join(", ")),
            Self::OrVariable(inner) => return format!("{}, or env:NAME", inner.expected()),
            Self::ClientKey => {
                let least = format!("a key of {KEY_CHARS_MIN} characters or more");
                return format!("{least} without spaces, env:NAME or file:PATH");
            }
            Self::Flag => "true or false",
            Self::AutoFlag => "\"auto\", true or false",
            Self::Port => "a port number from 1 to 65535",
            Self::Ratio => "a number from 0 to 1",
            Self::Text => "text without control characters",
            Self::Texts => "a list of text",
            Self::Networks => "addresses and networks, such as 10.0.0.0/8 or ::1",
            Self::Name => "a name of 1 to 64 characters of A-Z a-z 0-9 . _ -",
            Self::Model => "a model name of 1 to 128 characters of A-Z a-z 0-9 . _ : / @ -",
            Self::Pattern => "a model name, or a prefix ending in *",
            Self::Patterns => "a list of model names, or prefixes ending in *",
            Self::Project => "a project id of Google Cloud",
            Self::Region => "a region such as us-central1 or global",
            Self::Host => "a host name or an IP address",
            Self::Address => "an address such as 127.0.0.1:4001",
            Self::Base(_) => "a URL such as https://host:port",
            Self::Cores => "\"auto\" or core numbers such as 0-3,6",
            Self::VendorKeys => "a key without spaces, env:NAME or file:PATH, or a list of them",
            Self::Amount => "an amount as text, such as \"25.00\"",
            Self::Moment => "a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z",
            Self::Labels => "a table of texts",
            Self::PerMillion => {
                "US dollars for a million tokens, such as \"0.30\", with at most 6 decimals"
            }
            Self::Times => "a factor such as \"0.5\", from 0 to 1000 with at most 3 decimals",
            Self::Day => "a day such as \"2026-12-01\"",
            Self::Account => account::EXPECTED,
            Self::SafetySettings => {
                "a JSON array such as [{\"category\":\"HARM_CATEGORY_HARASSMENT\",\
                 \"threshold\":\"BLOCK_ONLY_HIGH\"}]"
            }
        };
        fixed.to_owned()
    }
}

/// The time that `250ms`, `30s`, `5m`, `2h` or `90d` means; `None` for anything else.
pub fn duration(text: &str) -> Option<Duration> {
    millis(text).map(Duration::from_millis)
}

/// Milliseconds of `250ms`, `30s`, `5m`, `2h` or `90d`.
fn millis(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit);
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    crate::base::ascii::parse_u64(digits.as_bytes())?.checked_mul(scale)
}

/// Bytes of `10MiB` and the like. `MB` is refused: half of its readers mean something else.
fn size(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    crate::base::ascii::parse_u64(digits.as_bytes())?.checked_mul(1 << shift)
}

/// A decimal number of so many decimals at most as a whole number of its last one, up to `most` of
/// the number's own.
fn decimal(text: &str, decimals: usize, most: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.len() > decimals || part.is_empty() {
        return None;
    }
    let unit = 10_u64.pow(u32::try_from(decimals).ok()?);
    let part = crate::base::ascii::parse_u64(format!("{part:0<decimals$}").as_bytes())?;
    let whole = crate::base::ascii::parse_u64(whole.as_bytes())?.checked_mul(unit)?;
    let sum = whole.checked_add(part)?;
    (sum <= most * unit).then_some(sum)
}

/// The number `yyyymmdd` of a day that is written as text or as TOML has it.
fn day(raw: Raw<'_>) -> Option<u64> {
    let (year, month, day) = match raw {
        Raw::Toml(DeValue::Datetime(toml::value::Datetime {
            date: Some(date),
            time: None,
            offset: None,
        })) => (u64::from(date.year), u64::from(date.month), u64::from(date.day)),
        _ => {
            let text = raw.text().filter(|text| text.len() == 10)?;
            let number = |at: std::ops::Range<usize>| {
                crate::base::ascii::parse_u64(text.get(at)?.as_bytes())
            };
            let dashes = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
            (number(0..4).filter(|_| dashes)?, number(5..7)?, number(8..10)?)
        }
    };
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    };
    let real = (1..=12).contains(&month) && (1..=days).contains(&day) && year >= 1970;
    real.then_some(year * 10_000 + month * 100 + day)
}

/// Core numbers in ascending order, each once; `Some(None)` for `auto`.
#[expect(clippy::option_option, reason = "the outer one is the error")]
fn cores(text: &str) -> Option<Option<Vec<usize>>> {
    const HIGHEST: u64 = 4095;
    if text == "auto" {
        return Some(None);
    }
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let low = crate::base::ascii::parse_u64(low.trim().as_bytes())?;
        let high = crate::base::ascii::parse_u64(high.trim().as_bytes())?;
        if low > high || high > HIGHEST {
            return None;
        }
        cores.extend((low..=high).filter_map(|core| usize::try_from(core).ok()));
        // Overlapping ranges must not add up without end.
        cores.sort_unstable();
        cores.dedup();
    }
    Some(Some(cores))
}

/// The milliseconds since 1970 of a date, which begins at midnight UTC, or of a time.
pub fn moment_of(text: &str) -> Option<u64> {
    let seconds = date_to_days(text).map(|days| days * 86_400).or_else(|| rfc3339_to_unix(text))?;
    seconds.checked_mul(1000)
}

fn moment(raw: Raw<'_>) -> Option<u64> {
    match raw {
        Raw::Toml(DeValue::Datetime(date)) => moment_of(&date.to_string()),
        other => moment_of(other.text()?),
    }
}

fn labels(raw: Raw<'_>) -> Option<Vec<(String, String)>> {
    let Raw::Toml(DeValue::Table(table)) = raw else { return None };
    let label = |(name, text): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let (name, text) = (name.get_ref().to_string(), text.get_ref().as_str()?.to_owned());
        is_label(&name, &text).then_some((name, text))
    };
    let labels = table.iter().map(label).collect::<Option<Vec<_>>>()?;
    (labels.len() <= LABELS_MAX).then_some(labels)
}

/// May a key have this label?
pub fn is_label(name: &str, text: &str) -> bool {
    let printable = !text.contains(char::is_control) && text.len() <= LABEL_BYTES_MAX;
    Scalar::Name.accepts(name) && printable
}

/// May a key have this name?
pub fn is_name(name: &str) -> bool {
    Scalar::Name.accepts(name)
}

/// Is this a model's or route's name, or a prefix of one ending in `*`?
pub fn is_pattern(text: &str) -> bool {
    Scalar::Pattern.accepts(text)
}

/// One of Gemini's safety settings.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SafetySetting {
    category: String,
    threshold: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
}

/// The settings without spaces.
fn safety_settings(text: &str) -> Option<String> {
    let settings: Vec<SafetySetting> = serde_json::from_str(text).ok()?;
    serde_json::to_string(&settings).ok()
}

/// The secret that `text` holds or refers to.
fn secret(text: &str, chars_min: usize, outside: &Outside<'_>) -> Result<Secret, Found> {
    let content = if let Some(name) = text.strip_prefix("env:") {
        let value = outside.variables.get(name).filter(|value| !value.is_empty());
        (*value.ok_or_else(|| format!("{}, which is not set", quote(text)))?).to_owned()
    } else if let Some(path) = text.strip_prefix("file:") {
        let read = (outside.read_file)(path);
        let read = read.map_err(|why| format!("{}, which cannot be read: {why}", quote(text)))?;
        // An editor's line end is no part of the key.
        read.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        text.to_owned()
    };
    let secret = Secret::new(content);
    let content = secret.expose();
    let chars = content.len();
    if !content.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Err("a key with spaces, control characters or letters beyond ASCII".to_owned());
    }
    if chars < chars_min || chars > SECRET_CHARS_MAX {
        return Err(format!("a key of {chars} characters"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::super::limits;
    use super::*;

    fn word(kind: Scalar, text: &str) -> Result<Value, Found> {
        let variables = BTreeMap::from([("KEY", "0123456789abcdef"), ("EMPTY", "")]);
        let read_file = |path: &str| match path {
            "/key" => Ok("from-a-file-0123456\n".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        let outside = Outside { variables: &variables, read_file: &read_file };
        kind.read(Raw::Word(text), &outside)
    }

    #[test]
    fn durations_and_sizes() {
        let cases = [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000)];
        for (text, want) in cases {
            assert_eq!(millis(text), Some(want), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "-5s", "1.5s", "5sec", "99999999999999999999s", "+1s"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
        assert_eq!(
            (size("10MiB"), size("2KiB"), size("1GiB")),
            (Some(10 << 20), Some(2048), Some(1 << 30))
        );
        for bad in ["", "MiB", "1MB", "1.5MiB", "18446744073709551615GiB", "1 MiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_stands_in_a_variable_is_never_repeated() {
        const PROJECT: Scalar = Scalar::OrVariable(&Scalar::Project);
        assert!(
            matches!(word(PROJECT, "env:KEY"), Ok(Value::Text(text)) if text == "0123456789abcdef")
        );
        assert!(matches!(word(PROJECT, "plain-1"), Ok(Value::Text(text)) if text == "plain-1"));
        let found = |text| word(PROJECT, text).expect_err("refused");
        assert_eq!(found("env:EMPTY"), "\"env:EMPTY\", which is not set");
        assert_eq!(found("not one"), "\"not one\"");
        const AREA: Scalar = Scalar::OrVariable(&Scalar::Choice(&["here"]));
        let found = word(AREA, "env:KEY").expect_err("another word");
        assert_eq!(found, "\"env:KEY\", which holds something else");
        assert_eq!(AREA.expected(), "one of here, or env:NAME");
    }

    #[test]
    fn core_lists() {
        assert_eq!(cores("auto"), Some(None));
        assert_eq!(cores("6,0-3,2"), Some(Some(vec![0, 1, 2, 3, 6])));
        for bad in ["", "3-1", "a", "1,", "0-9999999999", "-1"] {
            assert_eq!(cores(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_hold_at_their_ends() {
        for (text, fits) in [("0", false), ("1", true), ("65535", true), ("65536", false)] {
            assert_eq!(word(Scalar::Port, text).is_ok(), fits, "{text}");
        }
        for (text, fits) in
            [("0", true), ("1", true), ("0.2", true), ("1.01", false), ("NaN", false)]
        {
            assert_eq!(word(Scalar::Ratio, text).is_ok(), fits, "{text}");
        }
        let wait = Scalar::WaitOrOff(limits::TOTAL);
        for (text, fits) in [("off", true), ("1ms", true), ("0ms", false), ("25h", false)] {
            assert_eq!(word(wait, text).is_ok(), fits, "{text}");
        }
        assert!(word(Scalar::Wait(limits::IDLE), "off").is_err());
    }

    #[test]
    fn words_of_environment_variables() {
        for (text, want) in [("true", true), ("1", true), ("YES", true), ("on", true), ("0", false)]
        {
            assert!(matches!(word(Scalar::Flag, text), Ok(Value::Flag(flag)) if flag == want));
        }
        assert!(word(Scalar::Flag, "maybe").is_err());
        for (kind, good, bad) in [
            (Scalar::Name, "team-a.1_x", "team a"),
            (Scalar::Model, "meta/llama-3:8b@x", "a*"),
            (Scalar::Pattern, "gemini-*", "a*b"),
            (Scalar::Region, "us-central1", "us.central1/x"),
            (Scalar::Project, "example.com:project-1", "a/b"),
            (Scalar::Address, "[::1]:80", "localhost:80"),
            (Scalar::Amount, "25.00", "1e9"),
            (Scalar::Text, "/a b", "a\nb"),
            (Scalar::Host, "::1", "a b"),
            (Scalar::Patterns, "fast, gemini-*", "fast,,x"),
        ] {
            assert!(word(kind, good).is_ok(), "{good}");
            assert!(word(kind, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_inline_or_referred_to() {
        for (text, want) in [
            ("inline-0123456789", "inline-0123456789"),
            ("env:KEY", "0123456789abcdef"),
            ("file:/key", "from-a-file-0123456"),
        ] {
            let Ok(Value::Secrets(found)) = word(Scalar::ClientKey, text) else { panic!("{text}") };
            assert_eq!(found[0].expose(), want);
        }
        for (text, want) in [
            ("too-short", "a key of 9 characters"),
            ("env:NONE", "\"env:NONE\", which is not set"),
            ("env:EMPTY", "\"env:EMPTY\", which is not set"),
            ("file:/none", "\"file:/none\", which cannot be read: no such file"),
            ("with a space 0123456789", "a key with spaces"),
            ("with-a-line\r\nx: y-0123", "a key with spaces"),
        ] {
            let found = word(Scalar::ClientKey, text).expect_err(text);
            assert!(found.starts_with(want), "{found}");
        }
        assert!(word(Scalar::VendorKeys, &"k".repeat(9000)).is_err());
    }
}
