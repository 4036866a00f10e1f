//! Properties of MQTT 5 (section 2.2.2): every identifier with its data type and the values that it may have.
//!
//! Not the place where a packet's set of properties is decided: each packet matches the ones it knows and refuses the
//! rest. Invariant: a [`Property`] that came out of [`Properties`] has a permitted value and was not repeated.

use std::num::{NonZeroU16, NonZeroU32};

use crate::{
    DecodeError, EncodeError, PacketType, QoS,
    reader::Reader,
    writer::{put_binary, put_string, put_variable_byte_integer},
};

/// Identifiers of table 2-4.
pub(crate) mod id {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// How the receiver should read a payload (section 3.3.2.3.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PayloadFormat {
    /// Unspecified bytes, as if the property were absent.
    #[default]
    Bytes = 0,
    /// UTF-8 text.
    Utf8 = 1,
}

/// One property with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Property<'a> {
    PayloadFormat(PayloadFormat),
    MessageExpiry(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiry(u32),
    AssignedClientId(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelay(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(QoS),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(NonZeroU32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifiersAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

impl<'a> Property<'a> {
    /// Reads the value of property `id`.
    #[inline(always)]
    fn read(id: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match id {
            id::PAYLOAD_FORMAT => {
                let format = if flag(id, reader)? { PayloadFormat::Utf8 } else { PayloadFormat::Bytes };
                Self::PayloadFormat(format)
            }
            id::MESSAGE_EXPIRY => Self::MessageExpiry(reader.four_bytes("message expiry interval")?),
            id::CONTENT_TYPE => Self::ContentType(reader.string("content type")?), // [MQTT-3.3.2-19]
            // [MQTT-3.3.2-13], [MQTT-3.3.2-14]
            id::RESPONSE_TOPIC => Self::ResponseTopic(reader.topic_name("response topic", DecodeError::ResponseTopic)?),
            id::CORRELATION_DATA => Self::CorrelationData(reader.binary("correlation data")?),
            id::SUBSCRIPTION_IDENTIFIER => {
                let value = reader.variable_byte_integer("subscription identifier")?;
                // Section 3.8.2.1.2: "It is a Protocol Error if the Subscription Identifier has a value of 0."
                Self::SubscriptionIdentifier(if value == 0 {
                    return Err(DecodeError::PropertyValue { id });
                } else {
                    value
                })
            }
            id::SESSION_EXPIRY => Self::SessionExpiry(reader.four_bytes("session expiry interval")?),
            id::ASSIGNED_CLIENT_ID => Self::AssignedClientId(reader.string("assigned client identifier")?),
            id::SERVER_KEEP_ALIVE => Self::ServerKeepAlive(reader.two_bytes("server keep alive")?),
            id::AUTHENTICATION_METHOD => Self::AuthenticationMethod(reader.string("authentication method")?),
            id::AUTHENTICATION_DATA => Self::AuthenticationData(reader.binary("authentication data")?),
            id::REQUEST_PROBLEM_INFORMATION => Self::RequestProblemInformation(flag(id, reader)?),
            id::WILL_DELAY => Self::WillDelay(reader.four_bytes("will delay interval")?),
            id::REQUEST_RESPONSE_INFORMATION => Self::RequestResponseInformation(flag(id, reader)?),
            id::RESPONSE_INFORMATION => Self::ResponseInformation(reader.string("response information")?),
            id::SERVER_REFERENCE => Self::ServerReference(reader.string("server reference")?),
            id::REASON_STRING => Self::ReasonString(reader.string("reason string")?),
            id::RECEIVE_MAXIMUM => {
                // Section 3.1.2.11.3: "It is a Protocol Error to [...] have the value 0."
                let value = NonZeroU16::new(reader.two_bytes("receive maximum")?);
                Self::ReceiveMaximum(value.ok_or(DecodeError::PropertyValue { id })?)
            }
            id::TOPIC_ALIAS_MAXIMUM => Self::TopicAliasMaximum(reader.two_bytes("topic alias maximum")?),
            id::TOPIC_ALIAS => match reader.two_bytes("topic alias")? {
                0 => return Err(DecodeError::TopicAliasZero), // [MQTT-3.3.2-8]
                alias => Self::TopicAlias(alias),
            },
            // Section 3.2.2.3.4: a value other than 0 and 1 is a protocol error, 2 is said by absence.
            id::MAXIMUM_QOS => Self::MaximumQos(if flag(id, reader)? { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
            id::RETAIN_AVAILABLE => Self::RetainAvailable(flag(id, reader)?),
            id::USER_PROPERTY => {
                // [MQTT-1.5.7-1]
                Self::User(reader.string("user property name")?, reader.string("user property value")?)
            }
            id::MAXIMUM_PACKET_SIZE => {
                // Section 3.1.2.11.4: "It is a Protocol Error to [...] the value to be set to zero."
                let value = NonZeroU32::new(reader.four_bytes("maximum packet size")?);
                Self::MaximumPacketSize(value.ok_or(DecodeError::PropertyValue { id })?)
            }
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => Self::WildcardSubscriptionAvailable(flag(id, reader)?),
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => Self::SubscriptionIdentifiersAvailable(flag(id, reader)?),
            id::SHARED_SUBSCRIPTION_AVAILABLE => Self::SharedSubscriptionAvailable(flag(id, reader)?),
            _ => return Err(DecodeError::PropertyUnknown { id }),
        })
    }

    /// Appends identifier and value.
    pub fn put(&self, packet: PacketType, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(self.id());
        match *self {
            Self::PayloadFormat(format) => out.push(format as u8),
            Self::RequestProblemInformation(flag)
            | Self::RequestResponseInformation(flag)
            | Self::RetainAvailable(flag)
            | Self::WildcardSubscriptionAvailable(flag)
            | Self::SubscriptionIdentifiersAvailable(flag)
            | Self::SharedSubscriptionAvailable(flag) => out.push(u8::from(flag)),
            Self::MaximumQos(QoS::ExactlyOnce) => return Err(EncodeError::FieldValue { packet, field: "maximum qos" }),
            Self::MaximumQos(qos) => out.push(qos.bits()),
            Self::MessageExpiry(seconds) | Self::SessionExpiry(seconds) | Self::WillDelay(seconds) => {
                out.extend_from_slice(&seconds.to_be_bytes());
            }
            Self::MaximumPacketSize(bytes) => out.extend_from_slice(&bytes.get().to_be_bytes()),
            Self::TopicAlias(0) => return Err(EncodeError::FieldValue { packet, field: "topic alias" }),
            Self::ServerKeepAlive(value) | Self::TopicAliasMaximum(value) | Self::TopicAlias(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::ReceiveMaximum(value) => out.extend_from_slice(&value.get().to_be_bytes()),
            Self::SubscriptionIdentifier(value) => {
                if value == 0 || value > crate::REMAINING_LENGTH_MAX {
                    return Err(EncodeError::FieldValue { packet, field: "subscription identifier" });
                }
                put_variable_byte_integer(out, value);
            }
            Self::ResponseTopic(topic) => {
                crate::topic::validate_name(topic)
                    .map_err(|_| EncodeError::FieldValue { packet, field: "response topic" })?;
                put_string(out, topic, "response topic")?;
            }
            Self::ContentType(string) => put_string(out, string, "content type")?,
            Self::AssignedClientId(string) => put_string(out, string, "assigned client identifier")?,
            Self::AuthenticationMethod(string) => put_string(out, string, "authentication method")?,
            Self::ResponseInformation(string) => put_string(out, string, "response information")?,
            Self::ServerReference(string) => put_string(out, string, "server reference")?,
            Self::ReasonString(string) => put_string(out, string, "reason string")?,
            Self::CorrelationData(bytes) => put_binary(out, bytes, "correlation data")?,
            Self::AuthenticationData(bytes) => put_binary(out, bytes, "authentication data")?,
            Self::User(name, value) => {
                put_string(out, name, "user property name")?;
                put_string(out, value, "user property value")?;
            }
        }
        Ok(())
    }

    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormat(_) => id::PAYLOAD_FORMAT,
            Self::MessageExpiry(_) => id::MESSAGE_EXPIRY,
            Self::ContentType(_) => id::CONTENT_TYPE,
            Self::ResponseTopic(_) => id::RESPONSE_TOPIC,
            Self::CorrelationData(_) => id::CORRELATION_DATA,
            Self::SubscriptionIdentifier(_) => id::SUBSCRIPTION_IDENTIFIER,
            Self::SessionExpiry(_) => id::SESSION_EXPIRY,
            Self::AssignedClientId(_) => id::ASSIGNED_CLIENT_ID,
            Self::ServerKeepAlive(_) => id::SERVER_KEEP_ALIVE,
            Self::AuthenticationMethod(_) => id::AUTHENTICATION_METHOD,
            Self::AuthenticationData(_) => id::AUTHENTICATION_DATA,
            Self::RequestProblemInformation(_) => id::REQUEST_PROBLEM_INFORMATION,
            Self::WillDelay(_) => id::WILL_DELAY,
            Self::RequestResponseInformation(_) => id::REQUEST_RESPONSE_INFORMATION,
            Self::ResponseInformation(_) => id::RESPONSE_INFORMATION,
            Self::ServerReference(_) => id::SERVER_REFERENCE,
            Self::ReasonString(_) => id::REASON_STRING,
            Self::ReceiveMaximum(_) => id::RECEIVE_MAXIMUM,
            Self::TopicAliasMaximum(_) => id::TOPIC_ALIAS_MAXIMUM,
            Self::TopicAlias(_) => id::TOPIC_ALIAS,
            Self::MaximumQos(_) => id::MAXIMUM_QOS,
            Self::RetainAvailable(_) => id::RETAIN_AVAILABLE,
            Self::User(..) => id::USER_PROPERTY,
            Self::MaximumPacketSize(_) => id::MAXIMUM_PACKET_SIZE,
            Self::WildcardSubscriptionAvailable(_) => id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            Self::SubscriptionIdentifiersAvailable(_) => id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
            Self::SharedSubscriptionAvailable(_) => id::SHARED_SUBSCRIPTION_AVAILABLE,
        }
    }

    /// The error for a property that `packet` does not know.
    #[cold]
    pub fn not_allowed(&self, packet: PacketType) -> DecodeError {
        DecodeError::PropertyNotAllowed { packet, id: self.id() }
    }
}

/// A byte that may be 0 or 1; anything else is a protocol error by the property's section.
#[inline]
fn flag(id: u8, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte("property")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::PropertyValue { id }),
    }
}

/// Walks a property section. User properties and, where a packet accepts them at all, several subscription
/// identifiers may repeat (sections 3.3.2.3.7 and 3.3.2.3.8); SUBSCRIBE, which takes one, checks that itself.
pub(crate) struct Properties<'a> {
    reader: Reader<'a>,
    /// One bit per identifier that was seen.
    seen: u64,
}

impl<'a> Properties<'a> {
    const REPEATABLE: u64 = 1 << id::USER_PROPERTY | 1 << id::SUBSCRIPTION_IDENTIFIER;

    #[inline]
    pub const fn new(section: &'a [u8]) -> Self {
        Self { reader: Reader::new(section), seen: 0 }
    }

    /// The next property; `None` at the end of the section.
    #[inline(never)]
    pub fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        self.next_inlined()
    }

    /// The same for PUBLISH, where passing each property through memory takes half of the time.
    #[inline(always)]
    pub fn next_inlined(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let id = self.reader.byte("property identifier")?;
        let bit = 1_u64.checked_shl(u32::from(id)).ok_or(DecodeError::PropertyUnknown { id })?;
        if self.seen & bit & !Self::REPEATABLE != 0 {
            return Err(DecodeError::PropertyRepeated { id });
        }
        self.seen |= bit;
        Property::read(id, &mut self.reader).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &[u8]) -> Result<Vec<Property<'_>>, DecodeError> {
        let mut properties = Properties::new(section);
        let mut read = Vec::new();
        while let Some(property) = properties.next()? {
            read.push(property);
        }
        Ok(read)
    }

    fn every_property() -> Vec<Property<'static>> {
        vec![
            Property::PayloadFormat(PayloadFormat::Utf8),
            Property::MessageExpiry(1),
            Property::ContentType("text"),
            Property::ResponseTopic("a/b"),
            Property::CorrelationData(&[0, 1]),
            Property::SubscriptionIdentifier(268_435_455),
            Property::SessionExpiry(2),
            Property::AssignedClientId("id"),
            Property::ServerKeepAlive(3),
            Property::AuthenticationMethod("m"),
            Property::AuthenticationData(&[]),
            Property::RequestProblemInformation(false),
            Property::WillDelay(4),
            Property::RequestResponseInformation(true),
            Property::ResponseInformation("i"),
            Property::ServerReference("r"),
            Property::ReasonString(""),
            Property::ReceiveMaximum(NonZeroU16::MIN),
            Property::TopicAliasMaximum(0),
            Property::TopicAlias(1),
            Property::MaximumQos(QoS::AtLeastOnce),
            Property::RetainAvailable(false),
            Property::User("", ""),
            Property::MaximumPacketSize(NonZeroU32::MIN),
            Property::WildcardSubscriptionAvailable(false),
            Property::SubscriptionIdentifiersAvailable(false),
            Property::SharedSubscriptionAvailable(false),
        ]
    }

    #[test]
    fn all_27_properties_are_read_as_written() {
        let written = every_property();
        assert_eq!(written.len(), 27);
        let mut section = Vec::new();
        for property in &written {
            property.put(PacketType::Connect, &mut section).expect("valid");
        }
        assert_eq!(read(&section), Ok(written));
    }

    #[test]
    fn only_user_properties_and_subscription_identifiers_repeat() {
        for property in every_property() {
            let mut section = Vec::new();
            property.put(PacketType::Connect, &mut section).expect("valid");
            property.put(PacketType::Connect, &mut section).expect("valid");
            let expected = match property {
                Property::User(..) | Property::SubscriptionIdentifier(_) => Ok(vec![property; 2]),
                _ => Err(DecodeError::PropertyRepeated { id: property.id() }),
            };
            assert_eq!(read(&section), expected);
        }
    }

    #[test]
    fn every_cut_of_a_property_is_an_error() {
        for property in every_property() {
            let mut section = Vec::new();
            property.put(PacketType::Connect, &mut section).expect("valid");
            for end in 1..section.len() {
                assert!(
                    matches!(read(&section[..end]), Err(DecodeError::Truncated { .. })),
                    "{property:?} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn unknown_identifiers_are_malformed() {
        let known: Vec<u8> = every_property().iter().map(Property::id).collect();
        for id in (0..=u8::MAX).filter(|id| !known.contains(id)) {
            let error = read(&[id, 0, 0, 0, 0, 0]).expect_err("unknown");
            assert_eq!(error, DecodeError::PropertyUnknown { id });
            assert_eq!(error.reason_code(), crate::ReasonCode::MalformedPacket);
        }
    }

    #[test]
    fn excluded_values_are_refused() {
        for flag in [
            id::PAYLOAD_FORMAT,
            id::REQUEST_PROBLEM_INFORMATION,
            id::REQUEST_RESPONSE_INFORMATION,
            id::MAXIMUM_QOS,
            id::RETAIN_AVAILABLE,
            id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
            id::SHARED_SUBSCRIPTION_AVAILABLE,
        ] {
            assert!(read(&[flag, 0]).is_ok() && read(&[flag, 1]).is_ok());
            assert_eq!(read(&[flag, 2]), Err(DecodeError::PropertyValue { id: flag }));
        }
        assert_eq!(read(&[id::RECEIVE_MAXIMUM, 0, 0]), Err(DecodeError::PropertyValue { id: id::RECEIVE_MAXIMUM }));
        assert_eq!(
            read(&[id::MAXIMUM_PACKET_SIZE, 0, 0, 0, 0]),
            Err(DecodeError::PropertyValue { id: id::MAXIMUM_PACKET_SIZE })
        );
        assert_eq!(
            read(&[id::SUBSCRIPTION_IDENTIFIER, 0]),
            Err(DecodeError::PropertyValue { id: id::SUBSCRIPTION_IDENTIFIER })
        );
        assert_eq!(read(&[id::TOPIC_ALIAS, 0, 0]), Err(DecodeError::TopicAliasZero));
        let wildcard = read(&[id::RESPONSE_TOPIC, 0, 1, b'#']);
        assert_eq!(wildcard, Err(DecodeError::ResponseTopic(crate::topic::TopicError::WildcardInName)));
        assert_eq!(read(&[id::CONTENT_TYPE, 0, 1, 0]), Err(DecodeError::NullCharacter { field: "content type" }));
    }

    #[test]
    fn values_that_a_receiver_refuses_are_not_written() {
        for property in [
            Property::MaximumQos(QoS::ExactlyOnce),
            Property::TopicAlias(0),
            Property::SubscriptionIdentifier(0),
            Property::SubscriptionIdentifier(268_435_456),
            Property::ResponseTopic("a/+"),
            Property::ResponseTopic(""),
        ] {
            let refused = property.put(PacketType::Publish, &mut Vec::new());
            assert!(matches!(refused, Err(EncodeError::FieldValue { .. })), "{property:?}");
        }
    }
}
