//! Random parts of packets for property tests. Packets borrow, so generated strings and bytes are leaked: a few
//! megabytes at the end of a test run, and every strategy gives `'static` values.

use proptest::{collection::vec, option, prelude::*};

use crate::{PacketId, PayloadFormat, PublishProperties, PublishPropertiesBuffer, QoS, ReasonCode, UserProperties};

fn leaked<T: 'static>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Any string without U+0000.
pub(crate) fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => "[ -~]{0,12}",
        1 => "[^\\x00]{0,12}",
    ]
    .prop_map(|text| leaked(text).as_str())
}

pub(crate) fn bytes() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| leaked(bytes).as_slice())
}

/// Payloads around the lengths where a remaining length grows.
pub(crate) fn payload() -> impl Strategy<Value = &'static [u8]> {
    let around_a_border =
        prop_oneof![100_usize..140, 16_300_usize..16_400].prop_map(|length| leaked(vec![b'p'; length]).as_slice());
    prop_oneof![4 => bytes(), 1 => around_a_border]
}

pub(crate) fn topic_name() -> impl Strategy<Value = &'static str> {
    let name = prop_oneof![4 => "[a-z$/ ]{1,12}", 1 => "[^\\x00+#]{1,12}"];
    name.prop_map(|name| leaked(name).as_str())
}

pub(crate) fn topic_filter() -> impl Strategy<Value = &'static str> {
    let level = prop_oneof![3 => "[a-z$ü]{0,3}", 1 => Just("+".to_owned())];
    let filter = (vec(level, 1..4), any::<bool>()).prop_map(|(levels, all)| {
        let levels = levels.join("/");
        if all || levels.is_empty() { format!("{levels}/#") } else { levels }
    });
    let share = option::weighted(0.3, "[a-z]{1,3}");
    (share, filter).prop_map(|(share, filter)| {
        let filter = match share {
            Some(share) => format!("$share/{share}/{filter}"),
            None => filter,
        };
        leaked(filter).as_str()
    })
}

pub(crate) fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|value| PacketId::new(value).expect("not zero"))
}

pub(crate) fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

/// A reason code of a packet, by what that packet may carry; success more often, because it has forms of its own.
pub(crate) fn reason(may_carry: impl Fn(ReasonCode) -> bool) -> impl Strategy<Value = ReasonCode> {
    prop_oneof![1 => Just(ReasonCode::Success), 3 => proptest::sample::select(allowed(may_carry))]
}

/// The payload of a SUBACK or UNSUBACK.
pub(crate) fn reasons(may_carry: impl Fn(ReasonCode) -> bool) -> impl Strategy<Value = &'static [ReasonCode]> {
    vec(proptest::sample::select(allowed(may_carry)), 1..5).prop_map(|reasons| leaked(reasons).as_slice())
}

fn allowed(may_carry: impl Fn(ReasonCode) -> bool) -> Vec<ReasonCode> {
    ReasonCode::ALL.into_iter().filter(|reason| may_carry(*reason)).collect()
}

pub(crate) fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..3).prop_map(|pairs| UserProperties::from_pairs(leaked(pairs)))
}

pub(crate) fn subscription_identifier() -> impl Strategy<Value = u32> {
    prop_oneof![1_u32..300, 1..=crate::REMAINING_LENGTH_MAX]
}

/// Properties of an application message in a random order; `delivered` adds what a will cannot have.
pub(crate) fn publish_properties(delivered: bool) -> impl Strategy<Value = PublishProperties<'static>> {
    let own = (
        option::of(Just(PayloadFormat::Utf8)),
        option::of(text()),
        option::of(topic_name()),
        option::of(bytes()),
        vec((text(), text()), 0..3),
        vec(subscription_identifier(), 0..3),
    );
    let order = Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle();
    let decided_anew = (option::of(any::<u32>()), option::of(1..=u16::MAX));
    (own, order, decided_anew).prop_map(move |(own, order, (expiry, alias))| {
        let (format, content_type, response_topic, correlation_data, pairs, identifiers) = own;
        let mut buffer = PublishPropertiesBuffer::new();
        for place in order {
            match place {
                0 => format.map(|format| buffer.payload_format(format).map(drop)).into_iter().collect(),
                1 => content_type.map(|text| buffer.content_type(text).map(drop)).into_iter().collect(),
                2 => response_topic.map(|topic| buffer.response_topic(topic).map(drop)).into_iter().collect(),
                3 => correlation_data.map(|data| buffer.correlation_data(data).map(drop)).into_iter().collect(),
                4 => pairs.iter().try_for_each(|(name, value)| buffer.user_property(name, value).map(drop)),
                _ if delivered => {
                    identifiers.iter().try_for_each(|value| buffer.subscription_identifier(*value).map(drop))
                }
                _ => Ok(()),
            }
            .expect("generated properties are valid");
        }
        let mut properties = leaked(buffer).as_properties();
        properties.message_expiry_s = expiry;
        properties.topic_alias = alias.filter(|_| delivered);
        properties
    })
}
