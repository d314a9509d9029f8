//! HTTP/1.1 heads and bodies, server-sent events, JSON spans: incremental and pure.

pub mod body;
pub mod canonical;
pub mod cut;
pub mod date;
pub mod error;
pub mod find;
pub mod frames;
pub mod head;
pub mod hop;
pub mod json;
mod json_scan;
mod json_skip;
pub mod splice;
pub mod sse;
pub mod write;

pub use body::{BodyReader, Step};
pub use error::WireError;
pub use head::{FieldStore, Framing, HeadLimits, HeadScan, Method, RequestHead, ResponseHead};
