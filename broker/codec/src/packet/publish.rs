//! PUBLISH (section 3.3): an application message on its way, in either direction.
//!
//! Decoding allocates nothing. A server that sends one message to many uses [`Delivery`](crate::Delivery) instead of
//! [`Publish::encode`].

use smallvec::SmallVec;

use crate::{
    DecodeError, Delivery, EncodeError, PacketId, PacketType, ProtocolVersion, PublishProperties, QoS, frame::Frame,
    reader::Reader, topic,
};

/// An application message with its delivery flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a repetition; never set at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// Quality of service of this hop.
    pub qos: QoS,
    /// Whether the receiver keeps the message for its topic, or sends a kept one.
    pub retain: bool,
    /// A valid topic name; empty only if a topic alias stands for it (MQTT 5).
    pub topic: &'a str,
    /// Present exactly at QoS 1 and 2 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// Empty in 3.1.1.
    pub properties: PublishProperties<'a>,
    /// The message itself.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    #[inline]
    pub(crate) fn decode(version: ProtocolVersion, frame: &Frame<'a>) -> Result<Self, DecodeError> {
        let flags = frame.flags;
        // [MQTT-3.3.1-4]; the frame has checked DUP as well.
        let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(DecodeError::QosReserved { packet: PacketType::Publish })?;
        let mut reader = Reader::new(frame.body);
        let topic = match reader.rest() {
            // An empty name is decided on below, when the alias is known.
            [0, 0, ..] if version == ProtocolVersion::V5 => reader.take(2, "topic name").map(|_| "")?,
            // [MQTT-3.3.2-1], [MQTT-3.3.2-2]
            _ => reader.topic_name("topic name", DecodeError::TopicName)?,
        };
        let packet_id = match qos {
            QoS::AtMostOnce => None, // [MQTT-2.2.1-2]
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id(PacketType::Publish)?),
        };
        let properties = match version {
            ProtocolVersion::V311 => PublishProperties::default(),
            ProtocolVersion::V5 => PublishProperties::decode(reader.property_section()?)?,
        };
        // Section 3.3.2.1: "It is a Protocol Error if the Topic Name is zero length and there is no Topic Alias."
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(DecodeError::TopicMissing);
        }
        Ok(Self {
            dup: flags & 0b1000 != 0,
            qos,
            retain: flags & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Appends the packet. In 3.1.1 the properties are left out.
    ///
    /// # Errors
    /// Something that a receiver would refuse; `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !self.topic.is_empty() {
            let valid = topic::validate_name(self.topic);
            valid.map_err(|_| EncodeError::FieldValue { packet: PacketType::Publish, field: "topic name" })?;
        }
        let subscription_identifiers: SmallVec<[u32; 4]> = self.properties.subscription_identifiers().collect();
        let delivery = Delivery {
            version,
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: self.packet_id,
            topic_alias: self.properties.topic_alias,
            message_expiry_s: self.properties.message_expiry_s,
            subscription_identifiers: &subscription_identifiers,
            forwarded: self.properties.as_forwarded(),
            payload: self.payload,
        };
        delivery.encode(out).map(drop)
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::prelude::*;

    use super::*;
    use crate::generate as part;

    /// What `version` can say.
    pub(crate) fn publish(version: ProtocolVersion) -> impl Strategy<Value = Publish<'static>> {
        let flags = (any::<bool>(), part::qos(), any::<bool>());
        let rest =
            (part::topic_name(), any::<bool>(), part::packet_id(), part::publish_properties(true), part::payload());
        (flags, rest).prop_map(move |((dup, qos, retain), (topic, by_alias, packet_id, properties, payload))| {
            let acknowledged = qos > QoS::AtMostOnce;
            let properties = if version == ProtocolVersion::V5 { properties } else { PublishProperties::default() };
            let topic = if by_alias && properties.topic_alias.is_some() { "" } else { topic };
            let packet_id = acknowledged.then_some(packet_id);
            Publish { dup: dup && acknowledged, qos, retain, topic, packet_id, properties, payload }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, ReasonCode, UserProperties, decode, topic::TopicError};

    fn publish(version: ProtocolVersion, frame: &[u8]) -> Result<Publish<'_>, DecodeError> {
        match decode(version, frame)? {
            Packet::Publish(publish) => Ok(publish),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_topic_identifier_and_payload_are_read() {
        let read = publish(ProtocolVersion::V311, &[0b0011_1101, 7, 0, 1, b't', 0, 9, 1, 2]).expect("valid");
        assert_eq!((read.dup, read.qos, read.retain, read.topic), (true, QoS::ExactlyOnce, true, "t"));
        assert_eq!((read.packet_id.map(PacketId::get), read.payload), (Some(9), &[1, 2][..]));
        let read = publish(ProtocolVersion::V5, &[0x30, 4, 0, 1, b't', 0]).expect("valid");
        assert_eq!(
            (read.dup, read.qos, read.retain, read.packet_id, read.payload),
            (false, QoS::AtMostOnce, false, None, &[][..])
        );
    }

    #[test]
    fn properties_are_read_when_asked_for_and_forwarded_as_they_came() {
        let section = [
            &[0x26, 0, 1, b'a', 0, 1, b'1'][..],
            &[0x02, 0, 0, 0, 60], // expiry
            &[0x01, 1],
            &[0x03, 0, 1, b'c', 0x08, 0, 1, b'r'],
            &[0x0B, 0x80, 0x01, 0x0B, 5], // subscription identifiers
            &[0x23, 0, 7],                // alias
            &[0x09, 0, 2, 8, 9, 0x26, 0, 1, b'a', 0, 1, b'2'],
        ];
        let whole = section.concat();
        let frame = [&[0x30, 5 + whole.len() as u8, 0, 1, b't', whole.len() as u8][..], &whole, b"p"].concat();
        let properties = publish(ProtocolVersion::V5, &frame).expect("valid").properties;
        assert_eq!((properties.topic_alias, properties.message_expiry_s), (Some(7), Some(60)));
        assert_eq!(properties.payload_format(), crate::PayloadFormat::Utf8);
        assert_eq!((properties.content_type(), properties.response_topic()), (Some("c"), Some("r")));
        assert_eq!(properties.correlation_data(), Some(&[8, 9][..]));
        assert_eq!(properties.user_properties(), UserProperties::from_pairs(&[("a", "1"), ("a", "2")]));
        assert!(properties.subscription_identifiers().eq([128, 5]));
        let kept = [section[0].to_vec(), [section[2], section[3]].concat(), section[6].to_vec()];
        assert!(properties.forwarded().eq(kept.iter().map(Vec::as_slice)));
        assert_eq!(properties.forwarded_len(), kept.concat().len());

        let stored = kept.concat();
        let later = PublishProperties::from_forwarded(&stored, Some(30));
        assert_eq!((later.topic_alias, later.message_expiry_s), (None, Some(30)));
        assert!(later.forwarded().eq([&stored[..]]) && later.subscription_identifiers().next().is_none());
        assert_eq!(later.as_forwarded(), properties.as_forwarded());
        assert_eq!(later.user_properties(), properties.user_properties());
    }

    #[test]
    fn topic_names_are_checked() {
        for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
            for topic in [b'#', b'+'] {
                let error = publish(version, &[0x30, 4, 0, 1, topic, 0]).expect_err("wildcard"); // [MQTT-3.3.2-2]
                assert_eq!(error, DecodeError::TopicName(TopicError::WildcardInName));
                assert_eq!(error.reason_code(), ReasonCode::TopicNameInvalid);
            }
            let null = Err(DecodeError::NullCharacter { field: "topic name" });
            assert_eq!(publish(version, &[0x30, 4, 0, 1, 0, 0]), null); // [MQTT-4.7.3-2]
            assert_eq!(publish(version, &[0x30, 4, 0, 1, 0xFF, 0]), Err(DecodeError::Utf8 { field: "topic name" })); // [MQTT-3.3.2-1]
            assert_eq!(publish(version, &[0x30, 3, 0, 2, b't']), Err(DecodeError::Truncated { field: "topic name" }));
            assert_eq!(publish(version, &[0x30, 0]), Err(DecodeError::Truncated { field: "topic name" }));
        }
    }

    #[test]
    fn an_empty_topic_name_needs_an_alias() {
        let empty = Err(DecodeError::TopicName(TopicError::Empty)); // [MQTT-4.7.3-1]
        assert_eq!(publish(ProtocolVersion::V311, &[0x30, 2, 0, 0]), empty);
        assert_eq!(publish(ProtocolVersion::V5, &[0x30, 3, 0, 0, 0]), Err(DecodeError::TopicMissing));
        let by_alias = [0x30, 6, 0, 0, 3, 0x23, 0, 1];
        let by_alias = publish(ProtocolVersion::V5, &by_alias).expect("valid");
        assert_eq!((by_alias.topic, by_alias.properties.topic_alias), ("", Some(1)));
        assert!(by_alias.encode(ProtocolVersion::V311, &mut Vec::new()).is_err());
        let zero = publish(ProtocolVersion::V5, &[0x30, 6, 0, 0, 3, 0x23, 0, 0]).expect_err("alias 0"); // [MQTT-3.3.2-8]
        assert_eq!(zero.reason_code(), ReasonCode::TopicAliasInvalid);
    }

    #[test]
    fn a_packet_identifier_is_not_zero() {
        let error = publish(ProtocolVersion::V311, &[0x32, 5, 0, 1, b't', 0, 0]).expect_err("zero"); // [MQTT-2.2.1-3]
        assert_eq!(error, DecodeError::PacketIdZero { packet: PacketType::Publish });
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        let missing = Err(DecodeError::Truncated { field: "packet identifier" });
        assert_eq!(publish(ProtocolVersion::V311, &[0x32, 3, 0, 1, b't']), missing);
    }

    #[test]
    fn properties_of_other_packets_are_refused() {
        for (section, id) in [(&[0x11, 0, 0, 0, 1][..], 0x11), (&[0x18, 0, 0, 0, 1], 0x18), (&[0x1F, 0, 0], 0x1F)] {
            let frame = [&[0x30, 4 + section.len() as u8, 0, 1, b't', section.len() as u8][..], section].concat();
            let refused = Err(DecodeError::PropertyNotAllowed { packet: PacketType::Publish, id });
            assert_eq!(publish(ProtocolVersion::V5, &frame), refused);
        }
        let missing = Err(DecodeError::Truncated { field: "property length" });
        assert_eq!(publish(ProtocolVersion::V5, &[0x30, 3, 0, 1, b't']), missing); // [MQTT-2.2.2-1]
    }

    #[test]
    fn publishes_that_a_receiver_refuses_are_not_encoded() {
        let valid = publish(ProtocolVersion::V5, &[0x30, 4, 0, 1, b't', 0]).expect("valid");
        let id = Some(PacketId::MIN);
        let alias_zero = PublishProperties { topic_alias: Some(0), ..Default::default() };
        for wrong in [
            Publish { topic: "", ..valid },
            Publish { topic: "a/#", ..valid },
            Publish { packet_id: id, ..valid },
            Publish { qos: QoS::AtLeastOnce, ..valid },
            Publish { dup: true, ..valid },
            Publish { properties: alias_zero, ..valid },
        ] {
            let mut out = vec![1];
            assert!(
                matches!(wrong.encode(ProtocolVersion::V5, &mut out), Err(EncodeError::FieldValue { .. })),
                "{wrong:?}"
            );
            assert_eq!(out, [1]);
        }
        let long = "t".repeat(65_536);
        assert!(Publish { topic: &long, ..valid }.encode(ProtocolVersion::V5, &mut Vec::new()).is_err());
    }
}
