//! OpenAI's API, as strict as OpenAI.

mod answer;
mod check;
mod completions;
mod door;
mod embed;
mod error;
mod faults;
mod history;
mod request;
mod responses;
mod schema;

pub(super) use door::answer;
pub(super) use faults::{error_event, named_error, refusal};
