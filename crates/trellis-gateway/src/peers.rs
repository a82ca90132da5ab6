//! Address ranges of peers whose forwarding headers are believed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses, written as `10.0.0.0/8` or as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRange {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither an address nor a range such as `10.0.0.0/8`")]
pub struct PeerRangeError {
    /// The text as it was given.
    pub text: String,
}

impl PeerRange {
    /// Tells whether `peer` is in the range. An IPv4 peer of a dual-stack socket counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address.to_canonical(), peer.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(peer)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                let kept = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                kept(range.to_bits()) == kept(peer.to_bits())
            }
            (IpAddr::V6(range), IpAddr::V6(peer)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                let kept = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                kept(range.to_bits()) == kept(peer.to_bits())
            }
            _ => false,
        }
    }
}

impl FromStr for PeerRange {
    type Err = PeerRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PeerRangeError {
            text: text.to_owned(),
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| error())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits || address.to_canonical() != address {
            return Err(error());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for PeerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, peer: &str, expected: bool) {
        let range: PeerRange = range.parse().expect("a range");
        let peer: IpAddr = peer.parse().expect("an address");
        assert_eq!(range.contains(peer), expected, "{range} contains {peer}");
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        check("10.0.0.0/8", "10.200.3.4", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("127.0.0.1", "::ffff:127.0.0.1", true);
        check("fd00::/8", "fd12::1", true);
        check("::/0", "10.0.0.1", false);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "::ffff:10.0.0.0/104",
            "10/8",
        ] {
            assert!(text.parse::<PeerRange>().is_err(), "{text:?} was taken");
        }
    }
}
