//! The vocabulary between a vendor's answer and OpenAI's: what a model said, piece by piece.

use crate::wire::json::JsonText;

/// One piece of an answer. Text is kept as the vendor escaped it, and is copied, not converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'e> {
    /// The answer begins. Comes once, first.
    Start {
        /// The vendor's id of the answer.
        id: Option<JsonText<'e>>,
        /// The vendor's name of the model that answers.
        model: Option<JsonText<'e>>,
    },
    /// Visible text.
    Text {
        /// Which of the answers asked for by `n`.
        choice: u32,
        /// The piece.
        text: JsonText<'e>,
    },
    /// Text of the model's reasoning.
    Reasoning {
        /// Which answer.
        choice: u32,
        /// The piece.
        text: JsonText<'e>,
    },
    /// Why the vendor refuses to answer.
    Refusal {
        /// Which answer.
        choice: u32,
        /// The piece.
        text: JsonText<'e>,
    },
    /// A vendor's opaque mark that a client may send back in the next turn.
    Signature {
        /// Which answer.
        choice: u32,
        /// The mark.
        data: JsonText<'e>,
    },
    /// The answer of this choice has ended.
    Finish {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
    },
    /// What was counted. Comes at most once, last.
    Usage(Usage),
}

/// Why an answer ended, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// A limit of tokens was reached.
    Length,
    /// A filter of the vendor ended or withheld it.
    ContentFilter,
}

impl FinishReason {
    /// OpenAI's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// Tokens, in OpenAI's sense: parts are contained in their sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the request.
    pub prompt: u64,
    /// All tokens of the answer, reasoning included.
    pub completion: u64,
    /// Prompt tokens read from a cache.
    pub cached: u64,
    /// Prompt tokens that are audio.
    pub prompt_audio: u64,
    /// Completion tokens of reasoning.
    pub reasoning: u64,
    /// Completion tokens that are audio.
    pub completion_audio: u64,
}

impl Usage {
    /// Appends OpenAI's `usage` object.
    pub fn render(&self, out: &mut Vec<u8>) {
        let total = self.prompt.saturating_add(self.completion);
        let pieces: [(&[u8], u64); 7] = [
            (b"{\"prompt_tokens\":", self.prompt),
            (b",\"completion_tokens\":", self.completion),
            (b",\"total_tokens\":", total),
            (b",\"prompt_tokens_details\":{\"cached_tokens\":", self.cached),
            (b",\"audio_tokens\":", self.prompt_audio),
            (b"},\"completion_tokens_details\":{\"reasoning_tokens\":", self.reasoning),
            (b",\"audio_tokens\":", self.completion_audio),
        ];
        for (name, count) in pieces {
            out.extend_from_slice(name);
            crate::base::ascii::push_u64(out, count);
        }
        out.extend_from_slice(b"}}");
    }
}
