//! Packet identifiers. Zero is not one ([MQTT-2.2.1-3], [MQTT-2.2.1-4]), so the type cannot hold it.

use std::num::NonZeroU16;

/// The identifier that ties an acknowledgement to its packet; unique per direction and connection while in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The smallest identifier.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The largest identifier.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// `None` for zero.
    #[inline]
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number, 1 to 65,535.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Writes the identifier over the two bytes at `offset` of an encoded packet (see
    /// [`Delivery::encode`](crate::Delivery::encode)). Gives `false`, and changes nothing, where `bytes` is too short.
    #[inline]
    pub fn write_at(self, bytes: &mut [u8], offset: usize) -> bool {
        let Some(place) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<2>) else {
            return false;
        };
        *place = self.get().to_be_bytes();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_packet_id() {
        assert_eq!(PacketId::new(0), None);
        assert_eq!(PacketId::new(1), Some(PacketId::MIN));
        assert_eq!(PacketId::new(u16::MAX).map(PacketId::get), Some(u16::MAX));
    }

    #[test]
    fn writing_beyond_the_end_changes_nothing() {
        let mut bytes = [9, 9, 9];
        let id = PacketId::new(0x0102).expect("not zero");
        assert!(!id.write_at(&mut bytes, 2));
        assert_eq!(bytes, [9, 9, 9]);
        assert!(id.write_at(&mut bytes, 1));
        assert_eq!(bytes, [9, 1, 2]);
    }
}
