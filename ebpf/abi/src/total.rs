//! Where the totals stand: an array, because every packet moves one of them and an array costs least.

use crate::{Direction, IpVersion, PORT_CLASSES, PortClass, Protocol};

/// Interfaces that can be counted at once, and slot 0, which no interface has.
pub const SLOTS: u32 = 33;
/// Totals of one slot: 2 directions of 32 places, of which 29 are used.
pub const TOTALS_PER_SLOT: u32 = 64;
/// All totals.
pub const TOTALS: u32 = SLOTS * TOTALS_PER_SLOT;

const PER_DIRECTION: u32 = TOTALS_PER_SLOT / 2;
/// TCP and UDP by class, ICMP, other.
const PER_VERSION: u32 = 2 * PORT_CLASSES + 2;

/// What one total of an interface is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotalKey {
    /// Which way.
    pub direction: Direction,
    /// IP version; all that is no IP shares one total.
    pub version: IpVersion,
    /// What IP carries; [`Protocol::Other`] for what is no IP.
    pub protocol: Protocol,
    /// Use of the port; [`PortClass::Other`] for all but TCP and UDP.
    pub class: PortClass,
}

impl TotalKey {
    /// Place inside the slot of the interface, below [`TOTALS_PER_SLOT`]. The class of what has no ports does not
    /// count.
    #[inline(always)]
    pub const fn place(self) -> u32 {
        let in_version = match self.protocol {
            Protocol::Tcp => self.class as u32,
            Protocol::Udp => PORT_CLASSES + self.class as u32,
            Protocol::Icmp => 2 * PORT_CLASSES,
            Protocol::Other => 2 * PORT_CLASSES + 1,
        };
        let in_direction = match self.version {
            IpVersion::V4 => in_version,
            IpVersion::V6 => PER_VERSION + in_version,
            IpVersion::None => 2 * PER_VERSION,
        };
        self.direction as u32 * PER_DIRECTION + in_direction
    }

    /// What stands at a place; none for the places that are not used.
    pub const fn at(place: u32) -> Option<Self> {
        let Some(direction) = Direction::from_number((place / PER_DIRECTION) as u8) else {
            return None;
        };
        let in_direction = place % PER_DIRECTION;
        let version = match in_direction / PER_VERSION {
            0 => IpVersion::V4,
            1 => IpVersion::V6,
            _ if in_direction == 2 * PER_VERSION => {
                let (protocol, class) = (Protocol::Other, PortClass::Other);
                return Some(Self { direction, version: IpVersion::None, protocol, class });
            }
            _ => return None,
        };
        let in_version = in_direction % PER_VERSION;
        let (protocol, class) = match in_version / PORT_CLASSES {
            0 => (Protocol::Tcp, in_version),
            1 => (Protocol::Udp, in_version - PORT_CLASSES),
            _ if in_version == 2 * PORT_CLASSES => (Protocol::Icmp, 0),
            _ => (Protocol::Other, 0),
        };
        match PortClass::from_number(class as u8) {
            Some(class) => Some(Self { direction, version, protocol, class }),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_is_used_is_used_once() {
        let used: u32 = (0..TOTALS_PER_SLOT)
            .filter_map(|place| TotalKey::at(place).map(|key| assert_eq!(key.place(), place, "{key:?}")))
            .map(|()| 1)
            .sum();
        assert_eq!(used, 2 * (2 * PER_VERSION + 1));
        assert_eq!(TotalKey::at(TOTALS_PER_SLOT), None);
        assert_eq!(TotalKey::at(u32::MAX), None);
    }

    #[test]
    fn every_combination_has_a_place_inside_the_slot() {
        for &direction in Direction::ALL {
            for &version in IpVersion::ALL {
                for &protocol in Protocol::ALL {
                    for &class in PortClass::ALL {
                        let place = TotalKey { direction, version, protocol, class }.place();
                        let back = TotalKey::at(place).expect("a place that is used");
                        assert_eq!((back.direction, back.version), (direction, version));
                    }
                }
            }
        }
    }

    #[test]
    fn the_classes_are_as_many_as_their_number_says() {
        assert_eq!(PortClass::ALL.len(), PORT_CLASSES as usize);
    }
}
