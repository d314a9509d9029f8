//! Gemini's `GenerateContentResponse`, whole or in stream chunks, to events.
//!
//! Gemini counts cumulatively, repeats the finish reason on several chunks in older models, and
//! ends a stream without a mark. So the last reason and the last counts are held until the end,
//! and a stream without any reason is a truncation.

use std::borrow::Cow;

use crate::base::{Rng, date};
use crate::chat::{Event, FinishReason, MediaKind};
use crate::wire::json::{JsonError, JsonText, Kind, Reader};

use super::error::{UpstreamError, UpstreamErrorKind, google_in_answer};
use super::expected::Expected;
use super::gemini_partial::Partial;
use super::gemini_usage::Counts;
use super::{call_id, gemini_logprobs};

/// No request can ask for more.
const CHOICES_MAX: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    seen: bool,
    /// Any text at all.
    spoke: bool,
    /// Calls so far.
    calls: u32,
    finish: Option<Ending>,
}

/// Why a candidate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Plain(FinishReason),
    /// The model's output was broken: an error if nothing else came.
    Broken(Broken),
}

/// Reasons that mean the vendor's model failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    MalformedCall,
    UnexpectedCall,
    TooManyCalls,
    MissingSignature,
    MalformedResponse,
}

impl Broken {
    const fn code(self) -> &'static str {
        match self {
            Self::MalformedCall => "upstream_malformed_function_call",
            Self::UnexpectedCall => "upstream_unexpected_tool_call",
            Self::TooManyCalls => "upstream_too_many_tool_calls",
            Self::MissingSignature => "upstream_missing_thought_signature",
            Self::MalformedResponse => "upstream_malformed_response",
        }
    }
}

/// What is known of one answer.
#[derive(Debug)]
pub(super) struct Answer {
    started: bool,
    expected: Expected,
    choices: [Choice; CHOICES_MAX],
    counts: Counts,
    finish_message: Option<String>,
    /// How urgently the request was served, in OpenAI's words.
    tier: Option<&'static str>,
    /// The call whose arguments come in pieces, and its choice.
    partial: Option<(u32, Partial)>,
    /// For ids of calls that have none.
    rng: Rng,
    scratch: String,
}

/// One part of a candidate's content.
#[derive(Clone, Copy, Debug, Default)]
struct Part<'b> {
    text: Option<JsonText<'b>>,
    thought: bool,
    signature: Option<JsonText<'b>>,
    call: Option<Call<'b>>,
    /// Media type and bytes in base64.
    inline: Option<(JsonText<'b>, JsonText<'b>)>,
}

/// `functionCall`.
#[derive(Clone, Copy, Debug, Default)]
struct Call<'b> {
    id: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    arguments: Option<&'b str>,
    /// `partialArgs`, an array.
    pieces: Option<&'b str>,
    continues: bool,
}

impl Answer {
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            started: false,
            expected,
            choices: [Choice::default(); CHOICES_MAX],
            counts: Counts::of(expected.stream),
            finish_message: None,
            tier: None,
            partial: None,
            rng: Rng::new(expected.seed),
            scratch: String::new(),
        }
    }

    /// Takes one response object.
    pub(super) fn payload(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if !self.started {
            self.start(&mut reader.clone(), sink)?;
        }
        reader.object(|reader, key| match key.raw() {
            "candidates" => reader.array(|reader, index| self.candidate(reader, index, sink)),
            "usageMetadata" | "promptFeedback" if reader.null()? => Ok(()),
            "usageMetadata" => {
                self.counts.read(reader, &mut self.tier)?;
                // A client that leaves does so in the middle.
                if let Some(usage) =
                    self.counts.usage().filter(|_| self.started && self.expected.stream)
                {
                    sink(Event::Counted(usage));
                }
                Ok(())
            }
            "promptFeedback" => self.feedback(reader, sink),
            "error" => Err(google_in_answer(reader)?),
            _ => Ok(reader.skip()?),
        })
    }

    /// The body has ended.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamError> {
        let whole = |choice: &Choice| !choice.seen || choice.finish.is_some();
        let any = self.choices.iter().any(|choice| choice.finish.is_some());
        if !any || !self.choices.iter().all(whole) {
            return Err(UpstreamError::truncated());
        }
        // Not before: who runs a tool with half of its arguments does something else.
        if let Some((choice, partial)) = self.partial.take() {
            self.assembled(choice, &partial, sink);
        }
        for (index, choice) in (0..).zip(self.choices) {
            let called = choice.calls > 0;
            let reason = match choice.finish {
                Some(Ending::Broken(broken)) if !choice.spoke && !called => {
                    return Err(self.broken(broken));
                }
                // Google says STOP also when it waits for the results of calls.
                Some(Ending::Broken(_) | Ending::Plain(FinishReason::Stop)) if called => {
                    FinishReason::ToolCalls
                }
                Some(Ending::Broken(_)) => FinishReason::Stop,
                Some(Ending::Plain(reason)) => reason,
                None => continue,
            };
            sink(Event::Finish { choice: index, reason, sequence: None });
        }
        if let Some(tier) = self.tier {
            sink(Event::Tier(JsonText::plain(tier)));
        }
        if let Some(usage) = self.counts.usage() {
            sink(Event::Usage(usage));
        }
        Ok(())
    }

    fn broken(&self, broken: Broken) -> UpstreamError {
        let message = self.finish_message.as_deref().unwrap_or("the model's output was broken");
        let mut error = UpstreamError::new(UpstreamErrorKind::Failed(502), message);
        error.code = Some(Cow::Borrowed(broken.code()));
        error
    }

    /// The id and the model stand behind the first text, and are wanted before it.
    fn start<'b>(
        &mut self,
        reader: &mut Reader<'b>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let (mut id, mut model, mut is_answer) = (None, None, false);
        let mut created = None;
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("createTime", Kind::String) => {
                    created = date::rfc3339_to_unix(reader.string()?.raw());
                }
                ("responseId", Kind::String) => id = Some(reader.string()?),
                ("modelVersion", Kind::String) => model = Some(reader.string()?),
                ("error", _) => return Err(google_in_answer(reader)?),
                ("candidates" | "promptFeedback" | "usageMetadata", _) => {
                    is_answer = true;
                    reader.skip()?;
                }
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })?;
        if !is_answer {
            return Err(JsonError::Type.into());
        }
        self.started = true;
        let named = |text: &JsonText<'b>| !text.is_empty();
        let (id, model) = (id.filter(named), model.filter(named));
        sink(Event::Start { id, bare: true, model, created });
        Ok(())
    }

    fn candidate(
        &mut self,
        reader: &mut Reader<'_>,
        position: usize,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let mut index = position;
        // With one choice the index need not be looked for before its text.
        if self.expected.choices > 1 {
            reader.clone().object(|reader, key| {
                if key.raw() == "index" && reader.kind()? == Kind::Number {
                    index = usize::try_from(reader.unsigned()?).unwrap_or(usize::MAX);
                    return Ok(());
                }
                reader.skip()
            })?;
        }
        // More candidates than can be asked for are not an answer to our request.
        self.choices.get_mut(index).ok_or(JsonError::Type)?.seen = true;
        let choice = u32::try_from(index).unwrap_or(0);
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("content", Kind::Object) => self.content(reader, choice, sink)?,
                (_, Kind::Null) => reader.skip()?,
                ("content", _) => return Err(JsonError::Type.into()),
                ("finishReason", Kind::String) => {
                    let ending = ending_of(&reader.string()?.unescape());
                    self.choice(choice).finish = Some(ending);
                }
                ("logprobsResult", Kind::Object) => {
                    self.scratch.clear();
                    gemini_logprobs::read(reader, &mut self.scratch)?;
                    if !self.scratch.is_empty() {
                        sink(Event::Logprobs { choice, content: &self.scratch });
                    }
                }
                ("finishMessage", Kind::String) => {
                    self.finish_message = Some(reader.string()?.unescape().into_owned());
                }
                _ => reader.skip()?,
            }
            Ok::<(), UpstreamError>(())
        })
    }

    fn content(
        &mut self,
        reader: &mut Reader<'_>,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("parts", Kind::Array) => reader.array(|reader, _index| {
                let part = Part::read(reader)?;
                self.part(part, choice, sink)
            }),
            (_, Kind::Null) => Ok(reader.skip()?),
            ("parts", _) => Err(JsonError::Type.into()),
            _ => Ok(reader.skip()?),
        })
    }

    fn part(
        &mut self,
        part: Part<'_>,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if let Some(call) = part.call {
            return self.call(call, part.signature, choice, sink);
        }
        if let Some(text) = part.text {
            if part.thought {
                sink(Event::Reasoning { choice, text });
            } else {
                self.choice(choice).spoke |= !text.is_empty();
                sink(Event::Text { choice, text });
            }
        }
        if let Some((mime, data)) = part.inline.filter(|_| !part.thought) {
            self.choice(choice).spoke = true;
            let audio = mime.raw().starts_with("audio");
            let kind = if audio { MediaKind::Audio } else { MediaKind::Image };
            sink(Event::Media { choice, kind, mime, data });
        }
        if let Some(data) = part.signature {
            sink(Event::Signature { choice, data });
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: Call<'_>,
        signature: Option<JsonText<'_>>,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if call.name.is_none() && self.partial.is_none() {
            return Err(JsonError::Type.into());
        }
        let whole = !call.continues && call.pieces.is_none();
        let named = call.name.is_some_and(|name| !name.is_empty());
        if !whole || self.partial.is_some() && !named {
            return self.piece(call, signature, choice, sink);
        }
        if let Some((choice, partial)) = self.partial.take() {
            self.assembled(choice, &partial, sink);
        }
        let arguments = call.arguments.unwrap_or("{}");
        self.emit((call.id, call.name.unwrap_or_default()), arguments, signature, choice, sink);
        Ok(())
    }

    /// Gives a whole call, with an id if it has none.
    fn emit(
        &mut self,
        (id, name): (Option<JsonText<'_>>, JsonText<'_>),
        arguments: &str,
        signature: Option<JsonText<'_>>,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let made;
        let mut id = match id.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => {
                made = call_id::random(&mut self.rng);
                made.text()
            }
        };
        let marked;
        if let (true, Some(signature)) = (self.expected.signature_in_id, signature) {
            marked = [id.raw(), "__thought__", signature.raw()].concat();
            id = JsonText::spelt(&marked);
        }
        let alone = self.expected.first_call_only;
        let state = self.choice(choice);
        let call = state.calls;
        state.calls += 1;
        if call == 0 || !alone {
            let arguments = Some(arguments);
            sink(Event::Call { choice, call, id, name, arguments, signature });
        }
    }

    /// A part of a call that goes on in the next one; an empty part ends it.
    fn piece(
        &mut self,
        call: Call<'_>,
        signature: Option<JsonText<'_>>,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if let Some(name) = call.name.filter(|name| !name.is_empty()) {
            // A new call also ends the one before.
            if let Some((choice, partial)) = self.partial.take() {
                self.assembled(choice, &partial, sink);
            }
            self.partial = Some((choice, Partial::new(call.id, name, signature)));
        }
        if let (Some((_, partial)), Some(pieces)) = (&mut self.partial, call.pieces) {
            partial.read(&mut Reader::new(pieces))?;
        }
        if !call.continues
            && let Some((choice, partial)) = self.partial.take()
        {
            self.assembled(choice, &partial, sink);
        }
        Ok(())
    }

    /// A call that came in pieces is whole.
    fn assembled(&mut self, choice: u32, partial: &Partial, sink: &mut impl FnMut(Event<'_>)) {
        let mut arguments = std::mem::take(&mut self.scratch);
        arguments.clear();
        partial.render(&mut arguments);
        let id = (!partial.id.is_empty()).then(|| JsonText::spelt(&partial.id));
        let name = JsonText::spelt(&partial.name);
        let signature = partial.signature.as_deref().map(JsonText::spelt);
        self.emit((id, name), &arguments, signature, choice, sink);
        self.scratch = arguments;
    }

    /// A blocked prompt is an answer: a refusal, not an error.
    fn feedback(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let (mut reason, mut message) = (None, None);
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("blockReason", Kind::String) => reason = Some(reader.string()?),
                ("blockReasonMessage", Kind::String) => message = Some(reader.string()?),
                _ => reader.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        let Some(reason) = reason else { return Ok(()) };
        if matches!(self.choice(0).finish, Some(Ending::Plain(FinishReason::ContentFilter))) {
            return Ok(());
        }
        match message {
            Some(text) => sink(Event::Refusal { choice: 0, text }),
            None => {
                sink(Event::Refusal { choice: 0, text: JsonText::plain(BLOCKED) });
                sink(Event::Refusal { choice: 0, text: reason });
            }
        }
        let choice = self.choice(0);
        choice.seen = true;
        choice.finish = Some(Ending::Plain(FinishReason::ContentFilter));
        Ok(())
    }

    /// Choices above the array were refused when they were first seen.
    fn choice(&mut self, choice: u32) -> &mut Choice {
        let index = usize::try_from(choice).unwrap_or(0).min(CHOICES_MAX - 1);
        &mut self.choices[index]
    }
}

const BLOCKED: &str = "Blocked by the provider: ";

impl<'b> Part<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, JsonError> {
        let mut part = Self::default();
        reader.object(|reader, key| {
            match key.raw() {
                "text" => match reader.string() {
                    Ok(text) => part.text = Some(text),
                    Err(error) if !reader.null()? => return Err(error),
                    Err(_null) => {}
                },
                "thought" => part.thought = reader.boolean()?,
                "thoughtSignature" => part.signature = Some(reader.string()?),
                "functionCall" => part.call = Some(Call::read(reader)?),
                "inlineData" => part.inline = inline(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(part)
    }
}

impl<'b> Call<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, JsonError> {
        let mut call = Self::default();
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("id", Kind::String) => call.id = Some(reader.string()?),
                ("name", Kind::String) => call.name = Some(reader.string()?),
                ("args", Kind::Object) => call.arguments = Some(reader.raw()?),
                ("partialArgs", Kind::Array) => call.pieces = Some(reader.raw()?),
                ("willContinue", Kind::Bool) => call.continues = reader.boolean()?,
                _ => reader.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(call)
    }
}

/// `inlineData`: its media type and its bytes in base64.
fn inline<'b>(reader: &mut Reader<'b>) -> Result<Option<(JsonText<'b>, JsonText<'b>)>, JsonError> {
    let (mut mime, mut data) = (None, None);
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("mimeType", Kind::String) => mime = Some(reader.string()?),
            ("data", Kind::String) => data = Some(reader.string()?),
            _ => reader.skip()?,
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(mime.zip(data))
}

/// What a reason of Google's means where nothing is known of the rest of the answer.
pub(super) fn finish_of(reason: &str) -> FinishReason {
    match ending_of(reason) {
        Ending::Plain(reason) => reason,
        Ending::Broken(_) => FinishReason::Stop,
    }
}

/// Google's reasons; an unknown one ends the answer like `STOP`.
fn ending_of(reason: &str) -> Ending {
    match reason {
        "MAX_TOKENS" => Ending::Plain(FinishReason::Length),
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Ending::Plain(FinishReason::ContentFilter),
        "MALFORMED_FUNCTION_CALL" => Ending::Broken(Broken::MalformedCall),
        "UNEXPECTED_TOOL_CALL" => Ending::Broken(Broken::UnexpectedCall),
        "TOO_MANY_TOOL_CALLS" => Ending::Broken(Broken::TooManyCalls),
        "MISSING_THOUGHT_SIGNATURE" => Ending::Broken(Broken::MissingSignature),
        "MALFORMED_RESPONSE" => Ending::Broken(Broken::MalformedResponse),
        _ => Ending::Plain(FinishReason::Stop),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::{AnswerLimits, Decoder};
    use super::super::order::Vendor;
    use super::*;

    type Heard = Result<Vec<String>, (UpstreamErrorKind, Option<String>)>;

    fn hear(stream: bool, choices: u32, parts: &[&[u8]]) -> Heard {
        let limits = AnswerLimits { body_bytes: 4096, event_bytes: 1024 };
        let expected = Expected::plain(Vendor::Gemini, stream, choices, 7);
        let mut decoder = Decoder::new(expected, limits);
        let mut heard = Vec::new();
        let mut sink = |event: Event<'_>| heard.push(format!("{event:?}"));
        let mut run = || {
            parts.iter().try_for_each(|part| decoder.feed(part, &mut sink))?;
            decoder.finish(&mut sink)
        };
        run().map_err(|error| (error.kind, error.code.map(Cow::into_owned)))?;
        Ok(heard)
    }

    fn every_cut(choices: u32, input: &[u8]) -> Heard {
        let whole = hear(true, choices, &[input]);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(hear(true, choices, &bytes), whole, "per byte");
        for cut in 0..=input.len() {
            let (head, tail) = input.split_at(cut);
            assert_eq!(hear(true, choices, &[head, tail]), whole, "cut at {cut}");
        }
        whole
    }

    const STREAM: &str = concat!(
        r#"data: {"candidates":[{"content":{"parts":[{"text":"Hé"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4},"modelVersion":"m-1","responseId":"r"}"#,
        "\r\n\r\n",
        r#"data: {"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"llo"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"thoughtsTokenCount":3,"totalTokenCount":9}}"#,
        "\r\n\r\n"
    );

    #[test]
    fn a_stream_becomes_events_however_it_is_cut() {
        let heard = every_cut(1, STREAM.as_bytes()).unwrap();
        let joined = heard.join("\n");
        assert_eq!(heard.len(), 8, "{joined}");
        assert!(heard[0].starts_with("Start") && heard[0].contains("m-1"), "{joined}");
        assert!(heard[1].contains("Hé") && heard[3].contains("Reasoning"), "{joined}");
        assert!(heard[2].contains("Counted") && heard[2].contains("prompt: 4"), "{joined}");
        assert!(heard[6].contains("Stop") && heard[7].contains("completion: 5"), "{joined}");
    }

    #[test]
    fn no_cut_stream_is_a_whole_answer() {
        let truncated = Err((UpstreamErrorKind::Truncated, None));
        // The last two bytes only end the last event, which is whole without them.
        for cut in 0..STREAM.len() - 4 {
            let heard = hear(true, 1, &[&STREAM.as_bytes()[..cut]]);
            assert_eq!(heard, truncated, "cut at {cut}");
        }
    }

    #[test]
    fn wrong_shapes_are_invalid_answers() {
        let invalid = Err((UpstreamErrorKind::Invalid, None));
        for body in [
            "",
            "null",
            "[]",
            "[{}]",
            "{}",
            "{\"candidates\":{}}",
            "{\"candidates\":[1]}",
            "x",
            r#"{"candidates":[{"content":"x"}]}"#,
            r#"{"candidates":[{"content":{"parts":"x"}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":1}]}}]}"#,
            "{\"candidates\":[",
            r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":"4"}}"#,
            r#"{"candidates":[{"finishReason":"STOP"}]} x"#,
            "data: {}",
        ] {
            assert_eq!(hear(false, 1, &[body.as_bytes()]), invalid, "{body}");
        }
        assert_eq!(hear(false, 1, &[&[b' '; 5000]]), invalid);
        assert_eq!(hear(true, 1, &[b"data: {x}\n\n"]), invalid);
        let with_empty = [b"data:\n\ndata:  \n\n", STREAM.as_bytes()].concat();
        assert_eq!(every_cut(1, &with_empty), every_cut(1, STREAM.as_bytes()));
        assert_eq!(hear(true, 1, &[b"data: \xff\n\n"]), invalid);
    }

    #[test]
    fn blocks_errors_and_broken_output() {
        let blocked = hear(false, 1, &[br#"{"promptFeedback":{"blockReason":"SAFETY"}}"#]).unwrap();
        assert!(blocked.join("").contains("SAFETY") && blocked.join("").contains("ContentFilter"));
        let error = br#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#;
        assert_eq!(hear(false, 1, &[error]), Err((UpstreamErrorKind::Overloaded, None)));
        let event = [b"data: ", &error[..], b"\n\n"].concat();
        assert_eq!(every_cut(1, &event), Err((UpstreamErrorKind::Overloaded, None)));
        let broken = br#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#;
        let code = Some("upstream_malformed_function_call".to_owned());
        assert_eq!(hear(false, 1, &[broken]), Err((UpstreamErrorKind::Failed(502), code)));
    }

    #[test]
    fn an_error_in_an_array_is_an_error_and_null_is_nothing() {
        let error =
            br#"data: [{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#;
        let error = &[&error[..], b"\n\n"].concat();
        let limited = Err((UpstreamErrorKind::RateLimited, None));
        assert_eq!(every_cut(1, error), limited);
        let begun = STREAM.split_inclusive("\r\n\r\n").next().unwrap().as_bytes();
        assert_eq!(every_cut(1, &[begun, error].concat()), limited);
        let nothing = br#"{"usageMetadata":null,"candidates":[{"content":{"parts":[{"text":null},{"text":"a"}]}},{"content":null,"finishReason":null},{"content":{"parts":null},"finishReason":"STOP"}]}"#;
        let heard = hear(false, 3, &[nothing]).map(|heard| heard.join(" "));
        // The first two have no reason to end.
        assert_eq!(heard, Err((UpstreamErrorKind::Truncated, None)));
        let nothing = br#"{"usageMetadata":null,"promptFeedback":null,"candidates":[{"content":{"role":null,"parts":[{"text":null},{"text":"a"}]},"finishReason":"STOP"}]}"#;
        let heard = hear(false, 1, &[nothing]).unwrap().join(" ");
        assert!(heard.contains("JsonText(\"a\")") && heard.contains("Stop"), "{heard}");
    }

    #[test]
    fn half_a_call_is_no_call() {
        let begun = r#"data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true,"partialArgs":[{"jsonPath":"$.a","stringValue":"v","willContinue":true}]}}]}}]}"#;
        let limits = AnswerLimits { body_bytes: 4096, event_bytes: 1024 };
        let mut decoder = Decoder::new(Expected::plain(Vendor::Vertex, true, 1, 7), limits);
        let mut called = false;
        let mut sink = |event: Event<'_>| called |= matches!(event, Event::Call { .. });
        decoder.feed(format!("{begun}\n\n").as_bytes(), &mut sink).unwrap();
        let end = decoder.finish(&mut sink).unwrap_err();
        assert_eq!((end.kind, called), (UpstreamErrorKind::Truncated, false));
        // Another call ends it, and keeps its own arguments.
        let next = r#"data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"g","args":{"b":1}}}]},"finishReason":"STOP"}]}"#;
        let both = format!("{begun}\n\n{next}\n\n");
        let heard = hear(true, 1, &[both.as_bytes()]).unwrap().join("\n");
        assert!(heard.contains(r#"{\"a\":\"v\"}"#) && heard.contains(r#"{\"b\":1}"#), "{heard}");
    }

    #[test]
    fn candidates_keep_their_index() {
        let both = br#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP","index":1},{"content":{"parts":[{"text":"a"}]},"finishReason":"MAX_TOKENS","index":0}]}"#;
        let heard = hear(false, 2, &[both]).unwrap().join("\n");
        assert!(heard.contains("choice: 1, text: JsonText(\"b\")"), "{heard}");
        assert!(heard.contains("choice: 0, reason: Length"), "{heard}");
        let far = br#"{"candidates":[{"index":99,"finishReason":"STOP"}]}"#;
        assert_eq!(hear(false, 2, &[far]), Err((UpstreamErrorKind::Invalid, None)));
    }
}
