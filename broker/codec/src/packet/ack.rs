//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): four packets of one form.

use crate::{
    DecodeError, EncodeError, PacketId, PacketType, ProtocolVersion, ReasonCode, UserProperties,
    property::{Properties, Property},
    reader::Reader,
    writer::{put_frame, put_with_length},
};

/// One step of the acknowledgement of a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The identifier of the PUBLISH [MQTT-2.2.1-5].
    pub packet_id: PacketId,
    /// Always success in 3.1.1.
    pub reason: ReasonCode,
    /// For people (section 3.4.2.2.2).
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// Which of the four packets an [`Ack`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// QoS 1, the only step.
    PubAck,
    /// QoS 2, first answer of the receiver.
    PubRec,
    /// QoS 2, second message of the sender.
    PubRel,
    /// QoS 2, last answer of the receiver.
    PubComp,
}

impl AckKind {
    const fn packet(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }

    const fn may_carry(self, reason: ReasonCode) -> bool {
        match self {
            // [MQTT-3.4.2-1], [MQTT-3.5.2-1]
            Self::PubAck | Self::PubRec => matches!(
                reason,
                ReasonCode::Success
                    | ReasonCode::NoMatchingSubscribers
                    | ReasonCode::UnspecifiedError
                    | ReasonCode::ImplementationSpecificError
                    | ReasonCode::NotAuthorized
                    | ReasonCode::TopicNameInvalid
                    | ReasonCode::PacketIdentifierInUse
                    | ReasonCode::QuotaExceeded
                    | ReasonCode::PayloadFormatInvalid
            ),
            // [MQTT-3.6.2-1], [MQTT-3.7.2-1]
            Self::PubRel | Self::PubComp => {
                matches!(reason, ReasonCode::Success | ReasonCode::PacketIdentifierNotFound)
            }
        }
    }
}

impl<'a> Ack<'a> {
    /// Success without properties, the usual one.
    #[inline]
    #[must_use]
    pub const fn success(packet_id: PacketId) -> Self {
        Self::with_reason(packet_id, ReasonCode::Success)
    }

    /// A reason without properties.
    #[inline]
    #[must_use]
    pub const fn with_reason(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: UserProperties::EMPTY }
    }

    #[inline]
    pub(crate) fn decode(kind: AckKind, version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = kind.packet();
        let mut reader = Reader::new(body);
        let mut ack = Self::success(reader.packet_id(packet)?);
        // Section 3.4.2.1: without a reason code it is success. In 3.1.1 nothing follows.
        if reader.is_empty() {
            return Ok(ack);
        }
        if version == ProtocolVersion::V5 {
            let code = reader.byte("reason code")?;
            let reason = ReasonCode::from_byte(code).filter(|reason| kind.may_carry(*reason));
            ack.reason = reason.ok_or(DecodeError::ReasonCode { packet, code })?;
            // Section 3.4.2.2.1: below a remaining length of 4 there is no property length.
            if !reader.is_empty() {
                ack.decode_properties(packet, reader.property_section()?)?;
            }
        }
        reader.finish(packet)?;
        Ok(ack)
    }

    fn decode_properties(&mut self, packet: PacketType, section: &'a [u8]) -> Result<(), DecodeError> {
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                Property::ReasonString(reason) => self.reason_string = Some(reason),
                Property::User(..) => self.user_properties = UserProperties::from_section(section),
                other => return Err(other.not_allowed(packet)),
            }
        }
        Ok(())
    }

    /// Appends the packet in its shortest form. In 3.1.1 the properties, and codes that are no errors, are left out.
    ///
    /// # Errors
    /// A reason code that `kind` may not carry or that 3.1.1 cannot say; a string that does not fit. `out` is then unchanged.
    #[inline]
    pub fn encode(&self, kind: AckKind, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = kind.packet();
        if !kind.may_carry(self.reason) || (version == ProtocolVersion::V311 && self.reason.is_error()) {
            return Err(EncodeError::ReasonCode { packet, reason: self.reason });
        }
        let [high, low] = self.packet_id.get().to_be_bytes();
        let has_properties = self.reason_string.is_some() || !self.user_properties.is_empty();
        if version == ProtocolVersion::V311 || (self.reason == ReasonCode::Success && !has_properties) {
            out.extend_from_slice(&[packet.first_byte(), 2, high, low]);
            return Ok(());
        }
        if !has_properties {
            out.extend_from_slice(&[packet.first_byte(), 3, high, low, self.reason.byte()]);
            return Ok(());
        }
        put_frame(out, packet.first_byte(), |out| {
            out.extend_from_slice(&[high, low, self.reason.byte()]);
            put_with_length(out, |out| {
                self.reason_string.map_or(Ok(()), |reason| Property::ReasonString(reason).put(packet, out))?;
                self.user_properties.put(packet, out)
            })
        })
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::generate as part;

    /// What `version` can say in a packet of this kind.
    pub(crate) fn ack(kind: AckKind, version: ProtocolVersion) -> impl Strategy<Value = Ack<'static>> {
        let reason = part::reason(move |reason| kind.may_carry(reason));
        let parts = (part::packet_id(), reason, option::of(part::text()), part::user_properties());
        parts.prop_map(move |(packet_id, reason, reason_string, user_properties)| match version {
            ProtocolVersion::V311 => Ack::success(packet_id),
            ProtocolVersion::V5 => Ack { packet_id, reason, reason_string, user_properties },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    const ID: PacketId = PacketId::MIN;
    const KINDS: [AckKind; 4] = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp];

    fn read(kind: AckKind, version: ProtocolVersion, body: &[u8]) -> Result<Packet<'static>, DecodeError> {
        let frame = [&[kind.packet().first_byte(), body.len() as u8][..], body].concat();
        decode(version, frame.leak())
    }

    fn wrap(kind: AckKind, ack: Ack<'static>) -> Packet<'static> {
        match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        }
    }

    #[test]
    fn the_three_lengths_of_mqtt_5_mean_the_same() {
        for kind in KINDS {
            let success = Ok(wrap(kind, Ack::success(ID)));
            for body in [&[0, 1][..], &[0, 1, 0], &[0, 1, 0, 0]] {
                assert_eq!(read(kind, ProtocolVersion::V5, body), success);
            }
            assert_eq!(read(kind, ProtocolVersion::V311, &[0, 1]), success);
            let trailing = Err(DecodeError::TrailingBytes { packet: kind.packet() });
            assert_eq!(read(kind, ProtocolVersion::V311, &[0, 1, 0]), trailing);
            assert_eq!(read(kind, ProtocolVersion::V5, &[0, 1, 0, 0, 0]), trailing);
            let zero = Err(DecodeError::PacketIdZero { packet: kind.packet() });
            assert_eq!(read(kind, ProtocolVersion::V5, &[0, 0]), zero);
            assert_eq!(
                read(kind, ProtocolVersion::V5, &[0]),
                Err(DecodeError::Truncated { field: "packet identifier" })
            );
        }
    }

    #[test]
    fn each_packet_takes_its_own_reason_codes() {
        for kind in KINDS {
            for code in 0..=u8::MAX {
                let first_two = matches!(code, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99);
                let allowed = match kind {
                    AckKind::PubAck | AckKind::PubRec => first_two, // [MQTT-3.4.2-1], [MQTT-3.5.2-1]
                    AckKind::PubRel | AckKind::PubComp => matches!(code, 0x00 | 0x92), // [MQTT-3.6.2-1], [MQTT-3.7.2-1]
                };
                let expected = match ReasonCode::from_byte(code).filter(|_| allowed) {
                    Some(reason) => Ok(wrap(kind, Ack::with_reason(ID, reason))),
                    None => Err(DecodeError::ReasonCode { packet: kind.packet(), code }),
                };
                assert_eq!(read(kind, ProtocolVersion::V5, &[0, 1, code]), expected);
            }
        }
    }

    #[test]
    fn a_reason_string_and_user_properties_are_read() {
        let body = [0, 1, 0, 11, 0x1F, 0, 1, b'r', 0x26, 0, 1, b'n', 0, 1, b'v'];
        let user_properties = UserProperties::from_pairs(&[("n", "v")]);
        let ack = Ack { reason_string: Some("r"), user_properties, ..Ack::success(ID) };
        assert_eq!(read(AckKind::PubRec, ProtocolVersion::V5, &body), Ok(wrap(AckKind::PubRec, ack)));
        let repeated = [0, 1, 0, 6, 0x1F, 0, 0, 0x1F, 0, 0];
        assert_eq!(
            read(AckKind::PubAck, ProtocolVersion::V5, &repeated),
            Err(DecodeError::PropertyRepeated { id: 0x1F })
        );
        let foreign = Err(DecodeError::PropertyNotAllowed { packet: PacketType::PubAck, id: 0x01 });
        assert_eq!(read(AckKind::PubAck, ProtocolVersion::V5, &[0, 1, 0, 2, 0x01, 0]), foreign);
    }

    #[test]
    fn the_shortest_form_is_written() {
        let bytes = |ack: Ack<'_>, version| {
            let mut out = Vec::new();
            ack.encode(AckKind::PubRel, version, &mut out).map(|()| out)
        };
        let missing = Ack::with_reason(ID, ReasonCode::PacketIdentifierNotFound);
        assert_eq!(bytes(Ack::success(ID), ProtocolVersion::V5), Ok(vec![0x62, 2, 0, 1]));
        assert_eq!(bytes(missing, ProtocolVersion::V5), Ok(vec![0x62, 3, 0, 1, 0x92]));
        let refused = |reason| Err(EncodeError::ReasonCode { packet: PacketType::PubRel, reason });
        assert_eq!(bytes(missing, ProtocolVersion::V311), refused(ReasonCode::PacketIdentifierNotFound));
        let foreign = Ack::with_reason(ID, ReasonCode::QuotaExceeded);
        assert_eq!(bytes(foreign, ProtocolVersion::V5), refused(ReasonCode::QuotaExceeded));

        let unheard = Ack::with_reason(ID, ReasonCode::NoMatchingSubscribers);
        let mut out = Vec::new();
        unheard.encode(AckKind::PubAck, ProtocolVersion::V311, &mut out).expect("no error, so 3.1.1 can leave it out");
        assert_eq!(out, [0x40, 2, 0, 1]);
    }
}
