//! A node whose journal and clock the test controls.

use std::num::NonZeroU16;

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, PublishPropertiesBuffer, QoS, Subscribe, SubscribeFilter,
    UserProperties, Will,
};
use selvedge_core::{
    Authorize, Config, ConnectionId, Core, DurabilityRules, Effect, Effects, Input, Moment, OpenAccess, Peer, Restored,
};

use crate::journal::MemoryJournal;

/// The wall clock when the first node starts.
const START_MS: u64 = 1_700_000_000_000;

/// A core over a journal that can be started anew, with clients that are shown what is sent to them.
pub struct Node {
    pub core: Core,
    pub journal: MemoryJournal,
    now: Moment,
    pub wall_ms: u64,
    slots: u32,
}

fn core(durability: DurabilityRules, access: Box<dyn Authorize>) -> Core {
    Core::new(Config { sys_interval_s: 0, durability, ..Config::default() }, access, 1)
}

impl Node {
    pub fn start() -> Self {
        Self::start_with(DurabilityRules::default())
    }

    pub fn start_with(durability: DurabilityRules) -> Self {
        let mut core = core(durability, Box::new(OpenAccess));
        core.continue_from(Restored::default(), START_MS, 1, &mut |_| None);
        Self { core, journal: MemoryJournal::default(), now: Moment::default(), wall_ms: START_MS, slots: 0 }
    }

    /// Off for so long, then on again, with everything that was durable.
    pub fn restart_after(&mut self, off_ms: u64, durability: DurabilityRules) {
        self.restart_with(off_ms, durability, Box::new(OpenAccess));
    }

    /// As [`Self::restart_after`], under other access rules.
    pub fn restart_with(&mut self, off_ms: u64, durability: DurabilityRules, access: Box<dyn Authorize>) {
        self.wall_ms += self.now.as_millis() + off_ms;
        self.now = Moment::default();
        let (restored, next_message) = self.journal.crash(0);
        self.core = core(durability, access);
        let journal = &self.journal;
        self.core.continue_from(restored, self.wall_ms, next_message, &mut |number| journal.fetch(number));
        self.keep();
        self.tick();
    }

    fn keep(&mut self) {
        if let Some(kept) = self.core.take_kept() {
            self.journal.append(kept);
        }
        self.journal.sync(1 << 30);
    }

    /// What each packet sent was, decoded and shown.
    pub fn handle(&mut self, input: Input<'_>) -> Vec<String> {
        let mut effects = Effects::new();
        self.core.handle(input, self.now, &mut effects);
        self.keep();
        let mut fetches = Vec::new();
        let mut shown = Vec::new();
        for effect in effects.list() {
            match effect {
                Effect::Send { bytes, patch, .. } => {
                    let mut bytes = effects.bytes(*bytes).to_vec();
                    if let Some(patch) = patch {
                        assert!(patch.packet_id.write_at(&mut bytes, patch.offset as usize));
                    }
                    match selvedge_codec::decode(ProtocolVersion::V5, &bytes).expect("decodable") {
                        Packet::Publish(publish) => {
                            let payload = String::from_utf8_lossy(publish.payload).into_owned();
                            let left = publish.properties.message_expiry_s;
                            let left = left.map_or(String::new(), |left| format!(" {left}s"));
                            let retain = if publish.retain { " retained" } else { "" };
                            shown.push(format!("{} {payload}{retain}{left}", publish.topic));
                        }
                        Packet::PubAck(ack) => shown.push(format!("PUBACK {:?}", ack.reason)),
                        Packet::ConnAck(ack) => shown.push(format!("CONNACK {}", ack.session_present)),
                        _ => {}
                    }
                }
                Effect::Deliver { delivery, .. } => {
                    let payload = String::from_utf8_lossy(delivery.message.payload()).into_owned();
                    shown.push(format!("{} {payload}", delivery.message.topic()));
                }
                Effect::Fetch { session, numbers } => fetches.push((*session, numbers.clone())),
                _ => {}
            }
        }
        for (session, numbers) in fetches {
            let messages: Vec<_> = numbers.into_iter().map(|number| (number, self.journal.fetch(number))).collect();
            shown.extend(self.handle(Input::Fetched { session, messages: &messages }));
        }
        assert_eq!(self.core.audit(), Ok(()));
        shown
    }

    pub fn tick(&mut self) -> Vec<String> {
        let mut shown = Vec::new();
        while self.core.next_deadline().is_some_and(|due| due <= self.now) {
            shown.extend(self.handle(Input::Tick));
        }
        shown
    }

    pub fn wait(&mut self, seconds: u32) -> Vec<String> {
        self.now = self.now.plus_seconds(seconds);
        self.tick()
    }

    pub fn connect(&mut self, client_id: &str, expiry_s: u32, will: Option<Will<'_>>) -> (ConnectionId, Vec<String>) {
        self.connect_as(Connect {
            session_expiry_s: Some(expiry_s),
            receive_maximum: NonZeroU16::new(10),
            will,
            ..Connect::new(ProtocolVersion::V5, client_id, false)
        })
    }

    pub fn connect_as(&mut self, connect: Connect<'_>) -> (ConnectionId, Vec<String>) {
        let connection = ConnectionId { slot: self.slots, generation: 1 };
        self.slots += 1;
        let shown = self.handle(Input::Connect { connection, connect: &connect, peer: Peer::default() });
        (connection, shown)
    }

    /// A consumer inside the node, subscribed to `filter`.
    pub fn attach(&mut self, name: &str, filter: &str) -> (ConnectionId, Vec<String>) {
        let connection = ConnectionId { slot: self.slots, generation: 1 };
        self.slots += 1;
        let attach = Input::Attach { connection, client_id: format!("$node/{name}").into(), receive_maximum: 10 };
        let shown = self.handle(attach);
        self.handle(Input::SubscribeInternal { connection, filter, qos: QoS::AtLeastOnce });
        (connection, shown)
    }

    pub fn subscribe(&mut self, connection: ConnectionId, filter: &str) -> Vec<String> {
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::EMPTY,
            filters: [SubscribeFilter::new(filter, QoS::AtLeastOnce)].into_iter().collect(),
        });
        self.handle(Input::Packet { connection, packet })
    }

    pub fn publish(
        &mut self,
        connection: ConnectionId,
        topic: &str,
        payload: &str,
        retain: bool,
        expiry_s: Option<u32>,
    ) -> Vec<String> {
        let mut properties = PublishPropertiesBuffer::new();
        if let Some(expiry_s) = expiry_s {
            properties.message_expiry_s(expiry_s);
        }
        let packet = Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain,
            topic,
            packet_id: Some(PacketId::MIN),
            properties: properties.as_properties(),
            payload: payload.as_bytes(),
        });
        self.handle(Input::Packet { connection, packet })
    }
}
