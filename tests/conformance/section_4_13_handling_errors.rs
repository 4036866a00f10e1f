//! Section 4.13: what is malformed or against the protocol ends the connection, for the reason that the standard gives.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{
    Connect, Publish, Will, ack, auth, byte, disconnect, packet, section as properties_section, subscribe, text,
    two_bytes, unsubscribe, variable,
};
use selvedge_tests::server_packet::{ServerPacket, properties};

use crate::registry::section;
use crate::target::Target;

section! {
    "4.13 Handling errors";
    malformed_packets_end_the_connection => V5["MQTT-4.13.1-1", "MQTT-4.13.2-1"], V311["MQTT-4.8.0-1"];
    protocol_errors_end_the_connection => V5["MQTT-4.13.1-1", "MQTT-4.13.2-1"], V311["MQTT-4.8.0-1"];
    packets_that_only_a_server_sends_end_the_connection => V5["MQTT-4.13.1-1"], V311["MQTT-4.8.0-1"];
    a_packet_over_the_servers_maximum_ends_the_connection => V5["MQTT-4.13.2-1", "MQTT-3.2.2-15"], V311["MQTT-4.8.0-2"];
    a_connection_that_ends_for_an_error_publishes_its_will => V5["MQTT-3.1.2-8"], V311["MQTT-3.1.2-8", "MQTT-4.8.0-1"];
    an_error_of_one_client_does_not_touch_another => V5["MQTT-4.13.1-1"], V311["MQTT-4.8.0-2"];
    an_error_after_which_the_connection_stays_is_answered => V5["MQTT-4.13.2-1"];
}

/// Each packet has to end a connection of its own with one of the reasons.
fn expect_each_ends(target: &Target, version: Version, cases: &[(&str, Vec<u8>, &[u8])]) -> anyhow::Result<()> {
    for (index, (name, bytes, reasons)) in cases.iter().enumerate() {
        let mut peer = target.peer(version, &format!("a{index}"))?;
        peer.send(bytes)?;
        anyhow::Context::with_context(peer.expect_closed(reasons), || format!("case: {name}"))?;
    }
    Ok(())
}

fn malformed_packets_end_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let cases: Vec<(&str, Vec<u8>, &[u8])> = vec![
            ("packet type 0", vec![0x00, 0x00], &[0x81, 0x82]),
            ("both QoS bits", vec![0x36, 7, 0, 1, b'a', 0, 1, 0, b'x'], &[0x81]),
            ("remaining length of five bytes", vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01], &[0x81]),
            ("PUBLISH that ends in its topic", packet(0x30, &[0, 9, b'a']), &[0x81]),
            ("PUBLISH without an identifier", packet(0x32, &[0, 1, b'a']), &[0x81]),
            ("PUBACK of one byte", packet(0x40, &[0]), &[0x81]),
            ("PUBREL of one byte", packet(0x62, &[0]), &[0x81]),
            ("SUBSCRIBE that ends in its filter", packet(0x82, &[0, 1, 0, 9, b'a']), &[0x81]),
            ("SUBSCRIBE of nothing", packet(0x82, &[]), &[0x81]),
            (
                "UNSUBSCRIBE that ends in its filter",
                {
                    let mut body = vec![0, 1];
                    body.extend(properties_section(version, &[]));
                    body.extend([0, 9, b'a']);
                    packet(0xA2, &body)
                },
                &[0x81],
            ),
            (
                "topic that is not UTF-8",
                {
                    let publish = Publish { topic: vec![0xC3, 0x28], ..Publish::new("", "x") };
                    publish.bytes(version)
                },
                &[0x81, 0x82, 0x90],
            ),
        ];
        expect_each_ends(target, version, &cases)?;
        if version == Version::V311 {
            let trailing = vec![
                ("PUBACK with a byte too many", packet(0x40, &[0, 1, 0]), &[0x81][..]),
                ("DISCONNECT with a body", packet(0xE0, &[0]), &[0x81]),
                ("AUTH", packet(0xF0, &[]), &[0x81]),
            ];
            return expect_each_ends(target, version, &trailing);
        }
        let user_property_cut_off = [0x26, 0, 1, b'a', 0, 9, b'b'];
        let cases: Vec<(&str, Vec<u8>, &[u8])> = vec![
            ("remaining length with a byte too many", vec![0xC0, 0x80, 0x00], &[0x81]),
            ("property length with a byte too many", vec![0x30, 5, 0, 1, b'a', 0x80, 0x00], &[0x81]),
            ("property length beyond the packet", vec![0x30, 4, 0, 1, b'a', 9], &[0x81]),
            ("unknown property", Publish::new(&topic, "x").property(&[0x7E, 0]).bytes(version), &[0x81, 0x82]),
            (
                "property of another packet",
                Publish::new(&topic, "x").property(&byte(0x24, 1)).bytes(version),
                &[0x81, 0x82],
            ),
            (
                "user property that is cut off",
                Publish::new(&topic, "x").property(&user_property_cut_off).bytes(version),
                &[0x81],
            ),
            (
                "user property that is not UTF-8",
                Publish::new(&topic, "x").property(&[0x26, 0, 1, 0xFF, 0, 0]).bytes(version),
                &[0x81],
            ),
            (
                "SUBSCRIBE with a property of PUBLISH",
                subscribe(version, 1, &byte(0x01, 1), &[(&topic, 0)]),
                &[0x81, 0x82],
            ),
            (
                "UNSUBSCRIBE with a subscription identifier",
                unsubscribe(version, 1, &variable(0x0B, 1), &[&topic]),
                &[0x81, 0x82],
            ),
            ("PUBACK with a session expiry", packet(0x40, &[0, 1, 0, 5, 0x11, 0, 0, 0, 1]), &[0x81, 0x82]),
            ("DISCONNECT with a topic alias", disconnect(0, &two_bytes(0x23, 1)), &[0x81, 0x82]),
            ("bytes after the properties of PUBACK", packet(0x40, &[0, 1, 0, 0, 0]), &[0x81]),
        ];
        expect_each_ends(target, version, &cases)
    })
}

fn protocol_errors_end_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut cases: Vec<(&str, Vec<u8>, &[u8])> = vec![
            ("second CONNECT", Connect::new(version, "x").bytes(), &[0x82]),
            ("DUP at QoS 0", Publish::new(&topic, "x").dup().bytes(version), &[0x81, 0x82]),
        ];
        if version == Version::V5 {
            let twice =
                |property: Vec<u8>| Publish::new(&topic, "x").property(&property).property(&property).bytes(version);
            cases.extend([
                ("payload format twice", twice(byte(properties::PAYLOAD_FORMAT_INDICATOR, 1)), &[0x82][..]),
                ("content type twice", twice(text(properties::CONTENT_TYPE, "a")), &[0x82]),
                ("topic alias twice", twice(two_bytes(properties::TOPIC_ALIAS, 1)), &[0x82]),
                ("payload format 2", Publish::new(&topic, "x").property(&byte(1, 2)).bytes(version), &[0x81, 0x82]),
                (
                    "subscription identifier of a client",
                    {
                        Publish::new(&topic, "x")
                            .property(&variable(properties::SUBSCRIPTION_IDENTIFIER, 1))
                            .bytes(version)
                    },
                    &[0x81, 0x82],
                ),
                ("subscription identifier 0", subscribe(version, 1, &variable(0x0B, 0), &[(&topic, 0)]), &[0x82]),
                (
                    "two subscription identifiers",
                    { subscribe(version, 1, &[variable(0x0B, 1), variable(0x0B, 2)].concat(), &[(&topic, 0)]) },
                    &[0x82],
                ),
                ("neither topic nor alias", Publish::new("", "x").bytes(version), &[0x82]),
                (
                    "alias that was never set",
                    Publish::new("", "x").property(&two_bytes(0x23, 1)).bytes(version),
                    &[0x82],
                ),
                ("alias 0", Publish::new(&topic, "x").property(&two_bytes(0x23, 0)).bytes(version), &[0x82, 0x94]),
                (
                    "alias over the maximum",
                    Publish::new(&topic, "x").property(&two_bytes(0x23, 65_535)).bytes(version),
                    &[0x94],
                ),
                (
                    "response topic with a wildcard",
                    { Publish::new(&topic, "x").property(&text(properties::RESPONSE_TOPIC, "a/#")).bytes(version) },
                    &[0x81, 0x82],
                ),
                (
                    "AUTH without a method in CONNECT",
                    auth(0x19, &text(properties::AUTHENTICATION_METHOD, "x")),
                    &[0x82],
                ),
            ]);
        }
        expect_each_ends(target, version, &cases)
    })
}

fn packets_that_only_a_server_sends_end_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let suback = [&[0, 1][..], &properties_section(version, &[]), &[0]].concat();
        let unsuback = if version == Version::V5 { packet(0xB0, &[0, 1, 0, 0]) } else { packet(0xB0, &[0, 1]) };
        let connack = [&[0, 0][..], &properties_section(version, &[])].concat();
        let cases: Vec<(&str, Vec<u8>, &[u8])> = vec![
            ("CONNACK", packet(0x20, &connack), &[0x81, 0x82]),
            ("SUBACK", packet(0x90, &suback), &[0x81, 0x82]),
            ("UNSUBACK", unsuback, &[0x81, 0x82]),
            ("PINGRESP", vec![0xD0, 0x00], &[0x81, 0x82]),
        ];
        expect_each_ends(target, version, &cases)
    })
}

fn a_packet_over_the_servers_maximum_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let (_, connack) = target.connect_and_tell(&Connect::v5(target.id("a")))?;
    let Some(most) = connack.properties.number(properties::MAXIMUM_PACKET_SIZE) else {
        return Err(target.skip("this broker has no maximum packet size"));
    };
    let most = usize::try_from(most)?;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let empty = Publish::new(&topic, "").bytes(version).len() - 2;
        // Type, remaining length of up to four bytes, and the rest to the last byte of the limit.
        let head = 1 + if most > 2_097_151 {
            4
        } else if most > 16_383 {
            3
        } else {
            2
        };
        let payload = vec![b'x'; most - head - empty];
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 0)?;
        let largest = Publish::new(&topic, &payload);
        ensure!(largest.bytes(version).len() == most, "{} bytes instead of {most}", largest.bytes(version).len());
        peer.publish(&largest)?;
        ensure!(peer.expect_publish()?.payload.len() == payload.len(), "the largest packet arrives changed");
        let mut larger = Publish::new(&topic, &payload).bytes(version);
        larger[1] += 1;
        larger.push(b'x');
        // It may end before all of it is sent.
        let _sent = peer.send(&larger[..100]);
        peer.expect_closed(&[0x95])
    })
}

fn a_connection_that_ends_for_an_error_publishes_its_will(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("will");
        let mut watcher = target.peer(version, "w")?;
        watcher.subscribe(&topic, 1)?;
        for (index, bytes) in [&[0x36, 0][..], &[0xD0, 0], &[0x62, 1, 0], &[0x82, 0]].iter().enumerate() {
            let payload = index.to_string();
            let will = Will::new(&topic, payload.as_bytes()).qos(1);
            let mut peer = target.connect(&Connect::new(version, target.id("a")).will(will))?;
            peer.send(bytes)?;
            peer.expect_closed(&[0x81, 0x82])?;
            let message = watcher.expect_message(&payload)?;
            watcher.acknowledge(&message)?;
        }
        watcher.expect_nothing()
    })
}

fn an_error_of_one_client_does_not_touch_another(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut good = target.peer(version, "good")?;
        good.subscribe(&topic, 1)?;
        for index in 0..10_u8 {
            let mut bad = target.peer(version, &format!("bad{index}"))?;
            bad.subscribe(&topic, 1)?;
            // A message, and in the same bytes what ends the connection.
            let message = Publish::new(&topic, [index]).qos(1, 1).bytes(version);
            bad.send(&[message, vec![0x30 | 0x06, 0]].concat())?;
            while let Some(packet) = bad.receive_or_end()? {
                let known =
                    matches!(packet, ServerPacket::PubAck(_) | ServerPacket::Publish(_) | ServerPacket::Disconnect(_));
                ensure!(known, "{packet:?}");
            }
            let message = good.expect_message([index])?;
            good.acknowledge(&message)?;
        }
        good.publish(&Publish::new(&topic, "last").qos(2, 1))?;
        let message = good.expect_message("last")?;
        good.acknowledge(&message)?;
        good.expect_nothing()
    })
}

fn an_error_after_which_the_connection_stays_is_answered(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("the standard has a code for it, and does not say that it must be used"));
    }
    // PUBREC and PUBREL for what is not there.
    let mut peer = target.v5("a")?;
    peer.pubrec(4711)?;
    ensure!(peer.expect_pubrel(4711)?.reason == 0x92, "PUBREC for nothing");
    peer.send(&ack(0x62, 4712))?;
    ensure!(peer.expect_pubcomp(4712)?.reason == 0x92, "PUBREL for nothing");
    // Answers to nothing are not answered.
    peer.puback(4713)?;
    peer.pubcomp(4714)?;
    peer.expect_nothing()
}
