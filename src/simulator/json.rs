//! A JSON tree that keeps the order of its keys and the spelling of its numbers.
//!
//! Schemas and tool arguments need both: the model fills properties in the order declared, and a
//! number that lost a digit on its way must show.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Deeper trees are refused. It bounds our own recursion.
const DEPTH_MAX: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json<'r> {
    /// `null`, `true`, `false`, or a number as it was written.
    Plain(&'r str),
    Text(Cow<'r, str>),
    List(Vec<Self>),
    Map(Vec<(Cow<'r, str>, Self)>),
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Word<'r>(#[serde(borrow)] Cow<'r, str>);

/// The members of an object in their order.
struct Members<'r>(Vec<(Cow<'r, str>, &'r RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Word(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'r> Json<'r> {
    /// Reads one value; none when it is broken or too deep.
    pub(super) fn parse(text: &'r str) -> Option<Self> {
        Self::parse_within(text, DEPTH_MAX)
    }

    fn parse_within(text: &'r str, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let text = text.trim_ascii();
        match text.as_bytes().first()? {
            b'{' => {
                let Members(members) = serde_json::from_str(text).ok()?;
                let read = members.into_iter().map(|(name, value)| {
                    Self::parse_within(value.get(), depth).map(|value| (name, value))
                });
                read.collect::<Option<_>>().map(Self::Map)
            }
            b'[' => {
                let values: Vec<&'r RawValue> = serde_json::from_str(text).ok()?;
                let read = values.into_iter().map(|value| Self::parse_within(value.get(), depth));
                read.collect::<Option<_>>().map(Self::List)
            }
            b'"' => serde_json::from_str(text).ok().map(|Word(text)| Self::Text(text)),
            _ => {
                let plain: &RawValue = serde_json::from_str(text).ok()?;
                Some(Self::Plain(plain.get()))
            }
        }
    }

    /// The member `name` of an object; of several the last, as most readers take it.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let members = self.as_map()?;
        members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn as_map(&self) -> Option<&[(Cow<'r, str>, Self)]> {
        if let Self::Map(members) = self { Some(members) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        if let Self::Plain(text) = self { text.parse().ok() } else { None }
    }

    /// The value without spaces, its keys sorted, numbers as they were written. Two texts of one
    /// value are equal in this form, whoever wrote them.
    pub(super) fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, true);
        out
    }

    /// The value without spaces, in its own order.
    pub(super) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, false);
        out
    }

    fn write(&self, out: &mut String, sorted: bool) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => out.push_str(&quote(text)),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out, sorted);
                }
                out.push(']');
            }
            Self::Map(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if sorted {
                    members.sort_by(|(left, _), (right, _)| left.cmp(right));
                }
                out.push('{');
                for (index, (name, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&quote(name));
                    out.push(':');
                    value.write(out, sorted);
                }
                out.push('}');
            }
        }
    }
}

/// `text` as a JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Indents JSON by two spaces a level, as Google does in answers that are not streamed.
pub(super) fn indent(compact: &str) -> Vec<u8> {
    let bytes = compact.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() * 2);
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = bytes.get(at).copied() {
        let end = match byte {
            b'"' => end_of_text(bytes, at),
            _ => at + 1,
        };
        match byte {
            b'{' | b'[' if matches!(bytes.get(end), Some(b'}' | b']')) => {
                out.extend_from_slice(bytes.get(at..=end).unwrap_or_default());
                at = end + 1;
                continue;
            }
            b'{' | b'[' | b',' => {
                out.push(byte);
                depth += usize::from(byte != b',');
                put_line(&mut out, depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                put_line(&mut out, depth);
                out.push(byte);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\n' => {}
            _ => out.extend_from_slice(bytes.get(at..end).unwrap_or_default()),
        }
        at = end;
    }
    out.push(b'\n');
    out
}

/// Just behind the text that begins at `start`.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

fn put_line(out: &mut Vec<u8>, depth: usize) {
    const SPACES: &[u8] = b"                                ";
    out.push(b'\n');
    let mut left = depth * 2;
    while left > 0 {
        let spaces = SPACES.get(..left).unwrap_or(SPACES);
        out.extend_from_slice(spaces);
        left -= spaces.len();
    }
}

/// Appends formatted text to a `String`, which cannot fail.
macro_rules! put {
    ($out:expr, $($format:tt)*) => {{
        let _infallible = std::fmt::Write::write_fmt($out, format_args!($($format)*));
    }};
}
pub(super) use put;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_spelling_are_kept() {
        let text = r#" {"b": 9007199254740993, "a": [1.50, "\u00fc\n", {}], "c": null } "#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.compact(), r#"{"b":9007199254740993,"a":[1.50,"ü\n",{}],"c":null}"#);
        assert_eq!(json.canonical(), r#"{"a":[1.50,"ü\n",{}],"b":9007199254740993,"c":null}"#);
        assert_eq!(json.member("a").and_then(Json::as_list).map(<[_]>::len), Some(3));
        assert_eq!(json.member("c"), Some(&Json::Plain("null")));
        assert_eq!(Json::parse("2.5").and_then(|number| number.as_number()), Some(2.5));
        assert_eq!(Json::parse(r#"{"a":1,"a":2}"#).unwrap().member("a"), Some(&Json::Plain("2")));
    }

    #[test]
    fn broken_and_deep_values_are_refused() {
        for text in ["", "{", "[1,]", "nul", "{\"a\":1}x", "\"\u{1}\"", "01"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(DEPTH_MAX)).is_some());
        assert!(Json::parse(&nested(DEPTH_MAX + 1)).is_none());
        assert!(Json::parse(&nested(100_000)).is_none());
    }

    #[test]
    fn indented_json_is_the_same_json() {
        let compact = r#"{"a": [1,{"b":"x: {\"y\"}, \\"},[]],"c":{}}"#;
        let indented = String::from_utf8(indent(compact)).unwrap();
        assert_eq!(Json::parse(&indented), Json::parse(compact));
        assert!(indented.starts_with("{\n  \"a\": [\n    1,\n    {\n      \"b\": "), "{indented}");
        assert!(indented.ends_with("    []\n  ],\n  \"c\": {}\n}\n"), "{indented}");
    }
}
