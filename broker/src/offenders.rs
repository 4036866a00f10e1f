//! Which addresses did what they must not, for whoever keeps such out. Counts; decides nothing.
//!
//! Invariant: no more than [`ADDRESSES_MAX`] addresses are known at a time; what the others do is counted together.

use std::{collections::BTreeMap, mem, net::IpAddr};

/// Addresses that are told apart between two looks.
const ADDRESSES_MAX: usize = 1024;

/// What was done since the last look. Of the broker: breaches of the protocol, that is bytes that are no MQTT, packets that MQTT
/// forbids, frames that WebSocket forbids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offenders {
    /// How many, by address; at most 1024 addresses. IPv4 addresses mapped into IPv6 are IPv4.
    pub by_address: BTreeMap<IpAddr, u64>,
    /// How many of further addresses.
    pub others: u64,
}

impl Offenders {
    /// One more by a client at `address`.
    pub fn note(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if self.by_address.len() < ADDRESSES_MAX || self.by_address.contains_key(&address) {
            *self.by_address.entry(address).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// What was noted, to begin anew.
    #[must_use]
    pub fn take(&mut self) -> Self {
        mem::take(self)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn breaches_are_counted_by_address_and_a_mapped_address_is_its_ipv4() {
        let mut offenders = Offenders::default();
        for address in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"] {
            offenders.note(address.parse().expect("an address"));
        }
        let counts: Vec<u64> = offenders.take().by_address.into_values().collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(offenders, Offenders::default());
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_those_known_go_on_being_counted() {
        let mut offenders = Offenders::default();
        let address = |number: usize| IpAddr::from(Ipv4Addr::from(number as u32));
        for number in 0..ADDRESSES_MAX + 5 {
            offenders.note(address(number));
        }
        offenders.note(address(3));
        assert_eq!((offenders.by_address.len(), offenders.others), (ADDRESSES_MAX, 5));
        assert_eq!(offenders.by_address.get(&address(3)), Some(&2));
    }
}
