//! Attacks of publishers: topics, identifiers, aliases, wills, retained messages, packets that never end.

use anyhow::{Context as _, bail, ensure};

use super::handshake::disconnected;
use super::{Attack, elsewhere, fresh};
use crate::client::Version;
use crate::client_packet::{self, Connect, Publish, Will};
use crate::siege::wire::{Target, Way, Wire, abandon, is_end};

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("unreleased-qos-2", "60,000 QoS 2 publications that are never released", unreleased_qos_2)
        .counted(&[r#"selvedge_mqtt_closed_total{cause="quota"}"#]),
    Attack::new("deep-topics", "topics and filters of 65,535 levels, 200 times", deep_topics)
        .counted(&[r#"selvedge_mqtt_refused_total{kind="topic_length"}"#]),
    Attack::new("non-ascii-topic", "a topic that begins with é", non_ascii_topic),
    Attack::new("incomplete-packets", "300 packets of 1 MB, each but for its last byte", incomplete_packets)
        .counted(&[r#"selvedge_socket_incomplete_closed_total{limit="incomplete_bytes"}"#]),
    Attack::new("alias-abuse", "topic aliases that are zero, too high, unset, or full of text", alias_abuse)
        .counted(&[r#"selvedge_mqtt_closed_total{cause="protocol"}"#]),
    Attack::new("retained-flood", "100,000 retained messages, then one that takes them all", retained_flood)
        .counted(&[r#"selvedge_mqtt_refused_total{kind="retained"}"#]),
    Attack::new("will-storm", "500 wills at once", will_storm).counted(&["selvedge_mqtt_wills_published_total"]),
    Attack::new("bad-wills", "wills to forbidden topics, too large, with bad properties", bad_wills)
        .counted(&[r#"selvedge_mqtt_refused_total{kind="will_size"}"#]),
    Attack::new("publish-flood", "QoS 0 and QoS 1 as fast as the node reads, 4 clients, 1 s", publish_flood),
];

fn unreleased_qos_2(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    for (level, version) in [(4, Version::V311), (5, Version::V5)] {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(level, &fresh("unreleased")))?;
        let packets: Vec<u8> =
            (1..=60_000).flat_map(|id| Publish::new("unreleased", b"x").qos(2, id).bytes(version)).collect();
        // The node closes on the way.
        drop(wire.send(&packets));
        let mut receipts = 0;
        let last = loop {
            match wire.receive_or_end()? {
                Some(packet) if packet.first() == Some(&0x50) => receipts += 1,
                other => break other,
            }
        };
        ensure!(receipts < 10_000, "{receipts} publications are kept unreleased");
        let reason = last.as_ref().and_then(|packet| packet.get(2)).copied();
        // A reset may overtake the DISCONNECT; what was said before it is not taken back.
        ensure!(reason.is_none() || (level == 5 && reason == Some(0x93)), "the last word is {last:02x?}");
        abandon(wire.socket());
    }
    Ok(())
}

fn deep_topics(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let topic = "/".repeat(65_534);
    let filter = format!("{}#", "+/".repeat(32_766));
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("deep")))?;
    for number in 0..100 {
        wire.send(&Publish::new(&topic, b"x").qos(1, 7).retained().bytes(Version::V5))?;
        let puback = wire.receive().with_context(|| format!("deep topic {number}"))?;
        ensure!(matches!(puback.get(4), Some(0x90 | 0x97)), "a deep topic is answered with {puback:02x?}");
        wire.send(&client_packet::subscribe(Version::V5, 8, &[], &[(&filter, 0)]))?;
        let suback = wire.receive().with_context(|| format!("deep filter {number}"))?;
        ensure!(suback.last().is_some_and(|reason| *reason >= 0x80), "a deep filter is answered with {suback:02x?}");
    }
    ensure!(wire.ping()?.is_empty(), "something was delivered");
    abandon(wire.socket());
    Ok(())
}

fn non_ascii_topic(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    for (level, version) in [(4, Version::V311), (5, Version::V5)] {
        for topic in ["é/t", "é", "日本/語", "\u{10FFFF}", " /\u{FEFF}"] {
            let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(level, &fresh("accent")))?;
            wire.send(&client_packet::subscribe(version, 1, &[], &[(topic, 0), ("é/#", 0)]))?;
            wire.receive().with_context(|| format!("subscribe to {topic}"))?;
            wire.send(&Publish::new(topic, b"heard").bytes(version))?;
            let packet = wire.receive().with_context(|| format!("publish to {topic}"))?;
            ensure!(packet.ends_with(b"heard"), "{topic}: got {packet:02x?}");
            abandon(wire.socket());
        }
    }
    Ok(())
}

/// The node keeps a bounded sum of what is incomplete; those that go beyond lose their connection.
fn incomplete_packets(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let packet = Publish::new("incomplete", vec![0; 1024 * 1024 - 20]).bytes(Version::V5);
    let mut wires = Vec::new();
    for _ in 0..300 {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("incomplete")))?;
        match wire.send(&packet[..packet.len() - 1]) {
            Ok(()) => wires.push(wire),
            Err(error) if is_end(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut ended = 300 - wires.len();
    for mut wire in wires {
        wire.set_patience(std::time::Duration::from_millis(1))?;
        // Those that are still open wait for the last byte, and say nothing.
        if let Ok(rest) = wire.until_closed() {
            ensure!(rest.is_empty() || rest.get(2) == Some(&0x97), "ended with {rest:02x?}");
            ended += 1;
        }
        abandon(wire.socket());
    }
    ensure!(ended >= 200, "only {ended} of 300 incomplete packets ended their connection");
    Ok(())
}

fn alias_abuse(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let alias = |alias: u16| client_packet::two_bytes(0x23, alias);
    for (topic, number, reason) in [("t", 0, 0x94), ("t", 33, 0x94), ("t", u16::MAX, 0x94), ("", 5, 0x82)] {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("alias")))?;
        wire.send(&Publish::new(topic, b"x").property(&alias(number)).bytes(Version::V5))?;
        let rest = wire.until_closed()?;
        // An alias of 0 is malformed to some, and invalid to others (MQTT 5, 3.3.2.3.4).
        ensure!(
            rest.get(2) == Some(&reason) || (number == 0 && matches!(rest.get(2), Some(0x81 | 0x82))),
            "alias {number} is answered with {rest:02x?}"
        );
        abandon(wire.socket());
    }
    let mut wires = Vec::new();
    for client in 0..100 {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("alias")))?;
        for number in 1..=32 {
            let topic = format!("{client}/{number}/{}", "x".repeat(1000));
            wire.send(&Publish::new(&topic, b"").property(&alias(number)).bytes(Version::V5))?;
        }
        wires.push(wire);
    }
    for mut wire in wires {
        wire.ping()?;
        abandon(wire.socket());
    }
    Ok(())
}

/// Retained messages until there is no room for more. Then somebody asks for all of them, and they are deleted again.
fn retained_flood(target: &Target) -> anyhow::Result<()> {
    const COUNT: u32 = 100_000;
    const BATCH: u32 = 500;
    let target = elsewhere(target);
    let name = fresh("flood");
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("retainer")))?;
    let mut kept = 0_u64;
    for payload in [&b"retained"[..], b""] {
        for batch in 0..COUNT / BATCH {
            let mut packets = Vec::new();
            for id in 1..=BATCH {
                let topic = format!("{name}/{}", batch * BATCH + id);
                let id = u16::try_from(id).unwrap_or(1);
                packets.extend(Publish::new(&topic, payload).qos(1, id).retained().bytes(Version::V5));
            }
            wire.send(&packets)?;
            for _ in 0..BATCH {
                let puback = wire.receive()?;
                match puback.get(4).copied().unwrap_or(0) {
                    0 | 0x10 => kept += u64::from(!payload.is_empty()),
                    0x97 => {}
                    _ => bail!("a retained message is answered with {puback:02x?}"),
                }
            }
        }
        if !payload.is_empty() {
            ensure!(kept > 1_000, "only {kept} retained messages are kept");
            take_all(&target, &name, kept)?;
        }
    }
    abandon(wire.socket());
    Ok(())
}

fn take_all(target: &Target, name: &str, kept: u64) -> anyhow::Result<()> {
    let mut wire = Wire::connected(target, Way::Tcp, &target.connect(5, &fresh("taker")))?;
    wire.send(&client_packet::subscribe(Version::V5, 1, &[], &[(&format!("{name}/+"), 0)]))?;
    wire.receive()?;
    for number in 0..kept {
        wire.receive().with_context(|| format!("retained message {number} of {kept}"))?;
    }
    abandon(wire.socket());
    Ok(())
}

fn will_storm(target: &Target) -> anyhow::Result<()> {
    const COUNT: usize = 500;
    let target = elsewhere(target);
    let topic = fresh("will");
    let mut reader = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("mourner")))?;
    reader.send(&client_packet::subscribe(Version::V5, 1, &[], &[(&topic, 1)]))?;
    reader.receive()?;
    let mut wires = Vec::new();
    for _ in 0..COUNT {
        let connect = target.connect(5, &fresh("dying")).will(Will::new(&topic, &[b'w'; 1000]).qos(1));
        wires.push(Wire::connected(&target, Way::Tcp, &connect)?);
    }
    wires.into_iter().for_each(Wire::cut);
    for number in 0..COUNT {
        let packet = reader.receive().with_context(|| format!("will {number}"))?;
        let id = packet.get(4 + topic.len() + 1..).and_then(|rest| rest.first_chunk::<2>());
        ensure!(packet[0] >> 4 == 3, "expected a will, got {packet:02x?}");
        let id = id.map_or(0, |id| u16::from_be_bytes(*id));
        reader.send(&client_packet::ack(0x40, id))?;
    }
    abandon(reader.socket());
    Ok(())
}

fn bad_wills(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let will = |topic: &str| Will::new(topic, b"x");
    let large = Will::new("w", &vec![0; 65_535]).property(&client_packet::user("k", &"v".repeat(2_000)));
    let cases: Vec<(&str, Will, &[u8])> = vec![
        ("to a wildcard", will("a/#"), &[0x81, 0x82, 0x90]),
        ("to nothing", will(""), &[0x81, 0x82, 0x90]),
        ("to a NUL", will("a\0"), &[0x81]),
        ("to the node's own topic", will("$SYS/broker/uptime"), &[0x87, 0x90]),
        ("too deep", will(&"/".repeat(200)), &[0x90]),
        ("too large", large, &[0x95, 0x97]),
        ("of QoS 3", will("w").qos(3), &[0x81, 0x82]),
        ("with an unknown property", will("w").property(&[0x7E, 0]), &[0x81, 0x82]),
        ("with a property of CONNACK", will("w").property(&[0x24, 1]), &[0x81, 0x82]),
        ("with a property twice", will("w").delay(1).delay(2), &[0x81, 0x82]),
        ("with a format of 2", will("w").property(&[0x01, 2]), &[0x81, 0x82]),
        ("with properties that are cut", will("w").property(&[0x26, 0, 5, b'a']), &[0x81, 0x82]),
    ];
    for (what, will, reasons) in cases {
        let mut wire = Wire::open(&target, Way::Tcp)?;
        wire.send(&target.connect(5, &fresh("bad-will")).will(will).bytes())?;
        let rest = wire.until_closed()?;
        // A CONNECT that is malformed may be closed without an answer (MQTT 5, 4.13).
        let refused = rest.is_empty() || rest.get(3).is_some_and(|reason| reasons.contains(reason));
        ensure!(refused, "a will {what} is answered with {rest:02x?}");
        abandon(wire.socket());
    }
    // Not announced by its flag, but there: trailing bytes.
    let connect: Connect = target.connect(5, &fresh("bad-will")).will(will("w"));
    let mut wire = Wire::open(&target, Way::Tcp)?;
    wire.send(&connect.bytes_with(b"MQTT", 5, connect.flags() & !0x04))?;
    let rest = wire.until_closed()?;
    ensure!(rest.get(3) != Some(&0), "a will without its flag is answered with {rest:02x?}");
    Ok(())
}

/// Nothing forbidden, only much of it.
fn publish_flood(target: &Target) -> anyhow::Result<()> {
    let flood = |qos: u8| -> anyhow::Result<()> {
        let target = elsewhere(target);
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(4, &fresh("flood")))?;
        let packets: Vec<u8> =
            (1..=500).flat_map(|id| Publish::new("flood/t", [0; 64]).qos(qos, id).bytes(Version::V311)).collect();
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_secs(1) {
            wire.send(&packets)?;
            for _ in 0..if qos == 0 { 0 } else { 500 } {
                wire.receive()?;
            }
        }
        wire.ping()?;
        abandon(wire.socket());
        Ok(())
    };
    std::thread::scope(|scope| {
        let floods: Vec<_> = [0, 0, 1, 1].map(|qos| scope.spawn(move || flood(qos))).into();
        floods.into_iter().try_for_each(|flood| flood.join().unwrap_or_else(|_| bail!("a flood panicked")))
    })?;
    // Nobody is told of anything: the attacker is within its limits.
    let mut wire = Wire::connected(target, Way::Tcp, &target.connect(5, &fresh("after")))?;
    wire.send(&client_packet::packet(0xF0, &[]))?;
    disconnected(&mut wire, 5, 0x82)
}
