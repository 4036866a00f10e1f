//! Section 4.1: how long a session lasts, and what belongs to it.

use std::time::Duration;

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, Will};

use crate::registry::section;
use crate::target::Target;

section! {
    "4.1 Session State";
    a_session_lasts_as_long_as_its_connection => V5["MQTT-4.1.0-1"], V311["MQTT-4.1.0-1", "MQTT-4.1.0-2"];
    a_session_that_was_resumed_does_not_end_when_its_absence_would_have => V5["MQTT-4.1.0-1"];
    a_session_ends_when_its_time_has_passed => V5["MQTT-4.1.0-2", "MQTT-3.1.2-8"];
    a_session_without_expiry_ends_with_its_connection => V5["MQTT-4.1.0-2"], V311["MQTT-3.1.2-6"];
    a_session_keeps_subscriptions_messages_and_unfinished_exchanges =>
        V5["MQTT-3.1.2-23", "MQTT-3.1.2-5", "MQTT-4.5.0-1"], V311["MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-4.5.0-1"];
    messages_of_qos_0_are_no_session_state => V5["MQTT-4.1.0-1"], V311["MQTT-4.1.0-1"];
}

fn a_session_lasts_as_long_as_its_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut publisher = target.peer(version, "p")?;
        // Longer than the expiry of the session, which counts from the end of the connection only.
        let connect = match version {
            Version::V5 => Connect::v5(target.id("a")).session_expiry(1),
            Version::V311 => Connect::v311(target.id("a")),
        };
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        std::thread::sleep(Duration::from_millis(1600));
        publisher.publish(&Publish::new(&topic, "x").qos(1, 1))?;
        let message = peer.expect_message("x")?;
        peer.acknowledge(&message)?;
        if version == Version::V5 {
            // A broker need not have read what a connection sent last when another takes the session over.
            peer.settle()?;
            drop(peer);
            let (mut peer, connack) = target.connect_and_tell(&connect.resuming())?;
            ensure!(connack.session_present, "the session of a connection that lasted longer than its expiry is gone");
            publisher.publish(&Publish::new(&topic, "y").qos(1, 1))?;
            peer.expect_message("y")?;
        }
        Ok(())
    })
}

fn a_session_that_was_resumed_does_not_end_when_its_absence_would_have(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("a")).session_expiry(1);
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 1)?;
    drop(peer);
    let (mut peer, connack) = target.connect_and_tell(&connect.resuming())?;
    if !connack.session_present {
        return Err(target.skip("the machine took longer than a second to connect again"));
    }
    std::thread::sleep(Duration::from_millis(1600));
    let mut publisher = target.v5("p")?;
    publisher.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    peer.expect_message("x")?;
    Ok(())
}

fn a_session_ends_when_its_time_has_passed(target: &Target) -> anyhow::Result<()> {
    let (will, topic) = (target.topic("will"), target.topic("t"));
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&will, 0)?;
    // The will waits for the end of the session, and so tells when that was (3.1.3.2.2).
    let connect = Connect::v5(target.id("a")).session_expiry(1).will(Will::new(&will, b"ended").delay(3600));
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 1)?;
    drop(peer);
    watcher.expect_message("ended")?;
    watcher.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    let (mut peer, connack) = target.connect_and_tell(&connect.resuming())?;
    ensure!(!connack.session_present, "the session is there after its expiry");
    peer.expect_nothing()?;
    // Nor is there a subscription left of it.
    watcher.publish(&Publish::new(&topic, "y").qos(1, 2))?;
    peer.expect_nothing()
}

fn a_session_without_expiry_ends_with_its_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a"));
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        peer.disconnect()?;
        let mut publisher = target.peer(version, "p")?;
        publisher.publish(&Publish::new(&topic, "x").qos(1, 1))?;
        let (mut peer, connack) = target.connect_and_tell(&connect.resuming())?;
        ensure!(!connack.session_present, "a session without expiry is there after its connection");
        publisher.publish(&Publish::new(&topic, "y").qos(1, 1))?;
        peer.expect_nothing()
    })
}

fn a_session_keeps_subscriptions_messages_and_unfinished_exchanges(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        publisher.publish(&Publish::new(&topic, "before").qos(2, 1))?;
        let before = peer.expect_message("before")?;
        let id = before.packet_id.unwrap_or_default();
        peer.pubrec(id)?;
        peer.expect_pubrel(id)?;
        // A message of the client's own whose release is still to come.
        peer.send_publish(&Publish::new(&topic, "own").qos(2, 5))?;
        peer.expect_pubrec(5)?;
        drop(peer);
        for (packet_id, payload) in [(2, "away 1"), (3, "away 2")] {
            publisher.publish(&Publish::new(&topic, payload).qos(2, packet_id))?;
        }
        let (mut peer, connack) = target.connect_and_tell(&connect.resuming())?;
        ensure!(connack.session_present, "the session is gone");
        let release = peer.expect_pubrel(id)?;
        ensure!(release.reason == 0, "{release:?}");
        peer.pubcomp(id)?;
        let mut payloads = peer.payloads()?;
        payloads.retain(|payload| payload != "own");
        ensure!(payloads == ["away 1", "away 2"], "{payloads:?}");
        // The identifier of the client's own message is still taken: it is answered, and not published again.
        peer.send_publish(&Publish::new(&topic, "own").qos(2, 5).dup())?;
        peer.expect_pubrec(5)?;
        peer.expect_nothing()?;
        publisher.publish(&Publish::new(&topic, "after").qos(2, 4))?;
        peer.expect_message("after")?;
        Ok(())
    })
}

fn messages_of_qos_0_are_no_session_state(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        peer.disconnect()?;
        let mut publisher = target.peer(version, "p")?;
        publisher.publish(&Publish::new(&topic, "0").qos(0, 0))?;
        publisher.publish(&Publish::new(&topic, "1").qos(1, 1))?;
        let payloads = target.connect(&connect.resuming())?.payloads()?;
        // The standard lets a server keep QoS 0 as well; then it is in order.
        let allowed = if target.is_product() { payloads == ["1"] } else { payloads.ends_with(&["1".to_owned()]) };
        ensure!(allowed, "{payloads:?}");
        Ok(())
    })
}
