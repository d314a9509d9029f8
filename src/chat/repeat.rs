//! Would a request that is sent again get the same answer?

use crate::wire::canonical;
use crate::wire::json::{JsonError, Kind, Reader};

use super::outline::Outline;
use super::problem::ChatError;

/// What a request's own fields say about a second answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// It does more than to be answered, or refers to what a vendor remembers.
    Never,
    /// It may be another one every time.
    #[default]
    Other,
    /// It is the same, as far as the model can: its temperature is zero or its seed given, and one
    /// answer is wanted.
    Same,
}

/// Fields that say who asks or what for, and nothing about the answer.
const ASIDE: [&str; 5] =
    ["user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention"];

/// What was found.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact")]
struct Found {
    cold: bool,
    seeded: bool,
    many: bool,
    more: bool,
}

impl Outline<'_> {
    /// What the body says about a second answer.
    pub fn repeat(&self) -> Repeat {
        let mut found = Found::default();
        let read = self.members(|reader, name| Ok(found.member(reader, &name)?));
        match (read, &found) {
            (Err::<(), ChatError>(_), _) | (Ok(()), Found { more: true, .. }) => Repeat::Never,
            (Ok(()), Found { many: true, .. }) => Repeat::Other,
            (Ok(()), Found { cold, seeded, .. }) if *cold || *seeded => Repeat::Same,
            (Ok(()), _) => Repeat::Other,
        }
    }

    /// Appends the body in one spelling for all that ask the same, without what says who asks.
    pub fn push_canonical(&self, out: &mut Vec<u8>) {
        let from = out.len();
        if canonical::push(self.body(), |name| ASIDE.contains(&name), out).is_err() {
            // It was read before, so this cannot be; as it stands it is only found by itself.
            out.truncate(from);
            out.extend_from_slice(self.body().as_bytes());
        }
    }
}

impl Found {
    fn member(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), JsonError> {
        match name {
            "generationConfig" | "generation_config" if reader.kind()? == Kind::Object => {
                return reader.object(|reader, name| self.member(reader, &name.unescape()));
            }
            _ => {}
        }
        let number = |text: &str| text.parse::<f64>().ok();
        match name {
            "temperature" => self.cold = number(reader.raw()?) == Some(0.0),
            "seed" => self.seeded = reader.raw()? != "null",
            "n" | "best_of" | "candidateCount" | "candidate_count" => {
                self.many |= number(reader.raw()?).is_some_and(|count| count > 1.0);
            }
            "store" | "background" => self.more |= reader.raw()? == "true",
            "previous_response_id" | "conversation" => self.more |= reader.raw()? != "null",
            _ => reader.skip()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::*;

    fn outline<'b>(members: &str, room: &'b mut String) -> Outline<'b> {
        *room = format!("{{\"model\":\"m\",\"messages\":[]{members}}}");
        Outline::parse(room.as_bytes(), &Form::CHAT).expect("a request")
    }

    #[test]
    fn a_second_answer_is_the_same_where_the_request_wants_it_so() {
        let cases = [
            ("", Repeat::Other),
            (",\"temperature\":0", Repeat::Same),
            (",\"temperature\":0.0,\"n\":1", Repeat::Same),
            (",\"temperature\":-0e5", Repeat::Same),
            (",\"temperature\":0.1", Repeat::Other),
            (",\"temperature\":null", Repeat::Other),
            (",\"temperature\":\"0\"", Repeat::Other),
            (",\"seed\":7,\"temperature\":1", Repeat::Same),
            (",\"seed\":null", Repeat::Other),
            (",\"seed\":7,\"n\":2", Repeat::Other),
            (",\"seed\":7,\"best_of\":2", Repeat::Other),
            (",\"temperature\":0,\"store\":false", Repeat::Same),
            (",\"temperature\":0,\"store\":true", Repeat::Never),
            (",\"temperature\":0,\"previous_response_id\":\"r\"", Repeat::Never),
            (",\"temperature\":0,\"seed\":1,\"seed\":2", Repeat::Never),
            (",\"generationConfig\":{\"temperature\":0}", Repeat::Same),
            (",\"generation_config\":{\"seed\":3,\"candidate_count\":1}", Repeat::Same),
            (",\"generationConfig\":{\"temperature\":0,\"candidateCount\":2}", Repeat::Other),
            (",\"tools\":[{\"temperature\":0}]", Repeat::Other),
        ];
        for (members, expected) in cases {
            assert_eq!(outline(members, &mut String::new()).repeat(), expected, "{members}");
        }
    }

    #[test]
    fn who_asks_does_not_matter_and_what_is_asked_does() {
        let canonical = |members: &str| {
            let mut out = Vec::new();
            outline(members, &mut String::new()).push_canonical(&mut out);
            String::from_utf8(out).expect("text")
        };
        let plain = canonical("");
        assert_eq!(canonical(", \"user\" : \"a\", \"metadata\":{\"b\":\"c\"}"), plain);
        for members in [",\"stream\":true", ",\"max_tokens\":5", ",\"x\":{\"user\":1}"] {
            assert_ne!(canonical(members), plain, "{members}");
        }
    }
}
