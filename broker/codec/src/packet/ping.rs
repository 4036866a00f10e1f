//! PINGREQ and PINGRESP (sections 3.12 and 3.13): two packets that are nothing but their fixed header.

use crate::{DecodeError, PacketType};

/// Neither has a body, in both versions.
pub(super) const fn check_body(packet: PacketType, body: &[u8]) -> Result<(), DecodeError> {
    if body.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes { packet }) }
}

/// The two bytes of either packet.
pub(super) const fn encoded(packet: PacketType) -> [u8; 2] {
    [packet.first_byte(), 0]
}

#[cfg(test)]
mod tests {
    use crate::{DecodeError, Packet, PacketType, ProtocolVersion, decode};

    #[test]
    fn pings_have_no_body() {
        for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
            assert_eq!(decode(version, &[0xC0, 0]), Ok(Packet::PingReq));
            assert_eq!(decode(version, &[0xD0, 0]), Ok(Packet::PingResp));
            let trailing = Err(DecodeError::TrailingBytes { packet: PacketType::PingReq });
            assert_eq!(decode(version, &[0xC0, 1, 0]), trailing);
        }
    }
}
