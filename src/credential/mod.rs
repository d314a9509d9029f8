//! Service accounts: what is signed, and how it becomes a token. Calls block, so they run on a
//! helper thread, never on a core. When to call is decided in `policy`.

mod exchange;
mod signer;

pub use exchange::{Endpoint, Granted, TokenError};
pub use signer::Signer;
