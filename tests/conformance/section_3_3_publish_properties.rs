//! Section 3.3.2.3: properties of a message, and topic aliases.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, binary, byte, four_bytes, text, two_bytes, user, variable};
use selvedge_tests::peer::Peer;
use selvedge_tests::server_packet::properties::{
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY_INTERVAL, PAYLOAD_FORMAT_INDICATOR, RESPONSE_TOPIC, TOPIC_ALIAS,
    TOPIC_ALIAS_MAXIMUM,
};
use selvedge_tests::server_packet::{self, properties};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.3 PUBLISH, properties";
    the_payload_format_arrives_unaltered => V5["MQTT-3.3.2-4"];
    a_message_that_expired_is_not_delivered => V5["MQTT-3.3.2-5"];
    a_retained_message_that_expired_is_not_delivered => V5["MQTT-3.3.2-5"];
    the_message_expiry_arrives_less_the_time_that_the_message_waited => V5["MQTT-3.3.2-6"];
    topic_aliases_of_a_client_end_with_its_connection => V5["MQTT-3.3.2-7"];
    topic_aliases_of_the_server_end_with_the_connection => V5["MQTT-3.3.2-7"];
    topic_alias_0_ends_the_connection => V5["MQTT-3.3.2-8"];
    a_topic_alias_that_was_never_set_ends_the_connection => V5["MQTT-3.3.2-7"];
    a_topic_alias_over_the_maximum_ends_the_connection => V5["MQTT-3.3.2-9"];
    the_server_keeps_to_the_largest_alias_of_the_client => V5["MQTT-3.3.2-11"];
    every_topic_alias_up_to_the_maximum_is_taken => V5["MQTT-3.3.2-12"];
    a_topic_alias_can_be_given_to_another_topic => V5["MQTT-3.3.2-12"];
    a_response_topic_that_is_no_utf_8_ends_the_connection => V5["MQTT-3.3.2-13"];
    a_response_topic_with_wildcards_ends_the_connection => V5["MQTT-3.3.2-14"];
    the_response_topic_arrives_unaltered => V5["MQTT-3.3.2-15"];
    the_correlation_data_arrive_unaltered => V5["MQTT-3.3.2-16"];
    user_properties_arrive_unaltered_and_in_order => V5["MQTT-3.3.2-17", "MQTT-3.3.2-18"];
    a_content_type_that_is_no_utf_8_ends_the_connection => V5["MQTT-3.3.2-19"];
    the_content_type_arrives_unaltered => V5["MQTT-3.3.2-20"];
    a_property_twice_or_with_a_wrong_value_ends_the_connection => V5["MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-20"];
}

/// Sends a message in each way that a message can take, and gives what arrives: to a subscriber that is there, to one
/// that was away, as a retained message, and with a topic alias in both directions.
fn forwarded(target: &Target, publish: &Publish) -> anyhow::Result<Vec<server_packet::Publish>> {
    let topic = target.topic("forwarded");
    let publish = Publish { topic: topic.clone().into_bytes(), ..publish.clone() };
    let mut publisher = target.v5("p")?;
    let mut live = target.connect(&Connect::v5(target.id("live")).topic_alias_max(5))?;
    live.subscribe(&topic, 1)?;
    let connect = Connect::v5(target.id("away")).lasting();
    let mut away = target.connect(&connect)?;
    away.subscribe(&topic, 1)?;
    away.disconnect()?;
    publisher.publish(&publish.clone().qos(1, 1).retained())?;
    publisher.publish(&publish.clone().qos(1, 2).property(&two_bytes(TOPIC_ALIAS, 1)))?;
    let mut got = vec![live.expect_publish()?, live.expect_publish()?];
    let mut away = target.connect(&connect.resuming())?;
    got.extend([away.expect_publish()?, away.expect_publish()?]);
    let mut later = target.v5("later")?;
    later.subscribe(&topic, 1)?;
    got.push(later.expect_publish()?);
    publisher.publish(&Publish::new(&topic, "").retained())?;
    for publish in &got {
        ensure!(publish.topic == topic, "{publish:?}");
    }
    Ok(got)
}

fn the_payload_format_arrives_unaltered(target: &Target) -> anyhow::Result<()> {
    for format in [0, 1] {
        let publish = Publish::new("", "text").property(&byte(PAYLOAD_FORMAT_INDICATOR, format));
        for got in forwarded(target, &publish)? {
            let arrived = got.properties.number(PAYLOAD_FORMAT_INDICATOR);
            // 0 is what its absence means.
            let same = arrived == Some(u32::from(format)) || (format == 0 && arrived.is_none());
            ensure!(same, "payload format {format} arrives as {arrived:?}");
            ensure!(arrived.is_some() || !target.is_product(), "payload format {format} is left out");
        }
    }
    for got in forwarded(target, &Publish::new("", "text"))? {
        ensure!(!got.properties.has(PAYLOAD_FORMAT_INDICATOR), "{got:?}");
    }
    Ok(())
}

/// Waits until a message with an expiry of one second has expired, also for a broker that counts whole seconds.
fn let_a_second_pass(target: &Target) {
    let time = if target.is_product() { 1050 } else { 2500 };
    std::thread::sleep(Duration::from_millis(time));
}

fn a_message_that_expired_is_not_delivered(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let connect = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    peer.disconnect()?;
    // One whose window is full waits as well.
    let mut busy = target.connect(&Connect::v5(target.id("busy")).receive_maximum(1))?;
    busy.subscribe(&topic, 1)?;
    publisher.publish(&Publish::new(&topic, "first").qos(1, 1))?;
    let first = busy.expect_message("first")?;
    let short = four_bytes(MESSAGE_EXPIRY_INTERVAL, 1);
    publisher.publish(&Publish::new(&topic, "short").qos(1, 2).property(&short))?;
    publisher.publish(&Publish::new(&topic, "short too").qos(2, 3).property(&short))?;
    let long = four_bytes(MESSAGE_EXPIRY_INTERVAL, 1000);
    publisher.publish(&Publish::new(&topic, "long").qos(1, 4).property(&long))?;
    let_a_second_pass(target);
    busy.acknowledge(&first)?;
    busy.expect_message("long")?;
    let mut peer = target.connect(&connect.resuming())?;
    peer.expect_message("first")?;
    peer.expect_message("long")?;
    peer.expect_nothing()
}

fn a_retained_message_that_expired_is_not_delivered(target: &Target) -> anyhow::Result<()> {
    let topics = [target.topic("short"), target.topic("long")];
    let mut publisher = target.v5("p")?;
    for (topic, expiry) in topics.iter().zip([1, 1000]) {
        let publish = Publish::new(topic, "x").retained().property(&four_bytes(MESSAGE_EXPIRY_INTERVAL, expiry));
        publisher.publish(&publish)?;
    }
    let_a_second_pass(target);
    let mut peer = target.v5("c")?;
    peer.subscribe(&target.topic("+"), 0)?;
    ensure!(peer.expect_message("x")?.topic == topics[1], "the wrong one has expired");
    peer.expect_nothing()?;
    publisher.publish(&Publish::new(&topics[1], "").retained())
}

fn the_message_expiry_arrives_less_the_time_that_the_message_waited(target: &Target) -> anyhow::Result<()> {
    const EXPIRY: u32 = 100;
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut live = target.v5("live")?;
    live.subscribe(&topic, 1)?;
    let connect = Connect::v5(target.id("away")).lasting();
    let mut away = target.connect(&connect)?;
    away.subscribe(&topic, 1)?;
    away.disconnect()?;
    let before = Instant::now();
    let publish = Publish::new(&topic, "x").qos(1, 1).property(&four_bytes(MESSAGE_EXPIRY_INTERVAL, EXPIRY));
    publisher.publish(&publish.retained())?;
    let check = |peer: &mut Peer, least: u32| -> anyhow::Result<()> {
        let got = peer.expect_message("x")?;
        let left = got.properties.number(MESSAGE_EXPIRY_INTERVAL).context("it has no expiry")?;
        // What is left of a second may count as one or as none.
        let most = u32::try_from(before.elapsed().as_secs())? + 1;
        let waited = EXPIRY.checked_sub(left).context("it arrives with more than it had")?;
        ensure!((least..=most).contains(&waited), "{left} s of {EXPIRY} left after {:?}", before.elapsed());
        Ok(())
    };
    check(&mut live, 0)?;
    std::thread::sleep(Duration::from_millis(1100));
    let mut away = target.connect(&connect.resuming())?;
    check(&mut away, 1)?;
    let mut later = target.v5("later")?;
    later.subscribe(&topic, 1)?;
    check(&mut later, 1)?;
    publisher.publish(&Publish::new(&topic, "").retained())?;
    // A message without one gets none.
    live.publish(&Publish::new(&topic, "no expiry"))?;
    live.expect_message("")?;
    let got = live.expect_message("no expiry")?;
    ensure!(!got.properties.has(MESSAGE_EXPIRY_INTERVAL), "{got:?}");
    Ok(())
}

/// The largest alias that the server takes; the test is skipped where it takes none.
fn connect_with_aliases(target: &Target, connect: &Connect) -> anyhow::Result<(Peer, u16)> {
    let (peer, connack) = target.connect_and_tell(connect)?;
    match connack.properties.number(TOPIC_ALIAS_MAXIMUM).unwrap_or_default() {
        0 => Err(target.skip("the broker takes no topic aliases")),
        maximum => Ok((peer, u16::try_from(maximum)?)),
    }
}

fn aliased(topic: &str, alias: u16, payload: impl AsRef<[u8]>) -> Publish {
    Publish::new(topic, payload).property(&two_bytes(TOPIC_ALIAS, alias))
}

fn topic_aliases_of_a_client_end_with_its_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    let connect = Connect::v5(target.id("c")).lasting();
    let (mut peer, _) = connect_with_aliases(target, &connect)?;
    peer.publish(&aliased(&topic, 1, "set"))?;
    peer.publish(&aliased("", 1, "used"))?;
    watcher.expect_message("set")?;
    watcher.expect_message("used")?;
    peer.disconnect()?;
    let (mut peer, _) = connect_with_aliases(target, &connect.resuming())?;
    peer.send_publish(&aliased("", 1, "lost"))?;
    peer.expect_closed(&[0x82, 0x94])?;
    watcher.expect_nothing()
}

fn topic_aliases_of_the_server_end_with_the_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("a/topic/name/that/is/worth/an/alias");
    let mut publisher = target.v5("p")?;
    let connect = Connect::v5(target.id("c")).lasting().topic_alias_max(2);
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 1)?;
    for round in 0..3 {
        for number in 0..3 {
            publisher.publish(&Publish::new(&topic, number.to_string()).qos(1, 1))?;
            // The peer knows the aliases of this connection only.
            let got = peer.expect_message(number.to_string()).with_context(|| format!("in round {round}"))?;
            ensure!(got.topic == topic, "{got:?}");
            // The last one is sent again on the next connection.
            if number < 2 {
                peer.acknowledge(&got)?;
            }
        }
        peer.settle()?;
        drop(peer);
        peer = target.connect(&connect.clone().resuming())?;
        let again = peer.expect_message("2").with_context(|| format!("after round {round}"))?;
        ensure!(again.topic == topic, "{again:?}");
        peer.acknowledge(&again)?;
    }
    Ok(())
}

fn topic_alias_0_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for topic in [&target.topic("t")[..], ""] {
        target.ends("alias 0", &aliased(topic, 0, "x").bytes(Version::V5), &[0x94, 0x82, 0x81])?;
    }
    Ok(())
}

fn a_topic_alias_that_was_never_set_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    target.ends("alias 1", &aliased("", 1, "x").bytes(Version::V5), &[0x82, 0x94])?;
    let (mut peer, maximum) = connect_with_aliases(target, &Connect::v5(target.id("c")))?;
    peer.publish(&aliased(&target.topic("t"), maximum, "x"))?;
    peer.send_publish(&aliased("", 1, "x"))?;
    // With a maximum of 1 it is set.
    if maximum > 1 { peer.expect_closed(&[0x82, 0x94]) } else { peer.expect_nothing() }
}

fn a_topic_alias_over_the_maximum_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    let (peer, maximum) = connect_with_aliases(target, &Connect::v5(target.id("c")))?;
    peer.disconnect()?;
    for over in [maximum.checked_add(1), Some(u16::MAX).filter(|_| maximum < u16::MAX)].into_iter().flatten() {
        target.ends("an alias over the maximum", &aliased(&topic, over, "x").bytes(Version::V5), &[0x94, 0x82])?;
    }
    watcher.expect_nothing()
}

fn the_server_keeps_to_the_largest_alias_of_the_client(target: &Target) -> anyhow::Result<()> {
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).topic_alias_max(1))?;
    peer.subscribe(&target.topic("+"), 0)?;
    for _ in 0..3 {
        for name in ["a", "b", "c"] {
            publisher.publish(&Publish::new(&target.topic(name), name))?;
            let got = peer.expect_message(name)?;
            ensure!(got.topic == target.topic(name), "{got:?}");
            ensure!(got.properties.number(TOPIC_ALIAS).is_none_or(|alias| alias == 1), "{got:?}");
        }
    }
    Ok(())
}

fn every_topic_alias_up_to_the_maximum_is_taken(target: &Target) -> anyhow::Result<()> {
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&target.topic("+"), 0)?;
    let (mut peer, maximum) = connect_with_aliases(target, &Connect::v5(target.id("c")))?;
    let aliases: Vec<u16> = if maximum <= 100 { (1..=maximum).collect() } else { vec![1, 2, maximum - 1, maximum] };
    for alias in &aliases {
        peer.publish(&aliased(&target.topic(&alias.to_string()), *alias, "set"))?;
        watcher.expect_message("set")?;
    }
    for alias in aliases.iter().rev() {
        peer.publish(&aliased("", *alias, "used").qos(1, 1))?;
        let got = watcher.expect_message("used")?;
        ensure!(got.topic == target.topic(&alias.to_string()), "alias {alias} stands for {}", got.topic);
    }
    Ok(())
}

fn a_topic_alias_can_be_given_to_another_topic(target: &Target) -> anyhow::Result<()> {
    let (first, second) = (target.topic("first"), target.topic("second"));
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&target.topic("+"), 0)?;
    let (mut peer, _) = connect_with_aliases(target, &Connect::v5(target.id("c")))?;
    let (mut other, _) = connect_with_aliases(target, &Connect::v5(target.id("other")))?;
    other.publish(&aliased(&second, 1, "of the other"))?;
    watcher.expect_message("of the other")?;
    for (topic, expected) in [(&first[..], &first), ("", &first), (&second, &second), ("", &second), ("", &second)] {
        peer.publish(&aliased(topic, 1, "x"))?;
        let got = watcher.expect_message("x")?;
        ensure!(got.topic == *expected, "{topic:?} with alias 1 arrives at {}", got.topic);
    }
    // The aliases of one client are not those of another.
    peer.publish(&aliased(&first, 1, "x"))?;
    watcher.expect_message("x")?;
    other.publish(&aliased("", 1, "y"))?;
    ensure!(watcher.expect_message("y")?.topic == second, "an alias went from one client to another");
    Ok(())
}

fn ends_with(target: &Target, property: &[u8], reasons: &[u8]) -> anyhow::Result<()> {
    let publish = Publish::new(&target.topic("t"), "x").property(property);
    target.ends("a property", &publish.bytes(Version::V5), reasons)
}

fn a_response_topic_that_is_no_utf_8_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for topic in [&b"\xC3\x28"[..], b"a/\xFF", b"\xED\xA0\x80", b"a\0b"] {
        ends_with(target, &binary(RESPONSE_TOPIC, topic), &[0x81, 0x82])?;
    }
    Ok(())
}

fn a_response_topic_with_wildcards_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for topic in ["#", "+", "a/#", "a/+/b", "a#"] {
        ends_with(target, &text(RESPONSE_TOPIC, topic), &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn the_response_topic_arrives_unaltered(target: &Target) -> anyhow::Result<()> {
    for topic in ["answer/here", "/", "é/🧵", "a b/$x"] {
        for got in forwarded(target, &Publish::new("", "x").property(&text(RESPONSE_TOPIC, topic)))? {
            ensure!(got.properties.text(RESPONSE_TOPIC) == Some(topic), "{topic:?} arrives as {:?}", got.properties);
        }
    }
    Ok(())
}

fn the_correlation_data_arrive_unaltered(target: &Target) -> anyhow::Result<()> {
    for data in [&b""[..], b"\x00", b"\xFF\xFE\x00\x01", &[7; 1000]] {
        for got in forwarded(target, &Publish::new("", "x").property(&binary(CORRELATION_DATA, data)))? {
            ensure!(got.properties.binary(CORRELATION_DATA) == Some(data), "{} bytes are changed", data.len());
        }
    }
    Ok(())
}

fn user_properties_arrive_unaltered_and_in_order(target: &Target) -> anyhow::Result<()> {
    let pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("z", "0"), ("é", "🧵\u{FEFF}"), ("A", "2")];
    let publish =
        pairs.iter().fold(Publish::new("", "x"), |publish, (name, value)| publish.property(&user(name, value)));
    for got in forwarded(target, &publish)? {
        ensure!(got.properties.user() == pairs, "{:?} instead of {pairs:?}", got.properties.user());
    }
    Ok(())
}

fn a_content_type_that_is_no_utf_8_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for kind in [&b"\xC3\x28"[..], b"text/\xFF", b"\xED\xA0\x80", b"a\0b"] {
        ends_with(target, &binary(CONTENT_TYPE, kind), &[0x81, 0x82])?;
    }
    Ok(())
}

fn the_content_type_arrives_unaltered(target: &Target) -> anyhow::Result<()> {
    for kind in ["text/plain; charset=utf-8", "", "é/🧵", "a#+"] {
        for got in forwarded(target, &Publish::new("", "x").property(&text(CONTENT_TYPE, kind)))? {
            ensure!(got.properties.text(CONTENT_TYPE) == Some(kind), "{kind:?} arrives as {:?}", got.properties);
        }
    }
    Ok(())
}

fn a_property_twice_or_with_a_wrong_value_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let once = [
        byte(PAYLOAD_FORMAT_INDICATOR, 1),
        four_bytes(MESSAGE_EXPIRY_INTERVAL, 5),
        text(CONTENT_TYPE, "t"),
        text(RESPONSE_TOPIC, "r"),
        binary(CORRELATION_DATA, b"c"),
        two_bytes(TOPIC_ALIAS, 1),
    ];
    for property in once {
        ends_with(target, &[&property[..], &property].concat(), &[0x81, 0x82])?;
    }
    ends_with(target, &byte(PAYLOAD_FORMAT_INDICATOR, 2), &[0x81, 0x82])?;
    // Of other packets, and of none.
    for property in [byte(0x17, 1), two_bytes(0x21, 1), text(properties::REASON_STRING, "r"), variable(0x7E, 1)] {
        ends_with(target, &property, &[0x81, 0x82])?;
    }
    Ok(())
}
