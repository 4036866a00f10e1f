//! Section 3.1 of MQTT 3.1.1, with 1.5 and 2 as far as CONNECT shows them.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, Will, data, packet, subscribe};
use selvedge_tests::peer::Peer;

use crate::registry::section;
use crate::target::Target;

section! {
    "3.1 CONNECT of 3.1.1";
    the_first_packet_has_to_be_connect => V311["MQTT-3.1.0-1"];
    a_second_connect_ends_the_connection => V311["MQTT-3.1.0-2"];
    another_protocol_name_ends_the_connection => V311["MQTT-3.1.2-1"];
    a_level_below_4_is_answered_with_1_and_the_end => V311["MQTT-3.1.2-2"];
    the_reserved_connect_flag_ends_the_connection => V311["MQTT-3.1.2-3"];
    without_clean_session_the_session_goes_on => V311["MQTT-3.1.2-4", "MQTT-3.1.4-3"];
    with_clean_session_nothing_is_left_before_and_after => V311["MQTT-3.1.2-6", "MQTT-3.1.4-3"];
    retained_messages_stay_when_the_session_ends => V311["MQTT-3.1.2-7"];
    a_will_is_published_when_the_connection_is_lost => V311["MQTT-3.1.2-8", "MQTT-3.1.2-9"];
    a_will_without_its_fields_ends_the_connection => V311["MQTT-3.1.2-9"];
    a_will_is_published_once => V311["MQTT-3.1.2-10"];
    will_options_without_a_will_end_the_connection => V311["MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-15"];
    without_a_will_nothing_is_published => V311["MQTT-3.1.2-12"];
    a_will_has_the_qos_that_it_asks_for_and_never_3 => V311["MQTT-3.1.2-14"];
    a_will_is_retained_if_it_asks_for_it => V311["MQTT-3.1.2-16", "MQTT-3.1.2-17"];
    user_name_and_password_are_there_as_the_flags_say =>
        V311["MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21"];
    a_password_without_a_user_name_ends_the_connection => V311["MQTT-3.1.2-22"];
    a_silent_client_is_disconnected_and_leaves_its_will => V311["MQTT-3.1.2-24"];
    a_client_that_sends_anything_in_time_stays => V311["MQTT-3.1.2-24"];
    the_fields_of_the_payload_stand_in_their_order => V311["MQTT-3.1.3-1"];
    client_identifiers_tell_sessions_apart => V311["MQTT-3.1.3-2"];
    the_client_identifier_has_to_be_there_and_utf_8 => V311["MQTT-3.1.3-3", "MQTT-3.1.3-4", "MQTT-1.5.3-1"];
    client_identifiers_of_1_to_23_letters_and_digits_are_taken => V311["MQTT-3.1.3-5"];
    an_empty_client_identifier_stands_for_one_of_its_own => V311["MQTT-3.1.3-6"];
    an_empty_client_identifier_without_clean_session_is_refused_with_2 => V311["MQTT-3.1.3-8"];
    a_client_identifier_that_is_not_taken_is_refused_with_2 => V311["MQTT-3.1.3-9"];
    will_topic_and_user_name_have_to_be_utf_8 => V311["MQTT-3.1.3-10", "MQTT-3.1.3-11"];
    a_connect_that_does_not_match_its_format_gets_no_connack => V311["MQTT-3.1.4-1", "MQTT-3.2.2-6"];
    a_second_connection_ends_the_first => V311["MQTT-3.1.4-2"];
    a_connect_is_answered_with_zero => V311["MQTT-3.1.4-4"];
    nothing_after_a_refused_connect_is_handled => V311["MQTT-3.1.4-5"];
}

/// Sends bytes as the first of a connection, which ends without a word.
fn expect_silent_refusal(target: &Target, bytes: &[u8]) -> anyhow::Result<()> {
    let mut peer = target.open_as(Version::V311)?;
    peer.send(bytes)?;
    anyhow::Context::with_context(peer.expect_silent_end(), || format!("after {bytes:02x?}"))
}

fn connect(target: &Target, name: &str) -> Connect {
    Connect::v311(target.id(name))
}

/// Ends a connection without DISCONNECT, and waits until the broker has seen it.
fn lose(target: &Target, peer: Peer) -> anyhow::Result<()> {
    drop(peer);
    target.v311("after")?.disconnect()
}

fn the_first_packet_has_to_be_connect(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 0)?;
    let first = [
        Publish::new(&topic, "x").bytes(Version::V311),
        subscribe(Version::V311, 1, &[], &[(&topic, 0)]),
        vec![0xC0, 0x00],
        vec![0xE0, 0x00],
        vec![0x20, 0x02, 0x00, 0x00],
    ];
    for bytes in first {
        expect_silent_refusal(target, &[bytes, connect(target, "a").bytes()].concat())?;
    }
    watcher.expect_nothing()
}

fn a_second_connect_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for again in [connect(target, "a"), connect(target, "b"), Connect::v5(target.id("a"))] {
        let mut peer = target.v311("a")?;
        peer.send(&again.bytes())?;
        peer.expect_silent_end()?;
    }
    Ok(())
}

fn another_protocol_name_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for name in [&b"MQTt"[..], b"MQT", b"MQTTT", b"", b"HTTP"] {
        let mut peer = target.open_as(Version::V5)?;
        peer.send(&connect(target, "a").bytes_with(name, 4, 0x02))?;
        // It may show that it is an MQTT server, in the words of MQTT 5.
        peer.expect_closed(&[0x84, 0x81])?;
    }
    Ok(())
}

fn a_level_below_4_is_answered_with_1_and_the_end(target: &Target) -> anyhow::Result<()> {
    for level in [0, 1, 2, 3] {
        let mut peer = target.open_as(Version::V311)?;
        peer.send(&connect(target, "a").bytes_with(b"MQTT", level, 0x02))?;
        let answer = peer.expect_connack()?;
        ensure!(answer.reason == 1, "level {level} is answered with {answer:?}");
        peer.expect_silent_end()?;
    }
    Ok(())
}

fn the_reserved_connect_flag_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    expect_silent_refusal(target, &connect(target, "a").bytes_with(b"MQTT", 4, 0x03))
}

fn without_clean_session_the_session_goes_on(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let lasting = connect(target, "a").lasting();
    let (mut peer, connack) = target.connect_and_tell(&lasting)?;
    ensure!(!connack.session_present, "a session that was never there is present");
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    for round in 0..2 {
        let mut publisher = target.v311("p")?;
        publisher.publish(&Publish::new(&topic, round.to_string()).qos(1, 1))?;
        let (mut peer, connack) = target.connect_and_tell(&lasting)?;
        ensure!(connack.session_present, "the session is gone");
        let payloads = peer.payloads()?;
        ensure!(payloads == [round.to_string()], "{payloads:?}");
        lose(target, peer)?;
    }
    Ok(())
}

fn with_clean_session_nothing_is_left_before_and_after(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v311("p")?;
    let mut peer = target.connect(&connect(target, "a").lasting())?;
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    publisher.publish(&Publish::new(&topic, "waiting").qos(1, 1))?;
    // Clean Session 1 ends what was there.
    let (mut peer, connack) = target.connect_and_tell(&connect(target, "a"))?;
    ensure!(!connack.session_present, "a clean session is present");
    peer.expect_nothing()?;
    peer.subscribe(&topic, 1)?;
    peer.disconnect()?;
    // And leaves nothing.
    publisher.publish(&Publish::new(&topic, "waiting").qos(1, 2))?;
    let (mut peer, connack) = target.connect_and_tell(&connect(target, "a").lasting())?;
    ensure!(!connack.session_present, "a clean session is there after its connection");
    publisher.publish(&Publish::new(&topic, "later").qos(1, 3))?;
    peer.expect_nothing()
}

fn retained_messages_stay_when_the_session_ends(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v311("a")?;
    peer.publish(&Publish::new(&topic, "kept").retained())?;
    peer.disconnect()?;
    let mut peer = target.v311("a")?;
    peer.subscribe(&topic, 0)?;
    peer.expect_message("kept")?;
    peer.publish(&Publish::new(&topic, "").retained())
}

fn a_will_is_published_when_the_connection_is_lost(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 2)?;
    for lasting in [false, true] {
        let will = connect(target, "a").will(Will::new(&topic, b"lost").qos(1));
        let peer = target.connect(&if lasting { will.lasting() } else { will })?;
        watcher.expect_nothing()?;
        drop(peer);
        let message = watcher.expect_message("lost")?;
        ensure!(message.topic == topic && message.qos == 1, "{message:?}");
        watcher.acknowledge(&message)?;
    }
    Ok(())
}

fn a_will_without_its_fields_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let without = connect(target, "a");
    expect_silent_refusal(target, &without.bytes_with(b"MQTT", 4, 0x06))?;
    // A topic and no message.
    let mut body = [data(b"MQTT"), vec![4, 0x06, 0, 0]].concat();
    body.extend(data(without.client_id.as_bytes()));
    body.extend(data(b"topic"));
    expect_silent_refusal(target, &packet(0x10, &body))
}

fn a_will_is_published_once(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 0)?;
    let lasting = connect(target, "a").lasting();
    drop(target.connect(&lasting.clone().will(Will::new(&topic, b"once")))?);
    watcher.expect_message("once")?;
    // The session goes on without it.
    for _ in 0..2 {
        lose(target, target.connect(&lasting)?)?;
    }
    watcher.expect_nothing()
}

fn will_options_without_a_will_end_the_connection(target: &Target) -> anyhow::Result<()> {
    for flags in [0x0A, 0x12, 0x1A, 0x22, 0x2A] {
        expect_silent_refusal(target, &connect(target, "a").bytes_with(b"MQTT", 4, flags))?;
    }
    // The fields of a will without its flag are bytes too many.
    let will = connect(target, "a").will(Will::new("t", b"x"));
    expect_silent_refusal(target, &will.bytes_with(b"MQTT", 4, 0x02))
}

fn without_a_will_nothing_is_published(target: &Target) -> anyhow::Result<()> {
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&target.topic("#"), 0)?;
    lose(target, target.v311("a")?)?;
    watcher.expect_nothing()
}

fn a_will_has_the_qos_that_it_asks_for_and_never_3(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 2)?;
    for qos in 0..=2 {
        drop(target.connect(&connect(target, "a").will(Will::new(&topic, b"x").qos(qos)))?);
        let message = watcher.expect_message("x")?;
        ensure!(message.qos == qos, "a will of QoS {qos} comes with {}", message.qos);
        watcher.acknowledge(&message)?;
    }
    expect_silent_refusal(target, &connect(target, "a").will(Will::new(&topic, b"x").qos(3)).bytes())
}

fn a_will_is_retained_if_it_asks_for_it(target: &Target) -> anyhow::Result<()> {
    let (plain, kept) = (target.topic("plain"), target.topic("kept"));
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&target.topic("+"), 0)?;
    for will in [Will::new(&plain, b"x"), Will::new(&kept, b"x").retained()] {
        drop(target.connect(&connect(target, "a").will(will))?);
        let message = watcher.expect_message("x")?;
        ensure!(!message.retain, "{message:?}");
    }
    let mut late = target.v311("l")?;
    late.subscribe(&plain, 0)?;
    late.expect_nothing()?;
    late.subscribe(&kept, 0)?;
    ensure!(late.expect_message("x")?.retain, "a retained will comes without the flag");
    late.publish(&Publish::new(&kept, "").retained())
}

fn user_name_and_password_are_there_as_the_flags_say(target: &Target) -> anyhow::Result<()> {
    const USER: u8 = 0x80;
    const PASSWORD: u8 = 0x40;
    const CLEAN: u8 = 0x02;
    let none = connect(target, "a");
    let name = none.clone().user("user");
    let both = name.clone().password(b"pass");
    // A field without its flag, and a flag without its field.
    for (connect, flags) in [
        (&name, CLEAN),
        (&both, CLEAN),
        (&both, CLEAN | USER),
        (&none, CLEAN | USER),
        (&none, CLEAN | USER | PASSWORD),
        (&name, CLEAN | USER | PASSWORD),
    ] {
        expect_silent_refusal(target, &connect.bytes_with(b"MQTT", 4, flags))?;
    }
    // As they should be: taken or refused, but understood.
    for connect in [&name, &both] {
        let (_, connack) = target.try_connect(connect)?;
        ensure!([0, 4, 5].contains(&connack.reason), "{connack:?}");
    }
    Ok(())
}

fn a_password_without_a_user_name_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    expect_silent_refusal(target, &connect(target, "a").password(b"pass").bytes())
}

fn a_silent_client_is_disconnected_and_leaves_its_will(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 0)?;
    let mut peer = target.connect(&connect(target, "a").keep_alive(1).will(Will::new(&topic, b"silent")))?;
    peer.expect_silent_end()?;
    watcher.expect_message("silent")?;
    Ok(())
}

fn a_client_that_sends_anything_in_time_stays(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.connect(&connect(target, "a").keep_alive(2))?;
    // Twice as long as it may be silent.
    for round in 0..6 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        match round % 2 {
            0 => peer.send_publish(&Publish::new(&target.topic("t"), "x"))?,
            _ => peer.expect_nothing()?,
        }
    }
    peer.expect_nothing()
}

fn the_fields_of_the_payload_stand_in_their_order(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("will");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 0)?;
    let whole = connect(target, "a").will(Will::new(&topic, b"payload"));
    let peer = target.connect(&whole)?;
    drop(peer);
    watcher.expect_message("payload")?;
    // The client identifier is the one that was said: a second connection takes the first over.
    let mut first = target.connect(&whole)?;
    let _second = target.connect(&connect(target, "a"))?;
    first.expect_silent_end()?;
    watcher.expect_message("payload")?;
    Ok(())
}

fn client_identifiers_tell_sessions_apart(target: &Target) -> anyhow::Result<()> {
    let names = ["a", "A", "b", "ab"];
    for name in names {
        let mut peer = target.connect(&connect(target, name).lasting())?;
        peer.subscribe(&target.topic(name), 1)?;
        peer.disconnect()?;
    }
    let mut publisher = target.v311("p")?;
    for name in names {
        publisher.publish(&Publish::new(&target.topic(name), name).qos(1, 1))?;
    }
    for name in names {
        let payloads = target.connect(&connect(target, name).lasting())?.payloads()?;
        ensure!(payloads == [name], "{name} gets {payloads:?}");
    }
    Ok(())
}

fn the_client_identifier_has_to_be_there_and_utf_8(target: &Target) -> anyhow::Result<()> {
    let head = [data(b"MQTT"), vec![4, 0x02, 0, 0]].concat();
    expect_silent_refusal(target, &packet(0x10, &head))?;
    expect_silent_refusal(target, &packet(0x10, &[&head[..], &[0, 5, b'a']].concat()))?;
    for wrong in [&b"a\xFF"[..], b"\xED\xA0\x80", b"\xC0\x80", b"a\0b"] {
        expect_silent_refusal(target, &packet(0x10, &[head.clone(), data(wrong)].concat()))?;
    }
    Ok(())
}

fn client_identifiers_of_1_to_23_letters_and_digits_are_taken(target: &Target) -> anyhow::Result<()> {
    const LETTERS: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    // One character may be another test's at the same time, and is taken over then.
    for id in ["Z", &LETTERS[..23], &LETTERS[23..46], &LETTERS[39..]] {
        let (_, connack) = target.try_connect(&Connect::v311(id))?;
        ensure!(connack.reason == 0, "{id} is refused with {}", connack.reason);
    }
    Ok(())
}

fn an_empty_client_identifier_stands_for_one_of_its_own(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut first = target.connect(&Connect::v311(""))?;
    let mut second = target.connect(&Connect::v311(""))?;
    for peer in [&mut first, &mut second] {
        peer.subscribe(&topic, 0)?;
    }
    // Neither ended the other.
    first.publish(&Publish::new(&topic, "x"))?;
    first.expect_message("x")?;
    second.expect_message("x")?;
    Ok(())
}

fn an_empty_client_identifier_without_clean_session_is_refused_with_2(target: &Target) -> anyhow::Result<()> {
    let (mut peer, connack) = target.try_connect(&Connect::v311("").resuming())?;
    ensure!(connack.reason == 2 && !connack.session_present, "{connack:?}");
    peer.expect_silent_end()
}

fn a_client_identifier_that_is_not_taken_is_refused_with_2(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("needs a broker that does not take every client identifier"));
    }
    let (mut peer, connack) = target.try_connect(&Connect::v311("a".repeat(60_000)))?;
    ensure!(connack.reason == 2 && !connack.session_present, "{connack:?}");
    peer.expect_silent_end()
}

fn will_topic_and_user_name_have_to_be_utf_8(target: &Target) -> anyhow::Result<()> {
    for wrong in [&b"a\xFF"[..], b"\xE2\x82"] {
        let will = Will { topic: wrong.to_vec(), ..Will::new("", b"x") };
        expect_silent_refusal(target, &connect(target, "a").will(will).bytes())?;
        let named = Connect { user: Some(wrong.to_vec()), ..connect(target, "a") };
        expect_silent_refusal(target, &named.bytes())?;
    }
    Ok(())
}

fn a_connect_that_does_not_match_its_format_gets_no_connack(target: &Target) -> anyhow::Result<()> {
    let whole = connect(target, "a").bytes();
    let longer = packet(0x10, &[&whole[2..], &[0]].concat());
    let flags = [&[0x11], &whole[1..]].concat();
    for bytes in [packet(0x10, &[]), packet(0x10, &[0, 4, b'M', b'Q']), longer, flags, packet(0x10, &whole[2..9])] {
        expect_silent_refusal(target, &bytes)?;
    }
    Ok(())
}

fn a_second_connection_ends_the_first(target: &Target) -> anyhow::Result<()> {
    let mut peers = vec![target.v311("a")?];
    for next in [connect(target, "a"), connect(target, "a").lasting(), Connect::v5(target.id("a"))] {
        let mut peer = target.connect(&next)?;
        if let Some(mut old) = peers.pop() {
            old.expect_silent_end()?;
        }
        peer.expect_nothing()?;
        peers.push(peer);
    }
    Ok(())
}

fn a_connect_is_answered_with_zero(target: &Target) -> anyhow::Result<()> {
    for connect in [connect(target, "a"), connect(target, "b").lasting(), connect(target, "c").keep_alive(60)] {
        let (_, connack) = target.try_connect(&connect)?;
        ensure!(connack.reason == 0, "{connack:?}");
    }
    Ok(())
}

fn nothing_after_a_refused_connect_is_handled(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut watcher = target.v311("w")?;
    watcher.subscribe(&topic, 0)?;
    let mut peer = target.open_as(Version::V311)?;
    let refused = Connect::v311("").resuming().bytes();
    peer.send(&[refused, Publish::new(&topic, "x").qos(1, 1).bytes(Version::V311), vec![0xC0, 0]].concat())?;
    ensure!(peer.expect_connack()?.reason == 2, "not refused");
    peer.expect_silent_end()?;
    watcher.expect_nothing()
}
