//! Section 3.3 of MQTT 3.1.1, with 2 as far as PUBLISH shows it.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, packet};
use selvedge_tests::server_packet::ServerPacket;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.3 PUBLISH of 3.1.1";
    a_publish_of_qos_0_has_no_identifier => V311["MQTT-2.3.1-5"];
    acknowledgements_with_other_flags_end_the_connection => V311["MQTT-2.2.2-1", "MQTT-2.2.2-2"];
    a_message_sent_again_is_a_duplicate_and_no_other => V311["MQTT-3.3.1-1", "MQTT-3.3.1-2", "MQTT-3.3.1-3"];
    both_qos_bits_end_the_connection => V311["MQTT-3.3.1-4"];
    a_retained_message_is_stored_with_its_qos => V311["MQTT-3.3.1-5", "MQTT-3.3.1-6"];
    a_retained_message_of_qos_0_replaces_the_one_before => V311["MQTT-3.3.1-7"];
    the_retain_flag_says_that_a_message_answers_a_new_subscription => V311["MQTT-3.3.1-8", "MQTT-3.3.1-9"];
    an_empty_payload_removes_the_retained_message_and_is_delivered => V311["MQTT-3.3.1-10", "MQTT-3.3.1-11"];
    a_message_without_retain_leaves_the_retained_one => V311["MQTT-3.3.1-12"];
    the_topic_name_comes_first_and_is_utf_8 => V311["MQTT-3.3.2-1", "MQTT-1.5.3-1"];
    a_topic_name_with_wildcards_ends_the_connection => V311["MQTT-3.3.2-2", "MQTT-4.7.1-1"];
    a_message_reaches_those_whose_filter_matches => V311["MQTT-3.3.2-3"];
    a_publish_is_answered_as_its_qos_asks_for => V311["MQTT-3.3.4-1"];
    overlapping_subscriptions_deliver_with_the_highest_qos_of_them => V311["MQTT-3.3.5-1"];
    a_message_that_is_not_allowed_is_acknowledged_or_ends_the_connection => V311["MQTT-3.3.5-2"];
}

fn a_publish_of_qos_0_has_no_identifier(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v311("a")?;
    peer.subscribe(&topic, 0)?;
    // What looks like one is the payload.
    for payload in [&[0, 1][..], &[0, 0], &[]] {
        peer.publish(&Publish::new(&topic, payload))?;
        peer.expect_message(payload)?;
    }
    Ok(())
}

fn acknowledgements_with_other_flags_end_the_connection(target: &Target) -> anyhow::Result<()> {
    for kind in [0x40, 0x50, 0x70] {
        for flags in [0x01, 0x02, 0x04, 0x08, 0x0F] {
            let mut peer = target.v311("a")?;
            peer.send(&packet(kind | flags, &[0, 1]))?;
            peer.expect_silent_end()?;
        }
    }
    Ok(())
}

fn a_message_sent_again_is_a_duplicate_and_no_other(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let lasting = Connect::v311(target.id("a")).lasting();
    let mut peer = target.connect(&lasting)?;
    peer.subscribe(&topic, 2)?;
    let mut publisher = target.v311("p")?;
    for qos in 0..=2 {
        // The publisher's flag is its own; there is none at QoS 0.
        let publish = Publish::new(&topic, qos.to_string()).qos(qos, 1);
        publisher.publish(&if qos > 0 { publish.dup() } else { publish })?;
        let message = peer.expect_message(qos.to_string())?;
        ensure!(!message.dup && message.qos == qos, "{message:?}");
    }
    drop(peer);
    let mut peer = target.connect(&lasting)?;
    for qos in 1..=2 {
        let message = peer.expect_message(qos.to_string())?;
        ensure!(message.dup, "{message:?}");
        peer.acknowledge(&message)?;
    }
    peer.expect_nothing()
}

fn both_qos_bits_end_the_connection(target: &Target) -> anyhow::Result<()> {
    for flags in [0x06, 0x07, 0x0E, 0x0F] {
        let mut peer = target.v311("a")?;
        peer.send(&packet(0x30 | flags, &[0, 1, b'a', 0, 1, b'x']))?;
        peer.expect_silent_end()?;
    }
    Ok(())
}

fn a_retained_message_is_stored_with_its_qos(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v311("a")?;
    for qos in 0..=2 {
        let topic = target.topic(&qos.to_string());
        peer.publish(&Publish::new(&topic, "old").qos(2, 1).retained())?;
        peer.publish(&Publish::new(&topic, "kept").qos(qos, 1).retained())?;
        for granted in 0..=2 {
            let mut late = target.v311("b")?;
            late.subscribe(&topic, granted)?;
            let message = late.expect_message("kept")?;
            ensure!(message.retain && message.qos == qos.min(granted), "QoS {qos} under {granted}: {message:?}");
            late.acknowledge(&message)?;
            late.expect_nothing()?;
        }
        peer.publish(&Publish::new(&topic, "").retained())?;
    }
    Ok(())
}

fn a_retained_message_of_qos_0_replaces_the_one_before(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v311("a")?;
    peer.publish(&Publish::new(&topic, "one").qos(1, 1).retained())?;
    peer.publish(&Publish::new(&topic, "two").retained())?;
    peer.subscribe(&topic, 1)?;
    let payloads = peer.payloads()?;
    // A server may forget a message of QoS 0, but then there is none.
    ensure!(payloads == ["two"] || (payloads.is_empty() && !target.is_product()), "{payloads:?}");
    peer.publish(&Publish::new(&topic, "").retained())
}

fn the_retain_flag_says_that_a_message_answers_a_new_subscription(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut early = target.v311("a")?;
    early.subscribe(&topic, 1)?;
    early.publish(&Publish::new(&topic, "x").qos(1, 1).retained())?;
    let live = early.expect_message("x")?;
    ensure!(!live.retain, "{live:?}");
    early.acknowledge(&live)?;
    let mut late = target.v311("b")?;
    late.subscribe(&topic, 1)?;
    let kept = late.expect_message("x")?;
    ensure!(kept.retain, "{kept:?}");
    early.publish(&Publish::new(&topic, "").retained())
}

fn an_empty_payload_removes_the_retained_message_and_is_delivered(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    for qos in 0..=2 {
        let mut peer = target.v311("a")?;
        peer.publish(&Publish::new(&topic, "kept").qos(1, 1).retained())?;
        peer.subscribe(&topic, 0)?;
        peer.expect_message("kept")?;
        peer.publish(&Publish::new(&topic, "").qos(qos, 1).retained())?;
        let message = peer.expect_message("")?;
        ensure!(!message.retain, "{message:?}");
        let mut late = target.v311("b")?;
        late.subscribe(&target.topic("#"), 0)?;
        late.expect_nothing()?;
    }
    Ok(())
}

fn a_message_without_retain_leaves_the_retained_one(target: &Target) -> anyhow::Result<()> {
    let (topic, other) = (target.topic("t"), target.topic("u"));
    let mut peer = target.v311("a")?;
    peer.publish(&Publish::new(&topic, "kept").qos(1, 1).retained())?;
    for (topic, payload) in [(&topic, "live"), (&topic, ""), (&other, "live")] {
        for qos in 0..=2 {
            peer.publish(&Publish::new(topic, payload).qos(qos, 1))?;
        }
    }
    peer.subscribe(&target.topic("+"), 0)?;
    let payloads = peer.payloads()?;
    ensure!(payloads == ["kept"], "{payloads:?}");
    peer.publish(&Publish::new(&topic, "").retained())
}

fn the_topic_name_comes_first_and_is_utf_8(target: &Target) -> anyhow::Result<()> {
    for (index, body) in
        [&[][..], &[0], &[0, 3, b'a'], &[0, 2, 0xC3, 0x28], &[0, 3, 0xED, 0xB0, 0x80]].iter().enumerate()
    {
        let mut peer = target.v311(&format!("a{index}"))?;
        peer.send(&packet(0x30, body))?;
        peer.expect_silent_end()?;
    }
    let topic = target.topic("Grüße/日本/\u{1F4E1}");
    let mut peer = target.v311("b")?;
    peer.subscribe(&topic, 0)?;
    peer.publish(&Publish::new(&topic, "x"))?;
    ensure!(peer.expect_message("x")?.topic == topic, "the topic arrives changed");
    Ok(())
}

fn a_topic_name_with_wildcards_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for (index, rest) in ["+", "a/#", "a+b"].iter().enumerate() {
        let mut peer = target.v311(&format!("a{index}"))?;
        peer.send_publish(&Publish::new(&target.topic(rest), "x").qos(1, 1))?;
        peer.expect_silent_end()?;
    }
    Ok(())
}

fn a_message_reaches_those_whose_filter_matches(target: &Target) -> anyhow::Result<()> {
    let mut publisher = target.v311("p")?;
    for (filter, expected) in [("a/b", vec!["a/b"]), ("a/+", vec!["a/b", "a/c"]), ("#", vec!["a/b", "a/c", "d"])] {
        let mut peer = target.v311("a")?;
        peer.subscribe(&target.topic(filter), 0)?;
        for topic in ["a/b", "a/c", "d"] {
            publisher.publish(&Publish::new(&target.topic(topic), topic))?;
        }
        let payloads = peer.payloads()?;
        ensure!(payloads == expected, "{filter} gets {payloads:?}");
    }
    Ok(())
}

fn a_publish_is_answered_as_its_qos_asks_for(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("nobody");
    let mut peer = target.v311("a")?;
    peer.send_publish(&Publish::new(&topic, "x"))?;
    peer.expect_nothing()?;
    peer.send_publish(&Publish::new(&topic, "x").qos(1, 1))?;
    peer.expect_puback(1)?;
    peer.send_publish(&Publish::new(&topic, "x").qos(2, 2))?;
    peer.expect_pubrec(2)?;
    peer.expect_nothing()
}

fn overlapping_subscriptions_deliver_with_the_highest_qos_of_them(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("a/b");
    let mut publisher = target.v311("p")?;
    for order in [[0, 2, 1], [2, 1, 0], [1, 0, 2]] {
        let mut peer = target.v311("a")?;
        for (filter, qos) in ["a/b", "a/+", "#"].iter().zip(order) {
            peer.subscribe(&target.topic(filter), qos)?;
        }
        publisher.publish(&Publish::new(&topic, "x").qos(2, 1))?;
        // One copy, or one for each subscription; the best of them has to be of QoS 2.
        let mut best = peer.expect_publish()?.qos;
        for packet in peer.until_pong()? {
            let ServerPacket::Publish(message) = packet else { anyhow::bail!("expected a message, got {packet:?}") };
            best = best.max(message.qos);
        }
        ensure!(best == 2, "QoS {best} under {order:?}");
    }
    Ok(())
}

fn a_message_that_is_not_allowed_is_acknowledged_or_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("needs a broker that refuses messages to $SYS"));
    }
    let topic = "$SYS/conformance";
    let mut watcher = target.v311("w")?;
    watcher.subscribe(topic, 0)?;
    let mut peer = target.connect(&Connect::v311(target.id("a")))?;
    peer.send(&Publish::new(topic, "x").qos(1, 1).bytes(Version::V311))?;
    match peer.receive_or_end()? {
        None => {}
        Some(ServerPacket::PubAck(ack)) => ensure!(ack.packet_id == 1, "{ack:?}"),
        Some(other) => anyhow::bail!("expected PUBACK or the end, got {other:?}"),
    }
    watcher.expect_nothing()
}
