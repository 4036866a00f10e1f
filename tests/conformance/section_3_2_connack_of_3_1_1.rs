//! Section 3.2 of MQTT 3.1.1.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish};
use selvedge_tests::server_packet::ServerPacket;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.2 CONNACK of 3.1.1";
    the_connack_comes_before_all_that_waits => V311["MQTT-3.2.0-1"];
    with_clean_session_no_session_is_present => V311["MQTT-3.2.2-1"];
    session_present_says_whether_there_was_one => V311["MQTT-3.2.2-2", "MQTT-3.2.2-3"];
    a_refusal_has_no_session_present_and_ends_the_connection => V311["MQTT-3.2.2-4", "MQTT-3.2.2-5"];
}

fn the_connack_comes_before_all_that_waits(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let lasting = Connect::v311(target.id("a")).lasting();
    let mut peer = target.connect(&lasting)?;
    peer.subscribe(&topic, 1)?;
    peer.publish(&Publish::new(&topic, "in flight").qos(1, 1))?;
    peer.expect_message("in flight")?;
    drop(peer);
    target.v311("p")?.publish(&Publish::new(&topic, "waiting").qos(1, 1))?;
    let mut peer = target.open_as(lasting.version)?;
    // With more in the same bytes.
    peer.hold_to(&lasting);
    peer.send(&[lasting.bytes(), vec![0xC0, 0x00]].concat())?;
    ensure!(peer.expect_connack()?.session_present, "the session is gone");
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(peer.receive()?.name());
    }
    kinds.sort_unstable();
    ensure!(kinds == ["PINGRESP", "PUBLISH", "PUBLISH"], "{kinds:?}");
    Ok(())
}

fn with_clean_session_no_session_is_present(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v311(target.id("a"));
    drop(target.connect(&connect.clone().lasting())?);
    for _ in 0..2 {
        let (peer, connack) = target.connect_and_tell(&connect)?;
        ensure!(!connack.session_present && connack.reason == 0, "{connack:?}");
        drop(peer);
    }
    Ok(())
}

fn session_present_says_whether_there_was_one(target: &Target) -> anyhow::Result<()> {
    let lasting = Connect::v311(target.id("a")).lasting();
    for (round, expected) in [false, true, true].into_iter().enumerate() {
        let (peer, connack) = target.connect_and_tell(&lasting)?;
        ensure!(connack.session_present == expected && connack.reason == 0, "connection {round}: {connack:?}");
        peer.disconnect()?;
    }
    // Also while the client is connected.
    let _first = target.connect(&lasting)?;
    let (_, connack) = target.connect_and_tell(&lasting)?;
    ensure!(connack.session_present, "{connack:?}");
    Ok(())
}

fn a_refusal_has_no_session_present_and_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    // An empty client identifier (2) and a level that nobody knows (1); the flag is checked by the decoder of the peer.
    let level = Connect::v311(target.id("a")).lasting().bytes_with(b"MQTT", 3, 0x00);
    for (bytes, reason) in [(Connect::v311("").lasting().bytes(), 2), (level, 1)] {
        let mut peer = target.open_as(selvedge_tests::client::Version::V311)?;
        peer.send(&bytes)?;
        match peer.receive()? {
            ServerPacket::ConnAck(connack) => {
                ensure!(connack.reason == reason && !connack.session_present, "{connack:?}");
            }
            other => anyhow::bail!("expected CONNACK, got {other:?}"),
        }
        peer.expect_silent_end()?;
    }
    Ok(())
}
