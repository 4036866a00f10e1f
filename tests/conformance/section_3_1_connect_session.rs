//! Section 3.1, the session: clean start, session expiry, keep-alive, and what a new connection does to an old one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, Will, subscribe};
use selvedge_tests::raw_mqtt::PINGREQ;
use selvedge_tests::server_packet::ServerPacket;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.1 CONNECT, session";
    a_clean_start_discards_the_session => V5["MQTT-3.1.2-4", "MQTT-3.1.4-4"];
    a_clean_start_discards_the_session_of_a_connected_client => V5["MQTT-3.1.2-4", "MQTT-3.1.4-4"];
    a_session_is_resumed_with_its_subscriptions_and_messages => V5["MQTT-3.1.2-5", "MQTT-3.1.2-23"];
    a_session_is_resumed_with_what_was_in_flight => V5["MQTT-3.1.2-5", "MQTT-3.1.2-23"];
    a_session_resumed_from_a_connected_client_goes_on => V5["MQTT-3.1.2-5", "MQTT-3.1.4-4"];
    without_a_session_a_new_one_is_made => V5["MQTT-3.1.2-6"];
    a_session_without_expiry_ends_with_its_connection => V5["MQTT-3.1.2-6", "MQTT-3.1.2-23"];
    a_client_that_falls_silent_is_disconnected => V5["MQTT-3.1.2-22", "MQTT-3.2.2-22"];
    a_client_that_falls_silent_leaves_its_will => V5["MQTT-3.1.2-22", "MQTT-3.1.2-8"];
    a_client_that_sends_anything_in_time_stays => V5["MQTT-3.1.2-22", "MQTT-3.2.2-22"];
    client_identifiers_tell_sessions_apart => V5["MQTT-3.1.3-2"];
    a_second_connection_ends_the_first => V5["MQTT-3.1.4-3"];
    a_connect_is_answered_with_success => V5["MQTT-3.1.4-5"];
    what_follows_the_connect_without_waiting_is_handled => V5["MQTT-3.1.4-5", "MQTT-3.2.0-1"];
    nothing_after_a_refused_connect_is_handled => V5["MQTT-3.1.4-6"];
    a_connect_that_fails_a_check_ends_the_connection => V5["MQTT-3.1.4-2"];
}

fn a_clean_start_discards_the_session(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let lasting = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&lasting)?;
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    publisher.publish(&Publish::new(&topic, "queued").qos(1, 1))?;
    let (mut peer, connack) = target.connect_and_tell(&lasting)?;
    ensure!(!connack.session_present, "session present after a clean start");
    publisher.publish(&Publish::new(&topic, "later").qos(1, 2))?;
    // Neither the queue nor the subscription is left.
    peer.expect_nothing()
}

fn a_clean_start_discards_the_session_of_a_connected_client(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let lasting = Connect::v5(target.id("c")).lasting();
    let mut old = target.connect(&lasting)?;
    old.subscribe(&topic, 1)?;
    let (mut new, connack) = target.connect_and_tell(&lasting)?;
    ensure!(!connack.session_present, "session present after a clean start");
    new.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    new.expect_nothing()?;
    old.expect_closed(&[0x8E])
}

fn a_session_is_resumed_with_its_subscriptions_and_messages(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let lasting = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&lasting)?;
    peer.subscribe(&topic, 2)?;
    drop(peer);
    publisher.publish(&Publish::new(&topic, "one").qos(1, 1))?;
    publisher.publish(&Publish::new(&topic, "two").qos(2, 2))?;
    for round in 0..2 {
        let (mut peer, connack) = target.connect_and_tell(&lasting.clone().resuming())?;
        ensure!(connack.session_present, "round {round}: the session is gone");
        if round == 0 {
            let first = peer.expect_message("one")?;
            let second = peer.expect_message("two")?;
            ensure!((first.qos, second.qos) == (1, 2), "{first:?} {second:?}");
            peer.acknowledge(&first)?;
            peer.acknowledge(&second)?;
        }
        let payload = format!("live {round}");
        publisher.publish(&Publish::new(&topic, &payload).qos(1, 3))?;
        let live = peer.expect_message(&payload)?;
        peer.acknowledge(&live)?;
        peer.disconnect()?;
    }
    Ok(())
}

fn a_session_is_resumed_with_what_was_in_flight(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let lasting = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&lasting)?;
    peer.subscribe(&topic, 2)?;
    publisher.publish(&Publish::new(&topic, "one").qos(1, 1))?;
    publisher.publish(&Publish::new(&topic, "two").qos(2, 2))?;
    publisher.publish(&Publish::new(&topic, "three").qos(2, 3))?;
    let one = peer.expect_message("one")?;
    let two = peer.expect_message("two")?;
    let three = peer.expect_message("three")?;
    let three_id = three.packet_id.unwrap_or_default();
    peer.pubrec(three_id)?;
    peer.expect_pubrel(three_id)?;
    drop(peer);
    let mut peer = target.connect(&lasting.resuming())?;
    // 4.4: both PUBLISH again with their identifiers, and the PUBREL of the third.
    let mut seen = Vec::new();
    for _ in 0..3 {
        match peer.receive()? {
            ServerPacket::Publish(publish) => {
                ensure!(publish.dup, "{publish:?} is not marked as a duplicate");
                seen.push((String::from_utf8_lossy(&publish.payload).into_owned(), publish.packet_id));
            }
            ServerPacket::PubRel(ack) => seen.push(("PUBREL".to_owned(), Some(ack.packet_id))),
            other => anyhow::bail!("unexpected {other:?}"),
        }
    }
    seen.sort();
    let expected =
        [("PUBREL".to_owned(), Some(three_id)), ("one".to_owned(), one.packet_id), ("two".to_owned(), two.packet_id)];
    ensure!(seen == expected, "{seen:?} instead of {expected:?}");
    peer.expect_nothing()
}

fn a_session_resumed_from_a_connected_client_goes_on(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let lasting = Connect::v5(target.id("c")).lasting();
    let mut old = target.connect(&lasting)?;
    old.subscribe(&topic, 1)?;
    let (mut new, connack) = target.connect_and_tell(&lasting.resuming())?;
    ensure!(connack.session_present, "the session of the connected client is not there");
    new.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    new.expect_message("x")?;
    old.expect_closed(&[0x8E])
}

fn without_a_session_a_new_one_is_made(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let lasting = Connect::v5(target.id("c")).resuming().lasting();
    let (mut peer, connack) = target.connect_and_tell(&lasting)?;
    ensure!(!connack.session_present, "a session that nobody made is present");
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    let (mut peer, connack) = target.connect_and_tell(&lasting)?;
    ensure!(connack.session_present, "the new session was not kept");
    peer.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    peer.expect_message("x")?;
    Ok(())
}

fn a_session_without_expiry_ends_with_its_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    for connect in [Connect::v5(target.id("c")), Connect::v5(target.id("c")).session_expiry(0)] {
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        peer.disconnect()?;
        let (mut peer, connack) = target.connect_and_tell(&connect.resuming())?;
        ensure!(!connack.session_present, "the session outlived its connection");
        peer.publish(&Publish::new(&topic, "x").qos(1, 1))?;
        peer.expect_nothing()?;
        peer.disconnect()?;
    }
    Ok(())
}

fn a_client_that_falls_silent_is_disconnected(target: &Target) -> anyhow::Result<()> {
    let before = Instant::now();
    let mut peer = target.connect(&Connect::v5(target.id("c")).keep_alive(1))?;
    // 0x8D: Keep Alive timeout
    peer.expect_closed(&[0x8D])?;
    let silence = before.elapsed();
    // The product counts whole milliseconds, other brokers whole seconds.
    let least = if target.is_product() { Duration::from_millis(1499) } else { Duration::from_secs(1) };
    ensure!(silence >= least, "closed after {silence:?} already");
    Ok(())
}

fn a_client_that_falls_silent_leaves_its_will(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    let will = Will::new(&topic, b"silence");
    let mut peer = target.connect(&Connect::v5(target.id("c")).keep_alive(1).will(will))?;
    peer.expect_closed(&[0x8D])?;
    watcher.expect_message("silence")?;
    Ok(())
}

fn a_client_that_sends_anything_in_time_stays(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    // 3 s of silence are allowed; each packet comes well before, and all of them take longer.
    let mut pinging = target.connect(&Connect::v5(target.id("ping")).keep_alive(2))?;
    let mut publishing = target.connect(&Connect::v5(target.id("publish")).keep_alive(2))?;
    let mut without = target.v5("without")?;
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1100));
        pinging.send(&PINGREQ)?;
        publishing.send_publish(&Publish::new(&topic, "x"))?;
    }
    for _ in 0..3 {
        ensure!(pinging.receive()? == ServerPacket::PingResp, "a PINGREQ is not answered");
    }
    publishing.expect_nothing()?;
    // Keep-alive 0 turns it off.
    without.expect_nothing()
}

fn client_identifiers_tell_sessions_apart(target: &Target) -> anyhow::Result<()> {
    // Alike but for case, length, and a character that looks the same.
    let names = ["client", "Client", "clien", "client1", "cl\u{456}ent"];
    let mut first = Vec::new();
    for name in names {
        let mut peer = target.connect(&Connect::v5(target.id(name)).lasting())?;
        peer.subscribe(&target.topic(name), 0)?;
        first.push(peer);
    }
    for (peer, name) in first.iter_mut().zip(names) {
        peer.publish(&Publish::new(&target.topic(name), name))?;
        peer.expect_message(name)?;
        peer.expect_nothing()?;
    }
    for (peer, name) in first.into_iter().zip(names) {
        peer.disconnect()?;
        let resumed = Connect::v5(target.id(name)).resuming().lasting();
        let (mut peer, connack) = target.connect_and_tell(&resumed)?;
        ensure!(connack.session_present, "the session of {name} is gone");
        peer.publish(&Publish::new(&target.topic(name), "own"))?;
        peer.expect_message("own")?;
    }
    Ok(())
}

fn a_second_connection_ends_the_first(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("c"));
    let mut first = target.connect(&connect)?;
    let mut second = target.connect(&connect)?;
    first.expect_closed(&[0x8E])?;
    // The second one is not disturbed, and a client of 3.1.1 counts as well, in both roles.
    second.subscribe(&topic, 0)?;
    let mut third = target.connect(&Connect::v311(target.id("c")))?;
    second.expect_closed(&[0x8E])?;
    let mut fourth = target.connect(&connect)?;
    third.expect_silent_end()?;
    fourth.expect_nothing()
}

fn a_connect_is_answered_with_success(target: &Target) -> anyhow::Result<()> {
    let connects = [
        Connect::v5(target.id("a")),
        Connect::v5(target.id("b")).resuming(),
        Connect::v5(target.id("c")).lasting().keep_alive(60).receive_maximum(1).topic_alias_max(3),
        Connect::v5(target.id("d")).packet_bytes_max(1000).problem_information(false).response_information(false),
        Connect::v5(target.id("e")).will(Will::new(&target.topic("t"), b"").qos(2).retained().delay(5)),
    ];
    for connect in connects {
        let (mut peer, connack) = target.try_connect(&connect)?;
        ensure!(connack.reason == 0, "{connect:?} is refused with {:#04x}", connack.reason);
        peer.expect_nothing()?;
        peer.disconnect()?;
    }
    Ok(())
}

fn what_follows_the_connect_without_waiting_is_handled(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("c"));
    let mut peer = target.open()?;
    let packets = [
        connect.bytes(),
        subscribe(Version::V5, 1, &[], &[(&topic, 0)]),
        Publish::new(&topic, "early").bytes(Version::V5),
        PINGREQ.to_vec(),
    ];
    peer.send(&packets.concat())?;
    // The CONNACK is the first of all.
    let connack = peer.expect_connack()?;
    ensure!(connack.reason == 0, "refused with {:#04x}", connack.reason);
    peer.expect_suback(1)?;
    peer.expect_message("early")?;
    ensure!(peer.receive()? == ServerPacket::PingResp, "no PINGRESP");
    Ok(())
}

fn nothing_after_a_refused_connect_is_handled(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    let publish = Publish::new(&topic, "too late").retained().bytes(Version::V5);
    let unknown_method = Connect::v5(target.id("c")).authentication("no-such-method", None);
    target.ends_unconnected("a refusal", &[unknown_method.bytes(), publish.clone()].concat(), &[0x8C, 0x87])?;
    let mut malformed = Connect::v5(target.id("c")).bytes();
    malformed[9] |= 1;
    target.ends_unconnected("a malformed one", &[malformed, publish.clone()].concat(), &[0x81])?;
    let other = Connect::v5(target.id("c"));
    let mut peer = target.open()?;
    peer.send(&[other.bytes_with(b"MQTT", 9, other.flags()), publish].concat())?;
    peer.bytes_until_end()?;
    watcher.expect_nothing()?;
    let mut later = target.v5("later")?;
    later.subscribe(&topic, 0)?;
    later.expect_nothing()
}

fn a_connect_that_fails_a_check_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c"));
    // 4.12: a method that the broker does not have.
    let unknown = connect.clone().authentication("no-such-method", Some(b"x"));
    target.ends_unconnected("an unknown method", &unknown.bytes(), &[0x8C, 0x87])?;
    if target.is_product() {
        // A will to a topic that only the node itself writes to.
        let will = connect.will(Will::new("$SYS/broker/version", b"x"));
        let (mut peer, connack) = target.try_connect(&will)?;
        ensure!(connack.reason == 0x87, "answered with {:#04x}", connack.reason);
        peer.expect_silent_end()?;
    }
    Ok(())
}
