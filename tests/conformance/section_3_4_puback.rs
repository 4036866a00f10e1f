//! Section 3.4: the answer to a QoS 1 PUBLISH, from the server and to it.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, ack_with, packet, text, user};
use selvedge_tests::server_packet::properties;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.4 PUBACK";
    a_puback_says_what_became_of_the_message => V5["MQTT-3.4.2-1"];
    a_puback_with_a_reason_code_of_another_packet_ends_the_connection => V5["MQTT-3.4.2-1", "MQTT-4.13.1-1"];
    a_puback_in_any_of_its_three_lengths_is_taken => V5["MQTT-3.4.2-1"];
    a_puback_leaves_out_words_that_the_client_has_no_room_for => V5["MQTT-3.4.2-2", "MQTT-3.4.2-3"];
}

/// A topic that is the server's own (4.7.2): the product refuses to write it.
const FORBIDDEN: &str = "$SYS/conformance";

fn a_puback_says_what_became_of_the_message(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("a")?;
    let topic = target.topic("t");
    peer.send_publish(&Publish::new(&topic, "nobody").qos(1, 1))?;
    let nobody = peer.expect_puback(1)?.reason;
    ensure!([0x00, 0x10].contains(&nobody), "a message for nobody is answered with {nobody:#04x}");
    peer.subscribe(&topic, 0)?;
    peer.send_publish(&Publish::new(&topic, "somebody").qos(1, 2))?;
    let somebody = peer.expect_puback(2)?.reason;
    ensure!(somebody == 0x00, "a message for somebody is answered with {somebody:#04x}");
    peer.expect_message("somebody")?;
    if target.is_product() {
        peer.send_publish(&Publish::new(FORBIDDEN, "x").qos(1, 3))?;
        let forbidden = peer.expect_puback(3)?.reason;
        ensure!(forbidden == 0x87, "a forbidden message is answered with {forbidden:#04x}");
    }
    Ok(())
}

fn a_puback_with_a_reason_code_of_another_packet_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    // Those of SUBACK, PUBREL, DISCONNECT and none at all.
    for (index, reason) in [0x01, 0x92, 0x8E, 0x7F].into_iter().enumerate() {
        let mut peer = target.v5(&format!("a{index}"))?;
        let topic = target.topic(&index.to_string());
        peer.subscribe(&topic, 1)?;
        peer.publish(&Publish::new(&topic, "x").qos(1, 1))?;
        let id = peer.expect_message("x")?.packet_id.unwrap_or_default();
        peer.send(&ack_with(0x40, id, reason))?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    Ok(())
}

fn a_puback_in_any_of_its_three_lengths_is_taken(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.connect(&Connect::v5(target.id("a")).receive_maximum(1))?;
    let topic = target.topic("t");
    peer.subscribe(&topic, 1)?;
    let words = [text(properties::REASON_STRING, "stored"), user("a", "b"), user("a", "c")].concat();
    let length = u8::try_from(words.len())?;
    let endings = [vec![], vec![0x00], vec![0x00, 0], [vec![0x10, length], words].concat()];
    for (index, ending) in endings.into_iter().enumerate() {
        let payload = index.to_string();
        // Only one may be in flight, so that each shows that the one before was acknowledged.
        peer.publish(&Publish::new(&topic, &payload).qos(1, 1))?;
        let id = peer.expect_message(&payload)?.packet_id.unwrap_or_default();
        peer.acknowledged(id);
        peer.send(&packet(0x40, &[id.to_be_bytes().to_vec(), ending].concat()))?;
    }
    peer.expect_nothing()
}

fn a_puback_leaves_out_words_that_the_client_has_no_room_for(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("needs a broker that refuses messages to $SYS with words"));
    }
    let mut roomy = target.v5("a")?;
    roomy.send_publish(&Publish::new(FORBIDDEN, "x").qos(1, 1))?;
    let answer = roomy.expect_puback(1)?;
    let words = answer.properties.text(properties::REASON_STRING).map(str::len);
    ensure!(words.is_some(), "no reason string where there is room: {answer:?}");
    // Fixed header, identifier, reason code, property length, identifier and length of the string.
    let whole = 2 + 2 + 1 + 1 + 3 + words.unwrap_or_default();
    for (limit, expected) in [(whole, words), (whole - 1, None)] {
        let connect = Connect::v5(target.id("b")).packet_bytes_max(u32::try_from(limit)?);
        let mut peer = target.connect(&connect)?;
        peer.send_publish(&Publish::new(FORBIDDEN, "x").qos(1, 1))?;
        let answer = peer.expect_puback(1)?;
        ensure!(answer.reason == 0x87, "within {limit} bytes: {answer:?}");
        let words = answer.properties.text(properties::REASON_STRING).map(str::len);
        ensure!(words == expected, "within {limit} bytes: {answer:?}");
    }
    Ok(())
}
