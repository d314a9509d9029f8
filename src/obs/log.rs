//! Log lines on standard error: one write per line, nothing formatted that is not wanted.
//!
//! Values are escaped, so that nobody can write a line of their own through one. The level may
//! change while the program runs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::base::date::{DAY_MS, civil};

/// Importance, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A bug or a lost capability.
    Error,
    /// An upstream's fault.
    Warn,
    /// The life cycle.
    Info,
    /// Every exchange.
    Debug,
}

impl Level {
    const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The level of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Its name in lines and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// The least important level that is written, as its number.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static JSON: AtomicBool = AtomicBool::new(false);

/// Sets the level and the form for the whole process.
pub fn set(level: Level, json: bool) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    JSON.store(json, Ordering::Relaxed);
}

/// Changes the level while the process runs.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The least important level that is written now.
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Error,
        1 => Level::Warn,
        2 => Level::Info,
        _ => Level::Debug,
    }
}

/// Would a line of this level be written? Ask before anything is formatted.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// A line that is being put together.
#[derive(Debug)]
pub struct Line {
    text: String,
    json: bool,
}

impl Line {
    /// Begins a line.
    pub fn new(level: Level, unix_millis: u64, message: &str) -> Self {
        let json = JSON.load(Ordering::Relaxed);
        let mut line = Self { text: String::with_capacity(256), json };
        let time = timestamp(unix_millis);
        if json {
            line.text.push('{');
            line.field("ts", &time);
            line.field("level", level.name());
            line.field("message", message);
        } else {
            line.text.push_str(&time);
            let _infallible = write!(line.text, " {:5} {}", level.name(), escape(message));
        }
        line
    }

    /// Appends a field.
    pub fn field(&mut self, name: &str, value: &str) {
        let value = escape(value);
        let _infallible = if self.json {
            let comma = if self.text.ends_with('{') { "" } else { "," };
            write!(self.text, "{comma}\"{name}\":\"{value}\"")
        } else if value.contains([' ', '=', '"']) || value.is_empty() {
            write!(self.text, " {name}=\"{value}\"")
        } else {
            write!(self.text, " {name}={value}")
        };
    }

    /// Appends a number.
    pub fn number(&mut self, name: &str, value: u64) {
        let _infallible = if self.json {
            write!(self.text, ",\"{name}\":{value}")
        } else {
            write!(self.text, " {name}={value}")
        };
    }

    /// Appends microseconds as milliseconds.
    pub fn millis(&mut self, name: &str, micros: u64) {
        let (millis, rest) = (micros / 1000, micros % 1000);
        let _infallible = if self.json {
            write!(self.text, ",\"{name}\":{millis}.{rest:03}")
        } else {
            write!(self.text, " {name}={millis}.{rest:03}")
        };
    }

    /// The finished line.
    pub fn text(mut self) -> String {
        self.text.push_str(if self.json { "}\n" } else { "\n" });
        self.text
    }

    /// Writes the line with one call. A log that cannot be written must not stop the gateway.
    pub fn write(self) {
        let _lost = std::io::stderr().write_all(self.text().as_bytes());
    }
}

/// Writes a plain line, if its level is wanted.
pub fn write(level: Level, unix_millis: u64, message: &str) {
    if enabled(level) {
        Line::new(level, unix_millis, message).write();
    }
}

/// Quotes, backslashes and control characters cannot end a value or a line.
fn escape(value: &str) -> String {
    if !value.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        return value.to_owned();
    }
    let mut text = String::with_capacity(value.len() + 8);
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control.is_control() => {
                let _infallible = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text
}

/// RFC 3339 in UTC with milliseconds.
pub fn timestamp(unix_millis: u64) -> String {
    let (days, millis) = (unix_millis / DAY_MS, unix_millis % DAY_MS);
    let (year, month, day) = civil(days);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, rest) = (millis / 1000 % 60, millis % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_make_a_line_or_a_field() {
        for json in [false, true] {
            let mut line = Line { text: "{".to_owned(), json };
            line.field("a", "x\n\" level=error \u{1b}[0m\u{85}");
            line.number("n", 7);
            let text = line.text();
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\u{1b}') && !text.contains('\u{85}'), "{text}");
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_709_251_199_042), "2024-02-29T23:59:59.042Z");
    }
}
