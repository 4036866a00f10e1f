//! Section 3.6: the release of a QoS 2 message, from the server and to it.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, ack_with};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.6 PUBREL";
    a_pubrel_with_other_flags_is_malformed =>
        V5["MQTT-3.6.1-1", "MQTT-2.1.3-1", "MQTT-4.13.1-1"], V311["MQTT-3.6.1-1", "MQTT-2.2.2-1", "MQTT-2.2.2-2"];
    a_pubrel_says_whether_the_identifier_is_known => V5["MQTT-3.6.2-1"];
    a_pubrel_with_a_reason_code_of_another_packet_ends_the_connection => V5["MQTT-3.6.2-1", "MQTT-4.13.1-1"];
    a_pubrel_fits_the_smallest_room => V5["MQTT-3.6.2-2", "MQTT-3.6.2-3"];
}

fn a_pubrel_with_other_flags_is_malformed(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for flags in (0x00..=0x0F).filter(|flags| *flags != 0b0010) {
            let mut peer = target.peer(version, &format!("a{flags}"))?;
            peer.send_publish(&Publish::new(&target.topic("t"), "x").qos(2, 1))?;
            peer.expect_pubrec(1)?;
            peer.send(&[0x60 | flags, 2, 0, 1])?;
            peer.expect_closed(&[0x81])?;
        }
        Ok(())
    })
}

fn a_pubrel_says_whether_the_identifier_is_known(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("a")?;
    let topic = target.topic("t");
    peer.subscribe(&topic, 2)?;
    peer.publish(&Publish::new(&topic, "x").qos(2, 1))?;
    let id = peer.expect_message("x")?.packet_id.unwrap_or_default();
    peer.pubrec(id)?;
    let known = peer.expect_pubrel(id)?.reason;
    ensure!(known == 0x00, "a message in flight is released with {known:#04x}");
    peer.pubcomp(id)?;
    if target.is_product() {
        // The standard has the code for it, and does not say that it must be used.
        peer.pubrec(777)?;
        let unknown = peer.expect_pubrel(777)?.reason;
        ensure!(unknown == 0x92, "an unknown identifier is released with {unknown:#04x}");
    }
    peer.expect_nothing()
}

fn a_pubrel_with_a_reason_code_of_another_packet_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for (index, reason) in [0x10, 0x97, 0x04].into_iter().enumerate() {
        let mut peer = target.v5(&format!("a{index}"))?;
        peer.send_publish(&Publish::new(&target.topic("t"), "x").qos(2, 1))?;
        peer.expect_pubrec(1)?;
        peer.send(&ack_with(0x62, 1, reason))?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    Ok(())
}

fn a_pubrel_fits_the_smallest_room(target: &Target) -> anyhow::Result<()> {
    // The least that the messages below need; each packet is held to it.
    let topic = target.topic("t");
    let limit = 2 + 2 + topic.len() + 2 + 1 + 1;
    let (mut peer, connack) =
        target.try_connect(&Connect::v5(target.id("a")).packet_bytes_max(u32::try_from(limit)?))?;
    if connack.reason != 0 {
        return Err(target.skip("a CONNACK of this broker does not fit into so few bytes"));
    }
    peer.subscribe(&topic, 2)?;
    peer.publish(&Publish::new(&topic, "x").qos(2, 1))?;
    let message = peer.expect_message("x")?;
    peer.acknowledge(&message)?;
    if target.is_product() {
        peer.pubrec(777)?;
        ensure!(peer.expect_pubrel(777)?.reason == 0x92, "an unknown identifier is released as if it were known");
    }
    peer.expect_nothing()
}
