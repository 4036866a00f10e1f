//! Section 4.7: what is a topic name, what a filter, and which match.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Publish, subscribe, unsubscribe};
use selvedge_tests::server_packet::ServerPacket;

use crate::registry::section;
use crate::target::Target;

section! {
    "4.7 Topic Names and Topic Filters";
    a_topic_name_with_a_wildcard_ends_the_connection =>
        V5["MQTT-4.7.0-1", "MQTT-3.3.2-2"], V311["MQTT-4.7.1-1", "MQTT-3.3.2-2"];
    a_multi_level_wildcard_stands_alone_and_last => V5["MQTT-4.7.1-1"], V311["MQTT-4.7.1-2"];
    a_single_level_wildcard_stands_for_a_whole_level => V5["MQTT-4.7.1-2"], V311["MQTT-4.7.1-3"];
    wildcards_match_what_the_standard_says =>
        V5["MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-3.3.2-3"], V311["MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-3.3.2-3"];
    wildcards_at_the_first_level_do_not_match_topics_of_the_server => V5["MQTT-4.7.2-1"], V311["MQTT-4.7.2-1"];
    an_empty_topic_or_filter_ends_the_connection => V5["MQTT-4.7.3-1"], V311["MQTT-4.7.3-1"];
    a_null_character_ends_the_connection =>
        V5["MQTT-4.7.3-2", "MQTT-1.5.4-2"], V311["MQTT-4.7.3-2", "MQTT-1.5.3-2"];
    the_longest_topic_is_taken_whole_or_refused => V5["MQTT-4.7.3-3"], V311["MQTT-4.7.3-3"];
    topics_are_compared_character_by_character => V5["MQTT-4.7.3-4"], V311["MQTT-4.7.3-4", "MQTT-1.5.3-3"];
}

/// Sends a SUBSCRIBE to a filter that is not valid: the connection ends, or the filter is refused.
fn expect_refused(target: &Target, version: Version, name: &str, filter: &str) -> anyhow::Result<()> {
    let mut peer = target.peer(version, name)?;
    peer.send(&subscribe(version, 1, &[], &[(filter, 0)]))?;
    match peer.receive_or_end()? {
        Some(ServerPacket::SubAck(ack)) => {
            ensure!(ack.reasons.iter().all(|reason| *reason >= 0x80), "{filter:?} is granted: {ack:?}");
            Ok(())
        }
        Some(ServerPacket::Disconnect(closing)) => {
            ensure!([0x81, 0x82, 0x8F].contains(&closing.reason), "{filter:?} ends with {closing:?}");
            Ok(())
        }
        None => Ok(()),
        Some(other) => anyhow::bail!("{filter:?} is answered with {other:?}"),
    }
}

fn a_topic_name_with_a_wildcard_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        // Near the start, the middle and the end, in short names and in long ones.
        for (index, rest) in
            ["+", "#", "a+", "+/a", "a/#", "a#b", "0123456789+", "01234567/+/0123456789"].iter().enumerate()
        {
            let mut peer = target.peer(version, &format!("a{index}"))?;
            peer.send_publish(&Publish::new(&target.topic(rest), "x"))?;
            peer.expect_closed(&[0x81, 0x82, 0x90])?;
        }
        Ok(())
    })
}

fn a_multi_level_wildcard_stands_alone_and_last(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for (index, rest) in ["#/a", "a#", "#a", "a/#/b", "##", "a/#b", "+#", "#/"].iter().enumerate() {
            expect_refused(target, version, &format!("a{index}"), &target.topic(rest))?;
        }
        let mut peer = target.peer(version, "b")?;
        peer.subscribe("#", 0)?;
        peer.unsubscribe("#")?;
        let filter = target.topic("a/b/#");
        peer.send(&subscribe(version, 1, &[], &[(&filter, 1)]))?;
        ensure!(peer.expect_suback(1)?.reasons == [1], "{filter} is refused");
        Ok(())
    })
}

fn a_single_level_wildcard_stands_for_a_whole_level(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for (index, rest) in ["a+", "+a", "a/b+", "a/+b/c", "++", "+a/#"].iter().enumerate() {
            expect_refused(target, version, &format!("a{index}"), &target.topic(rest))?;
        }
        let mut peer = target.peer(version, "b")?;
        for rest in ["+", "+/a", "a/+", "a/+/b", "+/+", "+/#", "/+", "+/"] {
            peer.subscribe(&target.topic(rest), 0)?;
        }
        Ok(())
    })
}

fn wildcards_match_what_the_standard_says(target: &Target) -> anyhow::Result<()> {
    // 4.7.1.2 and 4.7.1.3, and levels that are empty.
    const TOPICS: [&str; 10] = ["s", "s/", "s/a", "s/a/r", "s/b/r", "s/a/r/w", "/s", "s//r", "S/a", "s/a "];
    let matches = [
        ("s/#", vec!["s", "s/", "s/a", "s/a/r", "s/b/r", "s/a/r/w", "s//r", "s/a "]),
        ("s/a/#", vec!["s/a", "s/a/r", "s/a/r/w"]),
        ("s/+", vec!["s/", "s/a", "s/a "]),
        ("s/+/r", vec!["s/a/r", "s/b/r", "s//r"]),
        ("+", vec!["s"]),
        ("+/a", vec!["s/a", "S/a"]),
        ("+/+", vec!["s/", "s/a", "/s", "S/a", "s/a "]),
        ("/+", vec!["/s"]),
        ("+/+/#", vec!["s/", "s/a", "s/a/r", "s/b/r", "s/a/r/w", "/s", "s//r", "S/a", "s/a "]),
        ("s", vec!["s"]),
        ("s/", vec!["s/"]),
    ];
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        let mut late = target.peer(version, "b")?;
        for (filter, expected) in &matches {
            let (live, kept) = (target.topic(&format!("live/{filter}")), target.topic(&format!("kept/{filter}")));
            peer.subscribe(&live, 0)?;
            for topic in TOPICS {
                peer.publish(&Publish::new(&target.topic(&format!("live/{topic}")), topic))?;
                peer.publish(&Publish::new(&target.topic(&format!("kept/{topic}")), topic).retained())?;
            }
            let came = peer.payloads()?;
            ensure!(came == *expected, "{filter} matches {came:?}");
            peer.unsubscribe(&live)?;
            late.subscribe(&kept, 0)?;
            let mut came = late.payloads()?;
            came.sort_unstable();
            let mut expected = expected.clone();
            expected.sort_unstable();
            ensure!(came == expected, "{filter} finds the retained {came:?}");
            late.unsubscribe(&kept)?;
        }
        for topic in TOPICS {
            peer.publish(&Publish::new(&target.topic(&format!("kept/{topic}")), "").retained())?;
        }
        Ok(())
    })
}

fn wildcards_at_the_first_level_do_not_match_topics_of_the_server(target: &Target) -> anyhow::Result<()> {
    // Every broker that is known publishes this.
    const OF_THE_SERVER: &str = "$SYS/broker/version";
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(OF_THE_SERVER, 0)?;
        let version_topic = peer.expect_publish()?;
        ensure!(version_topic.topic == OF_THE_SERVER, "{version_topic:?}");
        peer.subscribe("$SYS/+/version", 0)?;
        peer.expect_publish()?;
        peer.unsubscribe(OF_THE_SERVER)?;
        peer.unsubscribe("$SYS/+/version")?;
        for filter in ["+/broker/version", "+/+/version", "#", "+/#", "+/broker/#"] {
            let mut peer = target.peer(version, "b")?;
            // Others publish at the same time, and `#` shows it.
            peer.send(&subscribe(version, 1, &[], &[(filter, 0)]))?;
            for packet in peer.until_pong()? {
                if let ServerPacket::Publish(publish) = packet {
                    ensure!(!publish.topic.starts_with('$'), "{filter} matches {}", publish.topic);
                }
            }
        }
        Ok(())
    })
}

fn an_empty_topic_or_filter_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.send_publish(&Publish::new("", "x"))?;
        // In MQTT 5 an empty name stands for an alias, and there is none.
        peer.expect_closed(&[0x81, 0x82, 0x90])?;
        expect_refused(target, version, "b", "")?;
        let mut peer = target.peer(version, "c")?;
        peer.send(&unsubscribe(version, 1, &[], &[""]))?;
        peer.expect_closed(&[0x81, 0x82, 0x8F])?;
        // One character is enough.
        let mut peer = target.peer(version, "d")?;
        peer.subscribe("/", 0)?;
        peer.unsubscribe("/")
    })
}

fn a_null_character_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        for (index, rest) in ["\0", "a\0", "\0a", "a/b/c/d/e/f/g/h\0/i", "ä\0"].iter().enumerate() {
            let topic = target.topic(rest);
            let packets = [
                Publish::new(&topic, "x").bytes(version),
                subscribe(version, 1, &[], &[(&topic, 0)]),
                unsubscribe(version, 1, &[], &[&topic]),
            ];
            for (kind, packet) in packets.iter().enumerate() {
                let mut peer = target.peer(version, &format!("a{index}{kind}"))?;
                peer.send(packet)?;
                peer.expect_closed(&[0x81, 0x82, 0x8F, 0x90])?;
            }
        }
        Ok(())
    })
}

fn the_longest_topic_is_taken_whole_or_refused(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let start = target.topic("");
        for length in [200, 65_535] {
            let topic = format!("{start}{}", "a".repeat(length - start.len()));
            let mut peer = target.peer(version, &format!("a{length}"))?;
            peer.send(&subscribe(version, 1, &[], &[(&topic, 0)]))?;
            let granted = match peer.receive_or_end()? {
                Some(ServerPacket::SubAck(ack)) => ack.reasons == [0],
                Some(ServerPacket::Disconnect(_)) | None => continue,
                Some(other) => anyhow::bail!("expected SUBACK, got {other:?}"),
            };
            ensure!(granted || length > 1000, "a filter of {length} bytes is refused");
            let mut publisher = target.peer(version, &format!("p{length}"))?;
            publisher.send_publish(&Publish::new(&topic, "x").qos(1, 1))?;
            let taken = match publisher.receive_or_end()? {
                Some(ServerPacket::PubAck(ack)) => ack.reason < 0x80 && version == Version::V5,
                _ => false,
            };
            if granted && taken {
                ensure!(peer.expect_message("x")?.topic == topic, "a topic of {length} bytes arrives changed");
            }
        }
        Ok(())
    })
}

fn topics_are_compared_character_by_character(target: &Target) -> anyhow::Result<()> {
    // Composed and decomposed, full width, case, empty levels, spaces, a byte order mark, a private character.
    const TOPICS: [&str; 14] = [
        "\u{E9}",
        "e\u{301}",
        "E",
        "e",
        "\u{FF45}",
        "a//b",
        "a/b",
        "a/b/",
        "/a/b",
        " a/b",
        "a/b ",
        "\u{FEFF}a/b",
        "\u{E000}",
        "\u{10FFFD}",
    ];
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        for topic in TOPICS {
            peer.subscribe(&target.topic(topic), 0)?;
            for other in TOPICS {
                peer.publish(&Publish::new(&target.topic(other), other))?;
            }
            let came = peer.payloads()?;
            ensure!(came == [topic], "{topic:?} gets {came:?}");
            peer.unsubscribe(&target.topic(topic))?;
        }
        // And the name arrives as it was sent.
        peer.subscribe(&target.topic("#"), 0)?;
        for topic in TOPICS {
            peer.publish(&Publish::new(&target.topic(topic), "x"))?;
            let message = peer.expect_message("x")?;
            ensure!(message.topic == target.topic(topic), "{topic:?} arrives as {:?}", message.topic);
        }
        Ok(())
    })
}
