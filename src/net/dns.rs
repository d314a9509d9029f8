//! Name look-up. It blocks, so it runs on the control thread or a helper of it, never on a core:
//! with a dead name server one look-up stalls for seconds.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// A literal address needs no look-up.
pub fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
}

/// Every address of `host`, without doubles, in the resolver's order. Blocks.
///
/// # Errors
/// The resolver's reason, or `NotFound` when it knows no address.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = literal(host, port) {
        return Ok(vec![address]);
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_taken_as_they_are() {
        assert_eq!(literal("127.0.0.1", 80), Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(literal("[::1]", 80), Some("[::1]:80".parse().unwrap()));
        assert_eq!(literal("example.com", 80), None);
    }

    #[test]
    fn the_loopback_name_resolves_without_doubles() {
        let found = resolve("localhost", 4000).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        let mut single = found.clone();
        single.dedup();
        assert_eq!(single, found);
    }
}
