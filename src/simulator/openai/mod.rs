//! OpenAI's API, as strict as OpenAI.

mod answer;
mod check;
mod door;
mod error;
mod faults;
mod history;
mod request;
mod schema;

pub(super) use door::answer;
pub(super) use faults::{ERROR_EVENT, named_error, refusal};
