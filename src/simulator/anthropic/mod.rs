//! Anthropic's Messages API, as strict as Anthropic: its own and on Vertex AI.

mod answer;
mod check;
mod door;
mod error;
mod faults;
mod history;
mod model;
mod request;

pub(super) use door::{answer, on_vertex};
pub(super) use faults::{ERROR_EVENT, named_error, refusal};
