//! Section 3.3.1.3: retained messages.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish};
use selvedge_tests::peer::Peer;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.3 PUBLISH, retained messages";
    a_retained_message_is_stored_and_replaced => V5["MQTT-3.3.1-5"];
    a_retained_message_of_each_qos_is_stored => V5["MQTT-3.3.1-5"];
    retained_messages_of_other_topics_are_left_alone => V5["MQTT-3.3.1-5"];
    an_empty_payload_removes_the_retained_message_and_is_delivered => V5["MQTT-3.3.1-6"];
    an_empty_payload_is_not_stored => V5["MQTT-3.3.1-7"];
    a_message_without_retain_is_not_stored_and_leaves_the_retained_one => V5["MQTT-3.3.1-8"];
    retain_handling_0_sends_the_retained_messages_at_each_subscribe => V5["MQTT-3.3.1-9"];
    retain_handling_1_sends_them_for_a_new_subscription_only => V5["MQTT-3.3.1-10"];
    retain_handling_2_sends_none => V5["MQTT-3.3.1-11"];
    without_retain_as_published_the_flag_is_cleared => V5["MQTT-3.3.1-12"];
    with_retain_as_published_the_flag_stays_as_it_was => V5["MQTT-3.3.1-13"];
}

/// What a new subscriber gets for `filter`, sorted: payloads, all of them with the RETAIN flag.
fn retained(target: &Target, filter: &str) -> anyhow::Result<Vec<String>> {
    let mut peer = target.v5("retained")?;
    peer.subscribe(filter, 1)?;
    let got = retained_of(&mut peer)?;
    peer.disconnect()?;
    Ok(got)
}

fn retained_of(peer: &mut Peer) -> anyhow::Result<Vec<String>> {
    let mut payloads = Vec::new();
    for packet in peer.until_pong()? {
        let selvedge_tests::server_packet::ServerPacket::Publish(publish) = packet else {
            anyhow::bail!("unexpected {packet:?}");
        };
        ensure!(publish.retain, "a retained message without its flag: {publish:?}");
        peer.acknowledge(&publish)?;
        payloads.push(String::from_utf8_lossy(&publish.payload).into_owned());
    }
    payloads.sort();
    Ok(payloads)
}

fn expect_retained(target: &Target, filter: &str, expected: &[&str]) -> anyhow::Result<()> {
    let got = retained(target, filter)?;
    ensure!(got == expected, "{filter} has {got:?} instead of {expected:?}");
    Ok(())
}

/// Stores a message that the test removes at its end by [`clear`].
fn store(peer: &mut Peer, topic: &str, payload: &str) -> anyhow::Result<()> {
    peer.publish(&Publish::new(topic, payload).qos(1, 1).retained())
}

fn clear(peer: &mut Peer, topics: &[&String]) -> anyhow::Result<()> {
    topics.iter().try_for_each(|topic| peer.publish(&Publish::new(topic, "").qos(1, 1).retained()))
}

fn a_retained_message_is_stored_and_replaced(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("p")?;
    for payload in ["first", "second", "second", "third"] {
        store(&mut peer, &topic, payload)?;
        expect_retained(target, &topic, &[payload])?;
    }
    // Whoever publishes it, and although its publisher has gone.
    let mut other = target.v5("other")?;
    store(&mut other, &topic, "of another")?;
    other.disconnect()?;
    expect_retained(target, &topic, &["of another"])?;
    clear(&mut peer, &[&topic])
}

fn a_retained_message_of_each_qos_is_stored(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("p")?;
    for qos in 0..=2 {
        let payload = qos.to_string();
        peer.publish(&Publish::new(&topic, &payload).qos(qos, 1).retained())?;
        let mut subscriber = target.v5("s")?;
        subscriber.subscribe(&topic, 2)?;
        let got = subscriber.expect_message(&payload)?;
        // 0 may be dropped by a server (3.3.1.3), this one does not.
        ensure!(got.retain && got.qos == qos, "stored with QoS {qos}: {got:?}");
        subscriber.acknowledge(&got)?;
        subscriber.disconnect()?;
    }
    clear(&mut peer, &[&topic])
}

fn retained_messages_of_other_topics_are_left_alone(target: &Target) -> anyhow::Result<()> {
    let topics = ["a", "a/b", "a/", "A", "a/b/c"].map(|rest| target.topic(rest));
    let mut peer = target.v5("p")?;
    for topic in &topics {
        store(&mut peer, topic, "x")?;
    }
    store(&mut peer, &topics[1], "changed")?;
    expect_retained(target, &target.topic("#"), &["changed", "x", "x", "x", "x"])?;
    clear(&mut peer, &[&topics[0]])?;
    expect_retained(target, &target.topic("#"), &["changed", "x", "x", "x"])?;
    expect_retained(target, &target.topic("+"), &["x"])?;
    expect_retained(target, &target.topic("a/+"), &["changed", "x"])?;
    expect_retained(target, &target.topic("a/#"), &["changed", "x", "x"])?;
    clear(&mut peer, &topics.each_ref())
}

fn an_empty_payload_removes_the_retained_message_and_is_delivered(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("p")?;
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    for qos in 0..=2 {
        store(&mut peer, &topic, "x")?;
        watcher.expect_message("x")?;
        peer.publish(&Publish::new(&topic, "").qos(qos, 2).retained())?;
        // It is a message like any other to those who are there.
        watcher.expect_message("")?;
        expect_retained(target, &topic, &[])?;
    }
    // Where there is none to remove, it is delivered as well.
    clear(&mut peer, &[&topic])?;
    watcher.expect_message("")?;
    Ok(())
}

fn an_empty_payload_is_not_stored(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("p")?;
    for qos in 0..=2 {
        peer.publish(&Publish::new(&topic, "").qos(qos, 1).retained())?;
        expect_retained(target, &topic, &[])?;
    }
    Ok(())
}

fn a_message_without_retain_is_not_stored_and_leaves_the_retained_one(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("p")?;
    peer.publish(&Publish::new(&topic, "passing").qos(1, 1))?;
    expect_retained(target, &topic, &[])?;
    store(&mut peer, &topic, "kept")?;
    for payload in ["other", ""] {
        for qos in 0..=2 {
            peer.publish(&Publish::new(&topic, payload).qos(qos, 1))?;
            expect_retained(target, &topic, &["kept"])?;
        }
    }
    clear(&mut peer, &[&topic])
}

fn retain_handling_0_sends_the_retained_messages_at_each_subscribe(target: &Target) -> anyhow::Result<()> {
    let topics = [target.topic("a"), target.topic("b")];
    let mut publisher = target.v5("p")?;
    store(&mut publisher, &topics[0], "a")?;
    store(&mut publisher, &topics[1], "b")?;
    let mut peer = target.v5("c")?;
    for round in 0..3 {
        peer.subscribe(&target.topic("+"), 1)?;
        let got = retained_of(&mut peer)?;
        ensure!(got == ["a", "b"], "round {round}: {got:?}");
    }
    clear(&mut publisher, &topics.each_ref())
}

fn retain_handling_1_sends_them_for_a_new_subscription_only(target: &Target) -> anyhow::Result<()> {
    const ONLY_NEW: u8 = 0x10;
    let topics = [target.topic("a"), target.topic("b")];
    let mut publisher = target.v5("p")?;
    store(&mut publisher, &topics[0], "a")?;
    store(&mut publisher, &topics[1], "b")?;
    let connect = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&target.topic("+"), ONLY_NEW)?;
    ensure!(retained_of(&mut peer)? == ["a", "b"], "a new subscription does not get all of them");
    // Another QoS does not make it new, nor does another connection of the session.
    peer.subscribe(&target.topic("+"), ONLY_NEW | 1)?;
    peer.expect_nothing()?;
    peer.disconnect()?;
    let mut peer = target.connect(&connect.resuming())?;
    peer.subscribe(&target.topic("+"), ONLY_NEW)?;
    peer.expect_nothing()?;
    // Another filter that matches the same topics is new, and so is one that was removed.
    peer.subscribe(&target.topic("#"), ONLY_NEW)?;
    ensure!(retained_of(&mut peer)? == ["a", "b"], "another filter does not get them");
    peer.unsubscribe(&target.topic("+"))?;
    peer.subscribe(&target.topic("+"), ONLY_NEW)?;
    ensure!(retained_of(&mut peer)? == ["a", "b"], "a subscription made again does not get them");
    clear(&mut publisher, &topics.each_ref())
}

fn retain_handling_2_sends_none(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    store(&mut publisher, &topic, "x")?;
    let mut peer = target.v5("c")?;
    for _ in 0..2 {
        peer.subscribe(&topic, 0x20)?;
        peer.expect_nothing()?;
    }
    // What comes from now on is another matter.
    store(&mut publisher, &topic, "live")?;
    peer.expect_message("live")?;
    clear(&mut publisher, &[&topic])
}

fn without_retain_as_published_the_flag_is_cleared(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    for publish in [Publish::new(&topic, "x"), Publish::new(&topic, "x").retained()] {
        publisher.publish(&publish)?;
        let got = peer.expect_message("x")?;
        ensure!(!got.retain, "{publish:?} arrives as {got:?}");
    }
    // What is sent because of a subscription has it all the same.
    expect_retained(target, &topic, &["x"])?;
    clear(&mut publisher, &[&topic])
}

fn with_retain_as_published_the_flag_stays_as_it_was(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0x08 | 2)?;
    for qos in 0..=2 {
        for retain in [false, true] {
            let publish = Publish { retain, ..Publish::new(&topic, "x").qos(qos, 1) };
            publisher.publish(&publish)?;
            let got = peer.expect_message("x")?;
            ensure!(got.retain == retain, "{publish:?} arrives as {got:?}");
            peer.acknowledge(&got)?;
        }
    }
    // Also of what waited for its session.
    let connect = Connect::v5(target.id("away")).lasting();
    let mut away = target.connect(&connect)?;
    away.subscribe(&topic, 0x08 | 0x20 | 1)?;
    away.disconnect()?;
    for retain in [false, true] {
        publisher.publish(&Publish { retain, ..Publish::new(&topic, "x").qos(1, 1) })?;
    }
    let mut away = target.connect(&connect.resuming())?;
    for retain in [false, true] {
        let got = away.expect_message("x")?;
        ensure!(got.retain == retain, "queued with RETAIN {retain}: {got:?}");
    }
    clear(&mut publisher, &[&topic])
}
