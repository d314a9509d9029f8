//! A vendor's answer to events, from bytes as they arrive.

use crate::chat::Event;
use crate::wire::json::{JsonError, Kind, Reader};
use crate::wire::sse::SseDecoder;

use super::error::{UpstreamError, UpstreamErrorKind};
use super::error_openai::is_error_object;
use super::expected::Expected;
use super::order::Vendor;
use super::{anthropic_answer, gemini_answer, openai_answer};

/// Sizes that an answer may have.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// A whole answer that is not streamed, in bytes.
    pub body_bytes: usize,
    /// One event of a stream, in bytes.
    pub event_bytes: usize,
}

impl AnswerLimits {
    /// What the operator allows.
    pub fn of(limits: &crate::config::Limits) -> Self {
        Self { body_bytes: limits.upstream_body_bytes, event_bytes: limits.event_bytes }
    }
}

/// A vendor's half.
#[derive(Debug)]
enum Answer {
    Gemini(gemini_answer::Answer),
    Anthropic(anthropic_answer::Answer),
    OpenAi(openai_answer::Answer),
}

impl Answer {
    fn payload(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        match self {
            Self::Gemini(answer) => answer.payload(reader, sink),
            Self::Anthropic(answer) => answer.payload(reader, sink),
            Self::OpenAi(answer) => answer.payload(reader, sink),
        }
    }

    fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamError> {
        match self {
            Self::Gemini(answer) => answer.finish(sink),
            Self::Anthropic(answer) => answer.finish(sink),
            Self::OpenAi(answer) => answer.finish(sink),
        }
    }

    /// Is this data, which is no JSON, the end of the answer, or does it follow that?
    fn is_end(&mut self, data: &[u8]) -> bool {
        match self {
            Self::Gemini(_) | Self::Anthropic(_) => false,
            Self::OpenAi(answer) => answer.is_end(data),
        }
    }
}

#[derive(Debug)]
enum Form {
    /// Events, each one JSON text.
    Stream(SseDecoder),
    /// One JSON text, kept until it is whole.
    Whole(Vec<u8>),
}

/// Decodes one answer.
#[derive(Debug)]
pub struct Decoder {
    form: Form,
    answer: Answer,
    limits: AnswerLimits,
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    pub fn new(expected: Expected, limits: AnswerLimits) -> Self {
        let form = if expected.stream {
            Form::Stream(SseDecoder::new(limits.event_bytes))
        } else {
            Form::Whole(Vec::new())
        };
        let answer = match expected.vendor {
            Vendor::Gemini | Vendor::Vertex => Answer::Gemini(gemini_answer::Answer::new(expected)),
            Vendor::Anthropic | Vendor::Claude => {
                Answer::Anthropic(anthropic_answer::Answer::new(expected.seed))
            }
            Vendor::OpenAi => Answer::OpenAi(openai_answer::Answer::new(expected)),
        };
        Self { form, answer, limits }
    }

    /// Lends room for an answer that is kept until it is whole; [`Decoder::room`] gives it back.
    pub fn with_room(mut self, room: Vec<u8>) -> Self {
        if let Form::Whole(body) = &mut self.form {
            *body = room;
        }
        self
    }

    /// The room that was lent, or what it has grown to.
    pub fn room(self) -> Vec<u8> {
        match self.form {
            Form::Whole(body) => body,
            Form::Stream(_) => Vec::new(),
        }
    }

    /// Takes body bytes.
    ///
    /// # Errors
    /// When the answer is not what the vendor's documentation says, or holds an error.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let Self { form, answer, limits } = self;
        match form {
            Form::Stream(sse) => sse.feed(bytes, &mut |event| one(answer, event.data, sink)),
            Form::Whole(body) => {
                if body.len() + bytes.len() > limits.body_bytes {
                    let what = "the upstream's answer is too large";
                    return Err(UpstreamError::new(UpstreamErrorKind::Invalid, what));
                }
                body.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Has the vendor said all but the mark of the end? Told only where there is such a mark.
    pub fn is_whole(&self) -> bool {
        matches!(&self.answer, Answer::OpenAi(answer) if answer.is_whole())
    }

    /// The mark of the end of an answer that is whole will not come.
    pub fn conclude(&mut self) {
        if let Answer::OpenAi(answer) = &mut self.answer {
            answer.conclude();
        }
    }

    /// The body has ended: gives the events that waited for it.
    ///
    /// # Errors
    /// When the answer is not whole.
    pub fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) -> Result<(), UpstreamError> {
        let Self { form, answer, .. } = self;
        match form {
            Form::Stream(sse) => {
                let last = sse.finish(&mut |event| one(answer, event.data, sink));
                // A last event that was cut is a truncation, not a vendor's mistake.
                if let Err(error) = last {
                    let cut = error.kind == UpstreamErrorKind::Invalid;
                    return Err(if cut { UpstreamError::truncated() } else { error });
                }
            }
            Form::Whole(body) => payload(answer, body, sink)?,
        }
        answer.finish(sink)
    }
}

/// One event of a stream; an empty one says nothing.
fn one(
    answer: &mut Answer,
    data: &[u8],
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), UpstreamError> {
    let silent = data.trim_ascii().is_empty() || answer.is_end(data);
    if silent { Ok(()) } else { payload(answer, data, sink) }
}

/// One JSON text of the vendor.
fn payload(
    answer: &mut Answer,
    data: &[u8],
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), UpstreamError> {
    let text = std::str::from_utf8(data)
        .map_err(|_offset| UpstreamError::new(UpstreamErrorKind::Invalid, NOT_UTF8))?;
    let mut reader = Reader::new(text);
    if reader.kind()? == Kind::Object {
        answer.payload(&mut reader, sink)?;
        return Ok(reader.end()?);
    }
    // Google has its errors in an array at times; nothing else comes so.
    if let Some(error) = error_in_array(&mut reader)? {
        answer.payload(&mut Reader::new(error), sink)?;
    }
    Err(JsonError::Type.into())
}

/// The first element of an array, if it is an object with an error.
fn error_in_array<'d>(reader: &mut Reader<'d>) -> Result<Option<&'d str>, JsonError> {
    let mut found = None;
    if reader.kind()? == Kind::Array {
        reader.array(|reader, index| {
            let element = reader.raw()?;
            let is_error = index == 0 && is_error_object(element.as_bytes());
            found = if is_error { Some(element) } else { found };
            Ok::<(), JsonError>(())
        })?;
    }
    Ok(found)
}

const NOT_UTF8: &str = "the upstream's answer is not UTF-8";
