//! Google's token endpoint, and the service account that it knows.

mod account;
mod token;

pub use account::service_account;
pub(super) use token::answer;
