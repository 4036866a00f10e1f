//! One phase of a message scenario: publishes by window or by schedule, and books every delivery.
//! Invariant: a publisher's window is given back exactly once per copy: by its delivery, or by the gap that shows its loss.

mod publisher;

use std::time::Duration;

use selvedge_codec::ProtocolVersion;

use crate::entrance::Welcome;
use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::{Acknowledge, Incoming};
use crate::in_flight::InFlight;
use crate::latency::{Latency, LatencySummary};
use crate::pace::Schedule;
use crate::packets::{self, Reply};
use crate::plan::{Amount, LoadPlan, Pace, SubscriberSessions};
use crate::report::Delivery;
use crate::sequence::{Arrival, Sequence};
use crate::stamp::Stamp;
use crate::target::Target;
use crate::template::PublishTemplate;
use publisher::{Publisher, Room};

/// The state of a phase.
pub(super) struct Phase {
    plan: LoadPlan,
    run: u32,
    version: ProtocolVersion,
    templates: Vec<PublishTemplate>,
    publishers: Vec<Publisher>,
    /// Publishers that may have become able to publish.
    awake: Vec<u32>,
    subscribers: Vec<Vec<Sequence>>,
    sent_by_stream: Vec<u64>,
    sent: u64,
    /// Copies on the way, of all publishers.
    undelivered: u64,
    /// QoS 1 and 2 publications that the broker has not finished with.
    unacknowledged: u64,
    refused: u64,
    stray: u64,
    stalled: bool,
    closed_ns: Option<u64>,
    started_ns: u64,
    /// The last delivery, or where nobody is there to be delivered to, the last acknowledgement.
    last_arrival_ns: u64,
    latency: Latency,
    acknowledgement: Latency,
}

impl Phase {
    /// Prepares a phase; clients are the ones that entered.
    pub fn new(
        plan: LoadPlan,
        target: &Target,
        run: u32,
        prefix: &str,
        welcomes: &[Welcome],
    ) -> Result<Self, RunError> {
        let topology = plan.topology;
        let topics = topology.topics(prefix);
        let templates: Result<_, RunError> = topics
            .iter()
            .map(|topic| PublishTemplate::new(target.version, topic, plan.qos, false, plan.payload_bytes))
            .collect();
        let count = u64::from(topology.publishers);
        let quota = |index: u64| match plan.amount {
            Amount::Messages(messages) => messages / count + u64::from(index < messages % count),
            Amount::For(_) => u64::MAX,
        };
        let publishers = welcomes.iter().zip(0..).map(|(welcome, index)| Publisher {
            in_flight: InFlight::new(welcome.receive_maximum),
            sent: 0,
            quota: quota(index),
            undelivered: 0,
            awake: true,
        });
        let sequences = |subscriber| topology.received(subscriber).map(|_| Sequence::default()).collect();
        Ok(Self {
            plan,
            run,
            version: target.version,
            templates: templates?,
            publishers: publishers.collect(),
            awake: (0..topology.publishers).collect(),
            subscribers: (0..topology.subscribers).map(sequences).collect(),
            sent_by_stream: vec![0; topology.streams() as usize],
            sent: 0,
            undelivered: 0,
            unacknowledged: 0,
            refused: 0,
            stray: 0,
            stalled: false,
            closed_ns: None,
            started_ns: 0,
            last_arrival_ns: 0,
            latency: Latency::new(),
            acknowledgement: Latency::new(),
        })
    }

    /// Publishes everything and waits until it arrived; gives up when nothing happens for as long as `patience`.
    pub fn run(&mut self, fleet: &mut Fleet, patience: Duration) -> Result<(), RunError> {
        self.started_ns = fleet.now_ns();
        self.last_arrival_ns = self.started_ns;
        let schedule = match self.plan.pace {
            Pace::PerSecond(rate) => Some(Schedule::new(self.started_ns, rate)),
            Pace::Window(_) => None,
        };
        let (mut seen, mut seen_ns) = (self.progress(), self.started_ns);
        loop {
            let now_ns = fleet.now_ns();
            if self.closed_ns.is_none() {
                match schedule {
                    Some(schedule) => self.publish_paced(fleet, schedule, now_ns)?,
                    None => self.publish_windowed(fleet, now_ns),
                }
                fleet.flush(self)?;
            }
            if self.closed_ns.is_some() && self.undelivered == 0 && self.unacknowledged == 0 {
                return Ok(());
            }
            fleet.turn(self)?;
            if self.progress() != seen {
                (seen, seen_ns) = (self.progress(), now_ns);
            } else if u128::from(now_ns.saturating_sub(seen_ns)) > patience.as_nanos() {
                self.stalled = true;
                return Ok(());
            }
        }
    }

    /// Listens a little longer.
    pub fn linger(&mut self, fleet: &mut Fleet, length: Duration) -> Result<(), RunError> {
        let end_ns = fleet.now_ns() + length.as_nanos() as u64;
        while fleet.now_ns() < end_ns {
            fleet.turn(self)?;
        }
        Ok(())
    }

    /// Copies that did not arrive.
    pub fn lost(&self) -> u64 {
        self.expected() - self.sequences().map(Sequence::distinct).sum::<u64>()
    }

    /// The account of all messages.
    pub fn delivery(&self) -> Delivery {
        Delivery {
            published: self.sent,
            expected: self.expected(),
            delivered: self.sequences().map(Sequence::distinct).sum(),
            lost: self.lost(),
            duplicates: self.sequences().map(Sequence::duplicates).sum(),
            out_of_order: self.sequences().map(Sequence::late).sum(),
            stray: self.stray + self.sequences().map(Sequence::never_sent).sum::<u64>(),
            refused: self.refused,
            stalled: self.stalled,
            sessions_missing: 0,
            warmup_lost: 0,
        }
    }

    /// From the first publication to the last delivery, or acknowledgement where nobody is there to be delivered to.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.last_arrival_ns - self.started_ns)
    }

    /// From sending (or being due) to delivery.
    pub fn latency(&self) -> Option<LatencySummary> {
        self.latency.summary()
    }

    /// QoS 1 and 2 publications that the broker has taken.
    pub fn taken(&self) -> u64 {
        self.sent - self.unacknowledged - self.refused
    }

    /// From sending (or being due) to PUBACK or PUBCOMP.
    pub fn acknowledgement(&self) -> Option<LatencySummary> {
        self.acknowledgement.summary()
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.subscribers.iter().flatten()
    }

    fn expected(&self) -> u64 {
        self.sent * self.plan.copies()
    }

    /// Changes whenever a message or an acknowledgement moves.
    fn progress(&self) -> (u64, u64, u64) {
        (self.sent, self.undelivered, self.unacknowledged)
    }

    fn publish_windowed(&mut self, fleet: &mut Fleet, now_ns: u64) {
        if let Amount::For(length) = self.plan.amount
            && now_ns - self.started_ns >= length.as_nanos() as u64
        {
            self.closed_ns = Some(now_ns);
            return;
        }
        for publisher in std::mem::take(&mut self.awake) {
            self.publishers[publisher as usize].awake = false;
            loop {
                match self.room(publisher, fleet) {
                    Room::Free => self.publish(publisher, fleet, now_ns),
                    Room::Full => break,
                    Room::Backlog => {
                        self.wake(publisher);
                        break;
                    }
                }
            }
        }
        if let Amount::Messages(messages) = self.plan.amount
            && self.sent == messages
        {
            self.closed_ns = Some(now_ns);
        }
    }

    fn publish_paced(&mut self, fleet: &mut Fleet, schedule: Schedule, now_ns: u64) -> Result<(), RunError> {
        let total = match (self.plan.amount, self.plan.pace) {
            (Amount::Messages(messages), _) => messages,
            (Amount::For(length), Pace::PerSecond(rate)) => (length.as_secs_f64() * rate).ceil() as u64,
            (Amount::For(_), Pace::Window(_)) => 0,
        };
        loop {
            if self.sent >= total {
                self.closed_ns = Some(now_ns);
                return Ok(());
            }
            let due_ns = schedule.due_ns(self.sent);
            if due_ns > now_ns {
                return fleet.wake_at(due_ns);
            }
            // Fits: the remainder is below the number of publishers.
            let publisher = (self.sent % self.publishers.len() as u64) as u32;
            match self.room(publisher, fleet) {
                Room::Free => self.publish(publisher, fleet, due_ns),
                Room::Full | Room::Backlog => return Ok(()),
            }
        }
    }

    fn room(&self, publisher: u32, fleet: &Fleet) -> Room {
        self.publishers[publisher as usize].room(&self.plan, fleet.backlog(self.client_of(publisher)))
    }

    fn publish(&mut self, publisher: u32, fleet: &mut Fleet, sent_ns: u64) {
        let client = self.client_of(publisher);
        let state = &mut self.publishers[publisher as usize];
        let route = self.plan.topology.route(publisher, state.sent);
        let packet_id = if self.plan.qos > 0 { state.in_flight.begin(sent_ns).unwrap_or_default() } else { 0 };
        let sequence = &mut self.sent_by_stream[route.stream as usize];
        let stamp = Stamp { run: self.run, stream: route.stream, sequence: *sequence, sent_ns };
        if let Some(outbox) = fleet.outbox(client) {
            self.templates[route.topic as usize].append(outbox, packet_id, &stamp);
        }
        let copies = self.plan.copies();
        *sequence += 1;
        state.sent += 1;
        state.undelivered += copies;
        self.sent += 1;
        self.undelivered += copies;
        self.unacknowledged += u64::from(self.plan.qos > 0);
    }

    fn client_of(&self, publisher: u32) -> usize {
        self.subscribers.len() + publisher as usize
    }

    fn wake(&mut self, publisher: u32) {
        if let Some(state) = self.publishers.get_mut(publisher as usize)
            && !state.awake
        {
            state.awake = true;
            self.awake.push(publisher);
        }
    }

    fn deliver(&mut self, subscriber: usize, payload: &[u8], now_ns: u64) {
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == self.run) else {
            self.stray += 1;
            return;
        };
        // Fits: the fleet has fewer clients than that.
        let first = self.plan.topology.received(subscriber as u32).start;
        let known = stamp.stream.checked_sub(first).and_then(|at| self.subscribers[subscriber].get_mut(at as usize));
        let Some(sequence) = known else {
            self.stray += 1;
            return;
        };
        let settled = match sequence.observe(stamp.sequence, self.sent_by_stream[stamp.stream as usize]) {
            Arrival::InOrder => 1,
            Arrival::AfterGap(gap) => gap + 1,
            Arrival::Late => 0,
            Arrival::Duplicate | Arrival::NeverSent => return,
        };
        self.last_arrival_ns = now_ns;
        self.latency.record(now_ns.saturating_sub(stamp.sent_ns));
        let publisher = self.plan.topology.publisher_of(stamp.stream);
        self.publishers[publisher as usize].undelivered -= settled;
        self.undelivered -= settled;
        self.wake(publisher);
    }

    fn release(&mut self, publisher: usize, packet_id: u16, now_ns: u64) -> Result<(), Fault> {
        let Some(sent_ns) = self.publishers.get_mut(publisher).and_then(|state| state.in_flight.end(packet_id)) else {
            return Err(Fault::Unexpected("an acknowledgement of an unused packet identifier"));
        };
        self.unacknowledged -= 1;
        self.acknowledgement.record(now_ns.saturating_sub(sent_ns));
        if self.plan.sessions == SubscriberSessions::Offline {
            self.last_arrival_ns = now_ns;
        }
        // Fits: it is an index of a list that a u32 sized.
        self.wake(publisher as u32);
        Ok(())
    }

    fn acknowledged(
        &mut self,
        client: usize,
        kind: Acknowledge,
        packet_id: u16,
        reason: u8,
        outbox: &mut Vec<u8>,
        now_ns: u64,
    ) -> Result<(), Fault> {
        let publisher = client.checked_sub(self.subscribers.len());
        match (kind, publisher) {
            (Acknowledge::PubRel, None) => packets::answer(Acknowledge::PubComp, packet_id, outbox),
            (Acknowledge::PubAck | Acknowledge::PubComp, Some(publisher)) => {
                self.refused += u64::from(reason >= 0x80);
                self.release(publisher, packet_id, now_ns)?;
            }
            (Acknowledge::PubRec, Some(publisher)) if reason >= 0x80 => {
                self.refused += 1;
                self.release(publisher, packet_id, now_ns)?;
            }
            (Acknowledge::PubRec, Some(_)) => packets::answer(Acknowledge::PubRel, packet_id, outbox),
            _ => return Err(Fault::Unexpected("an acknowledgement")),
        }
        Ok(())
    }
}

impl Driver for Phase {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault> {
        match packet {
            Incoming::Publish { qos, packet_id, payload } => {
                if client >= self.subscribers.len() {
                    return Err(Fault::Unexpected("a PUBLISH to a publisher"));
                }
                match qos {
                    0 => {}
                    1 => packets::answer(Acknowledge::PubAck, packet_id, outbox),
                    _ => packets::answer(Acknowledge::PubRec, packet_id, outbox),
                }
                self.deliver(client, payload, now_ns);
                Ok(())
            }
            Incoming::Acknowledge { kind, packet_id, reason } => {
                self.acknowledged(client, kind, packet_id, reason, outbox, now_ns)
            }
            Incoming::Other(frame) => match packets::reply(frame, self.version)? {
                Reply::Pong => Ok(()),
                Reply::Welcome(_) | Reply::Granted(_) => Err(Fault::Unexpected("a second answer")),
            },
            Incoming::Broken => Err(Fault::Unexpected("a packet that ends too early")),
        }
    }
}
