//! The hub: OpenAI bytes on one side, vendor-neutral chat events on the other.

pub mod collect;
pub mod error;
pub mod event;
pub mod models;
pub mod options;
pub mod problem;
pub mod render;
pub mod request;

pub use collect::Collector;
pub use error::{ApiError, Row};
pub use event::{Event, FinishReason, Usage};
pub use problem::ChatError;
pub use render::{ReplyMeta, StreamRenderer};
pub use request::{Content, Part, Request, Role, Turn};
