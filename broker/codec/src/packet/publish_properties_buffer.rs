//! Publish properties under construction, for whoever publishes.
//!
//! Invariant: the section is one that decoding accepts, because each property is checked as it is written.

use crate::{EncodeError, Forwarded, PacketType, PayloadFormat, PublishProperties, property::Property};

/// Properties under construction, for whoever publishes. Setting one twice, or to what a receiver would refuse, is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishPropertiesBuffer {
    section: Vec<u8>,
    /// One bit per identifier that was set.
    set: u64,
    message_expiry_s: Option<u32>,
    topic_alias: Option<u16>,
    subscription_identifier_bytes: usize,
}

impl PublishPropertiesBuffer {
    /// No properties yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The properties so far, borrowed.
    #[must_use]
    pub fn as_properties(&self) -> PublishProperties<'_> {
        PublishProperties {
            topic_alias: self.topic_alias,
            message_expiry_s: self.message_expiry_s,
            forwarded: Forwarded {
                section: &self.section,
                length: self.section.len() - self.subscription_identifier_bytes,
            },
        }
    }

    /// Sets the lifetime of the message in seconds.
    pub const fn message_expiry_s(&mut self, seconds: u32) -> &mut Self {
        self.message_expiry_s = Some(seconds);
        self
    }

    /// Sets the topic alias; 0 is refused when the packet is encoded.
    pub const fn topic_alias(&mut self, alias: u16) -> &mut Self {
        self.topic_alias = Some(alias);
        self
    }

    /// Says how to read the payload.
    ///
    /// # Errors
    /// Set before.
    pub fn payload_format(&mut self, format: PayloadFormat) -> Result<&mut Self, EncodeError> {
        self.put_once(Property::PayloadFormat(format), "payload format indicator")
    }

    /// Sets the content type.
    ///
    /// # Errors
    /// Set before, too long, or contains U+0000.
    pub fn content_type(&mut self, content_type: &str) -> Result<&mut Self, EncodeError> {
        self.put_once(Property::ContentType(content_type), "content type")
    }

    /// Sets the topic for responses.
    ///
    /// # Errors
    /// Set before, or not a valid topic name.
    pub fn response_topic(&mut self, topic: &str) -> Result<&mut Self, EncodeError> {
        self.put_once(Property::ResponseTopic(topic), "response topic")
    }

    /// Sets the correlation data.
    ///
    /// # Errors
    /// Set before, or longer than 65,535 bytes.
    pub fn correlation_data(&mut self, data: &[u8]) -> Result<&mut Self, EncodeError> {
        self.put_once(Property::CorrelationData(data), "correlation data")
    }

    /// Adds a user property after those that are there.
    ///
    /// # Errors
    /// Name or value is too long or contains U+0000.
    pub fn user_property(&mut self, name: &str, value: &str) -> Result<&mut Self, EncodeError> {
        self.put(Property::User(name, value))
    }

    /// Adds a subscription identifier, as only a server sends it.
    ///
    /// # Errors
    /// Not between 1 and 268,435,455.
    pub fn subscription_identifier(&mut self, identifier: u32) -> Result<&mut Self, EncodeError> {
        let before = self.section.len();
        self.put(Property::SubscriptionIdentifier(identifier))?;
        self.subscription_identifier_bytes += self.section.len() - before;
        Ok(self)
    }

    fn put_once(&mut self, property: Property<'_>, field: &'static str) -> Result<&mut Self, EncodeError> {
        let bit = 1 << property.id();
        if self.set & bit != 0 {
            return Err(EncodeError::FieldValue { packet: PacketType::Publish, field });
        }
        self.put(property)?;
        self.set |= bit;
        Ok(self)
    }

    fn put(&mut self, property: Property<'_>) -> Result<&mut Self, EncodeError> {
        let before = self.section.len();
        property.put(PacketType::Publish, &mut self.section).inspect_err(|_| self.section.truncate(before))?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_set_once() {
        let mut buffer = PublishPropertiesBuffer::new();
        buffer.content_type("a").and_then(|buffer| buffer.user_property("k", "v")).expect("first");
        assert!(buffer.content_type("b").is_err());
        assert!(buffer.response_topic("#").is_err());
        buffer
            .response_topic("r")
            .and_then(|buffer| buffer.user_property("k", "v"))
            .expect("a failed attempt leaves no trace");
        let properties = buffer.as_properties();
        assert_eq!((properties.content_type(), properties.response_topic()), (Some("a"), Some("r")));
        assert_eq!(properties.user_properties().iter().count(), 2);
        assert_eq!(properties.payload_format(), PayloadFormat::Bytes);
    }
}
