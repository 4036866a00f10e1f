//! Section 3.11: the answer to UNSUBSCRIBE.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, unsubscribe};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.11 UNSUBACK";
    an_unsuback_fits_the_smallest_room => V5["MQTT-3.11.2-1", "MQTT-3.11.2-2"];
    the_codes_stand_in_the_order_of_the_filters => V5["MQTT-3.11.3-1", "MQTT-3.11.3-2"];
}

fn an_unsuback_fits_the_smallest_room(target: &Target) -> anyhow::Result<()> {
    // Each packet of the broker is held to the limit.
    let (mut peer, connack) = target.try_connect(&Connect::v5(target.id("a")).packet_bytes_max(24))?;
    if connack.reason != 0 {
        return Err(target.skip("a CONNACK of this broker does not fit into so few bytes"));
    }
    let filters: Vec<String> = (0..18).map(|index| target.topic(&index.to_string())).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    peer.send(&unsubscribe(Version::V5, 1, &[], &filters))?;
    // 24 bytes to the last.
    let reasons = peer.expect_unsuback(1)?.reasons;
    ensure!(reasons == [0x11; 18], "{reasons:02x?}");
    Ok(())
}

fn the_codes_stand_in_the_order_of_the_filters(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("a")?;
    let (there, none) = (target.topic("there"), target.topic("none"));
    for (id, order) in [(1, [0x00, 0x11, 0x11]), (2, [0x11, 0x00, 0x11]), (3, [0x11, 0x11, 0x00])] {
        peer.subscribe(&there, 0)?;
        let filters = order.map(|reason| if reason == 0 { there.as_str() } else { none.as_str() });
        peer.send(&unsubscribe(Version::V5, id, &[], &filters))?;
        let reasons = peer.expect_unsuback(id)?.reasons;
        ensure!(reasons == order, "{order:02x?} is answered with {reasons:02x?}");
    }
    Ok(())
}
