//! Google's Gemini, as strict as Google: on AI Studio and on Vertex AI.
//!
//! <https://ai.google.dev/api/generate-content>; the wording of the errors is Google's.

mod answer;
mod check;
mod door;
mod embed;
mod error;
mod faults;
mod history;
mod path;
mod request;

pub(super) use door::{answer, authorise};
pub(super) use faults::{ERROR_EVENT, named_error, refusal};
pub(super) use path::Address;
