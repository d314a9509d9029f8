//! The hub: OpenAI bytes on one side, vendor-neutral chat events on the other.

mod carry;
pub mod collect;
pub mod completions;
pub mod dialect;
pub mod door;
pub mod error;
pub mod event;
pub mod history;
pub mod ids;
mod messages_blocks;
mod messages_in;
pub mod messages_out;
pub mod messages_whole;
pub mod models;
pub mod options;
mod others;
pub mod outline;
pub mod part;
pub mod problem;
pub mod render;
pub mod request;
pub mod tools;
pub mod turn;

pub use collect::Collector;
pub use dialect::Dialect;
pub use door::{Door, StreamWriter, WholeWriter};
pub use error::{ApiError, Row};
pub use event::{Event, FinishReason, Usage};
pub use outline::{Form, Outline};
pub use part::{Content, Media, MediaKind, Part, Source};
pub use problem::ChatError;
pub use render::{ReplyMeta, StreamRenderer};
pub use request::Request;
pub use tools::{Tool, ToolChoice, Tools};
pub use turn::{Call, Role, Turn};
