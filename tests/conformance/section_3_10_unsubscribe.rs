//! Section 3.10: the end of subscriptions.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, data, packet, section as properties_section, unsubscribe};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.10 UNSUBSCRIBE";
    an_unsubscribe_with_other_flags_is_malformed =>
        V5["MQTT-3.10.1-1", "MQTT-2.1.3-1"], V311["MQTT-3.10.1-1", "MQTT-2.2.2-1", "MQTT-2.2.2-2"];
    a_filter_that_is_not_utf_8_ends_the_connection => V5["MQTT-3.10.3-1"], V311["MQTT-3.10.3-1", "MQTT-1.5.3-1"];
    an_unsubscribe_without_a_filter_ends_the_connection => V5["MQTT-3.10.3-2"], V311["MQTT-3.10.3-2"];
    only_the_very_same_filter_is_removed => V5["MQTT-3.10.4-1"], V311["MQTT-3.10.4-1"];
    nothing_new_comes_after_the_answer => V5["MQTT-3.10.4-2"], V311["MQTT-3.10.4-2"];
    a_message_under_way_is_delivered_to_the_end => V5["MQTT-3.10.4-3"], V311["MQTT-3.10.4-3"];
    an_unsubscribe_is_answered_with_its_identifier =>
        V5["MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-2.2.1-6"],
        V311["MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-2.3.1-7"];
    several_filters_are_removed_with_one_answer => V5["MQTT-3.10.4-6"], V311["MQTT-3.10.4-6"];
}

fn an_unsubscribe_with_other_flags_is_malformed(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for flags in (0x00..=0x0F).filter(|flags| *flags != 0b0010) {
            let mut peer = target.peer(version, &format!("a{flags}"))?;
            let mut bytes = unsubscribe(version, 1, &[], &[&target.topic("t")]);
            bytes[0] = 0xA0 | flags;
            peer.send(&bytes)?;
            peer.expect_closed(&[0x81])?;
        }
        Ok(())
    })
}

fn a_filter_that_is_not_utf_8_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let wrong: [&[u8]; 3] = [b"a\xFF", b"\xE0\x80\x80", b"\xF4\x90\x80\x80"];
    target.in_both_versions(|target, version| {
        for (index, filter) in wrong.iter().enumerate() {
            let mut peer = target.peer(version, &format!("a{index}"))?;
            let mut body = vec![0, 1];
            body.extend(properties_section(version, &[]));
            body.extend(data(filter));
            peer.send(&packet(0xA2, &body))?;
            peer.expect_closed(&[0x81, 0x8F])?;
        }
        Ok(())
    })
}

fn an_unsubscribe_without_a_filter_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.send(&unsubscribe(version, 1, &[], &[]))?;
        peer.expect_closed(&[0x81, 0x82])
    })
}

fn only_the_very_same_filter_is_removed(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        let (wildcard, exact, topic) = (target.topic("A/+"), target.topic("A/b"), target.topic("A/b"));
        peer.subscribe(&wildcard, 0)?;
        let others = [exact.clone(), target.topic("a/+"), target.topic("A/#"), target.topic("A/+/"), target.topic("#")];
        for (id, other) in (1..).zip(&others) {
            peer.send(&unsubscribe(version, id, &[], &[other]))?;
            let reasons = peer.expect_unsuback(id)?.reasons;
            ensure!(version == Version::V311 || reasons == [0x11], "{other} is answered with {reasons:02x?}");
        }
        peer.publish(&Publish::new(&topic, "still"))?;
        peer.expect_message("still")?;
        // Two subscriptions that match the same topic end one by one.
        peer.subscribe(&exact, 0)?;
        peer.unsubscribe(&wildcard)?;
        peer.publish(&Publish::new(&topic, "by the other"))?;
        peer.expect_message("by the other")?;
        peer.unsubscribe(&exact)?;
        peer.publish(&Publish::new(&topic, "gone"))?;
        peer.expect_nothing()
    })
}

fn nothing_new_comes_after_the_answer(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.peer(version, "a")?;
        for qos in 0..=2 {
            peer.subscribe(&topic, qos)?;
            publisher.publish(&Publish::new(&topic, "before").qos(qos, 1))?;
            let message = peer.expect_message("before")?;
            peer.acknowledge(&message)?;
            peer.unsubscribe(&topic)?;
            publisher.publish(&Publish::new(&topic, "after").qos(qos, 1))?;
            peer.expect_nothing()?;
        }
        // Nor does anything wait for a client that comes back.
        let lasting = Connect::new(version, target.id("l")).lasting();
        let mut peer = target.connect(&lasting)?;
        peer.subscribe(&topic, 1)?;
        peer.unsubscribe(&topic)?;
        peer.disconnect()?;
        publisher.publish(&Publish::new(&topic, "after").qos(1, 1))?;
        target.connect(&lasting.resuming())?.expect_nothing()
    })
}

fn a_message_under_way_is_delivered_to_the_end(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let (first, second) = (target.topic("1"), target.topic("2"));
        let lasting = Connect::new(version, target.id("a")).lasting();
        let mut peer = target.connect(&lasting)?;
        peer.subscribe(&first, 1)?;
        peer.subscribe(&second, 2)?;
        let mut publisher = target.peer(version, "p")?;
        publisher.publish(&Publish::new(&first, "one").qos(1, 1))?;
        publisher.publish(&Publish::new(&second, "two").qos(2, 2))?;
        let (one, two) = (peer.expect_message("one")?, peer.expect_message("two")?);
        peer.unsubscribe(&first)?;
        peer.unsubscribe(&second)?;
        // The connection is lost before any acknowledgement: both are sent again, and completed.
        drop(peer);
        let mut peer = target.connect(&lasting.resuming())?;
        let (one_again, two_again) = (peer.expect_message("one")?, peer.expect_message("two")?);
        ensure!(one_again.packet_id == one.packet_id && two_again.packet_id == two.packet_id, "other identifiers");
        ensure!(one_again.dup && two_again.dup, "sent again without DUP");
        peer.acknowledge(&one_again)?;
        peer.acknowledge(&two_again)?;
        peer.expect_nothing()
    })
}

fn an_unsubscribe_is_answered_with_its_identifier(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        let topic = target.topic("t");
        for id in [1, 256, 65_535] {
            peer.subscribe(&topic, 0)?;
            peer.send(&unsubscribe(version, id, &[], &[&topic]))?;
            peer.expect_unsuback(id)?;
            // Nothing is left to be removed.
            peer.send(&unsubscribe(version, id, &[], &[&topic]))?;
            let reasons = peer.expect_unsuback(id)?.reasons;
            ensure!(version == Version::V311 || reasons == [0x11], "answered with {reasons:02x?}");
        }
        Ok(())
    })
}

fn several_filters_are_removed_with_one_answer(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        let topics: Vec<String> = (0..4).map(|index| target.topic(&index.to_string())).collect();
        for topic in &topics {
            peer.subscribe(topic, 0)?;
        }
        peer.send(&unsubscribe(version, 9, &[], &[&topics[0], &target.topic("none"), &topics[2], &topics[0]]))?;
        let reasons = peer.expect_unsuback(9)?.reasons;
        ensure!(version == Version::V311 || reasons == [0, 0x11, 0, 0x11], "{reasons:02x?}");
        for topic in &topics {
            peer.publish(&Publish::new(topic, topic))?;
        }
        let left = peer.payloads()?;
        ensure!(left == [topics[1].clone(), topics[3].clone()], "{left:?}");
        Ok(())
    })
}
