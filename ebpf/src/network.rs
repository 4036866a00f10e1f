//! Networks, as the allow list has them: an address and the length of its prefix.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use selvedge_ebpf_abi::{NetworkKey, Peer};
use serde::{Deserialize, Serialize};

/// A network: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// What is wrong with a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address before the slash.
    #[error("{0:?} is no address and no network; write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
    Address(String),
    /// The length is no number, or too large.
    #[error("the prefix of {0:?} is no number from 0 to {1}")]
    Prefix(String, u8),
    /// Bits behind the prefix are set: probably a mistake.
    #[error("{0} has bits set behind its prefix; did you mean {1}?")]
    HostBits(String, Network),
}

impl Network {
    /// The network with one address in it.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// Whether the address lies in it. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && masked(address, self.bits) == self.address
    }

    /// As the kernel wants it.
    pub fn key(&self) -> NetworkKey {
        let before = 128 - width(self.address);
        NetworkKey { prefix_bits: u32::from(before + self.bits), address: peer_of(self.address) }
    }
}

/// An address as the records of the kernel keep it.
pub fn peer_of(address: IpAddr) -> Peer {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Peer::from_bytes(address.octets())
}

/// The address that a record of the kernel keeps.
pub fn peer_address(peer: Peer) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(peer.bytes())).to_canonical()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address(text.to_owned()))?;
        let Some(prefix) = prefix else {
            return Ok(Self::of(address));
        };
        let width = width(address);
        let bits = prefix.parse::<u8>().ok().filter(|bits| *bits <= width && !prefix.starts_with('+'));
        let Some(bits) = bits else {
            return Err(NetworkError::Prefix(text.to_owned(), width));
        };
        let network = Self { address: masked(address, bits), bits };
        if network.address != address {
            return Err(NetworkError::HostBits(text.to_owned(), network));
        }
        Ok(network)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_its_own_addresses_and_no_others() {
        assert!(network("192.0.2.0/24").contains(address("192.0.2.255")));
        assert!(!network("192.0.2.0/24").contains(address("192.0.3.0")));
        assert!(network("0.0.0.0/0").contains(address("8.8.8.8")) && !network("0.0.0.0/0").contains(address("::1")));
        assert!(network("2001:db8::/32").contains(address("2001:db8:ffff::1")));
        assert!(!network("::/0").contains(address("8.8.8.8")));
        assert!(network("192.0.2.7").contains(address("::ffff:192.0.2.7")));
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        assert!(matches!("192.0.2/24".parse::<Network>(), Err(NetworkError::Address(_))));
        for text in ["192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "::/129", "192.0.2.0/-1"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Prefix(..))), "{text}");
        }
        let error = "192.0.2.7/24".parse::<Network>().unwrap_err();
        assert!(error.to_string().ends_with("did you mean 192.0.2.0/24?"), "{error}");
    }

    #[test]
    fn the_key_of_an_ipv4_network_lies_in_the_mapped_addresses() {
        let key = |text| {
            let NetworkKey { prefix_bits, address } = network(text).key();
            (prefix_bits, address)
        };
        assert_eq!(key("192.0.2.0/24").0, 96 + 24);
        assert_eq!(key("2001:db8::/32").0, 32);
        assert_eq!(key("192.0.2.7"), (128, peer_of(address("192.0.2.7"))));
    }

    proptest! {
        #[test]
        fn an_address_comes_back_from_the_kernel_as_it_went(address: IpAddr) {
            prop_assert_eq!(peer_address(peer_of(address)), address.to_canonical());
        }

        #[test]
        fn a_network_is_written_as_it_is_read(address: IpAddr, bits in 0_u8..=128) {
            let address = address.to_canonical();
            let bits = bits.min(width(address));
            let network = Network { address: masked(address, bits), bits };
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            prop_assert!(network.contains(address));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Network>();
        }
    }
}
