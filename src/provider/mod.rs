//! One pure file per vendor: a chat request goes out, events come in.

pub mod decode;
pub mod error;
pub mod gemini;
pub mod gemini_answer;
pub mod vendor;

pub use decode::Decoder;
pub use error::{UpstreamError, UpstreamErrorKind};
pub use vendor::{Vendor, encode, read_error, target};
