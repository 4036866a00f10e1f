//! Random operations against a short model of what MQTT promises: every subscriber gets every QoS 1 and 2 message of its
//! session, in order, QoS 2 exactly once, whatever connects, breaks and comes back in between; QoS 0 at most once.
//!
//! The model knows filters, effective QoS, retained messages and which sessions last. It knows nothing of windows,
//! packet identifiers, queues or acknowledgements: those are the core's business, and must not show.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU16,
};

use proptest::prelude::*;
use selvedge_codec::{
    Ack, Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, RetainHandling, Subscribe,
    SubscribeFilter, Unsubscribe, topic,
};
use selvedge_core::{Config, ConnectionId, Core, Effect, Effects, Input, Moment, OpenAccess, Peer};

const CLIENTS: usize = 4;
const TOPICS: [&str; 4] = ["a", "a/b", "a/c", "b/c"];
const FILTERS: [&str; 6] = ["a", "a/+", "#", "+/c", "a/#", "b/c"];

#[derive(Clone, Debug)]
enum Operation {
    Connect { client: usize, lasting: bool, clean: bool, window: u16, version: ProtocolVersion },
    Lose { client: usize },
    Subscribe { client: usize, filter: usize, qos: QoS },
    Unsubscribe { client: usize, filter: usize },
    Publish { client: usize, topic: usize, qos: QoS, retain: bool },
    Answer { client: usize, count: usize },
    Congest { client: usize },
    Drain { client: usize },
}

fn quality() -> impl Strategy<Value = QoS> {
    prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn operation() -> impl Strategy<Value = Operation> {
    let client = 0..CLIENTS;
    let version = prop::sample::select(vec![ProtocolVersion::V311, ProtocolVersion::V5]);
    prop_oneof![
        2 => (client.clone(), any::<bool>(), any::<bool>(), 1u16..5, version).prop_map(
            |(client, lasting, clean, window, version)| Operation::Connect { client, lasting, clean, window, version }),
        1 => client.clone().prop_map(|client| Operation::Lose { client }),
        3 => (client.clone(), 0..FILTERS.len(), quality()).prop_map(
            |(client, filter, qos)| Operation::Subscribe { client, filter, qos }),
        1 => (client.clone(), 0..FILTERS.len()).prop_map(
            |(client, filter)| Operation::Unsubscribe { client, filter }),
        8 => (client.clone(), 0..TOPICS.len(), quality(), prop::bool::weighted(0.2)).prop_map(
            |(client, topic, qos, retain)| Operation::Publish { client, topic, qos, retain }),
        6 => (client.clone(), 1usize..6).prop_map(|(client, count)| Operation::Answer { client, count }),
        1 => client.clone().prop_map(|client| Operation::Congest { client }),
        1 => client.prop_map(|client| Operation::Drain { client }),
    ]
}

/// What the model promises one client.
#[derive(Default)]
struct Promise {
    connected: bool,
    lasting: bool,
    filters: BTreeMap<&'static str, QoS>,
    /// QoS 1 and 2 messages of the present session, in order.
    kept: Vec<(u64, QoS)>,
    /// QoS 0 messages that may come.
    possible: BTreeSet<(u64, bool)>,
}

/// A client as a device would be: acknowledges, remembers QoS 2 identifiers across connections.
#[derive(Default)]
struct Device {
    connection: Option<ConnectionId>,
    version: Option<ProtocolVersion>,
    /// Distinct QoS 1 and 2 messages of the present session in the order of their first arrival.
    received: Vec<(u64, QoS)>,
    unreleased: BTreeMap<PacketId, u64>,
    answers: VecDeque<(u8, PacketId)>,
    next_packet_id: u16,
}

struct World {
    core: Core,
    now: Moment,
    next_slot: u32,
    next_payload: u64,
    devices: Vec<Device>,
    promises: Vec<Promise>,
    retained: BTreeMap<&'static str, (u64, QoS)>,
}

impl World {
    fn new() -> Self {
        let config = Config { sys_interval_s: 0, queue_messages_max: 100_000, ..Config::default() };
        Self {
            core: Core::new(config, Box::new(OpenAccess), 1),
            now: Moment::default(),
            next_slot: 0,
            next_payload: 0,
            devices: (0..CLIENTS).map(|_| Device::default()).collect(),
            promises: (0..CLIENTS).map(|_| Promise::default()).collect(),
            retained: BTreeMap::new(),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Connect { client, lasting, clean, window, version } => {
                self.connect(client, lasting, clean, window, version);
            }
            Operation::Lose { client } => self.lose(client),
            Operation::Subscribe { client, filter, qos } => self.subscribe(client, FILTERS[filter], qos),
            Operation::Unsubscribe { client, filter } => {
                let Some(connection) = self.devices[client].connection else { return };
                self.promises[client].filters.remove(FILTERS[filter]);
                let packet = Packet::Unsubscribe(Unsubscribe {
                    packet_id: PacketId::new(1).unwrap(),
                    filters: [FILTERS[filter]].into_iter().collect(),
                    user_properties: Default::default(),
                });
                self.feed(Input::Packet { connection, packet });
            }
            Operation::Publish { client, topic, qos, retain } => self.publish(client, TOPICS[topic], qos, retain),
            Operation::Answer { client, count } => self.answer(client, count),
            Operation::Congest { client } => {
                if let Some(connection) = self.devices[client].connection {
                    self.feed(Input::Congested { connection });
                }
            }
            Operation::Drain { client } => {
                if let Some(connection) = self.devices[client].connection {
                    self.feed(Input::Drained { connection });
                }
            }
        }
    }

    fn connect(&mut self, client: usize, lasting: bool, clean: bool, window: u16, version: ProtocolVersion) {
        // 3.1.1 knows only sessions that last and those that do not.
        let clean = if version == ProtocolVersion::V311 { !lasting } else { clean };
        let promise = &mut self.promises[client];
        if clean || !promise.lasting {
            *promise = Promise::default();
            self.devices[client].received.clear();
            self.devices[client].unreleased.clear();
        }
        let promise = &mut self.promises[client];
        promise.connected = true;
        promise.lasting = lasting;
        let connection = ConnectionId { slot: self.next_slot, generation: 1 };
        self.next_slot += 1;
        let device = &mut self.devices[client];
        device.connection = Some(connection);
        device.version = Some(version);
        device.answers.clear();
        let name = format!("client-{client}");
        let mut connect = Connect::new(version, &name, clean);
        if version == ProtocolVersion::V5 {
            connect.session_expiry_s = Some(if lasting { 1000 } else { 0 });
            connect.receive_maximum = NonZeroU16::new(window);
        }
        self.feed(Input::Connect { connection, connect: &connect, peer: Peer::default() });
    }

    fn lose(&mut self, client: usize) {
        let Some(connection) = self.devices[client].connection.take() else { return };
        self.promises[client].connected = false;
        self.feed(Input::Closed { connection });
    }

    fn subscribe(&mut self, client: usize, filter: &'static str, qos: QoS) {
        let Some(connection) = self.devices[client].connection else { return };
        let promise = &mut self.promises[client];
        promise.filters.insert(filter, qos);
        let mut retained: Vec<_> = self.retained.iter().filter(|(topic, _)| topic::matches(filter, topic)).collect();
        retained.sort();
        for (_, (payload, published)) in retained {
            promise.expect(*payload, qos.min(*published), true);
        }
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::new(1).unwrap(),
            subscription_identifier: None,
            user_properties: Default::default(),
            filters: [SubscribeFilter {
                filter,
                qos,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::SendAtSubscribe,
            }]
            .into_iter()
            .collect(),
        });
        self.feed(Input::Packet { connection, packet });
    }

    fn publish(&mut self, client: usize, topic: &'static str, qos: QoS, retain: bool) {
        let device = &mut self.devices[client];
        let Some(connection) = device.connection else { return };
        device.next_packet_id = device.next_packet_id.checked_add(1).unwrap_or(1);
        let packet_id = PacketId::new(device.next_packet_id).filter(|_| qos != QoS::AtMostOnce);
        self.next_payload += 1;
        let payload = self.next_payload;
        for promise in &mut self.promises {
            let wanted =
                promise.filters.iter().filter(|(filter, _)| topic::matches(filter, topic)).map(|(_, qos)| *qos).max();
            if let Some(wanted) = wanted {
                promise.expect(payload, wanted.min(qos), false);
            }
        }
        if retain {
            self.retained.insert(topic, (payload, qos));
        }
        let text = payload.to_string();
        let packet = Packet::Publish(Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id,
            properties: PublishProperties::default(),
            payload: text.as_bytes(),
        });
        self.feed(Input::Packet { connection, packet });
        if let Some(packet_id) = packet_id.filter(|_| qos == QoS::ExactlyOnce) {
            self.feed(Input::Packet { connection, packet: Packet::PubRel(Ack::success(packet_id)) });
        }
    }

    fn answer(&mut self, client: usize, count: usize) {
        for _ in 0..count {
            let device = &mut self.devices[client];
            let (Some(connection), Some((kind, packet_id))) = (device.connection, device.answers.pop_front()) else {
                return;
            };
            let ack = Ack::success(packet_id);
            let packet = match kind {
                4 => Packet::PubAck(ack),
                5 => Packet::PubRec(ack),
                _ => {
                    device.unreleased.remove(&packet_id);
                    Packet::PubComp(ack)
                }
            };
            self.feed(Input::Packet { connection, packet });
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut effects = Effects::new();
        self.core.handle(input, self.now, &mut effects);
        for effect in effects.list() {
            let (connection, mut bytes, patch) = match effect {
                Effect::Send { connection, bytes, patch, .. } => (connection, effects.bytes(*bytes).to_vec(), *patch),
                Effect::SendShared { connection, bytes, patch, message, .. } => {
                    (connection, [effects.bytes(*bytes), message.payload()].concat(), *patch)
                }
                Effect::Close { .. }
                | Effect::AwaitDrain { .. }
                | Effect::Authenticate { .. }
                | Effect::Fetch { .. }
                | Effect::Intercept { .. }
                | Effect::Pause { .. }
                | Effect::GoOn { .. }
                | Effect::Deliver { .. } => continue,
            };
            if let Some(patch) = patch {
                assert!(patch.packet_id.write_at(&mut bytes, patch.offset as usize));
            }
            let Some(index) = self.devices.iter().position(|device| device.connection == Some(*connection)) else {
                continue;
            };
            self.devices[index].hear(&mut self.promises[index], &bytes);
        }
    }

    /// Lets every lasting session come back and take all that waits for it.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            if self.promises[client].lasting && !self.promises[client].connected {
                self.connect(client, true, false, 3, ProtocolVersion::V5);
            }
            if let Some(connection) = self.devices[client].connection {
                for _ in 0..10_000 {
                    self.feed(Input::Drained { connection });
                    if self.devices[client].answers.is_empty() {
                        break;
                    }
                    self.answer(client, 10);
                }
            }
        }
    }
}

impl Promise {
    fn expect(&mut self, payload: u64, qos: QoS, retained: bool) {
        if qos != QoS::AtMostOnce && (self.connected || self.lasting) {
            self.kept.push((payload, qos));
        } else if self.connected {
            self.possible.insert((payload, retained));
        }
    }
}

impl Device {
    fn hear(&mut self, promise: &mut Promise, bytes: &[u8]) {
        let version = self.version.expect("connected once");
        match selvedge_codec::decode(version, bytes).expect("what the core sends can be decoded") {
            Packet::Publish(publish) => {
                let payload: u64 = std::str::from_utf8(publish.payload).unwrap().parse().unwrap();
                match (publish.qos, publish.packet_id) {
                    (QoS::AtMostOnce, _) => {
                        // A retained one may come again with every subscription.
                        assert!(
                            promise.possible.contains(&(payload, publish.retain)),
                            "QoS 0 message {payload} was not asked for"
                        );
                        if !publish.retain {
                            promise.possible.remove(&(payload, false));
                        }
                    }
                    (QoS::AtLeastOnce, Some(packet_id)) => {
                        if !(publish.dup && self.received.contains(&(payload, QoS::AtLeastOnce))) {
                            self.received.push((payload, QoS::AtLeastOnce));
                        }
                        self.answers.push_back((4, packet_id));
                    }
                    (QoS::ExactlyOnce, Some(packet_id)) => {
                        if self.unreleased.insert(packet_id, payload) != Some(payload) {
                            self.received.push((payload, QoS::ExactlyOnce));
                        }
                        self.answers.push_back((5, packet_id));
                    }
                    other => panic!("QoS and packet identifier do not go together: {other:?}"),
                }
            }
            Packet::PubRel(ack) => self.answers.push_back((7, ack.packet_id)),
            _ => {}
        }
    }
}

/// Random runs; whoever has less time says so.
fn cases() -> u32 {
    std::env::var("SELVEDGE_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_subscriber_gets_what_mqtt_promises(operations in prop::collection::vec(operation(), 1..120)) {
        let mut world = World::new();
        for operation in &operations {
            world.apply(operation);
        }
        world.settle();
        for client in 0..CLIENTS {
            if world.promises[client].connected {
                prop_assert_eq!(&world.devices[client].received, &world.promises[client].kept, "client {}", client);
            }
        }
        prop_assert_eq!(world.core.audit(), Ok(()));
        let statistics = world.core.statistics();
        prop_assert_eq!((statistics.queued_messages, statistics.queued_bytes), (0, 0));
        prop_assert_eq!(statistics.dropped_queue_full, 0);
    }
}
