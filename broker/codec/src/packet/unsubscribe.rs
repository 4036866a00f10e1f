//! UNSUBSCRIBE (section 3.10).

use smallvec::SmallVec;

use crate::{
    DecodeError, EncodeError, FILTERS_MAX, PacketId, PacketType, ProtocolVersion, UserProperties,
    property::{Properties, Property},
    reader::Reader,
    topic,
    writer::{put_frame, put_string, put_with_length},
};

/// A request to end subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Returned by UNSUBACK [MQTT-3.10.4-5].
    pub packet_id: PacketId,
    /// At least one valid topic filter [MQTT-3.10.3-2], shared ones in full.
    pub filters: SmallVec<[&'a str; 4]>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Unsubscribe<'a> {
    #[inline(never)]
    pub(crate) fn decode(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::Unsubscribe;
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(packet)?;
        let mut unsubscribe = Self { packet_id, filters: SmallVec::new(), user_properties: UserProperties::EMPTY };
        if version == ProtocolVersion::V5 {
            let section = reader.property_section()?;
            let mut properties = Properties::new(section);
            while let Some(property) = properties.next()? {
                match property {
                    Property::User(..) => unsubscribe.user_properties = UserProperties::from_section(section),
                    other => return Err(other.not_allowed(packet)),
                }
            }
        }
        while !reader.is_empty() {
            if unsubscribe.filters.len() == FILTERS_MAX {
                return Err(DecodeError::TooManyFilters { packet });
            }
            let filter = reader.string("topic filter")?; // [MQTT-3.10.3-1]
            topic::validate_filter(filter).map_err(DecodeError::TopicFilter)?;
            unsubscribe.filters.push(filter);
        }
        if unsubscribe.filters.is_empty() {
            return Err(DecodeError::PayloadEmpty { packet }); // [MQTT-3.10.3-2]
        }
        Ok(unsubscribe)
    }

    /// Appends the packet. In 3.1.1 the user properties are left out.
    ///
    /// # Errors
    /// Something that a receiver would refuse; `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Unsubscribe;
        if self.filters.is_empty() {
            return Err(EncodeError::FieldValue { packet, field: "payload without topic filters" });
        }
        put_frame(out, packet.first_byte(), |out| {
            out.extend_from_slice(&self.packet_id.get().to_be_bytes());
            if version == ProtocolVersion::V5 {
                put_with_length(out, |out| self.user_properties.put(packet, out))?;
            }
            self.filters.iter().try_for_each(|filter| {
                topic::validate_filter(filter)
                    .map_err(|_| EncodeError::FieldValue { packet, field: "topic filter" })?;
                put_string(out, filter, "topic filter")
            })
        })
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::generate as part;

    /// What `version` can say.
    pub(crate) fn unsubscribe(version: ProtocolVersion) -> impl Strategy<Value = Unsubscribe<'static>> {
        let parts = (part::packet_id(), vec(part::topic_filter(), 1..7), part::user_properties());
        parts.prop_map(move |(packet_id, filters, user_properties)| {
            let user_properties = if version == ProtocolVersion::V5 { user_properties } else { UserProperties::EMPTY };
            Unsubscribe { packet_id, filters: filters.into(), user_properties }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, ReasonCode, decode, topic::TopicError};

    fn read(version: ProtocolVersion, frame: &'static [u8]) -> Result<Unsubscribe<'static>, DecodeError> {
        match decode(version, frame)? {
            Packet::Unsubscribe(unsubscribe) => Ok(unsubscribe),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn filters_keep_their_order() {
        let unsubscribe = read(ProtocolVersion::V311, &[0xA2, 8, 0, 7, 0, 1, b'b', 0, 1, b'#']).expect("valid");
        assert_eq!((unsubscribe.packet_id.get(), &unsubscribe.filters[..]), (7, &["b", "#"][..]));
        let unsubscribe =
            read(ProtocolVersion::V5, &[0xA2, 13, 0, 7, 7, 0x26, 0, 1, b'n', 0, 1, b'v', 0, 1, b'b']).expect("valid");
        assert_eq!(unsubscribe.user_properties, UserProperties::from_pairs(&[("n", "v")]));
    }

    #[test]
    fn an_unsubscribe_has_valid_filters() {
        for (version, frame) in
            [(ProtocolVersion::V311, &[0xA2, 2, 0, 1][..]), (ProtocolVersion::V5, &[0xA2, 3, 0, 1, 0])]
        {
            let error = read(version, frame).expect_err("empty"); // [MQTT-3.10.3-2]
            assert_eq!(error, DecodeError::PayloadEmpty { packet: PacketType::Unsubscribe });
        }
        let error = read(ProtocolVersion::V311, &[0xA2, 6, 0, 1, 0, 2, b'a', b'+']).expect_err("not a level");
        assert_eq!(error, DecodeError::TopicFilter(TopicError::SingleLevelWildcard));
        assert_eq!(error.reason_code(), ReasonCode::TopicFilterInvalid);
        let utf8 = Err(DecodeError::Utf8 { field: "topic filter" }); // [MQTT-3.10.3-1]
        assert_eq!(read(ProtocolVersion::V311, &[0xA2, 5, 0, 1, 0, 1, 0xFF]), utf8);
        let foreign = Err(DecodeError::PropertyNotAllowed { packet: PacketType::Unsubscribe, id: 0x0B });
        assert_eq!(read(ProtocolVersion::V5, &[0xA2, 8, 0, 1, 2, 0x0B, 1, 0, 1, b'a']), foreign);
    }

    #[test]
    fn unsubscribes_that_a_server_refuses_are_not_encoded() {
        for filters in [&[][..], &["a", "b#"]] {
            let unsubscribe = Unsubscribe {
                packet_id: PacketId::MIN,
                filters: filters.into(),
                user_properties: UserProperties::EMPTY,
            };
            let mut out = vec![1];
            assert!(matches!(unsubscribe.encode(ProtocolVersion::V5, &mut out), Err(EncodeError::FieldValue { .. })));
            assert_eq!(out, [1]);
        }
    }
}
