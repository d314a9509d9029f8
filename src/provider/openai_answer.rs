//! OpenAI's answers to events: whole chat completions and their chunks, also those of services
//! that call themselves compatible.
//!
//! <https://platform.openai.com/docs/api-reference/chat/object>. Finish reasons and usage are kept
//! until the end has come, because some services send them more than once.

use smallvec::SmallVec;

use crate::base::Rng;
use crate::chat::{Event, FinishReason, Usage};
use crate::wire::json::{JsonError, JsonText, Kind, Reader};

use super::error::{UpstreamError, UpstreamErrorKind};
use super::expected::Expected;
use super::head::Head;
use super::openai_calls::Calls;
use super::openai_message::Message;
use super::{error_openai, openai_usage};

/// No vendor gives more answers to one request.
const CHOICES_MAX: usize = 128;

/// What is known of one choice.
#[derive(Debug, Default)]
struct Choice {
    calls: Calls,
    refused: bool,
    finish: Option<FinishReason>,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing that an answer begins with has come.
    Silent,
    /// It has begun.
    Begun,
    /// The mark of its end has come.
    Done,
}

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    stream: bool,
    progress: Progress,
    /// Most answers have one.
    choices: SmallVec<[Choice; 1]>,
    usage: Option<Usage>,
    /// What all chunks begin with.
    head: Head,
    /// The tier that has been told; every chunk names it.
    tier: SmallVec<[u8; 16]>,
    rng: Rng,
}

/// What the top of a chunk says about the whole answer.
#[derive(Clone, Copy, Debug, Default)]
struct Beginning<'b> {
    id: Option<JsonText<'b>>,
    model: Option<JsonText<'b>>,
    created: Option<u64>,
    /// There are choices.
    begins: bool,
}

/// Why a look ahead ends before the text does.
#[derive(Debug)]
enum Ahead {
    /// What was looked for has been found.
    Enough,
    Failed(UpstreamError),
}

impl From<JsonError> for Ahead {
    fn from(error: JsonError) -> Self {
        Self::Failed(error.into())
    }
}

impl<'b> Beginning<'b> {
    /// Reads it. An answer that comes `whole` is read on only as far as must be: an error behind
    /// its choices is met when they are told, and nobody has got anything by then.
    fn read(&mut self, reader: &mut Reader<'b>, whole: bool) -> Result<(), Ahead> {
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("id", Kind::String) => self.id = Some(reader.string()?),
                ("model", Kind::String) => self.model = Some(reader.string()?),
                ("created", Kind::Number) => self.created = reader.number()?.parse().ok(),
                ("choices", Kind::Array) => {
                    let known = self.id.is_some() && self.model.is_some() && self.created.is_some();
                    reader.array(|reader, _place| {
                        self.begins = true;
                        step_over(reader, whole && known)
                    })?;
                }
                // An error is told as one, not as the beginning of an answer.
                ("error", _) if error_openai::is_error(&mut reader.clone())? => {
                    return Err(Ahead::Failed(error_openai::in_answer(reader)?));
                }
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}

/// Skips a value, unless `enough` has been read.
fn step_over(reader: &mut Reader<'_>, enough: bool) -> Result<(), Ahead> {
    if enough {
        return Err(Ahead::Enough);
    }
    Ok(reader.skip()?)
}

impl Answer {
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            stream: expected.stream,
            progress: Progress::Silent,
            choices: SmallVec::new(),
            usage: None,
            head: Head::default(),
            tier: SmallVec::new(),
            rng: Rng::new(expected.seed),
        }
    }

    /// The data that ends a stream, which is no JSON.
    pub(super) fn is_end(&mut self, data: &[u8]) -> bool {
        if data.trim_ascii() == b"[DONE]" {
            self.progress = Progress::Done;
        }
        self.progress == Progress::Done
    }

    /// Takes one chunk, or the whole answer.
    pub(super) fn payload(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        if self.progress == Progress::Silent {
            self.start(&mut reader.clone(), sink)?;
        }
        let mut chosen = false;
        let mut head = std::mem::take(&mut self.head);
        // A whole answer has no next chunk.
        let begun = self.stream && self.progress != Progress::Silent;
        let news = |name: &str| matches!(name, "choices" | "usage" | "error");
        head.object(reader, begun, news, |reader, key| {
            match (key.raw(), reader.kind()?) {
                ("choices", Kind::Array) => {
                    chosen = true;
                    reader.array(|reader, place| self.choice(reader, place, sink))?;
                }
                ("usage", Kind::Object) => self.usage = Some(openai_usage::read(reader)?),
                ("service_tier", Kind::String) if self.progress != Progress::Silent => {
                    let tier = reader.string()?;
                    if tier.raw().as_bytes() != self.tier.as_slice() {
                        self.tier = SmallVec::from_slice(tier.raw().as_bytes());
                        sink(Event::Tier(tier));
                    }
                }
                ("error", _) if error_openai::is_error(&mut reader.clone())? => {
                    return Err(error_openai::in_answer(reader)?);
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        self.head = head;
        if chosen || self.stream { Ok(()) } else { Err(wrong_shape()) }
    }

    /// Has every choice said why it ended? Only the mark of the end is missing then, and usage
    /// perhaps.
    pub(super) fn is_whole(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some())
    }

    /// An answer that is whole needs no mark of its end.
    pub(super) fn conclude(&mut self) {
        if self.is_whole() {
            self.progress = Progress::Done;
        }
    }

    /// The body has ended.
    pub(super) fn finish(&self, sink: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamError> {
        if self.stream && self.progress != Progress::Done {
            return Err(UpstreamError::truncated());
        }
        if self.choices.is_empty() {
            return Err(wrong_shape());
        }
        for (index, choice) in self.choices.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let called = choice.calls.finish(index, sink)?;
            let reason = match choice.finish.unwrap_or(FinishReason::Stop) {
                FinishReason::Stop if called => FinishReason::ToolCalls,
                // Nobody could answer calls that are not there.
                FinishReason::ToolCalls if !called => FinishReason::Stop,
                FinishReason::Stop if choice.refused => FinishReason::Refusal,
                reason => reason,
            };
            sink(Event::Finish { choice: index, reason, sequence: None });
        }
        if let Some(usage) = self.usage {
            sink(Event::Usage(usage));
        }
        Ok(())
    }

    /// Tells the beginning, once something is there that an answer begins with: the first chunk of
    /// some services says only what their filters found.
    fn start(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let mut head = Beginning::default();
        match head.read(reader, !self.stream) {
            Ok(()) | Err(Ahead::Enough) => {}
            Err(Ahead::Failed(error)) => return Err(error),
        }
        if head.begins {
            self.progress = Progress::Begun;
            let id = head.id.filter(|id| !id.is_empty());
            let bare = id.is_some_and(|id| !id.raw().starts_with("chatcmpl-"));
            let model = head.model.filter(|model| !model.is_empty());
            let created = head.created.filter(|created| *created > 0);
            sink(Event::Start { id, bare, model, created });
        }
        Ok(())
    }

    fn choice(
        &mut self,
        reader: &mut Reader<'_>,
        place: usize,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let mut index = u32::try_from(place).unwrap_or(u32::MAX);
        let mut message = Message::default();
        let mut finish = None;
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("index", Kind::Number) => index = reader.number()?.parse().unwrap_or(index),
                ("delta" | "message", Kind::Object) => message.read(reader)?,
                ("logprobs", Kind::Object) => message.read_logprobs(reader)?,
                ("finish_reason", Kind::String) => finish = Some(reader.string()?),
                ("error", _) if error_openai::is_error(&mut reader.clone())? => {
                    return Err(error_openai::in_answer(reader)?);
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if at >= CHOICES_MAX {
            return Err(wrong_shape());
        }
        while self.choices.len() <= at {
            self.choices.push(Choice::default());
        }
        let Some(choice) = self.choices.get_mut(at) else { return Err(wrong_shape()) };
        choice.refused |= message.tell(index, sink)?;
        let (whole, rng) = (!self.stream, &mut self.rng);
        message.each_call(|call| choice.calls.take((index, whole), call, rng, sink))?;
        if let Some(reason) = finish {
            choice.finish = Some(self::reason(reason));
        }
        Ok(())
    }
}

/// A finish reason; what OpenAI does not have is an end like any other.
pub(super) fn reason(text: JsonText<'_>) -> FinishReason {
    match text.raw() {
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

fn wrong_shape() -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Invalid, "the upstream's answer has the wrong shape")
}
