//! Section 3.5: the first answer to a QoS 2 PUBLISH, from the server and to it.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, ack, ack_with};
use selvedge_tests::server_packet::properties;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.5 PUBREC";
    a_pubrec_says_what_became_of_the_message => V5["MQTT-3.5.2-1"];
    a_pubrec_with_a_reason_code_of_another_packet_ends_the_connection => V5["MQTT-3.5.2-1", "MQTT-4.13.1-1"];
    a_pubrec_leaves_out_words_that_the_client_has_no_room_for => V5["MQTT-3.5.2-2", "MQTT-3.5.2-3"];
}

/// A topic that is the server's own (4.7.2): the product refuses to write it.
const FORBIDDEN: &str = "$SYS/conformance";

fn a_pubrec_says_what_became_of_the_message(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("a")?;
    let topic = target.topic("t");
    peer.send_publish(&Publish::new(&topic, "nobody").qos(2, 1))?;
    let nobody = peer.expect_pubrec(1)?.reason;
    ensure!([0x00, 0x10].contains(&nobody), "a message for nobody is answered with {nobody:#04x}");
    peer.subscribe(&topic, 0)?;
    peer.send_publish(&Publish::new(&topic, "somebody").qos(2, 2))?;
    let somebody = peer.expect_pubrec(2)?.reason;
    ensure!(somebody == 0x00, "a message for somebody is answered with {somebody:#04x}");
    for id in [1, 2] {
        peer.send(&ack(0x62, id))?;
        peer.expect_pubcomp(id)?;
    }
    if target.is_product() {
        peer.send_publish(&Publish::new(FORBIDDEN, "x").qos(2, 3))?;
        let forbidden = peer.expect_pubrec(3)?.reason;
        ensure!(forbidden == 0x87, "a forbidden message is answered with {forbidden:#04x}");
    }
    Ok(())
}

fn a_pubrec_with_a_reason_code_of_another_packet_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for (index, reason) in [0x02, 0x92, 0x94].into_iter().enumerate() {
        let mut peer = target.v5(&format!("a{index}"))?;
        let topic = target.topic(&index.to_string());
        peer.subscribe(&topic, 2)?;
        peer.publish(&Publish::new(&topic, "x").qos(2, 1))?;
        let id = peer.expect_message("x")?.packet_id.unwrap_or_default();
        peer.send(&ack_with(0x50, id, reason))?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    Ok(())
}

fn a_pubrec_leaves_out_words_that_the_client_has_no_room_for(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("needs a broker that refuses messages to $SYS with words"));
    }
    let mut roomy = target.v5("a")?;
    roomy.send_publish(&Publish::new(FORBIDDEN, "x").qos(2, 1))?;
    let answer = roomy.expect_pubrec(1)?;
    let words = answer.properties.text(properties::REASON_STRING).map(str::len);
    ensure!(words.is_some(), "no reason string where there is room: {answer:?}");
    let whole = 2 + 2 + 1 + 1 + 3 + words.unwrap_or_default();
    for (limit, expected) in [(whole, words), (whole - 1, None)] {
        let connect = Connect::v5(target.id("b")).packet_bytes_max(u32::try_from(limit)?);
        let mut peer = target.connect(&connect)?;
        peer.send_publish(&Publish::new(FORBIDDEN, "x").qos(2, 1))?;
        let answer = peer.expect_pubrec(1)?;
        ensure!(answer.reason == 0x87, "within {limit} bytes: {answer:?}");
        let words = answer.properties.text(properties::REASON_STRING).map(str::len);
        ensure!(words == expected, "within {limit} bytes: {answer:?}");
    }
    Ok(())
}
