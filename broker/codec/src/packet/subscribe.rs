//! SUBSCRIBE (section 3.8).

use smallvec::SmallVec;

use crate::{
    DecodeError, EncodeError, PacketId, PacketType, ProtocolVersion, QoS, UserProperties,
    property::{Properties, Property, id},
    reader::Reader,
    topic,
    writer::{put_frame, put_string, put_with_length},
};

/// Filters of one packet: what comes of a larger one would keep others waiting, whatever becomes of it.
pub const FILTERS_MAX: usize = 10_000;

/// A request for subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Returned by SUBACK [MQTT-3.8.4-2].
    pub packet_id: PacketId,
    /// Identifies the subscriptions in what they deliver; 1 to 268,435,455.
    pub subscription_identifier: Option<u32>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// At least one [MQTT-3.8.3-2].
    pub filters: SmallVec<[SubscribeFilter<'a>; 4]>,
}

/// One topic filter with its options (section 3.8.3.1). In 3.1.1 all options but the QoS have their default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// A valid topic filter, shared ones in full.
    pub filter: &'a str,
    /// Highest quality of service for what is delivered.
    pub qos: QoS,
    /// Not to get one's own messages [MQTT-3.8.3-3]; never set for a shared subscription [MQTT-3.8.3-4].
    pub no_local: bool,
    /// Whether the RETAIN flag is passed on [MQTT-3.3.1-12], [MQTT-3.3.1-13].
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl<'a> SubscribeFilter<'a> {
    /// A filter with default options.
    #[must_use]
    pub const fn new(filter: &'a str, qos: QoS) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }
}

/// When retained messages are sent to a subscriber ([MQTT-3.3.1-9] to [MQTT-3.3.1-11]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each subscribe.
    #[default]
    SendAtSubscribe = 0,
    /// Only if the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// Bits of the subscription options.
mod option {
    pub const NO_LOCAL: u8 = 1 << 2;
    pub const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
    pub const RETAIN_HANDLING_SHIFT: u8 = 4;
    pub const RESERVED: u8 = 0b1100_0000;
    pub const RESERVED_IN_3_1_1: u8 = 0b1111_1100;
}

impl<'a> Subscribe<'a> {
    #[inline(never)]
    pub(crate) fn decode(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::Subscribe;
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(packet)?;
        let mut subscribe = Self {
            packet_id,
            subscription_identifier: None,
            user_properties: UserProperties::EMPTY,
            filters: SmallVec::new(),
        };
        if version == ProtocolVersion::V5 {
            subscribe.decode_properties(reader.property_section()?)?;
        }
        while !reader.is_empty() {
            if subscribe.filters.len() == FILTERS_MAX {
                return Err(DecodeError::TooManyFilters { packet });
            }
            subscribe.filters.push(SubscribeFilter::decode(version, &mut reader)?);
        }
        if subscribe.filters.is_empty() {
            return Err(DecodeError::PayloadEmpty { packet }); // [MQTT-3.8.3-2]
        }
        Ok(subscribe)
    }

    fn decode_properties(&mut self, section: &'a [u8]) -> Result<(), DecodeError> {
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                // Section 3.8.2.1.2: "It is a Protocol Error to include the Subscription Identifier more than once."
                Property::SubscriptionIdentifier(_) if self.subscription_identifier.is_some() => {
                    return Err(DecodeError::PropertyRepeated { id: id::SUBSCRIPTION_IDENTIFIER });
                }
                Property::SubscriptionIdentifier(identifier) => self.subscription_identifier = Some(identifier),
                Property::User(..) => self.user_properties = UserProperties::from_section(section),
                other => return Err(other.not_allowed(PacketType::Subscribe)),
            }
        }
        Ok(())
    }

    /// Appends the packet. In 3.1.1 the properties and all options but the QoS are left out.
    ///
    /// # Errors
    /// Something that a receiver would refuse; `out` is then unchanged.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Subscribe;
        if self.filters.is_empty() {
            return Err(EncodeError::FieldValue { packet, field: "payload without topic filters" });
        }
        put_frame(out, packet.first_byte(), |out| {
            out.extend_from_slice(&self.packet_id.get().to_be_bytes());
            if version == ProtocolVersion::V5 {
                put_with_length(out, |out| {
                    let identifier = self.subscription_identifier.map(Property::SubscriptionIdentifier);
                    identifier.map_or(Ok(()), |property| property.put(packet, out))?;
                    self.user_properties.put(packet, out)
                })?;
            }
            self.filters.iter().try_for_each(|filter| filter.put(version, out))
        })
    }
}

impl<'a> SubscribeFilter<'a> {
    fn decode(version: ProtocolVersion, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let filter = reader.string("topic filter")?; // [MQTT-3.8.3-1]
        topic::validate_filter(filter).map_err(DecodeError::TopicFilter)?;
        let bits = reader.byte("subscription options")?;
        let reserved = match version {
            ProtocolVersion::V311 => option::RESERVED_IN_3_1_1,
            ProtocolVersion::V5 => option::RESERVED,
        };
        if bits & reserved != 0 {
            return Err(DecodeError::SubscriptionOptionsReserved { bits }); // [MQTT-3.8.3-5]
        }
        let qos = QoS::from_bits(bits & 0b11).ok_or(DecodeError::SubscriptionQos { version })?;
        let retain_handling = match bits >> option::RETAIN_HANDLING_SHIFT & 0b11 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling), // section 3.8.3.1
        };
        let no_local = bits & option::NO_LOCAL != 0;
        if no_local && topic::shared(filter).is_some() {
            return Err(DecodeError::NoLocalOnShared); // [MQTT-3.8.3-4]
        }
        Ok(Self {
            filter,
            qos,
            no_local,
            retain_as_published: bits & option::RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }

    fn put(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Subscribe;
        topic::validate_filter(self.filter).map_err(|_| EncodeError::FieldValue { packet, field: "topic filter" })?;
        let mut bits = self.qos.bits();
        if version == ProtocolVersion::V5 {
            if self.no_local && topic::shared(self.filter).is_some() {
                return Err(EncodeError::FieldValue { packet, field: "no local on a shared subscription" });
            }
            bits |= if self.no_local { option::NO_LOCAL } else { 0 };
            bits |= if self.retain_as_published { option::RETAIN_AS_PUBLISHED } else { 0 };
            bits |= (self.retain_handling as u8) << option::RETAIN_HANDLING_SHIFT;
        }
        put_string(out, self.filter, "topic filter")?;
        out.push(bits);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::generate as part;

    fn filter(version: ProtocolVersion) -> impl Strategy<Value = SubscribeFilter<'static>> {
        let handling = prop_oneof![
            Just(RetainHandling::SendAtSubscribe),
            Just(RetainHandling::SendIfNew),
            Just(RetainHandling::DoNotSend)
        ];
        let parts = (part::topic_filter(), part::qos(), any::<bool>(), any::<bool>(), handling);
        parts.prop_map(move |(filter, qos, no_local, retain_as_published, retain_handling)| match version {
            ProtocolVersion::V311 => SubscribeFilter::new(filter, qos),
            ProtocolVersion::V5 => {
                let no_local = no_local && topic::shared(filter).is_none();
                SubscribeFilter { filter, qos, no_local, retain_as_published, retain_handling }
            }
        })
    }

    /// What `version` can say.
    pub(crate) fn subscribe(version: ProtocolVersion) -> impl Strategy<Value = Subscribe<'static>> {
        let properties = (option::of(part::subscription_identifier()), part::user_properties());
        let parts = (part::packet_id(), properties, vec(filter(version), 1..7));
        parts.prop_map(move |(packet_id, (subscription_identifier, user_properties), filters)| {
            let filters = filters.into();
            match version {
                ProtocolVersion::V311 => Subscribe {
                    packet_id,
                    subscription_identifier: None,
                    user_properties: UserProperties::EMPTY,
                    filters,
                },
                ProtocolVersion::V5 => Subscribe { packet_id, subscription_identifier, user_properties, filters },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, ReasonCode, decode, topic::TopicError};

    fn read(version: ProtocolVersion, body: &[u8]) -> Result<Subscribe<'static>, DecodeError> {
        let frame = [&[0x82, body.len() as u8][..], body].concat();
        match decode(version, frame.leak())? {
            Packet::Subscribe(subscribe) => Ok(subscribe),
            other => panic!("{other:?}"),
        }
    }

    fn options(version: ProtocolVersion, bits: u8) -> Result<SubscribeFilter<'static>, DecodeError> {
        let body = match version {
            ProtocolVersion::V311 => vec![0, 1, 0, 1, b'f', bits],
            ProtocolVersion::V5 => vec![0, 1, 0, 0, 1, b'f', bits],
        };
        read(version, &body).map(|subscribe| subscribe.filters[0])
    }

    #[test]
    fn filters_keep_their_order_and_options() {
        let body = [0, 9, 9, 0x0B, 5, 0x26, 0, 1, b'n', 0, 1, b'v', 0, 1, b'a', 0b0010_1110, 0, 1, b'#', 0];
        let subscribe = read(ProtocolVersion::V5, &body).expect("valid");
        assert_eq!((subscribe.packet_id.get(), subscribe.subscription_identifier), (9, Some(5)));
        assert_eq!(subscribe.user_properties, UserProperties::from_pairs(&[("n", "v")]));
        let first = SubscribeFilter {
            filter: "a",
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
        };
        assert_eq!(subscribe.filters[..], [first, SubscribeFilter::new("#", QoS::AtMostOnce)]);
    }

    #[test]
    fn every_options_byte_is_judged_by_the_version() {
        for bits in 0..=u8::MAX {
            let in_3_1_1 = match bits {
                0..=2 => None,
                3 => Some(ReasonCode::MalformedPacket),
                _ => Some(ReasonCode::MalformedPacket),
            };
            assert_eq!(
                options(ProtocolVersion::V311, bits).err().map(|error| error.reason_code()),
                in_3_1_1,
                "{bits:#010b}"
            );
            let in_5 = if bits >> 6 != 0 {
                Some(ReasonCode::MalformedPacket) // [MQTT-3.8.3-5]
            } else if bits & 0b11 == 3 || bits >> 4 == 3 {
                Some(ReasonCode::ProtocolError)
            } else {
                None
            };
            assert_eq!(options(ProtocolVersion::V5, bits).err().map(|error| error.reason_code()), in_5, "{bits:#010b}");
        }
    }

    #[test]
    fn a_subscribe_has_a_filter() {
        for (version, body) in [(ProtocolVersion::V311, &[0, 1][..]), (ProtocolVersion::V5, &[0, 1, 0])] {
            let error = read(version, body).expect_err("empty"); // [MQTT-3.8.3-2]
            assert_eq!(error, DecodeError::PayloadEmpty { packet: PacketType::Subscribe });
            assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        }
        let cut = Err(DecodeError::Truncated { field: "subscription options" });
        assert_eq!(read(ProtocolVersion::V311, &[0, 1, 0, 1, b'a']), cut);
        let zero = Err(DecodeError::PacketIdZero { packet: PacketType::Subscribe });
        assert_eq!(read(ProtocolVersion::V311, &[0, 0, 0, 1, b'a', 0]), zero);
    }

    #[test]
    fn a_packet_has_so_many_filters_and_no_more() {
        use crate::{Unsubscribe, packet_id::PacketId};
        for (count, refused) in [(FILTERS_MAX, false), (FILTERS_MAX + 1, true)] {
            let filters = vec![SubscribeFilter::new("f", QoS::AtMostOnce); count].into();
            let (packet_id, user_properties) = (PacketId::MIN, UserProperties::EMPTY);
            let subscribe = Subscribe { packet_id, subscription_identifier: None, user_properties, filters };
            let filters = vec!["f"; count].into();
            let unsubscribe = Unsubscribe { packet_id, filters, user_properties };
            for packet in [Packet::Subscribe(subscribe), Packet::Unsubscribe(unsubscribe)] {
                let mut frame = Vec::new();
                crate::encode(ProtocolVersion::V5, &packet, &mut frame).expect("a receiver may take more");
                let error = decode(ProtocolVersion::V5, &frame).err().map(|error| error.reason_code());
                assert_eq!(error, refused.then_some(ReasonCode::QuotaExceeded), "{count} filters");
            }
        }
    }

    #[test]
    fn filters_are_checked() {
        let error = read(ProtocolVersion::V311, &[0, 1, 0, 2, b'a', b'#', 0]).expect_err("not a level");
        assert_eq!(error, DecodeError::TopicFilter(TopicError::MultiLevelWildcard));
        assert_eq!(error.reason_code(), ReasonCode::TopicFilterInvalid);
        let utf8 = Err(DecodeError::Utf8 { field: "topic filter" }); // [MQTT-3.8.3-1]
        assert_eq!(read(ProtocolVersion::V311, &[0, 1, 0, 1, 0xC0, 0]), utf8);
        assert_eq!(read(ProtocolVersion::V311, &[0, 1, 0, 0, 0]), Err(DecodeError::TopicFilter(TopicError::Empty)));
    }

    #[test]
    fn no_local_and_shared_exclude_each_other() {
        let shared = |bits| [&[0, 1, 0, 0, 10][..], b"$share/g/t", &[bits]].concat();
        assert!(read(ProtocolVersion::V5, &shared(0)).is_ok());
        assert_eq!(read(ProtocolVersion::V5, &shared(0b100)), Err(DecodeError::NoLocalOnShared)); // [MQTT-3.8.3-4]
    }

    #[test]
    fn one_subscription_identifier_that_is_not_zero() {
        let with = |section: &[u8]| [&[0, 1, section.len() as u8][..], section, &[0, 1, b'a', 0]].concat();
        assert_eq!(
            read(ProtocolVersion::V5, &with(&[0x0B, 1, 0x0B, 1])),
            Err(DecodeError::PropertyRepeated { id: 0x0B })
        );
        assert_eq!(read(ProtocolVersion::V5, &with(&[0x0B, 0])), Err(DecodeError::PropertyValue { id: 0x0B }));
        let foreign = Err(DecodeError::PropertyNotAllowed { packet: PacketType::Subscribe, id: 0x1F });
        assert_eq!(read(ProtocolVersion::V5, &with(&[0x1F, 0, 0])), foreign);
    }

    #[test]
    fn subscribes_that_a_server_refuses_are_not_encoded() {
        let subscribe = |filters: &[SubscribeFilter<'static>], identifier| Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: identifier,
            user_properties: UserProperties::EMPTY,
            filters: filters.into(),
        };
        let filter = SubscribeFilter::new("a", QoS::AtMostOnce);
        let shared = SubscribeFilter { filter: "$share/g/a", no_local: true, ..filter };
        for wrong in [
            subscribe(&[], None),
            subscribe(&[SubscribeFilter { filter: "a#", ..filter }], None),
            subscribe(&[shared], None),
            subscribe(&[filter], Some(0)),
        ] {
            assert!(
                matches!(wrong.encode(ProtocolVersion::V5, &mut Vec::new()), Err(EncodeError::FieldValue { .. })),
                "{wrong:?}"
            );
        }
    }
}
