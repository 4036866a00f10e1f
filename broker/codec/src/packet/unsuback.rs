//! UNSUBACK (section 3.11).

use super::suback::{decode_reason_properties, put_reason_properties};
use crate::{
    DecodeError, EncodeError, PacketId, PacketType, ProtocolVersion, ReasonCode, ReasonCodes, UserProperties,
    reader::Reader,
    writer::{put_frame, put_with_length},
};

/// The answer to UNSUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The identifier of the UNSUBSCRIBE [MQTT-2.2.1-6].
    pub packet_id: PacketId,
    /// For people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// One code per topic filter, in their order [MQTT-3.11.3-1]; none in 3.1.1.
    pub reasons: ReasonCodes<'a>,
}

/// [MQTT-3.11.3-2]
const ALLOWED: [ReasonCode; 7] = [
    ReasonCode::Success,
    ReasonCode::NoSubscriptionExisted,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
];

impl<'a> UnsubAck<'a> {
    #[inline(never)]
    pub(crate) fn decode(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::UnsubAck;
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(packet)?;
        if version == ProtocolVersion::V311 {
            reader.finish(packet)?;
            return Ok(Self {
                packet_id,
                reason_string: None,
                user_properties: UserProperties::EMPTY,
                reasons: ReasonCodes::EMPTY,
            });
        }
        let (reason_string, user_properties) = decode_reason_properties(packet, reader.property_section()?)?;
        if reader.is_empty() {
            return Err(DecodeError::PayloadEmpty { packet });
        }
        let reasons = ReasonCodes::from_payload(reader.rest(), &ALLOWED)
            .map_err(|code| DecodeError::ReasonCode { packet, code })?;
        Ok(Self { packet_id, reason_string, user_properties, reasons })
    }

    /// Appends the packet. In 3.1.1 it is the packet identifier alone.
    ///
    /// # Errors
    /// No reason code, one that UNSUBACK does not know, or a string that does not fit; `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::UnsubAck;
        let [high, low] = self.packet_id.get().to_be_bytes();
        if version == ProtocolVersion::V311 {
            out.extend_from_slice(&[packet.first_byte(), 2, high, low]);
            return Ok(());
        }
        if self.reasons.is_empty() {
            return Err(EncodeError::FieldValue { packet, field: "payload without reason codes" });
        }
        put_frame(out, packet.first_byte(), |out| {
            out.extend_from_slice(&[high, low]);
            put_with_length(out, |out| put_reason_properties(packet, self.reason_string, self.user_properties, out))?;
            for reason in self.reasons.iter() {
                if !ALLOWED.contains(&reason) {
                    return Err(EncodeError::ReasonCode { packet, reason });
                }
                out.push(reason.byte());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::generate as part;

    /// What `version` can say.
    pub(crate) fn unsuback(version: ProtocolVersion) -> impl Strategy<Value = UnsubAck<'static>> {
        let reasons = part::reasons(|reason| ALLOWED.contains(&reason));
        let parts = (part::packet_id(), option::of(part::text()), part::user_properties(), reasons);
        parts.prop_map(move |(packet_id, reason_string, user_properties, reasons)| match version {
            ProtocolVersion::V311 => UnsubAck {
                packet_id,
                reason_string: None,
                user_properties: UserProperties::EMPTY,
                reasons: ReasonCodes::EMPTY,
            },
            ProtocolVersion::V5 => UnsubAck { packet_id, reason_string, user_properties, reasons: reasons.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    fn read(version: ProtocolVersion, frame: &[u8]) -> Result<Vec<ReasonCode>, DecodeError> {
        match decode(version, frame)? {
            Packet::UnsubAck(unsuback) => Ok(unsuback.reasons.iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_mqtt_5_has_codes() {
        let packet = PacketType::UnsubAck;
        assert_eq!(read(ProtocolVersion::V311, &[0xB0, 2, 0, 1]), Ok(vec![]));
        assert_eq!(read(ProtocolVersion::V311, &[0xB0, 3, 0, 1, 0]), Err(DecodeError::TrailingBytes { packet }));
        let codes = vec![ReasonCode::NoSubscriptionExisted, ReasonCode::Success];
        assert_eq!(read(ProtocolVersion::V5, &[0xB0, 5, 0, 1, 0, 0x11, 0]), Ok(codes)); // [MQTT-3.11.3-1]
        assert_eq!(read(ProtocolVersion::V5, &[0xB0, 3, 0, 1, 0]), Err(DecodeError::PayloadEmpty { packet }));
        for code in 0..=u8::MAX {
            let allowed = matches!(code, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91); // [MQTT-3.11.3-2]
            assert_eq!(read(ProtocolVersion::V5, &[0xB0, 4, 0, 1, 0, code]).is_ok(), allowed, "{code:#04x}");
        }
    }

    #[test]
    fn three_1_1_leaves_codes_out() {
        let unsuback = UnsubAck {
            packet_id: PacketId::MIN,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: [ReasonCode::NotAuthorized][..].into(),
        };
        let mut out = Vec::new();
        unsuback.encode(ProtocolVersion::V311, &mut out).expect("valid");
        assert_eq!(out, [0xB0, 2, 0, 1]);
        let wrong = UnsubAck { reasons: [ReasonCode::GrantedQoS1][..].into(), ..unsuback };
        assert!(matches!(wrong.encode(ProtocolVersion::V5, &mut out), Err(EncodeError::ReasonCode { .. })));
        let empty = UnsubAck { reasons: ReasonCodes::EMPTY, ..unsuback };
        assert!(matches!(empty.encode(ProtocolVersion::V5, &mut out), Err(EncodeError::FieldValue { .. })));
        assert_eq!(out.len(), 4);
    }
}
