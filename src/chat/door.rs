//! The doors to the hub: which API a client speaks, how its requests are read, how answers are
//! written for it.
//!
//! A door is an enum and so are its writers: each event is one jump, nothing is boxed.

use std::borrow::Cow;

use super::collect::Collector;
use super::completions::{self, CompletionStream, WholeCompletion};
use super::dialect::Dialect;
use super::error::ApiError;
use super::event::Event;
use super::generate_in;
use super::generate_out::{GenerateStream, Series};
use super::generate_whole::WholeGenerate;
use super::messages_in::{self, Wants};
use super::messages_out::{self, MessageStream};
use super::messages_whole::WholeMessage;
use super::outline::{Form, Outline, check_model};
use super::problem::ChatError;
use super::render::{ReplyMeta, StreamRenderer};
use super::request::Request;
use super::responses_in;
use super::responses_out::{ResponseWriter, push_error_event};
use super::shelf::Shelf;

/// An endpoint that takes a conversation and gives an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's old completions.
    Completions,
    /// OpenAI's responses, which keep nothing.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Google's `generateContent`; the path says whether the answer comes in a series of chunks.
    Generate(Option<Series>),
}

/// What a request says outside of its body.
#[derive(Debug, Default)]
pub struct Beside {
    /// The model, where it stands in the path.
    pub model: String,
    /// Unfinished features of Anthropic's that it wants, as its header field names them.
    pub betas: Option<String>,
    /// The version of Anthropic's API that it speaks, if it says so.
    pub version: Option<String>,
    /// Somebody will ask the outline for all fields.
    pub keeps_fields: bool,
    /// Texts that are made while the body is read.
    pub shelf: Shelf,
}

impl Door {
    /// Whose API it belongs to.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Completions | Self::Responses => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
            Self::Generate(_) => Dialect::Google,
        }
    }

    /// Checks a body and reads what it is routed by.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn outline<'b>(self, body: &'b [u8], beside: &'b Beside) -> Result<Outline<'b>, ChatError> {
        let read = |form| Outline::read(body, form, beside.keeps_fields);
        match self {
            Self::Chat => read(&Form::CHAT),
            Self::Completions => read(&Form::COMPLETIONS),
            Self::Responses => read(&Form::RESPONSES),
            Self::Messages => read(&Form::MESSAGES),
            Self::Generate(series) => {
                check_model(&beside.model)?;
                let mut outline = read(&Form::GENERATE)?;
                outline.model = Cow::Borrowed(&beside.model);
                outline.stream = series.is_some();
                Ok(outline)
            }
        }
    }

    /// Reads the rest of a body.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn read<'b>(
        self,
        outline: &Outline<'b>,
        beside: &'b Beside,
    ) -> Result<Request<'b>, ChatError> {
        let mut request = match self {
            Self::Chat => Request::read(outline)?,
            Self::Completions => completions::read(outline)?,
            Self::Responses => responses_in::read(outline)?,
            Self::Messages => messages_in::read(outline, Wants::Answer)?,
            Self::Generate(_) => {
                let mut request = generate_in::read(outline, &beside.shelf)?;
                request.model = outline.model.clone();
                request.stream = outline.stream;
                request
            }
        };
        request.betas = beside.betas.as_deref();
        Ok(request)
    }

    /// Appends what tells a client that a stream failed of which it has got nothing; `id` is the
    /// request's.
    pub fn error(self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        match self {
            Self::Responses => push_error_event(error, 0, out),
            Self::Generate(Some(Series::Array)) => {
                out.push(b'[');
                error.render(Dialect::Google, id, out);
                out.push(b']');
            }
            _ => error.render_event(self.dialect(), id, out),
        }
    }

    /// What keeps a silent stream alive without saying anything.
    pub const fn ping(self) -> &'static [u8] {
        match self {
            Self::Chat | Self::Completions | Self::Responses => b": ping\n\n",
            Self::Messages => messages_out::PING,
            // Google's own client takes a comment for an answer that is broken.
            Self::Generate(_) => b"\r\n",
        }
    }

    /// The content type of a stream.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Generate(Some(Series::Array)) => Dialect::Google.head().json,
            _ => self.dialect().head().events,
        }
    }

    /// Reads the rest of a body of Anthropic's whose tokens are to be counted, and no more.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn read_to_count<'b>(
        outline: &Outline<'b>,
        beside: &'b Beside,
    ) -> Result<Request<'b>, ChatError> {
        let mut request = messages_in::read(outline, Wants::Count)?;
        request.betas = beside.betas.as_deref();
        Ok(request)
    }
}

/// Writes a stream.
#[derive(Debug)]
pub enum StreamWriter {
    /// Chunks of a chat completion.
    Chat(StreamRenderer),
    /// Chunks of an old completion.
    Completions(CompletionStream),
    /// Events of a response.
    Responses(ResponseWriter),
    /// Events of a message.
    Messages(MessageStream),
    /// Chunks of Google's.
    Generate(GenerateStream),
}

impl StreamWriter {
    /// A writer that has written nothing yet.
    pub fn new(door: Door, meta: ReplyMeta, request: &Request<'_>) -> Self {
        match door {
            Door::Chat => Self::Chat(StreamRenderer::new(meta, request.include_usage)),
            Door::Completions => {
                Self::Completions(CompletionStream::new(meta, request.include_usage))
            }
            Door::Responses => Self::Responses(ResponseWriter::new(meta, request, true)),
            Door::Messages => Self::Messages(MessageStream::new(meta)),
            Door::Generate(series) => {
                Self::Generate(GenerateStream::new(meta, series.unwrap_or(Series::Events)))
            }
        }
    }

    /// Has the vendor begun to answer?
    pub fn has_started(&self) -> bool {
        match self {
            Self::Chat(writer) => writer.has_started(),
            Self::Completions(writer) => writer.has_started(),
            Self::Responses(writer) => writer.has_started(),
            Self::Messages(writer) => writer.has_started(),
            Self::Generate(writer) => writer.has_started(),
        }
    }

    /// Appends what one event says.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.on_event(event, out),
            Self::Completions(writer) => writer.on_event(event, out),
            Self::Responses(writer) => writer.on_event(event, out),
            Self::Messages(writer) => writer.on_event(event, out),
            Self::Generate(writer) => writer.on_event(event, out),
        }
    }

    /// Appends the end of an answer that is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.end(out),
            Self::Completions(writer) => writer.end(out),
            Self::Responses(writer) => writer.end(out),
            Self::Messages(writer) => writer.end(out),
            Self::Generate(writer) => writer.end(out),
        }
    }

    /// Appends what tells a client that the answer broke off; `id` is the request's.
    pub fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) | Self::Completions(_) => error.render_event(Dialect::OpenAi, id, out),
            Self::Responses(writer) => writer.error(error, out),
            Self::Messages(_) => error.render_event(Dialect::Anthropic, id, out),
            Self::Generate(writer) => writer.error(error, out),
        }
    }

    /// What keeps a silent stream alive without saying anything.
    pub const fn ping(&self) -> &'static [u8] {
        self.door().ping()
    }

    /// The content type of the stream.
    pub const fn content_type(&self) -> &'static str {
        self.door().content_type()
    }

    const fn door(&self) -> Door {
        match self {
            Self::Chat(_) => Door::Chat,
            Self::Completions(_) => Door::Completions,
            Self::Responses(_) => Door::Responses,
            Self::Messages(_) => Door::Messages,
            Self::Generate(writer) => Door::Generate(Some(writer.series())),
        }
    }
}

/// Writes an answer in one piece.
#[derive(Debug)]
pub enum WholeWriter {
    /// A chat completion.
    Chat(Collector),
    /// An old completion.
    Completions(WholeCompletion),
    /// A response.
    Responses(ResponseWriter),
    /// A message.
    Messages(WholeMessage),
    /// Google's response.
    Generate(WholeGenerate),
}

impl WholeWriter {
    /// Nothing has come yet.
    pub fn new(door: Door, meta: ReplyMeta, request: &Request<'_>) -> Self {
        match door {
            Door::Chat => Self::Chat(Collector::new(meta)),
            Door::Completions => Self::Completions(WholeCompletion::new(meta)),
            Door::Responses => Self::Responses(ResponseWriter::new(meta, request, false)),
            Door::Messages => Self::Messages(WholeMessage::new(meta)),
            Door::Generate(_) => Self::Generate(WholeGenerate::new(meta)),
        }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match self {
            Self::Chat(writer) => writer.on_event(event),
            Self::Completions(writer) => writer.on_event(event),
            // No event is written: there is no stream.
            Self::Responses(writer) => writer.on_event(event, &mut Vec::new()),
            Self::Messages(writer) => writer.on_event(event),
            Self::Generate(writer) => writer.on_event(event),
        }
    }

    /// Appends the answer.
    pub fn render(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.render(out),
            Self::Completions(writer) => writer.render(out),
            Self::Responses(writer) => writer.render(out),
            Self::Messages(writer) => writer.render(out),
            Self::Generate(writer) => writer.render(out),
        }
    }
}
