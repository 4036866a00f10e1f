//! Section 3.2: CONNACK, and what its properties promise.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, Will, subscribe, two_bytes};
use selvedge_tests::raw_mqtt::packet;
use selvedge_tests::server_packet::ConnAck;
use selvedge_tests::server_packet::properties::{
    ASSIGNED_CLIENT_IDENTIFIER, MAXIMUM_PACKET_SIZE, MAXIMUM_QOS, RETAIN_AVAILABLE, SERVER_KEEP_ALIVE, TOPIC_ALIAS,
    TOPIC_ALIAS_MAXIMUM,
};

use crate::registry::section;
use crate::target::Target;

section! {
    "3.2 CONNACK";
    the_connack_comes_before_the_messages_of_a_resumed_session => V5["MQTT-3.2.0-1"];
    there_is_one_connack_in_a_connection => V5["MQTT-3.2.0-2"];
    the_reserved_acknowledge_flags_are_zero => V5["MQTT-3.2.2-1"];
    a_clean_start_is_answered_without_session_present => V5["MQTT-3.2.2-2"];
    session_present_says_whether_there_was_a_session => V5["MQTT-3.2.2-3"];
    a_refusal_says_that_no_session_is_present => V5["MQTT-3.2.2-6"];
    the_connection_is_closed_after_a_refusal => V5["MQTT-3.2.2-7"];
    a_refusal_has_a_reason_code_of_connack => V5["MQTT-3.2.2-8"];
    a_server_without_maximum_qos_takes_every_qos => V5["MQTT-3.2.2-9"];
    a_server_takes_subscriptions_of_every_qos => V5["MQTT-3.2.2-10"];
    a_server_without_maximum_qos_takes_a_will_of_every_qos => V5["MQTT-3.2.2-12"];
    a_server_that_retains_takes_a_retained_will => V5["MQTT-3.2.2-13"];
    a_packet_larger_than_the_server_takes_ends_the_connection => V5["MQTT-3.2.2-15"];
    assigned_client_identifiers_are_new => V5["MQTT-3.2.2-16"];
    a_topic_alias_over_the_maximum_of_the_server_ends_the_connection => V5["MQTT-3.2.2-17"];
    a_topic_alias_ends_the_connection_where_the_server_takes_none => V5["MQTT-3.2.2-18"];
    words_of_a_refusal_keep_to_the_packet_size_of_the_client => V5["MQTT-3.2.2-19", "MQTT-3.2.2-20"];
    a_refusal_that_is_too_large_for_the_client_is_not_sent => V5["MQTT-3.1.2-24"];
    a_keep_alive_of_the_server_is_told_and_kept => V5["MQTT-3.2.2-21"];
    without_a_keep_alive_of_the_server_that_of_the_client_holds => V5["MQTT-3.2.2-22"];
}

fn the_connack_comes_before_the_messages_of_a_resumed_session(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let connect = Connect::v5(target.id("c")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    publisher.publish(&Publish::new(&topic, "in flight").qos(1, 1))?;
    peer.expect_message("in flight")?;
    drop(peer);
    publisher.publish(&Publish::new(&topic, "queued").qos(2, 1))?;
    // That the first packet is the CONNACK is checked with every connection; here others wait to be sent.
    let mut peer = target.connect(&connect.resuming())?;
    peer.expect_message("in flight")?;
    peer.expect_message("queued")?;
    Ok(())
}

fn there_is_one_connack_in_a_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 1)?;
    peer.publish(&Publish::new(&topic, "x").qos(1, 1))?;
    peer.expect_message("x")?;
    peer.expect_nothing()?;
    // A second CONNECT does not get a second CONNACK; the peer would object to it.
    peer.send(&Connect::v5(target.id("c")).bytes())?;
    peer.expect_closed(&[0x82])
}

fn the_reserved_acknowledge_flags_are_zero(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).lasting().resuming();
    for expected in [0, 1] {
        let mut peer = target.open()?;
        peer.send(&[connect.bytes(), vec![0xE0, 0]].concat())?;
        let answer = peer.bytes_until_end()?;
        ensure!(answer.first() == Some(&0x20), "{answer:02x?}");
        ensure!(answer.get(2) == Some(&expected), "acknowledge flags: {answer:02x?}");
    }
    Ok(())
}

fn a_clean_start_is_answered_without_session_present(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).lasting();
    for round in 0..3 {
        let (peer, connack) = target.connect_and_tell(&connect)?;
        ensure!(!connack.session_present, "round {round}: a session is present after a clean start");
        peer.disconnect()?;
    }
    Ok(())
}

fn session_present_says_whether_there_was_a_session(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).resuming();
    for (round, (lasting, expected)) in
        [(false, false), (false, false), (true, false), (true, true), (false, true), (false, false)].iter().enumerate()
    {
        let connect = if *lasting { connect.clone().lasting() } else { connect.clone().session_expiry(0) };
        let (peer, connack) = target.connect_and_tell(&connect)?;
        ensure!(connack.session_present == *expected, "round {round}: session present {}", connack.session_present);
        peer.disconnect()?;
    }
    Ok(())
}

fn a_refusal_says_that_no_session_is_present(target: &Target) -> anyhow::Result<()> {
    let connect = Connect::v5(target.id("c")).lasting();
    target.connect(&connect)?.disconnect()?;
    let refused = connect.clone().resuming().authentication("no-such-method", None);
    let (mut peer, connack) = target.try_connect(&refused)?;
    ensure!(connack.reason >= 0x80, "accepted: {connack:?}");
    // The peer checks it, too.
    ensure!(!connack.session_present, "{connack:?}");
    peer.expect_silent_end()?;
    // The session is still there.
    let (_peer, connack) = target.connect_and_tell(&connect.resuming())?;
    ensure!(connack.session_present, "the session is gone after a refused CONNECT");
    Ok(())
}

/// CONNECT packets that a server refuses with a reason.
fn refused(target: &Target) -> Vec<(&'static str, Vec<u8>)> {
    let connect = Connect::v5(target.id("c"));
    let unknown = connect.clone().authentication("no-such-method", None).bytes();
    let version = connect.bytes_with(b"MQTT", 6, connect.flags());
    let reserved = connect.bytes_with(b"MQTT", 5, connect.flags() | 1);
    let will = connect.clone().will(Will::new("a/#", b"x")).bytes();
    let maximum = connect.property(&two_bytes(0x21, 0)).bytes();
    vec![
        ("an unknown method", unknown),
        ("an unknown version", version),
        ("a reserved flag", reserved),
        ("a will topic with a wildcard", will),
        ("receive maximum 0", maximum),
    ]
}

fn the_connection_is_closed_after_a_refusal(target: &Target) -> anyhow::Result<()> {
    for (what, bytes) in refused(target) {
        let mut peer = target.open()?;
        peer.send(&bytes)?;
        peer.bytes_until_end().with_context(|| format!("after {what}"))?;
    }
    Ok(())
}

fn a_refusal_has_a_reason_code_of_connack(target: &Target) -> anyhow::Result<()> {
    // The answer to an unknown version may have the form of another.
    for (what, bytes) in refused(target).into_iter().filter(|(what, _)| *what != "an unknown version") {
        let mut peer = target.open()?;
        peer.send(&bytes)?;
        // The peer accepts no reason code that CONNACK does not have.
        peer.expect_closed(&[0x81, 0x82, 0x87, 0x8C, 0x90]).with_context(|| format!("after {what}"))?;
    }
    Ok(())
}

/// Connects and gives the CONNACK, if it does not limit the QoS.
fn without_maximum_qos(target: &Target, connect: &Connect) -> anyhow::Result<(selvedge_tests::peer::Peer, ConnAck)> {
    let (peer, connack) = target.connect_and_tell(connect)?;
    match connack.properties.number(MAXIMUM_QOS) {
        Some(maximum) => Err(target.skip(&format!("the broker takes QoS 0 to {maximum} only, and says so"))),
        None => Ok((peer, connack)),
    }
}

fn a_server_without_maximum_qos_takes_every_qos(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let (mut peer, _) = without_maximum_qos(target, &Connect::v5(target.id("c")))?;
    peer.subscribe(&topic, 2)?;
    for qos in 0..=2 {
        peer.publish(&Publish::new(&topic, [qos]).qos(qos, 1))?;
        let got = peer.expect_message([qos])?;
        ensure!(got.qos == qos, "QoS {qos} arrives as {}", got.qos);
        peer.acknowledge(&got)?;
    }
    Ok(())
}

fn a_server_takes_subscriptions_of_every_qos(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("c")?;
    let topics = [target.topic("0"), target.topic("1"), target.topic("2")];
    let filters: Vec<(&str, u8)> = topics.iter().map(String::as_str).zip(0..).collect();
    peer.send(&subscribe(Version::V5, 1, &[], &filters))?;
    let granted = peer.expect_suback(1)?.reasons;
    ensure!(granted.iter().zip(0..).all(|(granted, wanted)| *granted <= wanted), "granted {granted:02x?}");
    Ok(())
}

fn a_server_without_maximum_qos_takes_a_will_of_every_qos(target: &Target) -> anyhow::Result<()> {
    for qos in 0..=2 {
        let connect = Connect::v5(target.id("c")).will(Will::new(&target.topic("t"), b"x").qos(qos));
        let (peer, _) = without_maximum_qos(target, &connect)?;
        peer.disconnect()?;
    }
    Ok(())
}

fn a_server_that_retains_takes_a_retained_will(target: &Target) -> anyhow::Result<()> {
    let (peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")))?;
    peer.disconnect()?;
    let will = Connect::v5(target.id("c")).will(Will::new(&target.topic("t"), b"x").retained());
    let (mut peer, answer) = target.try_connect(&will)?;
    if connack.properties.number(RETAIN_AVAILABLE) == Some(0) {
        ensure!(answer.reason == 0x9A, "a retained will is answered with {:#04x}", answer.reason);
        return peer.expect_silent_end();
    }
    ensure!(answer.reason == 0, "a retained will is answered with {:#04x}", answer.reason);
    peer.disconnect()
}

fn a_packet_larger_than_the_server_takes_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")))?;
    let Some(maximum) = connack.properties.number(MAXIMUM_PACKET_SIZE) else {
        return Err(target.skip("the broker takes packets of every size"));
    };
    // The largest that it takes: 4 bytes of fixed header (5 from 2 MiB), the topic with its length, no properties.
    let header = if maximum > 2 * 1024 * 1024 { 5 } else { 4 };
    let largest = vec![b'x'; maximum as usize - header - 2 - topic.len() - 1];
    let publish = Publish::new(&topic, &largest).qos(0, 0).bytes(Version::V5);
    ensure!(publish.len() == maximum as usize, "the test made {} bytes", publish.len());
    peer.send(&publish)?;
    peer.expect_nothing()?;
    // One byte more; its fixed header is enough to know.
    let larger = packet(0x30, &vec![0; maximum as usize - header + 1]);
    peer.send(&larger[..header])?;
    peer.expect_closed(&[0x95])
}

fn assigned_client_identifiers_are_new(target: &Target) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (peer, connack) = target.try_connect(&Connect::v5("").lasting())?;
        if connack.reason == 0x85 && !target.is_product() {
            return Err(target.skip("the broker takes no empty client identifiers, as it may"));
        }
        ensure!(!connack.session_present, "a session is present for a new client identifier");
        let id = connack.properties.text(ASSIGNED_CLIENT_IDENTIFIER).context("no identifier is assigned")?.to_owned();
        ensure!(!id.is_empty() && !seen.contains(&id), "{id:?} is assigned twice");
        seen.push(id);
        // Half of them leave, and their sessions stay.
        if seen.len() % 2 == 0 { peer.disconnect()? } else { peers.push(peer) }
    }
    for peer in &mut peers {
        peer.expect_nothing()?;
    }
    Ok(())
}

fn a_topic_alias_over_the_maximum_of_the_server_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")))?;
    let maximum = u16::try_from(connack.properties.number(TOPIC_ALIAS_MAXIMUM).unwrap_or_default())?;
    if maximum > 0 {
        peer.publish(&Publish::new(&topic, "x").property(&two_bytes(TOPIC_ALIAS, maximum)))?;
    }
    let Some(over) = maximum.checked_add(1) else {
        return Err(target.skip("the broker takes every topic alias"));
    };
    peer.send_publish(&Publish::new(&topic, "x").property(&two_bytes(TOPIC_ALIAS, over)))?;
    peer.expect_closed(&[0x94])
}

fn a_topic_alias_ends_the_connection_where_the_server_takes_none(target: &Target) -> anyhow::Result<()> {
    let target = target.configured("[limits]\ntopic_alias_max = 0\n")?;
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")))?;
    ensure!(connack.properties.number(TOPIC_ALIAS_MAXIMUM).unwrap_or_default() == 0, "{connack:?}");
    peer.send_publish(&Publish::new(&target.topic("t"), "x").property(&two_bytes(TOPIC_ALIAS, 1)))?;
    peer.expect_closed(&[0x94])
}

fn words_of_a_refusal_keep_to_the_packet_size_of_the_client(target: &Target) -> anyhow::Result<()> {
    // A CONNACK without any is of 5 bytes.
    refuses_within(target, &[5, 6, 8, 20, 40, 50, 60, 100, 1000])
}

fn a_refusal_that_is_too_large_for_the_client_is_not_sent(target: &Target) -> anyhow::Result<()> {
    refuses_within(target, &[1, 2, 4])
}

fn refuses_within(target: &Target, sizes: &[u32]) -> anyhow::Result<()> {
    for &size in sizes {
        let connect = Connect::v5(target.id("c")).packet_bytes_max(size).authentication("no-such-method", None);
        let mut peer = target.open()?;
        // The peer checks the size of the answer, which may be none.
        peer.send_connect(&connect)?;
        peer.expect_closed(&[0x8C, 0x87]).with_context(|| format!("with packets of {size} bytes"))?;
    }
    Ok(())
}

fn a_keep_alive_of_the_server_is_told_and_kept(target: &Target) -> anyhow::Result<()> {
    let target = target.configured("[limits]\nkeep_alive_max = \"1s\"\n")?;
    let before = Instant::now();
    for wanted in [0, 100] {
        let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")).keep_alive(wanted))?;
        let told = connack.properties.number(SERVER_KEEP_ALIVE);
        ensure!(told == Some(1), "keep-alive {wanted} is answered with {told:?}");
        if wanted == 100 {
            peer.expect_closed(&[0x8D])?;
            ensure!(before.elapsed() >= Duration::from_millis(1499), "closed after {:?}", before.elapsed());
        }
    }
    // What is within the limit stays as it is.
    let (_peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")).keep_alive(1))?;
    ensure!(!connack.properties.has(SERVER_KEEP_ALIVE), "{connack:?}");
    Ok(())
}

fn without_a_keep_alive_of_the_server_that_of_the_client_holds(target: &Target) -> anyhow::Result<()> {
    let before = Instant::now();
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("c")).keep_alive(1))?;
    if let Some(other) = connack.properties.number(SERVER_KEEP_ALIVE) {
        return Err(target.skip(&format!("the broker wants a keep-alive of {other} s")));
    }
    peer.expect_closed(&[0x8D])?;
    ensure!(before.elapsed() >= Duration::from_millis(999), "closed after {:?}", before.elapsed());
    Ok(())
}
