//! Random and mutated packets at a live node, by the million: every type, both versions, every transport.
//!
//! A connection begins with a CONNECT, goes on with packets that are valid in themselves but make no sense together, and
//! then gets some that were valid before bits, bytes and lengths were changed; most such end it, and the next begins. The same
//! seed gives the same packets on each thread, whatever the node answers. Invariant: what a node must survive is only sent,
//! never asked about; whether it lives is asked by somebody else.

use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::attack::elsewhere;
use super::wire::{Target, Way, Wire, abandon};
use crate::client::Version;
use crate::client_packet::{self, Connect, Publish, Will};
use crate::installed;
use crate::random::Random;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Packets in all.
    pub packets: u64,
    /// Where the numbers begin.
    pub seed: u64,
    /// Threads, each with one connection at a time.
    pub threads: u64,
    /// Transports, used in turn.
    pub ways: Vec<Way>,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Pounded {
    /// Where the numbers began.
    pub seed: u64,
    /// Packets sent.
    pub packets: u64,
    /// Of those, mutated.
    pub mutated: u64,
    /// Connections used up.
    pub connections: u64,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// Packets that a connection sends before the mutated ones, at most.
const SANE_MAX: usize = 400;
/// Packets of one write.
const BATCH: usize = 20;

const TOPICS: [&str; 10] =
    ["a", "a/b", "a/b/c", "é/t", "/", "$SYS/broker/uptime", "$twin/t/get", "b//", "\u{10FFFF}", "long/long/long/long"];
const FILTERS: [&str; 10] =
    ["a", "#", "+/b", "a/#", "$share/g/a/#", "$share/g2/+", "$SYS/#", "+/+/+", "/", "$share/bad"];

/// Sends them all.
///
/// # Errors
/// The node cannot be connected to, or the packets to begin with are missing.
pub fn pound(target: &Target, plan: &Plan) -> anyhow::Result<Pounded> {
    let corpus = corpus()?;
    let begun = Instant::now();
    let (sent, mutated, connections) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|thread| {
                let (corpus, sent, mutated, connections) = (&corpus, &sent, &mutated, &connections);
                scope.spawn(move || {
                    let mut random = Random::new(plan.seed.wrapping_mul(1_000).wrapping_add(thread));
                    while sent.load(Ordering::Relaxed) < plan.packets {
                        let number = connections.fetch_add(1, Ordering::Relaxed);
                        let way = plan.ways[usize::try_from(number).unwrap_or(0) % plan.ways.len()];
                        let done = one_connection(target, way, &mut random, corpus)
                            .with_context(|| format!("connection {number} over {way:?}, thread {thread}"))?;
                        sent.fetch_add(done.0, Ordering::Relaxed);
                        mutated.fetch_add(done.1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    Ok(Pounded {
        seed: plan.seed,
        packets: sent.into_inner(),
        mutated: mutated.into_inner(),
        connections: connections.into_inner(),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Sends packets until the node has had enough; gives how many, and how many of them mutated.
fn one_connection(target: &Target, way: Way, random: &mut Random, corpus: &[Vec<u8>]) -> anyhow::Result<(u64, u64)> {
    let from = elsewhere(target);
    let mut wire = Wire::open(&from, way)?;
    wire.set_patience(Duration::from_millis(500))?;
    let version = if random.below(2) == 0 { Version::V311 } else { Version::V5 };
    let (mut sent, mut mutated) = (1, 0);
    let mut open = wire.send(&connect(&from, version, random).bytes()).is_ok();
    let mut left = random.below(SANE_MAX);
    while open && left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let batch: Vec<u8> = (0..count).flat_map(|_| sane(version, random)).collect();
        open = wire.send(&batch).is_ok() && drain(&wire);
        sent += count as u64;
    }
    for _ in 0..8 {
        if !open {
            break;
        }
        let packet = mutate(corpus, version, random);
        open = wire.send(&packet).is_ok() && drain(&wire);
        sent += 1;
        mutated += 1;
    }
    // Half of those that are left go with a last word of garbage, half without.
    if open && random.below(2) == 0 {
        let garbage: Vec<u8> = (0..random.below(200)).map(|_| random.byte()).collect();
        // Fails when the node was first.
        drop(wire.write_raw(&garbage));
        mutated += 1;
        sent += 1;
    }
    abandon(wire.socket());
    Ok((sent, mutated))
}

/// Takes what the node says, without waiting; false when it has closed.
fn drain(wire: &Wire) -> bool {
    let mut socket = wire.socket();
    if socket.set_nonblocking(true).is_err() {
        return false;
    }
    let mut buffer = [0; 64 * 1024];
    let open = loop {
        match socket.read(&mut buffer) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == ErrorKind::WouldBlock,
        }
    };
    socket.set_nonblocking(false).is_ok() && open
}

fn connect(target: &Target, version: Version, random: &mut Random) -> Connect {
    let client_id = format!("pound-{}", random.below(200));
    let mut connect = target.connect(u8::from(version), &client_id);
    connect.clean_start = random.below(3) > 0;
    if version == Version::V5 {
        // Sessions end soon, so that nothing is left when it is over.
        connect = connect.session_expiry(u32::from(random.byte()) % 3).receive_maximum(1 + u16::from(random.byte()));
        if random.below(2) == 0 {
            connect = connect.topic_alias_max(u16::from(random.byte()));
        }
        if random.below(8) == 0 {
            connect = connect.packet_bytes_max(20 + u32::from(random.byte()));
        }
    } else {
        connect.clean_start = true;
    }
    if random.below(4) == 0 {
        let will = Will::new(random.pick(&TOPICS), &vec![0; random.below(300)]);
        connect = connect.will(will.qos(random.byte() % 3));
    }
    connect
}

/// A packet that could be right at some time.
fn sane(version: Version, random: &mut Random) -> Vec<u8> {
    let id = 1 + u16::from(random.byte());
    match random.below(16) {
        0..=6 => {
            let mut publish = Publish::new(random.pick(&TOPICS), vec![random.byte(); random.below(200)]);
            publish = publish.qos(random.byte() % 3, id);
            publish.retain = random.below(8) == 0;
            publish.dup = publish.qos > 0 && random.below(8) == 0;
            if version == Version::V5 && random.below(4) == 0 {
                publish = publish.property(&client_packet::two_bytes(0x23, 1 + u16::from(random.byte() % 32)));
            }
            publish.bytes(version)
        }
        7 | 8 => {
            let filters = [(random.pick(&FILTERS), random.byte() % 3), (random.pick(&FILTERS), random.byte() % 3)];
            client_packet::subscribe(version, id, &[], &filters[..1 + random.below(2)])
        }
        9 => client_packet::unsubscribe(version, id, &[], &[random.pick(&FILTERS)]),
        10..=13 => client_packet::ack(random.pick(&[0x40, 0x50, 0x62, 0x70]), id),
        _ => client_packet::packet(0xC0, &[]),
    }
}

/// A packet that was valid, or one of those that were found to be interesting, with something changed.
fn mutate(corpus: &[Vec<u8>], version: Version, random: &mut Random) -> Vec<u8> {
    let mut packet = if random.below(4) == 0 {
        sane(version, random)
    } else {
        corpus.get(random.below(corpus.len())).cloned().unwrap_or_default()
    };
    for _ in 0..random.below(4) {
        let at = random.below(packet.len());
        match random.below(6) {
            0 if !packet.is_empty() => packet[at] ^= 1 << random.below(8),
            1 if !packet.is_empty() => packet[at] = random.pick(&[0, 1, 0x7F, 0x80, 0xFF]),
            2 if !packet.is_empty() => packet.truncate(at),
            3 => packet.insert(at.min(packet.len()), random.byte()),
            4 => {
                let other = corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
                packet.extend(&other[..random.below(other.len())]);
            }
            _ if packet.len() > 1 => packet[1] = random.byte(),
            _ => {}
        }
    }
    packet
}

/// The packets of the fuzz corpus of the codec; the byte in front of each, which chooses the version there, is left out.
fn corpus() -> anyhow::Result<Vec<Vec<u8>>> {
    let folder = installed::repository_file("fuzz/corpus/codec");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    // The order of a folder is no order; the same seed is to give the same packets.
    files.sort();
    let packets: Vec<Vec<u8>> =
        files.iter().filter_map(|path| std::fs::read(path).ok()?.get(1..).map(<[u8]>::to_vec)).collect();
    ensure!(!packets.is_empty(), "there is no packet in {}", folder.display());
    Ok(packets)
}
