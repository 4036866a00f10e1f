//! Nanoseconds per PUBLISH inside the core alone: decoded packet in, encoded deliveries out, no socket.
//!
//! The rows are the shapes of the broker's promises; the last shows that a topic never seen before among 50,000 filters
//! costs far below 0.1 ms. `cargo bench -p selvedge-core`.

use std::{hint::black_box, time::Instant};

use selvedge_codec::{
    Ack, Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, RetainHandling, Subscribe,
    SubscribeFilter,
};
use selvedge_core::{Config, ConnectionId, Core, Effect, Effects, Input, Moment, OpenAccess, Peer};

const ROUNDS: usize = 51;

fn main() {
    println!("{:<52} {:>12} {:>12}", "", "ns/publish", "ns/delivery");
    row("1 to 1, QoS 0", 1, QoS::AtMostOnce, 1000);
    row("1 to 1, QoS 1, acknowledged", 1, QoS::AtLeastOnce, 1000);
    row("1 to 100, QoS 0", 100, QoS::AtMostOnce, 100);
    row("1 to 100, QoS 1, acknowledged", 100, QoS::AtLeastOnce, 100);
    unseen_topics();
}

fn connection(slot: u32) -> ConnectionId {
    ConnectionId { slot, generation: 1 }
}

struct Broker {
    core: Core,
    effects: Effects,
}

impl Broker {
    fn new() -> Self {
        let config = Config { sys_interval_s: 0, ..Config::default() };
        Self { core: Core::new(config, Box::new(OpenAccess), 1), effects: Effects::new() }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.effects.clear();
        self.core.handle(input, Moment::default(), &mut self.effects);
    }

    fn connect(&mut self, slot: u32) {
        let name = format!("c{slot}");
        let connect = Connect::new(ProtocolVersion::V5, &name, true);
        self.feed(Input::Connect { connection: connection(slot), connect: &connect, peer: Peer::default() });
    }

    fn subscribe(&mut self, slot: u32, filter: &str, qos: QoS) {
        let filter = SubscribeFilter {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: Default::default(),
            filters: [filter].into_iter().collect(),
        });
        self.feed(Input::Packet { connection: connection(slot), packet });
    }

    /// One publication; every subscriber acknowledges at once. Returns the deliveries.
    fn publish(&mut self, topic: &str, qos: QoS) -> usize {
        let packet = Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
            properties: PublishProperties::default(),
            payload: &[b'x'; 64],
        });
        self.feed(Input::Packet { connection: connection(0), packet });
        let mut deliveries = 0;
        let mut answers: Vec<(ConnectionId, PacketId)> = Vec::new();
        for effect in self.effects.list() {
            if let Effect::Send { connection, bytes, patch, .. } = effect {
                black_box(self.effects.bytes(*bytes));
                deliveries += usize::from(connection.slot != 0);
                answers.extend(patch.map(|patch| (*connection, patch.packet_id)));
            }
        }
        for (connection, packet_id) in answers {
            self.feed(Input::Packet { connection, packet: Packet::PubAck(Ack::success(packet_id)) });
        }
        deliveries
    }
}

fn row(name: &str, subscribers: u32, qos: QoS, publishes: usize) {
    let mut broker = Broker::new();
    broker.connect(0);
    for slot in 1..=subscribers {
        broker.connect(slot);
        broker.subscribe(slot, "plant/7/line/3/state", qos);
    }
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..publishes {
                assert_eq!(broker.publish("plant/7/line/3/state", qos), subscribers as usize);
            }
            start.elapsed().as_nanos() as f64 / publishes as f64
        })
        .collect();
    let median = median(&mut rounds);
    println!("{name:<52} {median:>12.0} {:>12.1}", median / f64::from(subscribers));
}

fn unseen_topics() {
    let mut broker = Broker::new();
    broker.connect(0);
    for slot in 1..=50 {
        broker.connect(slot);
        for index in 0..1000 {
            let filter = match index % 4 {
                0 => format!("site/{slot}/device/{index}/+"),
                1 => format!("site/{slot}/device/{index}/#"),
                2 => format!("site/+/device/{slot}-{index}/state"),
                _ => format!("site/{slot}/+/{index}/state"),
            };
            broker.subscribe(slot, &filter, QoS::AtMostOnce);
        }
    }
    let mut round = 0;
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            round += 1;
            let topics: Vec<String> =
                (0..500).map(|index| format!("site/{}/device/{index}/unseen-{round}", index % 50)).collect();
            let start = Instant::now();
            for topic in &topics {
                black_box(broker.publish(topic, QoS::AtMostOnce));
            }
            start.elapsed().as_nanos() as f64 / topics.len() as f64
        })
        .collect();
    println!("{:<52} {:>12.0}", "unseen topic among 50,000 filters (bar: 100,000)", median(&mut rounds));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
