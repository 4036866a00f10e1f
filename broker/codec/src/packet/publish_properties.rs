//! Properties of an application message (sections 3.3.2.3 and 3.1.3.2): checked once, then kept as the bytes they came in.
//!
//! What a server must pass on unaltered ([MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-18], [MQTT-3.3.2-20]) is a run of
//! those bytes, so forwarding copies and never rebuilds. Invariant: a section in here has been decoded without error,
//! or was built by this module.

use std::fmt;

use super::forwarded::iterate;
use crate::{
    DecodeError, Forwarded, PacketType, PayloadFormat, UserProperties,
    property::{Properties, Property},
};

/// The properties of a PUBLISH or of a will message.
#[derive(Clone, Copy, Default)]
pub struct PublishProperties<'a> {
    /// Stands for a topic name on this connection; never 0 [MQTT-3.3.2-8].
    pub topic_alias: Option<u16>,
    /// Lifetime of the message in seconds (section 3.3.2.3.3).
    pub message_expiry_s: Option<u32>,
    pub(super) forwarded: Forwarded<'a>,
}

impl<'a> PublishProperties<'a> {
    /// Properties that were stored earlier: the concatenation of [`PublishProperties::forwarded`]. Bytes of any other
    /// origin would be sent as they are.
    #[inline]
    #[must_use]
    pub const fn from_forwarded(bytes: &'a [u8], message_expiry_s: Option<u32>) -> Self {
        Self { topic_alias: None, message_expiry_s, forwarded: Forwarded::from_stored(bytes) }
    }

    /// What is forwarded unaltered, in original order: everything but topic alias, message expiry interval, subscription
    /// identifiers and will delay, which are decided anew for each delivery. From a client at most three slices.
    #[inline]
    pub fn forwarded(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.forwarded.segments()
    }

    /// Sum of the lengths of [`PublishProperties::forwarded`], in bytes.
    #[inline]
    #[must_use]
    pub const fn forwarded_len(&self) -> usize {
        self.forwarded.len()
    }

    /// The same as one value, as [`Delivery`](crate::Delivery) takes it.
    #[inline]
    #[must_use]
    pub const fn as_forwarded(&self) -> Forwarded<'a> {
        self.forwarded
    }

    /// How to read the payload; [`PayloadFormat::Bytes`] where the property is absent.
    #[must_use]
    pub fn payload_format(&self) -> PayloadFormat {
        let format = self.find(|property| match property {
            Property::PayloadFormat(format) => Some(format),
            _ => None,
        });
        format.unwrap_or_default()
    }

    /// Content type (section 3.3.2.3.9).
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ContentType(content_type) => Some(content_type),
            _ => None,
        })
    }

    /// Where a response is expected (section 3.3.2.3.5); a valid topic name.
    #[must_use]
    pub fn response_topic(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ResponseTopic(topic) => Some(topic),
            _ => None,
        })
    }

    /// Correlation data (section 3.3.2.3.6).
    #[must_use]
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.find(|property| match property {
            Property::CorrelationData(data) => Some(data),
            _ => None,
        })
    }

    /// User properties (section 3.3.2.3.7).
    #[inline]
    #[must_use]
    pub const fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::from_section(self.forwarded.section)
    }

    /// Subscription identifiers, 1 to 268,435,455 each. A server refuses a PUBLISH that has any [MQTT-3.3.4-6].
    #[inline]
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        let properties = if self.forwarded.is_whole() { &[] } else { self.forwarded.section };
        iterate(properties).filter_map(|property| match property {
            Property::SubscriptionIdentifier(identifier) => Some(identifier),
            _ => None,
        })
    }

    fn find<T>(&self, select: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        iterate(self.forwarded.section).find_map(select)
    }

    /// Decodes the property section of a PUBLISH.
    #[inline]
    pub(crate) fn decode(section: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoded =
            Self { topic_alias: None, message_expiry_s: None, forwarded: Forwarded::from_stored(section) };
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next_inlined()? {
            match property {
                Property::TopicAlias(alias) => {
                    decoded.topic_alias = Some(alias);
                    decoded.forwarded.length -= property_length(&property);
                }
                Property::MessageExpiry(seconds) => {
                    decoded.message_expiry_s = Some(seconds);
                    decoded.forwarded.length -= property_length(&property);
                }
                Property::SubscriptionIdentifier(_) => decoded.forwarded.length -= property_length(&property),
                Property::PayloadFormat(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::User(..) => {}
                other => return Err(other.not_allowed(PacketType::Publish)),
            }
        }
        Ok(decoded)
    }

    /// Decodes the property section of a will; gives the will delay in seconds beside it.
    pub(crate) fn decode_will(section: &'a [u8]) -> Result<(Self, u32), DecodeError> {
        let mut decoded =
            Self { topic_alias: None, message_expiry_s: None, forwarded: Forwarded::from_stored(section) };
        let mut delay_s = 0;
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                Property::WillDelay(seconds) => {
                    delay_s = seconds;
                    decoded.forwarded.length -= property_length(&property);
                }
                Property::MessageExpiry(seconds) => {
                    decoded.message_expiry_s = Some(seconds);
                    decoded.forwarded.length -= property_length(&property);
                }
                Property::PayloadFormat(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::User(..) => {}
                other => return Err(other.not_allowed(PacketType::Connect)),
            }
        }
        Ok((decoded, delay_s))
    }
}

impl PartialEq for PublishProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.topic_alias, self.message_expiry_s, self.forwarded)
            == (other.topic_alias, other.message_expiry_s, other.forwarded)
            && self.subscription_identifiers().eq(other.subscription_identifiers())
    }
}

impl Eq for PublishProperties<'_> {}

impl fmt::Debug for PublishProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishProperties")
            .field("topic_alias", &self.topic_alias)
            .field("message_expiry_s", &self.message_expiry_s)
            .field("properties", &iterate(self.forwarded.section).collect::<Vec<_>>())
            .finish()
    }
}

/// Encoded length in bytes of a property that is not forwarded.
#[inline]
const fn property_length(property: &Property<'_>) -> usize {
    match property {
        Property::TopicAlias(_) => 3,
        Property::MessageExpiry(_) | Property::WillDelay(_) => 5,
        Property::SubscriptionIdentifier(value) => 1 + crate::writer::variable_byte_integer_length(*value as usize),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_that_are_no_properties_are_only_carried() {
        let properties = PublishProperties::from_forwarded(&[0xFF, 0xFF], None);
        assert_eq!((properties.content_type(), properties.forwarded_len()), (None, 2));
        assert!(properties.user_properties().is_empty());
    }
}
