//! Where the fuzzer begins: one valid packet of each type in each version, with every property somewhere, and malformed
//! ones that each break one rule.

use std::num::{NonZeroU16, NonZeroU32};

use selvedge_codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, PayloadFormat, ProtocolVersion, Publish,
    PublishPropertiesBuffer, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck,
    Unsubscribe, UserProperties, Will, encode,
};

const USER: UserProperties<'_> = UserProperties::from_pairs(&[("name", "value"), ("name", "ü")]);
const ID: PacketId = PacketId::MIN;

/// File name and content of each seed.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        valid_packets(version, |variant, packet| {
            let mut input = vec![version_byte(version)];
            // What 3.1.1 cannot say is not a seed of it.
            if encode(version, packet, &mut input).is_ok() {
                seeds.push((format!("valid-{}-{}{variant}", version.level(), packet.packet_type()), input));
            }
        });
    }
    for (name, version, frame) in MALFORMED {
        seeds.push((format!("malformed-{}-{name}", version.level()), [&[version_byte(*version)], *frame].concat()));
    }
    seeds
}

fn version_byte(version: ProtocolVersion) -> u8 {
    match version {
        ProtocolVersion::V311 => 0,
        ProtocolVersion::V5 => 1,
    }
}

fn valid_packets(version: ProtocolVersion, mut add: impl FnMut(&str, &Packet<'_>)) {
    connection_packets(version, &mut add);
    message_packets(&mut add);
    subscription_packets(&mut add);
}

fn connection_packets(version: ProtocolVersion, add: &mut impl FnMut(&str, &Packet<'_>)) {
    let mut will_properties = PublishPropertiesBuffer::new();
    will_properties.content_type("text/plain").expect("valid").message_expiry_s(60);
    let will_properties = will_properties.as_properties();
    let will = Will {
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "will/t",
        payload: b"gone",
        delay_s: 5,
        properties: will_properties,
    };
    let plain = Connect::new(version, "client", true);
    add("", &Packet::Connect(Box::new(plain)));
    let full = Connect {
        keep_alive_s: 60,
        username: Some("user"),
        password: Some(b"password"),
        will: Some(will),
        session_expiry_s: Some(u32::MAX),
        receive_maximum: NonZeroU16::new(20),
        maximum_packet_size: NonZeroU32::new(65_536),
        topic_alias_maximum: 10,
        request_response_information: true,
        request_problem_information: false,
        user_properties: USER,
        authentication_method: Some("SCRAM-SHA-256"),
        authentication_data: Some(&[1, 2, 3]),
        ..plain
    };
    add("-full", &Packet::Connect(Box::new(full)));
    add("", &Packet::ConnAck(ConnAck::default()));
    let full = ConnAck {
        session_expiry_s: Some(3_600),
        receive_maximum: NonZeroU16::new(100),
        maximum_qos: QoS::AtLeastOnce,
        retain_available: false,
        maximum_packet_size: NonZeroU32::new(1_048_576),
        assigned_client_id: Some("auto-1"),
        topic_alias_maximum: 16,
        reason_string: Some("moved"),
        user_properties: USER,
        wildcard_subscription_available: false,
        subscription_identifiers_available: false,
        shared_subscription_available: false,
        server_keep_alive_s: Some(30),
        response_information: Some("answers/"),
        server_reference: Some("other:1883"),
        authentication_method: Some("m"),
        authentication_data: Some(&[]),
        reason: ReasonCode::ServerMoved,
        session_present: false,
    };
    add("-full", &Packet::ConnAck(full));
    add("", &Packet::PingReq);
    add("", &Packet::PingResp);
    add("", &Packet::Disconnect(Disconnect::default()));
    let full = Disconnect {
        reason: ReasonCode::UseAnotherServer,
        session_expiry_s: Some(0),
        reason_string: Some("why"),
        server_reference: Some("other"),
        user_properties: USER,
    };
    add("-full", &Packet::Disconnect(full));
    add("", &Packet::Auth(Auth::default()));
    let reason = ReasonCode::ContinueAuthentication;
    let auth = Auth { reason, method: Some("m"), data: Some(&[9]), reason_string: Some("more"), user_properties: USER };
    add("-full", &Packet::Auth(auth));
}

fn message_packets(add: &mut impl FnMut(&str, &Packet<'_>)) {
    let plain = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: None,
        properties: Default::default(),
        payload: b"payload",
    };
    add("", &Packet::Publish(plain));
    let mut properties = PublishPropertiesBuffer::new();
    properties
        .user_property("first", "1")
        .and_then(|properties| properties.payload_format(PayloadFormat::Utf8))
        .and_then(|properties| properties.subscription_identifier(300))
        .and_then(|properties| properties.content_type("application/json"))
        .and_then(|properties| properties.response_topic("answers/7"))
        .and_then(|properties| properties.subscription_identifier(1))
        .and_then(|properties| properties.correlation_data(&[0, 255]))
        .and_then(|properties| properties.user_property("first", "2"))
        .expect("valid");
    properties.message_expiry_s(10).topic_alias(3);
    let full = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        packet_id: Some(ID),
        properties: properties.as_properties(),
        ..plain
    };
    add("-full", &Packet::Publish(full));
    add("-by-alias", &Packet::Publish(Publish { topic: "", ..full }));
    let long = vec![b'x'; 200];
    add(
        "-long",
        &Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: Some(PacketId::MAX), payload: &long, ..plain }),
    );

    for wrap in [Packet::PubAck, Packet::PubRec, Packet::PubRel, Packet::PubComp] {
        add("", &wrap(Ack::success(ID)));
        add("-explained", &wrap(Ack { reason_string: Some("why"), user_properties: USER, ..Ack::success(ID) }));
        add("-refused", &wrap(Ack::with_reason(ID, ReasonCode::QuotaExceeded)));
        add("-not-found", &wrap(Ack::with_reason(ID, ReasonCode::PacketIdentifierNotFound)));
    }
}

fn subscription_packets(add: &mut impl FnMut(&str, &Packet<'_>)) {
    let filters = [
        SubscribeFilter {
            no_local: true,
            retain_as_published: true,
            ..SubscribeFilter::new("a/+/#", QoS::ExactlyOnce)
        },
        SubscribeFilter {
            retain_handling: RetainHandling::DoNotSend,
            ..SubscribeFilter::new("$share/group/t", QoS::AtLeastOnce)
        },
        SubscribeFilter {
            retain_handling: RetainHandling::SendIfNew,
            ..SubscribeFilter::new("$SYS/#", QoS::AtMostOnce)
        },
    ];
    let identifier = Some(268_435_455);
    let subscribe = Subscribe {
        packet_id: ID,
        subscription_identifier: identifier,
        user_properties: USER,
        filters: filters[..].into(),
    };
    add("", &Packet::Subscribe(subscribe));
    let reasons = [ReasonCode::GrantedQoS2, ReasonCode::NotAuthorized, ReasonCode::Success];
    let suback =
        SubAck { packet_id: ID, reason_string: Some("why"), user_properties: USER, reasons: reasons[..].into() };
    add("", &Packet::SubAck(suback));
    let unsubscribe =
        Unsubscribe { packet_id: ID, filters: ["a", "$share/g/+", "#"][..].into(), user_properties: USER };
    add("", &Packet::Unsubscribe(unsubscribe));
    let reasons = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    let unsuback = UnsubAck { packet_id: ID, reason_string: None, user_properties: USER, reasons: reasons[..].into() };
    add("", &Packet::UnsubAck(unsuback));
}

const MALFORMED: &[(&str, ProtocolVersion, &[u8])] = {
    use ProtocolVersion::{V5, V311};
    &[
        ("type-0", V311, &[0x00, 0]),
        ("publish-qos-3", V5, &[0x36, 6, 0, 1, b't', 0, 1, 0]),
        ("publish-dup-qos-0", V311, &[0x38, 3, 0, 1, b't']),
        ("publish-wildcard", V5, &[0x30, 6, 0, 3, b'a', b'/', b'#', 0]),
        ("publish-null", V311, &[0x30, 3, 0, 1, 0]),
        ("publish-surrogate", V311, &[0x30, 5, 0, 3, 0xED, 0xA0, 0x80]),
        ("publish-no-topic", V5, &[0x30, 3, 0, 0, 0]),
        ("publish-alias-0", V5, &[0x30, 7, 0, 1, b't', 3, 0x23, 0, 0]),
        ("publish-packet-id-0", V5, &[0x32, 6, 0, 1, b't', 0, 0, 0]),
        ("publish-format-2", V5, &[0x30, 6, 0, 1, b't', 2, 0x01, 2]),
        ("publish-format-twice", V5, &[0x30, 8, 0, 1, b't', 4, 0x01, 1, 0x01, 1]),
        ("publish-will-delay", V5, &[0x30, 9, 0, 1, b't', 5, 0x18, 0, 0, 0, 1]),
        ("publish-unknown-property", V5, &[0x30, 6, 0, 1, b't', 2, 0x7E, 0]),
        ("publish-property-length-too-long", V5, &[0x30, 4, 0, 1, b't', 0x7F]),
        ("publish-property-length-endless", V5, &[0x30, 8, 0, 1, b't', 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("publish-topic-longer-than-packet", V311, &[0x30, 3, 0xFF, 0xFF, b't']),
        ("remaining-length-five-bytes", V5, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ("remaining-length-padded", V5, &[0xC0, 0x80, 0x00]),
        ("connect-3-1", V311, b"\x10\x0E\0\x06MQIsdp\x03\x02\0\0\0\0"),
        ("connect-level-6", V5, b"\x10\x0D\0\x04MQTT\x06\x02\0\0\0\0\0"),
        ("connect-name", V5, b"\x10\x0D\0\x04mqtt\x05\x02\0\0\0\0\0"),
        ("connect-reserved-flag", V311, b"\x10\x0C\0\x04MQTT\x04\x03\0\0\0\0"),
        ("connect-will-qos-3", V311, b"\x10\x11\0\x04MQTT\x04\x1E\0\0\0\0\0\x01t\0\0"),
        ("connect-will-flags", V5, b"\x10\x0D\0\x04MQTT\x05\x2A\0\0\0\0\0"),
        ("connect-password-alone", V311, b"\x10\x0F\0\x04MQTT\x04\x42\0\0\0\0\0\x01p"),
        ("connect-receive-maximum-0", V5, b"\x10\x10\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\0"),
        ("connect-maximum-packet-size-0", V5, b"\x10\x12\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\0"),
        ("connect-data-without-method", V5, b"\x10\x10\0\x04MQTT\x05\x02\0\0\x03\x16\0\0\0\0"),
        ("connect-trailing", V311, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\0\0"),
        ("connack-flags", V311, &[0x20, 2, 2, 0]),
        ("connack-present-refused", V5, &[0x20, 3, 1, 0x87, 0]),
        ("puback-reason", V5, &[0x40, 3, 0, 1, 0x92]),
        ("pubrel-flags", V311, &[0x60, 2, 0, 1]),
        ("subscribe-flags", V311, &[0x80, 6, 0, 1, 0, 1, b'a', 0]),
        ("subscribe-empty", V5, &[0x82, 3, 0, 1, 0]),
        ("subscribe-qos-3", V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 3]),
        ("subscribe-retain-handling-3", V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x30]),
        ("subscribe-reserved-bits", V311, &[0x82, 6, 0, 1, 0, 1, b'a', 4]),
        ("subscribe-no-local-shared", V5, b"\x82\x10\0\x01\0\0\x0A$share/g/t\x04"),
        ("subscribe-share-name", V5, b"\x82\x0E\0\x01\0\0\x08$share/g\x00"),
        ("subscribe-identifier-0", V5, &[0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, b'a', 0]),
        ("subscribe-identifier-twice", V5, &[0x82, 11, 0, 1, 4, 0x0B, 1, 0x0B, 1, 0, 1, b'a', 0]),
        ("suback-code", V311, &[0x90, 3, 0, 1, 3]),
        ("unsubscribe-empty", V311, &[0xA2, 2, 0, 1]),
        ("pingreq-body", V5, &[0xC0, 1, 0]),
        ("disconnect-reason", V5, &[0xE0, 1, 1]),
        ("disconnect-body", V311, &[0xE0, 1, 0]),
        ("auth-without-method", V5, &[0xF0, 2, 0x18, 0]),
        ("auth-in-3-1-1", V311, &[0xF0, 0]),
    ]
};
