//! Brings every session back, acknowledges what waits for it, and accounts for each message.
//! Invariant: a session's connection is closed only when the broker has handled all its acknowledgements, which the answer
//! to a PINGREQ behind them shows.

use selvedge_codec::ProtocolVersion;

use super::plan::BacklogPlan;
use super::prepare;
use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::{Acknowledge, Incoming};
use crate::packets::{self, Reply, SessionWish};
use crate::report::{Delivery, Report, Unit};
use crate::resources::Resources;
use crate::sequence::{Arrival, Sequence};
use crate::stamp::Stamp;
use crate::target::Target;

/// Connections under way at once; below the listen backlog of every broker.
const UNDER_WAY_MAX: u64 = 64;

const PINGREQ: [u8; 2] = [0xC0, 0];

/// Drains every session; `refused` publications are not waited for.
pub(super) fn run(plan: &BacklogPlan, target: &Target, refused: u64) -> Result<Report, RunError> {
    let mut fleet = Fleet::new(target, plan.sessions)?;
    let mut draining = Draining::new(plan, target, refused);
    let before = Resources::sample(target)?;
    let started_ns = fleet.now_ns();
    draining.run(&mut fleet, target)?;
    let resources = before.until_now(target)?;
    (0..plan.sessions as usize).for_each(|session| fleet.close(session));
    let delivery = draining.delivery();
    if !plan.keep_sessions && !delivery.stalled {
        prepare::end_sessions(plan, target, &mut fleet)?;
    }
    Ok(Report {
        scenario: "backlog drain",
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: plan.describe(),
        unit: Unit::Delivery,
        count: delivery.delivered,
        elapsed_s: draining.last_ns.saturating_sub(started_ns) as f64 / 1e9,
        latency: None,
        acknowledgement: None,
        payload_bytes: delivery.delivered * plan.payload_bytes as u64,
        delivery: Some(delivery),
        connections_lost: 0,
        resources,
    })
}

struct Draining<'p> {
    plan: &'p BacklogPlan,
    run: u32,
    version: ProtocolVersion,
    /// By session, then by publisher: how many there are to be, and what came.
    streams: Vec<Vec<(u64, Sequence)>>,
    /// Deliveries that should come; less those of sessions that are gone.
    awaited: u64,
    refused: u64,
    arrived: u64,
    /// Deliveries of all kinds, for noticing that nothing happens any more.
    packets: u64,
    welcomed: u64,
    missing_sessions: u64,
    pongs: u64,
    stray: u64,
    stalled: bool,
    last_ns: u64,
}

impl<'p> Draining<'p> {
    fn new(plan: &'p BacklogPlan, target: &Target, refused: u64) -> Self {
        let of_session = |session| {
            let stream = |publisher| (plan.expected(session, publisher), Sequence::default());
            (0..plan.publishers).map(stream).collect::<Vec<_>>()
        };
        let refused = refused * plan.copies();
        Self {
            plan,
            run: plan.run_id(),
            version: target.version,
            streams: (0..plan.sessions).map(of_session).collect(),
            awaited: (plan.messages * plan.copies()).saturating_sub(refused),
            refused,
            arrived: 0,
            packets: 0,
            welcomed: 0,
            missing_sessions: 0,
            pongs: 0,
            stray: 0,
            stalled: false,
            last_ns: 0,
        }
    }

    /// Until everything is there and acknowledged, or nothing happens for as long as the patience.
    fn run(&mut self, fleet: &mut Fleet, target: &Target) -> Result<(), RunError> {
        let sessions = u64::from(self.plan.sessions);
        let (mut opened, mut asked) = (0, false);
        let (mut seen, mut seen_ns) = (self.progress(), fleet.now_ns());
        while self.pongs < sessions {
            while opened < sessions && opened - self.welcomed < UNDER_WAY_MAX {
                self.open(opened, fleet, target)?;
                opened += 1;
            }
            if !asked && self.welcomed == sessions && (self.arrived >= self.awaited || self.stalled) {
                asked = true;
                for session in 0..self.plan.sessions as usize {
                    fleet.outbox(session).map(|outbox| outbox.extend_from_slice(&PINGREQ)).unwrap_or_default();
                }
                fleet.flush(self)?;
            }
            fleet.turn(self)?;
            let now_ns = fleet.now_ns();
            if self.progress() != seen {
                (seen, seen_ns) = (self.progress(), now_ns);
            } else if u128::from(now_ns - seen_ns) > target.patience.as_nanos() {
                if self.welcomed < sessions || asked {
                    let waiting_for = format!("{} of {sessions} sessions were answered", self.welcomed.max(self.pongs));
                    return Err(RunError::TimedOut { address: target.address, waiting_for, after: target.patience });
                }
                (self.stalled, seen_ns) = (true, now_ns);
            }
        }
        Ok(())
    }

    fn open(&mut self, session: u64, fleet: &mut Fleet, target: &Target) -> Result<(), RunError> {
        // Fits: there are fewer sessions than that.
        let name = self.plan.session_name(session as u32);
        let hello = packets::connect(target, &name, SessionWish::Resume { expiry_s: self.plan.expiry_s })?;
        fleet.open(session as usize, name, &hello)
    }

    fn progress(&self) -> (u64, u64, u64) {
        (self.packets, self.welcomed, self.pongs)
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.streams.iter().flatten().map(|(_, sequence)| sequence)
    }

    fn delivery(&self) -> Delivery {
        let expected = (self.plan.messages * self.plan.copies()).saturating_sub(self.refused);
        let delivered = self.sequences().map(Sequence::distinct).sum();
        Delivery {
            published: self.plan.messages,
            expected,
            delivered,
            lost: expected.saturating_sub(delivered),
            duplicates: self.sequences().map(Sequence::duplicates).sum(),
            out_of_order: self.sequences().map(Sequence::late).sum(),
            stray: self.stray + self.sequences().map(Sequence::never_sent).sum::<u64>(),
            sessions_missing: self.missing_sessions,
            stalled: self.stalled,
            ..Delivery::default()
        }
    }

    fn welcome(&mut self, session: usize, present: bool) {
        self.welcomed += 1;
        if !present {
            self.missing_sessions += 1;
            let gone: u64 = self.streams[session].iter().map(|(expected, _)| expected).sum();
            self.awaited = self.awaited.saturating_sub(gone);
        }
    }

    fn deliver(&mut self, session: usize, payload: &[u8], now_ns: u64) {
        self.packets += 1;
        self.last_ns = now_ns;
        let stamp = Stamp::read(payload).filter(|stamp| stamp.run == self.run);
        // Fits: there are fewer sessions than that.
        let publisher = |stamp: Stamp| Some((self.plan.publisher_of(session as u32, stamp.stream)?, stamp.sequence));
        let Some((publisher, number)) = stamp.and_then(publisher) else {
            self.stray += 1;
            return;
        };
        let (expected, sequence) = &mut self.streams[session][publisher as usize];
        match sequence.observe(number, *expected) {
            Arrival::InOrder | Arrival::AfterGap(_) | Arrival::Late => self.arrived += 1,
            Arrival::Duplicate | Arrival::NeverSent => {}
        }
    }
}

impl Driver for Draining<'_> {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault> {
        match packet {
            Incoming::Publish { qos, packet_id, payload } => {
                if qos != 1 {
                    return Err(Fault::Unexpected("a PUBLISH of another quality of service than 1"));
                }
                packets::answer(Acknowledge::PubAck, packet_id, outbox);
                self.deliver(client, payload, now_ns);
                Ok(())
            }
            Incoming::Other(frame) => {
                match packets::reply(frame, self.version)? {
                    Reply::Welcome(welcome) => self.welcome(client, welcome.session_present),
                    Reply::Pong => self.pongs += 1,
                    Reply::Granted(_) => return Err(Fault::Unexpected("a second answer")),
                }
                Ok(())
            }
            Incoming::Acknowledge { .. } => Err(Fault::Unexpected("an acknowledgement")),
            Incoming::Broken => Err(Fault::Unexpected("a packet that ends too early")),
        }
    }
}
