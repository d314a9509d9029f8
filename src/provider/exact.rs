//! Answers whose bytes pass as they came: watched, not understood.
//!
//! A stream passes event by event. Each one is checked to be JSON or the mark of the end; only one
//! that can hold usage, a finish or an error is read, in the vendor's own way ([`Watch`]). What is
//! found is told as chat events, for accounting.

use crate::chat::responses_out::push_error_event;
use crate::chat::{ApiError, Dialect, Event};
use crate::wire::WireError;
use crate::wire::frames::{Frame, Frames};
use crate::wire::json::{Kind, Reader};

use super::decode::AnswerLimits;
use super::error::{UpstreamError, UpstreamErrorKind};
use super::fixups::Fixups;
use super::pattern::Pattern;
use super::watch::{self, Found, Shape, Watched, check, text, wrong_shape};
use super::{
    error_anthropic, error_openai, exact_anthropic, exact_google, exact_openai, exact_responses,
};

/// Of an answer that is longer nothing is kept.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// A vendor's half.
#[derive(Debug)]
enum Watch {
    OpenAi(exact_openai::Watch),
    Response(exact_responses::Watch),
    Anthropic(exact_anthropic::Watch),
    Google(exact_google::Watch),
}

impl Watch {
    fn new(watched: Watched) -> Self {
        match watched.shape {
            Shape::OpenAiChoices | Shape::OpenAiEmbeddings => {
                Self::OpenAi(exact_openai::Watch::new(watched))
            }
            Shape::OpenAiResponse => Self::Response(exact_responses::Watch::new()),
            Shape::Anthropic | Shape::Claude => Self::Anthropic(exact_anthropic::Watch::new(false)),
            Shape::AnthropicCount => Self::Anthropic(exact_anthropic::Watch::new(true)),
            Shape::Google => Self::Google(exact_google::Watch::new()),
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
            Self::Response(watch) => watch.event(data, sink),
            Self::Anthropic(watch) => watch.event(data, sink),
            Self::Google(watch) => watch.event(data, sink),
        }
    }

    /// Bytes of text, about, in an event that has passed and said nothing else.
    fn text_bytes(&mut self, data: &[u8]) -> u64 {
        match self {
            Self::OpenAi(watch) => watch.take_text(),
            Self::Response(_) | Self::Anthropic(_) => watch::delta_bytes(data),
            // It counts as it goes.
            Self::Google(_) => 0,
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
            Self::Response(watch) => watch.whole(reader, sink),
            Self::Anthropic(watch) => watch.whole(reader, sink),
            Self::Google(watch) => watch.whole(reader, sink),
        }
    }

    /// May the stream end here, where its end has no mark?
    fn may_end(&self) -> bool {
        matches!(self, Self::Google(watch) if watch.is_whole())
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
    /// What has passed, where it is kept and not too long.
    kept: Option<Vec<u8>>,
}

/// What is known of a stream while its events pass.
#[derive(Debug)]
struct Passage {
    watch: Watch,
    pattern: Pattern,
    fixups: Option<Fixups>,
    state: State,
    array: Option<Array>,
    /// Events that have passed, where the client's API numbers them.
    numbered: Option<u64>,
    event_bytes_max: usize,
    /// Calls of tools that are not whole yet, where they are held back.
    held: Option<Vec<u8>>,
    /// The vendor's error, where another answer may take over.
    error_event: Option<Vec<u8>>,
    /// Has something of the answer passed, not only its opening? Where somebody wants to know.
    spoken: Option<bool>,
    /// Bytes of text that have passed without an event that tells of them.
    untold: u64,
}

/// How far the array has come that a client gets instead of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Array {
    Unopened,
    Open,
}

impl ExactStream {
    /// Nothing has come yet.
    pub fn new(watched: Watched, limits: AnswerLimits) -> Self {
        let passage = Passage {
            watch: Watch::new(watched),
            pattern: Pattern::default(),
            fixups: watched.repair.map(Fixups::new),
            state: State::Silent(0),
            array: watched.as_array.then_some(Array::Unopened),
            numbered: (watched.shape == Shape::OpenAiResponse).then_some(0),
            event_bytes_max: limits.event_bytes,
            held: None,
            error_event: None,
            spoken: None,
            untold: 0,
        };
        Self { frames: Frames::new(limits.event_bytes), passage, kept: None }
    }

    /// Keeps what passes, so that another answer can take over, and holds calls of tools back until
    /// they are whole.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        if self.passage.array.is_none() {
            (self.kept, self.passage.held) = (Some(Vec::new()), Some(Vec::new()));
        }
        self
    }

    /// Listens for the first word.
    #[must_use]
    pub const fn listening(mut self) -> Self {
        self.passage.spoken = Some(false);
        self
    }

    /// All that has passed, where it was kept.
    pub fn kept(&self) -> Option<&[u8]> {
        self.kept.as_deref()
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
        let Self { frames, passage, kept } = self;
        let before = out.len();
        let fed = frames.feed(bytes, &mut |frame| passage.judge(frame, out, sink));
        if let Some(bytes) = kept {
            bytes.extend_from_slice(out.get(before..).unwrap_or_default());
            let held = passage.held.as_ref().map_or(0, Vec::len);
            if bytes.len() + held > KEPT_BYTES_MAX {
                passage.release(out);
                (*kept, passage.held) = (None, None);
            }
        }
        fed
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
        let Self { frames, passage, .. } = self;
        let (before, state, array) = (out.len(), passage.state, passage.array);
        let rest = frames.finish(&mut |frame| passage.judge(frame, out, sink));
        let ended = passage.state == State::Ended || rest.is_ok() && passage.watch.may_end();
        if ended {
            passage.state = State::Ended;
            if passage.array.is_some() {
                out.push(b']');
            }
            return Ok(());
        }
        // A client takes an event without its blank line for none: nor is it passed on, unless it
        // ends the answer.
        out.truncate(before);
        (passage.state, passage.array) = (state, array);
        match rest {
            Err(error) if error.kind != UpstreamErrorKind::Invalid => Err(error),
            _ => Err(UpstreamError::truncated()),
        }
    }

    /// Appends what tells a client that its answer broke off. The vendor's own error has passed
    /// where there was one.
    pub fn error(&mut self, error: &ApiError, dialect: Dialect, id: &str, out: &mut Vec<u8>) {
        if let Some(event) = self.take_error_event() {
            return out.extend_from_slice(&event);
        }
        let passed = self.passage.state == State::Failed;
        match (self.passage.array, self.passage.numbered) {
            (None, _) if passed => {}
            (None, Some(events)) => push_error_event(error, events, out),
            (None, None) => error.render_event(dialect, id, out),
            (Some(_), _) => {
                if !passed {
                    self.passage.open_element(out);
                    error.render(dialect, id, out);
                }
                out.push(b']');
            }
        }
    }

    /// Bytes of text that have passed since the last time without an event that tells of them.
    pub const fn take_untold(&mut self) -> u64 {
        std::mem::replace(&mut self.passage.untold, 0)
    }

    /// The vendor's own error, where it was kept back.
    pub const fn take_error_event(&mut self) -> Option<Vec<u8>> {
        self.passage.error_event.take()
    }

    /// Has an event come that settles the status?
    pub fn has_started(&self) -> bool {
        !matches!(self.passage.state, State::Silent(_))
    }

    /// Has something of the answer come, not only its opening? That is told where it was
    /// [listened](Self::listening) for.
    pub fn has_spoken(&self) -> bool {
        self.passage.spoken.unwrap_or_else(|| self.has_started()) || self.has_ended()
    }

    /// Has the end of the answer passed?
    pub fn has_ended(&self) -> bool {
        self.passage.state == State::Ended
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
            Some(data) if self.passes_at_once() && self.pattern.knows(data) => {
                self.untold += self.pattern.text_bytes(data);
                match self.array {
                    None => out.extend_from_slice(frame.raw),
                    Some(_) => self.push(frame, out),
                }
                return Ok(());
            }
            Some(data) => Some(self.read(data, sink)?),
        };
        match found {
            Some(Found::Withheld) => {}
            Some(Found::Part) => {
                self.state = State::Running;
                if self.spoken == Some(false) {
                    self.spoken = Some(frame.data.is_some_and(watch::speaks));
                }
                self.numbered = self.numbered.map(|events| events + 1);
                self.push_repaired(frame, out)?;
            }
            Some(Found::Error(error)) => {
                if self.state == State::Running {
                    self.state = State::Failed;
                    match self.held {
                        // Another answer may take over: then the client never hears of it.
                        Some(_) => self.error_event = Some(frame.raw.to_vec()),
                        None => self.push(frame, out),
                    }
                }
                return Err(error);
            }
            Some(Found::End) => {
                self.state = State::Ended;
                self.push(frame, out);
            }
            None => self.push(frame, out),
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

    /// Does an event pass that brings more text and nothing else?
    fn passes_at_once(&self) -> bool {
        let nothing_held = self.held.as_ref().is_none_or(Vec::is_empty);
        let running = self.state == State::Running && self.spoken != Some(false);
        running && nothing_held && self.fixups.is_none()
    }

    /// Reads an event, and remembers one that says nothing of note.
    fn read(
        &mut self,
        data: &[u8],
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Found, UpstreamError> {
        let mut told = false;
        let found = self.watch.event(data, &mut |event| {
            told = true;
            sink(event);
        })?;
        self.untold += self.watch.text_bytes(data);
        let is_plain = !told && found == Found::Part && self.numbered.is_none();
        if is_plain && !(self.held.is_some() && watch::is_held(data)) {
            self.pattern.learn(data);
        }
        Ok(found)
    }

    fn push(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) {
        if self.array.is_none() {
            return pass(&mut self.held, out, frame, |out| out.extend_from_slice(frame.raw));
        }
        if let Some(data) = frame.data.filter(|data| !data.trim_ascii().is_empty()) {
            self.open_element(out);
            out.extend_from_slice(data);
        }
    }

    /// The calls that are held are whole.
    fn release(&mut self, out: &mut Vec<u8>) {
        if let Some(held) = &mut self.held {
            out.append(held);
        }
    }

    /// Appends what stands before an element of an array.
    fn open_element(&mut self, out: &mut Vec<u8>) {
        let opened = self.array.replace(Array::Open) == Some(Array::Open);
        out.extend_from_slice(if opened { b",\r\n" } else { b"[" });
    }

    fn push_repaired(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamError> {
        let is_object = |data: &&[u8]| data.trim_ascii_start().starts_with(b"{");
        let (Some(fixups), Some(data)) = (&mut self.fixups, frame.data.filter(is_object)) else {
            self.push(frame, out);
            return Ok(());
        };
        let splices = fixups.look(text(data)?)?;
        pass(&mut self.held, out, frame, |out| {
            splices.apply_mapped(frame.raw, |place| frame.raw_place(place), out);
        });
        Ok(())
    }
}

/// Appends an event, or holds it where it waits for what comes next.
fn pass(
    held: &mut Option<Vec<u8>>,
    out: &mut Vec<u8>,
    frame: Frame<'_>,
    append: impl FnOnce(&mut Vec<u8>),
) {
    let Some(held) = held else { return append(out) };
    let waits = match frame.data.filter(|data| !data.is_empty()) {
        Some(data) => watch::is_held(data) || !held.is_empty() && watch::is_ping(data),
        None => !held.is_empty(),
    };
    if waits {
        return append(held);
    }
    out.append(held);
    append(out);
}

/// Does a client get the body of this failure as it came? It does where it is an error object of
/// the vendor's about the client's own request, and not about our credential or our bill.
pub fn error_passes(watched: Watched, status: u16, body: &[u8], error: &UpstreamError) -> bool {
    let is_error = match watched.shape {
        Shape::OpenAiChoices | Shape::OpenAiEmbeddings | Shape::OpenAiResponse => {
            error_openai::is_error_object
        }
        Shape::Anthropic | Shape::Claude | Shape::AnthropicCount => {
            error_anthropic::is_error_object
        }
        Shape::Google => super::error::is_google_object,
    };
    let about_request = matches!(status, 400 | 409 | 413 | 422 | 429);
    let ours = error.kind == UpstreamErrorKind::Auth;
    about_request && !ours && watched.repair.is_none() && check(body).is_ok() && is_error(body)
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

#[cfg(test)]
pub(super) mod testing {
    //! Watches streams in tests.

    use super::*;

    const LIMITS: AnswerLimits = AnswerLimits { body_bytes: 1 << 20, event_bytes: 500 };

    /// What passed, what was told, and how it ended.
    pub(in super::super) type Seen = (String, Vec<String>, Result<(), UpstreamErrorKind>);

    fn told(event: &Event<'_>) -> String {
        match event {
            Event::Start { model, .. } => format!("model {}", model.unwrap_or_default().raw()),
            Event::Usage(usage) => format!("usage {}+{}", usage.prompt, usage.completion),
            Event::Finish { choice, reason, .. } => format!("finish {choice} {}", reason.as_str()),
            other => format!("{other:?}"),
        }
    }

    pub(in super::super) fn watch(watched: Watched, parts: &[&[u8]]) -> Seen {
        let mut stream = ExactStream::new(watched, LIMITS);
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let mut sink = |event: Event<'_>| events.push(told(&event));
        let fed = parts.iter().try_for_each(|part| stream.feed(part, &mut out, &mut sink));
        let ended = fed.and_then(|()| stream.finish(&mut out, &mut sink));
        assert_eq!(stream.has_ended(), ended.is_ok());
        (String::from_utf8(out).unwrap(), events, ended.map_err(|error| error.kind))
    }

    /// The outcome must not depend on the cuts.
    pub(in super::super) fn watch_every_cut(watched: Watched, input: &str) -> Seen {
        let input = input.as_bytes();
        let whole = watch(watched, &[input]);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(watch(watched, &bytes), whole, "per byte");
        for cut in 0..=input.len() {
            assert_eq!(watch(watched, &[&input[..cut], &input[cut..]]), whole, "at {cut}");
        }
        whole
    }

    pub(in super::super) fn run(shape: Shape, parts: &[&[u8]]) -> Seen {
        watch(Watched::plain(shape), parts)
    }

    pub(in super::super) fn every_cut(shape: Shape, input: &str) -> Seen {
        watch_every_cut(Watched::plain(shape), input)
    }

    /// What a whole answer tells.
    pub(in super::super) fn whole(
        shape: Shape,
        body: &str,
    ) -> Result<Vec<String>, UpstreamErrorKind> {
        let mut events = Vec::new();
        let watched = Watched::plain(shape);
        let read = read_whole(watched, body.as_bytes(), &mut |event| events.push(told(&event)));
        read.map(|()| events).map_err(|error| error.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::watch_every_cut;
    use super::*;
    use crate::chat::Row;

    const FIRST: &str = "{\"candidates\":[{\"content\":{}}]}";
    const LAST: &str = "{\"candidates\":[{\"finishReason\":\"STOP\"}]}";

    #[test]
    fn events_become_the_elements_of_an_array() {
        let watched = Watched { as_array: true, ..Watched::plain(Shape::Google) };
        let stream = format!(": note\n\ndata: {FIRST}\r\n\r\ndata: {LAST}\r\n\r\n");
        let (passed, _, ended) = watch_every_cut(watched, &stream);
        assert_eq!((passed, ended), (format!("[{FIRST},\r\n{LAST}]"), Ok(())));
        // An array that breaks off is still one, with the error as its last element.
        let error = ApiError::new(Row::UPSTREAM_OVERLOADED, "m");
        for (sent, expected) in [("", "[{\"error\""), (FIRST, ",\r\n{\"error\"")] {
            let limits = AnswerLimits { body_bytes: 99, event_bytes: 99 };
            let (mut stream, mut out) = (ExactStream::new(watched, limits), Vec::new());
            stream.feed(format!("data: {sent}\n\n").as_bytes(), &mut out, &mut |_| {}).unwrap();
            stream.error(&error, Dialect::Google, "", &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(expected) && text.ends_with("}]"), "{text}");
        }
    }

    #[test]
    fn only_errors_about_the_clients_request_pass() {
        let google = |text: &str| {
            format!(
                "{{\"error\":{{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\"{text}}}}}"
            )
        };
        let claude = r#"{"type":"error","error":{"type":"invalid_request_error","message":"m"}}"#;
        let poor = claude.replace("\"m\"", "\"Your credit balance is too low\"");
        let key = google(",\"details\":[{\"reason\":\"API_KEY_INVALID\"}]");
        let plain = google("");
        for (shape, body, passes) in [
            (Shape::Google, plain.as_str(), true),
            (Shape::Google, &key, false),
            (Shape::Google, "[]", false),
            (Shape::Anthropic, claude, true),
            (Shape::Anthropic, &poor, false),
            (Shape::Anthropic, &format!("{claude}}}"), false),
            (Shape::Google, &format!("{plain},"), false),
            (Shape::Claude, &plain, false),
            (Shape::Claude, claude, true),
            (Shape::OpenAiResponse, r#"{"error":{"message":"m"}}"#, true),
            (Shape::OpenAiResponse, "<html>", false),
        ] {
            let body = body.as_bytes();
            let error = match shape {
                Shape::Google => super::super::error::read_google(400, None, body),
                Shape::Claude => error_anthropic::read_on_vertex(400, None, body),
                Shape::Anthropic => error_anthropic::read(400, None, body),
                _ => error_openai::read(400, None, body),
            };
            let watched = Watched::plain(shape);
            let text = String::from_utf8_lossy(body);
            assert_eq!(error_passes(watched, 400, body, &error), passes, "{text}");
            assert!(!error_passes(watched, 404, body, &error), "{text}");
        }
    }
}
