//! Events to one whole OpenAI answer.

use crate::base::ascii;

use super::event::{Event, FinishReason, Usage};
use super::render::{CHOICES_MAX, ReplyMeta, SIGNATURE_OPEN};

#[derive(Debug, Default)]
struct Choice {
    content: Vec<u8>,
    reasoning: Vec<u8>,
    refusal: Vec<u8>,
    signature: Vec<u8>,
    finish: Option<FinishReason>,
}

/// Collects one answer.
#[derive(Debug)]
pub struct Collector {
    meta: ReplyMeta,
    /// `"id":…,"object":…,"created":…,"model":…`; empty before the start.
    head: Vec<u8>,
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

impl Collector {
    /// Nothing has come yet.
    pub fn new(meta: ReplyMeta) -> Self {
        Self { meta, head: Vec::new(), choices: Vec::new(), usage: None }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { id, model } if self.head.is_empty() => {
                self.meta.render("chat.completion", *id, *model, &mut self.head);
            }
            Event::Start { .. } => {}
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
            Event::Finish { choice, reason } => {
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
        for (index, choice) in self.choices.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"index\":");
            ascii::push_u64(out, u64::try_from(index).unwrap_or(u64::MAX));
            out.extend_from_slice(b",\"message\":");
            choice.render(out);
            let finish = choice.finish.unwrap_or(FinishReason::Stop);
            out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"");
            out.extend_from_slice(finish.as_str().as_bytes());
            out.extend_from_slice(b"\"}");
        }
        out.push(b']');
        if let Some(usage) = &self.usage {
            out.extend_from_slice(b",\"usage\":");
            usage.render(out);
        }
        out.push(b'}');
    }

    fn with(&mut self, choice: u32, change: impl FnOnce(&mut Choice)) {
        let index = usize::try_from(choice).unwrap_or(usize::MAX);
        while self.choices.len() <= index && self.choices.len() < CHOICES_MAX {
            self.choices.push(Choice::default());
        }
        if let Some(kept) = self.choices.get_mut(index) {
            change(kept);
        }
    }
}

impl Choice {
    fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":");
        if self.content.is_empty() && !self.refusal.is_empty() {
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
        if !self.signature.is_empty() {
            out.push(b',');
            out.extend_from_slice(SIGNATURE_OPEN);
            out.extend_from_slice(&self.signature);
            out.extend_from_slice(b"\"}}");
        }
        out.push(b'}');
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
    use crate::wire::json::JsonText;

    #[test]
    fn pieces_become_one_answer() {
        let meta = ReplyMeta { fallback_id: 1, created: 7, model: "asked".to_owned() };
        let mut collector = Collector::new(meta);
        let text = JsonText::plain;
        let events = [
            Event::Start { id: Some(text("x")), model: Some(text("m")) },
            Event::Reasoning { choice: 0, text: text("hm") },
            Event::Text { choice: 0, text: text("a\\n") },
            Event::Text { choice: 0, text: text("b") },
            Event::Refusal { choice: 1, text: text("no") },
            Event::Finish { choice: 0, reason: FinishReason::Stop },
            Event::Finish { choice: 1, reason: FinishReason::ContentFilter },
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
