//! One pure file per vendor: a chat request goes out, events come in.

mod anthropic;
mod anthropic_answer;
mod anthropic_blocks;
mod anthropic_event;
mod anthropic_ids;
mod anthropic_media;
mod anthropic_messages;
mod anthropic_model;
mod anthropic_schema;
mod anthropic_tools;
mod call_id;
pub mod decode;
pub mod dropped;
pub mod error;
mod error_anthropic;
pub mod expected;
pub mod gemini;
pub mod gemini_answer;
mod gemini_logprobs;
mod gemini_partial;
mod gemini_tools;
mod openapi;
pub mod order;
mod put;
mod time;
pub mod vendor;

pub use decode::Decoder;
pub use dropped::Dropped;
pub use error::{UpstreamError, UpstreamErrorKind};
pub use expected::Expected;
pub use order::{Order, Rules, Vendor};
pub use vendor::{encode, read_error, target};
