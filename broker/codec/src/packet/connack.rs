//! CONNACK (section 3.2): the server's answer to CONNECT.

use std::num::{NonZeroU16, NonZeroU32};

use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, QoS, ReasonCode, UserProperties,
    property::{Properties, Property},
    reader::Reader,
    writer::{put_frame, put_with_length},
};

/// The server's answer to CONNECT, with what it limits for this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server continues an earlier session; only together with success [MQTT-3.2.2-6].
    pub session_present: bool,
    /// In 3.1.1 mapped from and to the return code.
    pub reason: ReasonCode,
    /// Session expiry interval in seconds, if it differs from what the client asked for.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the server handles at once; absent = 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest quality of service that the server accepts.
    pub maximum_qos: QoS,
    /// Whether the server keeps retained messages.
    pub retain_available: bool,
    /// The largest packet that the server accepts, in bytes; absent = no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The client identifier that the server chose [MQTT-3.2.2-16].
    pub assigned_client_id: Option<&'a str>,
    /// The highest topic alias that the server accepts; 0 = none.
    pub topic_alias_maximum: u16,
    /// For people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Whether wildcards may be subscribed to.
    pub wildcard_subscription_available: bool,
    /// Whether subscription identifiers may be used.
    pub subscription_identifiers_available: bool,
    /// Whether shared subscriptions may be used.
    pub shared_subscription_available: bool,
    /// Keep alive in seconds that the client has to use instead of its own [MQTT-3.1.2-21].
    pub server_keep_alive_s: Option<u16>,
    /// Basis for response topics.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// Name of the extended authentication method.
    pub authentication_method: Option<&'a str>,
    /// Data of that method.
    pub authentication_data: Option<&'a [u8]>,
}

impl Default for ConnAck<'_> {
    /// Success, no session, no limits.
    fn default() -> Self {
        Self {
            session_present: false,
            reason: ReasonCode::Success,
            session_expiry_s: None,
            receive_maximum: None,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: None,
            assigned_client_id: None,
            topic_alias_maximum: 0,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            wildcard_subscription_available: true,
            subscription_identifiers_available: true,
            shared_subscription_available: true,
            server_keep_alive_s: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// [MQTT-3.2.2-8]
const fn may_carry(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::Success
            | ReasonCode::UnspecifiedError
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::TopicNameInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::QuotaExceeded
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QoSNotSupported
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::ConnectionRateExceeded
    )
}

impl<'a> ConnAck<'a> {
    #[inline(never)]
    pub(crate) fn decode(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::ConnAck;
        let mut reader = Reader::new(body);
        let flags = reader.byte("connect acknowledge flags")?;
        if flags > 1 {
            return Err(DecodeError::ConnAckFlags); // [MQTT-3.2.2-1]
        }
        let code = reader.byte("connect reason code")?;
        let reason = match version {
            ProtocolVersion::V311 => ReasonCode::from_connect_return_code(code),
            ProtocolVersion::V5 => ReasonCode::from_byte(code).filter(|reason| may_carry(*reason)),
        };
        let reason = reason.ok_or(DecodeError::ReasonCode { packet, code })?;
        let mut connack = Self { session_present: flags == 1, reason, ..Self::default() };
        if connack.session_present && reason != ReasonCode::Success {
            return Err(DecodeError::SessionPresentWithError); // [MQTT-3.2.2-6]
        }
        if version == ProtocolVersion::V5 {
            connack.decode_properties(reader.property_section()?)?;
        }
        reader.finish(packet)?;
        Ok(connack)
    }

    fn decode_properties(&mut self, section: &'a [u8]) -> Result<(), DecodeError> {
        let packet = PacketType::ConnAck;
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => self.session_expiry_s = Some(seconds),
                Property::ReceiveMaximum(maximum) => self.receive_maximum = Some(maximum),
                Property::MaximumQos(qos) => self.maximum_qos = qos,
                Property::RetainAvailable(available) => self.retain_available = available,
                Property::MaximumPacketSize(bytes) => self.maximum_packet_size = Some(bytes),
                Property::AssignedClientId(client_id) => self.assigned_client_id = Some(client_id),
                Property::TopicAliasMaximum(maximum) => self.topic_alias_maximum = maximum,
                Property::ReasonString(reason) => self.reason_string = Some(reason),
                Property::User(..) => self.user_properties = UserProperties::from_section(section),
                Property::WildcardSubscriptionAvailable(available) => self.wildcard_subscription_available = available,
                Property::SubscriptionIdentifiersAvailable(available) => {
                    self.subscription_identifiers_available = available
                }
                Property::SharedSubscriptionAvailable(available) => self.shared_subscription_available = available,
                Property::ServerKeepAlive(seconds) => self.server_keep_alive_s = Some(seconds),
                Property::ResponseInformation(information) => self.response_information = Some(information),
                Property::ServerReference(reference) => self.server_reference = Some(reference),
                Property::AuthenticationMethod(method) => self.authentication_method = Some(method),
                Property::AuthenticationData(data) => self.authentication_data = Some(data),
                other => return Err(other.not_allowed(packet)),
            }
        }
        Ok(())
    }

    /// Appends the packet. In 3.1.1 the reason becomes a return code and the properties are left out.
    ///
    /// # Errors
    /// A reason code that CONNACK, or 3.1.1, does not know; session present with an error; a string that does not fit.
    /// `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::ConnAck;
        if self.session_present && self.reason != ReasonCode::Success {
            return Err(EncodeError::FieldValue { packet, field: "session present" });
        }
        let refused = EncodeError::ReasonCode { packet, reason: self.reason };
        let code = match version {
            ProtocolVersion::V311 => self.reason.connect_return_code().ok_or(refused)?,
            ProtocolVersion::V5 if may_carry(self.reason) => self.reason.byte(),
            ProtocolVersion::V5 => return Err(refused),
        };
        put_frame(out, packet.first_byte(), |out| {
            out.extend_from_slice(&[u8::from(self.session_present), code]);
            match version {
                ProtocolVersion::V311 => Ok(()),
                ProtocolVersion::V5 => put_with_length(out, |out| self.put_properties(out)),
            }
        })
    }

    fn put_properties(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::ConnAck;
        let properties = [
            self.session_expiry_s.map(Property::SessionExpiry),
            self.receive_maximum.map(Property::ReceiveMaximum),
            (self.maximum_qos != QoS::ExactlyOnce).then_some(Property::MaximumQos(self.maximum_qos)),
            (!self.retain_available).then_some(Property::RetainAvailable(false)),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            self.assigned_client_id.map(Property::AssignedClientId),
            (self.topic_alias_maximum != 0).then_some(Property::TopicAliasMaximum(self.topic_alias_maximum)),
            self.reason_string.map(Property::ReasonString),
            (!self.wildcard_subscription_available).then_some(Property::WildcardSubscriptionAvailable(false)),
            (!self.subscription_identifiers_available).then_some(Property::SubscriptionIdentifiersAvailable(false)),
            (!self.shared_subscription_available).then_some(Property::SharedSubscriptionAvailable(false)),
            self.server_keep_alive_s.map(Property::ServerKeepAlive),
            self.response_information.map(Property::ResponseInformation),
            self.server_reference.map(Property::ServerReference),
            self.authentication_method.map(Property::AuthenticationMethod),
            self.authentication_data.map(Property::AuthenticationData),
        ];
        properties.iter().flatten().try_for_each(|property| property.put(packet, out))?;
        self.user_properties.put(packet, out)
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::generate as part;

    /// What `version` can say.
    pub(crate) fn connack(version: ProtocolVersion) -> impl Strategy<Value = ConnAck<'static>> {
        let reason = part::reason(move |reason| match version {
            // Only the code that a return code maps back to.
            ProtocolVersion::V311 => {
                reason.connect_return_code().and_then(ReasonCode::from_connect_return_code) == Some(reason)
            }
            ProtocolVersion::V5 => may_carry(reason),
        });
        let numbers =
            (option::of(any::<u32>()), option::of(any::<NonZeroU16>()), part::qos(), option::of(any::<NonZeroU32>()));
        let more_numbers = (any::<u16>(), option::of(any::<u16>()));
        let texts =
            (option::of(part::text()), option::of(part::text()), option::of(part::text()), option::of(part::text()));
        let authentication = (option::of(part::text()), option::of(part::bytes()), part::user_properties());
        let parts = (any::<bool>(), reason, numbers, more_numbers, any::<[bool; 4]>(), texts, authentication);
        parts.prop_map(move |(present, reason, numbers, more_numbers, available, texts, authentication)| {
            let first =
                ConnAck { session_present: present && reason == ReasonCode::Success, reason, ..ConnAck::default() };
            if version == ProtocolVersion::V311 {
                return first;
            }
            ConnAck {
                session_expiry_s: numbers.0,
                receive_maximum: numbers.1,
                maximum_qos: numbers.2,
                maximum_packet_size: numbers.3,
                topic_alias_maximum: more_numbers.0,
                server_keep_alive_s: more_numbers.1,
                retain_available: available[0],
                wildcard_subscription_available: available[1],
                subscription_identifiers_available: available[2],
                shared_subscription_available: available[3],
                assigned_client_id: texts.0,
                reason_string: texts.1,
                response_information: texts.2,
                server_reference: texts.3,
                authentication_method: authentication.0,
                authentication_data: authentication.1,
                user_properties: authentication.2,
                ..first
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, decode};

    fn refused(version: ProtocolVersion, frame: &[u8]) -> DecodeError {
        decode(version, frame).expect_err("malformed")
    }

    #[test]
    fn return_codes_and_reason_codes_are_told_apart_by_the_version() {
        let v311 = Packet::ConnAck(ConnAck { reason: ReasonCode::NotAuthorized, ..ConnAck::default() });
        assert_eq!(decode(ProtocolVersion::V311, &[0x20, 2, 0, 5]), Ok(v311.clone()));
        assert_eq!(decode(ProtocolVersion::V5, &[0x20, 3, 0, 0x87, 0]), Ok(v311));
        let packet = PacketType::ConnAck;
        assert_eq!(refused(ProtocolVersion::V311, &[0x20, 2, 0, 6]), DecodeError::ReasonCode { packet, code: 6 });
        for code in [0x01, 0x8B, 0xA2, 0xFF] {
            assert_eq!(refused(ProtocolVersion::V5, &[0x20, 3, 0, code, 0]), DecodeError::ReasonCode { packet, code }); // [MQTT-3.2.2-8]
        }
    }

    #[test]
    fn flags_are_checked() {
        assert_eq!(refused(ProtocolVersion::V311, &[0x20, 2, 2, 0]), DecodeError::ConnAckFlags); // [MQTT-3.2.2-1]
        assert_eq!(refused(ProtocolVersion::V311, &[0x20, 2, 1, 5]), DecodeError::SessionPresentWithError); // [MQTT-3.2.2-6]
        assert!(decode(ProtocolVersion::V311, &[0x20, 2, 1, 0]).is_ok());
    }

    #[test]
    fn maximum_qos_two_is_said_by_absence() {
        let decoded = decode(ProtocolVersion::V5, &[0x20, 5, 0, 0, 2, 0x24, 1]);
        assert_eq!(decoded, Ok(Packet::ConnAck(ConnAck { maximum_qos: QoS::AtLeastOnce, ..ConnAck::default() })));
        assert_eq!(refused(ProtocolVersion::V5, &[0x20, 5, 0, 0, 2, 0x24, 2]), DecodeError::PropertyValue { id: 0x24 });
        let mut out = Vec::new();
        ConnAck::default().encode(ProtocolVersion::V5, &mut out).expect("valid");
        assert_eq!(out, [0x20, 3, 0, 0, 0]);
    }

    #[test]
    fn length_and_properties_are_checked() {
        let trailing = DecodeError::TrailingBytes { packet: PacketType::ConnAck };
        assert_eq!(refused(ProtocolVersion::V311, &[0x20, 3, 0, 0, 0]), trailing);
        assert_eq!(refused(ProtocolVersion::V5, &[0x20, 4, 0, 0, 0, 0]), trailing);
        assert_eq!(refused(ProtocolVersion::V5, &[0x20, 2, 0, 0]), DecodeError::Truncated { field: "property length" });
        let alias = DecodeError::PropertyNotAllowed { packet: PacketType::ConnAck, id: 0x23 };
        assert_eq!(refused(ProtocolVersion::V5, &[0x20, 6, 0, 0, 3, 0x23, 0, 1]), alias);
    }

    #[test]
    fn answers_that_cannot_be_said_are_not_encoded() {
        let malformed = ConnAck { reason: ReasonCode::MalformedPacket, ..ConnAck::default() };
        let refused = Err(EncodeError::ReasonCode { packet: PacketType::ConnAck, reason: ReasonCode::MalformedPacket });
        assert_eq!(malformed.encode(ProtocolVersion::V311, &mut Vec::new()), refused);
        assert_eq!(malformed.encode(ProtocolVersion::V5, &mut Vec::new()), Ok(()));
        let contradiction = ConnAck { session_present: true, ..malformed };
        assert!(matches!(
            contradiction.encode(ProtocolVersion::V5, &mut Vec::new()),
            Err(EncodeError::FieldValue { .. })
        ));
    }
}
