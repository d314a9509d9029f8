//! Where a request comes from when proxies stand before us.

use std::net::{IpAddr, SocketAddr};

use crate::config::Network;

/// The address of the client. `listed` are the values of `x-forwarded-for`, in their order, with
/// commas between them: each proxy has added the address that it was asked from. What a trusted one
/// says is believed, so the last address that is not a trusted proxy's own is the client's; nobody
/// can say more in front of it than we would have seen ourselves.
pub fn client_address(peer: IpAddr, listed: &str, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    let mut client = peer;
    let mut hops = listed.rsplit(',');
    while is_trusted(client) {
        let Some(next) = hops.next().and_then(|hop| address_of(hop.trim())) else { break };
        client = next;
    }
    client.to_canonical()
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|at| at.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let trusted: Vec<_> =
            ["10.0.0.0/8", "::1"].iter().filter_map(|text| Network::parse(text)).collect();
        for (peer, listed, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "192.0.2.7, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1,10.2.3.4", "198.51.100.1"),
            ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
            ("::1", "[2001:db8::5]:4711", "2001:db8::5"),
            ("::1", "[2001:db8::5]", "2001:db8::5"),
            ("::ffff:10.0.0.1", "198.51.100.1:80", "198.51.100.1"),
        ] {
            let found = client_address(peer.parse().unwrap(), listed, &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {listed}");
        }
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(client_address(peer, "198.51.100.1", &[]), peer);
    }
}
