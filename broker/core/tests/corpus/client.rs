//! One client as the network sees it: the bytes that it has sent so far, and what it may be sent.

use std::collections::{BTreeMap, VecDeque};

use selvedge_codec::{Ack, AckKind, Connect, Packet, PacketId, ProtocolVersion, QoS, decode};
use selvedge_core::ConnectionId;

/// Acknowledgements that a client owes, at most; older ones are never sent.
const OWED_MAX: usize = 64;

#[derive(Default)]
pub struct Client {
    open: Option<Open>,
}

struct Open {
    id: ConnectionId,
    partial: Vec<u8>,
    /// Version and largest packet of its CONNECT.
    connected: Option<(ProtocolVersion, usize)>,
    greeted: bool,
    aliases_max: u16,
    aliases: BTreeMap<u16, String>,
    owed: VecDeque<(AckKind, PacketId)>,
}

impl Client {
    pub fn open(&mut self, id: ConnectionId) {
        self.open = Some(Open {
            id,
            partial: Vec::new(),
            connected: None,
            greeted: false,
            aliases_max: 0,
            aliases: BTreeMap::new(),
            owed: VecDeque::new(),
        });
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the connection; gives its name if the core knows it.
    pub fn lose(&mut self) -> Option<ConnectionId> {
        self.open.take().filter(|open| open.connected.is_some()).map(|open| open.id)
    }

    /// The core ends the connection.
    pub fn closed(&mut self) {
        self.open = None;
    }

    pub fn connection(&self) -> Option<ConnectionId> {
        self.open.as_ref().map(|open| open.id)
    }

    pub fn has_connected(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.connected.is_some())
    }

    pub fn version(&self) -> ProtocolVersion {
        self.open.as_ref().and_then(|open| open.connected).map_or(ProtocolVersion::V5, |(version, _)| version)
    }

    pub fn connect(&mut self, connect: &Connect<'_>) {
        if let Some(open) = &mut self.open {
            let bytes_max = connect.maximum_packet_size.map_or(usize::MAX, |bytes| bytes.get() as usize);
            open.connected = Some((connect.version, bytes_max));
            open.aliases_max = connect.topic_alias_maximum;
        }
    }

    /// What was kept of an incomplete packet, and `bytes` after it.
    pub fn with_partial(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut pending = self.open.as_mut().map(|open| std::mem::take(&mut open.partial)).unwrap_or_default();
        pending.extend_from_slice(bytes);
        pending
    }

    pub fn keep(&mut self, partial: Vec<u8>) {
        if let Some(open) = &mut self.open {
            open.partial = partial;
        }
    }

    /// The acknowledgement that is due for the message received `back` before the last.
    pub fn owes(&self, back: usize) -> Option<(AckKind, PacketId)> {
        let owed = &self.open.as_ref()?.owed;
        owed.get(back % owed.len().max(1)).copied()
    }

    /// One packet of the broker.
    pub fn hear(&mut self, bytes: &[u8]) {
        let open = self.open.as_mut().expect("asked for by its connection");
        let (version, bytes_max) = open.connected.expect("nothing is sent before CONNECT");
        // [MQTT-3.1.2-24]
        assert!(bytes.len() <= bytes_max, "{} bytes to a client that takes {bytes_max}", bytes.len());
        assert_eq!(
            selvedge_codec::frame_length(bytes, u32::MAX),
            Ok(Some(bytes.len())),
            "not one packet: {bytes:02x?}"
        );
        let packet = decode(version, bytes).unwrap_or_else(|error| panic!("{error} in {bytes:02x?}"));
        // [MQTT-3.2.0-1], [MQTT-3.2.0-2]
        assert_eq!(matches!(packet, Packet::ConnAck(_)), !open.greeted, "CONNACK is the first packet and no other");
        open.greeted = true;
        match packet {
            Packet::Publish(publish) => {
                open.check_alias(publish.topic, publish.properties.topic_alias);
                let kind = match publish.qos {
                    QoS::AtMostOnce => None,
                    QoS::AtLeastOnce => Some(AckKind::PubAck),
                    QoS::ExactlyOnce => Some(AckKind::PubRec),
                };
                open.owed.extend(kind.zip(publish.packet_id));
            }
            Packet::PubRel(Ack { packet_id, .. }) => open.owed.push_back((AckKind::PubComp, packet_id)),
            Packet::PubRec(Ack { packet_id, .. }) => open.owed.push_back((AckKind::PubRel, packet_id)),
            Packet::Disconnect(_) => assert_eq!(version, ProtocolVersion::V5, "3.1.1 has no DISCONNECT of a server"),
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                panic!("a packet that only a client sends: {packet:?}")
            }
            _ => {}
        }
        while open.owed.len() > OWED_MAX {
            open.owed.pop_front();
        }
    }
}

impl Open {
    /// [MQTT-3.3.2-8] towards the client, and an alias is not used before it is set.
    fn check_alias(&mut self, topic: &str, alias: Option<u16>) {
        match alias {
            None => assert!(!topic.is_empty(), "neither a topic nor an alias"),
            Some(alias) => {
                assert!((1..=self.aliases_max).contains(&alias), "alias {alias} of {}", self.aliases_max);
                if topic.is_empty() {
                    assert!(self.aliases.contains_key(&alias), "alias {alias} was never set");
                } else {
                    self.aliases.insert(alias, topic.to_owned());
                }
            }
        }
    }
}
