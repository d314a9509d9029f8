//! OpenAI's `POST /v1/responses`, without memory: every request brings its whole conversation.
//!
//! <https://platform.openai.com/docs/api-reference/responses/create>

mod answer;
mod history;
mod request;
mod speech;

pub(super) use answer::{answer, refusal};
