//! Section 3.3.4: what a PUBLISH causes, overlapping subscriptions, and the windows of both sides.

use anyhow::{bail, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, ack, subscribe, unsubscribe, variable};
use selvedge_tests::server_packet::properties::{RECEIVE_MAXIMUM, SUBSCRIPTION_IDENTIFIER};
use selvedge_tests::server_packet::{self, ServerPacket};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.3 PUBLISH, actions";
    a_publish_is_answered_as_its_qos_asks_for => V5["MQTT-3.3.4-1"];
    a_message_that_nobody_gets_is_answered_all_the_same => V5["MQTT-3.3.4-1"];
    overlapping_subscriptions_deliver_with_the_highest_qos_of_them => V5["MQTT-3.3.4-2"];
    overlapping_subscriptions_deliver_their_identifiers => V5["MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5"];
    the_identifier_of_a_subscription_is_that_of_its_last_subscribe => V5["MQTT-3.3.4-3"];
    a_subscription_without_identifier_delivers_none => V5["MQTT-3.3.4-3"];
    a_subscription_identifier_from_a_client_ends_the_connection => V5["MQTT-3.3.4-6"];
    a_client_may_use_the_whole_window_of_the_server_and_no_more => V5["MQTT-3.3.4-7"];
    the_server_keeps_to_the_window_of_the_client => V5["MQTT-3.3.4-9"];
    a_qos_2_message_leaves_the_window_with_its_pubcomp => V5["MQTT-3.3.4-9"];
    a_message_that_the_client_refuses_leaves_the_window => V5["MQTT-3.3.4-9"];
    a_full_window_holds_back_no_other_packet => V5["MQTT-3.3.4-10"];
}

fn a_publish_is_answered_as_its_qos_asks_for(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 2)?;
    let mut peer = target.v5("c")?;
    peer.send_publish(&Publish::new(&topic, "0"))?;
    peer.expect_nothing()?;
    peer.send_publish(&Publish::new(&topic, "1").qos(1, 5))?;
    ensure!(peer.expect_puback(5)?.reason == 0, "refused");
    peer.send_publish(&Publish::new(&topic, "2").qos(2, 6))?;
    ensure!(peer.expect_pubrec(6)?.reason == 0, "refused");
    peer.expect_nothing()?;
    peer.send(&ack(0x62, 6))?;
    ensure!(peer.expect_pubcomp(6)?.reason == 0, "refused");
    peer.expect_nothing()?;
    for payload in ["0", "1", "2"] {
        let got = watcher.expect_message(payload)?;
        watcher.acknowledge(&got)?;
    }
    Ok(())
}

fn a_message_that_nobody_gets_is_answered_all_the_same(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("c")?;
    for topic in [target.topic("nobody"), target.topic("nobody/here")] {
        peer.send_publish(&Publish::new(&topic, "x").qos(1, 1))?;
        let reason = peer.expect_puback(1)?.reason;
        // 0x10: No matching subscribers
        ensure!([0x00, 0x10].contains(&reason), "PUBACK {reason:#04x}");
        peer.send_publish(&Publish::new(&topic, "x").qos(2, 2))?;
        let reason = peer.expect_pubrec(2)?.reason;
        ensure!([0x00, 0x10].contains(&reason), "PUBREC {reason:#04x}");
        peer.send(&ack(0x62, 2))?;
        peer.expect_pubcomp(2)?;
    }
    Ok(())
}

/// All messages that came, acknowledged.
fn received(peer: &mut selvedge_tests::peer::Peer) -> anyhow::Result<Vec<server_packet::Publish>> {
    let mut got = Vec::new();
    for packet in peer.until_pong()? {
        let ServerPacket::Publish(publish) = packet else { bail!("unexpected {packet:?}") };
        peer.acknowledge(&publish)?;
        got.push(publish);
    }
    Ok(got)
}

fn overlapping_subscriptions_deliver_with_the_highest_qos_of_them(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("a/b");
    let mut publisher = target.v5("p")?;
    for (options, highest) in [([0, 1, 2], 2), ([2, 1, 0], 2), ([0, 1, 0], 1), ([1, 0, 0], 1), ([0, 0, 0], 0)] {
        let mut peer = target.v5("c")?;
        for (filter, qos) in ["a/b", "a/+", "a/#"].into_iter().zip(options) {
            peer.subscribe(&target.topic(filter), qos)?;
        }
        for qos in 0..=2 {
            publisher.publish(&Publish::new(&topic, "x").qos(qos, 1))?;
            let got = received(&mut peer)?;
            let best = got.iter().map(|publish| publish.qos).max();
            let expected = qos.min(highest);
            ensure!(best == Some(expected), "QoS {qos} to {options:?} arrives as {got:?}");
            // The product sends one copy.
            ensure!(got.len() == 1 || !target.is_product(), "{} copies", got.len());
        }
        peer.disconnect()?;
    }
    Ok(())
}

fn overlapping_subscriptions_deliver_their_identifiers(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("a/b");
    let mut publisher = target.v5("p")?;
    let mut peer = target.v5("c")?;
    peer.subscribe_with(&topic, 2, &variable(SUBSCRIPTION_IDENTIFIER, 1))?;
    peer.subscribe_with(&target.topic("a/+"), 1, &variable(SUBSCRIPTION_IDENTIFIER, 268_435_455))?;
    peer.subscribe_with(&target.topic("+/b"), 1, &variable(SUBSCRIPTION_IDENTIFIER, 128))?;
    peer.subscribe(&target.topic("a/#"), 0)?;
    peer.subscribe_with(&target.topic("other"), 2, &variable(SUBSCRIPTION_IDENTIFIER, 9))?;
    for qos in 0..=2 {
        publisher.publish(&Publish::new(&topic, "x").qos(qos, 1))?;
        let got = received(&mut peer)?;
        let mut ids: Vec<u32> = Vec::new();
        for publish in &got {
            ids.extend(publish.properties.numbers(SUBSCRIPTION_IDENTIFIER));
        }
        ids.sort_unstable();
        // In one copy, or in the copy of each subscription.
        ensure!(ids == [1, 128, 268_435_455], "{got:?}");
        ensure!(got.len() == 1 || got.len() == 4, "{} copies: {got:?}", got.len());
    }
    Ok(())
}

fn the_identifier_of_a_subscription_is_that_of_its_last_subscribe(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    for (properties, expected) in [
        (variable(SUBSCRIPTION_IDENTIFIER, 5), vec![5]),
        (variable(SUBSCRIPTION_IDENTIFIER, 6), vec![6]),
        (Vec::new(), vec![]),
        (variable(SUBSCRIPTION_IDENTIFIER, 7), vec![7]),
    ] {
        peer.subscribe_with(&topic, 0, &properties)?;
        peer.publish(&Publish::new(&topic, "x"))?;
        let ids = peer.expect_message("x")?.properties.numbers(SUBSCRIPTION_IDENTIFIER);
        ensure!(ids == expected, "{ids:?} instead of {expected:?}");
    }
    // It lives in the session, and belongs to it alone.
    let lasting = Connect::v5(target.id("lasting")).lasting();
    let mut away = target.connect(&lasting)?;
    away.subscribe_with(&topic, 1, &variable(SUBSCRIPTION_IDENTIFIER, 11))?;
    away.disconnect()?;
    peer.publish(&Publish::new(&topic, "both").qos(1, 1))?;
    ensure!(peer.expect_message("both")?.properties.numbers(SUBSCRIPTION_IDENTIFIER) == [7], "another's identifier");
    let mut away = target.connect(&lasting.resuming())?;
    ensure!(away.expect_message("both")?.properties.numbers(SUBSCRIPTION_IDENTIFIER) == [11], "it was lost");
    Ok(())
}

fn a_subscription_without_identifier_delivers_none(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut other = target.v5("other")?;
    other.subscribe_with(&topic, 0, &variable(SUBSCRIPTION_IDENTIFIER, 3))?;
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    other.publish(&Publish::new(&topic, "x"))?;
    let got = peer.expect_message("x")?;
    ensure!(!got.properties.has(SUBSCRIPTION_IDENTIFIER), "{got:?}");
    // Retained messages carry that of the subscription that asks for them.
    other.publish(&Publish::new(&topic, "kept").retained())?;
    let mut later = target.v5("later")?;
    later.subscribe_with(&topic, 0, &variable(SUBSCRIPTION_IDENTIFIER, 4))?;
    let got = later.expect_message("kept")?;
    ensure!(got.properties.numbers(SUBSCRIPTION_IDENTIFIER) == [4], "{got:?}");
    other.publish(&Publish::new(&topic, "").retained())
}

fn a_subscription_identifier_from_a_client_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    for qos in 0..=2 {
        let publish = Publish::new(&topic, "x").qos(qos, 1).property(&variable(SUBSCRIPTION_IDENTIFIER, 1));
        target.ends("a subscription identifier", &publish.bytes(Version::V5), &[0x82, 0x81])?;
    }
    watcher.expect_nothing()
}

fn a_client_may_use_the_whole_window_of_the_server_and_no_more(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")))?;
    let window = u16::try_from(connack.properties.number(RECEIVE_MAXIMUM).unwrap_or(65_535))?;
    if window == u16::MAX {
        return Err(target.skip("the window of the broker is larger than there are packet identifiers"));
    }
    // Not one of them is released, and QoS 0 does not count.
    for id in 1..=window {
        peer.send_publish(&Publish::new(&topic, "x").qos(2, id))?;
        peer.send_publish(&Publish::new(&topic, "x"))?;
    }
    for id in 1..=window {
        ensure!(peer.expect_pubrec(id)?.reason < 0x80, "{id} of {window} is refused");
    }
    // One that is completed makes room for one.
    peer.send(&ack(0x62, 1))?;
    peer.expect_pubcomp(1)?;
    peer.send_publish(&Publish::new(&topic, "x").qos(2, window + 1))?;
    peer.expect_pubrec(window + 1)?;
    // 0x93: Receive Maximum exceeded
    peer.send_publish(&Publish::new(&topic, "x").qos(2, 1))?;
    peer.expect_closed(&[0x93])
}

fn the_server_keeps_to_the_window_of_the_client(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    for window in [1, 2, 5] {
        let mut peer = target.connect(&Connect::v5(target.id("c")).receive_maximum(window))?;
        peer.subscribe(&topic, 1)?;
        for number in 0..8 {
            publisher.publish(&Publish::new(&topic, number.to_string()).qos(1, 1))?;
        }
        let mut open = std::collections::VecDeque::new();
        for number in 0..window {
            open.push_back(peer.expect_message(number.to_string())?);
        }
        peer.expect_nothing()?;
        // Each acknowledgement lets one through, in order.
        for number in window..8 {
            let oldest = open.pop_front().ok_or_else(|| anyhow::anyhow!("none is open"))?;
            peer.acknowledge(&oldest)?;
            open.push_back(peer.expect_message(number.to_string())?);
            peer.expect_nothing()?;
        }
        for publish in open {
            peer.acknowledge(&publish)?;
        }
        peer.expect_nothing()?;
        peer.disconnect()?;
    }
    Ok(())
}

fn a_qos_2_message_leaves_the_window_with_its_pubcomp(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).receive_maximum(1))?;
    peer.subscribe(&topic, 2)?;
    publisher.publish(&Publish::new(&topic, "one").qos(2, 1))?;
    publisher.publish(&Publish::new(&topic, "two").qos(2, 2))?;
    let one = peer.expect_message("one")?.packet_id.unwrap_or_default();
    peer.expect_nothing()?;
    peer.pubrec(one)?;
    peer.expect_pubrel(one)?;
    peer.expect_nothing()?;
    peer.pubcomp(one)?;
    let two = peer.expect_message("two")?;
    peer.acknowledge(&two)?;
    peer.expect_nothing()
}

fn a_message_that_the_client_refuses_leaves_the_window(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).receive_maximum(1))?;
    peer.subscribe(&topic, 2)?;
    for (number, qos) in [(1, 2), (2, 1), (3, 2), (4, 1)] {
        publisher.publish(&Publish::new(&topic, number.to_string()).qos(qos, number))?;
    }
    for number in 1..=3 {
        let got = peer.expect_message(number.to_string())?;
        let first = if got.qos == 1 { 0x40 } else { 0x50 };
        peer.refuse(first, got.packet_id.unwrap_or_default(), 0x80)?;
    }
    let last = peer.expect_message("4")?;
    peer.acknowledge(&last)?;
    peer.expect_nothing()
}

fn a_full_window_holds_back_no_other_packet(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).receive_maximum(1))?;
    peer.subscribe(&topic, 1)?;
    publisher.publish(&Publish::new(&topic, "one").qos(1, 1))?;
    publisher.publish(&Publish::new(&topic, "two").qos(1, 2))?;
    let one = peer.expect_message("one")?;
    // PINGRESP, SUBACK, UNSUBACK, PUBACK, PUBREC and PUBCOMP come at once.
    peer.expect_nothing()?;
    let other = target.topic("other");
    peer.send(&subscribe(Version::V5, 1, &[], &[(&other, 0)]))?;
    peer.expect_suback(1)?;
    peer.send(&unsubscribe(Version::V5, 2, &[], &[&other]))?;
    peer.expect_unsuback(2)?;
    peer.publish(&Publish::new(&other, "x").qos(1, 3))?;
    peer.publish(&Publish::new(&other, "x").qos(2, 4))?;
    peer.expect_nothing()?;
    peer.acknowledge(&one)?;
    peer.expect_message("two")?;
    Ok(())
}
