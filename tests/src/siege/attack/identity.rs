//! Attacks with client identifiers and sessions: taking over, racing, odd names, filling the table.

use std::sync::Barrier;

use anyhow::{Context as _, ensure};

use super::{Attack, elsewhere, fresh};
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::siege::wire::{Target, Way, Wire, abandon};

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("take-over", "1,000 connections that take one client id over from each other", take_over)
        .counted(TAKEN_OVER),
    Attack::new("take-over-race", "take-over racing subscribe and publish, 4 x 50 times", take_over_race)
        .counted(TAKEN_OVER),
    Attack::new("odd-client-ids", "client ids with /, wildcards, NUL and too many bytes", odd_client_ids),
    Attack::new("sessions-filled", "10,000 lasting sessions of clients without a name", sessions_filled)
        .against_users()
        .with_limits("anonymous_sessions_max = 500\nsession_expiry_max = \"3s\"")
        .counted(&[r#"selvedge_mqtt_refused_total{kind="session"}"#]),
];
const TAKEN_OVER: &[&str] = &[r#"selvedge_mqtt_closed_total{cause="taken_over"}"#];

fn take_over(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let connect = target.connect(5, &fresh("taken")).lasting();
    let mut holder = Wire::connected(&target, Way::Tcp, &connect)?;
    for number in 0..1_000 {
        let next = Wire::connected(&target, Way::Tcp, &connect).with_context(|| format!("take-over {number}"))?;
        let rest = holder.until_closed()?;
        ensure!(rest.get(2) == Some(&0x8E), "expected DISCONNECT 0x8E, got {rest:02x?}");
        abandon(holder.socket());
        holder = next;
    }
    ensure!(holder.ping()?.is_empty(), "the last holder gets what it did not ask for");
    end_session(&target, holder, &connect.client_id)
}

/// Several threads fight for one client id; each that holds it for a moment subscribes and publishes. In the end the session
/// works for whoever comes last.
fn take_over_race(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let connect = target.connect(5, &fresh("raced")).lasting().resuming();
    let topic = fresh("raced/topic");
    let subscribe = client_packet::subscribe(Version::V5, 1, &[], &[(&topic, 1)]);
    let publish = Publish::new(&topic, b"mine").qos(1, 2).bytes(Version::V5);
    let together = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                for _ in 0..50 {
                    // Any step may fail: another thread has taken the session over.
                    let Ok(mut wire) = Wire::open(&target, Way::Tcp) else { continue };
                    let all = [connect.bytes(), subscribe.clone(), publish.clone()].concat();
                    drop(wire.send(&all).and_then(|()| wire.receive()).and_then(|_| wire.receive()));
                    abandon(wire.socket());
                }
            });
        }
    });
    let mut wire = Wire::connected(&target, Way::Tcp, &connect)?;
    wire.send(&[subscribe, publish].concat())?;
    let (mut subscribed, mut acknowledged, mut heard) = (false, false, false);
    while !(subscribed && acknowledged && heard) {
        let packet = wire.receive().context("the session after the race")?;
        subscribed |= packet.first() == Some(&0x90);
        acknowledged |= packet.first() == Some(&0x40);
        heard |= packet.first().is_some_and(|first| first >> 4 == 3);
    }
    end_session(&target, wire, &connect.client_id)
}

/// Leaves nothing of a lasting session.
fn end_session(target: &Target, wire: Wire, client_id: &str) -> anyhow::Result<()> {
    abandon(wire.socket());
    let last = Wire::connected(target, Way::Tcp, &target.connect(5, client_id))?;
    abandon(last.socket());
    Ok(())
}

fn odd_client_ids(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let long = "x".repeat(256);
    for version in [4, 5] {
        for fine in ["a/b", "/", "#", "+/+", "$SYS", "é", "..", "%u", long.as_str()] {
            let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(version, fine))?;
            wire.ping().with_context(|| format!("client id {fine}"))?;
            abandon(wire.socket());
        }
        let too_long = "x".repeat(257);
        for refused in ["nul\0", "\0", "$node/functions", too_long.as_str()] {
            let mut wire = Wire::open(&target, Way::Tcp)?;
            wire.send(&target.connect(version, refused).bytes())?;
            let rest = wire.until_closed()?;
            // 3.1.1 has no code for what is malformed: it is closed without a word.
            let reason = rest.get(3).copied();
            let allowed: &[u8] = if version == 5 { &[0x81, 0x85] } else { &[2] };
            ensure!(
                reason.map_or(version == 4, |reason| allowed.contains(&reason)),
                "client id {refused:?} is answered with {rest:02x?}"
            );
            abandon(wire.socket());
        }
    }
    Ok(())
}

/// A stranger leaves sessions behind until there is no room for more; whoever has a name still gets in.
fn sessions_filled(target: &Target) -> anyhow::Result<()> {
    let stranger = Target { login: None, ..target.clone() };
    let name = fresh("left-behind");
    let (mut kept, mut refused) = (0, 0);
    let mut from = elsewhere(&stranger);
    for number in 0..10_000 {
        if number % 1_500 == 1_499 {
            from = elsewhere(&stranger);
        }
        let connect = from.connect(5, &format!("{name}-{number}")).lasting();
        let (wire, connack) = Wire::greeted(&from, Way::Tcp, &connect)?;
        match connack.get(3) {
            Some(0) => kept += 1,
            Some(0x97) => refused += 1,
            _ => anyhow::bail!("session {number} is answered with {connack:02x?}"),
        }
        abandon(wire.socket());
        let with_name = target.connect(5, &format!("{name}-user"));
        if number % 1_000 == 999 {
            abandon(Wire::connected(&elsewhere(target), Way::Tcp, &with_name)?.socket());
        }
    }
    ensure!(refused > 0, "all of {kept} sessions are kept");
    Ok(())
}
