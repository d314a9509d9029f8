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
use super::fixups::Fixups;
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
    passage: Passage,
}

/// What is known of a stream while its events pass.
#[derive(Debug)]
struct Passage {
    watch: Watch,
    fixups: Option<Fixups>,
    state: State,
    event_bytes_max: usize,
}

impl ExactStream {
    /// Nothing has come yet.
    pub fn new(watched: Watched, limits: AnswerLimits) -> Self {
        let passage = Passage {
            watch: Watch::new(watched),
            fixups: watched.repair.map(Fixups::new),
            state: State::Silent(0),
            event_bytes_max: limits.event_bytes,
        };
        Self { frames: Frames::new(limits.event_bytes), passage }
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
        let Self { frames, passage } = self;
        frames.feed(bytes, &mut |frame| passage.judge(frame, out, sink))
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
        let Self { frames, passage } = self;
        let (before, state) = (out.len(), passage.state);
        let rest = frames.finish(&mut |frame| passage.judge(frame, out, sink));
        if passage.state == State::Ended {
            return Ok(());
        }
        // A client takes an event without its blank line for none: nor is it passed on, unless it
        // ends the answer.
        out.truncate(before);
        passage.state = state;
        match rest {
            Err(error) if error.kind != UpstreamErrorKind::Invalid => Err(error),
            _ => Err(UpstreamError::truncated()),
        }
    }

    /// Has an event come that settles the status?
    pub fn has_started(&self) -> bool {
        !matches!(self.passage.state, State::Silent(_))
    }

    /// Has the end of the answer passed?
    pub fn has_ended(&self) -> bool {
        self.passage.state == State::Ended
    }

    /// Has the client got the vendor's own error?
    pub fn has_failed(&self) -> bool {
        self.passage.state == State::Failed
    }
}

impl Passage {
    /// Judges one frame and lets it pass.
    fn judge(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpstreamError> {
        let found = match frame.data.filter(|data| !data.trim_ascii().is_empty()) {
            None => None,
            // The answer is over, and whoever reads it has stopped reading.
            Some(_) if self.state == State::Ended => None,
            Some(data) => Some(self.watch.event(data, sink)?),
        };
        match found {
            Some(Found::Withheld) => {}
            Some(Found::Part) => {
                self.state = State::Running;
                self.push_repaired(frame, out)?;
            }
            Some(Found::Error(error)) => {
                if self.state == State::Running {
                    self.state = State::Failed;
                    out.extend_from_slice(frame.raw);
                }
                return Err(error);
            }
            Some(Found::End) => {
                self.state = State::Ended;
                out.extend_from_slice(frame.raw);
            }
            None => out.extend_from_slice(frame.raw),
        }
        // Comments before the first event are kept back with the head.
        if let State::Silent(held) = &mut self.state {
            *held += frame.raw.len();
            if *held > self.event_bytes_max {
                return Err(WireError::EventTooLarge.into());
            }
        }
        Ok(())
    }

    fn push_repaired(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamError> {
        let is_object = |data: &&[u8]| data.trim_ascii_start().starts_with(b"{");
        let (Some(fixups), Some(data)) = (&mut self.fixups, frame.data.filter(is_object)) else {
            out.extend_from_slice(frame.raw);
            return Ok(());
        };
        let splices = fixups.look(text(data)?)?;
        splices.apply_mapped(frame.raw, |place| frame.raw_place(place), out);
        Ok(())
    }
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
pub fn error_passes(watched: Watched, status: u16, body: &[u8]) -> bool {
    let is_error = match watched.shape {
        Shape::OpenAiChoices | Shape::OpenAiEmbeddings => error_openai::is_error_object,
    };
    let about_request = matches!(status, 400 | 409 | 413 | 422 | 429);
    about_request && watched.repair.is_none() && is_error(body)
}

/// Repairs an answer that is not streamed and has been looked at, where that is wanted; else it
/// stays.
///
/// # Errors
/// When it is not what was looked at.
pub fn repair_whole(watched: Watched, body: &mut Vec<u8>) -> Result<(), UpstreamError> {
    let Some(seed) = watched.repair else { return Ok(()) };
    let mut fixups = Fixups::new(seed);
    let splices = fixups.look(text(body)?)?;
    if !splices.is_empty() {
        let mut repaired = Vec::with_capacity(body.len() + 256);
        splices.apply(body, &mut repaired);
        *body = repaired;
    }
    Ok(())
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
