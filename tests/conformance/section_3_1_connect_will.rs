//! Section 3.1, wills: when they are published, when not, and how.

use std::time::{Duration, Instant};

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, Will, binary, byte, disconnect, four_bytes, text, user};
use selvedge_tests::peer::Peer;
use selvedge_tests::server_packet::ServerPacket;
use selvedge_tests::server_packet::properties::{
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY_INTERVAL, PAYLOAD_FORMAT_INDICATOR, RESPONSE_TOPIC,
};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.1 CONNECT, will";
    a_will_is_published_when_the_connection_is_lost => V5["MQTT-3.1.2-7", "MQTT-3.1.2-8"];
    a_will_is_published_after_a_protocol_error => V5["MQTT-3.1.2-8"];
    a_will_is_published_when_the_client_asks_for_it => V5["MQTT-3.1.2-8"];
    a_will_is_published_when_its_session_is_taken_over => V5["MQTT-3.1.2-8"];
    a_normal_disconnect_deletes_the_will => V5["MQTT-3.1.2-8", "MQTT-3.1.2-10", "MQTT-3.14.4-3"];
    a_delayed_will_comes_after_its_delay => V5["MQTT-3.1.2-8"];
    a_delayed_will_comes_when_its_session_ends => V5["MQTT-3.1.2-8"];
    a_clean_start_ends_the_session_and_the_waiting_of_its_will => V5["MQTT-3.1.2-8"];
    a_new_connection_before_the_delay_keeps_the_will_back => V5["MQTT-3.1.2-8", "MQTT-3.1.3-9"];
    a_take_over_before_the_delay_keeps_the_will_back => V5["MQTT-3.1.3-9"];
    the_delay_of_an_earlier_will_is_not_that_of_the_next => V5["MQTT-3.1.2-8", "MQTT-3.1.3-9"];
    a_published_will_is_not_published_again => V5["MQTT-3.1.2-10"];
    a_deleted_will_does_not_come_back_with_the_session => V5["MQTT-3.1.2-10"];
    a_will_has_its_own_qos => V5["MQTT-3.1.2-12", "MQTT-3.2.2-12"];
    a_will_without_retain_is_not_retained => V5["MQTT-3.1.2-14"];
    a_will_with_retain_is_retained => V5["MQTT-3.1.2-15", "MQTT-3.2.2-13"];
    an_empty_will_with_retain_removes_the_retained_message => V5["MQTT-3.1.2-15"];
    properties_of_a_will_are_forwarded_in_their_order => V5["MQTT-3.1.3-10"];
}

/// A subscriber to the topic of the will.
fn watcher(target: &Target, topic: &str) -> anyhow::Result<Peer> {
    let mut watcher = target.v5("w")?;
    watcher.subscribe(topic, 2)?;
    Ok(watcher)
}

/// Ends the connection as an error of the client, a PUBLISH of QoS 3, which the broker has handled when this returns.
fn fail(mut peer: Peer) -> anyhow::Result<()> {
    peer.send_publish(&Publish::new("a", "x").qos(3, 1))?;
    peer.expect_closed(&[0x81])
}

/// Says goodbye but wants the will (0x04), which the broker has handled when this returns.
fn leave_with_will(mut peer: Peer) -> anyhow::Result<()> {
    peer.send(&disconnect(0x04, &[]))?;
    peer.expect_silent_end()
}

fn a_will_is_published_when_the_connection_is_lost(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let peer = target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"lost")))?;
    watcher.expect_nothing()?;
    drop(peer);
    let got = watcher.expect_message("lost")?;
    ensure!(got.topic == topic, "{got:?}");
    Ok(())
}

fn a_will_is_published_after_a_protocol_error(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    fail(target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"error")))?)?;
    watcher.expect_message("error")?;
    Ok(())
}

fn a_will_is_published_when_the_client_asks_for_it(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    leave_with_will(target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"asked")))?)?;
    watcher.expect_message("asked")?;
    // So does any other reason but 0x00.
    let mut peer = target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"other")))?;
    peer.send(&disconnect(0x80, &[]))?;
    peer.expect_silent_end()?;
    watcher.expect_message("other")?;
    Ok(())
}

fn a_will_is_published_when_its_session_is_taken_over(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c"));
    let mut old = target.connect(&connect.clone().will(Will::new(&topic, b"taken over")))?;
    let _new = target.connect(&connect)?;
    old.expect_closed(&[0x8E])?;
    watcher.expect_message("taken over")?;
    Ok(())
}

fn a_normal_disconnect_deletes_the_will(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).will(Will::new(&topic, b"x"));
    target.connect(&connect)?.disconnect()?;
    watcher.expect_nothing()?;
    // In its long form, and with a delay and a session that would wait for it.
    let lasting = Connect::v5(target.id("c")).lasting().will(Will::new(&topic, b"x").delay(1));
    let mut peer = target.connect(&lasting)?;
    peer.send(&disconnect(0x00, &[]))?;
    peer.expect_silent_end()?;
    // The end of the session would have published it.
    target.connect(&Connect::v5(target.id("c")))?.disconnect()?;
    watcher.expect_nothing()
}

fn a_delayed_will_comes_after_its_delay(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).lasting().will(Will::new(&topic, b"later").delay(1));
    let peer = target.connect(&connect)?;
    let before = Instant::now();
    fail(peer)?;
    watcher.expect_message("later")?;
    let waited = before.elapsed();
    // The product counts whole milliseconds, other brokers whole seconds.
    ensure!(waited >= Duration::from_millis(999) || !target.is_product(), "after {waited:?} already");
    Ok(())
}

fn a_delayed_will_comes_when_its_session_ends(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let will = Will::new(&topic, b"end").delay(1000);
    // At once, and after a second.
    for expiry in [0, 1] {
        let connect = Connect::v5(target.id("c")).session_expiry(expiry).will(will.clone());
        fail(target.connect(&connect)?)?;
        watcher.expect_message("end")?;
    }
    Ok(())
}

fn a_clean_start_ends_the_session_and_the_waiting_of_its_will(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).lasting();
    fail(target.connect(&connect.clone().will(Will::new(&topic, b"end").delay(1000)))?)?;
    watcher.expect_nothing()?;
    let _new = target.connect(&connect)?;
    watcher.expect_message("end")?;
    Ok(())
}

fn a_new_connection_before_the_delay_keeps_the_will_back(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).session_expiry(5000);
    fail(target.connect(&connect.clone().will(Will::new(&topic, b"x").delay(1000)))?)?;
    watcher.expect_nothing()?;
    // The new connection has no will, so that none is left when the session ends.
    target.connect(&connect.clone().resuming())?.disconnect()?;
    watcher.expect_nothing()?;
    target.connect(&connect)?.disconnect()?;
    watcher.expect_nothing()
}

fn a_take_over_before_the_delay_keeps_the_will_back(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).lasting();
    let mut old = target.connect(&connect.clone().will(Will::new(&topic, b"kept back").delay(100)))?;
    // The session goes on, although the connection did not end by itself.
    let mut new = target.connect(&connect.resuming())?;
    while old.receive_or_end()?.is_some() {}
    new.settle()?;
    watcher.expect_nothing()
}

fn the_delay_of_an_earlier_will_is_not_that_of_the_next(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).lasting();
    let earlier = target.connect(&connect.clone().will(Will::new(&topic, b"earlier").delay(1)))?;
    drop(earlier);
    let mut peer = target.connect(&connect.resuming().will(Will::new(&topic, b"next")))?;
    // The time of the first has passed; the second is for a connection that is there.
    std::thread::sleep(Duration::from_millis(1600));
    peer.expect_nothing()?;
    for packet in watcher.until_pong()? {
        // A machine that took a second to connect again may see the first.
        let ServerPacket::Publish(publish) = packet else { anyhow::bail!("expected a will, got {packet:?}") };
        ensure!(publish.payload != b"next", "the will of a connection that is there is published");
    }
    Ok(())
}

fn a_published_will_is_not_published_again(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).lasting();
    fail(target.connect(&connect.clone().will(Will::new(&topic, b"once")))?)?;
    watcher.expect_message("once")?;
    // The session lives on, without the will.
    fail(target.connect(&connect.clone().resuming())?)?;
    watcher.expect_nothing()?;
    fail(target.connect(&connect)?)?;
    watcher.expect_nothing()
}

fn a_deleted_will_does_not_come_back_with_the_session(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let connect = Connect::v5(target.id("c")).lasting();
    target.connect(&connect.clone().will(Will::new(&topic, b"x")))?.disconnect()?;
    fail(target.connect(&connect.resuming())?)?;
    watcher.expect_nothing()
}

fn a_will_has_its_own_qos(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    for qos in 0..=2 {
        let payload = format!("{qos}");
        let will = Will::new(&topic, payload.as_bytes()).qos(qos);
        fail(target.connect(&Connect::v5(target.id("c")).will(will))?)?;
        let got = watcher.expect_message(&payload)?;
        ensure!(got.qos == qos, "a will of QoS {qos} arrives with QoS {}", got.qos);
        watcher.acknowledge(&got)?;
    }
    Ok(())
}

fn a_will_without_retain_is_not_retained(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    // Retain As Published shows the flag.
    watcher.subscribe(&topic, 0x08)?;
    fail(target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"x")))?)?;
    ensure!(!watcher.expect_message("x")?.retain, "the will has the RETAIN flag");
    let mut later = target.v5("later")?;
    later.subscribe(&topic, 0)?;
    later.expect_nothing()
}

fn a_will_with_retain_is_retained(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0x08)?;
    fail(target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"x").retained()))?)?;
    ensure!(watcher.expect_message("x")?.retain, "the will lost its RETAIN flag");
    let mut later = target.v5("later")?;
    later.subscribe(&topic, 0)?;
    ensure!(later.expect_message("x")?.retain, "the retained message has no RETAIN flag");
    later.publish(&Publish::new(&topic, "").retained())
}

fn an_empty_will_with_retain_removes_the_retained_message(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("p")?;
    peer.publish(&Publish::new(&topic, "kept").retained())?;
    fail(target.connect(&Connect::v5(target.id("c")).will(Will::new(&topic, b"").retained()))?)?;
    peer.subscribe(&topic, 0)?;
    peer.expect_nothing()
}

fn properties_of_a_will_are_forwarded_in_their_order(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = watcher(target, &topic)?;
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("c", "")];
    let will = Will::new(&topic, b"x")
        .property(&byte(PAYLOAD_FORMAT_INDICATOR, 1))
        .property(&four_bytes(MESSAGE_EXPIRY_INTERVAL, 500))
        .property(&text(CONTENT_TYPE, "text/plain"))
        .property(&text(RESPONSE_TOPIC, "answer/here"))
        .property(&binary(CORRELATION_DATA, &[0, 0xFF]));
    let will = pairs.iter().fold(will, |will, (name, value)| will.property(&user(name, value)));
    fail(target.connect(&Connect::v5(target.id("c")).will(will.delay(0)))?)?;
    let properties = watcher.expect_message("x")?.properties;
    ensure!(properties.user() == pairs, "{properties:?}");
    ensure!(properties.number(PAYLOAD_FORMAT_INDICATOR) == Some(1), "{properties:?}");
    // Its lifetime begins when it is published.
    let expiry = properties.number(MESSAGE_EXPIRY_INTERVAL).unwrap_or_default();
    ensure!((400..=500).contains(&expiry), "{properties:?}");
    ensure!(properties.text(CONTENT_TYPE) == Some("text/plain"), "{properties:?}");
    ensure!(properties.text(RESPONSE_TOPIC) == Some("answer/here"), "{properties:?}");
    ensure!(properties.binary(CORRELATION_DATA) == Some(&[0, 0xFF]), "{properties:?}");
    Ok(())
}
