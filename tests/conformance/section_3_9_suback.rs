//! Section 3.9: the answer to SUBSCRIBE.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, subscribe};
use selvedge_tests::server_packet::ServerPacket;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.9 SUBACK";
    a_suback_fits_the_smallest_room => V5["MQTT-3.9.2-1", "MQTT-3.9.2-2"];
    a_suback_that_the_client_has_no_room_for_is_not_sent => V5["MQTT-3.1.2-24"];
    the_codes_stand_in_the_order_of_the_filters => V5["MQTT-3.9.3-1", "MQTT-3.9.3-2"], V311["MQTT-3.9.3-1", "MQTT-3.9.3-2"];
    a_refused_filter_is_answered_with_a_code_of_the_version => V5["MQTT-3.9.3-2"], V311["MQTT-3.9.3-2"];
}

fn a_suback_fits_the_smallest_room(target: &Target) -> anyhow::Result<()> {
    // Each packet of the broker is held to the limit.
    let (mut peer, connack) = target.try_connect(&Connect::v5(target.id("a")).packet_bytes_max(24))?;
    if connack.reason != 0 {
        return Err(target.skip("a CONNACK of this broker does not fit into so few bytes"));
    }
    let filters: Vec<String> = (0..18).map(|index| target.topic(&index.to_string())).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
    peer.send(&subscribe(peer.version(), 1, &[], &filters))?;
    // 24 bytes to the last.
    let reasons = peer.expect_suback(1)?.reasons;
    ensure!(reasons == [1; 18], "{reasons:02x?}");
    Ok(())
}

fn a_suback_that_the_client_has_no_room_for_is_not_sent(target: &Target) -> anyhow::Result<()> {
    let (mut peer, connack) = target.try_connect(&Connect::v5(target.id("a")).packet_bytes_max(24))?;
    if connack.reason != 0 {
        return Err(target.skip("a CONNACK of this broker does not fit into so few bytes"));
    }
    let filters: Vec<String> = (0..19).map(|index| target.topic(&index.to_string())).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    // 25 bytes would be due. What is sent is held to 24; what a server does instead is its own.
    peer.send(&subscribe(peer.version(), 1, &[], &filters))?;
    peer.send(&[0xC0, 0x00])?;
    while let Some(packet) = peer.receive_or_end()? {
        if packet == ServerPacket::PingResp {
            break;
        }
    }
    Ok(())
}

fn the_codes_stand_in_the_order_of_the_filters(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        let orders: [[u8; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let (a, b, c) = (target.topic("a"), target.topic("b"), target.topic("c"));
        for (id, order) in (1..).zip(orders) {
            peer.send(&subscribe(version, id, &[], &[(&a, order[0]), (&b, order[1]), (&c, order[2])]))?;
            let reasons = peer.expect_suback(id)?.reasons;
            ensure!(reasons == order, "{order:?} is answered with {reasons:?}");
        }
        Ok(())
    })
}

fn a_refused_filter_is_answered_with_a_code_of_the_version(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("needs a broker that refuses filters of many levels"));
    }
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        let deep = target.topic(&"a/".repeat(2000));
        // Codes that the version does not have are refused by the decoder of the peer.
        peer.send(&subscribe(version, 1, &[], &[(&deep, 2), (&target.topic("t"), 1)]))?;
        let reasons = peer.expect_suback(1)?.reasons;
        ensure!(reasons.len() == 2 && reasons[0] >= 0x80 && reasons[1] == 1, "{reasons:02x?}");
        peer.expect_nothing()
    })
}
