//! What is left of a stream that broke off, for another answer to take over.

use crate::chat::continuity::Differs;
use crate::chat::door::Beside;
use crate::chat::{ApiError, Continuity, Dialect, Door, Event, Outline, ReplyMeta, StreamWriter};
use crate::provider::decode::AnswerLimits;
use crate::provider::{Decoder, ExactStream, Expected, Order, UpstreamError, UpstreamErrorKind};
use crate::rt::Mutant;

/// What a client is told of a translated answer.
pub(super) struct Tale {
    pub(super) writer: StreamWriter,
    /// Where another answer may take over.
    pub(super) continuity: Option<Continuity>,
    /// The answer that took over turned out to be another one.
    pub(super) differs: bool,
    /// Something of the answer has come, not only its opening.
    pub(super) spoken: bool,
    /// The vendor's own words for why it broke off, where its bytes passed.
    pub(super) own_error: Option<Vec<u8>>,
}

/// What made the client's stream.
pub(super) enum Remains {
    /// Events were translated.
    Translated(Box<Translated>),
    /// Bytes passed.
    Exact(Box<Passed>),
}

/// A translation in the middle.
pub(super) struct Translated {
    pub(super) decoder: Decoder,
    pub(super) tale: Tale,
}

/// A passage in the middle.
pub(super) struct Passed {
    pub(super) stream: ExactStream,
    pub(super) dialect: Dialect,
    pub(super) content_type: &'static str,
    /// The client knows how the answer ended.
    pub(super) finished: bool,
}

/// What bytes that passed have told.
pub(super) enum Told {
    /// All but the mark of the end.
    All,
    /// A part.
    Part(Box<Tale>),
}

impl Tale {
    /// Nothing was told.
    pub(super) const fn new(writer: StreamWriter, continuity: Option<Continuity>) -> Self {
        Self { writer, continuity, differs: false, spoken: false, own_error: None }
    }

    pub(super) fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let Self { writer, continuity, differs, spoken, .. } = self;
        *spoken |= !matches!(
            event,
            Event::Start { .. }
                | Event::Open { .. }
                | Event::Tier(_)
                | Event::Usage(_)
                | Event::Counted(_)
        );
        match continuity {
            None => writer.on_event(event, out),
            Some(_) if *differs => {}
            Some(continuity) => {
                let told = continuity.on_event(event, &mut |event| writer.on_event(event, out));
                *differs = told == Err(Differs);
            }
        }
    }

    /// Is an answer that took over the same as the one that broke off?
    pub(super) fn check(&self) -> Result<(), UpstreamError> {
        if self.differs {
            let what = "the answer that took over does not begin like the one that broke off";
            return Err(UpstreamError::new(UpstreamErrorKind::Invalid, what));
        }
        Ok(())
    }

    /// Can another answer take over?
    pub(super) fn can_go_on(&self) -> bool {
        self.continuity.as_ref().is_some_and(Continuity::can_go_on)
    }

    /// The text that was told, if nothing else was.
    pub(super) fn only_text(&self) -> &str {
        self.continuity.as_ref().and_then(Continuity::only_text).unwrap_or_default()
    }

    /// Another answer takes over, which was given so many bytes of the text.
    pub(super) fn take_over(&mut self, given: usize) {
        self.differs = false;
        if let Some(continuity) = &mut self.continuity {
            continuity.take_over(given);
        }
    }

    /// Appends an error as the last event. `id` is the request's.
    pub(super) fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        match self.own_error.take() {
            Some(event) => out.extend_from_slice(&event),
            None => self.writer.error(error, id, out),
        }
    }
}

impl Remains {
    /// Appends an error as the last event. `id` is the request's.
    pub(super) fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        match self {
            Self::Translated(translated) => translated.tale.error(error, id, out),
            Self::Exact(passed) => passed.stream.error(error, passed.dialect, id, out),
        }
    }
}

impl Translated {
    /// The body has ended: tells the rest when the answer is whole.
    pub(super) fn finish(
        &mut self,
        sink: &mut impl FnMut(&Event<'_>),
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamError> {
        let Self { decoder, tale } = self;
        let finished = decoder.finish(&mut |event| {
            sink(&event);
            tale.on_event(&event, out);
        });
        match finished {
            Err(error)
                if error.kind == UpstreamErrorKind::Truncated
                    && Mutant::TruncationHidden.active() => {}
            other => other?,
        }
        tale.check()?;
        tale.writer.end(out);
        Ok(())
    }

    /// Tells the end of what is whole but for its mark of the end. False where it is not.
    pub(super) fn conclude(
        &mut self,
        sink: &mut impl FnMut(&Event<'_>),
        out: &mut Vec<u8>,
    ) -> bool {
        self.decoder.conclude();
        self.decoder.is_whole() && self.finish(sink, out).is_ok()
    }
}

impl Passed {
    /// Reads the bytes that passed as the answer to `order`, as if they had been translated. `None`
    /// when something in them cannot be taken over.
    pub(super) fn read(
        &self,
        order: &Order<'_>,
        limits: AnswerLimits,
        (door, outline, beside): (Door, &Outline<'_>, &Beside),
    ) -> Option<Told> {
        let request = door.read(outline, beside).ok()?;
        let expected = Expected::of(order, &request, 0);
        if expected.choices != 1 {
            return None;
        }
        let meta = ReplyMeta { fallback_id: 0, created: 0, model: order.model.to_owned() };
        let writer = StreamWriter::new(door, meta, &request);
        let mut tale = Tale::new(writer, Some(Continuity::new()));
        let (mut decoder, mut told) = (Decoder::new(expected, limits), Vec::new());
        let fed = decoder.feed(self.stream.kept()?, &mut |event| {
            tale.on_event(&event, &mut told);
            told.clear();
        });
        fed.ok()?;
        if decoder.is_whole() {
            // Only OpenAI's streams have a mark behind all that is said.
            return Some(Told::All);
        }
        tale.can_go_on().then(|| Told::Part(Box::new(tale)))
    }
}
