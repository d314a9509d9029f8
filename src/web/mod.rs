//! HTTP to services beside the upstreams: token endpoints, collectors. Calls block, so they are
//! made on helper threads, never on a core.

mod connector;

use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::config::Tunnel;

use connector::TlsConnector;
pub use connector::{Trust, is_tls};

/// The proxy to a service with this URL, if it is reached through one.
pub fn proxy(tunnel: Option<&Tunnel>, url: &str) -> Option<Proxy> {
    let tunnel = tunnel.filter(|tunnel| tunnel.serves_url(url))?;
    let at = &tunnel.at;
    let mut proxy = Proxy::builder(ProxyProtocol::Http).host(&at.host_in_url()).port(at.port);
    if let Some((name, password)) = tunnel.credentials() {
        proxy = proxy.username(name).password(password);
    }
    proxy.build().ok()
}

/// Asks as `config` says, on connections whose TLS is ours.
pub fn agent(config: Config, trust: &Trust) -> Agent {
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(TlsConnector::new(trust.clone()));
    Agent::with_parts(config, connector, DefaultResolver::default())
}
