//! What the watchers of answers that pass as they came have in common.

use crate::wire::find::find;
use crate::wire::json::{Reader, text_end};

use super::error::{UpstreamError, UpstreamErrorKind};

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// OpenAI's chat completions and completions.
    OpenAiChoices,
    /// OpenAI's embeddings.
    OpenAiEmbeddings,
    /// OpenAI's responses.
    OpenAiResponse,
    /// Anthropic's messages.
    Anthropic,
    /// The same from Vertex AI, where Google may answer for itself.
    Claude,
    /// Anthropic's counts of tokens.
    AnthropicCount,
    /// Google's `generateContent`.
    Google,
}

/// What is known of an answer before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// How it looks.
    pub shape: Shape,
    /// Its usage chunk was asked for by us, not by the client, and is withheld.
    pub withhold_usage: bool,
    /// It is repaired on its way; the number decides the ids that are made.
    pub repair: Option<u64>,
    /// The client wants the data of the events as the elements of one array.
    pub as_array: bool,
}

impl Watched {
    /// An answer that passes with all its bytes.
    pub const fn plain(shape: Shape) -> Self {
        Self { shape, withhold_usage: false, repair: None, as_array: false }
    }
}

/// What one JSON text of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A part of the answer.
    Part,
    /// Usage that the client did not ask for.
    Withheld,
    /// The end of the answer.
    End,
    /// The vendor's error.
    Error(UpstreamError),
}

/// Is an event held back until the next one comes, where an answer may be taken over? Those of
/// calls are, until the call is whole, and Anthropic's that only begin or end something. It may say
/// yes of others: they pass a little later.
pub(super) fn is_held(data: &[u8]) -> bool {
    let anthropics: [&[u8]; 4] = [
        b"\"input_json_delta\"",
        b"\"content_block_start\"",
        b"\"content_block_stop\"",
        b"\"message_delta\"",
    ];
    anthropics.iter().any(|mark| find(data, mark).is_some()) || is_call(data)
}

/// Does an event say nothing, so that it waits with those that are held?
pub(super) fn is_ping(data: &[u8]) -> bool {
    data.len() < 40 && find(data, b"\"ping\"").is_some()
}

/// Does an event hold a piece of a call in OpenAI's words? Some vendors send an empty list always.
fn is_call(data: &[u8]) -> bool {
    has(data, b"\"tool_calls\"", b":[{")
}

/// Does an event say something of the answer, or why it ends? One that only opens it does not.
pub(super) fn speaks(data: &[u8]) -> bool {
    let anywhere: [&[u8]; 4] = [b"_delta\"", b".delta\"", b"\"parts\"", b"\"tool_use\""];
    let texts: [&[u8]; 6] = [
        b"\"content\"",
        b"\"reasoning_content\"",
        b"\"reasoning\"",
        b"\"refusal\"",
        b"\"text\"",
        b"\"finish_reason\"",
    ];
    is_call(data)
        || anywhere.iter().any(|mark| find(data, mark).is_some())
        || texts.iter().any(|key| has(data, key, b":\"") && !has(data, key, b":\"\""))
}

/// Does `key` stand in `data`, followed by these marks, whatever space is between them?
fn has(data: &[u8], key: &[u8], marks: &[u8]) -> bool {
    let mut rest = data;
    while let Some(at) = find(rest, key) {
        rest = rest.get(at + key.len()..).unwrap_or_default();
        let mut found = rest.iter().filter(|byte| !byte.is_ascii_whitespace());
        if marks.iter().all(|mark| found.next() == Some(mark)) {
            return true;
        }
    }
    false
}

/// Bytes of text, about, in an event of Anthropic's or of OpenAI's responses that brings some: what
/// stands in `delta`, or in the last member of it.
pub(super) fn delta_bytes(data: &[u8]) -> u64 {
    const KEY: &[u8] = b"\"delta\":";
    let Some(at) = find(data, KEY) else { return 0 };
    let rest = data.get(at + KEY.len()..).unwrap_or_default().trim_ascii_start();
    let text = match rest.first() {
        Some(b'"') => Some((rest, 1)),
        Some(b'{') => find(rest, b"_delta\",").and_then(|at| {
            let rest = rest.get(at + 8..)?;
            let key = find(rest, b":")?;
            let open = rest.iter().skip(key).position(|byte| *byte == b'"')?;
            Some((rest, key + open + 1))
        }),
        _ => None,
    };
    let length = text.and_then(|(text, start)| text_end(text, start)?.checked_sub(start));
    u64::try_from(length.unwrap_or(0)).unwrap_or(0)
}

/// The text of a body or an event.
pub(super) fn text(data: &[u8]) -> Result<&str, UpstreamError> {
    std::str::from_utf8(data).map_err(|_offset| {
        UpstreamError::new(UpstreamErrorKind::Invalid, "the upstream's answer is not UTF-8")
    })
}

/// Checks that `data` is one JSON text, and no more.
pub(super) fn check(data: &[u8]) -> Result<(), UpstreamError> {
    let mut reader = Reader::new(text(data)?);
    reader.skip()?;
    Ok(reader.end()?)
}

/// JSON, but not of this vendor.
pub(super) fn wrong_shape() -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Invalid, "the upstream's answer has the wrong shape")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_delta_is_measured() {
        for (data, bytes) in [
            (r#"{"type":"response.output_text.delta","delta":"four","item_id":"m"}"#, 4),
            (r#"{"delta": {"type":"text_delta", "text": "a \"b\""},"index":0}"#, 7),
            (r#"{"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#, 4),
            (r#"{"delta":{"stop_reason":"end_turn"}}"#, 0),
            (r#"{"type":"ping"}"#, 0),
            (r#"{"delta":"#, 0),
        ] {
            assert_eq!(delta_bytes(data.as_bytes()), bytes, "{data}");
        }
    }

    #[test]
    fn calls_and_words_are_told_from_what_only_opens_an_answer() {
        for (data, held, word) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false, false),
            (r#"{"choices":[{"delta":{"content":"a"}}]}"#, false, true),
            (r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#, false, true),
            (r#"{"choices":[{"delta":{"content":null,"tool_calls":[]}}]}"#, false, false),
            (r#"{"choices":[{"delta":{"tool_calls" : [ {"index":0}]}}]}"#, true, true),
            (r#"{"choices":[{"delta":{"content":"\"tool_calls\":[{"}}]}"#, false, true),
            (r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#, false, true),
            (r#"{"type":"message_start","message":{"content":[]}}"#, false, false),
            (
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                true,
                false,
            ),
            (r#"{"type":"content_block_start","content_block":{"type":"tool_use"}}"#, true, true),
            (r#"{"type":"content_block_delta","delta":{"type":"input_json_delta"}}"#, true, true),
            (
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
                false,
                true,
            ),
            (r#"{"type":"ping"}"#, false, false),
            (r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#, false, true),
        ] {
            assert_eq!((is_held(data.as_bytes()), speaks(data.as_bytes())), (held, word), "{data}");
        }
    }
}
