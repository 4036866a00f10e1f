//! Very many clients at once: what they cost the node while they are idle, and at one message a second each.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::footprint;
use super::fortress::{Fortress, Needs};
use super::wire::{Target, Way, Wire};
use crate::client::Version;
use crate::client_packet::{self, Publish};

/// Connections of one source address: it has about 28,000 ports, and a limit by address is not what is measured.
const PER_ADDRESS: usize = 1_000;

/// Files that a process opens beside its connections.
const SPARE_FILES: usize = 400;

/// What the crowd cost.
#[derive(Debug, Clone, Serialize)]
pub struct Crowd {
    /// Clients that were asked for.
    pub asked: usize,
    /// Clients, each with one subscription.
    pub connections: usize,
    /// Time to connect them all, seconds.
    pub connect_s: f64,
    /// Memory of the node before, KiB (PSS).
    pub before_kib: u64,
    /// With all of them idle.
    pub idle_kib: u64,
    /// While each gets one message a second.
    pub busy_kib: u64,
    /// Bytes of an idle connection.
    pub idle_bytes_each: f64,
    /// Processor time of the node, in hundredths of one core, idle.
    pub idle_cpu_percent: f64,
    /// And busy.
    pub busy_cpu_percent: f64,
    /// Messages sent while busy, one a second for each client, to itself.
    pub sent: u64,
    /// Of those, received.
    pub received: u64,
}

/// Gathers the crowd, or as many of it as the system lets a process have connections, looks, lets it talk for so many seconds, looks again.
///
/// # Errors
/// The node does not take them all, or a message is lost.
pub fn gather(asked: usize, seconds: u64) -> anyhow::Result<Crowd> {
    // One on each side of every connection; the node inherits the limit.
    let allowed = footprint::raise_open_files((asked + SPARE_FILES) as u64)?;
    let connections = asked.min(usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(SPARE_FILES));
    if connections < asked {
        eprintln!("{connections} connections instead of {asked}: a process may open no more than {allowed} files here");
    }
    let limits = format!("connections_max = {}\nsessions_max = {0}\nanonymous_sessions_max = {0}", connections + 100);
    let fortress = Fortress::start(&Needs { limits, ..Needs::default() })?;
    fortress.floor_kib()?;
    let before_kib = fortress.pss_kib()?;
    let begun = Instant::now();
    let mut clients = connect_all(&fortress.target, connections)?;
    let connect_s = begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(2));
    let idle_kib = fortress.pss_kib()?;
    let idle_cpu_percent = cpu_percent(&fortress, || {
        std::thread::sleep(Duration::from_secs(seconds));
        Ok(())
    })?;
    let (mut sent, mut received) = (0, 0);
    let busy_cpu_percent = cpu_percent(&fortress, || {
        for _ in 0..seconds {
            (sent, received) = talk_for_a_second(&mut clients, sent, received)?;
        }
        Ok(())
    })?;
    let busy_kib = fortress.pss_kib()?;
    // What was on its way.
    let deadline = Instant::now() + crate::PATIENCE;
    while received < sent && Instant::now() < deadline {
        for (client, topic) in &mut clients {
            received += take(client, topic.len())?;
        }
    }
    ensure!(received == sent, "{received} of {sent} messages arrived");
    drop(clients);
    fortress.stop()?;
    let idle_bytes_each = (idle_kib.saturating_sub(before_kib) * 1024) as f64 / connections as f64;
    Ok(Crowd {
        asked,
        connections,
        connect_s,
        before_kib,
        idle_kib,
        busy_kib,
        idle_bytes_each,
        idle_cpu_percent,
        busy_cpu_percent,
        sent,
        received,
    })
}

fn connect_all(target: &Target, connections: usize) -> anyhow::Result<Vec<(TcpStream, String)>> {
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let group = u8::try_from(number / PER_ADDRESS + 1).context("choose a source address")?;
        let from = target.from(Ipv4Addr::new(127, 0, 1, group));
        let topic = format!("crowd/{number:06}");
        let context = || format!("client {number} of {connections}");
        let mut wire =
            Wire::connected(&from, Way::Tcp, &from.connect(4, &format!("crowd-{number}"))).with_context(context)?;
        wire.send(&client_packet::subscribe(Version::V311, 1, &[], &[(&topic, 0)])).with_context(context)?;
        wire.receive().with_context(context)?;
        let socket = wire.socket().try_clone().with_context(context)?;
        socket.set_nonblocking(true)?;
        clients.push((socket, topic));
    }
    Ok(clients)
}

/// Each client sends one message to itself, evenly over the second, and takes what is there.
fn talk_for_a_second(
    clients: &mut [(TcpStream, String)],
    mut sent: u64,
    mut received: u64,
) -> anyhow::Result<(u64, u64)> {
    const SLICES: usize = 50;
    let begun = Instant::now();
    let slice = clients.len().div_ceil(SLICES);
    for (number, clients) in clients.chunks_mut(slice.max(1)).enumerate() {
        for (client, topic) in clients {
            received += take(client, topic.len())?;
            client.write_all(&Publish::new(topic, [b'x'; 64]).bytes(Version::V311)).context("publish")?;
            sent += 1;
        }
        let due = begun + Duration::from_millis(20) * u32::try_from(number + 1).unwrap_or(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok((sent, received))
}

/// Messages that are there, by their bytes: all are of one size.
fn take(client: &mut TcpStream, topic_bytes: usize) -> anyhow::Result<u64> {
    let size = 2 + 2 + topic_bytes + 64;
    let mut buffer = [0; 4096];
    match client.read(&mut buffer) {
        Ok(count) => {
            ensure!(count > 0 && count % size == 0, "{count} bytes came, messages have {size}");
            Ok((count / size) as u64)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error).context("receive"),
    }
}

fn cpu_percent(fortress: &Fortress, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (begun, before) = (Instant::now(), footprint::cpu(fortress.node.id())?);
    act()?;
    let used = footprint::cpu(fortress.node.id())? - before;
    Ok(100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64())
}
