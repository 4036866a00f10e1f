//! What each port is used for, packed: without CAP_PERFMON a program may not pick a byte inside a value by a number
//! from a packet, but it may pick a value of an array and shift it.

use crate::PortClass;

/// Groups that hold all ports.
pub const PORT_GROUPS: u32 = 65_536 / PORTS_PER_GROUP as u32;

const PORTS_PER_GROUP: u16 = 16;
const BITS: u16 = 4;

/// Classes of 16 ports that follow one another, 4 bits each, the lowest port in the lowest bits.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortGroup(pub u64);

impl PortGroup {
    /// Where the group of a port stands in the array, below [`PORT_GROUPS`].
    #[inline(always)]
    pub const fn place(port: u16) -> u32 {
        (port / PORTS_PER_GROUP) as u32
    }

    /// Number of the class of a port of this group.
    #[inline(always)]
    pub const fn class_number(self, port: u16) -> u8 {
        (self.0 >> (port % PORTS_PER_GROUP * BITS)) as u8 & 0x0f
    }

    /// The group with another class for one of its ports.
    pub const fn with(self, port: u16, class: PortClass) -> Self {
        let shift = port % PORTS_PER_GROUP * BITS;
        Self(self.0 & !(0x0f << shift) | (class as u64) << shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_gets_its_class_and_its_neighbours_keep_theirs() {
        for port in [0, 15, 16, 1883, 65_535] {
            let before = PortGroup(0x1111_1111_1111_1111);
            let after = before.with(port, PortClass::Dns);
            for other in (0..16).map(|low| port & !15 | low) {
                let expected = if other == port { PortClass::Dns } else { PortClass::Mqtt };
                assert_eq!(after.class_number(other), expected as u8, "{port} {other}");
            }
        }
    }

    #[test]
    fn every_port_has_a_group() {
        assert_eq!(PortGroup::place(0), 0);
        assert_eq!(PortGroup::place(u16::MAX), PORT_GROUPS - 1);
    }

    #[test]
    fn every_class_fits() {
        for &class in PortClass::ALL {
            assert_eq!(PortGroup::default().with(7, class).class_number(7), class as u8);
        }
    }
}
