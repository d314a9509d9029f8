//! What the events of a stream have in common that only bring more text.
//!
//! Most events of an answer are the same but for the inside of one string. Where an event begins
//! and ends like one before it that was read and said nothing of note, and has the inside of a
//! string in between, a reader would come to the same end: everything up to the string leaves it at
//! the same place, the string is whole and decides nothing, and the rest is the same again.

use memchr::memrchr_iter;

use crate::wire::json::{is_spelling, text_end};

/// Longer events are read each time.
const EVENT_BYTES_MAX: usize = 2048;

/// Events whose common text was looked for in vain until nothing is expected any more.
const TRIES: u8 = 8;

/// Members that no vendor's answer is judged by.
const TEXTS: [&[u8]; 7] = [
    b"\"content\"",
    b"\"text\"",
    b"\"thinking\"",
    b"\"reasoning_content\"",
    b"\"reasoning\"",
    b"\"partial_json\"",
    b"\"arguments\"",
];

/// Learns from events that say nothing of note.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    /// The last event that was read.
    event: Vec<u8>,
    /// How it begins and ends around a string, once that is known; else they are 0.
    start: usize,
    end: usize,
    tries: u8,
}

impl Pattern {
    /// Is an event one of those that are known, so that it need not be read?
    #[inline]
    pub(super) fn knows(&self, data: &[u8]) -> bool {
        if self.start == 0 {
            return false;
        }
        let ends = self.event.get(self.event.len() - self.end..).unwrap_or_default();
        let inside = self.event.get(..self.start).and_then(|start| data.strip_prefix(start));
        let inside = inside.and_then(|rest| rest.strip_suffix(ends));
        inside.is_some_and(is_spelling)
    }

    /// How many bytes the text of an event has that is known.
    pub(super) fn text_bytes(&self, data: &[u8]) -> u64 {
        u64::try_from(data.len().saturating_sub(self.start + self.end)).unwrap_or(0)
    }

    /// Takes note of an event that was read and said nothing of note.
    pub(super) fn learn(&mut self, data: &[u8]) {
        if self.tries >= TRIES || data.len() > EVENT_BYTES_MAX {
            return;
        }
        self.tries += 1;
        (self.start, self.end) = around(&self.event, data).unwrap_or((0, 0));
        self.event.clear();
        self.event.extend_from_slice(data);
    }
}

/// How two JSON texts begin and end alike around the inside of one string that is a value: what
/// stands before and behind it in `other`, quotes included.
fn around(one: &[u8], other: &[u8]) -> Option<(usize, usize)> {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let same = other.get(..same)?;
    let opening = memrchr_iter(b'"', same).find(|at| is_text(same, *at))?;
    let start = opening + 1;
    let ending = |text: &[u8]| Some(text.len() - text_end(text, start)?);
    let end = ending(other)?;
    let ends_alike =
        ending(one)? == end && one.get(one.len() - end..) == other.get(other.len() - end..);
    (ends_alike && end > 0).then_some((start, end))
}

/// Does the text of a member begin at `place`? A letter stands before the quote behind its key, so
/// that quote begins no string, and is no part of one.
fn is_text(event: &[u8], place: usize) -> bool {
    let before = event.get(..place).unwrap_or_default().trim_ascii_end();
    let key = before.strip_suffix(b":").unwrap_or_default().trim_ascii_end();
    TEXTS.iter().any(|text| key.ends_with(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(events: &[&str]) -> Pattern {
        let mut pattern = Pattern::default();
        for event in events {
            pattern.learn(event.as_bytes());
        }
        pattern
    }

    #[test]
    fn only_the_inside_of_one_string_may_differ() {
        let chunk = |text: &str| {
            format!(
                r#"{{"id":"a","choices":[{{"delta":{{"content": "{text}"}},"finish_reason":null}}]}}"#
            )
        };
        let pattern = learnt(&[&chunk("one"), &chunk("other")]);
        for text in ["", "x", "a \\\" b", "\\u00e9\\n", "é😀", "long ".repeat(100).as_str()] {
            assert!(pattern.knows(chunk(text).as_bytes()), "{text}");
        }
        for text in ["a\"b", "\\", "\\x", "\\u12g4", "a\nb", "\u{0}", "\"", "\",\"x\":\""] {
            assert!(!pattern.knows(chunk(text).as_bytes()), "{text:?}");
        }
        let mut torn = chunk("é").into_bytes();
        assert!(pattern.knows(&torn));
        let at = torn.iter().position(|byte| *byte == 0xc3).unwrap();
        torn.remove(at);
        assert!(!pattern.knows(&torn), "not UTF-8");
        assert!(!pattern.knows(chunk("x").replace("null", "\"stop\"").as_bytes()));
        assert!(!pattern.knows(chunk("x").replace(r#""id":"a""#, r#""id":"b""#).as_bytes()));
        assert!(!pattern.knows(&chunk("x").into_bytes()[1..]));
        assert!(!pattern.knows(b""));
    }

    #[test]
    fn nothing_is_learnt_from_events_that_differ_elsewhere() {
        for (one, other) in [
            (r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"x"}"#),
            (r#"{"text":"x","a":1}"#, r#"{"text":"y","a":2}"#),
            (r#"{"text":":","c":1}"#, r#"{"text":":","c":2}"#),
            (r#"{"text":":"}"#, r#"{"text":":","c":2}"#),
            (r#"{"text":"\":\"x"}"#, r#"{"text":"\":\"y","c":2}"#),
            (r#"["a","x"]"#, r#"["a","y"]"#),
            (r#"["text",":","x"]"#, r#"["text",":","y"]"#),
            (r#"{"type":"ping"}"#, r#"{"type":"ping"}"#),
            (r#"{"text":"x"}"#, r#"{"text":7}"#),
            ("7", "8"),
            ("", ""),
        ] {
            let pattern = learnt(&[one, other]);
            assert_eq!(pattern.start, 0, "{one} {other}");
            assert!(!pattern.knows(other.as_bytes()));
        }
        // A string that looks like a key and a colon is part of the text around, or of the inside.
        let pattern = learnt(&[r#"{"text":"text\":\"x"}"#, r#"{"text":"text\":\"y"}"#]);
        assert!(pattern.knows(br#"{"text":"text\":\"z"}"#));
        assert!(!pattern.knows(br#"{"text":"text":"z"}"#));
    }

    #[test]
    fn it_gives_up_in_the_end() {
        let mut pattern = Pattern::default();
        for number in 0..100 {
            pattern.learn(format!(r#"{{"n":{number},"text":"x"}}"#).as_bytes());
        }
        assert_eq!((pattern.tries, pattern.start), (TRIES, 0));
    }
}
