//! Where connections come from, as far as limits tell origins apart.

use std::net::{IpAddr, Ipv6Addr};

/// One address of IPv4, or one /64 of IPv6: a subscriber line gets at least that many addresses, so telling them apart
/// would limit nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    V4(u32),
    V6Network(u64),
}

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6Network((address.to_bits() >> (Ipv6Addr::BITS / 2)) as u64),
        }
    }
}
