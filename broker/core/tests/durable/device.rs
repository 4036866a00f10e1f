//! A client as a device would be: it remembers over crashes of the node what it has sent and not got acknowledged, and which QoS 2
//! messages it has.

use std::collections::{BTreeMap, VecDeque};

use selvedge_codec::{Ack, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use selvedge_core::ConnectionId;

/// A message that a device published: (device, number).
pub type Name = (usize, u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    Published {
        topic: &'static str,
        qos: QoS,
        retain: bool,
        payload: String,
    },
    /// PUBREC came: PUBREL is what is sent from now on.
    Received,
}

impl Sending {
    /// What to send for an exchange, first or again.
    pub fn packet(&self, packet_id: u16, dup: bool) -> Packet<'_> {
        let id = PacketId::new(packet_id).unwrap();
        match self {
            Self::Received => Packet::PubRel(Ack::success(id)),
            Self::Published { topic, qos, retain, payload } => Packet::Publish(Publish {
                dup,
                qos: *qos,
                retain: *retain,
                topic,
                packet_id: Some(id),
                properties: PublishProperties::default(),
                payload: payload.as_bytes(),
            }),
        }
    }
}

#[derive(Default)]
pub struct Device {
    pub connection: Option<ConnectionId>,
    /// CONNACK came on the present connection.
    pub ready: bool,
    pub outgoing: BTreeMap<u16, Sending>,
    /// In the order of first sending.
    pub order: VecDeque<u16>,
    next_packet_id: u16,
    pub answers: VecDeque<(u8, PacketId)>,
    unreleased: BTreeMap<PacketId, Name>,
    /// Every arrival of a QoS 1 or 2 message, in order, as an application would see it.
    pub received: Vec<(Name, QoS)>,
    /// Messages that were acknowledged to it.
    pub acknowledged: Vec<u64>,
    pub number: u64,
    /// The topics of its messages, by number.
    pub topics: Vec<&'static str>,
}

impl Device {
    /// A new message to publish; `None` while too many are underway.
    pub fn publish(&mut self, own: usize, topic: &'static str, qos: QoS, retain: bool) -> Option<u16> {
        const UNDERWAY_MAX: usize = 6;
        if self.outgoing.len() >= UNDERWAY_MAX {
            return None;
        }
        self.number += 1;
        self.topics.push(topic);
        self.next_packet_id = self.next_packet_id % 40 + 1;
        while self.outgoing.contains_key(&self.next_packet_id) {
            self.next_packet_id = self.next_packet_id % 40 + 1;
        }
        let payload = format!("{own} {}", self.number);
        self.outgoing.insert(self.next_packet_id, Sending::Published { topic, qos, retain, payload });
        self.order.push_back(self.next_packet_id);
        Some(self.next_packet_id)
    }

    /// The connection is gone.
    pub fn lose(&mut self) {
        self.connection = None;
        self.ready = false;
        self.answers.clear();
    }

    /// Takes a packet. Gives the packet identifier of an exchange to go on with at once.
    pub fn hear(&mut self, bytes: &[u8], has_session: bool) -> Option<u16> {
        match selvedge_codec::decode(ProtocolVersion::V5, bytes).expect("what the core sends can be decoded") {
            Packet::ConnAck(ack) => {
                assert_eq!(ack.session_present, has_session, "the session that was acknowledged");
                self.ready = true;
            }
            Packet::Publish(publish) => self.take(&publish),
            Packet::PubRel(ack) => self.answers.push_back((7, ack.packet_id)),
            Packet::PubAck(ack) => self.acknowledge(ack.packet_id.get()),
            Packet::PubRec(ack) => {
                let id = ack.packet_id.get();
                assert!(!ack.reason.is_error(), "{:?}", ack.reason);
                if let Some(sending @ Sending::Published { .. }) = self.outgoing.get_mut(&id) {
                    let before = std::mem::replace(sending, Sending::Received);
                    self.note_acknowledged(&before);
                }
                return self.outgoing.contains_key(&id).then_some(id);
            }
            Packet::PubComp(ack) => self.acknowledge(ack.packet_id.get()),
            _ => {}
        }
        None
    }

    fn acknowledge(&mut self, id: u16) {
        if let Some(sending) = self.outgoing.remove(&id) {
            self.order.retain(|other| *other != id);
            self.note_acknowledged(&sending);
        }
    }

    fn note_acknowledged(&mut self, sending: &Sending) {
        if let Sending::Published { payload, .. } = sending {
            self.acknowledged.push(name_of(payload.as_bytes()).1);
        }
    }

    fn take(&mut self, publish: &Publish<'_>) {
        let name = name_of(publish.payload);
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => {
                if !publish.retain {
                    self.received.push((name, QoS::AtLeastOnce));
                }
                self.answers.push_back((4, id));
            }
            (QoS::ExactlyOnce, Some(id)) => {
                // What answers a subscription may have come before.
                if self.unreleased.insert(id, name) != Some(name) && !publish.retain {
                    self.received.push((name, QoS::ExactlyOnce));
                }
                self.answers.push_back((5, id));
            }
            _ => {}
        }
    }

    /// The next answer that it owes.
    pub fn answer(&mut self) -> Option<Packet<'static>> {
        let (kind, id) = self.answers.pop_front()?;
        let ack = Ack::success(id);
        Some(match kind {
            4 => Packet::PubAck(ack),
            5 => Packet::PubRec(ack),
            _ => {
                self.unreleased.remove(&id);
                Packet::PubComp(ack)
            }
        })
    }
}

pub fn name_of(payload: &[u8]) -> Name {
    let text = std::str::from_utf8(payload).unwrap();
    let (device, number) = text.split_once(' ').unwrap();
    (device.parse().unwrap(), number.parse().unwrap())
}
