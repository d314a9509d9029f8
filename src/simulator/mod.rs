//! The provider simulator: a separate opinion on the vendors' wire formats.
//!
//! It shares no code with `chat` or `provider`, so that one mistake cannot cancel out, and it
//! refuses what the vendor refuses, in the vendor's words.

mod anthropic;
mod fault;
mod gemini;
mod give;
mod json;
mod oauth;
mod openai;
mod problem;
mod reply;
mod route;
mod sample;
mod script;
mod seal;
mod serve;
mod tools;
mod vector;

pub use fault::{Cut, Fault};
pub use oauth::service_account;
pub use script::Options;
pub use serve::serve;
