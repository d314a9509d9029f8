//! Connections to upstreams: names and addresses, dialing, idle pool.

pub mod dial;
pub mod dns;
pub mod error;
pub mod link;
pub mod pool;

pub use error::{NetError, NetErrorKind, NetOp};
pub use link::Link;
pub use pool::Pool;
