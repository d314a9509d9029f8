//! Events to the chunks of an OpenAI stream.
//!
//! Everything that all chunks of a stream have in common is rendered once; a chunk is then one
//! copy of that prefix and the escaped text as the vendor sent it.

use smallvec::SmallVec;

use crate::base::ascii;
use crate::wire::json::{self, JsonText};

use super::event::{Event, FinishReason, Usage};
use super::part::MediaKind;

/// How the vendor began: [`Event::Start`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun<'e> {
    pub(super) id: Option<JsonText<'e>>,
    pub(super) bare: bool,
    pub(super) model: Option<JsonText<'e>>,
    pub(super) created: Option<u64>,
}

/// What an answer has that does not come from the vendor.
#[derive(Clone, Debug)]
pub struct ReplyMeta {
    /// Random; used when the vendor sends no id.
    pub fallback_id: u64,
    /// Seconds since 1970.
    pub created: u64,
    /// The model that was asked for upstream; used when the vendor names none.
    pub model: String,
}

impl ReplyMeta {
    /// Appends `"id":…,"object":…,"created":…,"model":…`.
    pub(super) fn render(&self, object: &str, begun: &Begun<'_>, out: &mut Vec<u8>) {
        let Begun { id, bare, model, created } = *begun;
        out.extend_from_slice(b"\"id\":\"");
        if bare || id.is_none() {
            out.extend_from_slice(b"chatcmpl-");
        }
        match id {
            Some(id) => out.extend_from_slice(id.raw().as_bytes()),
            None => ascii::push_hex(out, self.fallback_id),
        }
        out.extend_from_slice(b"\",\"object\":\"");
        out.extend_from_slice(object.as_bytes());
        out.extend_from_slice(b"\",\"created\":");
        ascii::push_u64(out, created.unwrap_or(self.created));
        out.extend_from_slice(b",\"model\":");
        match model {
            Some(model) => {
                out.push(b'"');
                out.extend_from_slice(model.raw().as_bytes());
                out.push(b'"');
            }
            None => json::push_string(out, &self.model),
        }
    }
}

/// What is known of one choice.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    role_sent: bool,
    called: bool,
    finish: Option<FinishReason>,
}

/// Renders one stream.
#[derive(Debug)]
pub struct StreamRenderer {
    meta: ReplyMeta,
    include_usage: bool,
    /// `data: {"id":…,"model":…,"choices":[{"index":` of every chunk; empty before the start.
    prefix: Vec<u8>,
    choices: Vec<Choice>,
    /// The last signature of each choice, sent with its finish chunk.
    signatures: Vec<Vec<u8>>,
    usage: Option<Usage>,
    /// The service tier, for the last chunk.
    tier: Tier,
}

impl StreamRenderer {
    /// A renderer that has written nothing yet.
    pub fn new(meta: ReplyMeta, include_usage: bool) -> Self {
        Self {
            meta,
            include_usage,
            prefix: Vec::new(),
            choices: Vec::new(),
            signatures: Vec::new(),
            usage: None,
            tier: Tier::new(),
        }
    }

    /// Has the vendor begun to answer?
    pub fn has_started(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// Appends the chunks of one event.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, bare, model, created } => {
                let (id, bare, model, created) = (*id, *bare, *model, *created);
                self.start(&Begun { id, bare, model, created });
            }
            Event::Open { choice } => self.open(*choice, out),
            Event::Text { choice, text } => self.delta(*choice, b"content", *text, out),
            Event::Reasoning { choice, text } => {
                self.delta(*choice, b"reasoning_content", *text, out);
            }
            Event::Refusal { choice, text } => self.delta(*choice, b"refusal", *text, out),
            Event::Signature { choice, data } => {
                self.open(*choice, out);
                if let Some(kept) = self.signatures.get_mut(place(*choice)) {
                    kept.clear();
                    kept.extend_from_slice(data.raw().as_bytes());
                }
            }
            Event::Call { choice, call, id, name, arguments, signature } => {
                self.open(*choice, out);
                if let Some(state) = self.choices.get_mut(place(*choice)) {
                    state.called = true;
                }
                self.begin(*choice, out);
                tool_call((*call, *id, *name), *arguments, *signature, out);
                self.end_delta(out);
            }
            Event::Arguments { choice, call, piece } => {
                self.open(*choice, out);
                self.begin(*choice, out);
                more_arguments(*call, *piece, out);
                self.end_delta(out);
            }
            Event::Thought { choice, text, signature } => {
                self.extension(*choice, out, |out| thinking_block(*text, *signature, out));
            }
            Event::Redacted { choice, data } => {
                self.extension(*choice, out, |out| redacted_block(*data, out));
            }
            Event::Media { choice, kind, mime, data } => {
                self.open(*choice, out);
                self.begin(*choice, out);
                media(*kind, *mime, *data, (self.meta.fallback_id, self.meta.created), out);
                self.end_delta(out);
            }
            Event::Logprobs { choice, content } => {
                self.open(*choice, out);
                self.begin(*choice, out);
                out.extend_from_slice(b"},\"logprobs\":{\"content\":[");
                out.extend_from_slice(content.as_bytes());
                out.extend_from_slice(b"],\"refusal\":null},\"finish_reason\":null");
                self.close(out);
            }
            Event::Tier(tier) => {
                self.tier.clear();
                self.tier.extend_from_slice(tier.raw().as_bytes());
            }
            Event::Finish { choice, reason, .. } => {
                self.open(*choice, out);
                if let Some(state) = self.choices.get_mut(place(*choice)) {
                    state.finish = Some(*reason);
                }
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Counted(_) => {}
        }
    }

    /// Appends the finish chunks, the usage chunk if it was asked for, and `[DONE]`.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        for choice in 0..self.choices.len() {
            self.finish_chunk(choice, out);
        }
        if self.include_usage {
            let head = self.prefix.len().saturating_sub(CHOICE_OPEN.len());
            out.extend_from_slice(self.prefix.get(..head).unwrap_or_default());
            out.extend_from_slice(b"],\"usage\":");
            self.usage.unwrap_or_default().render(out);
            push_tier(&self.tier, out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// A delta with a block of reasoning.
    fn extension(&mut self, choice: u32, out: &mut Vec<u8>, block: impl FnOnce(&mut Vec<u8>)) {
        self.open(choice, out);
        self.begin(choice, out);
        out.extend_from_slice(b"\"thinking_blocks\":[");
        block(out);
        out.push(b']');
        self.end_delta(out);
    }

    fn start(&mut self, begun: &Begun<'_>) {
        if self.has_started() {
            return;
        }
        self.prefix.reserve(256);
        self.prefix.extend_from_slice(b"data: {");
        self.meta.render("chat.completion.chunk", begun, &mut self.prefix);
        self.prefix.extend_from_slice(b",\"system_fingerprint\":null,\"choices\":[");
        self.prefix.extend_from_slice(CHOICE_OPEN);
    }

    /// Appends one delta with one text field.
    fn delta(&mut self, choice: u32, field: &[u8], text: JsonText<'_>, out: &mut Vec<u8>) {
        self.open(choice, out);
        if text.is_empty() {
            return;
        }
        self.begin(choice, out);
        out.push(b'"');
        out.extend_from_slice(field);
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(text.raw().as_bytes());
        out.push(b'"');
        self.end_delta(out);
    }

    /// Everything behind the inside of `delta`.
    fn end_delta(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":null");
        self.close(out);
    }

    /// The first chunk of a choice names the role; no other does.
    fn open(&mut self, choice: u32, out: &mut Vec<u8>) {
        let index = place(choice);
        while self.choices.len() <= index && self.choices.len() < CHOICES_MAX {
            self.choices.push(Choice::default());
            self.signatures.push(Vec::new());
        }
        let Some(state) = self.choices.get_mut(index) else { return };
        if std::mem::replace(&mut state.role_sent, true) {
            return;
        }
        self.begin(choice, out);
        out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},");
        out.extend_from_slice(b"\"logprobs\":null,\"finish_reason\":null");
        self.close(out);
    }

    fn finish_chunk(&self, index: usize, out: &mut Vec<u8>) {
        let Some(Choice { finish: Some(reason), called, .. }) = self.choices.get(index) else {
            return;
        };
        self.begin(u32::try_from(index).unwrap_or(u32::MAX), out);
        // Beside calls it would stand for the calls, which have their own.
        let signature = self.signatures.get(index).filter(|kept| !kept.is_empty() && !called);
        if let Some(signature) = signature {
            out.extend_from_slice(SIGNATURE_OPEN);
            out.extend_from_slice(signature);
            out.extend_from_slice(b"\"}}");
        }
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":\"");
        out.extend_from_slice(reason.as_str().as_bytes());
        out.push(b'"');
        self.close(out);
    }

    /// Everything up to the inside of `delta`.
    fn begin(&self, choice: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        ascii::push_u64(out, u64::from(choice));
        out.extend_from_slice(b",\"delta\":{");
    }

    /// Everything behind the choice.
    fn close(&self, out: &mut Vec<u8>) {
        let end: &[u8] = if self.include_usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" };
        out.extend_from_slice(end);
    }
}

/// The name of a service tier, as in JSON strings; those that there are fit.
pub(super) type Tier = SmallVec<[u8; 16]>;

/// Appends `service_tier`, if one is known.
pub(super) fn push_tier(tier: &[u8], out: &mut Vec<u8>) {
    if !tier.is_empty() {
        out.extend_from_slice(b",\"service_tier\":\"");
        out.extend_from_slice(tier);
        out.push(b'"');
    }
}

/// Appends `"tool_calls":[…]` with the beginning of one call, or all of it.
fn tool_call(
    (call, id, name): (u32, JsonText<'_>, JsonText<'_>),
    arguments: Option<&str>,
    signature: Option<JsonText<'_>>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
    ascii::push_u64(out, u64::from(call));
    out.extend_from_slice(b",\"id\":\"");
    out.extend_from_slice(id.raw().as_bytes());
    out.extend_from_slice(b"\",\"type\":\"function\",\"function\":{\"name\":\"");
    out.extend_from_slice(name.raw().as_bytes());
    out.extend_from_slice(b"\",\"arguments\":\"");
    if let Some(arguments) = arguments {
        json::push_compact_escaped(out, arguments);
    }
    out.extend_from_slice(b"\"}");
    push_signature(signature.map(|mark| mark.raw().as_bytes()), out);
    out.extend_from_slice(b"}]");
}

/// Appends `"tool_calls":[…]` with more of the arguments of a call.
fn more_arguments(call: u32, piece: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
    ascii::push_u64(out, u64::from(call));
    out.extend_from_slice(b",\"function\":{\"arguments\":\"");
    out.extend_from_slice(piece.raw().as_bytes());
    out.extend_from_slice(b"\"}}]");
}

/// Appends `,"extra_content":…`, if there is a mark.
pub(super) fn push_signature(signature: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(signature) = signature.filter(|mark| !mark.is_empty()) {
        out.push(b',');
        out.extend_from_slice(SIGNATURE_OPEN);
        out.extend_from_slice(signature);
        out.extend_from_slice(b"\"}}");
    }
}

/// Appends one element of `thinking_blocks`.
pub fn thinking_block(text: JsonText<'_>, signature: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"");
    out.extend_from_slice(text.raw().as_bytes());
    out.extend_from_slice(b"\",\"signature\":\"");
    out.extend_from_slice(signature.raw().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Appends one element of `thinking_blocks`.
pub fn redacted_block(data: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":\"");
    out.extend_from_slice(data.raw().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Appends `"images":[…]` or `"audio":{…}` with one medium. OpenAI's recordings can be referred
/// to for an hour by their id; ours cannot, so they expire when they are made.
pub(super) fn media(
    kind: MediaKind,
    mime: JsonText<'_>,
    data: JsonText<'_>,
    (id, now): (u64, u64),
    out: &mut Vec<u8>,
) {
    if kind == MediaKind::Audio {
        out.extend_from_slice(b"\"audio\":{\"id\":\"audio_");
        ascii::push_hex(out, id);
        out.extend_from_slice(b"\",\"data\":\"");
        out.extend_from_slice(data.raw().as_bytes());
        out.extend_from_slice(b"\",\"expires_at\":");
        ascii::push_u64(out, now);
        out.extend_from_slice(b",\"transcript\":\"\"}");
        return;
    }
    out.extend_from_slice(b"\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:");
    out.extend_from_slice(mime.raw().as_bytes());
    out.extend_from_slice(b";base64,");
    out.extend_from_slice(data.raw().as_bytes());
    out.extend_from_slice(b"\"}}]");
}

const CHOICE_OPEN: &[u8] = b"{\"index\":";

/// Where Google's own OpenAI endpoint puts the mark, so that its clients send it back.
pub(super) const SIGNATURE_OPEN: &[u8] = b"\"extra_content\":{\"google\":{\"thought_signature\":\"";

/// No vendor gives more answers to one request.
pub(super) const CHOICES_MAX: usize = 128;

fn place(choice: u32) -> usize {
    usize::try_from(choice).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> JsonText<'static> {
        JsonText::plain(text)
    }

    fn rendered(include_usage: bool, events: &[Event<'_>]) -> Vec<String> {
        let meta = ReplyMeta { fallback_id: 0xabc, created: 7, model: "asked".to_owned() };
        let mut renderer = StreamRenderer::new(meta, include_usage);
        let mut out = Vec::new();
        events.iter().for_each(|event| renderer.on_event(event, &mut out));
        renderer.end(&mut out);
        let out = String::from_utf8(out).unwrap();
        out.split_terminator("\n\n").map(|event| event.replacen("data: ", "", 1)).collect()
    }

    #[test]
    fn a_stream_has_role_deltas_finish_usage_and_done() {
        let usage = Usage { prompt: 2, completion: 3, ..Usage::default() };
        let events = [
            Event::Start { id: Some(text("x")), bare: true, model: None, created: None },
            Event::Text { choice: 0, text: text("Hi") },
            Event::Text { choice: 0, text: text("") },
            Event::Finish { choice: 0, reason: FinishReason::Stop, sequence: None },
            Event::Usage(usage),
        ];
        let chunks = rendered(true, &events);
        assert_eq!(chunks.len(), 5, "{chunks:#?}");
        for chunk in &chunks[..4] {
            serde_json::from_str::<serde::de::IgnoredAny>(chunk).unwrap();
            assert!(chunk.contains(
                r#""id":"chatcmpl-x","object":"chat.completion.chunk","created":7,"model":"asked""#
            ));
        }
        assert!(chunks[0].contains(r#""delta":{"role":"assistant","content":"","refusal":null}"#));
        assert!(chunks[1].contains(
            r#""delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null"#
        ));
        assert!(chunks[2].contains(r#""delta":{},"logprobs":null,"finish_reason":"stop"}]"#));
        assert!(chunks[3].contains(
            r#""choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5"#
        ));
        assert_eq!(chunks[4], "[DONE]");
        assert_eq!(rendered(false, &events).len(), 4);
        assert!(!rendered(false, &events).concat().contains("usage"));
    }

    #[test]
    fn choices_have_their_own_role_and_finish() {
        let events = [
            Event::Start { id: None, bare: true, model: Some(text("m-1")), created: None },
            Event::Text { choice: 1, text: text("b") },
            Event::Refusal { choice: 0, text: text("no") },
            Event::Signature { choice: 1, data: text("c2ln") },
            Event::Finish { choice: 1, reason: FinishReason::Length, sequence: None },
            Event::Finish { choice: 0, reason: FinishReason::ContentFilter, sequence: None },
        ];
        let chunks = rendered(false, &events);
        assert_eq!(chunks.len(), 7, "{chunks:#?}");
        assert_eq!(chunks.concat().matches("\"role\"").count(), 2);
        assert!(chunks[5].contains(
            r#""index":1,"delta":{"extra_content":{"google":{"thought_signature":"c2ln"}}}"#
        ));
        assert!(
            chunks[0].contains(r#""id":"chatcmpl-abc""#) && chunks[0].contains(r#""model":"m-1""#)
        );
    }
}
