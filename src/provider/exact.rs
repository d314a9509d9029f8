//! Answers whose bytes pass as they came: watched, not understood.
//!
//! A stream passes event by event. Each one is checked to be JSON or the mark of the end; only one
//! that can hold usage, a finish or an error is read, in the vendor's own way ([`Watch`]). What is
//! found is told as chat events, for accounting.

use crate::chat::Event;
use crate::wire::WireError;
use crate::wire::frames::{Frame, Frames};
use crate::wire::json::{Kind, Reader};

use super::decode::AnswerLimits;
use super::error::{UpstreamError, UpstreamErrorKind};
use super::watch::{Found, Shape, Watched, text, wrong_shape};
use super::{error_openai, exact_openai};

/// A vendor's half.
#[derive(Debug)]
enum Watch {
    OpenAi(exact_openai::Watch),
}

impl Watch {
    fn new(watched: Watched) -> Self {
        match watched.shape {
            Shape::OpenAiChoices | Shape::OpenAiEmbeddings => {
                Self::OpenAi(exact_openai::Watch::new(watched))
            }
        }
    }

    /// Looks at the data of one event, which is not empty.
    fn event(
        &mut self,
        data: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        match self {
            Self::OpenAi(watch) => watch.event(data, sink),
        }
    }

    /// Looks at an answer that is one JSON text.
    fn whole(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        match self {
            Self::OpenAi(watch) => watch.whole(reader, sink),
        }
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing that settles the status has come; so many bytes of comments have.
    Silent(usize),
    /// Events pass.
    Running,
    /// The end has passed.
    Ended,
    /// The vendor's error has passed.
    Failed,
}

/// One stream on its way to a client.
#[derive(Debug)]
pub struct ExactStream {
    frames: Frames,
    watch: Watch,
    state: State,
    event_bytes_max: usize,
}

impl ExactStream {
    /// Nothing has come yet.
    pub fn new(watched: Watched, limits: AnswerLimits) -> Self {
        Self {
            frames: Frames::new(limits.event_bytes),
            watch: Watch::new(watched),
            state: State::Silent(0),
            event_bytes_max: limits.event_bytes,
        }
    }

    /// Takes body bytes, appends the events that they complete, and tells what is in them.
    ///
    /// # Errors
    /// An event that is not what it must be, which is not appended; or the vendor's own error,
    /// which is, unless nothing was before it.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let Self { frames, watch, state, event_bytes_max } = self;
        frames.feed(bytes, &mut |frame| {
            pass(watch, state, frame, out, sink)?;
            // Comments before the first event are kept back with the head.
            if let State::Silent(held) = state {
                *held += frame.raw.len();
                if *held > *event_bytes_max {
                    return Err(WireError::EventTooLarge.into());
                }
            }
            Ok(())
        })
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When the answer is not whole.
    pub fn finish(
        &mut self,
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let Self { frames, watch, state, .. } = self;
        let (before, running) = (out.len(), *state);
        let rest = frames.finish(&mut |frame| pass(watch, state, frame, out, sink));
        if *state == State::Ended {
            return Ok(());
        }
        // A client takes an event without its blank line for none: nor is it passed on, unless it
        // ends the answer.
        out.truncate(before);
        *state = running;
        match rest {
            Err(error) if error.kind != UpstreamErrorKind::Invalid => Err(error),
            _ => Err(UpstreamError::truncated()),
        }
    }

    /// Has an event come that settles the status?
    pub fn has_started(&self) -> bool {
        !matches!(self.state, State::Silent(_))
    }

    /// Has the end of the answer passed?
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Has the client got the vendor's own error?
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// Judges one frame and lets it pass.
fn pass(
    watch: &mut Watch,
    state: &mut State,
    frame: Frame<'_>,
    out: &mut Vec<u8>,
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), UpstreamError> {
    let found = match frame.data.filter(|data| !data.trim_ascii().is_empty()) {
        None => None,
        // The answer is over, and whoever reads it has stopped reading.
        Some(_) if *state == State::Ended => None,
        Some(data) => Some(watch.event(data, sink)?),
    };
    match found {
        None => {}
        Some(Found::Withheld) => return Ok(()),
        Some(Found::Part) => *state = State::Running,
        Some(Found::End) => *state = State::Ended,
        Some(Found::Error(error)) => {
            if *state == State::Running {
                *state = State::Failed;
                out.extend_from_slice(frame.raw);
            }
            return Err(error);
        }
    }
    out.extend_from_slice(frame.raw);
    Ok(())
}

/// Understands an answer whose status is not 200.
pub fn read_error(
    shape: Shape,
    status: u16,
    retry_after: Option<&[u8]>,
    body: &[u8],
) -> UpstreamError {
    match shape {
        Shape::OpenAiChoices | Shape::OpenAiEmbeddings => {
            error_openai::read(status, retry_after, body)
        }
    }
}

/// Does a client get the body of this failure as it came? It does where it is an error object of
/// the vendor's about the client's own request.
pub fn error_passes(shape: Shape, status: u16, body: &[u8]) -> bool {
    let is_error = match shape {
        Shape::OpenAiChoices | Shape::OpenAiEmbeddings => error_openai::is_error_object,
    };
    matches!(status, 400 | 409 | 413 | 422 | 429) && is_error(body)
}

/// Looks at an answer that is not streamed.
///
/// # Errors
/// When it is not the vendor's answer, or is an error.
pub fn read_whole(
    watched: Watched,
    body: &[u8],
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), UpstreamError> {
    let text = text(body)?;
    let mut reader = Reader::new(text);
    if reader.kind()? != Kind::Object {
        return Err(wrong_shape());
    }
    let found = Watch::new(watched).whole(&mut reader, sink)?;
    reader.end()?;
    match found {
        Found::Error(error) => Err(error),
        _ => Ok(()),
    }
}
