//! A strict JSON reader (RFC 8259) that hands out slices of the text instead of building a tree.
//!
//! The gateway moves text from one JSON document into another. Slices keep every number's and
//! every escape's spelling, cost no allocation, and nothing is converted there and back. All that
//! is skipped is checked as strictly as what is read.

use std::borrow::Cow;

use super::json_scan::{behind_space, is_space, plain_length};
pub use super::json_scan::{is_spelling, text_end};

/// Deeper nesting is refused before anything could recurse.
pub const DEPTH_MAX: usize = 128;

/// Why a text is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// It is not JSON.
    Syntax,
    /// It nests deeper than [`DEPTH_MAX`].
    Depth,
    /// It is JSON, but of another type.
    Type,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are JSON's")]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// The inside of a JSON string, escaped as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonText<'b>(&'b str);

impl<'b> JsonText<'b> {
    /// Text that needs no escaping: no quote, no backslash, no control character.
    pub const fn plain(text: &'static str) -> JsonText<'static> {
        JsonText(text)
    }

    /// A spelling that was read from JSON before and kept.
    pub fn spelt(raw: &'b str) -> Self {
        debug_assert!(!raw.bytes().any(|byte| byte < b' '), "{raw:?} is not a spelling");
        Self(raw)
    }

    /// Text that turns out to need no escaping.
    pub fn clean(text: &'b str) -> Option<Self> {
        (plain_length(text.as_bytes()) == text.len()).then_some(Self(text))
    }

    /// Still escaped, without the quotes.
    pub fn raw(self) -> &'b str {
        self.0
    }

    /// The first `length` bytes of the spelling; the caller knows that a character, and no escape,
    /// ends there. Nothing when it does not.
    pub fn head(self, length: usize) -> Self {
        Self(self.0.get(..length).unwrap_or_default())
    }

    /// The spelling behind its first `length` bytes, under the same condition.
    pub fn tail(self, length: usize) -> Self {
        Self(self.0.get(length..).unwrap_or_default())
    }

    /// Is there no text?
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The text that is meant. A lone surrogate becomes U+FFFD. Allocates only when there are
    /// escapes.
    #[inline]
    pub fn unescape(self) -> Cow<'b, str> {
        // Nothing else that stops the scan can stand in a spelling.
        if plain_length(self.0.as_bytes()) == self.0.len() {
            return Cow::Borrowed(self.0);
        }
        Cow::Owned(self.unescaped())
    }

    fn unescaped(self) -> String {
        let mut text = String::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some((before, escape)) = rest.split_once('\\') {
            text.push_str(before);
            rest = push_escape(escape, &mut text);
        }
        text.push_str(rest);
        text
    }
}

/// Appends the character of the escape at the start of `rest`, behind its backslash.
fn push_escape<'b>(rest: &'b str, text: &mut String) -> &'b str {
    let mut characters = rest.chars();
    let simple = match characters.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return push_unicode(characters.as_str(), text),
        Some(other) => other,
        None => return "",
    };
    text.push(simple);
    characters.as_str()
}

fn push_unicode<'b>(rest: &'b str, text: &mut String) -> &'b str {
    let unit = |rest: &str| rest.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let (Some(first), Some(tail)) = (unit(rest), rest.get(4..)) else { return "" };
    if (0xd800..0xdc00).contains(&first)
        && let Some(after) = tail.strip_prefix("\\u")
        && let Some(second) = unit(after).filter(|second| (0xdc00..0xe000).contains(second))
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return after.get(4..).unwrap_or("");
    }
    text.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    tail
}

/// Appends `text` as a JSON string with its quotes, escaping as little as JSON allows.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends the inside of a JSON string.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend(
                    [byte >> 4, byte & 15].map(|nibble| b"0123456789abcdef"[nibble as usize]),
                );
            }
            _ => out.push(byte),
        }
    }
}

/// Appends a JSON text without the space between its tokens.
pub fn push_compact(out: &mut Vec<u8>, json: &str) {
    each_token_run(json, |run| out.extend_from_slice(run));
}

/// Appends a JSON text as the inside of a JSON string, without the space between its tokens.
pub fn push_compact_escaped(out: &mut Vec<u8>, json: &str) {
    each_token_run(json, |run| {
        let mut rest = run;
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before);
            out.push(b'\\');
            out.extend(from.first());
            rest = from.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    });
}

/// Calls `take` with the pieces of a JSON text between its insignificant space.
fn each_token_run(json: &str, mut take: impl FnMut(&[u8])) {
    let bytes = json.as_bytes();
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                loop {
                    at += plain_length(bytes.get(at..).unwrap_or_default());
                    match bytes.get(at) {
                        Some(b'\\') => at += 2,
                        Some(b'"') | None => break,
                        Some(_) => at += 1,
                    }
                }
                at += 1;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                take(bytes.get(from..at).unwrap_or_default());
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    take(bytes.get(from..).unwrap_or_default());
}

/// Reads one JSON text from front to back.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    pub(super) text: &'b str,
    pub(super) at: usize,
    pub(super) depth: usize,
}

impl<'b> Reader<'b> {
    /// A reader at the start of `text`.
    pub fn new(text: &'b str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// How far it has read, in bytes. Right behind [`Reader::kind`] the next value begins there.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The type of the next value, by its first character.
    ///
    /// # Errors
    /// When no value begins here.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(JsonError::Syntax),
        }
    }

    /// Reads an object; `member` is called with each key and must read its value.
    ///
    /// # Errors
    /// When it is no object, is broken, or `member` fails.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut member: impl FnMut(&mut Self, JsonText<'b>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{')?;
        if self.take(b'}') {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(JsonError::Syntax.into()),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; `element` is called with each index and must read its value.
    ///
    /// # Errors
    /// When it is no array, is broken, or `element` fails.
    pub fn array<E: From<JsonError>>(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[')?;
        if self.take(b']') {
            self.depth -= 1;
            return Ok(());
        }
        for index in 0.. {
            element(self, index)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(JsonError::Syntax.into()),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string.
    ///
    /// # Errors
    /// When it is none, or is broken.
    #[inline]
    pub fn string(&mut self) -> Result<JsonText<'b>, JsonError> {
        match self.text() {
            Some(inside) => Ok(JsonText(inside)),
            None => Err(self.not_a_string()),
        }
    }

    /// The inside of the string that comes next. `None` fits into the registers that the text
    /// comes back in, which a `Result` does not.
    fn text(&mut self) -> Option<&'b str> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let from = self.at + 1;
        let end = text_end(self.text.as_bytes(), from)?;
        self.at = end + 1;
        self.text.get(from..end)
    }

    #[cold]
    fn not_a_string(&mut self) -> JsonError {
        match self.kind() {
            Ok(Kind::String) => JsonError::Syntax,
            Ok(_) => JsonError::Type,
            Err(error) => error,
        }
    }

    /// Reads a number and gives its spelling.
    ///
    /// # Errors
    /// When it is none, or is broken.
    pub fn number(&mut self) -> Result<&'b str, JsonError> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.kind().err().unwrap_or(JsonError::Type));
        }
        let from = self.at;
        self.take_byte(b'-');
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(JsonError::Syntax),
        }
        // Most numbers are whole.
        if matches!(self.byte(), Some(b'.' | b'e' | b'E')) {
            self.fraction()?;
        }
        self.text.get(from..self.at).ok_or(JsonError::Syntax)
    }

    fn fraction(&mut self) -> Result<(), JsonError> {
        if self.take_byte(b'.') {
            self.some_digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    /// Reads an unsigned whole number. A vendor's `9.0` or `1e1` is not one.
    ///
    /// # Errors
    /// When it is none.
    pub fn unsigned(&mut self) -> Result<u64, JsonError> {
        self.space();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let (mut value, mut digits) = (0_u64, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            digits += 1;
        }
        // Nineteen digits always fit; whatever is not plain goes the long way.
        let plain = (1..20).contains(&digits) && (digits == 1 || rest.first() != Some(&b'0'));
        if plain && !matches!(rest.get(digits), Some(b'.' | b'e' | b'E')) {
            self.at += digits;
            return Ok(value);
        }
        self.number()?.parse().map_err(|_not_whole| JsonError::Type)
    }

    /// Reads a boolean.
    ///
    /// # Errors
    /// When it is none.
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        if self.kind()? != Kind::Bool {
            return Err(JsonError::Type);
        }
        if self.word("true") {
            return Ok(true);
        }
        if self.word("false") { Ok(false) } else { Err(JsonError::Syntax) }
    }

    /// Skips `null`, and says whether there was one.
    ///
    /// # Errors
    /// When the word is misspelt.
    pub fn null(&mut self) -> Result<bool, JsonError> {
        if self.kind()? != Kind::Null {
            return Ok(false);
        }
        if self.word("null") { Ok(true) } else { Err(JsonError::Syntax) }
    }

    /// Reads any value, checks it, and gives its text without surrounding space.
    ///
    /// # Errors
    /// When it is broken or too deep.
    pub fn raw(&mut self) -> Result<&'b str, JsonError> {
        self.space();
        let from = self.at;
        self.skip()?;
        self.text.get(from..self.at).ok_or(JsonError::Syntax)
    }

    /// Skips any value; checks it as it goes.
    ///
    /// # Errors
    /// When it is broken or too deep.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        match self.kind()? {
            Kind::Object | Kind::Array => self.skip_container(),
            // Where its characters begin does not matter.
            Kind::String => {
                let end = text_end(self.text.as_bytes(), self.at + 1).ok_or(JsonError::Syntax)?;
                self.at = end + 1;
                Ok(())
            }
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.boolean().map(drop),
            Kind::Null => self.null().map(drop),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<JsonText<'b>, JsonError> {
        let key = self.string().map_err(|_not_a_key| JsonError::Syntax)?;
        self.colon()?;
        Ok(key)
    }

    /// What was read since the place at `offset`, which [`Self::offset`] gave.
    pub fn since(&self, offset: usize) -> &'b str {
        self.text.get(offset..self.at).unwrap_or_default()
    }

    /// Skips `text` if it comes next. It has been read before, so it is not checked again; it ends
    /// with a bracket or a quote, so nothing can be added to it.
    pub fn skip_known(&mut self, text: &str) -> bool {
        debug_assert!(text.ends_with([']', '}', '"']), "{text:?} could go on");
        self.space();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found = rest.starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Reads what is left of an object behind a member that [`Self::skip_known`] has skipped,
    /// together with all of the object before it.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn rest_of_object<E: From<JsonError>>(
        &mut self,
        mut member: impl FnMut(&mut Self, JsonText<'b>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.depth += 1;
        while self.take(b',') {
            let key = self.key()?;
            member(self, key)?;
        }
        self.must(b'}')?;
        self.depth -= 1;
        Ok(())
    }

    /// Nothing but space may follow.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&mut self) -> Result<(), JsonError> {
        if self.peek().is_none() { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        if self.peek() != Some(bracket) {
            return Err(self.kind().err().unwrap_or(JsonError::Type));
        }
        if self.depth == DEPTH_MAX {
            return Err(JsonError::Depth);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// It stands right behind nearly every key.
    #[inline]
    fn colon(&mut self) -> Result<(), JsonError> {
        if self.take_byte(b':') { Ok(()) } else { self.must(b':') }
    }

    fn must(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        self.take_byte(byte)
    }

    #[inline]
    fn take_byte(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found = rest.starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        self.digits();
        if self.at > from { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn digits(&mut self) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.byte()
    }

    #[inline]
    fn space(&mut self) {
        if self.byte().is_some_and(is_space) {
            self.at = behind_space(self.text.as_bytes(), self.at + 1);
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_text_keeps_strings_and_numbers() {
        let json = "{ \"a b\" :\t[1.0e5 , \"x \\\" y\\n\"],\r\n \"é\":null }";
        let mut out = Vec::new();
        push_compact(&mut out, json);
        let compact = "{\"a b\":[1.0e5,\"x \\\" y\\n\"],\"é\":null}";
        assert_eq!(std::str::from_utf8(&out).unwrap(), compact);
        let mut escaped = b"\"".to_vec();
        push_compact_escaped(&mut escaped, json);
        escaped.push(b'"');
        let text: String = serde_json::from_slice(&escaped).unwrap();
        assert_eq!(text, compact);
    }

    fn check(text: &str) -> Result<(), JsonError> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn json_and_only_json_is_accepted() {
        let good = [
            "{}",
            " [ ] ",
            "\"\"",
            "-0",
            "0.5",
            "1e999",
            "-1.25E+3",
            "true",
            "null",
            r#"{"a":[1,{"b":"\u00e9\ud83d\ude00\n"}],"a":2}"#,
            "\"\u{7f}\u{e9}\"",
        ];
        for text in good {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        let bad = [
            "",
            "{",
            "}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "nul",
            "True",
            "NaN",
            "Infinity",
            "'a'",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "1 2",
            "[1 2]",
            "\"abc",
            "{\"a\":1 \"b\":2}",
            "\u{feff}{}",
            "[1]]",
        ];
        for text in bad {
            assert_eq!(check(text), Err(JsonError::Syntax), "{text}");
        }
    }

    #[test]
    fn serde_agrees_on_every_cut_of_a_document() {
        let text = r#" {"k\"ey": [ -1.5e-3 , true,{"x":null}, "\\\u0041é😀" ] } "#;
        for (cut, _) in text.char_indices() {
            let part = text.split_at(cut).0;
            let serde = serde_json::from_str::<serde::de::IgnoredAny>(part).is_ok();
            assert_eq!(check(part).is_ok(), serde, "{part:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(DEPTH_MAX + 1)), Err(JsonError::Depth));
        assert_eq!(check(&"[".repeat(1_000_000)), Err(JsonError::Depth));
        let wide = format!("[{}0]", "[0],".repeat(1000));
        assert_eq!(check(&wide), Ok(()));
    }

    #[test]
    fn text_is_escaped_and_unescaped() {
        let text = "a\"b\\c\n\r\t\u{1}é😀/";
        let mut out = Vec::new();
        push_string(&mut out, text);
        let written = String::from_utf8(out).unwrap();
        assert_eq!(Reader::new(&written).string().unwrap().unescape(), text);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        let odd = Reader::new(r#""\ud83d\ude00 \ud800 \u0041\/""#).string().unwrap();
        assert_eq!(odd.unescape(), "😀 \u{fffd} A/");
    }

    #[test]
    fn the_end_of_a_string_is_found_at_every_alignment() {
        for special in ["\"", "\\n\"", "\u{1}\""] {
            for before in 0..40 {
                let text = format!("\"{}{special}", "é".repeat(before));
                let read = Reader::new(&text).string();
                assert_eq!(read.is_ok(), !special.starts_with('\u{1}'), "{text}");
            }
        }
    }
}
