//! Publishers of messages that the node has to keep: what was acknowledged, what refused, and how long they waited.
//!
//! One thread for all. Invariant: a message has at most one verdict, and is published once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::Filled;
use crate::client::Version;
use crate::client_packet::Publish;
use crate::siege::wire::{Target, Way, Wire, is_late};

/// Publishers, and as many sessions.
pub(super) const COUNT: usize = 4;
/// Unacknowledged messages of one.
const WINDOW: usize = 200;
/// Of all together.
pub(super) const IN_FLIGHT_MAX: u64 = (COUNT * WINDOW) as u64;
/// Payload of a message.
const PAYLOAD_BYTES: usize = 1_024;
/// After a refusal.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one is listened to before the next.
const LISTEN: Duration = Duration::from_millis(1);

/// The topic of one of them.
pub(super) fn topic(publisher: usize) -> String {
    format!("full-disk/{publisher}")
}

/// What became of the messages so far.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    tally: Mutex<Tally>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Tally {
    /// By publisher: numbers of acknowledged messages, in order of their acknowledgements.
    acknowledged: [Vec<u64>; COUNT],
    acknowledged_all: u64,
    refused: BTreeMap<u8, u64>,
    disconnected: u64,
    unanswered: u64,
    longest_wait: Duration,
    /// Since when the oldest unanswered message waits.
    oldest: [Option<Instant>; COUNT],
}

struct Publisher {
    number: usize,
    wire: Option<Wire>,
    next: u64,
    in_flight: VecDeque<(u16, u64, Instant)>,
    paused_until: Instant,
}

impl Publishers {
    /// Publishes until `publishing` ends and everything on the way is answered, or nothing is for long.
    pub(super) fn publish(&self, target: &Target, publishing: &AtomicBool) -> anyhow::Result<()> {
        let mut all: Vec<Publisher> = (0..COUNT).map(Publisher::new).collect();
        let mut ending = None;
        loop {
            let goes_on = publishing.load(Ordering::Relaxed);
            for publisher in &mut all {
                publisher.turn(target, goes_on, self)?;
            }
            let quiet = all.iter().all(|publisher| publisher.in_flight.is_empty());
            let since = if goes_on { None } else { Some(*ending.get_or_insert_with(Instant::now)) };
            if since.is_some_and(|since| quiet || since.elapsed() > super::ANSWER_MAX) {
                let left = all.iter().map(|publisher| publisher.in_flight.len() as u64).sum::<u64>();
                self.lock().unanswered += left;
                self.ended.store(true, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.lock().acknowledged_all
    }

    pub(super) fn acknowledged_bytes(&self) -> u64 {
        self.acknowledged() * PAYLOAD_BYTES as u64
    }

    pub(super) fn refused(&self) -> u64 {
        self.lock().refused.values().sum()
    }

    /// Whether one of them is not answered for so long.
    pub(super) fn waits_for(&self, least: Duration) -> bool {
        self.lock().oldest.iter().flatten().any(|since| since.elapsed() >= least)
    }

    /// Whether nothing is published any more.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Numbers of a publisher's acknowledged messages.
    pub(super) fn numbers(&self, publisher: usize) -> Vec<u64> {
        self.lock().acknowledged[publisher].clone()
    }

    pub(super) fn book(&self, filled: &mut Filled) {
        let tally = self.lock();
        filled.acknowledged = tally.acknowledged_all;
        filled.refused = tally.refused.iter().map(|(reason, count)| (format!("{reason:#04x}"), *count)).collect();
        filled.publishers_disconnected = tally.disconnected;
        filled.unanswered = tally.unanswered;
        filled.longest_wait_ms = tally.longest_wait.as_secs_f64() * 1e3;
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    fn new(number: usize) -> Self {
        Self { number, wire: None, next: 0, in_flight: VecDeque::new(), paused_until: Instant::now() }
    }

    fn turn(&mut self, target: &Target, goes_on: bool, all: &Publishers) -> anyhow::Result<()> {
        if self.paused_until > Instant::now() && self.in_flight.is_empty() {
            std::thread::sleep(LISTEN);
            return Ok(());
        }
        if self.wire.is_none() {
            let connect = target.connect(5, &format!("full-disk-from-{}", self.number));
            let wire = Wire::connected(target, Way::Tcp, &connect).context("connect a publisher")?;
            wire.set_patience(LISTEN)?;
            self.wire = Some(wire);
        }
        if goes_on && self.paused_until <= Instant::now() {
            self.send()?;
        }
        self.listen(all)?;
        all.lock().oldest[self.number] = self.in_flight.front().map(|(_, _, since)| *since);
        Ok(())
    }

    /// Fills the window; sockets hold more than that, so it never waits.
    fn send(&mut self) -> anyhow::Result<()> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let mut bytes = Vec::new();
        while self.in_flight.len() < WINDOW {
            let id = u16::try_from(self.next % 60_000).unwrap_or(0) + 1;
            let mut payload = vec![0x55; PAYLOAD_BYTES - 8];
            payload.extend(self.next.to_be_bytes());
            bytes.extend(Publish::new(&topic(self.number), payload).qos(1, id).bytes(Version::V5));
            self.in_flight.push_back((id, self.next, Instant::now()));
            self.next += 1;
        }
        if bytes.is_empty() { Ok(()) } else { wire.send(&bytes).context("publish") }
    }

    /// Takes every answer that is there.
    fn listen(&mut self, all: &Publishers) -> anyhow::Result<()> {
        while let Some(wire) = &mut self.wire {
            match wire.receive_or_end() {
                Ok(Some(packet)) if packet[0] == 0x40 => self.answered(&packet, all)?,
                Ok(Some(packet)) if packet[0] == 0xE0 => self.lost(all),
                Ok(Some(packet)) => bail!("a publisher got {packet:02x?}"),
                Ok(None) => self.lost(all),
                Err(error) if is_late(&error) => return Ok(()),
                Err(error) => return Err(error.context("listen for acknowledgements")),
            }
        }
        Ok(())
    }

    fn answered(&mut self, packet: &[u8], all: &Publishers) -> anyhow::Result<()> {
        let id = packet.get(2..).and_then(|id| id.first_chunk::<2>()).context("find an identifier")?;
        let id = u16::from_be_bytes(*id);
        let at = self.in_flight.iter().position(|(other, _, _)| *other == id).context("a PUBACK that nobody awaits")?;
        let Some((_, number, since)) = self.in_flight.remove(at) else { return Ok(()) };
        let mut tally = all.lock();
        tally.longest_wait = tally.longest_wait.max(since.elapsed());
        match packet.get(4).copied().unwrap_or(0) {
            reason @ 0x80.. => {
                *tally.refused.entry(reason).or_default() += 1;
                self.paused_until = Instant::now() + PAUSE;
            }
            _ => {
                tally.acknowledged[self.number].push(number);
                tally.acknowledged_all += 1;
            }
        }
        Ok(())
    }

    /// What was on the way has no verdict and is not sent again.
    fn lost(&mut self, all: &Publishers) {
        let mut tally = all.lock();
        tally.disconnected += 1;
        tally.unanswered += self.in_flight.len() as u64;
        self.in_flight.clear();
        self.wire = None;
        self.paused_until = Instant::now() + PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    /// Takes every publisher; `verdict` gives the reason for the nth message of a connection, or none for no answer.
    fn node(verdict: fn(u64) -> Option<u8>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream, verdict));
            }
        });
        Target {
            mqtt: address,
            websocket: address,
            mqtts: None,
            secure_websocket: None,
            control: None,
            trust: None,
            source: None,
            login: None,
        }
    }

    fn serve(mut stream: std::net::TcpStream, verdict: fn(u64) -> Option<u8>) {
        use std::io::{Read as _, Write as _};
        let (mut bytes, mut scratch, mut count) = (Vec::new(), vec![0; 65_536], 0);
        while let Ok(read @ 1..) = stream.read(&mut scratch) {
            bytes.extend_from_slice(&scratch[..read]);
            if bytes[0] == 0x10 {
                bytes.clear();
                stream.write_all(&[0x20, 3, 0, 0, 0]).expect("the publisher listens");
            }
            // Every message is as long as the first: a topic of one digit and a payload of one size.
            let length = Publish::new(&topic(0), vec![0; PAYLOAD_BYTES]).qos(1, 1).bytes(Version::V5).len();
            while bytes.len() >= length {
                let message: Vec<u8> = bytes.drain(..length).collect();
                let at = 3 + 2 + topic(0).len();
                if let Some(reason) = verdict(count) {
                    let puback = [0x40, 3, message[at], message[at + 1], reason];
                    stream.write_all(&puback).expect("the publisher listens");
                }
                count += 1;
            }
        }
    }

    fn published(target: &Target, until: impl Fn(&Publishers) -> bool) -> Publishers {
        let (publishers, publishing) = (Publishers::default(), AtomicBool::new(true));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| publishers.publish(target, &publishing));
            while !until(&publishers) && !thread.is_finished() {
                std::thread::sleep(LISTEN);
            }
            publishing.store(false, Ordering::Relaxed);
            thread.join().expect("no panic").expect("nobody is wrong");
        });
        publishers
    }

    #[test]
    fn refused_messages_are_counted_by_reason_and_publishing_goes_on() {
        let target = node(|count| Some(if count < 10 { 0x97 } else { 0 }));
        let publishers = published(&target, |publishers| publishers.acknowledged() > 1_000);
        assert_eq!((publishers.refused(), publishers.ended()), (10 * COUNT as u64, true));
        let mut filled = Filled::default();
        publishers.book(&mut filled);
        assert_eq!((filled.refused.get("0x97"), filled.unanswered), (Some(&(10 * COUNT as u64)), 0));
        assert!(
            publishers.numbers(0).starts_with(&[10, 11, 12]),
            "what was refused is not among what was acknowledged"
        );
    }

    #[test]
    fn a_publisher_that_gets_no_answer_waits_and_its_messages_are_unanswered() {
        let target = node(|count| (count < 5).then_some(0));
        let publishers = published(&target, |publishers| publishers.waits_for(Duration::from_millis(300)));
        let mut filled = Filled::default();
        publishers.book(&mut filled);
        // Acknowledging five made room for five more.
        assert_eq!((filled.acknowledged, filled.unanswered), (5 * COUNT as u64, IN_FLIGHT_MAX));
    }
}
