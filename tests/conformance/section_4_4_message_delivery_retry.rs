//! Section 4.4: what is sent again, when, and when not.

use std::time::Duration;

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, text, user, variable};
use selvedge_tests::server_packet::properties;

use crate::registry::section;
use crate::target::Target;

section! {
    "4.4 Message delivery retry";
    all_that_is_unacknowledged_is_sent_again_with_its_identifier =>
        V5["MQTT-4.4.0-1", "MQTT-3.3.1-1"], V311["MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.3.1-4"];
    what_is_sent_again_is_the_same_message => V5["MQTT-4.4.0-1", "MQTT-3.3.4-3", "MQTT-3.3.1-13"];
    nothing_is_sent_again_on_the_same_connection => V5["MQTT-4.4.0-1"];
    nothing_is_sent_again_to_a_new_session => V5["MQTT-4.4.0-1"], V311["MQTT-3.1.2-6"];
    what_was_refused_is_not_sent_again => V5["MQTT-4.4.0-2"];
    a_message_that_waited_comes_without_dup => V5["MQTT-3.3.1-3"], V311["MQTT-3.3.1-3"];
}

fn all_that_is_unacknowledged_is_sent_again_with_its_identifier(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        let mut ids = Vec::new();
        for (packet_id, qos) in (1..).zip([1, 2, 1, 2, 2]) {
            publisher.publish(&Publish::new(&topic, packet_id.to_string()).qos(qos, packet_id))?;
            ids.push(peer.expect_message(packet_id.to_string())?.packet_id.unwrap_or_default());
        }
        // The third is acknowledged, the fourth received, the rest is open.
        peer.puback(ids[2])?;
        peer.pubrec(ids[3])?;
        peer.expect_pubrel(ids[3])?;
        drop(peer);
        let mut peer = target.connect(&connect.clone().resuming())?;
        let mut messages = Vec::new();
        for index in [0, 1] {
            let message = peer.expect_message((index + 1).to_string())?;
            ensure!(message.dup && message.packet_id == Some(ids[index]), "{message:?} instead of {}", ids[index]);
            messages.push(message);
        }
        peer.expect_pubrel(ids[3])?;
        let last = peer.expect_message("5")?;
        ensure!(last.dup && last.packet_id == Some(ids[4]), "{last:?}");
        messages.push(last);
        peer.pubcomp(ids[3])?;
        for message in &messages {
            peer.acknowledge(message)?;
        }
        peer.expect_nothing()?;
        drop(peer);
        target.connect(&connect.resuming())?.expect_nothing()
    })
}

fn what_is_sent_again_is_the_same_message(target: &Target) -> anyhow::Result<()> {
    const RETAIN_AS_PUBLISHED: u8 = 0x08;
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("a")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe_with(&topic, RETAIN_AS_PUBLISHED | 2, &variable(properties::SUBSCRIPTION_IDENTIFIER, 300))?;
    let mut firsts = Vec::new();
    for qos in [1, 2] {
        let publish = Publish::new(&topic, "x").qos(qos, 1).retained();
        peer.publish(&publish.property(&user("a", "b")).property(&text(properties::CONTENT_TYPE, "c")))?;
        firsts.push(peer.expect_message("x")?);
    }
    drop(peer);
    let mut peer = target.connect(&connect.resuming())?;
    for mut first in firsts {
        ensure!(first.retain && first.properties.numbers(properties::SUBSCRIPTION_IDENTIFIER) == [300], "{first:?}");
        let again = peer.expect_message("x")?;
        first.dup = true;
        ensure!(again == first, "first {first:?}, then {again:?}");
        peer.acknowledge(&again)?;
    }
    peer.publish(&Publish::new(&topic, "").retained())
}

fn nothing_is_sent_again_on_the_same_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.connect(&Connect::v5(target.id("a")).lasting())?;
    peer.subscribe(&topic, 2)?;
    peer.publish(&Publish::new(&topic, "1").qos(1, 1))?;
    peer.publish(&Publish::new(&topic, "2").qos(2, 2))?;
    peer.expect_message("1")?;
    let second = peer.expect_message("2")?.packet_id.unwrap_or_default();
    peer.pubrec(second)?;
    peer.expect_pubrel(second)?;
    // Brokers of old did so after some time; nothing that the client does may bring it about either.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        peer.expect_nothing()?;
    }
    peer.publish(&Publish::new(&topic, "3").qos(0, 0))?;
    peer.expect_message("3")?;
    peer.subscribe(&topic, 2)?;
    peer.expect_nothing()
}

fn nothing_is_sent_again_to_a_new_session(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.connect(&Connect::new(version, target.id("a")).lasting())?;
        peer.subscribe(&topic, 2)?;
        peer.publish(&Publish::new(&topic, "x").qos(2, 1))?;
        peer.expect_message("x")?;
        drop(peer);
        target.connect(&Connect::new(version, target.id("a")))?.expect_nothing()
    })
}

fn what_was_refused_is_not_sent_again(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("a")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        peer.publish(&Publish::new(&topic, "x").qos(qos, 1))?;
        let id = peer.expect_message("x")?.packet_id.unwrap_or_default();
        peer.refuse(first, id, 0x80)?;
    }
    peer.expect_nothing()?;
    drop(peer);
    target.connect(&connect.resuming())?.expect_nothing()
}

fn a_message_that_waited_comes_without_dup(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        peer.disconnect()?;
        // The publisher's own DUP says nothing about it.
        let mut publisher = target.peer(version, "p")?;
        for qos in [1, 2] {
            publisher.publish(&Publish::new(&topic, "x").qos(qos, 1).dup())?;
        }
        let mut peer = target.connect(&connect.resuming())?;
        for qos in [1, 2] {
            let message = peer.expect_message("x")?;
            ensure!(!message.dup && message.qos == qos, "{message:?}");
            peer.acknowledge(&message)?;
        }
        peer.expect_nothing()
    })
}
