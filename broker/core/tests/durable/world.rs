//! Devices, a core, and between them what the shell does: bytes that wait for the journal, fetching, crashing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU16,
};

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, QoS, RetainHandling, Subscribe, SubscribeFilter, UserProperties,
};
use selvedge_core::{
    Config, ConnectionId, Core, Effect, Effects, Hold, Input, Moment, OpenAccess, Peer, Restored, SessionToken,
};

use crate::{
    device::{Device, Name},
    journal::MemoryJournal,
    random::Random,
};

const DEVICES: usize = 4;
/// Topic, and who subscribes to it at which QoS.
const TOPICS: [(&str, [Option<QoS>; DEVICES]); 3] = [
    ("a", [Some(QoS::ExactlyOnce), Some(QoS::AtLeastOnce), None, None]),
    ("b", [None, Some(QoS::ExactlyOnce), Some(QoS::ExactlyOnce), None]),
    ("c", [Some(QoS::AtLeastOnce), None, None, Some(QoS::ExactlyOnce)]),
];

/// What waits for the journal on one connection.
struct Held {
    after: usize,
    bytes: Vec<u8>,
    barrier: bool,
}

pub struct World {
    core: Core,
    now: Moment,
    next_slot: u32,
    pub devices: Vec<Device>,
    pub journal: MemoryJournal,
    held: BTreeMap<ConnectionId, VecDeque<Held>>,
    fetches: VecDeque<(SessionToken, Vec<u64>)>,
    /// Bytes on their way to the devices.
    wire: VecDeque<(ConnectionId, Vec<u8>)>,
    is_carrying: bool,
    pub crashes: u64,
    pub fetched: u64,
    pub images: u64,
}

fn core() -> Core {
    // Little memory, so that most of a queue is on disk.
    let config = Config { sys_interval_s: 0, queue_memory_bytes_max: 700, in_flight_max: 4, ..Config::default() };
    Core::new(config, Box::new(OpenAccess), 1)
}

impl World {
    pub fn new(_seed: u64) -> Self {
        let mut core = core();
        core.continue_from(Restored::default(), 1_000, 1, &mut |_| None);
        let mut world = Self {
            core,
            now: Moment::default(),
            next_slot: 0,
            devices: (0..DEVICES).map(|_| Device::default()).collect(),
            journal: MemoryJournal::default(),
            held: BTreeMap::new(),
            fetches: VecDeque::new(),
            wire: VecDeque::new(),
            is_carrying: false,
            crashes: 0,
            fetched: 0,
            images: 0,
        };
        for device in 0..DEVICES {
            world.connect(device, false);
            world.subscribe(device);
        }
        world.sync(usize::MAX);
        world
    }

    pub fn step(&mut self, random: &mut Random, crashes: bool) {
        let device = random.below(DEVICES);
        match random.below(100) {
            0..8 => {
                let is_away = self.devices[device].connection.is_none();
                is_away.then(|| self.connect(device, true));
            }
            8..12 => self.lose(device),
            12..45 => {
                let topic = TOPICS[random.below(TOPICS.len())].0;
                let qos = if random.below(2) == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                self.publish(device, topic, qos, random.below(8) == 0);
            }
            45..75 => (0..1 + random.below(5)).for_each(|_| self.answer(device)),
            75..86 => self.sync(1 + random.below(4)),
            86..90 => self.sync(usize::MAX),
            90..94 => self.fetch(),
            94..96 => {
                self.images += 1;
                self.feed(Input::WriteImage);
            }
            96 => self.tick(),
            97 => {
                let is_ready = self.devices[device].ready;
                is_ready.then(|| self.subscribe(device));
            }
            98 => self.congest(device),
            _ if crashes => {
                let lucky = random.below(self.journal.unsynced() + 1);
                self.crash(lucky);
            }
            _ => {}
        }
    }

    fn connect(&mut self, device: usize, has_session: bool) {
        let connection = ConnectionId { slot: self.next_slot, generation: 1 };
        self.next_slot += 1;
        self.devices[device].connection = Some(connection);
        let name = format!("device-{device}");
        let mut connect = Connect::new(ProtocolVersion::V5, &name, !has_session);
        connect.session_expiry_s = Some(1_000_000);
        connect.receive_maximum = NonZeroU16::new(3);
        self.feed(Input::Connect { connection, connect: &connect, peer: Peer::default() });
    }

    /// On a new connection a device first goes on with what is underway, in its order.
    fn resend(&mut self, device: usize) {
        let order: Vec<u16> = self.devices[device].order.iter().copied().collect();
        for packet_id in order {
            self.send(device, packet_id, true);
        }
    }

    fn subscribe(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        let wanted = TOPICS.iter().filter_map(|(filter, who)| who[device].map(|qos| (*filter, qos)));
        let filters = wanted.map(|(filter, qos)| SubscribeFilter {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        });
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: (device == 1).then_some(7),
            user_properties: UserProperties::EMPTY,
            filters: filters.collect(),
        });
        self.feed(Input::Packet { connection, packet });
    }

    fn lose(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        self.devices[device].lose();
        self.held.remove(&connection);
        self.feed(Input::Closed { connection });
    }

    fn publish(&mut self, device: usize, topic: &'static str, qos: QoS, retain: bool) {
        if self.devices[device].ready
            && let Some(packet_id) = self.devices[device].publish(device, topic, qos, retain)
        {
            self.send(device, packet_id, false);
        }
    }

    fn send(&mut self, device: usize, packet_id: u16, dup: bool) {
        let Some(connection) = self.devices[device].connection else { return };
        let Some(sending) = self.devices[device].outgoing.get(&packet_id).cloned() else { return };
        self.feed(Input::Packet { connection, packet: sending.packet(packet_id, dup) });
    }

    fn answer(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        if let Some(packet) = self.devices[device].answer() {
            self.feed(Input::Packet { connection, packet });
        }
    }

    fn congest(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        self.feed(Input::Congested { connection });
        self.publish(device, "b", QoS::AtLeastOnce, false);
        self.feed(Input::Drained { connection });
    }

    fn tick(&mut self) {
        while self.core.next_deadline().is_some_and(|due| due <= self.now) {
            self.feed(Input::Tick);
        }
    }

    fn fetch(&mut self) {
        let Some((session, numbers)) = self.fetches.pop_front() else { return };
        self.fetched += numbers.len() as u64;
        let messages: Vec<_> = numbers.into_iter().map(|number| (number, self.journal.fetch(number))).collect();
        self.feed(Input::Fetched { session, messages: &messages });
    }

    fn sync(&mut self, count: usize) {
        let durable = self.journal.sync(count.min(1 << 30));
        for (connection, held) in &mut self.held {
            while held.front().is_some_and(|first| first.after <= durable) {
                self.wire.extend(held.pop_front().map(|first| (*connection, first.bytes)));
            }
        }
        self.held.retain(|_, held| !held.is_empty());
        self.is_carrying = true;
        self.carry();
        self.is_carrying = false;
    }

    /// Everything on the wire arrives, in its order, and what that leads to.
    fn carry(&mut self) {
        while let Some((connection, bytes)) = self.wire.pop_front() {
            self.hear(connection, &bytes);
        }
    }

    fn crash(&mut self, lucky: usize) {
        self.crashes += 1;
        self.devices.iter_mut().for_each(Device::lose);
        self.held.clear();
        self.fetches.clear();
        self.wire.clear();
        let (restored, next_message) = self.journal.crash(lucky);
        self.core = core();
        let journal = &self.journal;
        self.core.continue_from(restored, 1_000, next_message, &mut |number| journal.fetch(number));
        assert_eq!(self.core.audit(), Ok(()), "after a crash");
        self.keep();
    }

    fn keep(&mut self) -> usize {
        self.core.take_kept().map_or(0, |kept| self.journal.append(kept))
    }

    fn feed(&mut self, input: Input<'_>) {
        self.handle(input);
        if !self.is_carrying {
            self.is_carrying = true;
            self.carry();
            self.is_carrying = false;
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut effects = Effects::new();
        self.core.handle(input, self.now, &mut effects);
        let after = self.keep();
        for effect in effects.list() {
            let (connection, mut bytes, patch, hold) = match effect {
                Effect::Send { connection, bytes, patch, hold } => {
                    (*connection, effects.bytes(*bytes).to_vec(), *patch, *hold)
                }
                Effect::SendShared { connection, bytes, patch, message, hold } => {
                    (*connection, [effects.bytes(*bytes), message.payload()].concat(), *patch, *hold)
                }
                Effect::Fetch { session, numbers } => {
                    self.fetches.push_back((*session, numbers.clone()));
                    continue;
                }
                Effect::Close { cause, .. } => panic!("closed: {cause:?}"),
                _ => continue,
            };
            if let Some(patch) = patch {
                assert!(patch.packet_id.write_at(&mut bytes, patch.offset as usize));
            }
            let held = self.held.entry(connection).or_default();
            let barred = held.iter().any(|held| held.barrier);
            let waits = match hold {
                Hold::Nothing => barred,
                Hold::Turn => !held.is_empty(),
                Hold::Durable | Hold::Barrier => true,
            };
            if waits {
                // What only keeps its place goes with what it stands behind.
                let own = matches!(hold, Hold::Durable | Hold::Barrier);
                let after = if own { after } else { held.back().map_or(after, |last| last.after) };
                assert!(after > 0, "what waits waits for something");
                // A message that stands behind a barrier must not be passed by later ones either.
                let barrier = matches!(hold, Hold::Barrier | Hold::Nothing);
                held.push_back(Held { after, bytes, barrier });
            } else {
                self.wire.push_back((connection, bytes));
            }
        }
        assert_eq!(self.core.audit(), Ok(()));
    }

    fn hear(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let Some(device) = self.devices.iter().position(|device| device.connection == Some(connection)) else { return };
        let was_ready = self.devices[device].ready;
        let has_session = self.next_slot > DEVICES as u32;
        let go_on = self.devices[device].hear(bytes, has_session);
        if !was_ready && self.devices[device].ready {
            self.resend(device);
        }
        if let Some(packet_id) = go_on {
            self.send(device, packet_id, false);
        }
    }

    /// Lets everything come to its end.
    pub fn settle(&mut self) {
        for _ in 0..2_000 {
            for device in 0..DEVICES {
                if self.devices[device].connection.is_none() {
                    self.connect(device, true);
                }
            }
            self.tick();
            self.sync(usize::MAX);
            while !self.fetches.is_empty() {
                self.fetch();
            }
            for device in 0..DEVICES {
                while !self.devices[device].answers.is_empty() {
                    self.answer(device);
                }
            }
            let underway = self.devices.iter().any(|device| !device.outgoing.is_empty() || !device.answers.is_empty());
            if !underway
                && self.journal.unsynced() == 0
                && self.fetches.is_empty()
                && self.core.statistics().queued_messages == 0
            {
                return;
            }
        }
        panic!("it does not come to an end");
    }

    fn published_to(&self, topic_index: usize) -> impl Iterator<Item = (usize, QoS)> {
        TOPICS[topic_index].1.into_iter().enumerate().filter_map(|(device, qos)| Some((device, qos?)))
    }

    /// Nothing lost, nothing twice that must not be, nothing out of order.
    pub fn check(&self) {
        for (subscriber, device) in self.devices.iter().enumerate() {
            let arrived: BTreeSet<Name> = device.received.iter().map(|(name, _)| *name).collect();
            for (publisher, other) in self.devices.iter().enumerate() {
                let wanted = other.acknowledged.iter().filter(|number| self.wants(subscriber, publisher, **number));
                for number in wanted {
                    assert!(arrived.contains(&(publisher, *number)), "{publisher} {number} for {subscriber} is lost");
                }
            }
            let mut exactly: BTreeSet<Name> = BTreeSet::new();
            for (name, _) in device.received.iter().filter(|(_, qos)| *qos == QoS::ExactlyOnce) {
                assert!(exactly.insert(*name), "{name:?} came twice to {subscriber}");
            }
            self.check_order(subscriber, device);
        }
    }

    /// First arrivals of one publisher, at one QoS, are in the order in which they were published.
    fn check_order(&self, subscriber: usize, device: &Device) {
        for publisher in 0..DEVICES {
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let mut seen = BTreeSet::new();
                let mut last: BTreeMap<usize, u64> = BTreeMap::new();
                for ((from, number), arrived_at) in &device.received {
                    if *from == publisher && *arrived_at == qos && seen.insert(*number) {
                        let topic = self.topic_of(publisher, *number);
                        let before = last.insert(topic, *number).unwrap_or(0);
                        assert!(before < *number, "{publisher}: {number} came after {before} to {subscriber}");
                    }
                }
            }
        }
    }

    fn topic_of(&self, publisher: usize, number: u64) -> usize {
        let topic = self.devices[publisher].topics[number as usize - 1];
        TOPICS.iter().position(|(name, _)| *name == topic).unwrap()
    }

    fn wants(&self, subscriber: usize, publisher: usize, number: u64) -> bool {
        self.published_to(self.topic_of(publisher, number)).any(|(device, _)| device == subscriber)
    }

    pub fn delivered(&self) -> u64 {
        self.devices.iter().map(|device| device.received.len() as u64).sum()
    }

    pub fn log(&self) -> Vec<Vec<(Name, QoS)>> {
        self.devices.iter().map(|device| device.received.clone()).collect()
    }
}
