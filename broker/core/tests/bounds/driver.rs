//! A core with many clients, driven by single calls.

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, RetainHandling, Subscribe,
    SubscribeFilter,
};
use selvedge_core::{Config, ConnectionId, Core, Effect, Effects, Input, Moment, OpenAccess, Peer};

/// Time stands still.
pub const NOW: Moment = Moment::from_millis(1);

pub struct Node {
    pub core: Core,
    pub effects: Effects,
}

pub fn id(slot: u32) -> ConnectionId {
    ConnectionId { slot, generation: 1 }
}

impl Node {
    /// With open access, and without `$SYS` topics.
    pub fn new(config: Config) -> Self {
        let config = Config { sys_interval_s: 0, ..config };
        Self { core: Core::new(config, Box::new(OpenAccess), 1), effects: Effects::new() }
    }

    /// What takes several steps is waited for, as the shell does that does not read the client meanwhile.
    pub fn feed(&mut self, input: Input<'_>) {
        self.begin(input);
        if self.effects.list().iter().any(|effect| matches!(effect, Effect::Pause { .. })) {
            while !self.effects.list().iter().any(|effect| matches!(effect, Effect::GoOn { .. })) {
                self.core.handle(Input::Tick, NOW, &mut self.effects);
            }
        }
    }

    /// As [`Self::feed`], but the first step only.
    pub fn begin(&mut self, input: Input<'_>) {
        self.effects.clear();
        self.core.handle(input, NOW, &mut self.effects);
    }

    /// A client whose session lasts.
    pub fn connect(&mut self, slot: u32) -> Option<ReasonCode> {
        self.connect_as(slot, ProtocolVersion::V5)
    }

    pub fn connect_as(&mut self, slot: u32, version: ProtocolVersion) -> Option<ReasonCode> {
        let name = format!("c{slot}");
        let mut connect = Connect::new(version, &name, false);
        connect.session_expiry_s = Some(100);
        self.feed(Input::Connect { connection: id(slot), connect: &connect, peer: Peer::default() });
        self.answers(version).into_iter().find_map(|answer| match answer {
            Answer::ConnAck(reason) => Some(reason),
            _ => None,
        })
    }

    pub fn leave(&mut self, slot: u32) {
        self.feed(Input::Closed { connection: id(slot) });
    }

    pub fn subscribe(&mut self, slot: u32, filter: &str) -> Option<ReasonCode> {
        self.subscribe_all(slot, &[filter])
    }

    /// One SUBSCRIBE at QoS 2; gives the first reason code.
    pub fn subscribe_all(&mut self, slot: u32, filters: &[&str]) -> Option<ReasonCode> {
        let filter = |filter| SubscribeFilter {
            filter,
            qos: QoS::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: Default::default(),
            filters: filters.iter().copied().map(filter).collect(),
        });
        self.feed(Input::Packet { connection: id(slot), packet });
        self.answers(ProtocolVersion::V5).into_iter().find_map(|answer| match answer {
            Answer::SubAck(reason) => Some(reason),
            _ => None,
        })
    }

    /// Gives the reason code of the answer, if there is one.
    pub fn publish(&mut self, slot: u32, topic: &str, qos: QoS, payload: &[u8]) -> Option<ReasonCode> {
        self.publish_with(slot, topic, qos, payload, |_| {})
    }

    pub fn publish_with<'p>(
        &mut self,
        slot: u32,
        topic: &'p str,
        qos: QoS,
        payload: &'p [u8],
        with: impl FnOnce(&mut Publish<'p>),
    ) -> Option<ReasonCode> {
        let mut publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
            properties: PublishProperties::default(),
            payload,
        };
        with(&mut publish);
        self.feed(Input::Packet { connection: id(slot), packet: Packet::Publish(publish) });
        self.answers(ProtocolVersion::V5).into_iter().find_map(|answer| match answer {
            Answer::Ack(reason) => Some(reason),
            _ => None,
        })
    }

    /// PUBLISH packets among the effects of the last input.
    pub fn sent(&self) -> usize {
        self.answers(ProtocolVersion::V5).iter().filter(|answer| matches!(answer, Answer::Publish)).count()
    }

    fn answers(&self, version: ProtocolVersion) -> Vec<Answer> {
        let answer = |effect: &Effect| match effect {
            Effect::SendShared { .. } => Some(Answer::Publish),
            Effect::Send { bytes, .. } => {
                match selvedge_codec::decode(version, self.effects.bytes(*bytes)).expect("a packet") {
                    Packet::ConnAck(packet) => Some(Answer::ConnAck(packet.reason)),
                    Packet::SubAck(packet) => packet.reasons.iter().next().map(Answer::SubAck),
                    Packet::PubAck(ack) | Packet::PubRec(ack) => Some(Answer::Ack(ack.reason)),
                    Packet::Publish(_) => Some(Answer::Publish),
                    _ => None,
                }
            }
            _ => None,
        };
        self.effects.list().iter().filter_map(answer).collect()
    }
}

enum Answer {
    ConnAck(ReasonCode),
    SubAck(ReasonCode),
    Ack(ReasonCode),
    Publish,
}
