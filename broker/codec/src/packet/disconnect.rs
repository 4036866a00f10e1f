//! DISCONNECT (section 3.14): the last packet of a connection, in MQTT 5 from either side.

use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, ReasonCode, UserProperties,
    property::{Properties, Property},
    reader::Reader,
    writer::{put_frame, put_with_length},
};

/// The end of a connection. In 3.1.1 only a client sends it, and it says nothing more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; success means normal disconnection.
    pub reason: ReasonCode,
    /// New session expiry interval in seconds; never sent by a server [MQTT-3.14.2-2].
    pub session_expiry_s: Option<u32>,
    /// For people.
    pub reason_string: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// [MQTT-3.14.2-1], and 0x8C, which table 2-6 assigns to DISCONNECT too and a failed re-authentication needs
/// ([MQTT-4.12.1-2]).
const fn may_carry(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::Success
            | ReasonCode::DisconnectWithWill
            | ReasonCode::UnspecifiedError
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::NotAuthorized
            | ReasonCode::ServerBusy
            | ReasonCode::ServerShuttingDown
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::KeepAliveTimeout
            | ReasonCode::SessionTakenOver
            | ReasonCode::TopicFilterInvalid
            | ReasonCode::TopicNameInvalid
            | ReasonCode::ReceiveMaximumExceeded
            | ReasonCode::TopicAliasInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::MessageRateTooHigh
            | ReasonCode::QuotaExceeded
            | ReasonCode::AdministrativeAction
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QoSNotSupported
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::SharedSubscriptionsNotSupported
            | ReasonCode::ConnectionRateExceeded
            | ReasonCode::MaximumConnectTime
            | ReasonCode::SubscriptionIdentifiersNotSupported
            | ReasonCode::WildcardSubscriptionsNotSupported
    )
}

impl<'a> Disconnect<'a> {
    /// A reason and nothing else.
    #[must_use]
    pub const fn with_reason(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_s: None,
            reason_string: None,
            server_reference: None,
            user_properties: UserProperties::EMPTY,
        }
    }

    #[inline(never)]
    pub(crate) fn decode(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::Disconnect;
        let mut reader = Reader::new(body);
        let mut disconnect = Self::default();
        // Section 3.14.2.1: without a reason code it is normal disconnection. In 3.1.1 nothing follows.
        if version == ProtocolVersion::V5 && !reader.is_empty() {
            let code = reader.byte("disconnect reason code")?;
            let reason = ReasonCode::from_byte(code).filter(|reason| may_carry(*reason));
            disconnect.reason = reason.ok_or(DecodeError::ReasonCode { packet, code })?;
            // Section 3.14.2.2.1: below a remaining length of 2 there is no property length.
            if !reader.is_empty() {
                disconnect.decode_properties(reader.property_section()?)?;
            }
        }
        reader.finish(packet)?;
        Ok(disconnect)
    }

    fn decode_properties(&mut self, section: &'a [u8]) -> Result<(), DecodeError> {
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => self.session_expiry_s = Some(seconds),
                Property::ReasonString(reason) => self.reason_string = Some(reason),
                Property::ServerReference(reference) => self.server_reference = Some(reference),
                Property::User(..) => self.user_properties = UserProperties::from_section(section),
                other => return Err(other.not_allowed(PacketType::Disconnect)),
            }
        }
        Ok(())
    }

    /// Appends the packet in its shortest form. In 3.1.1 the properties are left out.
    ///
    /// # Errors
    /// A reason code that DISCONNECT does not know, in 3.1.1 any but success; a string that does not fit. `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Disconnect;
        let known = match version {
            ProtocolVersion::V311 => self.reason == ReasonCode::Success,
            ProtocolVersion::V5 => may_carry(self.reason),
        };
        if !known {
            return Err(EncodeError::ReasonCode { packet, reason: self.reason });
        }
        put_frame(out, packet.first_byte(), |out| {
            if version == ProtocolVersion::V311 || *self == Self::default() {
                return Ok(());
            }
            out.push(self.reason.byte());
            if *self == Self::with_reason(self.reason) {
                return Ok(());
            }
            put_with_length(out, |out| {
                let properties = [
                    self.session_expiry_s.map(Property::SessionExpiry),
                    self.reason_string.map(Property::ReasonString),
                    self.server_reference.map(Property::ServerReference),
                ];
                properties.iter().flatten().try_for_each(|property| property.put(packet, out))?;
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

    /// What `version` can say.
    pub(crate) fn disconnect(version: ProtocolVersion) -> impl Strategy<Value = Disconnect<'static>> {
        let reason = part::reason(may_carry);
        let parts = (
            reason,
            option::of(any::<u32>()),
            option::of(part::text()),
            option::of(part::text()),
            part::user_properties(),
        );
        parts.prop_map(
            move |(reason, session_expiry_s, reason_string, server_reference, user_properties)| match version {
                ProtocolVersion::V311 => Disconnect::default(),
                ProtocolVersion::V5 => {
                    Disconnect { reason, session_expiry_s, reason_string, server_reference, user_properties }
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    fn read(version: ProtocolVersion, frame: &[u8]) -> Result<Disconnect<'_>, DecodeError> {
        match decode(version, frame)? {
            Packet::Disconnect(disconnect) => Ok(disconnect),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_three_lengths_of_mqtt_5_mean_the_same() {
        for frame in [&[0xE0, 0][..], &[0xE0, 1, 0], &[0xE0, 2, 0, 0]] {
            assert_eq!(read(ProtocolVersion::V5, frame), Ok(Disconnect::default()));
        }
        assert_eq!(read(ProtocolVersion::V311, &[0xE0, 0]), Ok(Disconnect::default()));
        let trailing = Err(DecodeError::TrailingBytes { packet: PacketType::Disconnect });
        assert_eq!(read(ProtocolVersion::V311, &[0xE0, 1, 0]), trailing);
        assert_eq!(read(ProtocolVersion::V5, &[0xE0, 3, 0, 0, 0]), trailing);
    }

    #[test]
    fn codes_and_properties_are_checked() {
        let packet = PacketType::Disconnect;
        for code in [0x01, 0x10, 0x84, 0x85, 0x86, 0x88, 0x8A, 0x91, 0x92, 0xA3] {
            assert_eq!(read(ProtocolVersion::V5, &[0xE0, 1, code]), Err(DecodeError::ReasonCode { packet, code })); // [MQTT-3.14.2-1]
        }
        let full =
            read(ProtocolVersion::V5, &[0xE0, 15, 0x9D, 13, 0x11, 0, 0, 0, 9, 0x1F, 0, 1, b'r', 0x1C, 0, 1, b's'])
                .expect("valid");
        let expected =
            Disconnect { session_expiry_s: Some(9), reason_string: Some("r"), server_reference: Some("s"), ..full };
        assert_eq!((full, full.reason), (expected, ReasonCode::ServerMoved));
        let foreign = Err(DecodeError::PropertyNotAllowed { packet, id: 0x21 });
        assert_eq!(read(ProtocolVersion::V5, &[0xE0, 5, 0, 3, 0x21, 0, 1]), foreign);
    }

    #[test]
    fn the_shortest_form_is_written_and_3_1_1_says_nothing_but_goodbye() {
        let bytes = |disconnect: Disconnect<'_>, version| {
            let mut out = Vec::new();
            disconnect.encode(version, &mut out).map(|()| out)
        };
        assert_eq!(bytes(Disconnect::default(), ProtocolVersion::V311), Ok(vec![0xE0, 0]));
        assert_eq!(bytes(Disconnect::default(), ProtocolVersion::V5), Ok(vec![0xE0, 0]));
        let taken_over = Disconnect::with_reason(ReasonCode::SessionTakenOver);
        assert_eq!(bytes(taken_over, ProtocolVersion::V5), Ok(vec![0xE0, 1, 0x8E]));
        let refused = |reason| Err(EncodeError::ReasonCode { packet: PacketType::Disconnect, reason });
        assert_eq!(bytes(taken_over, ProtocolVersion::V311), refused(ReasonCode::SessionTakenOver));
        assert_eq!(
            bytes(Disconnect::with_reason(ReasonCode::Banned), ProtocolVersion::V5),
            refused(ReasonCode::Banned)
        );
    }
}
