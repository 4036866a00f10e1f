//! Section 4.2: an ordered, lossless stream of bytes, whatever pieces it comes in.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, subscribe};

use crate::registry::section;
use crate::target::Target;

section! {
    "4.2 Network Connections";
    packets_may_come_byte_by_byte => V5["MQTT-4.2-1"], V311["MQTT-7.1.1-1"];
    packets_may_come_many_at_once => V5["MQTT-4.2-1"], V311["MQTT-7.1.1-1", "MQTT-7.0.0-2"];
    a_large_message_arrives_whole => V5["MQTT-4.2-1"], V311["MQTT-7.1.1-1"];
}

fn packets_may_come_byte_by_byte(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a"));
        let mut peer = target.open_as(version)?;
        peer.hold_to(&connect);
        for byte in connect.bytes() {
            peer.send(&[byte])?;
        }
        ensure!(peer.expect_connack()?.reason == 0, "refused");
        let publish = Publish::new(&topic, "x").qos(1, 2).bytes(version);
        for byte in [subscribe(version, 1, &[], &[(&topic, 0)]), publish].concat() {
            peer.send(&[byte])?;
        }
        peer.expect_suback(1)?;
        peer.expect_puback(2)?;
        peer.expect_message("x")?;
        peer.expect_nothing()
    })
}

fn packets_may_come_many_at_once(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 300;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a"));
        let mut peer = target.open_as(version)?;
        peer.hold_to(&connect);
        let mut bytes = [connect.bytes(), subscribe(version, 1, &[], &[(&topic, 0)])].concat();
        for index in 0..COUNT {
            bytes.extend(Publish::new(&topic, index.to_string()).bytes(version));
        }
        peer.send(&bytes)?;
        ensure!(peer.expect_connack()?.reason == 0, "refused");
        peer.expect_suback(1)?;
        for index in 0..COUNT {
            peer.expect_message(index.to_string())?;
        }
        peer.expect_nothing()
    })
}

fn a_large_message_arrives_whole(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 1)?;
        let payload: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_be_bytes()[2..].to_vec()).collect();
        peer.publish(&Publish::new(&topic, &payload).qos(1, 1))?;
        let message = peer.expect_publish()?;
        ensure!(message.payload == payload, "{} bytes arrive changed", payload.len());
        peer.acknowledge(&message)?;
        peer.expect_nothing()
    })
}
