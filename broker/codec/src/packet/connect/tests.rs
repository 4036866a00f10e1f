use super::*;
use crate::{ReasonCode, topic::TopicError};

/// Remaining length, name and level in front of `rest`; the flags are the first byte of `rest`.
fn frame(level: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x10, 7 + rest.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', level];
    frame.extend_from_slice(rest);
    frame
}

fn refused(level: u8, rest: &[u8]) -> DecodeError {
    decode_connect(&frame(level, rest)).map(|connect| format!("{connect:?}")).expect_err("malformed")
}

#[test]
fn every_field_of_a_full_mqtt_5_connect_is_read() {
    let rest = [
        &[0b1111_0110, 0x00, 0x0A][..], // user name, password, will retain, will qos 2, will, clean start; keep alive
        &[35],
        &[0x11, 0, 0, 0, 9, 0x21, 0, 8, 0x27, 0, 0, 1, 0, 0x22, 0, 3, 0x19, 1, 0x17, 0],
        &[0x26, 0, 1, b'n', 0, 1, b'v', 0x15, 0, 1, b'm', 0x16, 0, 1, b'd'],
        &[0, 2, b'i', b'd'],
        &[10, 0x18, 0, 0, 0, 5, 0x02, 0, 0, 0, 6],
        &[0, 1, b't', 0, 2, 1, 2],
        &[0, 1, b'u', 0, 1, b'p'],
    ]
    .concat();
    let frame = frame(5, &rest);
    let connect = decode_connect(&frame).expect("valid");
    assert!(connect.clean_start && connect.request_response_information && !connect.request_problem_information);
    assert_eq!((connect.version, connect.keep_alive_s, connect.client_id), (ProtocolVersion::V5, 10, "id"));
    assert_eq!((connect.username, connect.password), (Some("u"), Some(&b"p"[..])));
    assert_eq!((connect.session_expiry_s, connect.topic_alias_maximum), (Some(9), 3));
    assert_eq!(connect.receive_maximum.map(NonZeroU16::get), Some(8));
    assert_eq!(connect.maximum_packet_size.map(NonZeroU32::get), Some(256));
    assert_eq!(connect.user_properties, UserProperties::from_pairs(&[("n", "v")]));
    assert_eq!((connect.authentication_method, connect.authentication_data), (Some("m"), Some(&b"d"[..])));
    let will = connect.will.expect("will");
    assert_eq!((will.qos, will.retain, will.topic, will.payload), (QoS::ExactlyOnce, true, "t", &[1, 2][..]));
    assert_eq!((will.delay_s, will.properties.message_expiry_s, will.properties.forwarded_len()), (5, Some(6), 0));
}

#[test]
fn an_empty_client_identifier_is_left_to_the_server() {
    for (level, rest) in [(4, &[0, 0, 0, 0, 0][..]), (5, &[0, 0, 0, 0, 0, 0]), (4, &[2, 0, 0, 0, 0])] {
        let frame = frame(level, rest);
        let connect = decode_connect(&frame).expect("valid");
        assert_eq!((connect.client_id, connect.clean_start), ("", rest[0] == 2));
    }
}

#[test]
fn other_versions_are_told_in_the_form_that_the_client_knows() {
    for (level, answer) in [
        (0, ProtocolVersion::V311),
        (3, ProtocolVersion::V311),
        (0x84, ProtocolVersion::V311), // a bridge
        (6, ProtocolVersion::V5),
        (0x85, ProtocolVersion::V5),
    ] {
        let error = refused(level, &[2, 0, 0, 0, 0]);
        assert_eq!(error, DecodeError::UnsupportedProtocolVersion { level });
        assert_eq!(
            (error.reason_code(), error.answer_version()),
            (ReasonCode::UnsupportedProtocolVersion, Some(answer))
        );
    }
    let of_3_1 = decode_connect(b"\x10\x0E\0\x06MQIsdp\x03\x02\0\0\0\0").expect_err("3.1");
    assert_eq!(of_3_1, DecodeError::UnsupportedProtocolVersion { level: 3 });
    for name in [&b"\x10\x0C\0\x04MQTX\x05\x02\0\0\0\0"[..], b"\x10\x0C\0\x04mqtt\x05\x02\0\0\0\0"] {
        assert_eq!(decode_connect(name), Err(DecodeError::ProtocolName)); // [MQTT-3.1.2-1]
    }
    assert_eq!(decode_connect(b"\x10\x03\0\x04M"), Err(DecodeError::Truncated { field: "protocol name" }));
}

#[test]
fn the_version_is_known_although_the_rest_is_refused() {
    let frame = frame(5, &[1, 0, 0, 0, 0, 0]);
    assert_eq!(decode_connect(&frame), Err(DecodeError::ConnectFlagReserved)); // [MQTT-3.1.2-3]
    assert_eq!(connect_version(&frame), Ok(ProtocolVersion::V5));
    assert_eq!(DecodeError::ConnectFlagReserved.answer_version(), None);
}

#[test]
fn the_first_packet_is_a_connect() {
    let error = decode_connect(&[0xC0, 0]).expect_err("pingreq"); // [MQTT-3.1.0-1]
    assert_eq!(error, DecodeError::ExpectedConnect { packet: PacketType::PingReq });
    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    assert_eq!(connect_version(&[0xC0, 0]), Err(error));
}

#[test]
fn flags_that_contradict_each_other_are_malformed() {
    for level in [4, 5] {
        for flags in [0b0000_1000, 0b0001_0000, 0b0010_0000] {
            assert_eq!(refused(level, &[flags, 0, 0, 0, 0, 0]), DecodeError::WillFlags); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
        }
        let error = refused(level, &[0b0001_1100, 0, 0, 0, 0, 0]); // [MQTT-3.1.2-12]
        assert_eq!(error, DecodeError::QosReserved { packet: PacketType::Connect });
    }
    assert_eq!(refused(4, &[0b0100_0000, 0, 0, 0, 0, 0, 1, b'p']), DecodeError::PasswordWithoutUserName);
    let frame = frame(5, &[0b0100_0000, 0, 0, 0, 0, 0, 0, 1, b'p']);
    assert_eq!(decode_connect(&frame).expect("valid in 5").password, Some(&b"p"[..]));
}

#[test]
fn what_the_flags_promise_must_be_there_and_nothing_else() {
    let field = |field| DecodeError::Truncated { field };
    assert_eq!(refused(4, &[0b1000_0010, 0, 0, 0, 0]), field("user name")); // [MQTT-3.1.2-17]
    assert_eq!(refused(4, &[0b1100_0010, 0, 0, 0, 0, 0, 0]), field("password")); // [MQTT-3.1.2-19]
    assert_eq!(refused(4, &[0b0000_0110, 0, 0, 0, 0]), field("will topic")); // [MQTT-3.1.2-9]
    assert_eq!(refused(4, &[0b0000_0110, 0, 0, 0, 0, 0, 1, b't']), field("will payload"));
    assert_eq!(refused(5, &[0b0000_0110, 0, 0, 0, 0, 0]), field("property length"));
    let trailing = DecodeError::TrailingBytes { packet: PacketType::Connect };
    assert_eq!(refused(4, &[2, 0, 0, 0, 0, 0, 0]), trailing); // [MQTT-3.1.2-16], [MQTT-3.1.2-18]
    assert_eq!(refused(4, &[2, 0, 0]), field("client identifier")); // [MQTT-3.1.3-3]
}

#[test]
fn a_will_topic_is_a_topic_name() {
    let will = |topic: &[u8]| [&[0b0000_0110, 0, 0, 0, 0, 0, topic.len() as u8][..], topic, &[0, 0]].concat();
    let error = refused(4, &will(b"a/#"));
    assert_eq!(error, DecodeError::TopicName(TopicError::WildcardInName));
    assert_eq!(error.reason_code(), ReasonCode::TopicNameInvalid);
    assert_eq!(refused(4, &will(b"")), DecodeError::TopicName(TopicError::Empty));
    assert_eq!(refused(4, &will(b"\xFF")), DecodeError::Utf8 { field: "will topic" }); // [MQTT-3.1.3-11]
    assert_eq!(refused(4, &will(b"\0")), DecodeError::NullCharacter { field: "will topic" });
}

#[test]
fn properties_of_other_packets_are_refused() {
    for (section, id) in
        [(&[0x12, 0, 0][..], 0x12), (&[0x23, 0, 1], 0x23), (&[0x18, 0, 0, 0, 1], 0x18), (&[0x1F, 0, 0], 0x1F)]
    {
        let rest = [&[2, 0, 0, section.len() as u8][..], section, &[0, 0]].concat();
        assert_eq!(refused(5, &rest), DecodeError::PropertyNotAllowed { packet: PacketType::Connect, id });
    }
    for (section, id) in [(&[0x11, 0, 0, 0, 1][..], 0x11), (&[0x23, 0, 1], 0x23), (&[0x0B, 1], 0x0B)] {
        let rest = [&[6, 0, 0, 0, 0, 0, section.len() as u8][..], section, &[0, 1, b't', 0, 0]].concat();
        assert_eq!(
            refused(5, &rest),
            DecodeError::PropertyNotAllowed { packet: PacketType::Connect, id },
            "in the will"
        );
    }
}

#[test]
fn authentication_data_needs_a_method() {
    let error = refused(5, &[2, 0, 0, 4, 0x16, 0, 1, 7, 0, 0]);
    assert_eq!(error, DecodeError::AuthenticationMethodMissing { packet: PacketType::Connect });
    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    let connect = Connect { authentication_data: Some(&[7]), ..Connect::new(ProtocolVersion::V5, "", true) };
    assert!(matches!(connect.encode(&mut Vec::new()), Err(EncodeError::FieldValue { .. })));
}

#[test]
fn a_padded_remaining_length_is_refused_in_mqtt_5_alone() {
    let mut padded = frame(5, &[2, 0, 0, 0, 0, 0]);
    padded.splice(1..2, [0x8D, 0x00]);
    assert_eq!(decode_connect(&padded), Err(DecodeError::Overlong { field: "remaining length" })); // [MQTT-1.5.5-1]
    let mut padded = frame(4, &[2, 0, 0, 0, 0]);
    padded.splice(1..2, [0x8C, 0x00]);
    assert!(decode_connect(&padded).is_ok());
}

#[test]
fn connects_that_a_server_refuses_are_not_encoded() {
    let plain = Connect::new(ProtocolVersion::V311, "id", true);
    let mut out = vec![1];
    let without_name = Connect { password: Some(b"p"), ..plain };
    assert!(matches!(without_name.encode(&mut out), Err(EncodeError::FieldValue { .. })));
    let will = Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "#",
        payload: &[],
        delay_s: 0,
        properties: Default::default(),
    };
    assert!(matches!(Connect { will: Some(will), ..plain }.encode(&mut out), Err(EncodeError::FieldValue { .. })));
    assert!(matches!(Connect { client_id: "\0", ..plain }.encode(&mut out), Err(EncodeError::NullCharacter { .. })));
    assert_eq!(out, [1]);
}
