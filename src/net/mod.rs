//! Connections to upstreams and clients: names and addresses, dialing, TLS, idle pool.

pub mod certificate;
pub mod dial;
pub mod dns;
pub mod error;
pub mod link;
pub mod pool;
pub mod security;
pub mod stream;
pub mod tls;

pub use certificate::{Identity, PemProblem, Trust};
pub use error::{NetError, NetErrorKind, NetOp, TlsFault};
pub use link::Link;
pub use pool::Pool;
pub use security::{Acceptor, Connector, PeerName, Security, Tickets};
pub use stream::{Stream, StreamOf};
pub use tls::{Shake, Tls};
