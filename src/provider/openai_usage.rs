//! OpenAI's `usage` object, with the spellings of compatible services.

use crate::chat::Usage;
use crate::wire::json::{JsonError, Kind, Reader};

/// Reads a `usage` object. What is no whole number counts nothing: it is read for accounting, and
/// a vendor's oddity must not cost a client its answer.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Usage, JsonError> {
    let mut usage = Usage::default();
    let mut total = 0;
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("prompt_tokens", Kind::Number) => count(reader, &mut usage.prompt)?,
            ("completion_tokens", Kind::Number) => count(reader, &mut usage.completion)?,
            ("total_tokens", Kind::Number) => count(reader, &mut total)?,
            // DeepSeek's name.
            ("prompt_cache_hit_tokens", Kind::Number) => count(reader, &mut usage.cached)?,
            ("cache_creation_input_tokens", Kind::Number) => {
                count(reader, &mut usage.cache_write)?;
            }
            ("prompt_tokens_details", Kind::Object) => {
                reader.object(|reader, key| match (key.raw(), reader.kind()?) {
                    ("cached_tokens", Kind::Number) => count(reader, &mut usage.cached),
                    ("cache_write_tokens", Kind::Number) => count(reader, &mut usage.cache_write),
                    ("audio_tokens", Kind::Number) => count(reader, &mut usage.prompt_audio),
                    _ => reader.skip(),
                })?;
            }
            ("completion_tokens_details", Kind::Object) => {
                reader.object(|reader, key| match (key.raw(), reader.kind()?) {
                    ("reasoning_tokens", Kind::Number) => count(reader, &mut usage.reasoning),
                    ("audio_tokens", Kind::Number) => count(reader, &mut usage.completion_audio),
                    _ => reader.skip(),
                })?;
            }
            _ => reader.skip()?,
        }
        Ok::<(), JsonError>(())
    })?;
    // Some leave reasoning out of the completion, but not out of the total.
    usage.completion = usage.completion.max(total.saturating_sub(usage.prompt));
    Ok(usage)
}

/// Reads the `usage` object of a response, which has names of its own.
pub(super) fn read_of_response(reader: &mut Reader<'_>) -> Result<Usage, JsonError> {
    let mut usage = Usage::default();
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("input_tokens", Kind::Number) => count(reader, &mut usage.prompt),
        ("output_tokens", Kind::Number) => count(reader, &mut usage.completion),
        ("input_tokens_details", Kind::Object) => {
            detail(&mut reader.clone(), "cached_tokens", &mut usage.cached)?;
            detail(&mut reader.clone(), "audio_tokens", &mut usage.prompt_audio)?;
            detail(reader, "cache_write_tokens", &mut usage.cache_write)
        }
        ("output_tokens_details", Kind::Object) => {
            detail(reader, "reasoning_tokens", &mut usage.reasoning)
        }
        _ => reader.skip(),
    })?;
    Ok(usage)
}

/// Reads one count of an object.
fn detail(reader: &mut Reader<'_>, name: &str, place: &mut u64) -> Result<(), JsonError> {
    reader.object(|reader, key| match reader.kind()? {
        Kind::Number if key.raw() == name => count(reader, place),
        _ => reader.skip(),
    })
}

fn count(reader: &mut Reader<'_>, place: &mut u64) -> Result<(), JsonError> {
    *place = reader.number()?.parse().unwrap_or(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_counts_are_found_and_oddities_count_nothing() {
        let full = r#"{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,
            "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1,"cache_write_tokens":2},
            "completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":2,"x":null},"y":[]}"#;
        let usage = Usage {
            prompt: 10,
            completion: 7,
            cached: 4,
            cache_write: 2,
            prompt_audio: 1,
            reasoning: 3,
            completion_audio: 2,
            ..Usage::default()
        };
        assert_eq!(read(&mut Reader::new(full)), Ok(usage));
        let xai = r#"{"prompt_tokens":307,"completion_tokens":26,"total_tokens":588}"#;
        assert_eq!(read(&mut Reader::new(xai)).unwrap().completion, 281);
        let odd = r#"{"prompt_tokens":1.5,"completion_tokens":"7","prompt_tokens_details":null}"#;
        assert_eq!(read(&mut Reader::new(odd)), Ok(Usage::default()));
        assert!(read(&mut Reader::new("[]")).is_err());
        let response = r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"x":1},
            "output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":17}"#;
        let told = Usage { prompt: 10, completion: 7, cached: 4, reasoning: 3, ..Usage::default() };
        assert_eq!(read_of_response(&mut Reader::new(response)), Ok(told));
    }
}
