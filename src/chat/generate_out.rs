//! Events to streams of Google's `generateContent`: events, or one array over time
//! (<https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse>).
//!
//! Whole answers are written in `generate_whole`.

use crate::base::ascii;
use crate::wire::json::{self, JsonError, JsonText, Kind, Reader};

use super::carry::Mark;
use super::dialect::Dialect;
use super::error::ApiError;
use super::event::{Event, FinishReason, Usage};
use super::generate_parts::push_opaque;
use super::ids;
use super::render::{CHOICES_MAX, ReplyMeta};
use super::turn::is_object;

/// How the chunks of a stream follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// As the data of events: `alt=sse`.
    Events,
    /// As the elements of one array.
    Array,
}

/// What is known of one candidate.
#[derive(Debug, Default)]
struct Candidate {
    /// Something was said or called.
    spoke: bool,
    /// Calls whose arguments come in pieces, in order.
    calls: Vec<Call>,
    refusal: Vec<u8>,
    finish: Option<FinishReason>,
}

/// A call; its texts are as in JSON strings.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) id: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) arguments: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What is said at the end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) usage: Option<Usage>,
    pub(super) tier: Vec<u8>,
}

impl Ending {
    /// Appends `,"usageMetadata":{…}`; Google counts thoughts apart.
    pub(super) fn push_usage(&self, out: &mut Vec<u8>) {
        let Some(usage) = self.usage else { return };
        let mut count = |name: &[u8], count: u64| {
            out.extend_from_slice(name);
            ascii::push_u64(out, count);
        };
        count(b",\"usageMetadata\":{\"promptTokenCount\":", usage.prompt);
        let visible = usage.completion.saturating_sub(usage.reasoning);
        count(b",\"candidatesTokenCount\":", visible);
        count(b",\"totalTokenCount\":", usage.prompt.saturating_add(usage.completion));
        if usage.cached > 0 {
            count(b",\"cachedContentTokenCount\":", usage.cached);
        }
        if usage.reasoning > 0 {
            count(b",\"thoughtsTokenCount\":", usage.reasoning);
        }
        let text = usage.prompt.saturating_sub(usage.prompt_audio);
        count(b",\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":", text);
        if usage.prompt_audio > 0 {
            count(b"},{\"modality\":\"AUDIO\",\"tokenCount\":", usage.prompt_audio);
        }
        out.extend_from_slice(b"}]");
        if usage.completion_audio > 0 {
            let text = visible.saturating_sub(usage.completion_audio);
            let mut count = |name: &[u8], count: u64| {
                out.extend_from_slice(name);
                ascii::push_u64(out, count);
            };
            count(b",\"candidatesTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":", text);
            count(b"},{\"modality\":\"AUDIO\",\"tokenCount\":", usage.completion_audio);
            out.extend_from_slice(b"}]");
        }
        if matches!(self.tier.as_slice(), b"flex" | b"priority") {
            out.extend_from_slice(b",\"serviceTier\":\"");
            out.extend_from_slice(&self.tier);
            out.push(b'"');
        }
        out.push(b'}');
    }
}

/// Appends `,"modelVersion":…,"responseId":…}`.
pub(super) fn push_end(
    meta: &ReplyMeta,
    id: Option<JsonText<'_>>,
    model: Option<JsonText<'_>>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b",\"modelVersion\":");
    match model {
        Some(model) => push_quoted(model.raw().as_bytes(), out),
        None => json::push_string(out, &meta.model),
    }
    out.extend_from_slice(b",\"responseId\":\"");
    ids::push("", id, (meta.fallback_id, 22), out);
    out.extend_from_slice(b"\"}");
}

pub(super) fn push_quoted(escaped: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(escaped);
    out.push(b'"');
}

/// Google's word for why an answer ended.
const fn reason(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Pause => "STOP",
        FinishReason::Length | FinishReason::ContextFull => "MAX_TOKENS",
        FinishReason::ContentFilter | FinishReason::Refusal => "SAFETY",
    }
}

/// Appends the part of an event that says something, if it does.
pub(super) fn push_part(event: &Event<'_>, out: &mut Vec<u8>) {
    match *event {
        Event::Text { text, .. } => {
            out.extend_from_slice(b"{\"text\":");
            push_quoted(text.raw().as_bytes(), out);
        }
        Event::Reasoning { text, .. } => {
            out.extend_from_slice(b"{\"text\":");
            push_quoted(text.raw().as_bytes(), out);
            out.extend_from_slice(b",\"thought\":true");
        }
        Event::Signature { data, .. } => {
            out.extend_from_slice(b"{\"text\":\"\",\"thoughtSignature\":");
            push_quoted(data.raw().as_bytes(), out);
        }
        Event::Thought { signature, .. } => {
            push_mark(Mark::AnthropicThinking, signature, out);
        }
        Event::Redacted { data, .. } => push_mark(Mark::AnthropicRedacted, data, out),
        Event::Media { mime, data, .. } => {
            out.extend_from_slice(b"{\"inlineData\":{\"mimeType\":");
            push_quoted(mime.raw().as_bytes(), out);
            out.extend_from_slice(b",\"data\":");
            push_quoted(data.raw().as_bytes(), out);
            out.push(b'}');
        }
        _ => return,
    }
    out.push(b'}');
}

/// A thought that holds nothing but another vendor's mark.
fn push_mark(mark: Mark, data: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"text\":\"\",\"thought\":true,\"thoughtSignature\":\"");
    push_opaque(mark, data, out);
    out.push(b'"');
}

impl Call {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        let pieces = JsonText::spelt(std::str::from_utf8(&self.arguments).unwrap_or_default());
        let arguments = pieces.unescape();
        let arguments = match arguments.trim() {
            object if is_object(object) => object,
            "" => "{}",
            // What a model broke off is no object; its client sees that nothing is there.
            _ => "null",
        };
        push_call((&self.id, &self.name), arguments, &self.signature, out);
    }
}

pub(super) fn push_call(
    (id, name): (&[u8], &[u8]),
    arguments: &str,
    signature: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"functionCall\":{\"name\":");
    push_quoted(name, out);
    out.extend_from_slice(b",\"args\":");
    json::push_compact(out, arguments);
    out.extend_from_slice(b",\"id\":");
    push_quoted(id, out);
    out.push(b'}');
    if !signature.is_empty() {
        out.extend_from_slice(b",\"thoughtSignature\":");
        push_quoted(signature, out);
    }
    out.push(b'}');
}

/// Appends `,"logprobsResult":{…}` of `OpenAI`'s elements.
pub(super) fn push_logprobs(content: &str, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let (mut chosen, mut top) = (Vec::new(), Vec::new());
    let list = format!("[{content}]");
    Reader::new(&list).array(|reader, index| {
        if index > 0 {
            chosen.push(b',');
            top.push(b',');
        }
        top.extend_from_slice(b"{\"candidates\":[");
        push_candidate(reader, &mut chosen, &mut top)?;
        top.extend_from_slice(b"]}");
        Ok::<(), JsonError>(())
    })?;
    out.extend_from_slice(b",\"logprobsResult\":{\"topCandidates\":[");
    out.extend_from_slice(&top);
    out.extend_from_slice(b"],\"chosenCandidates\":[");
    out.extend_from_slice(&chosen);
    out.extend_from_slice(b"]}");
    Ok(())
}

/// One token and the others that might have stood there.
fn push_candidate(
    reader: &mut Reader<'_>,
    chosen: &mut Vec<u8>,
    top: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let (mut token, mut logprob) = ("\"\"", "0");
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("token", Kind::String) => token = reader.raw()?,
            ("logprob", Kind::Number) => logprob = reader.number()?,
            ("top_logprobs", Kind::Array) => reader.array(|reader, index| {
                if index > 0 {
                    top.push(b',');
                }
                push_candidate(reader, top, &mut Vec::new())
            })?,
            _ => reader.skip()?,
        }
        Ok::<(), JsonError>(())
    })?;
    chosen.extend_from_slice(b"{\"token\":");
    chosen.extend_from_slice(token.as_bytes());
    chosen.extend_from_slice(b",\"logProbability\":");
    chosen.extend_from_slice(logprob.as_bytes());
    chosen.push(b'}');
    Ok(())
}

/// Writes one stream.
#[derive(Debug)]
pub struct GenerateStream {
    meta: ReplyMeta,
    series: Series,
    /// What every chunk ends in; empty before the start.
    end: Vec<u8>,
    /// An element of the array has been written.
    any: bool,
    candidates: Vec<Candidate>,
    ending: Ending,
}

impl GenerateStream {
    /// A writer that has written nothing yet.
    pub fn new(meta: ReplyMeta, series: Series) -> Self {
        Self {
            meta,
            series,
            end: Vec::new(),
            any: false,
            candidates: Vec::new(),
            ending: Ending::default(),
        }
    }

    /// Has the vendor begun to answer?
    pub fn has_started(&self) -> bool {
        !self.end.is_empty()
    }

    /// How the chunks follow each other.
    pub const fn series(&self) -> Series {
        self.series
    }

    /// Appends what one event says.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match *event {
            Event::Start { id, model, .. } if self.end.is_empty() => {
                push_end(&self.meta, id, model, &mut self.end);
                self.end.extend_from_slice(match self.series {
                    Series::Events => b"\r\n\r\n",
                    Series::Array => b"\n",
                });
            }
            Event::Text { choice, text } | Event::Reasoning { choice, text } => {
                if !text.is_empty() {
                    self.part(choice, event, out);
                }
            }
            // The text of a signed thought came before, as reasoning.
            Event::Thought { choice, .. }
            | Event::Signature { choice, .. }
            | Event::Redacted { choice, .. }
            | Event::Media { choice, .. } => self.part(choice, event, out),
            Event::Call { choice, call, id, name, arguments, signature } => {
                let mark = signature.unwrap_or_default().raw().as_bytes();
                let (id, name) = (id.raw().as_bytes(), name.raw().as_bytes());
                if let Some(arguments) = arguments {
                    self.open(choice, out);
                    push_call((id, name), arguments, mark, out);
                    self.close(choice, None, out);
                } else if let Some(candidate) = self.candidate(choice) {
                    candidate.calls.push(Call {
                        number: call,
                        id: id.into(),
                        name: name.into(),
                        arguments: Vec::new(),
                        signature: mark.into(),
                    });
                }
            }
            Event::Arguments { choice, call, piece } => {
                let calls = self.candidate(choice).map(|candidate| &mut candidate.calls);
                let call = calls.and_then(|calls| calls.iter_mut().find(|c| c.number == call));
                if let Some(call) = call {
                    call.arguments.extend_from_slice(piece.raw().as_bytes());
                }
            }
            Event::Refusal { choice, text } => {
                if let Some(candidate) = self.candidate(choice) {
                    candidate.refusal.extend_from_slice(text.raw().as_bytes());
                }
            }
            Event::Logprobs { choice, content } => {
                self.open(choice, out);
                self.close(choice, Some(content), out);
            }
            Event::Finish { choice, reason, .. } => {
                if let Some(candidate) = self.candidate(choice) {
                    candidate.finish = Some(reason);
                }
            }
            Event::Tier(tier) => self.ending.tier = tier.raw().as_bytes().to_vec(),
            Event::Usage(usage) => self.ending.usage = Some(usage),
            Event::Start { .. } | Event::Open { .. } | Event::Counted(_) => {}
        }
    }

    /// Appends the calls that came in pieces, and the chunk that says why and how much.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let mut candidates = std::mem::take(&mut self.candidates);
        for (choice, candidate) in (0..).zip(&mut candidates) {
            for call in std::mem::take(&mut candidate.calls) {
                candidate.spoke = true;
                self.open_element(out);
                call.push(out);
                self.close(choice, None, out);
            }
        }
        self.begin(out);
        push_last(&candidates, out);
        self.ending.push_usage(out);
        out.extend_from_slice(&self.end);
        if self.series == Series::Array {
            out.push(b']');
        }
    }

    /// Appends what tells a client that the answer broke off.
    pub fn error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        match self.series {
            Series::Events => error.render_event(Dialect::Google, "", out),
            Series::Array => {
                out.extend_from_slice(if self.any { b",\r\n" } else { b"[" });
                error.render(Dialect::Google, "", out);
                out.push(b']');
            }
        }
    }

    /// One chunk with one part.
    fn part(&mut self, choice: u32, event: &Event<'_>, out: &mut Vec<u8>) {
        self.open(choice, out);
        push_part(event, out);
        self.close(choice, None, out);
    }

    /// Everything up to the inside of `parts`.
    fn open(&mut self, choice: u32, out: &mut Vec<u8>) {
        if let Some(candidate) = self.candidate(choice) {
            candidate.spoke = true;
        }
        self.open_element(out);
    }

    fn open_element(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(b"\"candidates\":[{\"content\":{\"parts\":[");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(match (self.series, self.any) {
            (Series::Events, _) => b"data: {",
            (Series::Array, false) => b"[{",
            (Series::Array, true) => b",\r\n{",
        });
        self.any = true;
    }

    /// Everything behind the inside of `parts`.
    fn close(&self, choice: u32, logprobs: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"role\":\"model\"}");
        if let Some(content) = logprobs {
            push_whole_or_nothing(out, |out| push_logprobs(content, out));
        }
        out.extend_from_slice(b",\"index\":");
        ascii::push_u64(out, u64::from(choice));
        out.extend_from_slice(b"}]");
        out.extend_from_slice(&self.end);
    }

    fn candidate(&mut self, choice: u32) -> Option<&mut Candidate> {
        candidate(&mut self.candidates, choice)
    }
}

/// A vendor's elements that are not what they should be are left out.
pub(super) fn push_whole_or_nothing(
    out: &mut Vec<u8>,
    push: impl FnOnce(&mut Vec<u8>) -> Result<(), JsonError>,
) {
    let start = out.len();
    if push(out).is_err() {
        out.truncate(start);
    }
}

pub(super) fn candidate<T: Default>(candidates: &mut Vec<T>, choice: u32) -> Option<&mut T> {
    let index = usize::try_from(choice).unwrap_or(usize::MAX);
    while candidates.len() <= index && candidates.len() < CHOICES_MAX {
        candidates.push(T::default());
    }
    candidates.get_mut(index)
}

/// Appends `"candidates":[…]` of the last chunk, or why there are none.
fn push_last(candidates: &[Candidate], out: &mut Vec<u8>) {
    let blocked = candidates.iter().find(|candidate| !candidate.refusal.is_empty());
    if let (Some(blocked), false) = (blocked, candidates.iter().any(|one| one.spoke)) {
        push_feedback(&blocked.refusal, out);
        return;
    }
    out.extend_from_slice(b"\"candidates\":[");
    for (index, candidate) in (0_u64..).zip(candidates) {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"content\":{\"parts\":[");
        if !candidate.spoke {
            out.extend_from_slice(b"{\"text\":\"\"}");
        }
        out.extend_from_slice(b"],\"role\":\"model\"}");
        push_finish(candidate.finish, &candidate.refusal, index, out);
    }
    out.push(b']');
}

/// Appends `,"finishReason":…}` of a candidate.
pub(super) fn push_finish(
    finish: Option<FinishReason>,
    refusal: &[u8],
    index: u64,
    out: &mut Vec<u8>,
) {
    let word =
        if refusal.is_empty() { reason(finish.unwrap_or(FinishReason::Stop)) } else { "SAFETY" };
    out.extend_from_slice(b",\"finishReason\":\"");
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
    if !refusal.is_empty() {
        out.extend_from_slice(b",\"finishMessage\":");
        push_quoted(refusal, out);
    }
    out.extend_from_slice(b",\"index\":");
    ascii::push_u64(out, index);
    out.push(b'}');
}

/// Appends `"promptFeedback":{…}`.
pub(super) fn push_feedback(refusal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"\"promptFeedback\":{\"blockReason\":\"SAFETY\",\"blockReasonMessage\":",
    );
    push_quoted(refusal, out);
    out.push(b'}');
}
