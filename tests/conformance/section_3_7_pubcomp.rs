//! Section 3.7: the end of a QoS 2 exchange, from the server and to it.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, ack, ack_with};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.7 PUBCOMP";
    a_pubcomp_says_whether_the_identifier_was_known => V5["MQTT-3.7.2-1"];
    a_pubcomp_with_a_reason_code_of_another_packet_ends_the_connection => V5["MQTT-3.7.2-1", "MQTT-4.13.1-1"];
    a_pubcomp_fits_the_smallest_room => V5["MQTT-3.7.2-2", "MQTT-3.7.2-3"];
}

fn a_pubcomp_says_whether_the_identifier_was_known(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("a")?;
    peer.send_publish(&Publish::new(&target.topic("t"), "x").qos(2, 9))?;
    peer.expect_pubrec(9)?;
    peer.send(&ack(0x62, 9))?;
    let known = peer.expect_pubcomp(9)?.reason;
    ensure!(known == 0x00, "a release is answered with {known:#04x}");
    peer.send(&ack(0x62, 9))?;
    let again = peer.expect_pubcomp(9)?.reason;
    // The standard has the code for it, and does not say that it must be used.
    ensure!(again == 0x92 || !target.is_product(), "a second release is answered with {again:#04x}");
    Ok(())
}

fn a_pubcomp_with_a_reason_code_of_another_packet_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for (index, reason) in [0x10, 0x80, 0x19].into_iter().enumerate() {
        let mut peer = target.v5(&format!("a{index}"))?;
        let topic = target.topic(&index.to_string());
        peer.subscribe(&topic, 2)?;
        peer.publish(&Publish::new(&topic, "x").qos(2, 1))?;
        let id = peer.expect_message("x")?.packet_id.unwrap_or_default();
        peer.pubrec(id)?;
        peer.expect_pubrel(id)?;
        peer.send(&ack_with(0x70, id, reason))?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    Ok(())
}

fn a_pubcomp_fits_the_smallest_room(target: &Target) -> anyhow::Result<()> {
    let limit = 24;
    let (mut peer, connack) = target.try_connect(&Connect::v5(target.id("a")).packet_bytes_max(limit))?;
    if connack.reason != 0 {
        return Err(target.skip("a CONNACK of this broker does not fit into so few bytes"));
    }
    peer.publish(&Publish::new(&target.topic("t"), "x").qos(2, 1))?;
    peer.send(&ack(0x62, 777))?;
    let unknown = peer.expect_pubcomp(777)?.reason;
    ensure!(unknown == 0x92 || !target.is_product(), "an unknown release is answered with {unknown:#04x}");
    peer.expect_nothing()
}
