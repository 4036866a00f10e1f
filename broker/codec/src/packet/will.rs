//! The will message inside CONNECT (sections 3.1.3.2 to 3.1.3.4). Not a packet of its own.

use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, PublishProperties, QoS,
    property::Property,
    reader::Reader,
    topic,
    writer::{put_binary, put_string, put_with_length},
};

/// The message that a server publishes for a client that disappears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Will<'a> {
    /// Quality of service of the message.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// A valid topic name.
    pub topic: &'a str,
    /// The message itself.
    pub payload: &'a [u8],
    /// How long the server waits before it publishes, in seconds (section 3.1.3.2.2).
    pub delay_s: u32,
    /// Properties of the message; no topic alias and no subscription identifiers.
    pub properties: PublishProperties<'a>,
}

impl<'a> Will<'a> {
    pub(crate) fn decode(
        version: ProtocolVersion,
        qos: QoS,
        retain: bool,
        reader: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let (properties, delay_s) = match version {
            ProtocolVersion::V311 => Default::default(),
            ProtocolVersion::V5 => PublishProperties::decode_will(reader.property_section()?)?,
        };
        // [MQTT-3.1.3-11], [MQTT-4.7.0-1], [MQTT-4.7.3-1]
        let topic = reader.topic_name("will topic", DecodeError::TopicName)?;
        let payload = reader.binary("will payload")?;
        Ok(Self { qos, retain, topic, payload, delay_s, properties })
    }

    pub(crate) fn put(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Connect;
        topic::validate_name(self.topic).map_err(|_| EncodeError::FieldValue { packet, field: "will topic" })?;
        if self.properties.topic_alias.is_some() || self.properties.subscription_identifiers().next().is_some() {
            return Err(EncodeError::FieldValue { packet, field: "will properties" });
        }
        if version == ProtocolVersion::V5 {
            put_with_length(out, |out| {
                if self.delay_s != 0 {
                    Property::WillDelay(self.delay_s).put(packet, out)?;
                }
                self.properties
                    .message_expiry_s
                    .map_or(Ok(()), |seconds| Property::MessageExpiry(seconds).put(packet, out))?;
                self.properties.as_forwarded().append_to(out);
                Ok(())
            })?;
        }
        put_string(out, self.topic, "will topic")?;
        put_binary(out, self.payload, "will payload")
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::prelude::*;

    use super::*;
    use crate::generate as part;

    /// What `version` can say.
    pub(crate) fn will(version: ProtocolVersion) -> impl Strategy<Value = Will<'static>> {
        let parts = (
            part::qos(),
            any::<bool>(),
            part::topic_name(),
            part::bytes(),
            any::<u32>(),
            part::publish_properties(false),
        );
        parts.prop_map(move |(qos, retain, topic, payload, delay_s, properties)| match version {
            ProtocolVersion::V311 => {
                Will { qos, retain, topic, payload, delay_s: 0, properties: PublishProperties::default() }
            }
            ProtocolVersion::V5 => Will { qos, retain, topic, payload, delay_s, properties },
        })
    }
}
