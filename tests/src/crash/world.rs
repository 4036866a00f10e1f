//! All clients of a run, what they were promised, and how each event changes that.
//!
//! One thread owns everything, so that "before" and "after" mean what was read first. Invariant: every event of every client
//! passes [`World::pump`], and nowhere else anything is called acknowledged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::endpoint::Event;
use super::ledger::{Ledger, Message, MessageId, Subscription, Way};
use super::members::{Member, Role, Session, gather};
use super::report::{Breach, Kind, Report};
use super::retained::Retained;
use super::things::Thing;
use crate::client_packet::Will;
use crate::random::Random;
use crate::server_packet::Publish;

/// QoS of a marker's subscription.
const MARKER_QOS: u8 = 1;
/// How long the system may take to tell that a process has died.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// From here on a SUBACK refuses.
const FAILURE: u8 = 0x80;
/// Inputs of the function that counts.
pub const COUNTED: &str = "counter/in";
/// Topics of markers.
pub const MARKERS: &str = "sync/";
/// Longest delay of a will, seconds.
const WILL_DELAY_S: usize = 2;

/// How a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// With a DISCONNECT.
    Polite,
    /// As when a cable breaks, or the broker.
    Broken,
}

/// Clients and ledger of one life of a data directory.
#[derive(Debug)]
pub struct World {
    /// Durable clients.
    pub members: Vec<Member>,
    /// Owners of twins.
    pub things: Vec<Thing>,
    /// Messages and debts.
    pub ledger: Ledger,
    /// Retained messages.
    pub retained: Retained,
    /// What was kept and what not.
    pub report: Report,
    /// All decisions of the load.
    pub random: Random,
    /// Where the broker is now.
    pub address: SocketAddr,
    /// Crashes so far.
    pub round: u64,
    /// Inputs of the counting function, all with QoS 2.
    pub counted: u64,
    /// Whether functions are deployed.
    pub functions: bool,
    /// Whether the broker may refuse what it is asked, as one does whose disk fails.
    pub may_refuse: bool,
    /// How long is waited for it.
    pub waits: Waits,
    life: u64,
}

/// How long is waited until what has not come counts as lost.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// Everything that a live broker owes comes in this time.
    pub all: Duration,
    /// What is owed and did not come with the rest is waited for until nothing more has come for so long, however long it takes.
    pub stragglers: Duration,
}

impl Waits {
    /// For a broker that is to lose nothing there is more patience: a slow machine is no loss.
    fn of(product: bool) -> Self {
        let stragglers = Duration::from_secs(if product { 15 } else { 3 });
        Self { all: Duration::from_secs(20), stragglers }
    }
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(seed: u64, address: SocketAddr, product: bool) -> Self {
        let mut world = Self {
            members: Vec::new(),
            things: Vec::new(),
            ledger: Ledger::default(),
            retained: Retained::default(),
            report: Report::new(seed),
            random: Random::new(seed),
            address,
            round: 0,
            counted: 0,
            functions: product,
            may_refuse: false,
            waits: Waits::of(product),
            life: 0,
        };
        world.begin_anew();
        world
    }

    /// Forgets everything but the report: the data directory is a new one.
    pub fn begin_anew(&mut self) {
        self.life += 1;
        self.members = gather(self.life, self.functions, &mut self.random);
        self.things = if self.functions { Thing::all(self.life) } else { Vec::new() };
        self.retained = Retained::default();
        self.ledger = Ledger::default();
        self.counted = 0;
    }

    /// Connects a client with the session that it expects, or a new one.
    pub fn connect(&mut self, index: usize) {
        if self.members[index].role == Role::Mortal {
            self.make_will(index);
        }
        let member = &mut self.members[index];
        let anew = member.session != Session::Stands;
        // Nothing listens while the broker is dead, which the next attempt finds out.
        if member.endpoint.connect(self.address, anew).is_ok() && anew {
            member.session = Session::Asked;
        }
    }

    /// Ends a client's connection.
    pub fn close(&mut self, index: usize, leaving: Leaving) {
        self.members[index].endpoint.close(leaving == Leaving::Polite);
        self.has_left(index, leaving);
    }

    /// Whether its will has still to be read.
    pub fn mourned(&self, index: usize) -> bool {
        self.members[index].will.is_some_and(|(id, _)| self.ledger.is_due(id))
    }

    fn make_will(&mut self, index: usize) {
        let (qos, delay_s) = (self.random.pick(&[1, 2]), self.random.below(WILL_DELAY_S));
        let name = self.members[index].name().to_owned();
        let topic = format!("w/{name}");
        let (published, acknowledged, history) = (self.round, None, Vec::new());
        let message =
            Message { publisher: name, topic: topic.clone(), qos, way: Way::Will, published, acknowledged, history };
        let id = self.ledger.publish(message);
        let will = Will::new(&topic, id.to_string().as_bytes()).qos(qos);
        let member = &mut self.members[index];
        member.endpoint.will = Some(will.delay(u32::try_from(delay_s).unwrap_or(0)));
        member.will = Some((id, false));
    }

    /// A connection has ended: a will that the broker has taken is due, or given up.
    fn has_left(&mut self, index: usize, leaving: Leaving) {
        if let Some((id, true)) = self.members[index].will {
            self.members[index].will = Some((id, false));
            match leaving {
                Leaving::Broken => self.ledger.acknowledged(id, self.round, &mut self.report),
                Leaving::Polite => self.ledger.refused(id),
            }
        }
    }

    /// Sends and receives for everybody, waiting a little if there is nothing.
    pub fn pump(&mut self, patience: Duration) {
        self.wait(patience);
        for index in 0..self.members.len() {
            match self.members[index].endpoint.exchange() {
                Ok(events) => events.into_iter().for_each(|event| self.handle(index, event)),
                Err(error) => {
                    self.report.breach(Kind::Node, Breach::Wrong, || format!("{error:#}"));
                    self.members[index].endpoint.close(false);
                }
            }
        }
        for thing in &mut self.things {
            thing.pump(&mut self.report);
        }
    }

    /// Pumps until a condition holds; false if it does not in time.
    pub fn pump_until(&mut self, patience: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            self.pump(Duration::from_millis(5));
            if holds(self) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
        }
    }

    /// All connections break, and the broker goes on.
    pub fn disconnect_all(&mut self) {
        (0..self.members.len()).for_each(|index| self.close(index, Leaving::Broken));
    }

    /// The broker is dead: reads what it said before, and counts what is owed now.
    pub fn crashed(&mut self) {
        let open = |world: &Self| world.members.iter().any(|member| member.endpoint.is_open());
        self.pump_until(LAST_WORDS, |world| !open(world));
        for index in 0..self.members.len() {
            self.close(index, Leaving::Broken);
            let member = &mut self.members[index];
            if member.session == Session::Asked {
                member.session = Session::Unknown;
            }
        }
        self.round += 1;
        self.report.next_round();
        let standing = self.members.iter().filter(|member| member.session == Session::Stands).count();
        self.report.owed(Kind::Session, standing as u64);
        self.ledger.count_outstanding(&mut self.report);
    }

    fn wait(&self, patience: Duration) {
        let connections = self.members.iter().map(|member| &member.endpoint);
        let connections = connections.chain(self.things.iter().map(|thing| &thing.endpoint));
        let mut polled: Vec<PollFd<'_>> = connections
            .filter_map(|endpoint| endpoint.connection())
            .map(|connection| PollFd::new(connection, PollFlags::IN))
            .collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        // An interrupted wait is a short one.
        poll(&mut polled, Some(&timeout)).ok();
    }

    fn handle(&mut self, index: usize, event: Event) {
        let name = self.members[index].name().to_owned();
        match event {
            Event::Again(id) => self.ledger.note(id, || "sent again".to_owned()),
            Event::Connected { session_present } => self.connected(index, session_present),
            Event::Refused(_) if self.may_refuse => self.members[index].endpoint.close(false),
            Event::Refused(reason) => {
                self.report.breach(Kind::Node, Breach::Wrong, || format!("{name} is refused with {reason:#04x}"));
                self.members[index].endpoint.close(false);
            }
            Event::Acknowledged(id) => {
                self.report.published += 1;
                self.ledger.note(id, || "acknowledged".to_owned());
                self.ledger.acknowledged(id, self.round, &mut self.report);
                // With QoS 2 a broker may wait for PUBREL until it acts on a message (4.3.3).
                if self.ledger.qos(id) == Some(1) {
                    self.retained.acknowledged(id);
                }
            }
            Event::NotTaken(id, _) => {
                self.report.refused += 1;
                self.counted -= u64::from(self.ledger.topic(id) == Some(COUNTED));
                self.ledger.refused(id);
                self.retained.refused(id);
            }
            Event::Subscribed(_, granted) if granted >= FAILURE && self.may_refuse => {}
            Event::Subscribed(filter, granted) if granted >= FAILURE => {
                self.report.breach(Kind::Subscription, Breach::Wrong, || {
                    format!("{name} is refused {filter} with {granted:#04x}")
                });
            }
            Event::Subscribed(filter, granted) => self.ledger.subscribed(&name, &filter, granted),
            Event::Unsubscribed(filter) => self.ledger.unsubscribed(&name, &filter),
            Event::Delivered(publish) => self.delivered(index, &publish),
            Event::Reused { packet_id, held, came } => {
                self.report.breach(Kind::ExactlyOnce, Breach::Wrong, || {
                    let [held, came] = [&held, &came].map(|bytes| String::from_utf8_lossy(bytes));
                    format!("{name} got packet identifier {packet_id} for {came:?} while {held:?} holds it")
                });
            }
            Event::Completed(id) => self.retained.acknowledged(id),
            Event::Closed => self.has_left(index, Leaving::Broken),
        }
    }

    fn connected(&mut self, index: usize, session_present: bool) {
        let member = &mut self.members[index];
        let name = member.name().to_owned();
        let before = std::mem::replace(&mut member.session, Session::Stands);
        member.will = member.will.map(|(id, _)| (id, true));
        if before == Session::Stands && session_present {
            return;
        }
        if before == Session::Stands {
            self.report.breach(Kind::Session, Breach::Lost, || format!("{name} has no session any more"));
            self.ledger.settle(&name, &mut self.report);
        }
        let reads = self.members[index].reads();
        if reads {
            self.ledger.session_begins(&name);
            self.members[index].endpoint.forget_incoming();
            // These were sent again with the connection.
            for (filter, qos) in self.members[index].endpoint.wanted_filters() {
                self.ledger.subscription_becomes(&name, &filter, qos, Subscription::Wanted);
            }
            let marker_topic = self.members[index].marker_topic();
            self.subscribe(index, &marker_topic, MARKER_QOS);
            if let Role::Keeper(filter) = self.members[index].role {
                self.subscribe(index, filter, 2);
            }
        }
    }

    /// Asks for a subscription.
    pub fn subscribe(&mut self, index: usize, filter: &str, qos: u8) {
        let member = &mut self.members[index];
        self.ledger.subscription_becomes(member.name(), filter, qos, Subscription::Wanted);
        member.endpoint.subscribe(filter, qos);
    }

    /// Takes a subscription back.
    pub fn unsubscribe(&mut self, index: usize, filter: &str) {
        let member = &mut self.members[index];
        self.ledger.subscription_becomes(member.name(), filter, 0, Subscription::Unwanted);
        member.endpoint.unsubscribe(filter);
    }

    fn delivered(&mut self, index: usize, publish: &Publish) {
        if publish.topic.starts_with(MARKERS) {
            let marker = message_id(&publish.payload).unwrap_or(0);
            let member = &mut self.members[index];
            member.marker = member.marker.max(marker);
            return;
        }
        let name = self.members[index].name().to_owned();
        let id = match publish.topic.strip_prefix("converted/") {
            Some(_) => converted_id(&publish.payload),
            None => message_id(&publish.payload),
        };
        match id {
            Some(id) => self.ledger.delivered(&name, id, publish, &mut self.report),
            None => {
                self.report.breach(Kind::Node, Breach::Wrong, || format!("{name} got what nobody sent: {publish:?}"))
            }
        }
    }
}

/// The number that a payload begins with.
pub fn message_id(payload: &[u8]) -> Option<MessageId> {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&payload[..digits]).ok()?.parse().ok()
}

/// A temperature that carries a number, in hundredths of a degree: the function takes no more than 10,000 degrees.
pub fn reading(id: MessageId) -> String {
    format!("{}.{:02}", id / 100, id % 100)
}

/// The number that a converted reading carries.
fn converted_id(payload: &[u8]) -> Option<MessageId> {
    let value = serde_json::from_slice::<Value>(payload).ok()?["value"].as_f64()?;
    (value >= 0.0).then_some((value * 100.0).round() as MessageId)
}
