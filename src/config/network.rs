//! Networks: addresses that begin alike (RFC 4632).

use std::net::IpAddr;

/// `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// So many of its first bits decide.
    bits: u32,
}

impl Network {
    /// Reads a network; bits behind those that decide must be zero, so that a slip of the pen is
    /// not taken for a wish.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        let network = Self { address, bits };
        let behind = number(address).checked_shl(128 - most + bits).unwrap_or(0);
        (bits <= most && behind == 0).then_some(network)
    }

    /// Is this address in it? One of IPv4 that is spelt in IPv6 is one of IPv4.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address.is_ipv4() != self.address.is_ipv4() {
            return false;
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let differs = number(address) ^ number(self.address);
        differs.checked_shr(width - self.bits).unwrap_or(0) == 0
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_addresses_that_begin_like_them() {
        let has = |network: &str, address: &str| {
            Network::parse(network).expect(network).has(address.parse().unwrap())
        };
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1/128", "::1", "::2"),
            ("::/0", "fe80::1", "127.0.0.1"),
        ] {
            assert!(has(network, inside) && !has(network, outside), "{network}");
        }
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        for wrong in ["", "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10/8", "a", "::1/+8"]
        {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
