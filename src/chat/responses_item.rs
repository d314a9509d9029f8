//! The items of the output of OpenAI's responses, and the events that tell of them.

use crate::base::ascii;
use crate::wire::json;

use super::error::ApiError;
use super::event::Usage;

/// Whether and where events go.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) streamed: bool,
    pub(super) sequence: u64,
}

impl Pace {
    /// Appends one event; `body` appends the fields behind its type.
    pub(super) fn emit(&mut self, name: &str, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        if !self.streamed {
            return;
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\",\"sequence_number\":");
        ascii::push_u64(out, self.sequence);
        self.sequence += 1;
        body(out);
        out.extend_from_slice(b"}\n\n");
    }

    /// Appends the event that tells why no more come.
    pub(super) fn emit_error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.emit("error", out, |out| {
            out.extend_from_slice(b",\"code\":");
            match error.code() {
                Some(code) => json::push_string(out, code),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b",\"message\":");
            json::push_string(out, &error.message);
            out.extend_from_slice(b",\"param\":null,\"error\":");
            error.render_openai(out);
        });
    }
}

/// An item of the output; its texts are as in JSON strings.
#[derive(Debug)]
pub(super) enum Item {
    Message {
        id: Vec<u8>,
        parts: Vec<Part>,
    },
    Reasoning {
        id: Vec<u8>,
        text: Vec<u8>,
        /// A vendor's mark.
        encrypted: Vec<u8>,
    },
    Call {
        id: Vec<u8>,
        call_id: Vec<u8>,
        name: Vec<u8>,
        arguments: Vec<u8>,
    },
    Image {
        id: Vec<u8>,
        /// In base64.
        data: Vec<u8>,
    },
}

/// A part of a message.
#[derive(Debug)]
pub(super) struct Part {
    /// What is said is a refusal.
    pub(super) refusal: bool,
    pub(super) text: Vec<u8>,
    /// Elements of `logprobs`.
    pub(super) logprobs: Vec<u8>,
}

impl Item {
    /// Appends the item as it begins.
    pub(super) fn push_empty(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message { id, .. } => {
                Self::Message { id: id.clone(), parts: Vec::new() }.push("in_progress", out);
            }
            Self::Reasoning { id, .. } => {
                let (id, text) = (id.clone(), Vec::new());
                Self::Reasoning { id, text, encrypted: Vec::new() }.push("in_progress", out);
            }
            Self::Call { .. } | Self::Image { .. } => self.push("in_progress", out),
        }
    }

    /// Appends the item. Only the last one can be incomplete or in progress.
    pub(super) fn push(&self, status: &str, out: &mut Vec<u8>) {
        let status = match status {
            "failed" | "incomplete" => "incomplete",
            other => other,
        };
        match self {
            Self::Message { id, parts } => {
                begin(id, "message", out);
                push_status(status, out);
                out.extend_from_slice(b",\"content\":[");
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    part.push(out);
                }
                out.extend_from_slice(b"],\"role\":\"assistant\"");
            }
            Self::Reasoning { id, text, encrypted } => {
                begin(id, "reasoning", out);
                out.extend_from_slice(b",\"summary\":[");
                if !text.is_empty() {
                    push_summary(text, out);
                }
                out.extend_from_slice(b"],\"encrypted_content\":");
                if encrypted.is_empty() {
                    out.extend_from_slice(b"null");
                } else {
                    push_quoted(encrypted, out);
                }
            }
            Self::Call { id, call_id, name, arguments } => {
                begin(id, "function_call", out);
                push_status(status, out);
                out.extend_from_slice(b",\"arguments\":");
                push_quoted(arguments, out);
                out.extend_from_slice(b",\"call_id\":");
                push_quoted(call_id, out);
                out.extend_from_slice(b",\"name\":");
                push_quoted(name, out);
            }
            Self::Image { id, data } => {
                begin(id, "image_generation_call", out);
                push_status(status, out);
                out.extend_from_slice(b",\"result\":");
                push_quoted(data, out);
            }
        }
        out.push(b'}');
    }
}

fn begin(id: &[u8], kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    push_quoted(id, out);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
}

fn push_status(status: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(status.as_bytes());
    out.push(b'"');
}

impl Part {
    /// Appends a part as it begins.
    pub(super) fn push_empty(refusal: bool, out: &mut Vec<u8>) {
        Self { refusal, text: Vec::new(), logprobs: Vec::new() }.push(out);
    }

    pub(super) fn push(&self, out: &mut Vec<u8>) {
        if self.refusal {
            out.extend_from_slice(b"{\"type\":\"refusal\",\"refusal\":");
            push_quoted(&self.text, out);
        } else {
            out.extend_from_slice(b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[");
            out.extend_from_slice(&self.logprobs);
            out.extend_from_slice(b"],\"text\":");
            push_quoted(&self.text, out);
        }
        out.push(b'}');
    }
}

/// Appends one element of a summary.
pub(super) fn push_summary(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"summary_text\",\"text\":");
    push_quoted(text, out);
    out.push(b'}');
}

pub(super) fn push_quoted(escaped: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(escaped);
    out.push(b'"');
}

pub(super) fn push_output_index(index: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"output_index\":");
    ascii::push_u64(out, u64::try_from(index).unwrap_or(u64::MAX));
}

pub(super) fn push_item(id: &[u8], index: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"item_id\":");
    push_quoted(id, out);
    push_output_index(index, out);
}

pub(super) fn push_place(id: &[u8], index: usize, place: usize, out: &mut Vec<u8>) {
    push_item(id, index, out);
    out.extend_from_slice(b",\"content_index\":");
    ascii::push_u64(out, u64::try_from(place).unwrap_or(u64::MAX));
}

pub(super) fn push_summary_place(id: &[u8], index: usize, out: &mut Vec<u8>) {
    push_item(id, index, out);
    out.extend_from_slice(b",\"summary_index\":0");
}

pub(super) fn push_usage(usage: &Usage, out: &mut Vec<u8>) {
    let mut count = |name: &[u8], count: u64| {
        out.extend_from_slice(name);
        ascii::push_u64(out, count);
    };
    count(b"{\"input_tokens\":", usage.prompt);
    count(b",\"input_tokens_details\":{\"cached_tokens\":", usage.cached);
    count(b",\"cache_write_tokens\":", usage.cache_write);
    count(b"},\"output_tokens\":", usage.completion);
    count(b",\"output_tokens_details\":{\"reasoning_tokens\":", usage.reasoning);
    count(b"},\"total_tokens\":", usage.prompt.saturating_add(usage.completion));
    out.push(b'}');
}
