//! Section 3.3, PUBLISH: its flags and topic name.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, data, packet};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.3 PUBLISH, flags and topic";
    a_message_sent_again_is_marked_as_a_duplicate => V5["MQTT-3.3.1-1"];
    a_qos_0_message_is_never_marked_as_a_duplicate => V5["MQTT-3.3.1-2"];
    a_qos_0_publish_with_dup_ends_the_connection => V5["MQTT-3.3.1-2"];
    dup_of_the_publisher_is_not_passed_on => V5["MQTT-3.3.1-3"];
    a_publish_with_both_qos_bits_ends_the_connection => V5["MQTT-3.3.1-4"];
    the_topic_name_is_the_first_field_and_text => V5["MQTT-3.3.2-1"];
    a_publish_without_topic_name_or_alias_ends_the_connection => V5["MQTT-3.3.2-1"];
    a_topic_name_with_wildcards_ends_the_connection => V5["MQTT-3.3.2-2"];
    a_message_reaches_those_whose_filter_matches_its_topic => V5["MQTT-3.3.2-3"];
}

fn a_message_sent_again_is_marked_as_a_duplicate(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let connect = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    publisher.publish(&Publish::new(&topic, "one").qos(1, 1))?;
    publisher.publish(&Publish::new(&topic, "two").qos(2, 2))?;
    let mut ids = Vec::new();
    for payload in ["one", "two"] {
        let first = peer.expect_message(payload)?;
        ensure!(!first.dup, "{first:?} is new and marked as a duplicate");
        ids.push(first.packet_id);
    }
    // Twice, as a duplicate stays one.
    for _ in 0..2 {
        drop(peer);
        peer = target.connect(&connect.clone().resuming())?;
        for (payload, id) in ["one", "two"].into_iter().zip(&ids) {
            let again = peer.expect_message(payload)?;
            ensure!(again.dup && again.packet_id == *id, "{again:?} instead of a duplicate with {id:?}");
        }
    }
    // What was never sent is new, although the session is not.
    publisher.publish(&Publish::new(&topic, "three").qos(1, 3))?;
    let third = peer.expect_message("three")?;
    ensure!(!third.dup, "{third:?} is new and marked as a duplicate");
    Ok(())
}

fn a_qos_0_message_is_never_marked_as_a_duplicate(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    // Also where the publisher marked a message of higher QoS.
    for publish in [Publish::new(&topic, "x"), Publish::new(&topic, "x").qos(1, 1).dup()] {
        publisher.publish(&publish)?;
        let got = peer.expect_message("x")?;
        ensure!(got.qos == 0 && !got.dup, "{got:?}");
    }
    Ok(())
}

fn a_qos_0_publish_with_dup_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let publish = Publish::new(&target.topic("t"), "x").dup().bytes(Version::V5);
    target.ends("QoS 0 with DUP", &publish, &[0x81, 0x82])
}

fn dup_of_the_publisher_is_not_passed_on(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 2)?;
    for (id, qos) in [(1, 1), (2, 2)] {
        for dup in [true, false] {
            let publish = Publish { dup, ..Publish::new(&topic, "x").qos(qos, id) };
            publisher.publish(&publish)?;
            let got = peer.expect_message("x")?;
            ensure!(!got.dup, "DUP {dup} of the publisher came through: {got:?}");
            peer.acknowledge(&got)?;
        }
    }
    // Nor is it kept with a retained message.
    publisher.publish(&Publish::new(&topic, "kept").qos(1, 3).dup().retained())?;
    let got = peer.expect_message("kept")?;
    ensure!(!got.dup, "{got:?}");
    let mut later = target.v5("later")?;
    later.subscribe(&topic, 1)?;
    let kept = later.expect_message("kept")?;
    ensure!(!kept.dup, "{kept:?}");
    publisher.publish(&Publish::new(&topic, "").retained())
}

fn a_publish_with_both_qos_bits_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    for publish in [Publish::new(&topic, "x").qos(3, 1), Publish::new(&topic, "x").qos(3, 1).dup().retained()] {
        target.ends("QoS 3", &publish.bytes(Version::V5), &[0x81])?;
    }
    watcher.expect_nothing()
}

fn the_topic_name_is_the_first_field_and_text(target: &Target) -> anyhow::Result<()> {
    // No topic at all, half of its length, less of it than its length says, text that is none.
    let bodies: [&[u8]; 6] =
        [b"", b"\x00", b"\x00\x05a/b", b"\x00\x02\xC3\x28\x00x", b"\x00\x01\xFF\x00x", b"\xFF\xFFa"];
    for body in bodies {
        target.ends("a topic name", &packet(0x30, body), &[0x81, 0x82])?;
    }
    Ok(())
}

fn a_publish_without_topic_name_or_alias_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for qos in 0..=2 {
        let publish = Publish::new("", "x").qos(qos, 1).bytes(Version::V5);
        target.ends("an empty topic name", &publish, &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn a_topic_name_with_wildcards_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&target.topic("#"), 0)?;
    for level in ["#", "+", "a/#", "+/a", "a+", "a#b", "a/+/b"] {
        for qos in 0..=2 {
            let publish = Publish::new(&target.topic(level), "x").qos(qos, 1).bytes(Version::V5);
            target.ends(level, &publish, &[0x81, 0x82, 0x90])?;
        }
    }
    // The first characters of a topic, too.
    for topic in ["#", "+", "#/a"] {
        let bytes = packet(0x30, &[&data(topic.as_bytes())[..], &[0, b'x']].concat());
        target.ends(topic, &bytes, &[0x81, 0x82, 0x90])?;
    }
    watcher.expect_nothing()
}

fn a_message_reaches_those_whose_filter_matches_its_topic(target: &Target) -> anyhow::Result<()> {
    let mut publisher = target.v5("p")?;
    let topics = ["a", "a/b", "a/b/c", "a//c", "/a", "a/", "A/b", "ab", "a/b c", "é/b", "b/a"];
    let filters: [(&str, &[&str]); 14] = [
        ("a", &["a"]),
        ("a/b", &["a/b"]),
        ("a/+", &["a/b", "a/", "a/b c"]),
        ("+/b", &["a/b", "A/b", "é/b"]),
        ("a/#", &["a", "a/b", "a/b/c", "a//c", "a/", "a/b c"]),
        ("a/+/c", &["a/b/c", "a//c"]),
        ("a/b/#", &["a/b", "a/b/c"]),
        ("+", &["a", "ab"]),
        ("+/+", &["a/b", "/a", "a/", "A/b", "a/b c", "é/b", "b/a"]),
        ("/+", &["/a"]),
        ("/#", &["/a"]),
        ("+/a", &["/a", "b/a"]),
        ("+/+/+", &["a/b/c", "a//c"]),
        ("c/#", &[]),
    ];
    for (filter, expected) in filters {
        let mut peer = target.v5("c")?;
        peer.subscribe(&target.topic(filter), 0)?;
        for topic in topics {
            publisher.publish(&Publish::new(&target.topic(topic), topic))?;
        }
        let mut got = Vec::new();
        for packet in peer.until_pong()? {
            let selvedge_tests::server_packet::ServerPacket::Publish(publish) = packet else {
                anyhow::bail!("unexpected {packet:?}");
            };
            let topic = String::from_utf8_lossy(&publish.payload).into_owned();
            ensure!(publish.topic == target.topic(&topic), "{topic} arrives as {}", publish.topic);
            got.push(topic);
        }
        ensure!(got == expected, "{filter} gets {got:?} instead of {expected:?}");
        peer.disconnect()?;
    }
    Ok(())
}
