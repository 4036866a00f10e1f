//! Section 3.1, the packet itself: fixed header, protocol, connect flags, the fields of the payload and their order.

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{
    Connect, Publish, Will, ack, binary, byte, data, four_bytes, packet, subscribe, text, two_bytes, unsubscribe, user,
};
use selvedge_tests::raw_mqtt::PINGREQ;
use selvedge_tests::server_packet::properties::ASSIGNED_CLIENT_IDENTIFIER;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.1 CONNECT, format";
    a_first_packet_other_than_connect_ends_the_connection => V5["MQTT-3.1.0-1", "MQTT-3.14.0-1"];
    a_second_connect_ends_the_connection => V5["MQTT-3.1.0-2"];
    another_protocol_name_is_refused => V5["MQTT-3.1.2-1"];
    another_protocol_version_is_refused => V5["MQTT-3.1.2-2"];
    the_reserved_connect_flag_is_refused => V5["MQTT-3.1.2-3"];
    a_will_flag_without_the_fields_of_a_will_is_refused => V5["MQTT-3.1.2-9"];
    will_qos_without_a_will_is_refused => V5["MQTT-3.1.2-11"];
    will_qos_3_is_refused => V5["MQTT-3.1.2-12"];
    will_retain_without_a_will_is_refused => V5["MQTT-3.1.2-13"];
    a_user_name_without_its_flag_is_refused => V5["MQTT-3.1.2-16"];
    a_user_name_flag_without_a_user_name_is_refused => V5["MQTT-3.1.2-17"];
    a_password_without_its_flag_is_refused => V5["MQTT-3.1.2-18"];
    a_password_flag_without_a_password_is_refused => V5["MQTT-3.1.2-19"];
    user_name_and_password_are_read_in_each_combination => V5["MQTT-3.1.2-17", "MQTT-3.1.2-19"];
    every_field_of_the_payload_is_read_in_its_order => V5["MQTT-3.1.3-1"];
    fields_in_another_order_are_not_taken_for_themselves => V5["MQTT-3.1.3-1"];
    a_payload_without_client_identifier_is_refused => V5["MQTT-3.1.3-3"];
    a_client_identifier_that_is_no_utf_8_is_refused => V5["MQTT-3.1.3-4"];
    client_identifiers_of_1_to_23_letters_and_digits_are_taken => V5["MQTT-3.1.3-5"];
    a_client_identifier_of_no_bytes_is_replaced => V5["MQTT-3.1.3-6"];
    the_assigned_client_identifier_is_that_of_the_session => V5["MQTT-3.1.3-7"];
    a_client_identifier_that_is_not_taken_ends_the_connection => V5["MQTT-3.1.3-8"];
    a_will_topic_that_is_no_utf_8_is_refused => V5["MQTT-3.1.3-11"];
    a_user_name_that_is_no_utf_8_is_refused => V5["MQTT-3.1.3-12"];
    a_connect_that_does_not_match_its_format_ends_the_connection => V5["MQTT-3.1.4-1"];
}

/// What answers a CONNECT that is malformed, or breaks the protocol.
const MALFORMED: [u8; 2] = [0x81, 0x82];

fn a_first_packet_other_than_connect_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let packets = [
        ("PUBLISH", Publish::new(&target.topic("t"), "x").bytes(Version::V5)),
        ("PUBLISH of QoS 1", Publish::new(&target.topic("t"), "x").qos(1, 1).bytes(Version::V5)),
        ("PUBACK", ack(0x40, 1)),
        ("PUBREC", ack(0x50, 1)),
        ("PUBREL", ack(0x62, 1)),
        ("PUBCOMP", ack(0x70, 1)),
        ("SUBSCRIBE", subscribe(Version::V5, 1, &[], &[("#", 0)])),
        ("UNSUBSCRIBE", unsubscribe(Version::V5, 1, &[], &["#"])),
        ("PINGREQ", PINGREQ.to_vec()),
        ("DISCONNECT", vec![0xE0, 0]),
        ("AUTH", vec![0xF0, 0]),
    ];
    for (name, bytes) in packets {
        target.ends_unconnected(name, &bytes, &MALFORMED)?;
        // A CONNECT after it changes nothing.
        let both = [bytes, Connect::v5(target.id("c")).bytes()].concat();
        target.ends_unconnected(name, &both, &MALFORMED)?;
    }
    Ok(())
}

fn a_second_connect_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let again = Connect::v5(target.id("ends")).bytes();
    target.ends("the same CONNECT", &again, &[0x82])?;
    let other = Connect::v5(target.id("other")).resuming().bytes();
    target.ends("another CONNECT", &other, &[0x82])
}

/// Whether these bytes refuse a CONNECT for its protocol in the form of either version, or say nothing.
fn refuses_protocol(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [0x20, 2, 0, 1] | [0x20, _, 0, 0x84, ..])
}

fn another_protocol_name_is_refused(target: &Target) -> anyhow::Result<()> {
    for name in [&b"mqtt"[..], b"MQTX", b"MQT", b"MQTTX", b"MQIsdp", b"", b"HTTP"] {
        let connect = Connect::v5(target.id("c"));
        let mut peer = target.open()?;
        peer.send(&connect.bytes_with(name, 5, connect.flags()))?;
        let answer = peer.bytes_until_end()?;
        ensure!(refuses_protocol(&answer), "{:?} is answered with {answer:02x?}", String::from_utf8_lossy(name));
    }
    Ok(())
}

fn another_protocol_version_is_refused(target: &Target) -> anyhow::Result<()> {
    for level in [0, 1, 2, 6, 7, 0x7F, 0xFF] {
        let connect = Connect::v5(target.id("c"));
        let mut peer = target.open()?;
        peer.send(&connect.bytes_with(b"MQTT", level, connect.flags()))?;
        let answer = peer.bytes_until_end()?;
        ensure!(refuses_protocol(&answer), "version {level} is answered with {answer:02x?}");
        ensure!(!target.is_product() || !answer.is_empty(), "version {level} is not told why");
    }
    Ok(())
}

fn refuses_flags(target: &Target, connect: &Connect, flags: u8) -> anyhow::Result<()> {
    let bytes = connect.bytes_with(b"MQTT", 5, flags);
    target.ends_unconnected(&format!("connect flags {flags:#010b}"), &bytes, &MALFORMED)
}

fn the_reserved_connect_flag_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    refuses_flags(target, &connect, connect.flags() | 1)?;
    let full = connect.will(Will::new("a", b"x")).user("u").password(b"p");
    refuses_flags(target, &full, full.flags() | 1)
}

fn a_will_flag_without_the_fields_of_a_will_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    refuses_flags(target, &connect, connect.flags() | 0x04)?;
    // Properties and topic, but no payload; properties alone.
    let head = [b"\x00\x04MQTT\x05\x06\x00\x00\x00", &data(connect.client_id.as_bytes())[..]].concat();
    for will in [[&[0][..], &data(b"t")].concat(), vec![0]] {
        let bytes = packet(0x10, &[&head[..], &will].concat());
        target.ends_unconnected("half a will", &bytes, &MALFORMED)?;
    }
    // A will that the flag does not announce.
    let with_will = connect.will(Will::new(&target.topic("t"), b"x"));
    refuses_flags(target, &with_will, 0x02)
}

fn will_qos_without_a_will_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    for qos in 1..=3 {
        refuses_flags(target, &connect, connect.flags() | qos << 3)?;
    }
    Ok(())
}

fn will_qos_3_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).will(Will::new(&target.topic("t"), b"x").qos(3));
    refuses_flags(target, &connect, connect.flags())
}

fn will_retain_without_a_will_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    refuses_flags(target, &connect, connect.flags() | 0x20)
}

fn a_user_name_without_its_flag_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).user("u");
    refuses_flags(target, &connect, connect.flags() & !0x80)
}

fn a_user_name_flag_without_a_user_name_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    refuses_flags(target, &connect, connect.flags() | 0x80)
}

fn a_password_without_its_flag_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).user("u").password(b"p");
    refuses_flags(target, &connect, connect.flags() & !0x40)
}

fn a_password_flag_without_a_password_is_refused(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).user("u");
    refuses_flags(target, &connect, connect.flags() | 0x40)?;
    let connect = Connect::v5(target.id("c"));
    refuses_flags(target, &connect, connect.flags() | 0x40)
}

fn user_name_and_password_are_read_in_each_combination(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    let cases = [
        connect.clone().user("u"),
        connect.clone().user("u").password(b"p"),
        // MQTT 5 allows a password alone (3.1.2.9).
        connect.clone().password(b"\x00\xFF"),
        connect.user("").password(b""),
    ];
    for connect in cases {
        let (_peer, connack) = target.try_connect(&connect)?;
        // A well-formed CONNECT: whether the broker knows the user is another question.
        ensure!([0, 0x86, 0x87].contains(&connack.reason), "{connect:?} is answered with {:#04x}", connack.reason);
    }
    Ok(())
}

fn every_field_of_the_payload_is_read_in_its_order(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 1)?;
    let will = Will::new(&topic, b"the will").qos(1).property(&user("k", "v")).property(&text(0x03, "type"));
    let plain = Connect::v5(target.id("c")).will(will).session_expiry(0).receive_maximum(7);
    let mut peer = target.connect(&plain)?;
    // A protocol error ends the connection without its goodbye.
    peer.send_publish(&Publish::new("a", "x").qos(3, 1))?;
    peer.expect_closed(&[0x81])?;
    let got = watcher.expect_message("the will")?;
    ensure!(got.topic == topic && got.qos == 1 && !got.retain, "{got:?}");
    ensure!(got.properties.user() == [("k", "v")] && got.properties.text(0x03) == Some("type"), "{got:?}");
    // With user name and password behind it.
    let (_peer, connack) = target.try_connect(&plain.user("u").password(b"p"))?;
    ensure!([0, 0x86, 0x87].contains(&connack.reason), "refused with {:#04x}", connack.reason);
    Ok(())
}

fn fields_in_another_order_are_not_taken_for_themselves(target: &Target) -> anyhow::Result<()> {
    // Will topic and payload before the will properties: the length of the topic is read as that of the properties.
    let will = [data(target.topic("t").as_bytes()), data(b"x"), vec![0]].concat();
    let head = [b"\x00\x04MQTT\x05\x06\x00\x00\x00", &data(target.id("c").as_bytes())[..]].concat();
    target.ends_unconnected("will properties last", &packet(0x10, &[head, will].concat()), &[0x81, 0x82, 0x90])
}

fn a_payload_without_client_identifier_is_refused(target: &Target) -> anyhow::Result<()> {
    for (what, rest) in [("nothing", &b""[..]), ("half a length", b"\x00"), ("a length only", b"\x00\x01")] {
        let body = [b"\x00\x04MQTT\x05\x02\x00\x00\x00", rest].concat();
        target.ends_unconnected(what, &packet(0x10, &body), &[0x81, 0x82, 0x85])?;
    }
    Ok(())
}

fn a_client_identifier_that_is_no_utf_8_is_refused(target: &Target) -> anyhow::Result<()> {
    for id in [&b"\xC3\x28"[..], b"ab\xFF", b"\xED\xA0\x80"] {
        let body = [b"\x00\x04MQTT\x05\x02\x00\x00\x00", &data(id)[..]].concat();
        target.ends_unconnected("a client identifier", &packet(0x10, &body), &[0x81, 0x85])?;
    }
    Ok(())
}

fn client_identifiers_of_1_to_23_letters_and_digits_are_taken(target: &Target) -> anyhow::Result<()> {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let end = target.id("");
    // Each character of the alphabet, in identifiers of the full length.
    for part in ["0123456789abc", "defghijklmnop", "qrstuvwxyzABC", "DEFGHIJKLMNOP", "QRSTUVWXYZ"] {
        let filled: String = end.chars().chain(part.chars()).chain(alphabet.chars()).take(23).collect();
        let (mut peer, connack) = target.connect_and_tell(&Connect::v5(&filled))?;
        ensure!(!connack.properties.has(ASSIGNED_CLIENT_IDENTIFIER), "{filled} is replaced");
        peer.expect_nothing()?;
    }
    // Shorter ones cannot be of this test alone; one transport does not meet the other.
    let one = if target.transport_name() == "tcp" { "T" } else { "W" };
    for length in 1..=22 {
        target.connect(&Connect::v5(one.repeat(length))).with_context(|| format!("{length} bytes"))?.disconnect()?;
    }
    Ok(())
}

fn a_client_identifier_of_no_bytes_is_replaced(target: &Target) -> anyhow::Result<()> {
    let mut peers = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (peer, connack) = target.try_connect(&Connect::v5(""))?;
        if connack.reason == 0x85 && !target.is_product() {
            return Err(target.skip("the broker takes no empty client identifiers, as it may"));
        }
        ensure!(connack.reason == 0, "refused with {:#04x}", connack.reason);
        let id = connack.properties.text(ASSIGNED_CLIENT_IDENTIFIER).context("no identifier is assigned")?;
        ensure!(!id.is_empty() && !ids.contains(&id.to_owned()), "{id:?} after {ids:?}");
        ids.push(id.to_owned());
        peers.push(peer);
    }
    // Three clients, of which none took over another.
    for peer in &mut peers {
        peer.expect_nothing()?;
    }
    Ok(())
}

fn the_assigned_client_identifier_is_that_of_the_session(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let (mut peer, connack) = target.try_connect(&Connect::v5("").lasting())?;
    if connack.reason == 0x85 && !target.is_product() {
        return Err(target.skip("the broker takes no empty client identifiers, as it may"));
    }
    let id = connack.properties.text(ASSIGNED_CLIENT_IDENTIFIER).context("no identifier is assigned")?.to_owned();
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(&id).resuming().lasting())?;
    ensure!(connack.session_present, "the session of {id} is not there");
    ensure!(!connack.properties.has(ASSIGNED_CLIENT_IDENTIFIER), "an identifier is assigned to a client that has one");
    peer.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    peer.expect_message("x")?;
    Ok(())
}

fn a_client_identifier_that_is_not_taken_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let mut refused = 0;
    for id in [format!("{}{}", target.id(""), "x".repeat(60_000)), "$node/x".to_owned()] {
        let (mut peer, connack) = target.try_connect(&Connect::v5(id))?;
        if connack.reason != 0 {
            refused += 1;
            ensure!(connack.reason == 0x85, "refused with {:#04x}", connack.reason);
            peer.expect_silent_end()?;
        }
    }
    match refused {
        2 => Ok(()),
        0 if !target.is_product() => Err(target.skip("the broker takes every client identifier")),
        _ if !target.is_product() => Ok(()),
        _ => anyhow::bail!("a client identifier of 60,000 bytes, or one of the node's own, is taken"),
    }
}

fn a_will_topic_that_is_no_utf_8_is_refused(target: &Target) -> anyhow::Result<()> {
    for topic in [&b"\xC3\x28"[..], b"a/\xFF", b"\xED\xA0\x80", b"a\0b"] {
        let will = Will { topic: topic.to_vec(), ..Will::new("", b"x") };
        let bytes = Connect::v5(target.id("c")).will(will).bytes();
        target.ends_unconnected("a will topic", &bytes, &[0x81, 0x82, 0x90])?;
    }
    for topic in ["", "a/+", "#"] {
        let bytes = Connect::v5(target.id("c")).will(Will::new(topic, b"x")).bytes();
        target.ends_unconnected("a will topic", &bytes, &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn a_user_name_that_is_no_utf_8_is_refused(target: &Target) -> anyhow::Result<()> {
    for user in [&b"\xC3\x28"[..], b"u\xFF", b"\xED\xA0\x80", b"a\0b"] {
        let connect = Connect { user: Some(user.to_vec()), ..Connect::v5(target.id("c")) };
        target.ends_unconnected("a user name", &connect.bytes(), &[0x81, 0x82, 0x86])?;
    }
    Ok(())
}

fn a_connect_that_does_not_match_its_format_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    let with = |property: &[u8]| connect.clone().property(property).bytes();
    let with_will = |property: &[u8]| connect.clone().will(Will::new("a", b"x").property(property)).bytes();
    let twice = |property: &[u8]| with(&[property, property].concat());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an unknown property", with(&[0x7F, 1])),
        ("a property of PUBLISH", with(&two_bytes(0x23, 1))),
        ("a property of CONNACK", with(&text(0x12, "id"))),
        ("a will property among those of CONNECT", with(&four_bytes(0x18, 1))),
        ("a property of CONNECT in the will", with_will(&four_bytes(0x11, 1))),
        ("session expiry twice", twice(&four_bytes(0x11, 1))),
        ("receive maximum twice", twice(&two_bytes(0x21, 5))),
        ("maximum packet size twice", twice(&four_bytes(0x27, 1000))),
        ("topic alias maximum twice", twice(&two_bytes(0x22, 5))),
        ("problem information twice", twice(&byte(0x17, 1))),
        ("response information twice", twice(&byte(0x19, 1))),
        ("will delay twice", with_will(&[four_bytes(0x18, 1), four_bytes(0x18, 1)].concat())),
        ("receive maximum 0", with(&two_bytes(0x21, 0))),
        ("maximum packet size 0", with(&four_bytes(0x27, 0))),
        ("problem information 2", with(&byte(0x17, 2))),
        ("response information 2", with(&byte(0x19, 2))),
        ("payload format 2 of the will", with_will(&byte(0x01, 2))),
        ("authentication data without a method", with(&binary(0x16, b"x"))),
        ("a response topic of the will with a wildcard", with_will(&text(0x08, "a/#"))),
        ("a property that ends inside its value", with(&[0x11, 0, 0])),
        ("bytes after the last field", packet(0x10, &[&connect.bytes()[2..], b"x"].concat())),
        ("properties longer than the packet", {
            let body = [b"\x00\x04MQTT\x05\x02\x00\x00\x7F", &connect.payload()[..]].concat();
            packet(0x10, &body)
        }),
        ("nothing but a protocol name", packet(0x10, &data(b"MQTT"))),
        ("no keep-alive", packet(0x10, b"\x00\x04MQTT\x05\x02")),
        ("an empty packet", packet(0x10, &[])),
    ];
    for (what, bytes) in cases {
        target.ends_unconnected(what, &bytes, &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}
