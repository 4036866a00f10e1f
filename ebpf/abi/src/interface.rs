//! What the programs have to know of an interface.

/// Records of interfaces; more than [`crate::SLOTS`], because the place of a record follows from the interface's index.
pub const INTERFACE_RECORDS: u32 = 4096;

/// Where the record of an interface stands. Two indexes that are 4,096 apart share a place: the second one is refused.
#[inline(always)]
pub const fn interface_place(index: u32) -> u32 {
    index & (INTERFACE_RECORDS - 1)
}

/// One interface that is counted.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceRecord {
    /// Its index; a record with another index is not about this interface.
    pub index: u32,
    /// Slot of its totals, below [`crate::SLOTS`]; 0 is nobody's.
    pub slot: u16,
    /// Bits, see the constants.
    pub flags: u16,
}

impl InterfaceRecord {
    /// Packets begin with the IP header: tunnels, PPP, raw mobile modems.
    pub const NO_LINK_HEADER: u16 = 1;
    /// The guard judges what comes in at the tc hook.
    pub const GUARD_AT_TC: u16 = 1 << 1;
    /// The guard judges what comes in at the XDP hook.
    pub const GUARD_AT_XDP: u16 = 1 << 2;
    /// The guard counts what it would drop, and drops nothing.
    pub const GUARD_DRY_RUN: u16 = 1 << 3;
    /// The deny list is not empty.
    pub const GUARD_DENIES: u16 = 1 << 4;
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, size_of};

    #[test]
    fn the_record_is_8_bytes() {
        assert_eq!((size_of::<InterfaceRecord>(), align_of::<InterfaceRecord>()), (8, 4));
    }

    #[test]
    fn every_index_has_a_place_among_the_records() {
        for index in [0, 1, 4095, 4096, u32::MAX] {
            assert!(interface_place(index) < INTERFACE_RECORDS);
        }
        assert_eq!(interface_place(7), interface_place(7 + INTERFACE_RECORDS));
    }
}
