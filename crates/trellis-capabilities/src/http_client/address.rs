//! Tells public addresses from those that only mean something inside a network or machine.
//!
//! Source: the IANA special-purpose address registries for IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// The Internet.
    Public,
    /// A private network: RFC 1918, shared (100.64.0.0/10) and unique local IPv6 addresses.
    Private,
    /// This machine.
    Loopback,
    /// Nothing that a component is meant to reach: link-local (where clouds serve credentials),
    /// multicast, unspecified, broadcast, documentation, reserved.
    Restricted,
}

impl AddressKind {
    /// Returns the word for it that messages use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::Restricted => "restricted",
        }
    }

    /// Tells what `address` can reach; IPv4 in IPv6 clothes counts as what it carries.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [192, 168, ..] => Self::Private,
            [172, second, ..] if second & 0xf0 == 16 => Self::Private,
            [100, second, ..] if second & 0xc0 == 64 => Self::Private,
            // This network, link-local, protocol assignments, the 6to4 relay, benchmarks,
            // documentation, multicast, reserved and broadcast.
            [0, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => Self::Restricted,
            [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Restricted,
            [224..=255, ..] => Self::Restricted,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        match segments {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // Mapped addresses are IPv4 to every system.
            [0, 0, 0, 0, 0, 0xffff, high, low] => Self::of_v4(embedded(high, low)),
            // Translated by NAT64 and 6to4, which must not lead back inside.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                match Self::of_v4(embedded(high, low)) {
                    Self::Public => Self::Public,
                    _ => Self::Restricted,
                }
            }
            [first, ..] if first & 0xfe00 == 0xfc00 => Self::Private,
            // Protocol assignments (Teredo among them) and documentation.
            [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => Self::Restricted,
            [0x3fff, second, ..] if second < 0x1000 => Self::Restricted,
            // The only range from which public addresses were ever given out.
            [first, ..] if first & 0xe000 == 0x2000 => Self::Public,
            _ => Self::Restricted,
        }
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: AddressKind, addresses: &[&str]) {
        for text in addresses {
            let address = text.parse().expect("an address");
            assert_eq!(AddressKind::of(address), kind, "{text}");
        }
    }

    #[test]
    fn addresses_are_told_apart() {
        check(
            AddressKind::Public,
            &["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1"],
        );
        check(
            AddressKind::Public,
            &["192.167.0.1", "2606:4700::1111", "::ffff:8.8.8.8"],
        );
        check(
            AddressKind::Public,
            &["64:ff9b::808:808", "2002:808:808::1"],
        );
        check(
            AddressKind::Private,
            &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
        );
        check(
            AddressKind::Private,
            &["100.64.0.1", "100.127.255.255", "fc00::1", "fd12::1"],
        );
        check(AddressKind::Private, &["::ffff:10.0.0.1"]);
        check(
            AddressKind::Loopback,
            &["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"],
        );
        check(
            AddressKind::Restricted,
            &["0.0.0.0", "0.1.2.3", "169.254.169.254", "192.0.0.170"],
        );
        check(
            AddressKind::Restricted,
            &["192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7"],
        );
        check(
            AddressKind::Restricted,
            &["224.0.0.1", "240.0.0.1", "255.255.255.255", "::"],
        );
        check(
            AddressKind::Restricted,
            &["fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "2001::1"],
        );
        check(
            AddressKind::Restricted,
            &["::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"],
        );
        check(
            AddressKind::Restricted,
            &["64:ff9b:1::1", "100::1", "::ffff:169.254.169.254"],
        );
    }
}
