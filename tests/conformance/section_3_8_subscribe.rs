//! Section 3.8: subscriptions, their options, and what replaces what.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Publish, data, packet, section as properties_section, subscribe, variable};
use selvedge_tests::server_packet::properties::SUBSCRIPTION_IDENTIFIER;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.8 SUBSCRIBE";
    a_subscribe_with_other_flags_is_malformed =>
        V5["MQTT-3.8.1-1", "MQTT-2.1.3-1"], V311["MQTT-3.8.1-1", "MQTT-2.2.2-1", "MQTT-2.2.2-2"];
    a_filter_that_is_not_utf_8_ends_the_connection => V5["MQTT-3.8.3-1", "MQTT-1.5.4-1"], V311["MQTT-3.8.3-1", "MQTT-1.5.3-1"];
    a_subscribe_without_a_filter_ends_the_connection => V5["MQTT-3.8.3-2"], V311["MQTT-3.8.3-3"];
    no_local_keeps_a_clients_own_messages_from_it => V5["MQTT-3.8.3-3"];
    no_local_on_a_shared_subscription_ends_the_connection => V5["MQTT-3.8.3-4"];
    reserved_options_are_malformed => V5["MQTT-3.8.3-5"], V311["MQTT-3.8.3-4"];
    a_qos_of_3_or_a_retain_handling_of_3_ends_the_connection => V5["MQTT-4.13.1-1"], V311["MQTT-3.8.3-4"];
    a_subscribe_is_answered_with_its_identifier =>
        V5["MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.2.1-6"], V311["MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.3.1-7"];
    a_packet_identifier_of_zero_ends_the_connection => V5["MQTT-2.2.1-3"], V311["MQTT-2.3.1-1"];
    wildcards_can_be_subscribed_to => V5["MQTT-4.7.1-1"], V311["MQTT-3.8.3-2"];
    the_same_filter_again_replaces_the_subscription => V5["MQTT-3.8.4-3"], V311["MQTT-3.8.4-3"];
    the_same_filter_again_replaces_options_and_identifier => V5["MQTT-3.8.4-3"];
    the_same_filter_again_brings_the_retained_messages_again =>
        V5["MQTT-3.8.4-4", "MQTT-3.3.1-9"], V311["MQTT-3.8.4-3", "MQTT-3.3.1-6"];
    no_message_is_lost_while_a_subscription_is_replaced => V5["MQTT-3.8.4-4"], V311["MQTT-3.8.4-3"];
    several_filters_are_a_sequence_of_subscriptions => V5["MQTT-3.8.4-5"], V311["MQTT-3.8.4-4"];
    each_filter_is_answered_with_what_was_granted => V5["MQTT-3.8.4-6", "MQTT-3.8.4-7"], V311["MQTT-3.8.4-5"];
    messages_come_with_the_lower_of_both_qos => V5["MQTT-3.8.4-8"], V311["MQTT-3.8.4-6"];
}

fn a_subscribe_with_other_flags_is_malformed(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for flags in (0x00..=0x0F).filter(|flags| *flags != 0b0010) {
            let mut peer = target.peer(version, &format!("a{flags}"))?;
            let mut bytes = subscribe(version, 1, &[], &[(&target.topic("t"), 0)]);
            bytes[0] = 0x80 | flags;
            peer.send(&bytes)?;
            peer.expect_closed(&[0x81])?;
        }
        Ok(())
    })
}

fn a_filter_that_is_not_utf_8_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    // A lone continuation byte, an overlong form, a surrogate, a character that is cut off.
    let wrong: [&[u8]; 4] = [b"a\x80", b"\xC0\xAF", b"\xED\xA0\x80", b"a\xE2\x82"];
    target.in_both_versions(|target, version| {
        for (index, filter) in wrong.iter().enumerate() {
            let mut peer = target.peer(version, &format!("a{index}"))?;
            let mut body = vec![0, 1];
            body.extend(properties_section(version, &[]));
            body.extend(data(filter));
            body.push(0);
            peer.send(&packet(0x82, &body))?;
            peer.expect_closed(&[0x81, 0x8F])?;
        }
        Ok(())
    })
}

fn a_subscribe_without_a_filter_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.send(&subscribe(version, 1, &[], &[]))?;
        peer.expect_closed(&[0x81, 0x82])?;
        // A filter without its options is no pair.
        let mut peer = target.peer(version, "b")?;
        let mut body = vec![0, 1];
        body.extend(properties_section(version, &[]));
        body.extend(data(b"a"));
        peer.send(&packet(0x82, &body))?;
        peer.expect_closed(&[0x81, 0x82])
    })
}

fn no_local_keeps_a_clients_own_messages_from_it(target: &Target) -> anyhow::Result<()> {
    const NO_LOCAL: u8 = 0x04;
    let (quiet, loud) = (target.topic("quiet"), target.topic("loud"));
    let mut peer = target.v5("a")?;
    let mut other = target.v5("b")?;
    for qos in 0..=2 {
        peer.subscribe(&quiet, NO_LOCAL | qos)?;
        peer.subscribe(&loud, qos)?;
        peer.publish(&Publish::new(&quiet, "own").qos(qos, 1))?;
        peer.publish(&Publish::new(&loud, "own, wanted").qos(qos, 1))?;
        let message = peer.expect_message("own, wanted")?;
        peer.acknowledge(&message)?;
        other.publish(&Publish::new(&quiet, "the other's").qos(qos, 1))?;
        let message = peer.expect_message("the other's")?;
        peer.acknowledge(&message)?;
        peer.expect_nothing()?;
    }
    // Nor does a retained message of its own come to the new subscription; that of another does.
    let kept = target.topic("kept");
    peer.publish(&Publish::new(&kept, "own").retained())?;
    peer.subscribe(&kept, NO_LOCAL)?;
    peer.expect_nothing()?;
    other.publish(&Publish::new(&kept, "the other's").retained())?;
    peer.expect_message("the other's")?;
    peer.subscribe(&kept, NO_LOCAL)?;
    peer.expect_message("the other's")?;
    other.publish(&Publish::new(&kept, "").retained())?;
    peer.expect_message("")?;
    peer.unsubscribe(&kept)?;
    // A subscription without the option still gets what one with it does not.
    peer.subscribe(&target.topic("+"), 0)?;
    peer.publish(&Publish::new(&quiet, "by the wildcard"))?;
    peer.expect_message("by the wildcard")?;
    peer.expect_nothing()
}

fn no_local_on_a_shared_subscription_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("a")?;
    let filter = format!("$share/group/{}", target.topic("t"));
    peer.send(&subscribe(Version::V5, 1, &[], &[(&filter, 0x04)]))?;
    peer.expect_closed(&[0x82])
}

fn reserved_options_are_malformed(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        // In 3.1.1 all but the QoS is reserved.
        let reserved: &[u8] = match version {
            Version::V5 => &[0x40, 0x80, 0xC0],
            Version::V311 => &[0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFC],
        };
        for bits in reserved {
            let mut peer = target.peer(version, &format!("a{bits}"))?;
            peer.send(&subscribe(version, 1, &[], &[(&target.topic("t"), *bits)]))?;
            peer.expect_closed(&[0x81])?;
        }
        Ok(())
    })
}

fn a_qos_of_3_or_a_retain_handling_of_3_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let wrong: &[u8] = if version == Version::V5 { &[0x03, 0x30, 0x31] } else { &[0x03] };
        for options in wrong {
            let mut peer = target.peer(version, &format!("a{options}"))?;
            peer.send(&subscribe(version, 1, &[], &[(&target.topic("t"), *options)]))?;
            peer.expect_closed(&[0x81, 0x82])?;
        }
        Ok(())
    })
}

fn a_subscribe_is_answered_with_its_identifier(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        for id in [1, 2, 255, 256, 65_535] {
            peer.send(&subscribe(version, id, &[], &[(&target.topic(&id.to_string()), 0)]))?;
            peer.expect_suback(id)?;
        }
        // Several at once, each with its own.
        let all: Vec<u8> =
            [7, 5, 6].iter().flat_map(|id| subscribe(version, *id, &[], &[(&target.topic("t"), 0)])).collect();
        peer.send(&all)?;
        for id in [7, 5, 6] {
            peer.expect_suback(id)?;
        }
        Ok(())
    })
}

fn a_packet_identifier_of_zero_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let packets = [
            subscribe(version, 0, &[], &[(&topic, 0)]),
            selvedge_tests::client_packet::unsubscribe(version, 0, &[], &[&topic]),
            Publish::new(&topic, "x").qos(1, 0).bytes(version),
            Publish::new(&topic, "x").qos(2, 0).bytes(version),
        ];
        for (index, packet) in packets.iter().enumerate() {
            let mut peer = target.peer(version, &format!("a{index}"))?;
            peer.send(packet)?;
            peer.expect_closed(&[0x81, 0x82])?;
        }
        Ok(())
    })
}

fn wildcards_can_be_subscribed_to(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&target.topic("+/x"), 0)?;
        peer.subscribe(&target.topic("y/#"), 0)?;
        for topic in ["1/x", "y/2/3"] {
            peer.publish(&Publish::new(&target.topic(topic), topic))?;
            peer.expect_message(topic)?;
        }
        Ok(())
    })
}

fn the_same_filter_again_replaces_the_subscription(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        for qos in [0, 2, 1] {
            peer.subscribe(&topic, qos)?;
            peer.publish(&Publish::new(&topic, "once").qos(2, 1))?;
            let message = peer.expect_message("once")?;
            ensure!(message.qos == qos, "QoS {} under a subscription of {qos}", message.qos);
            peer.acknowledge(&message)?;
            peer.expect_nothing()?;
        }
        // One UNSUBSCRIBE takes all of it away.
        peer.unsubscribe(&topic)?;
        peer.publish(&Publish::new(&topic, "too late"))?;
        peer.expect_nothing()
    })
}

fn the_same_filter_again_replaces_options_and_identifier(target: &Target) -> anyhow::Result<()> {
    const RETAIN_AS_PUBLISHED: u8 = 0x08;
    let topic = target.topic("t");
    let mut peer = target.v5("a")?;
    peer.subscribe_with(&topic, RETAIN_AS_PUBLISHED, &variable(SUBSCRIPTION_IDENTIFIER, 7))?;
    peer.publish(&Publish::new(&topic, "1").retained())?;
    let first = peer.expect_message("1")?;
    ensure!(first.retain && first.properties.numbers(SUBSCRIPTION_IDENTIFIER) == [7], "{first:?}");
    // Retain handling 2: nothing is sent again.
    peer.subscribe_with(&topic, 0x20, &variable(SUBSCRIPTION_IDENTIFIER, 268_435_455))?;
    peer.publish(&Publish::new(&topic, "2").retained())?;
    let second = peer.expect_message("2")?;
    ensure!(!second.retain && second.properties.numbers(SUBSCRIPTION_IDENTIFIER) == [268_435_455], "{second:?}");
    peer.subscribe(&topic, 0x20)?;
    peer.publish(&Publish::new(&topic, "").retained())?;
    let third = peer.expect_message("")?;
    ensure!(!third.properties.has(SUBSCRIPTION_IDENTIFIER), "{third:?}");
    peer.expect_nothing()
}

fn the_same_filter_again_brings_the_retained_messages_again(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let (topic, filter) = (target.topic("t/1"), target.topic("t/+"));
        let mut peer = target.peer(version, "a")?;
        peer.publish(&Publish::new(&topic, "kept").qos(1, 1).retained())?;
        for qos in [1, 1, 0] {
            peer.subscribe(&filter, qos)?;
            let message = peer.expect_message("kept")?;
            ensure!(message.retain && message.qos == qos, "{message:?}");
            peer.acknowledge(&message)?;
            peer.expect_nothing()?;
        }
        peer.publish(&Publish::new(&topic, "").retained())
    })
}

fn no_message_is_lost_while_a_subscription_is_replaced(target: &Target) -> anyhow::Result<()> {
    const ROUNDS: usize = 50;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 1)?;
        for round in 0..ROUNDS {
            // The broker may take them in any order, and must not lose the message in any.
            publisher.send_publish(&Publish::new(&topic, round.to_string()).qos(1, 1))?;
            peer.send(&subscribe(version, 1, &[], &[(&topic, 1)]))?;
            peer.expect_suback(1)?;
            publisher.expect_puback(1)?;
        }
        let expected: Vec<String> = (0..ROUNDS).map(|round| round.to_string()).collect();
        let payloads = peer.all_payloads()?;
        ensure!(payloads == expected, "{payloads:?}");
        Ok(())
    })
}

fn several_filters_are_a_sequence_of_subscriptions(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let (topic, other) = (target.topic("t"), target.topic("u"));
        let mut peer = target.peer(version, "a")?;
        // The last one with the same filter is the one that stays.
        peer.send(&subscribe(version, 3, &[], &[(&topic, 2), (&other, 1), (&topic, 1)]))?;
        let reasons = peer.expect_suback(3)?.reasons;
        ensure!(reasons == [2, 1, 1], "{reasons:?}");
        for topic in [&topic, &other] {
            peer.publish(&Publish::new(topic, "x").qos(2, 1))?;
            let message = peer.expect_message("x")?;
            ensure!(message.qos == 1 && message.topic == *topic, "{message:?}");
            peer.acknowledge(&message)?;
        }
        peer.expect_nothing()
    })
}

fn each_filter_is_answered_with_what_was_granted(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topics: Vec<String> = (0..30).map(|index| target.topic(&index.to_string())).collect();
        let filters: Vec<(&str, u8)> =
            topics.iter().zip([2, 0, 1].into_iter().cycle()).map(|(topic, qos)| (topic.as_str(), qos)).collect();
        let mut peer = target.peer(version, "a")?;
        peer.send(&subscribe(version, 3, &[], &filters))?;
        let reasons = peer.expect_suback(3)?.reasons;
        let expected: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        ensure!(reasons == expected, "{reasons:02x?}");
        if target.is_product() {
            // More levels than the product takes.
            let deep = target.topic(&"a/".repeat(2000));
            peer.send(&subscribe(version, 4, &[], &[(&topics[0], 1), (&deep, 1), (&topics[1], 2)]))?;
            let reasons = peer.expect_suback(4)?.reasons;
            let failure = reasons.get(1).is_some_and(|reason| *reason >= 0x80);
            ensure!(reasons.len() == 3 && reasons[0] == 1 && failure && reasons[2] == 2, "{reasons:02x?}");
        }
        Ok(())
    })
}

fn messages_come_with_the_lower_of_both_qos(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        for granted in 0..=2 {
            let topic = target.topic(&granted.to_string());
            peer.subscribe(&topic, granted)?;
            for published in 0..=2 {
                peer.publish(&Publish::new(&topic, "x").qos(published, 1))?;
                let message = peer.expect_message("x")?;
                let lower = granted.min(published);
                ensure!(message.qos == lower, "QoS {} of {published} under {granted}", message.qos);
                peer.acknowledge(&message)?;
            }
        }
        Ok(())
    })
}
