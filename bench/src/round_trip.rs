//! One message at a time into a topic, and the time until something comes out of another: what a function, or any other
//! responder behind the broker, takes. Invariant: the next message is published only when the answer to the last is here.

use std::collections::VecDeque;

use selvedge_codec::ProtocolVersion;

use crate::entrance::{Newcomer, enter};
use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::{Acknowledge, Incoming};
use crate::latency::Latency;
use crate::options::RoundTripOptions;
use crate::packets::{self, Reply, SessionWish};
use crate::plan::{LIMITS, in_range};
use crate::report::{Delivery, Report, Unit};
use crate::resources::Resources;
use crate::target::Target;

const LISTENER: usize = 0;
const PUBLISHER: usize = 1;

/// Runs the scenario.
pub(crate) fn run(options: &RoundTripOptions, target: &Target, run_id: u32) -> Result<Report, RunError> {
    let messages = in_range("messages", options.messages, 1, LIMITS.filters)?;
    let warmup = (messages / 10).clamp(1, 100);
    let mut fleet = Fleet::new(target, 2)?;
    let listener = Newcomer {
        name: format!("bench-{run_id:08x}-answers"),
        subscriptions: packets::subscribes(target.version, std::slice::from_ref(&options.answer), options.qos)?,
        qos: options.qos,
        session: SessionWish::Transient,
    };
    let publisher = Newcomer {
        name: format!("bench-{run_id:08x}-asks"),
        subscriptions: VecDeque::new(),
        qos: options.qos,
        session: SessionWish::Transient,
    };
    enter(&mut fleet, target, LISTENER, vec![listener, publisher])?;
    let mut trip = Trip {
        version: target.version,
        unacknowledged: false,
        asked_ns: None,
        answers: 0,
        stray: 0,
        latency: Latency::new(),
    };
    for _ in 0..warmup {
        trip.once(&mut fleet, options, target)?;
    }
    (trip.answers, trip.stray, trip.latency) = (0, 0, Latency::new());
    let before = Resources::sample(target)?;
    let started_ns = fleet.now_ns();
    for _ in 0..messages {
        trip.once(&mut fleet, options, target)?;
    }
    let elapsed_s = (fleet.now_ns() - started_ns) as f64 / 1e9;
    Ok(Report {
        scenario: "round-trip",
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: format!("{messages} messages to {}, answers on {}, QoS {}", options.topic, options.answer, options.qos),
        unit: Unit::Delivery,
        count: trip.answers,
        elapsed_s,
        latency: trip.latency.summary(),
        delivery: Some(Delivery {
            published: u64::from(messages),
            expected: u64::from(messages),
            delivered: trip.answers,
            lost: u64::from(messages).saturating_sub(trip.answers),
            stray: trip.stray,
            ..Delivery::default()
        }),
        acknowledgement: None,
        payload_bytes: 0,
        connections_lost: 0,
        resources: before.until_now(target)?,
    })
}

struct Trip {
    version: ProtocolVersion,
    /// The broker has not acknowledged the last message.
    unacknowledged: bool,
    /// When the message was published whose answer is awaited.
    asked_ns: Option<u64>,
    answers: u64,
    stray: u64,
    latency: Latency,
}

impl Trip {
    fn once(&mut self, fleet: &mut Fleet, options: &RoundTripOptions, target: &Target) -> Result<(), RunError> {
        let since_ns = fleet.now_ns();
        // The identifier of the last message is free again when the broker has acknowledged it.
        while self.unacknowledged {
            self.wait(fleet, target, since_ns, "an acknowledgement")?;
        }
        self.unacknowledged = options.qos > 0;
        let bytes = packets::publish(self.version, &options.topic, options.qos, false, options.payload.as_bytes())?;
        if let Some(outbox) = fleet.outbox(PUBLISHER) {
            outbox.extend_from_slice(&bytes);
        }
        let asked_ns = fleet.now_ns();
        self.asked_ns = Some(asked_ns);
        fleet.flush(self)?;
        while self.asked_ns.is_some() {
            self.wait(fleet, target, asked_ns, "an answer")?;
        }
        Ok(())
    }

    fn wait(&mut self, fleet: &mut Fleet, target: &Target, since_ns: u64, what: &str) -> Result<(), RunError> {
        if u128::from(fleet.now_ns() - since_ns) > target.patience.as_nanos() {
            let waiting_for = format!("{what} ({} came so far)", self.answers);
            return Err(RunError::TimedOut { address: target.address, waiting_for, after: target.patience });
        }
        fleet.turn(self)
    }
}

impl Driver for Trip {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault> {
        match packet {
            Incoming::Publish { qos, packet_id, .. } => {
                match qos {
                    0 => {}
                    1 => packets::answer(Acknowledge::PubAck, packet_id, outbox),
                    _ => packets::answer(Acknowledge::PubRec, packet_id, outbox),
                }
                match self.asked_ns.take().filter(|_| client == LISTENER) {
                    Some(asked_ns) => {
                        self.latency.record(now_ns - asked_ns);
                        self.answers += 1;
                    }
                    None => self.stray += 1,
                }
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
            Incoming::Acknowledge { .. } => self.unacknowledged = false,
            Incoming::Other(frame) => {
                let (Reply::Granted(_) | Reply::Welcome(_) | Reply::Pong) = packets::reply(frame, self.version)?;
            }
            Incoming::Broken => return Err(Fault::Unexpected("a packet that ends too early")),
        }
        Ok(())
    }
}
