//! SUBACK (section 3.9).

use crate::{
    DecodeError, EncodeError, PacketId, PacketType, ProtocolVersion, ReasonCode, ReasonCodes, UserProperties,
    property::{Properties, Property},
    reader::Reader,
    writer::{put_frame, put_with_length},
};

/// The answer to SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The identifier of the SUBSCRIBE [MQTT-2.2.1-6].
    pub packet_id: PacketId,
    /// For people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// One code per topic filter, in their order [MQTT-3.9.3-1].
    pub reasons: ReasonCodes<'a>,
}

/// 3.1.1, section 3.9.3: granted QoS or 0x80.
const ALLOWED_IN_3_1_1: [ReasonCode; 4] =
    [ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError];

/// [MQTT-3.9.3-2]
const ALLOWED: [ReasonCode; 12] = [
    ReasonCode::Success,
    ReasonCode::GrantedQoS1,
    ReasonCode::GrantedQoS2,
    ReasonCode::UnspecifiedError,
    ReasonCode::ImplementationSpecificError,
    ReasonCode::NotAuthorized,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::PacketIdentifierInUse,
    ReasonCode::QuotaExceeded,
    ReasonCode::SharedSubscriptionsNotSupported,
    ReasonCode::SubscriptionIdentifiersNotSupported,
    ReasonCode::WildcardSubscriptionsNotSupported,
];

impl<'a> SubAck<'a> {
    #[inline(never)]
    pub(crate) fn decode(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::SubAck;
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(packet)?;
        let (reason_string, user_properties) = match version {
            ProtocolVersion::V311 => Default::default(),
            ProtocolVersion::V5 => decode_reason_properties(packet, reader.property_section()?)?,
        };
        let allowed = match version {
            ProtocolVersion::V311 => &ALLOWED_IN_3_1_1[..],
            ProtocolVersion::V5 => &ALLOWED[..],
        };
        if reader.is_empty() {
            return Err(DecodeError::PayloadEmpty { packet });
        }
        let reasons = ReasonCodes::from_payload(reader.rest(), allowed)
            .map_err(|code| DecodeError::ReasonCode { packet, code })?;
        Ok(Self { packet_id, reason_string, user_properties, reasons })
    }

    /// Appends the packet. In 3.1.1 every error becomes 0x80 and the properties are left out.
    ///
    /// # Errors
    /// No reason code, one that SUBACK does not know, or a string that does not fit; `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::SubAck;
        if self.reasons.is_empty() {
            return Err(EncodeError::FieldValue { packet, field: "payload without reason codes" });
        }
        put_frame(out, packet.first_byte(), |out| {
            out.extend_from_slice(&self.packet_id.get().to_be_bytes());
            if version == ProtocolVersion::V5 {
                put_with_length(out, |out| {
                    put_reason_properties(packet, self.reason_string, self.user_properties, out)
                })?;
            }
            for reason in self.reasons.iter() {
                if !ALLOWED.contains(&reason) {
                    return Err(EncodeError::ReasonCode { packet, reason });
                }
                let in_3_1_1 = version == ProtocolVersion::V311;
                out.push(if in_3_1_1 && reason.is_error() {
                    ReasonCode::UnspecifiedError.byte()
                } else {
                    reason.byte()
                });
            }
            Ok(())
        })
    }
}

/// The properties of SUBACK and UNSUBACK: a reason string and user properties.
pub(super) fn decode_reason_properties(
    packet: PacketType,
    section: &[u8],
) -> Result<(Option<&str>, UserProperties<'_>), DecodeError> {
    let mut reason_string = None;
    let mut user_properties = UserProperties::EMPTY;
    let mut properties = Properties::new(section);
    while let Some(property) = properties.next()? {
        match property {
            Property::ReasonString(reason) => reason_string = Some(reason),
            Property::User(..) => user_properties = UserProperties::from_section(section),
            other => return Err(other.not_allowed(packet)),
        }
    }
    Ok((reason_string, user_properties))
}

pub(super) fn put_reason_properties(
    packet: PacketType,
    reason_string: Option<&str>,
    user_properties: UserProperties<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    reason_string.map_or(Ok(()), |reason| Property::ReasonString(reason).put(packet, out))?;
    user_properties.put(packet, out)
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::generate as part;

    /// What `version` can say.
    pub(crate) fn suback(version: ProtocolVersion) -> impl Strategy<Value = SubAck<'static>> {
        let allowed = match version {
            ProtocolVersion::V311 => &ALLOWED_IN_3_1_1[..],
            ProtocolVersion::V5 => &ALLOWED[..],
        };
        let reasons = part::reasons(|reason| allowed.contains(&reason));
        let parts = (part::packet_id(), option::of(part::text()), part::user_properties(), reasons);
        parts.prop_map(move |(packet_id, reason_string, user_properties, reasons)| {
            let reasons = reasons.into();
            match version {
                ProtocolVersion::V311 => {
                    SubAck { packet_id, reason_string: None, user_properties: UserProperties::EMPTY, reasons }
                }
                ProtocolVersion::V5 => SubAck { packet_id, reason_string, user_properties, reasons },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    fn read(version: ProtocolVersion, frame: &[u8]) -> Result<Vec<ReasonCode>, DecodeError> {
        match decode(version, frame)? {
            Packet::SubAck(suback) => Ok(suback.reasons.iter().collect()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_keep_their_order() {
        let codes = vec![ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError, ReasonCode::Success];
        assert_eq!(read(ProtocolVersion::V311, &[0x90, 5, 0, 1, 2, 0x80, 0]), Ok(codes.clone())); // [MQTT-3.9.3-1]
        assert_eq!(read(ProtocolVersion::V5, &[0x90, 6, 0, 1, 0, 2, 0x80, 0]), Ok(codes));
    }

    #[test]
    fn each_version_has_its_codes() {
        let packet = PacketType::SubAck;
        for code in 0..=u8::MAX {
            let in_3_1_1 = read(ProtocolVersion::V311, &[0x90, 3, 0, 1, code]);
            assert_eq!(in_3_1_1.is_ok(), matches!(code, 0 | 1 | 2 | 0x80), "{code:#04x}");
            let in_5 = read(ProtocolVersion::V5, &[0x90, 4, 0, 1, 0, code]);
            let allowed = matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2); // [MQTT-3.9.3-2]
            assert_eq!(in_5.is_ok(), allowed, "{code:#04x}");
            if !allowed {
                assert_eq!(in_5, Err(DecodeError::ReasonCode { packet, code }));
            }
        }
        assert_eq!(read(ProtocolVersion::V311, &[0x90, 2, 0, 1]), Err(DecodeError::PayloadEmpty { packet }));
        assert_eq!(read(ProtocolVersion::V5, &[0x90, 3, 0, 1, 0]), Err(DecodeError::PayloadEmpty { packet }));
    }

    #[test]
    fn every_error_is_0x80_in_3_1_1() {
        let reasons = [ReasonCode::NotAuthorized, ReasonCode::GrantedQoS1];
        let suback = SubAck {
            packet_id: PacketId::MIN,
            reason_string: Some("left out"),
            user_properties: UserProperties::EMPTY,
            reasons: reasons[..].into(),
        };
        let mut out = Vec::new();
        suback.encode(ProtocolVersion::V311, &mut out).expect("valid");
        assert_eq!(out, [0x90, 4, 0, 1, 0x80, 1]);
        let wrong = SubAck { reasons: [ReasonCode::Banned][..].into(), ..suback };
        assert!(matches!(wrong.encode(ProtocolVersion::V5, &mut out), Err(EncodeError::ReasonCode { .. })));
        let empty = SubAck { reasons: ReasonCodes::EMPTY, ..suback };
        assert!(matches!(empty.encode(ProtocolVersion::V5, &mut out), Err(EncodeError::FieldValue { .. })));
        assert_eq!(out.len(), 6);
    }
}
