//! How long the answers to a request may become, as its body says in the words of whichever API.

use crate::base::ascii::parse_u64;
use crate::wire::json::{JsonError, Kind, Reader};

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

/// The tokens that all answers to `body` may have together; where it sets no limit one has `each`.
/// What cannot be read says nothing: whoever understands the body refuses it.
pub fn answer_tokens(body: &str, each: u64) -> u64 {
    let mut said = Said::default();
    let _unreadable: Result<(), JsonError> = read(&mut Reader::new(body), &mut said, true);
    let choices = said.choices.unwrap_or(1).clamp(1, CHOICES_MAX);
    said.tokens.unwrap_or(each).saturating_mul(choices)
}

fn read(reader: &mut Reader<'_>, said: &mut Said, is_top: bool) -> Result<(), JsonError> {
    reader.object(|reader, key| {
        let place = match &*key.unescape() {
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" | "maxOutputTokens" => {
                &mut said.tokens
            }
            "n" | "candidateCount" | "candidate_count" => &mut said.choices,
            "generationConfig" | "generation_config" if is_top => {
                let is_object = reader.kind()? == Kind::Object;
                return if is_object { read(reader, said, false) } else { reader.skip() };
            }
            _ => return reader.skip(),
        };
        let number = parse_u64(reader.raw()?.trim_ascii().as_bytes());
        // Of two that stand there the vendor may take either.
        *place = number.max(*place);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_in_the_words_of_every_api() {
        for (body, want) in [
            ("{}", 4096),
            (r#"{"model":"m","max_tokens":10}"#, 10),
            (r#"{"max_completion_tokens": 20 ,"n":3}"#, 60),
            (r#"{"max_tokens":10,"max_completion_tokens":20}"#, 20),
            (r#"{"messages":[{"max_tokens":1}],"n":2}"#, 8192),
            (r#"{"max_output_tokens":30}"#, 30),
            (r#"{"generationConfig":{"maxOutputTokens":40,"candidateCount":2}}"#, 80),
            (r#"{"generation_config":{"max_output_tokens":50}}"#, 50),
            (r#"{"generationConfig":null,"max\u005ftokens":7}"#, 7),
            (r#"{"max_tokens":null,"n":null}"#, 4096),
            (r#"{"max_tokens":1e9,"n":0}"#, 4096),
            (r#"{"n":18446744073709551615,"max_tokens":2}"#, 256),
            (r#"{"max_tokens":18446744073709551615,"n":2}"#, u64::MAX),
            (r#"{"max_tokens":5,"#, 5),
            ("[]", 4096),
        ] {
            assert_eq!(answer_tokens(body, 4096), want, "{body}");
        }
    }
}
