//! What an answer of ours says beyond `OpenAI`'s own fields, when a client sends it back.
//!
//! SDKs put an answer into the conversation as it came. `OpenAI` refuses fields that it does not
//! know, so a conversation that began with another vendor could not go on there.

use std::cell::Cell;

use crate::wire::cut;
use crate::wire::find::find;
use crate::wire::json::{JsonError, Kind, Reader};
use crate::wire::splice::Splices;

use super::outline::Outline;

/// Fields of a message. Those of a call are among them.
const EXTRAS: [&str; 4] = ["reasoning_content", "thinking_blocks", "extra_content", "images"];

/// One of these stands wherever one of [`EXTRAS`] does.
const ENDS: [&str; 3] = ["_content\"", "thinking_blocks\"", "images\""];

impl Outline<'_> {
    /// Could a message have such a field?
    pub fn may_have_extras(&self) -> bool {
        ENDS.iter().any(|end| find(self.body().as_bytes(), end.as_bytes()).is_some())
    }

    /// Takes these fields out of all messages; gives the names of those that were there.
    pub fn cut_extras(&self, changes: &mut Splices) -> impl Iterator<Item = &'static str> + use<> {
        let found = [const { Cell::new(false) }; EXTRAS.len()];
        let mut reader = Reader::new(self.body());
        // The whole body was read before: nothing in it is broken.
        let _read = reader.object(|reader, key| {
            if key.unescape() == "messages" && reader.kind()? == Kind::Array {
                return each(reader, self.body(), changes, &found);
            }
            reader.skip()
        });
        EXTRAS.into_iter().zip(found).filter(|(_, found)| found.get()).map(|(name, _)| name)
    }
}

/// Cuts what is too much in the messages or calls of an array, and marks what it was.
fn each(
    reader: &mut Reader<'_>,
    body: &str,
    changes: &mut Splices,
    found: &[Cell<bool>; EXTRAS.len()],
) -> Result<(), JsonError> {
    reader.array(|reader, _index| {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let doomed = |name: &str| {
            let known = EXTRAS.iter().zip(found).find(|(extra, _)| **extra == name);
            known.is_some_and(|(_, found)| {
                found.set(true);
                true
            })
        };
        cut::members(reader, body, changes, &doomed, &mut |reader, name, changes| {
            let calls = name == "tool_calls" && reader.kind()? == Kind::Array;
            if calls { each(reader, body, changes, found) } else { reader.skip() }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::*;

    fn without(messages: &str) -> String {
        let body = format!(r#"{{"model":"m", "messages" : {messages},"images":1}}"#);
        let outline = Outline::parse(body.as_bytes(), &Form::CHAT).unwrap();
        let (mut changes, mut out) = (Splices::default(), Vec::new());
        let _names = outline.cut_extras(&mut changes);
        changes.apply(body.as_bytes(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let text = text.strip_prefix(r#"{"model":"m", "messages" : "#).unwrap();
        text.strip_suffix(r#","images":1}"#).unwrap().to_owned()
    }

    #[test]
    fn messages_and_their_calls_lose_what_openai_does_not_know() {
        for (with, expected) in [
            (r#"[{"role":"x", "reasoning_content":"a"}, 7]"#, r#"[{"role":"x"}, 7]"#),
            (r#"[{"thinking_blocks":[],"images":[] ,"role":"x"}]"#, r#"[{"role":"x"}]"#),
            (
                r#"[{"tool_calls":[{"id":"c","extra_content":{"google":{}}},{"extra\u005fcontent":1,"id":"d"}],"content":null}]"#,
                r#"[{"tool_calls":[{"id":"c"},{"id":"d"}],"content":null}]"#,
            ),
        ] {
            assert_eq!(without(with), expected);
        }
        let plain = r#"[ {"role":"user","content":[{"type":"text","extra_content":"mine"}]} ]"#;
        assert_eq!(without(plain), plain);
        let body = r#"{"model":"m","messages":[{"images":[],"tool_calls":[{"extra_content":1}]}]}"#;
        let outline = Outline::parse(body.as_bytes(), &Form::CHAT).unwrap();
        let names: Vec<_> = outline.cut_extras(&mut Splices::default()).collect();
        assert_eq!(names, ["extra_content", "images"]);
    }

    #[test]
    fn what_cannot_have_any_is_seen_at_once() {
        for (inside, expected) in
            [(r#""content":"hi""#, false), (r#""reasoning_content":null"#, true)]
        {
            let body = format!(r#"{{"model":"m","messages":[{{{inside}}}]}}"#);
            let outline = Outline::parse(body.as_bytes(), &Form::CHAT).unwrap();
            assert_eq!(outline.may_have_extras(), expected, "{inside}");
        }
    }
}
