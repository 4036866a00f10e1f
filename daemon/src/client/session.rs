//! QoS 1 and 2 in both directions, packet identifiers and topic aliases of one client. Decides only: bytes in, bytes out.
//!
//! Invariants: an identifier is in use from its packet to its last acknowledgement; a QoS 2 message is reported once however
//! often it comes; what is unacknowledged is sent again, in order, when a session is resumed [MQTT-4.4.0-1].

use std::collections::{HashMap, HashSet, VecDeque};

use selvedge_codec::{
    Ack, AckKind, EncodeError, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, encode,
};
use thiserror::Error;

/// State of one client across its connections.
#[derive(Debug)]
pub struct Session {
    version: ProtocolVersion,
    outgoing: VecDeque<Outgoing>,
    /// Identifiers of QoS 2 messages that came and were not released.
    incoming: HashSet<PacketId>,
    aliases: HashMap<u16, String>,
    last_id: u16,
    refused: u64,
}

/// A message that the server has not acknowledged to the end.
#[derive(Debug)]
struct Outgoing {
    packet_id: PacketId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// PUBLISH was sent; the whole packet, for sending it again.
    Published(Vec<u8>),
    /// PUBREC came, PUBREL was sent.
    Released,
}

/// What a packet of the server means to the command.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message to show. Its topic is complete, also where an alias stood for it.
    Message {
        /// The PUBLISH.
        publish: Publish<'a>,
        /// Topic.
        topic: String,
    },
    /// A QoS 1 or 2 message of ours is done.
    Done {
        /// Identifier of the message.
        packet_id: PacketId,
        /// Error codes: the server refused it.
        reason: ReasonCode,
    },
    /// SUBACK, one code a filter.
    Subscribed {
        /// Identifier of the SUBSCRIBE.
        packet_id: PacketId,
        /// In the order of the filters.
        reasons: Vec<ReasonCode>,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// Identifier of the UNSUBSCRIBE.
        packet_id: PacketId,
    },
    /// The server ends the connection.
    Disconnected {
        /// Why.
        reason: ReasonCode,
        /// The server's words.
        reason_string: Option<&'a str>,
    },
    /// PINGRESP.
    Pong,
    /// Nothing for the command.
    Nothing,
}

/// What a server must not send.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// A packet that only clients send, or a second CONNACK.
    #[error("the server sent {0}, which it must not")]
    Unexpected(&'static str),
    /// A topic alias that was never set.
    #[error("the server used topic alias {0} without having set it")]
    UnknownAlias(u16),
    /// Our own packet cannot be encoded.
    #[error("encode an answer")]
    Encode(#[from] EncodeError),
}

impl Session {
    /// Nothing under way.
    pub fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            outgoing: VecDeque::new(),
            incoming: HashSet::new(),
            aliases: HashMap::new(),
            last_id: 0,
            refused: 0,
        }
    }

    /// QoS 1 and 2 messages that are not done.
    pub fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// Identifier of the message that was published last and is not done.
    pub fn last_published(&self) -> Option<PacketId> {
        self.outgoing.back().map(|outgoing| outgoing.packet_id)
    }

    /// Messages that the server refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// An identifier that is not in use; `None` when all are.
    pub fn fresh_id(&mut self) -> Option<PacketId> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            let Some(packet_id) = PacketId::new(self.last_id) else { continue };
            if !self.outgoing.iter().any(|outgoing| outgoing.packet_id == packet_id) {
                return Some(packet_id);
            }
        }
        None
    }

    /// Appends a PUBLISH to `out` and remembers it until it is done. Its identifier comes from here.
    ///
    /// # Errors
    /// The message cannot be said in this version of the protocol.
    pub fn publish(&mut self, message: &OutgoingMessage<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet_id = if message.qos == QoS::AtMostOnce { None } else { self.fresh_id() };
        let publish = Publish {
            dup: false,
            qos: message.qos,
            retain: message.retain,
            topic: message.topic,
            packet_id,
            properties: message.properties,
            payload: message.payload,
        };
        let start = out.len();
        publish.encode(self.version, out)?;
        if let Some(packet_id) = packet_id {
            let packet = out.get(start..).unwrap_or_default().to_vec();
            self.outgoing.push_back(Outgoing { packet_id, stage: Stage::Published(packet) });
        }
        Ok(())
    }

    /// A new connection stands. With the session kept, appends what has to be sent again; otherwise nothing of before counts
    /// but our own unacknowledged messages, which go out anew.
    pub fn connected(&mut self, session_present: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.aliases.clear();
        if !session_present {
            self.incoming.clear();
            // The new session knows no PUBREL of the old one; the message itself was already handed over.
            self.outgoing.retain(|outgoing| matches!(outgoing.stage, Stage::Published(..)));
        }
        for outgoing in &self.outgoing {
            match &outgoing.stage {
                Stage::Published(packet) => {
                    let start = out.len();
                    out.extend_from_slice(packet);
                    if let (true, Some(first)) = (session_present, out.get_mut(start)) {
                        *first |= 0b1000; // DUP [MQTT-3.3.1-1]
                    }
                }
                Stage::Released => Ack::success(outgoing.packet_id).encode(AckKind::PubRel, self.version, out)?,
            }
        }
        Ok(())
    }

    /// Takes a packet of the server; appends what has to be answered.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub fn receive<'a>(&mut self, packet: Packet<'a>, out: &mut Vec<u8>) -> Result<Event<'a>, SessionError> {
        let kind = packet.packet_type().name();
        match packet {
            Packet::Publish(publish) => self.receive_publish(publish, out),
            Packet::PubAck(ack) => Ok(self.finish(ack.packet_id, ack.reason)),
            Packet::PubComp(ack) => Ok(self.finish(ack.packet_id, ReasonCode::Success)),
            Packet::PubRec(ack) if ack.reason.is_error() => Ok(self.finish(ack.packet_id, ack.reason)),
            Packet::PubRec(ack) => self.release(ack.packet_id, out),
            Packet::PubRel(ack) => {
                let known = self.incoming.remove(&ack.packet_id);
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                let answer = match self.version {
                    ProtocolVersion::V5 => Ack::with_reason(ack.packet_id, reason),
                    ProtocolVersion::V311 => Ack::success(ack.packet_id),
                };
                answer.encode(AckKind::PubComp, self.version, out)?;
                Ok(Event::Nothing)
            }
            Packet::SubAck(ack) => {
                Ok(Event::Subscribed { packet_id: ack.packet_id, reasons: ack.reasons.iter().collect() })
            }
            Packet::UnsubAck(ack) => Ok(Event::Unsubscribed { packet_id: ack.packet_id }),
            Packet::PingResp => Ok(Event::Pong),
            Packet::Disconnect(disconnect) if self.version == ProtocolVersion::V5 => {
                Ok(Event::Disconnected { reason: disconnect.reason, reason_string: disconnect.reason_string })
            }
            _ => Err(SessionError::Unexpected(kind)),
        }
    }

    fn receive_publish<'a>(&mut self, publish: Publish<'a>, out: &mut Vec<u8>) -> Result<Event<'a>, SessionError> {
        let topic = self.resolve(&publish)?;
        let fresh = match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(packet_id)) => {
                Ack::success(packet_id).encode(AckKind::PubAck, self.version, out)?;
                true
            }
            (QoS::ExactlyOnce, Some(packet_id)) => {
                Ack::success(packet_id).encode(AckKind::PubRec, self.version, out)?;
                self.incoming.insert(packet_id)
            }
            _ => true,
        };
        Ok(if fresh { Event::Message { publish, topic } } else { Event::Nothing })
    }

    fn resolve(&mut self, publish: &Publish<'_>) -> Result<String, SessionError> {
        match publish.properties.topic_alias {
            Some(alias) if publish.topic.is_empty() => {
                self.aliases.get(&alias).cloned().ok_or(SessionError::UnknownAlias(alias))
            }
            Some(alias) => {
                self.aliases.insert(alias, publish.topic.to_owned());
                Ok(publish.topic.to_owned())
            }
            None => Ok(publish.topic.to_owned()),
        }
    }

    fn release(&mut self, packet_id: PacketId, out: &mut Vec<u8>) -> Result<Event<'static>, SessionError> {
        let known = self.outgoing.iter_mut().find(|outgoing| outgoing.packet_id == packet_id);
        let reason = match known {
            Some(outgoing) => {
                outgoing.stage = Stage::Released;
                ReasonCode::Success
            }
            None if self.version == ProtocolVersion::V5 => ReasonCode::PacketIdentifierNotFound,
            None => ReasonCode::Success,
        };
        encode(self.version, &Packet::PubRel(Ack::with_reason(packet_id, reason)), out)?;
        Ok(Event::Nothing)
    }

    fn finish(&mut self, packet_id: PacketId, reason: ReasonCode) -> Event<'static> {
        let before = self.outgoing.len();
        self.outgoing.retain(|outgoing| outgoing.packet_id != packet_id);
        if self.outgoing.len() == before {
            return Event::Nothing;
        }
        self.refused += u64::from(reason.is_error());
        Event::Done { packet_id, reason }
    }
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingMessage<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// Whether the server keeps it.
    pub retain: bool,
    /// Properties, MQTT 5.
    pub properties: PublishProperties<'a>,
}

#[cfg(test)]
mod tests;
