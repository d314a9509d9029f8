//! The doors to the hub: which API a client speaks, how its requests are read, how answers are
//! written for it.
//!
//! A door is an enum and so are its writers: each event is one jump, nothing is boxed.

use super::collect::Collector;
use super::completions::{self, CompletionStream, WholeCompletion};
use super::dialect::Dialect;
use super::error::ApiError;
use super::event::Event;
use super::messages_in::{self, Wants};
use super::messages_out::{self, MessageStream};
use super::messages_whole::WholeMessage;
use super::outline::{Form, Outline};
use super::problem::ChatError;
use super::render::{ReplyMeta, StreamRenderer};
use super::request::Request;

/// An endpoint that takes a conversation and gives an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's old completions.
    Completions,
    /// Anthropic's messages.
    Messages,
}

/// What a request says outside of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The model, where it stands in the path.
    pub model: String,
    /// Unfinished features of Anthropic's that it wants, as its header field names them.
    pub betas: Option<String>,
}

impl Door {
    /// Whose API it belongs to.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Completions => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn parse<'b>(self, body: &'b [u8], beside: &'b Beside) -> Result<Request<'b>, ChatError> {
        let mut request = match self {
            Self::Chat => Request::parse(body)?,
            Self::Completions => completions::read(&Outline::parse(body, &Form::COMPLETIONS)?)?,
            Self::Messages => {
                messages_in::read(&Outline::parse(body, &Form::MESSAGES)?, Wants::Answer)?
            }
        };
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
    /// Events of a message.
    Messages(MessageStream),
}

impl StreamWriter {
    /// A writer that has written nothing yet.
    pub fn new(door: Door, meta: ReplyMeta, request: &Request<'_>) -> Self {
        match door {
            Door::Chat => Self::Chat(StreamRenderer::new(meta, request.include_usage)),
            Door::Completions => {
                Self::Completions(CompletionStream::new(meta, request.include_usage))
            }
            Door::Messages => Self::Messages(MessageStream::new(meta)),
        }
    }

    /// Has the vendor begun to answer?
    pub fn has_started(&self) -> bool {
        match self {
            Self::Chat(writer) => writer.has_started(),
            Self::Completions(writer) => writer.has_started(),
            Self::Messages(writer) => writer.has_started(),
        }
    }

    /// Appends what one event says.
    pub fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.on_event(event, out),
            Self::Completions(writer) => writer.on_event(event, out),
            Self::Messages(writer) => writer.on_event(event, out),
        }
    }

    /// Appends the end of an answer that is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.end(out),
            Self::Completions(writer) => writer.end(out),
            Self::Messages(writer) => writer.end(out),
        }
    }

    /// Appends what tells a client that the answer broke off; `id` is the request's.
    pub fn error(&mut self, error: &ApiError, id: &str, out: &mut Vec<u8>) {
        match self {
            Self::Chat(_) | Self::Completions(_) => error.render_event(Dialect::OpenAi, id, out),
            Self::Messages(_) => error.render_event(Dialect::Anthropic, id, out),
        }
    }

    /// What keeps a silent stream alive without saying anything.
    pub const fn ping(&self) -> &'static [u8] {
        match self {
            Self::Chat(_) | Self::Completions(_) => b": ping\n\n",
            Self::Messages(_) => messages_out::PING,
        }
    }

    /// The content type of the stream.
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Chat(_) | Self::Completions(_) => Dialect::OpenAi.head().events,
            Self::Messages(_) => Dialect::Anthropic.head().events,
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
    /// A message.
    Messages(WholeMessage),
}

impl WholeWriter {
    /// Nothing has come yet.
    pub fn new(door: Door, meta: ReplyMeta, _request: &Request<'_>) -> Self {
        match door {
            Door::Chat => Self::Chat(Collector::new(meta)),
            Door::Completions => Self::Completions(WholeCompletion::new(meta)),
            Door::Messages => Self::Messages(WholeMessage::new(meta)),
        }
    }

    /// Takes one event.
    pub fn on_event(&mut self, event: &Event<'_>) {
        match self {
            Self::Chat(writer) => writer.on_event(event),
            Self::Completions(writer) => writer.on_event(event),
            Self::Messages(writer) => writer.on_event(event),
        }
    }

    /// Appends the answer.
    pub fn render(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chat(writer) => writer.render(out),
            Self::Completions(writer) => writer.render(out),
            Self::Messages(writer) => writer.render(out),
        }
    }
}
