//! One publisher that leaves retained messages, and subscribers that ask for them.
//! Invariant: a subscriber is asked for only when the one before has everything or the patience is over.

use selvedge_codec::ProtocolVersion;

use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::{Acknowledge, Incoming};
use crate::latency::{Latency, LatencySummary};
use crate::packet_id::PacketIds;
use crate::packets::{self, Reply};
use crate::report::Delivery;
use crate::stamp::Stamp;
use crate::target::Target;
use crate::template::PublishTemplate;

/// The publisher's place in the fleet; subscribers follow.
pub(super) const PUBLISHER: usize = 0;

/// Unacknowledged publications, below every broker's own limit for one client's queue.
const UNACKNOWLEDGED_MAX: u16 = 100;

/// Publisher and subscribers of the scenario.
pub(super) struct Keeper<'t> {
    target: &'t Target,
    version: ProtocolVersion,
    run: u32,
    messages: u32,
    qos: u8,
    ids: PacketIds,
    unacknowledged: u32,
    /// Which messages the present subscriber has.
    seen: Vec<bool>,
    missing: u32,
    asked_ns: u64,
    latency: Latency,
    delivery: Delivery,
}

impl<'t> Keeper<'t> {
    pub fn new(target: &'t Target, run: u32, messages: u32, qos: u8, receive_maximum: u16) -> Self {
        Self {
            target,
            version: target.version,
            run,
            messages,
            qos,
            ids: PacketIds::new(receive_maximum.min(UNACKNOWLEDGED_MAX)),
            unacknowledged: 0,
            seen: Vec::new(),
            missing: 0,
            asked_ns: 0,
            latency: Latency::new(),
            delivery: Delivery { published: u64::from(messages), ..Delivery::default() },
        }
    }

    /// Leaves every message, or with a payload of no bytes takes it away, and waits until the broker has acknowledged all.
    pub fn publish_all(&mut self, fleet: &mut Fleet, prefix: &str, payload_bytes: usize) -> Result<(), RunError> {
        let qos = self.qos.max(1);
        let (mut next, mut seen, mut seen_ns) = (0, (0, 0), fleet.now_ns());
        while next < self.messages || self.unacknowledged > 0 {
            while next < self.messages
                && let Some(id) = self.ids.take()
            {
                let topic = format!("{prefix}/{next}");
                let template = PublishTemplate::new(self.version, &topic, qos, true, payload_bytes)?;
                let stamp = Stamp { run: self.run, stream: 0, sequence: u64::from(next), sent_ns: 0 };
                if let Some(outbox) = fleet.outbox(PUBLISHER) {
                    template.append(outbox, id, &stamp);
                }
                next += 1;
                self.unacknowledged += 1;
            }
            fleet.flush(self)?;
            fleet.turn(self)?;
            if (next, self.unacknowledged) != seen {
                (seen, seen_ns) = ((next, self.unacknowledged), fleet.now_ns());
            }
            self.check_patience(fleet, seen_ns, "acknowledging retained messages")?;
        }
        Ok(())
    }

    /// Subscribes and waits for all messages; what does not come within the patience is lost.
    pub fn ask(&mut self, fleet: &mut Fleet, subscriber: usize, subscribe: &[u8]) -> Result<(), RunError> {
        self.seen = vec![false; self.messages as usize];
        self.missing = self.messages;
        self.delivery.expected += u64::from(self.messages);
        self.asked_ns = fleet.now_ns();
        if let Some(outbox) = fleet.outbox(subscriber) {
            outbox.extend_from_slice(subscribe);
        }
        fleet.flush(self)?;
        let (mut left, mut left_ns) = (self.missing, self.asked_ns);
        while self.missing > 0 {
            fleet.turn(self)?;
            if self.missing != left {
                (left, left_ns) = (self.missing, fleet.now_ns());
            } else if u128::from(fleet.now_ns() - left_ns) > self.target.patience.as_nanos() {
                self.delivery.lost += u64::from(self.missing);
                self.delivery.stalled = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// The account of all messages.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// From SUBSCRIBE to each message.
    pub fn latency(&self) -> Option<LatencySummary> {
        self.latency.summary()
    }

    fn check_patience(&self, fleet: &Fleet, since_ns: u64, what: &str) -> Result<(), RunError> {
        if u128::from(fleet.now_ns() - since_ns) <= self.target.patience.as_nanos() {
            return Ok(());
        }
        Err(RunError::TimedOut {
            address: self.target.address,
            waiting_for: what.to_owned(),
            after: self.target.patience,
        })
    }

    fn receive(&mut self, payload: &[u8], now_ns: u64) {
        let number = Stamp::read(payload).filter(|stamp| stamp.run == self.run).map(|stamp| stamp.sequence);
        match number.and_then(|number| self.seen.get_mut(usize::try_from(number).ok()?)) {
            Some(seen) if *seen => self.delivery.duplicates += 1,
            Some(seen) => {
                *seen = true;
                self.missing -= 1;
                self.delivery.delivered += 1;
                self.latency.record(now_ns - self.asked_ns);
            }
            None => self.delivery.stray += 1,
        }
    }
}

impl Driver for Keeper<'_> {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault> {
        match packet {
            Incoming::Publish { qos, packet_id, payload } => {
                match qos {
                    0 => {}
                    1 => packets::answer(Acknowledge::PubAck, packet_id, outbox),
                    _ => packets::answer(Acknowledge::PubRec, packet_id, outbox),
                }
                self.receive(payload, now_ns);
            }
            Incoming::Acknowledge { kind: Acknowledge::PubRel, packet_id, .. } => {
                packets::answer(Acknowledge::PubComp, packet_id, outbox);
            }
            Incoming::Acknowledge { reason, .. } if reason >= 0x80 => {
                return Err(Fault::Denied { packet: "PUBLISH", reason });
            }
            Incoming::Acknowledge { kind: Acknowledge::PubRec, packet_id, .. } => {
                packets::answer(Acknowledge::PubRel, packet_id, outbox);
            }
            Incoming::Acknowledge { packet_id, .. } => {
                if client != PUBLISHER || !self.ids.release(packet_id) {
                    return Err(Fault::Unexpected("an acknowledgement of an unused packet identifier"));
                }
                self.unacknowledged -= 1;
            }
            Incoming::Other(frame) => {
                if let Reply::Granted(granted) = packets::reply(frame, self.version)?
                    && let Some(&reason) = granted.iter().find(|code| **code != self.qos)
                {
                    return Err(Fault::Denied { packet: "SUBSCRIBE", reason });
                }
            }
            Incoming::Broken => return Err(Fault::Unexpected("a packet that ends too early")),
        }
        Ok(())
    }
}
