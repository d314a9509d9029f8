//! What the watchers of answers that pass as they came have in common.

use crate::wire::json::Reader;

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
