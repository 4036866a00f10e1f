//! Attacks of subscribers: not reading, asking for everything, asking for nonsense.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Attack, elsewhere, fresh};
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::siege::wire::{Target, Way, Wire, abandon, is_end, is_late};

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("deaf-subscriber", "a subscriber that never reads, with 60 MB offered", deaf_subscriber)
        .counted(&[r#"selvedge_mqtt_dropped_total{reason="queue_full"}"#]),
    Attack::new("many-filters", "SUBSCRIBE of 10,000 filters", many_filters)
        .counted(&[r#"selvedge_mqtt_refused_total{kind="subscribe"}"#]),
    Attack::new("wildcard-bomb", "20 x 1,000 filters full of wildcards, 2,000 deep topics", wildcard_bomb),
    Attack::new("malformed-shares", "$share filters that are none", malformed_shares),
    Attack::new("retained-replays", "5,000 retained messages asked for 200 times, unread", retained_replays),
];

/// The publisher is not to notice, and of 60 MB only a bounded part is kept.
fn deaf_subscriber(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let topic = fresh("deaf");
    let mut deaf = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("deaf")))?;
    deaf.send(&client_packet::subscribe(Version::V5, 1, &[], &[(&topic, 1)]))?;
    deaf.receive()?;
    let mut publisher = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("shouting")))?;
    for number in 0..1_000_u16 {
        let publish = Publish::new(&topic, vec![0; 60_000]).qos(u8::from(number % 2 == 0), number + 1);
        publisher.send(&publish.bytes(Version::V5))?;
        if number % 2 == 0 {
            let puback = publisher.receive().with_context(|| format!("message {number}"))?;
            ensure!(matches!(puback.get(4), None | Some(0)), "the publisher is told {puback:02x?}");
        }
    }
    publisher.ping()?;
    abandon(deaf.socket());
    abandon(publisher.socket());
    Ok(())
}

fn many_filters(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let filters: Vec<String> = (0..10_000).map(|number| format!("many/{number}/+")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    for _ in 0..20 {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("many")))?;
        wire.send(&client_packet::subscribe(Version::V5, 1, &[], &filters))?;
        let suback = wire.receive()?;
        let granted = suback.iter().rev().take(10_000).filter(|reason| **reason == 0).count();
        ensure!(granted == 1_000, "{granted} of 10,000 filters are granted");
        ensure!(suback.last() == Some(&0x97), "a filter too many is answered with {:02x?}", suback.last());
        wire.ping()?;
        abandon(wire.socket());
    }
    // One more is too many for a packet, also to be rid of them.
    let filters: Vec<(&str, u8)> = [("many", 0)].into_iter().cycle().take(10_001).collect();
    let names: Vec<&str> = filters.iter().map(|(filter, _)| *filter).collect();
    for packet in [
        client_packet::subscribe(Version::V5, 1, &[], &filters),
        client_packet::unsubscribe(Version::V5, 1, &[], &names),
    ] {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("many")))?;
        wire.send(&packet)?;
        super::handshake::disconnected(&mut wire, 5, 0x97)?;
    }
    Ok(())
}

/// Filters that make a topic match in as many ways as there are.
fn wildcard_bomb(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let mut wires = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("bomb")))?;
        // Each of ten levels either a name or a wildcard.
        let filters: Vec<String> = (0..1_000_u32)
            .map(|bits| (0..10).map(|at| if bits >> at & 1 == 1 { "+/" } else { "b/" }).chain(["#"]).collect())
            .collect();
        let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
        wire.send(&client_packet::subscribe(Version::V5, 1, &[], &filters))?;
        wire.receive()?;
        wires.push(wire);
    }
    let mut publisher = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("bomber")))?;
    for number in 0..2_000 {
        // A new topic each time, so that nothing is remembered.
        let topic = format!("{}{number}", "b/".repeat(20));
        publisher.send(&Publish::new(&topic, b"x").bytes(Version::V5))?;
    }
    publisher.ping()?;
    abandon(publisher.socket());
    wires.iter().for_each(|wire| abandon(wire.socket()));
    Ok(())
}

fn malformed_shares(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let malformed = ["$share/", "$share/g", "$share//t", "$share/g/", "$share/+/t", "$share/g#/t", "$share/#"];
    for (level, version) in [(4, Version::V311), (5, Version::V5)] {
        for filter in malformed {
            let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(level, &fresh("share")))?;
            wire.send(&client_packet::subscribe(version, 1, &[], &[(filter, 1)]))?;
            match wire.receive_or_end()? {
                // Refused as a filter, or as a packet.
                Some(packet) if packet.first() == Some(&0x90) => {
                    let refused = packet.last().is_some_and(|reason| *reason >= 0x80);
                    ensure!(refused, "{filter} is answered with {packet:02x?}");
                    wire.ping()?;
                }
                Some(packet) => ensure!(packet.first() == Some(&0xE0), "{filter} is answered with {packet:02x?}"),
                None => ensure!(level == 4, "{filter} is closed without a word"),
            }
            abandon(wire.socket());
        }
    }
    // No-local on a shared subscription is a protocol error [MQTT-3.8.3-4].
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("share")))?;
    wire.send(&client_packet::subscribe(Version::V5, 1, &[], &[("$share/g/t", 4)]))?;
    super::handshake::disconnected(&mut wire, 5, 0x82)
}

/// Asks again and again for all retained messages, and takes none of them.
fn retained_replays(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 5_000;
    let target = elsewhere(target);
    let name = fresh("replay");
    let mut keeper = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("keeper")))?;
    let retain = |keeper: &mut Wire, payload: &[u8]| -> anyhow::Result<()> {
        for number in 0..COUNT {
            let topic = format!("{name}/{number}");
            keeper.send(&Publish::new(&topic, payload).retained().bytes(Version::V5))?;
        }
        keeper.ping().map(drop)
    };
    retain(&mut keeper, &[0; 100])?;
    let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("greedy")))?;
    wire.set_patience(Duration::from_secs(2))?;
    let subscribe = client_packet::subscribe(Version::V5, 1, &[], &[(&format!("{name}/#"), 1)]);
    for _ in 0..200 {
        match wire.send(&subscribe) {
            Ok(()) => {}
            // The node may stop reading such a client, or end it.
            Err(error) if is_end(&error) || is_late(&error) => break,
            Err(error) => return Err(error),
        }
    }
    // Somebody else is served meanwhile.
    keeper.ping()?;
    abandon(wire.socket());
    drop(wire);
    retain(&mut keeper, b"")?;
    abandon(keeper.socket());
    Ok(())
}
