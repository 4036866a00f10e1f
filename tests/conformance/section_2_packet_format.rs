//! Section 2: fixed header, packet identifiers, property length.

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{self, Connect, Publish, ack, subscribe, unsubscribe};
use selvedge_tests::raw_mqtt::PINGREQ;

use crate::registry::section;
use crate::target::Target;

section! {
    "2 Packet format";
    reserved_flags_of_each_packet_end_the_connection => V5["MQTT-2.1.3-1"];
    reserved_flags_of_connect_are_refused => V5["MQTT-2.1.3-1"];
    packet_types_that_no_client_sends_end_the_connection => V5["MQTT-2.1.3-1"];
    a_qos_0_publish_has_no_packet_identifier_in_either_direction => V5["MQTT-2.2.1-2"];
    packet_identifier_0_ends_the_connection => V5["MQTT-2.2.1-3"];
    a_packet_identifier_may_be_used_again_after_its_acknowledgement => V5["MQTT-2.2.1-3"];
    the_server_gives_each_message_in_flight_an_identifier_of_its_own => V5["MQTT-2.2.1-4"];
    the_server_steps_over_an_identifier_in_use_when_it_starts_again => V5["MQTT-2.2.1-4"];
    acknowledgements_carry_the_identifier_of_their_publish => V5["MQTT-2.2.1-5"];
    suback_and_unsuback_carry_the_identifier_of_their_request => V5["MQTT-2.2.1-6"];
    a_packet_without_property_length_ends_the_connection => V5["MQTT-2.2.2-1"];
    the_server_writes_a_property_length_of_zero => V5["MQTT-2.2.2-1"];
}

fn reserved_flags_of_each_packet_end_the_connection(target: &Target) -> anyhow::Result<()> {
    let packets: [(&str, Vec<u8>); 8] = [
        ("PUBACK", ack(0x40, 1)),
        ("PUBREC", ack(0x50, 1)),
        ("PUBREL", ack(0x62, 1)),
        ("PUBCOMP", ack(0x70, 1)),
        ("SUBSCRIBE", subscribe(Version::V5, 1, &[], &[("a", 0)])),
        ("UNSUBSCRIBE", unsubscribe(Version::V5, 1, &[], &["a"])),
        ("PINGREQ", PINGREQ.to_vec()),
        ("DISCONNECT", vec![0xE0, 0]),
    ];
    for (name, mut bytes) in packets {
        let first = bytes[0];
        for bit in [0b0001, 0b0010, 0b0100, 0b1000] {
            bytes[0] = first ^ bit;
            target.ends(name, &bytes, &[0x81])?;
        }
    }
    target.ends("AUTH", &[0xF1, 0], &[0x81])
}

fn reserved_flags_of_connect_are_refused(target: &Target) -> anyhow::Result<()> {
    for bit in [0b0001, 0b0010, 0b0100, 0b1000] {
        let mut bytes = Connect::v5(target.id("c")).bytes();
        bytes[0] ^= bit;
        target.ends_unconnected("CONNECT", &bytes, &[0x81])?;
    }
    Ok(())
}

fn packet_types_that_no_client_sends_end_the_connection(target: &Target) -> anyhow::Result<()> {
    let packets: [(&str, &[u8]); 5] = [
        ("the reserved type 0", &[0x00, 0]),
        ("CONNACK", &[0x20, 3, 0, 0, 0]),
        ("SUBACK", &[0x90, 4, 0, 1, 0, 0]),
        ("UNSUBACK", &[0xB0, 4, 0, 1, 0, 0]),
        ("PINGRESP", &[0xD0, 0]),
    ];
    for (name, bytes) in packets {
        target.ends(name, bytes, &[0x81, 0x82])?;
    }
    Ok(())
}

fn a_qos_0_publish_has_no_packet_identifier_in_either_direction(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 2)?;
    // A server that took the first two bytes for an identifier, or sent one, would change the payload.
    for payload in [&[0, 7, b'x'][..], &[0, 0], &[]] {
        peer.publish(&Publish::new(&topic, payload))?;
        let got = peer.expect_message(payload)?;
        ensure!(got.qos == 0 && got.packet_id.is_none(), "{got:?}");
    }
    Ok(())
}

fn packet_identifier_0_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let publish = Publish::new("a", "x");
    let packets = [
        ("PUBLISH of QoS 1", publish.clone().qos(1, 0).bytes(Version::V5)),
        ("PUBLISH of QoS 2", publish.qos(2, 0).bytes(Version::V5)),
        ("SUBSCRIBE", subscribe(Version::V5, 0, &[], &[("a", 0)])),
        ("UNSUBSCRIBE", unsubscribe(Version::V5, 0, &[], &["a"])),
        ("PUBREL", ack(0x62, 0)),
    ];
    for (name, bytes) in packets {
        target.ends(name, &bytes, &[0x81, 0x82])?;
    }
    Ok(())
}

fn a_packet_identifier_may_be_used_again_after_its_acknowledgement(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    for round in 0..3 {
        for qos in [1, 2] {
            let payload = format!("{round} {qos}");
            peer.publish(&Publish::new(&topic, &payload).qos(qos, 7))?;
            peer.expect_message(&payload)?;
        }
        peer.send(&subscribe(Version::V5, 7, &[], &[(&topic, 0)]))?;
        peer.expect_suback(7)?;
    }
    // The two directions count by themselves: 7 may be in flight in both.
    peer.subscribe(&topic, 2)?;
    for id in 1..=10 {
        peer.publish(&Publish::new(&topic, "both").qos(1, id))?;
    }
    for _ in 1..=10 {
        peer.expect_message("both")?;
    }
    Ok(())
}

fn the_server_gives_each_message_in_flight_an_identifier_of_its_own(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut subscriber = target.v5("s")?;
    subscriber.subscribe(&topic, 2)?;
    // Few enough for any broker's window; that no identifier is in use twice is checked with every packet.
    for number in 1..=16 {
        publisher.publish(&Publish::new(&topic, number.to_string()).qos(1 + (number & 1) as u8, number))?;
    }
    let mut got = Vec::new();
    for number in 1..=16 {
        got.push(subscriber.expect_message(number.to_string())?);
    }
    // Out of order, some of them, and more come.
    for index in [3, 0, 15, 8] {
        subscriber.acknowledge(&got[index])?;
    }
    for number in 17..=20 {
        publisher.publish(&Publish::new(&topic, number.to_string()).qos(1, number))?;
    }
    for number in 17..=20 {
        subscriber.expect_message(number.to_string())?;
    }
    Ok(())
}

fn the_server_steps_over_an_identifier_in_use_when_it_starts_again(target: &Target) -> anyhow::Result<()> {
    const BATCH: u16 = 250;
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut subscriber = target.v5("s")?;
    subscriber.subscribe(&topic, 1)?;
    publisher.publish(&Publish::new(&topic, "kept").qos(1, 1))?;
    let kept = subscriber.expect_message("kept")?;
    // More than there are identifiers; the first stays in use the whole time, and each packet is checked against it.
    for _ in 0..(65_536 / usize::from(BATCH) + 1) {
        let batch: Vec<u8> =
            (1..=BATCH).flat_map(|id| Publish::new(&topic, "").qos(1, id).bytes(Version::V5)).collect();
        publisher.send(&batch)?;
        let mut acks = Vec::new();
        for _ in 0..BATCH {
            let id = subscriber.expect_publish()?.packet_id.context("QoS 1 without an identifier")?;
            acks.push(id);
            // One by one where the broker's window is smaller than the batch.
            if acks.len() == 10 {
                for id in acks.drain(..) {
                    subscriber.puback(id)?;
                }
            }
        }
        for id in acks {
            subscriber.puback(id)?;
        }
        for id in 1..=BATCH {
            publisher.expect_puback(id)?;
        }
    }
    subscriber.acknowledge(&kept)?;
    subscriber.expect_nothing()
}

fn acknowledgements_carry_the_identifier_of_their_publish(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    for id in [1, 2, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFFFF] {
        peer.publish(&Publish::new(&topic, "one").qos(1, id))?;
        peer.publish(&Publish::new(&topic, "two").qos(2, id))?;
    }
    // And the server's own PUBREL has that of its PUBLISH, with others under way.
    peer.subscribe(&topic, 2)?;
    for id in 1..=3 {
        peer.publish(&Publish::new(&topic, id.to_string()).qos(2, id))?;
    }
    let mut got = Vec::new();
    for number in 1..=3 {
        got.push(peer.expect_message(number.to_string())?);
    }
    for publish in got.iter().rev() {
        peer.acknowledge(publish)?;
    }
    peer.expect_nothing()
}

fn suback_and_unsuback_carry_the_identifier_of_their_request(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    for id in [1, 0x00FF, 0x0100, 0x8000, 0xFFFF] {
        peer.send(&subscribe(Version::V5, id, &[], &[(&topic, 1)]))?;
        peer.expect_suback(id)?;
        peer.send(&unsubscribe(Version::V5, id, &[], &[&topic]))?;
        peer.expect_unsuback(id)?;
    }
    Ok(())
}

fn a_packet_without_property_length_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let cases: [(&str, &[u8]); 4] = [
        ("PUBLISH", &[0x30, 3, 0, 1, b'a']),
        ("PUBLISH of QoS 1", &[0x32, 5, 0, 1, b'a', 0, 1]),
        // The length of the filter is taken for that of the properties, and then nothing fits.
        ("SUBSCRIBE", &[0x82, 6, 0, 1, 0, 1, b'a', 0]),
        ("UNSUBSCRIBE", &[0xA2, 5, 0, 1, 0, 1, b'a']),
    ];
    for (what, bytes) in cases {
        target.ends(what, bytes, &[0x81, 0x82])?;
    }
    let connect = [b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x00", &client_packet::data(b"c")[..]].concat();
    target.ends_unconnected("CONNECT", &connect, &[0x81, 0x82])
}

fn the_server_writes_a_property_length_of_zero(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    // The first byte of the payload would be taken for the length.
    peer.publish(&Publish::new(&topic, [5, 6, 7]))?;
    let got = peer.expect_message([5, 6, 7])?;
    ensure!(got.properties.is_empty(), "{:?}", got.properties);
    peer.unsubscribe(&topic)
}
