//! Publishes everything to sessions that are away, by window, and times each acknowledgement.
//! Invariant: no publisher has more unacknowledged than its window and the broker's receive maximum allow.

use selvedge_codec::ProtocolVersion;

use super::plan::BacklogPlan;
use crate::entrance::{Newcomer, Welcome, enter};
use crate::error::RunError;
use crate::fleet::{Driver, Fault, Fleet};
use crate::frame::{Acknowledge, Incoming};
use crate::in_flight::InFlight;
use crate::latency::Latency;
use crate::packets::{self, Reply, SessionWish};
use crate::report::{Delivery, Report, Unit};
use crate::resources::Resources;
use crate::stamp::Stamp;
use crate::target::Target;
use crate::template::PublishTemplate;

/// Bytes that may wait in a publisher's outbox before it pauses.
const BACKLOG_BYTES_MAX: usize = 262_144;

/// Publishes all messages.
pub(super) fn run(plan: &BacklogPlan, target: &Target) -> Result<Report, RunError> {
    let mut fleet = Fleet::new(target, plan.publishers)?;
    let newcomers = (0..plan.publishers).map(|publisher| Newcomer {
        name: plan.publisher_name(publisher),
        subscriptions: Default::default(),
        qos: 1,
        session: SessionWish::Transient,
    });
    let welcomes = enter(&mut fleet, target, 0, newcomers.collect())?;
    let mut publishing = Publishing::new(plan, target, &welcomes)?;
    let before = Resources::sample(target)?;
    let started_ns = fleet.now_ns();
    publishing.run(&mut fleet, target)?;
    let resources = before.until_now(target)?;
    (0..plan.publishers as usize).for_each(|publisher| fleet.close(publisher));
    let acknowledged = publishing.sent - publishing.refused - publishing.unacknowledged;
    Ok(Report {
        scenario: "backlog publish",
        broker: target.name.clone(),
        protocol: target.version.level(),
        load: plan.describe(),
        unit: Unit::Publication,
        count: acknowledged,
        elapsed_s: publishing.last_ns.saturating_sub(started_ns) as f64 / 1e9,
        latency: None,
        acknowledgement: publishing.latency.summary(),
        payload_bytes: acknowledged * plan.payload_bytes as u64,
        delivery: Some(Delivery {
            published: publishing.sent,
            refused: publishing.refused,
            stalled: publishing.stalled,
            ..Delivery::default()
        }),
        connections_lost: 0,
        resources,
    })
}

struct Publisher {
    in_flight: InFlight,
    sent: u64,
    quota: u64,
}

struct Publishing<'p> {
    plan: &'p BacklogPlan,
    run: u32,
    version: ProtocolVersion,
    templates: Vec<PublishTemplate>,
    publishers: Vec<Publisher>,
    /// Publishers that may be able to publish.
    awake: Vec<u32>,
    sent: u64,
    unacknowledged: u64,
    refused: u64,
    stalled: bool,
    /// The last acknowledgement.
    last_ns: u64,
    latency: Latency,
}

impl<'p> Publishing<'p> {
    fn new(plan: &'p BacklogPlan, target: &Target, welcomes: &[Welcome]) -> Result<Self, RunError> {
        let topics = plan.topics();
        let templates =
            topics.iter().map(|topic| PublishTemplate::new(target.version, topic, 1, false, plan.payload_bytes));
        let publishers = welcomes.iter().zip(0..).map(|(welcome, number)| Publisher {
            in_flight: InFlight::new(plan.window.min(welcome.receive_maximum)),
            sent: 0,
            quota: plan.quota(number),
        });
        Ok(Self {
            plan,
            run: plan.run_id(),
            version: target.version,
            templates: templates.collect::<Result<_, _>>()?,
            publishers: publishers.collect(),
            awake: (0..plan.publishers).collect(),
            sent: 0,
            unacknowledged: 0,
            refused: 0,
            stalled: false,
            last_ns: 0,
            latency: Latency::new(),
        })
    }

    /// Until everything is acknowledged, or nothing happens for as long as the patience.
    fn run(&mut self, fleet: &mut Fleet, target: &Target) -> Result<(), RunError> {
        let (mut seen, mut seen_ns) = ((0, 0), fleet.now_ns());
        while self.sent < self.plan.messages || self.unacknowledged > 0 {
            let now_ns = fleet.now_ns();
            let mut awake = std::mem::take(&mut self.awake);
            awake.retain(|publisher| self.publish(*publisher, fleet, now_ns));
            self.awake.append(&mut awake);
            fleet.flush(self)?;
            if self.unacknowledged == 0 && self.sent == self.plan.messages {
                return Ok(());
            }
            fleet.turn(self)?;
            if (self.sent, self.unacknowledged) != seen {
                (seen, seen_ns) = ((self.sent, self.unacknowledged), now_ns);
            } else if u128::from(now_ns.saturating_sub(seen_ns)) > target.patience.as_nanos() {
                self.stalled = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Publishes as much as there is room for; `true` if the publisher's socket has to take more first.
    fn publish(&mut self, publisher: u32, fleet: &mut Fleet, now_ns: u64) -> bool {
        let client = publisher as usize;
        let state = &mut self.publishers[client];
        while state.sent < state.quota && state.in_flight.has_room() {
            if fleet.backlog(client) > BACKLOG_BYTES_MAX {
                return true;
            }
            let Some(packet_id) = state.in_flight.begin(now_ns) else { return false };
            let route = self.plan.route(publisher, state.sent);
            let stamp = Stamp { run: self.run, stream: route.stream, sequence: route.sequence, sent_ns: now_ns };
            if let Some(outbox) = fleet.outbox(client) {
                self.templates[route.topic as usize].append(outbox, packet_id, &stamp);
            }
            state.sent += 1;
            self.sent += 1;
            self.unacknowledged += 1;
        }
        false
    }

    fn acknowledged(&mut self, client: usize, packet_id: u16, reason: u8, now_ns: u64) -> Result<(), Fault> {
        let Some(sent_ns) = self.publishers.get_mut(client).and_then(|state| state.in_flight.end(packet_id)) else {
            return Err(Fault::Unexpected("an acknowledgement of an unused packet identifier"));
        };
        self.unacknowledged -= 1;
        self.refused += u64::from(reason >= 0x80);
        self.last_ns = now_ns;
        self.latency.record(now_ns.saturating_sub(sent_ns));
        // Fits: it is an index of a list that a u32 sized. At most once in a row: acknowledgements of one client come together.
        if self.awake.last() != Some(&(client as u32)) {
            self.awake.push(client as u32);
        }
        Ok(())
    }
}

impl Driver for Publishing<'_> {
    fn packet(&mut self, client: usize, packet: Incoming<'_>, _outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault> {
        match packet {
            Incoming::Acknowledge { kind: Acknowledge::PubAck, packet_id, reason } => {
                self.acknowledged(client, packet_id, reason, now_ns)
            }
            Incoming::Other(frame) => match packets::reply(frame, self.version)? {
                Reply::Pong => Ok(()),
                Reply::Welcome(_) | Reply::Granted(_) => Err(Fault::Unexpected("a second answer")),
            },
            Incoming::Publish { .. } => Err(Fault::Unexpected("a PUBLISH to a publisher")),
            Incoming::Acknowledge { .. } => Err(Fault::Unexpected("an acknowledgement of another quality of service")),
            Incoming::Broken => Err(Fault::Unexpected("a packet that ends too early")),
        }
    }
}
