//! Events to one whole OpenAI answer.

use crate::base::ascii;
use crate::wire::json::{self, JsonText};

use super::event::{Event, FinishReason, Usage};
use super::part::MediaKind;
use super::render::{self, Begun, CHOICES_MAX, ReplyMeta, Tier};

#[derive(Debug, Default)]
struct Choice {
    content: Vec<u8>,
    reasoning: Vec<u8>,
    refusal: Vec<u8>,
    signature: Vec<u8>,
    calls: Vec<Call>,
    /// Elements of `thinking_blocks`, rendered.
    thoughts: Vec<u8>,
    /// `"images":[…]`, rendered up to its end.
    images: Vec<u8>,
    /// `"audio":{…}`, rendered.
    audio: Vec<u8>,
    /// Elements of `logprobs.content`.
    logprobs: Vec<u8>,
    finish: Option<FinishReason>,
}

/// A call; its texts are as in JSON strings.
#[derive(Debug, Default)]
struct Call {
    id: Vec<u8>,
    name: Vec<u8>,
    arguments: Vec<u8>,
    signature: Vec<u8>,
}

/// Collects one answer.
#[derive(Debug)]
pub struct Collector {
    meta: ReplyMeta,
    /// `"id":…,"object":…,"created":…,"model":…`; empty before the start.
    head: Vec<u8>,
    /// The first one, if there is one; most answers have no other.
    first: Option<Choice>,
    others: Vec<Choice>,
    usage: Option<Usage>,
    tier: Tier,
}

impl Collector {
    /// Nothing has come yet.
    pub fn new(meta: ReplyMeta) -> Self {
        Self {
            meta,
            head: Vec::new(),
            first: None,
            others: Vec::new(),
            usage: None,
            tier: Tier::new(),
        }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { id, bare, model, created } if self.head.is_empty() => {
                let (id, bare, model, created) = (*id, *bare, *model, *created);
                self.head.reserve(256);
                let begun = Begun { id, bare, model, created };
                self.meta.render("chat.completion", &begun, &mut self.head);
            }
            Event::Start { .. } | Event::Counted(_) => {}
            Event::Open { choice } => self.with(*choice, |_| {}),
            Event::Text { choice, text } => {
                self.with(*choice, |kept| kept.content.extend_from_slice(text.raw().as_bytes()));
            }
            Event::Reasoning { choice, text } => {
                self.with(*choice, |kept| kept.reasoning.extend_from_slice(text.raw().as_bytes()));
            }
            Event::Refusal { choice, text } => {
                self.with(*choice, |kept| kept.refusal.extend_from_slice(text.raw().as_bytes()));
            }
            Event::Signature { choice, data } => {
                self.with(*choice, |kept| kept.signature = data.raw().as_bytes().to_vec());
            }
            Event::Call { choice, call, id, name, arguments, signature } => {
                self.with_call(*choice, *call, |kept| {
                    kept.id = id.raw().as_bytes().to_vec();
                    kept.name = name.raw().as_bytes().to_vec();
                    kept.signature = signature.map(|mark| mark.raw().into()).unwrap_or_default();
                    if let Some(arguments) = arguments {
                        json::push_compact_escaped(&mut kept.arguments, arguments);
                    }
                });
            }
            Event::Arguments { choice, call, piece } => {
                self.with_call(*choice, *call, |kept| {
                    kept.arguments.extend_from_slice(piece.raw().as_bytes());
                });
            }
            Event::Thought { choice, text, signature } => self.with(*choice, |kept| {
                comma(&mut kept.thoughts);
                render::thinking_block(*text, *signature, &mut kept.thoughts);
            }),
            Event::Redacted { choice, data } => self.with(*choice, |kept| {
                comma(&mut kept.thoughts);
                render::redacted_block(*data, &mut kept.thoughts);
            }),
            Event::Media { choice, kind, mime, data } => {
                let id = (self.meta.fallback_id, self.meta.created);
                self.with(*choice, |kept| kept.medium(*kind, (*mime, *data), id));
            }
            Event::Logprobs { choice, content } => self.with(*choice, |kept| {
                comma(&mut kept.logprobs);
                kept.logprobs.extend_from_slice(content.as_bytes());
            }),
            Event::Tier(tier) => self.tier = Tier::from_slice(tier.raw().as_bytes()),
            Event::Finish { choice, reason, .. } => {
                self.with(*choice, |kept| kept.finish = Some(*reason));
            }
            Event::Usage(usage) => self.usage = Some(*usage),
        }
    }

    /// Appends the answer.
    pub fn render(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"system_fingerprint\":null,\"choices\":[");
        for (index, choice) in self.first.iter().chain(&self.others).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"index\":");
            ascii::push_u64(out, u64::try_from(index).unwrap_or(u64::MAX));
            out.extend_from_slice(b",\"message\":");
            choice.render(out);
            let finish = choice.finish.unwrap_or(FinishReason::Stop);
            if choice.logprobs.is_empty() {
                out.extend_from_slice(b",\"logprobs\":null");
            } else {
                out.extend_from_slice(b",\"logprobs\":{\"content\":[");
                out.extend_from_slice(&choice.logprobs);
                out.extend_from_slice(b"],\"refusal\":null}");
            }
            out.extend_from_slice(b",\"finish_reason\":\"");
            out.extend_from_slice(finish.as_str().as_bytes());
            out.extend_from_slice(b"\"}");
        }
        out.push(b']');
        if let Some(usage) = &self.usage {
            out.extend_from_slice(b",\"usage\":");
            usage.render(out);
        }
        render::push_tier(&self.tier, out);
        out.push(b'}');
    }

    fn with_call(&mut self, choice: u32, call: u32, change: impl FnOnce(&mut Call)) {
        self.with(choice, |kept| {
            let index = usize::try_from(call).unwrap_or(usize::MAX);
            while kept.calls.len() <= index && kept.calls.len() < CALLS_MAX {
                kept.calls.push(Call::default());
            }
            if let Some(call) = kept.calls.get_mut(index) {
                change(call);
            }
        });
    }

    fn with(&mut self, choice: u32, change: impl FnOnce(&mut Choice)) {
        let first = self.first.get_or_insert_default();
        let Some(other) = choice.checked_sub(1) else { return change(first) };
        let index = usize::try_from(other).unwrap_or(usize::MAX);
        while self.others.len() <= index && self.others.len() + 1 < CHOICES_MAX {
            self.others.push(Choice::default());
        }
        if let Some(kept) = self.others.get_mut(index) {
            change(kept);
        }
    }
}

impl Choice {
    fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":");
        let wordless = !self.refusal.is_empty() || !self.calls.is_empty();
        if self.content.is_empty() && wordless {
            out.extend_from_slice(b"null");
        } else {
            push_quoted(out, &self.content);
        }
        if !self.reasoning.is_empty() {
            out.extend_from_slice(b",\"reasoning_content\":");
            push_quoted(out, &self.reasoning);
        }
        out.extend_from_slice(b",\"refusal\":");
        if self.refusal.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            push_quoted(out, &self.refusal);
        }
        if !self.thoughts.is_empty() {
            out.extend_from_slice(b",\"thinking_blocks\":[");
            out.extend_from_slice(&self.thoughts);
            out.push(b']');
        }
        if !self.images.is_empty() {
            out.push(b',');
            out.extend_from_slice(&self.images);
        }
        if !self.audio.is_empty() {
            out.push(b',');
            out.extend_from_slice(&self.audio);
        }
        if self.calls.is_empty() {
            // Beside calls it would stand for the calls, which have their own.
            render::push_signature(Some(&self.signature), out);
        } else {
            out.extend_from_slice(b",\"tool_calls\":[");
            for (index, call) in self.calls.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                call.render(out);
            }
            out.push(b']');
        }
        out.push(b'}');
    }

    fn medium(
        &mut self,
        kind: MediaKind,
        (mime, data): (JsonText<'_>, JsonText<'_>),
        id: (u64, u64),
    ) {
        if kind == MediaKind::Audio {
            self.audio.clear();
            render::media(kind, mime, data, id, &mut self.audio);
            return;
        }
        let before = self.images.len();
        render::media(kind, mime, data, id, &mut self.images);
        if before > 0 {
            // `"images":[A]` and `"images":[B]` become `"images":[A,B]`.
            let opening = b"\"images\":[".len();
            self.images.drain(before..before + opening);
            if let Some(bracket) = self.images.get_mut(before - 1) {
                *bracket = b',';
            }
        }
    }
}

impl Call {
    fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        push_quoted(out, &self.id);
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        push_quoted(out, &self.name);
        out.extend_from_slice(b",\"arguments\":");
        push_quoted(out, &self.arguments);
        out.push(b'}');
        render::push_signature(Some(&self.signature), out);
        out.push(b'}');
    }
}

/// No vendor calls more tools in one answer.
const CALLS_MAX: usize = 4096;

fn comma(list: &mut Vec<u8>) {
    if !list.is_empty() {
        list.push(b',');
    }
}

fn push_quoted(out: &mut Vec<u8>, escaped: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(escaped);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_one_answer() {
        let meta = ReplyMeta { fallback_id: 1, created: 7, model: "asked".to_owned() };
        let mut collector = Collector::new(meta);
        let text = JsonText::plain;
        let events = [
            Event::Start { id: Some(text("x")), bare: true, model: Some(text("m")), created: None },
            Event::Reasoning { choice: 0, text: text("hm") },
            Event::Text { choice: 0, text: text("a\\n") },
            Event::Text { choice: 0, text: text("b") },
            Event::Refusal { choice: 1, text: text("no") },
            Event::Finish { choice: 0, reason: FinishReason::Stop, sequence: None },
            Event::Finish { choice: 1, reason: FinishReason::ContentFilter, sequence: None },
            Event::Usage(Usage { prompt: 1, completion: 2, reasoning: 1, ..Usage::default() }),
        ];
        events.iter().for_each(|event| collector.on_event(event));
        let mut out = Vec::new();
        collector.render(&mut out);
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(answer["id"], "chatcmpl-x");
        let first = &answer["choices"][0];
        assert_eq!(first["message"]["content"], "a\nb");
        assert_eq!(first["message"]["reasoning_content"], "hm");
        assert_eq!(first["finish_reason"], "stop");
        assert!(answer["choices"][1]["message"]["content"].is_null());
        assert_eq!(answer["choices"][1]["message"]["refusal"], "no");
        assert_eq!(answer["usage"]["total_tokens"], 3);
        assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 1);
    }
}
