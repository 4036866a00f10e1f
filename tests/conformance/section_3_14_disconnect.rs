//! Section 3.14: the last packet of a connection, from the server and to it.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, Will, disconnect, four_bytes, packet};
use selvedge_tests::peer::Peer;
use selvedge_tests::server_packet::{Closing, ServerPacket, properties};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.14 DISCONNECT";
    no_disconnect_comes_before_a_connack => V5["MQTT-3.14.0-1", "MQTT-3.2.0-1"];
    a_disconnect_with_flags_is_malformed_and_no_normal_end =>
        V5["MQTT-3.14.1-1", "MQTT-2.1.3-1"], V311["MQTT-3.14.1-1", "MQTT-2.2.2-1", "MQTT-2.2.2-2"];
    a_disconnect_with_a_reason_code_of_another_packet_is_no_normal_end => V5["MQTT-3.14.2-1"];
    the_servers_disconnect_says_why_in_a_code_of_its_own => V5["MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-4.13.2-1"];
    a_disconnect_leaves_out_words_that_the_client_has_no_room_for => V5["MQTT-3.14.2-3", "MQTT-3.14.2-4"];
    nothing_comes_after_the_servers_disconnect => V5["MQTT-3.14.4-1", "MQTT-3.14.4-2"];
    the_server_closes_after_the_clients_disconnect => V5["MQTT-3.14.4-2"], V311["MQTT-3.14.4-1"];
    what_a_client_sends_after_its_disconnect_is_not_heard => V5["MQTT-3.14.4-1"], V311["MQTT-3.14.4-2"];
    a_normal_disconnect_discards_the_will => V5["MQTT-3.14.4-3", "MQTT-3.1.2-10"], V311["MQTT-3.14.4-3", "MQTT-3.1.2-10"];
    a_disconnect_with_will_message_publishes_it => V5["MQTT-3.1.2-8"];
    a_disconnect_can_change_the_session_expiry_but_not_from_none => V5["MQTT-4.1.0-2", "MQTT-3.1.2-23"];
}

/// Makes the server end the connection, and gives what it said.
fn broken_off(mut peer: Peer) -> anyhow::Result<Closing> {
    // A second CONNECT.
    peer.send(&Connect::v5("x").bytes())?;
    let said = match peer.receive()? {
        ServerPacket::Disconnect(closing) => closing,
        other => anyhow::bail!("expected DISCONNECT, got {other:?}"),
    };
    peer.expect_silent_end()?;
    Ok(said)
}

fn no_disconnect_comes_before_a_connack(target: &Target) -> anyhow::Result<()> {
    let wrong = [
        vec![0xC0, 0x00],
        Publish::new("a", "x").bytes(selvedge_tests::client::Version::V5),
        disconnect(0x00, &[]),
        Connect::v5("x").bytes_with(b"MQTT", 5, 0x03),
        packet(0x10, &[0, 4, b'M', b'Q', b'T', b'T', 5]),
    ];
    for bytes in wrong {
        let mut peer = target.open()?;
        peer.send(&bytes)?;
        // Takes a CONNACK at most.
        peer.expect_closed(&[0x81, 0x82, 0x84])?;
    }
    Ok(())
}

fn a_disconnect_with_flags_is_malformed_and_no_normal_end(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("will");
        let mut watcher = target.peer(version, "watcher")?;
        watcher.subscribe(&topic, 0)?;
        for flags in 0x01..=0x0F {
            let will = Will::new(&topic, &[flags]);
            let mut peer = target.connect(&Connect::new(version, target.id("a")).will(will))?;
            peer.send(&[0xE0 | flags, 0x00])?;
            peer.expect_closed(&[0x81])?;
            watcher.expect_message([flags])?;
        }
        Ok(())
    })
}

fn a_disconnect_with_a_reason_code_of_another_packet_is_no_normal_end(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v5("watcher")?;
    watcher.subscribe(&topic, 0)?;
    for reason in [0x01, 0x10, 0x85, 0x92] {
        let mut peer = target.connect(&Connect::v5(target.id("a")).will(Will::new(&topic, &[reason])))?;
        peer.send(&disconnect(reason, &[]))?;
        peer.expect_closed(&[0x81, 0x82])?;
        watcher.expect_message([reason])?;
    }
    Ok(())
}

fn the_servers_disconnect_says_why_in_a_code_of_its_own(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("to say why is only recommended (4.13.1)"));
    }
    // Which properties it may carry, no session expiry among them, is checked by the decoder of the peer.
    let said = broken_off(target.v5("a")?)?;
    ensure!(said.reason == 0x82, "a second CONNECT ends with {:#04x}", said.reason);
    let mut old = target.v5("b")?;
    let _new = target.v5("b")?;
    match old.receive()? {
        ServerPacket::Disconnect(closing) => ensure!(closing.reason == 0x8E, "{closing:?}"),
        other => anyhow::bail!("expected DISCONNECT, got {other:?}"),
    }
    old.expect_silent_end()
}

fn a_disconnect_leaves_out_words_that_the_client_has_no_room_for(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("to say why is only recommended (4.13.1)"));
    }
    let said = broken_off(target.v5("a")?)?;
    let words = said.properties.text(properties::REASON_STRING).map(str::len);
    ensure!(words.is_some(), "no reason string where there is room: {said:?}");
    let whole = 2 + 1 + 1 + 3 + words.unwrap_or_default();
    for (limit, expected) in [(whole, words), (whole - 1, None)] {
        let connect = Connect::v5(target.id("b")).packet_bytes_max(u32::try_from(limit)?);
        let said = broken_off(target.connect(&connect)?)?;
        let words = said.properties.text(properties::REASON_STRING).map(str::len);
        ensure!(said.reason == 0x82 && words == expected, "within {limit} bytes: {said:?}");
    }
    Ok(())
}

fn nothing_comes_after_the_servers_disconnect(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.v5("a")?;
    peer.subscribe(&topic, 0)?;
    for index in 0..20 {
        publisher.send_publish(&Publish::new(&topic, index.to_string()))?;
    }
    // Answers would be due for all that follows the violation.
    let after = [vec![0xC0, 0x00], Publish::new(&topic, "x").qos(1, 1).bytes(peer.version())].concat();
    peer.send(&[Connect::v5("x").bytes(), after].concat())?;
    for index in 20..40 {
        publisher.send_publish(&Publish::new(&topic, index.to_string()))?;
    }
    publisher.settle()?;
    // What was under way may come before the end; what comes after a DISCONNECT is an error of `receive`.
    while let Some(packet) = peer.receive_or_end()? {
        ensure!(matches!(packet, ServerPacket::Publish(_) | ServerPacket::Disconnect(_)), "{packet:?}");
    }
    Ok(())
}

fn the_server_closes_after_the_clients_disconnect(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| target.peer(version, "a")?.disconnect())
}

fn what_a_client_sends_after_its_disconnect_is_not_heard(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut watcher = target.peer(version, "w")?;
        watcher.subscribe(&topic, 0)?;
        let mut peer = target.peer(version, "a")?;
        let late = Publish::new(&topic, "late").bytes(version);
        peer.send(&[vec![0xE0, 0x00], late, vec![0xC0, 0x00]].concat())?;
        peer.expect_silent_end()?;
        watcher.expect_nothing()
    })
}

fn a_normal_disconnect_discards_the_will(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("will");
        let mut watcher = target.peer(version, "w")?;
        watcher.subscribe(&topic, 0)?;
        let connect = Connect::new(version, target.id("a")).will(Will::new(&topic, b"will"));
        // Three forms of the same in MQTT 5, one in 3.1.1.
        let forms: &[&[u8]] = match version {
            selvedge_tests::client::Version::V5 => &[&[0xE0, 0], &[0xE0, 1, 0], &[0xE0, 2, 0, 0]],
            selvedge_tests::client::Version::V311 => &[&[0xE0, 0]],
        };
        for form in forms {
            let mut peer = target.connect(&connect)?;
            peer.send(form)?;
            peer.expect_silent_end()?;
            watcher.expect_nothing()?;
        }
        // And not later either: the session has no will any more.
        let lasting = connect.lasting();
        target.connect(&lasting)?.disconnect()?;
        let without = Connect { will: None, ..lasting }.resuming();
        drop(target.connect(&without)?);
        target.connect(&without)?.expect_nothing()?;
        watcher.expect_nothing()
    })
}

fn a_disconnect_with_will_message_publishes_it(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    // 0x04, and any error.
    for reason in [0x04, 0x80, 0x83, 0x97] {
        let mut peer = target.connect(&Connect::v5(target.id("a")).will(Will::new(&topic, &[reason])))?;
        peer.send(&disconnect(reason, &[]))?;
        peer.expect_silent_end()?;
        watcher.expect_message([reason])?;
    }
    Ok(())
}

fn a_disconnect_can_change_the_session_expiry_but_not_from_none(target: &Target) -> anyhow::Result<()> {
    let expiry = |seconds| disconnect(0x00, &four_bytes(properties::SESSION_EXPIRY_INTERVAL, seconds));
    // To none: the session ends with the connection.
    let lasting = Connect::v5(target.id("a")).session_expiry(100);
    let mut peer = target.connect(&lasting)?;
    peer.send(&expiry(0))?;
    peer.expect_silent_end()?;
    let (_, connack) = target.connect_and_tell(&lasting.clone().resuming())?;
    ensure!(!connack.session_present, "a session that was ended by DISCONNECT is still there");
    // To another one: it stays.
    let mut peer = target.connect(&Connect::v5(target.id("b")).session_expiry(1))?;
    peer.send(&expiry(100))?;
    peer.expect_silent_end()?;
    let (_, connack) = target.connect_and_tell(&Connect::v5(target.id("b")).session_expiry(100).resuming())?;
    ensure!(connack.session_present, "a session that was prolonged by DISCONNECT is gone");
    // From none: a protocol error (3.14.2.2.2).
    let mut peer = target.v5("c")?;
    peer.send(&expiry(100))?;
    peer.expect_closed(&[0x82])
}
