//! The vocabulary between a vendor's answer and OpenAI's: what a model said, piece by piece.

use crate::wire::json::JsonText;

use super::part::MediaKind;

/// One piece of an answer. Text is kept as the vendor escaped it, and is copied, not converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'e> {
    /// The answer begins. Comes once, first.
    Start {
        /// The vendor's id of the answer.
        id: Option<JsonText<'e>>,
        /// Is the id bare, without the prefix that tells what it is the id of?
        bare: bool,
        /// The vendor's name of the model that answers.
        model: Option<JsonText<'e>>,
        /// When the vendor made the answer, in seconds since 1970.
        created: Option<u64>,
    },
    /// A choice begins, and has said nothing yet. Only vendors that tell this say it.
    Open {
        /// Which of the answers asked for by `n`.
        choice: u32,
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
    /// A tool is called.
    Call {
        /// Which answer.
        choice: u32,
        /// Which call of this answer, from 0.
        call: u32,
        /// Its id, never empty.
        id: JsonText<'e>,
        /// The tool.
        name: JsonText<'e>,
        /// All arguments, a JSON object as the vendor spelt it; none when they come in pieces.
        arguments: Option<&'e str>,
        /// A vendor's opaque mark on this call.
        signature: Option<JsonText<'e>>,
    },
    /// More of the arguments of a call.
    Arguments {
        /// Which answer.
        choice: u32,
        /// Which call of this answer.
        call: u32,
        /// A piece of the JSON text, as the inside of a JSON string.
        piece: JsonText<'e>,
    },
    /// A block of reasoning is complete and signed. Its text came before, as reasoning.
    Thought {
        /// Which answer.
        choice: u32,
        /// The text of the whole block.
        text: JsonText<'e>,
        /// The vendor's mark on it.
        signature: JsonText<'e>,
    },
    /// A block of reasoning that only the vendor can read.
    Redacted {
        /// Which answer.
        choice: u32,
        /// The block.
        data: JsonText<'e>,
    },
    /// An image or a recording.
    Media {
        /// Which answer.
        choice: u32,
        /// What it is.
        kind: MediaKind,
        /// Its media type.
        mime: JsonText<'e>,
        /// Its bytes in base64.
        data: JsonText<'e>,
    },
    /// Probabilities of tokens.
    Logprobs {
        /// Which answer.
        choice: u32,
        /// OpenAI's `logprobs.content`: the elements of the array, without its brackets.
        content: &'e str,
    },
    /// How urgently the vendor served the request, in OpenAI's words.
    Tier(JsonText<'e>),
    /// The answer of this choice has ended.
    Finish {
        /// Which answer.
        choice: u32,
        /// Why.
        reason: FinishReason,
        /// The stop sequence that was met, where the vendor names it.
        sequence: Option<JsonText<'e>>,
    },
    /// What was counted. Comes at most once, last; where a vendor's bytes pass as they came it may
    /// come before, and more than once.
    Usage(Usage),
    /// What has been counted so far, while the answer goes on. It is for accounting alone.
    Counted(Usage),
}

/// Why an answer ended, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop sequence.
    Stop,
    /// The vendor pauses a long turn; the client may send it back to go on.
    Pause,
    /// A limit of tokens was reached.
    Length,
    /// The model's context is full.
    ContextFull,
    /// A filter of the vendor ended or withheld it.
    ContentFilter,
    /// The model refuses.
    Refusal,
    /// The model waits for the results of its calls.
    ToolCalls,
}

impl FinishReason {
    /// OpenAI's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop | Self::Pause => "stop",
            Self::Length | Self::ContextFull => "length",
            Self::ContentFilter | Self::Refusal => "content_filter",
            Self::ToolCalls => "tool_calls",
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
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// Of those, the ones that stay there for an hour or more.
    pub cache_write_1h: u64,
    /// Prompt tokens that are audio.
    pub prompt_audio: u64,
    /// Of those, the ones read from a cache.
    pub cached_audio: u64,
    /// Completion tokens of reasoning.
    pub reasoning: u64,
    /// Completion tokens that are audio.
    pub completion_audio: u64,
    /// Completion tokens that are images.
    pub completion_image: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
            cached: self.cached.saturating_add(other.cached),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            prompt_audio: self.prompt_audio.saturating_add(other.prompt_audio),
            cached_audio: self.cached_audio.saturating_add(other.cached_audio),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            completion_audio: self.completion_audio.saturating_add(other.completion_audio),
            completion_image: self.completion_image.saturating_add(other.completion_image),
        }
    }

    /// Appends OpenAI's `usage` object.
    pub fn render(&self, out: &mut Vec<u8>) {
        let total = self.prompt.saturating_add(self.completion);
        let count = |out: &mut Vec<u8>, name: &[u8], count: u64| {
            out.extend_from_slice(name);
            crate::base::ascii::push_u64(out, count);
        };
        count(out, b"{\"prompt_tokens\":", self.prompt);
        count(out, b",\"completion_tokens\":", self.completion);
        count(out, b",\"total_tokens\":", total);
        count(out, b",\"prompt_tokens_details\":{\"cached_tokens\":", self.cached);
        count(out, b",\"audio_tokens\":", self.prompt_audio);
        if self.cache_write > 0 {
            count(out, b",\"cache_write_tokens\":", self.cache_write);
        }
        count(out, b"},\"completion_tokens_details\":{\"reasoning_tokens\":", self.reasoning);
        count(out, b",\"audio_tokens\":", self.completion_audio);
        out.push(b'}');
        if self.cache_write > 0 {
            count(out, b",\"cache_creation_input_tokens\":", self.cache_write);
            count(out, b",\"cache_read_input_tokens\":", self.cached);
        }
        out.push(b'}');
    }
}
