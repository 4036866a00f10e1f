//! Whom packets are counted for: key of the map of flows.

use crate::{Direction, IpVersion, PortClass, Protocol};

/// One peer on one interface in one direction for one use.
///
/// 24 bytes in three words, because the kernel hashes and compares it for every packet, and a processor waits when it
/// reads a word that was just written in pieces.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Source of what comes in, destination of what goes out.
    pub peer: Peer,
    /// All else.
    pub details: FlowDetails,
}

/// An address in network byte order; IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub [u64; 2]);

/// From the lowest bits: index of the interface (32), port of the peer (16), [`FlowShape`] (8), number of the
/// [`Protocol`] (8).
///
/// The port is there for TCP to a port of an MQTT class on this machine, so that the flow can be joined with a client.
/// It is 0 otherwise, and for SYNs: a flood of attempts from many ports is one flow.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowDetails(pub u64);

/// Direction (bit 0), IP version (bit 1) and port class (bits 2 to 4) of a flow.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowShape(pub u8);

impl Peer {
    /// From the bytes of an IPv6 address.
    #[inline(always)]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self([u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])])
    }

    /// From an IPv4 address whose bytes are in memory in the order of the network.
    #[inline(always)]
    pub const fn from_ipv4(address: u32) -> Self {
        let [a, b, c, d] = address.to_ne_bytes();
        Self([0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])])
    }

    /// The bytes of the IPv6 address.
    pub const fn bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = self.0[0].to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.0[1].to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// 127.0.0.0/8 or ::1.
    #[inline(always)]
    pub const fn is_loopback(self) -> bool {
        let [high, low] = self.0;
        let low = u64::from_be(low);
        high == 0 && (low == 1 || low >> 24 == 0x00ff_ff7f)
    }
}

impl FlowDetails {
    /// Packs them.
    #[inline(always)]
    pub const fn new(interface: u32, peer_port: u16, shape: FlowShape, protocol: Protocol) -> Self {
        Self(interface as u64 | (peer_port as u64) << 32 | (shape.0 as u64) << 48 | (protocol as u64) << 56)
    }

    /// Index of the interface.
    pub const fn interface(self) -> u32 {
        self.0 as u32
    }

    /// Port of the peer, or 0.
    pub const fn peer_port(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// The same without interface and port.
    #[must_use]
    pub const fn kind(self) -> Self {
        Self(self.0 >> 48 << 48)
    }

    /// Direction, version and class.
    pub const fn shape(self) -> FlowShape {
        FlowShape((self.0 >> 48) as u8)
    }

    /// Which protocol; none for a number that no program of ours writes.
    pub const fn protocol(self) -> Option<Protocol> {
        Protocol::from_number((self.0 >> 56) as u8)
    }
}

impl FlowShape {
    /// Packs the three. Only IP packets have flows; anything but version 6 is taken for 4.
    #[inline(always)]
    pub const fn new(direction: Direction, version: IpVersion, class: PortClass) -> Self {
        let version = if matches!(version, IpVersion::V6) { 1 } else { 0 };
        Self(direction as u8 | version << 1 | (class as u8) << 2)
    }

    /// Which way.
    pub const fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::In } else { Direction::Out }
    }

    /// Which version.
    pub const fn version(self) -> IpVersion {
        if self.0 & 2 == 0 { IpVersion::V4 } else { IpVersion::V6 }
    }

    /// Which use; none for a number that no program of ours writes.
    pub const fn class(self) -> Option<PortClass> {
        PortClass::from_number(self.0 >> 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn the_key_is_24_bytes_without_padding() {
        assert_eq!((size_of::<FlowKey>(), align_of::<FlowKey>()), (24, 8));
        assert_eq!(offset_of!(FlowKey, details), 16);
    }

    #[test]
    fn every_shape_comes_back_as_it_was_packed() {
        for &direction in Direction::ALL {
            for version in [IpVersion::V4, IpVersion::V6] {
                for &class in PortClass::ALL {
                    let shape = FlowShape::new(direction, version, class);
                    assert_eq!((shape.direction(), shape.version(), shape.class()), (direction, version, Some(class)));
                }
            }
        }
        assert_eq!(FlowShape(0xff).class(), None);
    }

    #[test]
    fn details_come_back_as_they_were_packed() {
        for &protocol in Protocol::ALL {
            for (interface, port, shape) in [(0, 0, 0), (u32::MAX, u16::MAX, 0xff), (7, 1883, 5)] {
                let details = FlowDetails::new(interface, port, FlowShape(shape), protocol);
                assert_eq!((details.interface(), details.peer_port()), (interface, port));
                assert_eq!((details.shape(), details.protocol()), (FlowShape(shape), Some(protocol)));
            }
        }
        assert_eq!(FlowDetails(u64::MAX).protocol(), None);
    }

    #[test]
    fn an_address_keeps_the_order_of_its_bytes() {
        let bytes = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 7];
        assert_eq!(Peer::from_bytes(bytes).bytes(), bytes);
        let mapped = Peer::from_ipv4(u32::from_ne_bytes([192, 0, 2, 7])).bytes();
        assert_eq!(mapped, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]);
    }

    #[test]
    fn addresses_of_this_machine_to_itself_are_known() {
        let v4 = |bytes| Peer::from_ipv4(u32::from_ne_bytes(bytes)).is_loopback();
        assert!(v4([127, 0, 0, 1]) && v4([127, 255, 255, 255]));
        assert!(!v4([126, 255, 255, 255]) && !v4([128, 0, 0, 0]));
        let mut bytes = [0; 16];
        bytes[15] = 1;
        assert!(Peer::from_bytes(bytes).is_loopback());
        bytes[15] = 2;
        assert!(!Peer::from_bytes(bytes).is_loopback());
        bytes[0] = 1;
        bytes[15] = 1;
        assert!(!Peer::from_bytes(bytes).is_loopback());
    }
}
