//! Would a request that is sent again get the same answer?

use smallvec::SmallVec;

use crate::wire::canonical;

use super::outline::{FIELDS, Field, Outline};

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
        let Some(fields) = self.fields() else { return Repeat::Never };
        for (place, (name, _)) in fields.iter().enumerate() {
            // Two readers could take different ones of two, or of two spellings of one name.
            let doubled = || fields.iter().take(place).any(|(before, _)| before == name);
            if name.as_bytes().contains(&b'\\') || doubled() {
                return Repeat::Never;
            }
        }
        let mut found = Found::default();
        self.settings(|name, value| found.note(name, value));
        match found {
            Found { more: true, .. } => Repeat::Never,
            Found { many: true, .. } => Repeat::Other,
            Found { cold, seeded, .. } if cold || seeded => Repeat::Same,
            _ => Repeat::Other,
        }
    }

    /// Appends the body in one spelling for all that ask the same, without what says who asks.
    pub fn push_canonical(&self, out: &mut Vec<u8>) {
        let from = out.len();
        let fields = self.fields().unwrap_or_default();
        let fields = fields.iter().filter(|(name, _)| !ASIDE.contains(name)).copied();
        let mut fields: SmallVec<[Field<'_>; FIELDS]> = fields.collect();
        if fields.is_empty() || canonical::push_object(&mut fields, out).is_err() {
            // As it stands it is only found by itself.
            out.truncate(from);
            out.extend_from_slice(self.body().as_bytes());
        }
    }
}

impl Found {
    fn note(&mut self, name: &str, value: &str) {
        let number = || value.parse::<f64>().ok();
        match name {
            "temperature" => self.cold = number() == Some(0.0),
            "seed" => self.seeded = value != "null",
            "n" | "best_of" | "candidateCount" | "candidate_count" => {
                self.many |= number().is_some_and(|count| count > 1.0);
            }
            "store" | "background" => self.more |= value == "true",
            "previous_response_id" | "conversation" => self.more |= value != "null",
            _ => {}
        }
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
        let many: Vec<_> = (0..20).map(|number| format!("\"f{number:02}\": {number}")).collect();
        let many = many.join(",");
        let all = plain.replacen('{', &format!("{{{},", many.replace(' ', "")), 1);
        assert_eq!(canonical(&format!(",\"user\":\"a\",{many}")), all);
        assert_eq!(canonical(", \"user\" : \"a\", \"metadata\":{\"b\":\"c\"}"), plain);
        for members in [",\"stream\":true", ",\"max_tokens\":5", ",\"x\":{\"user\":1}"] {
            assert_ne!(canonical(members), plain, "{members}");
        }
    }
}
