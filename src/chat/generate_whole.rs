//! Events to one whole answer of Google's `generateContent`.

use crate::wire::json::JsonText;

use super::carry::Mark;
use super::event::{Event, FinishReason};
use super::generate_out::{
    Call, Ending, candidate, push_call, push_end, push_feedback, push_finish, push_logprobs,
    push_part, push_quoted, push_whole_or_nothing,
};
use super::generate_parts::push_opaque;
use super::render::ReplyMeta;

/// Writes one answer in one piece.
#[derive(Debug)]
pub struct WholeGenerate {
    meta: ReplyMeta,
    end: Vec<u8>,
    candidates: Vec<Kept>,
    ending: Ending,
}

/// A candidate that is kept until all of it is there.
#[derive(Debug, Default)]
struct Kept {
    /// Elements of `parts`.
    parts: Vec<u8>,
    /// The text, or thought, that is still growing, as in a JSON string.
    text: Vec<u8>,
    thought: bool,
    /// Google's mark on the text.
    signature: Vec<u8>,
    calls: Vec<Call>,
    /// Elements of `OpenAI`'s `logprobs.content`.
    logprobs: Vec<u8>,
    refusal: Vec<u8>,
    finish: Option<FinishReason>,
}

impl Kept {
    fn say(&mut self, text: JsonText<'_>, thought: bool) {
        if text.is_empty() {
            return;
        }
        if self.thought != thought {
            self.flush(&[]);
        }
        self.thought = thought;
        self.text.extend_from_slice(text.raw().as_bytes());
    }

    /// Ends the growing text.
    fn flush(&mut self, mark: &[u8]) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() && mark.is_empty() {
            return;
        }
        self.separate();
        self.parts.extend_from_slice(b"{\"text\":");
        push_quoted(&text, &mut self.parts);
        if self.thought {
            self.parts.extend_from_slice(b",\"thought\":true");
        }
        if !mark.is_empty() {
            self.parts.extend_from_slice(b",\"thoughtSignature\":");
            push_quoted(mark, &mut self.parts);
        }
        self.parts.push(b'}');
    }

    fn separate(&mut self) {
        if !self.parts.is_empty() {
            self.parts.push(b',');
        }
    }

    /// Ends what has been said: nothing follows.
    fn end(&mut self) {
        if !self.signature.is_empty() && self.thought {
            self.flush(&[]);
            self.thought = false;
        }
        let mark = std::mem::take(&mut self.signature);
        self.flush(&mark);
        for call in std::mem::take(&mut self.calls) {
            self.separate();
            call.push(&mut self.parts);
        }
    }
}

impl WholeGenerate {
    /// Nothing has come yet.
    pub fn new(meta: ReplyMeta) -> Self {
        Self { meta, end: Vec::new(), candidates: Vec::new(), ending: Ending::default() }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Start { id, model, .. } if self.end.is_empty() => {
                push_end(&self.meta, id, model, &mut self.end);
            }
            Event::Start { .. } | Event::Counted(_) => {}
            Event::Tier(tier) => self.ending.tier = tier.raw().as_bytes().to_vec(),
            Event::Usage(usage) => self.ending.usage = Some(usage),
            Event::Open { choice }
            | Event::Text { choice, .. }
            | Event::Reasoning { choice, .. }
            | Event::Refusal { choice, .. }
            | Event::Signature { choice, .. }
            | Event::Call { choice, .. }
            | Event::Arguments { choice, .. }
            | Event::Thought { choice, .. }
            | Event::Redacted { choice, .. }
            | Event::Media { choice, .. }
            | Event::Logprobs { choice, .. }
            | Event::Finish { choice, .. } => {
                if let Some(kept) = candidate(&mut self.candidates, choice) {
                    kept.on_event(event);
                }
            }
        }
    }

    /// Appends the answer.
    pub fn render(&mut self, out: &mut Vec<u8>) {
        out.push(b'{');
        let silent =
            |kept: &Kept| kept.parts.is_empty() && kept.text.is_empty() && kept.calls.is_empty();
        let blocked = self.candidates.iter().find(|kept| !kept.refusal.is_empty());
        match blocked {
            Some(blocked) if self.candidates.iter().all(silent) => {
                push_feedback(&blocked.refusal, out);
            }
            _ => self.push_candidates(out),
        }
        self.ending.push_usage(out);
        out.extend_from_slice(&self.end);
    }

    fn push_candidates(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"candidates\":[");
        for (index, kept) in (0_u64..).zip(&mut self.candidates) {
            if index > 0 {
                out.push(b',');
            }
            kept.end();
            out.extend_from_slice(b"{\"content\":{\"parts\":[");
            if kept.parts.is_empty() {
                out.extend_from_slice(b"{\"text\":\"\"}");
            }
            out.extend_from_slice(&kept.parts);
            out.extend_from_slice(b"],\"role\":\"model\"}");
            if !kept.logprobs.is_empty() {
                let content = std::str::from_utf8(&kept.logprobs).unwrap_or_default();
                push_whole_or_nothing(out, |out| push_logprobs(content, out));
            }
            push_finish(kept.finish, &kept.refusal, index, out);
        }
        out.push(b']');
    }
}

impl Kept {
    fn on_event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Text { text, .. } => self.say(text, false),
            Event::Reasoning { text, .. } => self.say(text, true),
            Event::Refusal { text, .. } => {
                self.refusal.extend_from_slice(text.raw().as_bytes());
            }
            Event::Signature { data, .. } => self.signature = data.raw().as_bytes().to_vec(),
            Event::Thought { text, signature, .. } => {
                if !self.thought || self.text.is_empty() {
                    self.say(text, true);
                }
                self.thought = true;
                let mut mark = Vec::new();
                push_opaque(Mark::AnthropicThinking, signature, &mut mark);
                self.flush(&mark);
            }
            Event::Redacted { .. } | Event::Media { .. } => {
                self.flush(&[]);
                self.separate();
                push_part(event, &mut self.parts);
            }
            Event::Call { call, id, name, arguments, signature, .. } => {
                self.flush(&[]);
                let mark = signature.unwrap_or_default().raw().as_bytes();
                let (id, name) = (id.raw().as_bytes(), name.raw().as_bytes());
                if let Some(arguments) = arguments {
                    self.separate();
                    push_call((id, name), arguments, mark, &mut self.parts);
                } else {
                    self.calls.push(Call {
                        number: call,
                        id: id.into(),
                        name: name.into(),
                        arguments: Vec::new(),
                        signature: mark.into(),
                    });
                }
            }
            Event::Arguments { call, piece, .. } => {
                if let Some(call) = self.calls.iter_mut().find(|kept| kept.number == call) {
                    call.arguments.extend_from_slice(piece.raw().as_bytes());
                }
            }
            Event::Logprobs { content, .. } => {
                if !self.logprobs.is_empty() {
                    self.logprobs.push(b',');
                }
                self.logprobs.extend_from_slice(content.as_bytes());
            }
            Event::Finish { reason, .. } => self.finish = Some(reason),
            Event::Start { .. }
            | Event::Open { .. }
            | Event::Tier(_)
            | Event::Usage(_)
            | Event::Counted(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::event::Usage;
    use super::super::generate_out::{GenerateStream, Series};
    use super::super::part::MediaKind;
    use super::*;

    const T: fn(&'static str) -> JsonText<'static> = JsonText::plain;

    const START: Event<'static> =
        Event::Start { id: Some(JsonText::plain("r-1")), bare: true, model: None, created: None };

    fn meta() -> ReplyMeta {
        ReplyMeta { fallback_id: 1, created: 7, model: "asked".to_owned() }
    }

    fn called(
        call: u32,
        id: &'static str,
        arguments: Option<&'static str>,
        signature: Option<&'static str>,
    ) -> Event<'static> {
        let (id, signature) = (T(id), signature.map(T));
        Event::Call { choice: 0, call, id, name: T("f"), arguments, signature }
    }

    fn finish(reason: FinishReason) -> Event<'static> {
        Event::Finish { choice: 0, reason, sequence: None }
    }

    fn whole(events: &[Event<'_>]) -> Value {
        let (mut writer, mut out) = (WholeGenerate::new(meta()), Vec::new());
        events.iter().for_each(|event| writer.on_event(event));
        writer.render(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    fn chunks(series: Series, events: &[Event<'_>]) -> Vec<Value> {
        let (mut writer, mut out) = (GenerateStream::new(meta(), series), Vec::new());
        events.iter().for_each(|event| writer.on_event(event, &mut out));
        writer.end(&mut out);
        let text = String::from_utf8(out).unwrap();
        if series == Series::Array {
            return serde_json::from_str(&text).unwrap();
        }
        let events = text.split_terminator("\r\n\r\n");
        events
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect()
    }

    /// What a client makes of a stream: texts of one kind joined, the rest as it came.
    fn gathered(events: &[Event<'_>]) -> Value {
        let chunks = chunks(Series::Events, events);
        let mut parts: Vec<Value> = Vec::new();
        for chunk in &chunks {
            let candidate = &chunk["candidates"][0];
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                let joins = |last: &&mut Value| {
                    last["text"].is_string()
                        && part["text"].is_string()
                        && last["thought"] == part["thought"]
                        && last["thoughtSignature"].is_null()
                };
                match parts.last_mut().filter(joins) {
                    Some(last) => {
                        let text = part["text"].as_str().unwrap();
                        last["text"] = (last["text"].as_str().unwrap().to_owned() + text).into();
                        last["thoughtSignature"] = part["thoughtSignature"].clone();
                    }
                    None => parts.push(part.clone()),
                }
            }
            assert_eq!(chunk["responseId"], "r-1");
        }
        for part in &mut parts {
            let part = part.as_object_mut().unwrap();
            part.retain(|_, value| !value.is_null());
        }
        let mut last = chunks.last().unwrap().clone();
        last["candidates"][0]["content"]["parts"] = parts.into();
        last
    }

    #[test]
    fn streams_and_whole_answers_say_the_same() {
        let usage =
            Usage { prompt: 10, completion: 9, cached: 6, reasoning: 4, ..Usage::default() };
        let events = [
            START,
            Event::Reasoning { choice: 0, text: T("hm ") },
            Event::Reasoning { choice: 0, text: T("so") },
            Event::Text { choice: 0, text: T("a") },
            Event::Text { choice: 0, text: T("b\\n") },
            called(0, "1", Some("{ \"a\": 1.0 }"), Some("S1")),
            called(1, "2", None, None),
            Event::Arguments { choice: 0, call: 1, piece: T("{\\\"b\\\":") },
            Event::Arguments { choice: 0, call: 1, piece: T("2}") },
            called(2, "3", None, None),
            finish(FinishReason::ToolCalls),
            Event::Tier(T("flex")),
            Event::Usage(usage),
        ];
        let answer = whole(&events);
        assert_eq!(answer, gathered(&events));
        let expected = json!([
            {"text": "hm so", "thought": true},
            {"text": "ab\n"},
            {"functionCall": {"name": "f", "args": {"a": 1.0}, "id": "1"}, "thoughtSignature": "S1"},
            {"functionCall": {"name": "f", "args": {"b": 2}, "id": "2"}},
            {"functionCall": {"name": "f", "args": {}, "id": "3"}},
        ]);
        let candidate = &answer["candidates"][0];
        assert_eq!(candidate["content"], json!({"parts": expected, "role": "model"}));
        assert_eq!(
            (candidate["finishReason"].as_str(), candidate["index"].as_u64()),
            (Some("STOP"), Some(0))
        );
        let usage = &answer["usageMetadata"];
        let counts =
            ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"];
        assert_eq!(counts.map(|name| usage[name].as_u64().unwrap()), [10, 5, 4, 19]);
        assert_eq!(
            (usage["cachedContentTokenCount"].as_u64(), usage["serviceTier"].as_str()),
            (Some(6), Some("flex"))
        );
        assert_eq!(
            (answer["modelVersion"].as_str(), answer["responseId"].as_str()),
            (Some("asked"), Some("r-1"))
        );
        assert_eq!(chunks(Series::Array, &events), chunks(Series::Events, &events));
    }

    #[test]
    fn marks_are_parts() {
        let events = [
            START,
            Event::Reasoning { choice: 0, text: T("a") },
            Event::Thought { choice: 0, text: T("a"), signature: T("EqQ=") },
            Event::Redacted { choice: 0, data: T("Em") },
            Event::Text { choice: 0, text: T("b") },
            Event::Media { choice: 0, kind: MediaKind::Image, mime: T("image/png"), data: T("AA") },
            Event::Text { choice: 0, text: T("c") },
            Event::Signature { choice: 0, data: T("S1") },
            finish(FinishReason::Length),
        ];
        let answer = whole(&events);
        assert_eq!(answer, gathered(&events));
        let parts = &answer["candidates"][0]["content"]["parts"];
        let sealed = |text: &str| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(text)
        };
        let expected = json!([
            {"text": "a", "thought": true, "thoughtSignature": sealed("vbridge1.at.EqQ=")},
            {"text": "", "thought": true, "thoughtSignature": sealed("vbridge1.ar.Em")},
            {"text": "b"},
            {"inlineData": {"mimeType": "image/png", "data": "AA"}},
            {"text": "c", "thoughtSignature": "S1"},
        ]);
        assert_eq!(*parts, expected);
        assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
    }

    #[test]
    fn refusals_block_the_prompt_or_end_the_candidate() {
        let refusal = Event::Refusal { choice: 0, text: T("not this") };
        let events = [START, refusal, finish(FinishReason::ContentFilter)];
        let answer = whole(&events);
        assert_eq!(
            answer["promptFeedback"],
            json!({"blockReason": "SAFETY", "blockReasonMessage": "not this"})
        );
        assert!(answer.get("candidates").is_none());
        assert_eq!(chunks(Series::Events, &events), [answer]);
        let said = Event::Text { choice: 0, text: T("a") };
        let events = [START, said, refusal, finish(FinishReason::Stop)];
        let candidate = whole(&events)["candidates"][0].clone();
        assert_eq!(
            (candidate["finishReason"].as_str(), candidate["finishMessage"].as_str()),
            (Some("SAFETY"), Some("not this"))
        );
        assert_eq!(whole(&events), gathered(&events));
        let empty = [START, finish(FinishReason::Stop)];
        assert_eq!(whole(&empty)["candidates"][0]["content"]["parts"], json!([{"text": ""}]));
        assert_eq!(chunks(Series::Array, &empty), [whole(&empty)]);
    }

    #[test]
    fn candidates_and_probabilities_have_their_place() {
        let content = r#"{"token":"a\"","logprob":-0.10,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.1},{"token":"b","logprob":-2}]},{"token":"c","logprob":-1,"top_logprobs":[]}"#;
        let events = [
            START,
            Event::Text { choice: 1, text: T("b") },
            Event::Text { choice: 0, text: T("a") },
            Event::Logprobs { choice: 0, content },
            finish(FinishReason::Stop),
            Event::Finish { choice: 1, reason: FinishReason::Length, sequence: None },
        ];
        let answer = whole(&events);
        let second = &answer["candidates"][1];
        assert_eq!(
            (second["index"].as_u64(), second["finishReason"].as_str()),
            (Some(1), Some("MAX_TOKENS"))
        );
        let result = &answer["candidates"][0]["logprobsResult"];
        assert_eq!(result["chosenCandidates"][0], json!({"token": "a\"", "logProbability": -0.10}));
        assert_eq!(result["topCandidates"][0]["candidates"][1]["logProbability"], -2);
        assert_eq!(result["topCandidates"][1]["candidates"], json!([]));
        let streamed = chunks(Series::Events, &events);
        assert_eq!(streamed[2]["candidates"][0]["logprobsResult"], *result);
        assert_eq!(streamed.last().unwrap()["candidates"].as_array().unwrap().len(), 2);
    }
}
