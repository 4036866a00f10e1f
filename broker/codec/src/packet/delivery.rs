//! One PUBLISH for one subscriber, written straight into its output: the hot path of a broker.
//!
//! Not checked here: that the topic is a valid name and that the forwarded properties are properties; both come from
//! a decoded packet. Invariant: nothing is allocated besides room in the output.

use crate::{
    EncodeError, Forwarded, PacketId, PacketType, ProtocolVersion, QoS,
    frame::REMAINING_LENGTH_MAX,
    property::id,
    writer::{field_length, put_variable_byte_integer, variable_byte_integer_length},
};

/// What one subscriber gets of a message. In 3.1.1 alias, expiry, subscription identifiers and properties are left out.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The subscriber's protocol version.
    pub version: ProtocolVersion,
    /// Whether this is a retransmission [MQTT-3.3.1-3].
    pub dup: bool,
    /// Quality of service of this hop.
    pub qos: QoS,
    /// The RETAIN flag for this subscriber [MQTT-3.3.1-12], [MQTT-3.3.1-13].
    pub retain: bool,
    /// Topic name; may be empty when the subscriber knows the alias.
    pub topic: &'a str,
    /// Present exactly at QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Not 0, and within the subscriber's maximum [MQTT-3.1.2-26].
    pub topic_alias: Option<u16>,
    /// What is left of the message's lifetime, in seconds [MQTT-3.3.2-6].
    pub message_expiry_s: Option<u32>,
    /// Of the subscriptions that matched [MQTT-3.3.4-3].
    pub subscription_identifiers: &'a [u32],
    /// What the publisher's properties say unaltered.
    pub forwarded: Forwarded<'a>,
    /// The message itself.
    pub payload: &'a [u8],
}

impl Delivery<'_> {
    /// Length of the whole packet in bytes, to compare with the subscriber's maximum packet size [MQTT-3.1.2-24].
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let remaining = self.remaining_length();
        1 + variable_byte_integer_length(remaining) + remaining
    }

    /// Appends the packet and tells where in `out` its packet identifier is, so that a fan-out can encode once, copy and
    /// patch ([`PacketId::write_at`]); `None` at QoS 0.
    ///
    /// # Errors
    /// A topic above 65,535 bytes, a packet above the protocol's limit, flags or identifiers that contradict the QoS.
    /// `out` is then unchanged.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<Option<usize>, EncodeError> {
        let packet_id_offset = self.encode_header(self.payload.len(), out)?;
        out.extend_from_slice(self.payload);
        Ok(packet_id_offset)
    }

    /// As [`Delivery::encode`] but for the payload, which the caller sends behind it: a large one need not be copied.
    ///
    /// # Errors
    /// As [`Delivery::encode`].
    #[inline]
    pub fn encode_without_payload(&self, out: &mut Vec<u8>) -> Result<Option<usize>, EncodeError> {
        self.encode_header(0, out)
    }

    #[inline]
    fn encode_header(&self, reserve: usize, out: &mut Vec<u8>) -> Result<Option<usize>, EncodeError> {
        let remaining = self.remaining_length();
        let remaining_length = u32::try_from(remaining).unwrap_or(u32::MAX);
        if remaining_length > REMAINING_LENGTH_MAX {
            return Err(EncodeError::PacketTooLarge);
        }
        let topic_length = field_length(self.topic.as_bytes(), "topic name")?;
        self.check()?;

        out.reserve(1 + variable_byte_integer_length(remaining) + remaining - self.payload.len() + reserve);
        let flags = u8::from(self.dup) << 3 | self.qos.bits() << 1 | u8::from(self.retain);
        out.push(PacketType::Publish.first_byte() | flags);
        put_variable_byte_integer(out, remaining_length);
        out.extend_from_slice(&topic_length.to_be_bytes());
        out.extend_from_slice(self.topic.as_bytes());
        let packet_id_offset = self.packet_id.map(|packet_id| {
            let offset = out.len();
            out.extend_from_slice(&packet_id.get().to_be_bytes());
            offset
        });
        if self.version == ProtocolVersion::V5 {
            self.put_properties(out);
        }
        Ok(packet_id_offset)
    }

    #[inline]
    fn check(&self) -> Result<(), EncodeError> {
        let packet = PacketType::Publish;
        // [MQTT-2.2.1-2], [MQTT-2.2.1-4]
        if self.packet_id.is_some() != (self.qos > QoS::AtMostOnce) {
            return Err(EncodeError::FieldValue { packet, field: "packet identifier" });
        }
        // [MQTT-3.3.1-2]
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(EncodeError::FieldValue { packet, field: "duplicate flag" });
        }
        let has_alias = self.version == ProtocolVersion::V5 && self.topic_alias.is_some();
        if self.topic.is_empty() && !has_alias {
            return Err(EncodeError::FieldValue { packet, field: "topic name" });
        }
        // [MQTT-3.3.2-8]
        if has_alias && self.topic_alias == Some(0) {
            return Err(EncodeError::FieldValue { packet, field: "topic alias" });
        }
        if self.subscription_identifiers.iter().any(|identifier| *identifier == 0 || *identifier > REMAINING_LENGTH_MAX)
        {
            return Err(EncodeError::FieldValue { packet, field: "subscription identifier" });
        }
        Ok(())
    }

    #[inline]
    fn put_properties(&self, out: &mut Vec<u8>) {
        // At most the remaining length, which has been checked.
        put_variable_byte_integer(out, self.properties_length() as u32);
        if let Some(alias) = self.topic_alias {
            out.push(id::TOPIC_ALIAS);
            out.extend_from_slice(&alias.to_be_bytes());
        }
        if let Some(seconds) = self.message_expiry_s {
            out.push(id::MESSAGE_EXPIRY);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        for identifier in self.subscription_identifiers {
            out.push(id::SUBSCRIPTION_IDENTIFIER);
            put_variable_byte_integer(out, *identifier);
        }
        self.forwarded.append_to(out);
    }

    #[inline]
    fn remaining_length(&self) -> usize {
        let packet_id = if self.packet_id.is_some() { 2 } else { 0 };
        let properties = match self.version {
            ProtocolVersion::V311 => 0,
            ProtocolVersion::V5 => {
                let length = self.properties_length();
                variable_byte_integer_length(length) + length
            }
        };
        2 + self.topic.len() + packet_id + properties + self.payload.len()
    }

    #[inline]
    fn properties_length(&self) -> usize {
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry_s.is_some() { 5 } else { 0 };
        let identifiers =
            self.subscription_identifiers.iter().map(|value| 1 + variable_byte_integer_length(*value as usize));
        alias + expiry + identifiers.sum::<usize>() + self.forwarded.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Packet, decode, packet::publish::generate::publish};

    const PLAIN: Delivery<'_> = Delivery {
        version: ProtocolVersion::V5,
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t",
        packet_id: None,
        topic_alias: None,
        message_expiry_s: None,
        subscription_identifiers: &[],
        forwarded: Forwarded::from_stored(&[]),
        payload: b"p",
    };

    proptest! {
        #[test]
        fn what_a_subscriber_gets_is_what_was_published(
            publish in publish(ProtocolVersion::V5),
            v311 in any::<bool>(),
            alias in proptest::option::of(1..=u16::MAX),
            expiry in proptest::option::of(any::<u32>()),
            identifiers in proptest::collection::vec(crate::generate::subscription_identifier(), 0..3),
        ) {
            let publish = if publish.topic.is_empty() { crate::Publish { topic: "t", ..publish } } else { publish };
            let version = if v311 { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
            let delivery = Delivery {
                version,
                topic_alias: alias,
                message_expiry_s: expiry,
                subscription_identifiers: &identifiers,
                forwarded: publish.properties.as_forwarded(),
                topic: publish.topic,
                qos: publish.qos,
                dup: publish.dup,
                retain: publish.retain,
                packet_id: publish.packet_id,
                payload: publish.payload,
            };
            let mut out = vec![0; 3];
            let offset = delivery.encode(&mut out).expect("valid");
            prop_assert_eq!(out.len() - 3, delivery.encoded_len());

            let Ok(Packet::Publish(got)) = decode(version, &out[3..]) else {
                panic!("not a publish");
            };
            prop_assert_eq!((got.topic, got.payload, got.qos), (publish.topic, publish.payload, publish.qos));
            prop_assert_eq!((got.dup, got.retain, got.packet_id), (publish.dup, publish.retain, publish.packet_id));
            if v311 {
                prop_assert_eq!(got.properties, crate::PublishProperties::default());
            } else {
                prop_assert_eq!((got.properties.topic_alias, got.properties.message_expiry_s), (alias, expiry));
                prop_assert!(got.properties.subscription_identifiers().eq(identifiers.iter().copied()));
                prop_assert_eq!(got.properties.as_forwarded(), publish.properties.as_forwarded());
                prop_assert_eq!(got.properties.user_properties(), publish.properties.user_properties());
            }

            // Patching the identifier gives the packet that another identifier would have given.
            prop_assert_eq!(offset.is_some(), publish.packet_id.is_some());
            if let Some(offset) = offset {
                prop_assert!(PacketId::MAX.write_at(&mut out, offset));
                let mut again = vec![0; 3];
                Delivery { packet_id: Some(PacketId::MAX), ..delivery }.encode(&mut again).expect("valid");
                prop_assert_eq!(out, again);
            }
        }
    }

    #[test]
    fn contradictions_are_refused_and_nothing_is_written() {
        for delivery in [
            Delivery { dup: true, ..PLAIN },
            Delivery { qos: QoS::AtLeastOnce, ..PLAIN },
            Delivery { packet_id: Some(PacketId::MIN), ..PLAIN },
            Delivery { topic: "", ..PLAIN },
            Delivery { topic: "", topic_alias: Some(1), version: ProtocolVersion::V311, ..PLAIN },
            Delivery { topic_alias: Some(0), ..PLAIN },
            Delivery { subscription_identifiers: &[0], ..PLAIN },
            Delivery { subscription_identifiers: &[REMAINING_LENGTH_MAX + 1], ..PLAIN },
        ] {
            let mut out = Vec::new();
            assert!(matches!(delivery.encode(&mut out), Err(EncodeError::FieldValue { .. })), "{delivery:?}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn an_established_alias_needs_no_topic() {
        let mut out = Vec::new();
        let delivery = Delivery { topic: "", topic_alias: Some(2), ..PLAIN };
        assert_eq!(delivery.encode(&mut out), Ok(None));
        assert_eq!(out, [0x30, 7, 0, 0, 3, 0x23, 0, 2, b'p']);
    }

    #[test]
    fn the_protocols_largest_packet_is_the_limit() {
        let payload = vec![0; REMAINING_LENGTH_MAX as usize - 4];
        let largest = Delivery { payload: &payload, ..PLAIN };
        assert_eq!(largest.encoded_len(), REMAINING_LENGTH_MAX as usize + 5);
        let larger = Delivery { topic: "tt", ..largest };
        assert_eq!(larger.encode(&mut Vec::new()), Err(EncodeError::PacketTooLarge));
    }
}
