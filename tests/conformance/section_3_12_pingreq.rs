//! Sections 3.12 and 3.13: a question whether the server is there, and its answer.

use anyhow::ensure;
use selvedge_tests::server_packet::ServerPacket;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.12 PINGREQ";
    each_pingreq_is_answered => V5["MQTT-3.12.4-1"], V311["MQTT-3.12.4-1"];
    a_pingreq_with_flags_or_a_body_ends_the_connection => V5["MQTT-2.1.3-1"], V311["MQTT-2.2.2-1", "MQTT-2.2.2-2"];
}

fn each_pingreq_is_answered(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.send(&[0xC0, 0x00].repeat(20))?;
        for _ in 0..20 {
            let packet = peer.receive()?;
            ensure!(packet == ServerPacket::PingResp, "expected PINGRESP, got {packet:?}");
        }
        peer.expect_nothing()
    })
}

fn a_pingreq_with_flags_or_a_body_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for (name, bytes) in [("a", &[0xC1, 0x00][..]), ("b", &[0xC8, 0x00]), ("c", &[0xC0, 0x01, 0x00])] {
            let mut peer = target.peer(version, name)?;
            peer.send(bytes)?;
            peer.expect_closed(&[0x81, 0x82])?;
        }
        Ok(())
    })
}
