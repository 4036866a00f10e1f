//! Well-behaved clients that go on while a node is attacked: a paced pair of QoS 0, one of QoS 1, and newcomers.
//!
//! Publishers send by the clock, not when the last message has arrived, so that a node that stands still for a while shows it
//! in every message of that while. They have the processor as soon as they wake, as clients on other machines do. Latency is end
//! to end: from before the publisher's write to after the subscriber's read.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::processor;
use super::wire::{Target, Way, Wire};
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::raw_mqtt;

/// Time between two messages of a publisher.
pub const PACE: Duration = Duration::from_millis(5);
/// Time between two newcomers.
const NEWCOMER_PACE: Duration = Duration::from_millis(250);
/// Sequence number of the last message.
const LAST: u64 = u64::MAX;

/// Running clients.
#[derive(Debug)]
pub struct Bystanders {
    stop: Arc<AtomicBool>,
    pairs: Vec<Pair>,
    newcomers: JoinHandle<anyhow::Result<Newcomers>>,
}

#[derive(Debug)]
struct Pair {
    qos: u8,
    publisher: JoinHandle<anyhow::Result<u64>>,
    acknowledged: JoinHandle<anyhow::Result<u64>>,
    subscriber: JoinHandle<anyhow::Result<Received>>,
}

/// What became of all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The pair of QoS 0, and the pair of QoS 1.
    pub pairs: Vec<PairAccount>,
    /// Connections, one after the other.
    pub newcomers: Newcomers,
}

/// What became of the messages of one pair.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairAccount {
    /// Of publication and subscription.
    pub qos: u8,
    /// Messages published.
    pub sent: u64,
    /// Of those, acknowledged to the publisher; of QoS 0, none.
    pub acknowledged: u64,
    /// Messages that arrived, in order.
    pub received: u64,
    /// End-to-end latency of each, microseconds.
    pub latencies_us: Vec<u32>,
}

/// Clients that connect, ask one question, and leave.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Newcomers {
    /// How many were served.
    pub served: u64,
    /// From the first packet of the network to the answer, microseconds.
    pub latencies_us: Vec<u32>,
}

#[derive(Debug, Default)]
struct Received {
    count: u64,
    latencies_us: Vec<u32>,
}

impl Bystanders {
    /// Connects them and lets them go on until [`Bystanders::finish`].
    ///
    /// # Errors
    /// The node does not take them.
    pub fn start(target: &Target) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut pairs = Vec::new();
        for qos in [0, 1] {
            pairs.push(Pair::start(target, qos, &stop).with_context(|| format!("start the pair of QoS {qos}"))?);
        }
        let (stopped, target) = (Arc::clone(&stop), target.clone());
        let newcomers = processor::spawn(move || come_and_go(&target, &stopped));
        Ok(Self { stop, pairs, newcomers })
    }

    /// Lets the last messages arrive and gives the account.
    ///
    /// # Errors
    /// One of them lost its connection, or a message, or was not served.
    pub fn finish(self) -> anyhow::Result<Account> {
        self.stop.store(true, Ordering::Relaxed);
        let mut pairs = Vec::new();
        for pair in self.pairs {
            let qos = pair.qos;
            pairs.push(pair.finish().with_context(|| format!("the pair of QoS {qos}"))?);
        }
        Ok(Account { pairs, newcomers: joined(self.newcomers).context("newcomers")? })
    }
}

impl Account {
    /// Fails unless everything that was sent has arrived and was acknowledged.
    ///
    /// # Errors
    /// The first loss.
    pub fn nothing_lost(&self) -> anyhow::Result<()> {
        for pair in &self.pairs {
            let PairAccount { qos, sent, acknowledged, received, .. } = pair;
            ensure!(*sent > 0 && sent == received, "QoS {qos}: {received} of {sent} messages arrived");
            ensure!(*qos == 0 || sent == acknowledged, "QoS {qos}: {acknowledged} of {sent} are acknowledged");
        }
        ensure!(self.newcomers.served > 0, "no newcomer was served");
        Ok(())
    }

    /// All latencies of messages, in order of size.
    pub fn latencies(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.pairs.iter().flat_map(|pair| pair.latencies_us.iter().copied()).collect();
        all.sort_unstable();
        all
    }
}

impl Pair {
    fn start(target: &Target, qos: u8, stop: &Arc<AtomicBool>) -> anyhow::Result<Self> {
        let origin = Instant::now();
        let topic = format!("bystander/{qos}");
        let mut receiving = Wire::connected(target, Way::Tcp, &target.connect(4, &format!("bystander-to-{qos}")))?;
        receiving.send(&client_packet::subscribe(Version::V311, 1, &[], &[(&topic, qos)]))?;
        let suback = receiving.receive()?;
        ensure!(suback.get(4) == Some(&qos), "SUBSCRIBE is answered with {suback:02x?}");
        let sending = Wire::connected(target, Way::Tcp, &target.connect(4, &format!("bystander-from-{qos}")))?;
        let writing = sending.socket().try_clone().context("share a socket")?;
        let stopped = Arc::clone(stop);
        // Known when the last message goes, 0 before.
        let total = Arc::new(AtomicU64::new(0));
        let awaited = Arc::clone(&total);
        Ok(Self {
            qos,
            publisher: processor::spawn(move || publish(writing, &topic, qos, origin, &stopped, &total)),
            acknowledged: processor::spawn(move || if qos == 0 { Ok(0) } else { count_acks(sending, &awaited) }),
            subscriber: processor::spawn(move || receive(receiving, origin)),
        })
    }

    fn finish(self) -> anyhow::Result<PairAccount> {
        let sent = joined(self.publisher).context("publisher")?;
        let received = joined(self.subscriber).with_context(|| format!("subscriber, {sent} were sent"))?;
        let acknowledged = joined(self.acknowledged).context("acknowledgements")?;
        let Received { count, latencies_us } = received;
        Ok(PairAccount { qos: self.qos, sent, acknowledged, received: count, latencies_us })
    }
}

/// Sends by the clock until told to stop; gives how many.
fn publish(
    mut socket: TcpStream,
    topic: &str,
    qos: u8,
    origin: Instant,
    stop: &AtomicBool,
    total: &AtomicU64,
) -> anyhow::Result<u64> {
    use std::io::Write as _;
    let mut due = Instant::now();
    let mut number = 0_u64;
    // The publisher's own tardiness is not the node's; a write that had to wait is, and for all that it held up.
    let mut held_up = false;
    loop {
        due += PACE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let last = stop.load(Ordering::Relaxed);
        let sequence = if last { LAST } else { number };
        let begun = Instant::now();
        let stamp = if held_up { due } else { begun };
        let micros = u64::try_from(stamp.duration_since(origin).as_micros()).unwrap_or(u64::MAX);
        let payload = [sequence.to_be_bytes(), micros.to_be_bytes()].concat();
        let packet_id = u16::try_from(number % 65_000).unwrap_or(0) + 1;
        let packet = Publish::new(topic, payload).qos(qos, packet_id).bytes(Version::V311);
        number += 1;
        if last {
            // Before the message goes, so that whoever counts its acknowledgement knows that it is the last.
            total.store(number, Ordering::Release);
        }
        socket.write_all(&packet).context("publish")?;
        if last {
            return Ok(number);
        }
        held_up = begun.elapsed() > Duration::from_millis(1) || (held_up && Instant::now() > due + PACE);
        if !held_up {
            // What was slept through is not made up for.
            due = due.max(Instant::now() - PACE);
        }
    }
}

/// Counts PUBACKs until there is one for each message, the last included.
fn count_acks(mut wire: Wire, total: &AtomicU64) -> anyhow::Result<u64> {
    let mut count = 0;
    while count == 0 || total.load(Ordering::Acquire) != count {
        let packet = wire.receive().with_context(|| format!("receive PUBACK number {count}"))?;
        ensure!(packet.first() == Some(&0x40), "expected PUBACK, got {packet:02x?}");
        count += 1;
    }
    Ok(count)
}

fn receive(mut wire: Wire, origin: Instant) -> anyhow::Result<Received> {
    let mut received = Received::default();
    loop {
        let packet = wire.receive().with_context(|| format!("receive message number {}", received.count))?;
        let now = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let Some((head, payload)) = packet.split_last_chunk::<16>() else { bail!("not a message: {packet:02x?}") };
        let sequence = u64::from_be_bytes(*payload.first_chunk().context("read a sequence number")?);
        let stamp = u64::from_be_bytes(*payload.last_chunk().context("read a time")?);
        if head[0] & 0x06 != 0 {
            let id = head.last_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
            wire.send(&client_packet::ack(0x40, id))?;
        }
        ensure!(
            sequence == received.count || sequence == LAST,
            "message {sequence} arrived where {} was due",
            received.count
        );
        received.count += 1;
        received.latencies_us.push(u32::try_from(now.saturating_sub(stamp)).unwrap_or(u32::MAX));
        if sequence == LAST {
            return Ok(received);
        }
    }
}

fn come_and_go(target: &Target, stop: &AtomicBool) -> anyhow::Result<Newcomers> {
    let mut newcomers = Newcomers::default();
    while !stop.load(Ordering::Relaxed) || newcomers.served == 0 {
        let begun = Instant::now();
        let connect = target.connect(4, &format!("newcomer-{}", newcomers.served));
        let context = || format!("newcomer number {}", newcomers.served);
        let mut wire = Wire::connected(target, Way::Tcp, &connect).with_context(context)?;
        wire.ping().with_context(context)?;
        newcomers.latencies_us.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        wire.send(&raw_mqtt::packet(0xE0, &[]))?;
        newcomers.served += 1;
        std::thread::sleep(NEWCOMER_PACE.saturating_sub(begun.elapsed()));
    }
    Ok(newcomers)
}

fn joined<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow!("a thread of a bystander panicked"))?
}
