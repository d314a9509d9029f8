//! What an answer of ours says beyond `OpenAI`'s own fields, when a client sends it back.
//!
//! SDKs put an answer into the conversation as it came. `OpenAI` refuses fields that it does not
//! know, so a conversation that began with another vendor could not go on there.

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

    /// Takes these fields out of all messages.
    pub fn cut_extras(&self, changes: &mut Splices) {
        let mut reader = Reader::new(self.body());
        // The whole body was read before: nothing in it is broken.
        let _read = reader.object(|reader, key| {
            if key.unescape() == "messages" && reader.kind()? == Kind::Array {
                return each(reader, self.body(), changes);
            }
            reader.skip()
        });
    }
}

/// Cuts what is too much in the messages or calls of an array.
fn each(reader: &mut Reader<'_>, body: &str, changes: &mut Splices) -> Result<(), JsonError> {
    reader.array(|reader, _index| {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let doomed = |name: &str| EXTRAS.contains(&name);
        cut::members(reader, body, changes, &doomed, &mut |reader, name, changes| {
            let calls = name == "tool_calls" && reader.kind()? == Kind::Array;
            if calls { each(reader, body, changes) } else { reader.skip() }
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
        outline.cut_extras(&mut changes);
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
