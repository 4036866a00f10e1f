//! The load: what each client does in a turn, decided by the seed.
//!
//! Everything that a crash may hit half-done happens all the time: messages of each QoS in flight in both directions, held
//! acknowledgements, subscriptions that come and go, sessions that are taken over, broken off and left alone.

use std::time::Duration;

use super::ledger::{Message, Subscription, Way};
use super::members::{Role, SENSORS, Session, TOPICS};
use super::world::{COUNTED, Leaving, World, reading};

/// Messages of a publisher that may be unacknowledged.
const WINDOW: usize = 12;
/// Payload of most messages, bytes at most.
const SMALL_BYTES: usize = 200;
/// Payload of some.
const LARGE_BYTES: usize = 40_000;
/// Retained topics of a publisher.
const RETAINED_TOPICS: usize = 3;
/// Of [`SORTS`] messages, how many are inputs of functions.
const INPUTS: usize = 3;
/// As above, of a load that is to bring many of them.
const MANY_INPUTS: usize = 12;
/// Messages of one publisher in a turn, less than.
const AT_ONCE: usize = 4;
/// As above, where there are many inputs.
const MANY_AT_ONCE: usize = 12;
/// Sorts of messages are chosen among so many numbers.
const SORTS: usize = 16;
/// Of these, retained messages.
const RETAINED: usize = 2;
/// How long a turn waits for packets.
const TURN: Duration = Duration::from_millis(2);

/// How much is published until the crash.
#[derive(Debug)]
pub struct Load {
    /// Publications that are left.
    left: usize,
    inputs: usize,
    at_once: usize,
}

impl Load {
    /// So many publications at most; all else goes on.
    pub fn new(publications: usize) -> Self {
        Self { left: publications, inputs: INPUTS, at_once: AT_ONCE }
    }

    /// Publishes faster, and mostly inputs of functions.
    pub fn of_inputs(publications: usize) -> Self {
        Self { left: publications, inputs: MANY_INPUTS, at_once: MANY_AT_ONCE }
    }

    /// Whether there is nothing left to publish.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// One turn of everybody.
    pub fn turn(&mut self, world: &mut World) {
        world.pump(TURN);
        for index in 0..world.members.len() {
            if !world.members[index].endpoint.is_open() {
                come_back(world, index);
            } else if world.members[index].endpoint.is_connected() {
                if world.members[index].role == Role::Publisher {
                    self.publish_some(world, index);
                }
                acknowledge(world, index);
                change_subscriptions(world, index);
                wander(world, index);
            }
        }
        let address = world.address;
        world.things.iter_mut().for_each(|thing| thing.step(address));
    }

    fn publish_some(&mut self, world: &mut World, index: usize) {
        for _ in 0..world.random.below(self.at_once) {
            if self.left == 0 || !world.members[index].endpoint.may_publish(WINDOW) {
                return;
            }
            self.left -= 1;
            self.publish(world, index);
        }
    }

    /// One message of one of the sorts.
    fn publish(&self, world: &mut World, index: usize) {
        match world.random.below(SORTS) {
            sort if sort < RETAINED => publish_retained(world, index),
            sort if sort < RETAINED + self.inputs && world.functions => publish_input(world, index),
            _ => publish_plain(world, index),
        }
    }
}

fn publish_plain(world: &mut World, index: usize) {
    let topic = format!("p/{index}/{}", world.random.below(TOPICS));
    let qos = world.random.pick(&[0, 1, 1, 1, 2, 2, 2]);
    let message = message(world, index, topic.clone(), qos, Way::Direct);
    let id = world.ledger.publish(message);
    let payload = payload(world, id);
    world.members[index].endpoint.publish(id, &topic, payload, qos, false);
}

fn publish_retained(world: &mut World, index: usize) {
    let number = world.random.below(RETAINED_TOPICS);
    let topic = format!("r/{index}/{number}");
    // One for a topic: between messages of different QoS there is no order.
    let qos = if number == 0 { 1 } else { 2 };
    let clears = world.random.below(5) == 0;
    let message = message(world, index, topic.clone(), qos, Way::Direct);
    let id = world.ledger.publish(message);
    world.retained.set(&topic, id, clears);
    let payload = if clears { Vec::new() } else { payload(world, id) };
    world.members[index].endpoint.publish(id, &topic, payload, qos, true);
}

fn publish_input(world: &mut World, index: usize) {
    if world.random.below(3) == 0 {
        // Its outputs are not read: what it did is seen in its count.
        let topic = COUNTED.to_owned();
        let message = message(world, index, topic.clone(), 2, Way::Function);
        let id = world.ledger.publish(message);
        world.counted += 1;
        world.members[index].endpoint.publish(id, &topic, b"add total 1".to_vec(), 2, false);
        return;
    }
    let sensor = world.random.below(SENSORS);
    let qos = world.random.pick(&[1, 2]);
    let message = message(world, index, format!("converted/{sensor}/temperature"), qos, Way::Function);
    let id = world.ledger.publish(message);
    let payload = reading(id).into_bytes();
    world.members[index].endpoint.publish(id, &format!("sensors/{sensor}/temperature"), payload, qos, false);
}

fn message(world: &World, index: usize, topic: String, qos: u8, way: Way) -> Message {
    let publisher = world.members[index].name().to_owned();
    Message { publisher, topic, qos, way, published: world.round, acknowledged: None, history: Vec::new() }
}

fn payload(world: &mut World, id: u64) -> Vec<u8> {
    let bytes = if world.random.below(80) == 0 { LARGE_BYTES } else { world.random.below(SMALL_BYTES) };
    let mut payload = format!("{id} ").into_bytes();
    payload.resize(payload.len() + bytes, b'.');
    payload
}

fn acknowledge(world: &mut World, index: usize) {
    let member = &mut world.members[index];
    if world.random.byte() <= member.diligence {
        member.endpoint.send_acks();
    }
}

fn change_subscriptions(world: &mut World, index: usize) {
    let Role::Reader(filters) = world.members[index].role.clone() else { return };
    let name = world.members[index].name().to_owned();
    let none = world.ledger.filters(&name, Subscription::Stands).len() < 3;
    if world.members[index].endpoint.unfinished() > 0 || world.random.below(if none { 3 } else { 150 }) > 0 {
        return;
    }
    let filter = &filters[world.random.below(filters.len())];
    match world.ledger.subscription(&name, filter) {
        None | Some(Subscription::Gone(_)) => {
            let qos = world.random.pick(&[0, 1, 1, 2, 2, 2]);
            world.subscribe(index, filter, qos);
        }
        Some(Subscription::Stands) if world.random.below(3) == 0 => world.unsubscribe(index, filter),
        Some(_) => {}
    }
}

/// A connection ends, a session is taken over, or begins anew.
fn wander(world: &mut World, index: usize) {
    let rarely = match world.members[index].role {
        Role::Publisher => 600,
        Role::Mortal => 60,
        _ => 300,
    };
    if world.random.below(rarely) > 0 {
        return;
    }
    match world.random.below(12) {
        0..4 => world.close(index, Leaving::Broken),
        4..8 => world.close(index, Leaving::Polite),
        _ if world.members[index].role == Role::Mortal => {}
        8..11 => world.connect(index),
        _ => begin_anew(world, index),
    }
}

/// Only MQTT 5 can begin anew and last.
fn begin_anew(world: &mut World, index: usize) {
    let member = &mut world.members[index];
    if member.endpoint.version == crate::client::Version::V5 && matches!(member.role, Role::Reader(_)) {
        member.session = Session::Unknown;
        world.ledger.session_begins(world.members[index].name());
        world.connect(index);
    }
}

fn come_back(world: &mut World, index: usize) {
    if world.mourned(index) {
        return;
    }
    let member = &world.members[index];
    let new = member.session != Session::Stands;
    let rarely = if new || member.role == Role::Publisher { 10 } else { 120 };
    if world.random.below(rarely) == 0 {
        world.members[index].asleep = false;
        world.connect(index);
    }
}
