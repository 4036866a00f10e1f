//! Section 3.1.2.11: what a client asks of the server with the properties of its CONNECT.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, subscribe, unsubscribe, user};
use selvedge_tests::server_packet::properties::{
    REASON_STRING, RESPONSE_INFORMATION, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM,
};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.1 CONNECT, properties";
    a_message_larger_than_the_client_takes_is_not_sent => V5["MQTT-3.1.2-24", "MQTT-3.1.2-25"];
    the_largest_message_that_the_client_takes_is_sent => V5["MQTT-3.1.2-24"];
    a_message_too_large_to_send_counts_as_delivered => V5["MQTT-3.1.2-25"];
    a_retained_or_queued_message_too_large_to_send_is_passed_over => V5["MQTT-3.1.2-24", "MQTT-3.1.2-25"];
    topic_aliases_stay_within_what_the_client_allows => V5["MQTT-3.1.2-26", "MQTT-3.3.2-11"];
    no_topic_alias_is_sent_to_a_client_that_allows_none => V5["MQTT-3.1.2-27"];
    response_information_is_not_sent_unasked => V5["MQTT-3.1.2-28"];
    reasons_in_words_are_kept_from_a_client_that_does_not_want_them => V5["MQTT-3.1.2-29"];
    user_properties_of_messages_reach_a_client_that_wants_no_reasons_in_words => V5["MQTT-3.1.2-29"];
}

/// Bytes that a server may need for its CONNACK.
const CONNACK_ROOM: u32 = 100;

/// A payload with which a QoS 1 PUBLISH to `topic` has `size` bytes; 5 for the fixed header of fewer than 128 bytes, the
/// lengths, the identifier and no properties.
fn payload_for(topic: &str, size: u32) -> Vec<u8> {
    let head = 2 + 2 + topic.len() + 2 + 1;
    vec![b'x'; size as usize - head]
}

fn a_message_larger_than_the_client_takes_is_not_sent(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).packet_bytes_max(CONNACK_ROOM))?;
    peer.subscribe(&topic, 2)?;
    for qos in 0..=2 {
        publisher.publish(&Publish::new(&topic, [b'x'; 1000]).qos(qos, 1))?;
        peer.expect_nothing()?;
        // Properties count as well.
        let pairs = (0..20).fold(Publish::new(&topic, ""), |publish, _| publish.property(&user("name", "value")));
        publisher.publish(&pairs.qos(qos, 1))?;
        peer.expect_nothing()?;
        publisher.publish(&Publish::new(&topic, "small").qos(qos, 1))?;
        let small = peer.expect_message("small")?;
        peer.acknowledge(&small)?;
    }
    Ok(())
}

fn the_largest_message_that_the_client_takes_is_sent(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).packet_bytes_max(CONNACK_ROOM))?;
    peer.subscribe(&topic, 1)?;
    let fits = payload_for(&topic, CONNACK_ROOM);
    publisher.publish(&Publish::new(&topic, payload_for(&topic, CONNACK_ROOM + 1)).qos(1, 1))?;
    peer.expect_nothing()?;
    publisher.publish(&Publish::new(&topic, &fits).qos(1, 1))?;
    peer.expect_message(&fits)?;
    Ok(())
}

fn a_message_too_large_to_send_counts_as_delivered(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let connect = Connect::v5(target.id("c")).packet_bytes_max(CONNACK_ROOM).receive_maximum(1).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    let mut other = target.v5("other")?;
    other.subscribe(&topic, 0)?;
    // It takes no place in the window of one.
    for qos in [1, 2] {
        publisher.publish(&Publish::new(&topic, [b'x'; 1000]).qos(qos, 1))?;
    }
    publisher.publish(&Publish::new(&topic, "small").qos(1, 1))?;
    let small = peer.expect_message("small")?;
    peer.acknowledge(&small)?;
    peer.expect_nothing()?;
    // It reached the others, and does not come back with the session.
    other.expect_message([b'x'; 1000])?;
    other.expect_message([b'x'; 1000])?;
    peer.disconnect()?;
    let mut peer = target.connect(&Connect::v5(target.id("c")).resuming().lasting())?;
    peer.expect_nothing()
}

fn a_retained_or_queued_message_too_large_to_send_is_passed_over(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let connect = Connect::v5(target.id("c")).lasting().packet_bytes_max(CONNACK_ROOM);
    publisher.publish(&Publish::new(&topic, [b'x'; 1000]).retained())?;
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 1)?;
    peer.expect_nothing()?;
    peer.disconnect()?;
    publisher.publish(&Publish::new(&topic, [b'y'; 1000]).qos(1, 1))?;
    publisher.publish(&Publish::new(&topic, "small").qos(1, 2))?;
    let mut peer = target.connect(&connect.resuming())?;
    peer.expect_message("small")?;
    publisher.publish(&Publish::new(&topic, "").retained())
}

fn topic_aliases_stay_within_what_the_client_allows(target: &Target) -> anyhow::Result<()> {
    for maximum in [1, 2, 7] {
        let mut peer = target.connect(&Connect::v5(target.id("c")).topic_alias_max(maximum))?;
        peer.subscribe(&target.topic("#"), 1)?;
        // More topics than aliases, again and again; the peer checks each alias, and what stands behind it.
        for round in 0..4 {
            for number in 0..10 {
                let topic = target.topic(&format!("{number}"));
                peer.publish(&Publish::new(&topic, format!("{round}")).qos(round % 2, 1))?;
                let got = peer.expect_message(format!("{round}"))?;
                ensure!(got.topic == topic, "{topic} arrives as {}", got.topic);
                peer.acknowledge(&got)?;
            }
        }
        peer.disconnect()?;
    }
    Ok(())
}

fn no_topic_alias_is_sent_to_a_client_that_allows_none(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("a/long/topic/name/that/is/worth/an/alias");
    for connect in [Connect::v5(target.id("c")), Connect::v5(target.id("c")).topic_alias_max(0)] {
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        // An alias of the publisher's is its own, where the server takes one.
        let (mut publisher, connack) = target.connect_and_tell(&Connect::v5(target.id("p")))?;
        let aliases = connack.properties.number(TOPIC_ALIAS_MAXIMUM).unwrap_or_default() > 0;
        for number in 0..5 {
            let mut publish = Publish::new(&topic, number.to_string()).qos(1, 1);
            if aliases {
                publish = publish.property(&selvedge_tests::client_packet::two_bytes(TOPIC_ALIAS, 1));
            }
            publisher.publish(&publish)?;
            let got = peer.expect_message(number.to_string())?;
            ensure!(!got.properties.has(TOPIC_ALIAS), "{got:?}");
            peer.acknowledge(&got)?;
        }
        peer.disconnect()?;
    }
    Ok(())
}

fn response_information_is_not_sent_unasked(target: &Target) -> anyhow::Result<()> {
    for connect in [Connect::v5(target.id("a")), Connect::v5(target.id("b")).response_information(false)] {
        let (_peer, connack) = target.connect_and_tell(&connect)?;
        ensure!(!connack.properties.has(RESPONSE_INFORMATION), "{connack:?}");
    }
    // Asked for, it may be sent.
    target.connect(&Connect::v5(target.id("c")).response_information(true))?.expect_nothing()
}

fn reasons_in_words_are_kept_from_a_client_that_does_not_want_them(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).problem_information(false);
    let mut peer = target.connect(&connect)?;
    // What a server might want to explain; the peer checks that no answer has words.
    let refused = "$SYS/broker/version";
    peer.send_publish(&Publish::new(refused, "x").qos(1, 1))?;
    peer.expect_puback(1)?;
    let second = Publish::new(refused, "x").qos(2, 2);
    peer.send_publish(&second)?;
    let pubrec = peer.expect_pubrec(2)?;
    ensure!(!pubrec.properties.has(REASON_STRING), "{pubrec:?}");
    peer.send(&selvedge_tests::client_packet::ack(0x62, 77))?;
    peer.expect_pubcomp(77)?;
    let deep = format!("{}x", "a/".repeat(150));
    peer.send(&subscribe(Version::V5, 3, &[], &[(&deep, 0), ("$share/g/x", 0), (&target.topic("t"), 0)]))?;
    peer.expect_suback(3)?;
    peer.send(&unsubscribe(Version::V5, 4, &[], &["not/there", &target.topic("t")]))?;
    peer.expect_unsuback(4)?;
    // A CONNACK that refuses, and a DISCONNECT, may say why.
    peer.send_publish(&Publish::new("a", "x").qos(3, 1))?;
    peer.expect_closed(&[0x81])
}

fn user_properties_of_messages_reach_a_client_that_wants_no_reasons_in_words(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.connect(&Connect::v5(target.id("c")).problem_information(false))?;
    peer.subscribe(&topic, 1)?;
    peer.publish(&Publish::new(&topic, "x").qos(1, 1).property(&user("k", "v")))?;
    let got = peer.expect_message("x")?;
    ensure!(got.properties.user() == [("k", "v")], "{got:?}");
    Ok(())
}
