//! How long the answers to a request may become, as its body says in the words of whichever API.

use crate::base::ascii::parse_u64;

use super::outline::Outline;

/// No API gives more answers at once.
const CHOICES_MAX: u64 = 128;

/// What a body says of its answers.
#[derive(Default)]
struct Said {
    /// The most tokens of one.
    tokens: Option<u64>,
    /// How many there shall be.
    choices: Option<u64>,
}

/// The tokens that all answers to a request may have together; where it sets no limit one has
/// `each`. What cannot be read says nothing: whoever understands the body refuses it.
pub fn answer_tokens(outline: &Outline<'_>, each: u64) -> u64 {
    let mut said = Said::default();
    outline.settings(|name, value| said.note(name, value));
    let choices = said.choices.unwrap_or(1).clamp(1, CHOICES_MAX);
    said.tokens.unwrap_or(each).saturating_mul(choices)
}

impl Said {
    fn note(&mut self, name: &str, value: &str) {
        let place = match name {
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" | "maxOutputTokens" => {
                &mut self.tokens
            }
            "n" | "candidateCount" | "candidate_count" => &mut self.choices,
            _ => return,
        };
        // Of two that stand there the vendor may take either.
        *place = parse_u64(value.as_bytes()).max(*place);
    }
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::*;

    #[test]
    fn limits_are_found_in_the_words_of_every_api() {
        let bound = |fields: &str| {
            let body = format!("{{\"model\":\"m\",\"messages\":[]{fields}}}");
            answer_tokens(&Outline::parse(body.as_bytes(), &Form::CHAT).expect(fields), 4096)
        };
        for (fields, want) in [
            ("", 4096),
            (r#","max_tokens":10"#, 10),
            (r#","max_completion_tokens": 20 ,"n":3"#, 60),
            (r#","max_tokens":10,"max_completion_tokens":20"#, 20),
            (r#","metadata":{"max_tokens":1},"n":2"#, 8192),
            (r#","max_output_tokens":30"#, 30),
            (r#","generationConfig":{"maxOutputTokens":40,"candidateCount":2}"#, 80),
            (r#","generation_config":{"max_output_tokens":50}"#, 50),
            (r#","generationConfig":null,"max\u005ftokens":7"#, 7),
            (r#","max_tokens":null,"n":null"#, 4096),
            (r#","max_tokens":1e9,"n":0"#, 4096),
            (r#","n":18446744073709551615,"max_tokens":2"#, 256),
            (r#","max_tokens":18446744073709551615,"n":2"#, u64::MAX),
            (r#","max_tokens":5,"max_tokens":6"#, 6),
        ] {
            assert_eq!(bound(fields), want, "{fields}");
            let many: String = (0..300).map(|number| format!(",\"f{number}\":[]")).collect();
            assert_eq!(bound(&(many + fields)), want, "{fields} behind many others");
        }
    }
}
