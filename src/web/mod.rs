//! HTTP to services beside the upstreams: token endpoints, collectors. Calls block, so they are
//! made on helper threads, never on a core.

mod connector;

use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

use connector::TlsConnector;
pub use connector::{Trust, is_tls};

/// Asks as `config` says, on connections whose TLS is ours.
pub fn agent(config: Config, trust: &Trust) -> Agent {
    let connector = ().chain(TcpConnector::default()).chain(TlsConnector::new(trust.clone()));
    Agent::with_parts(config, connector, DefaultResolver::default())
}
