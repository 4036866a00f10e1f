//! One client as the standard wants it: what it has to remember over connections and crashes, and what it has to send again.
//!
//! It judges nothing but the protocol of its own session; what a message means stands in the ledger. Invariant: an
//! outgoing message keeps its packet identifier until its handshake is finished, and a QoS 2 message with an identifier that was
//! not released is the same message.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use anyhow::Context as _;

use super::connection::Connection;
use crate::client::Version;
use crate::client_packet::{self, Connect, Will};
use crate::server_packet::properties::RECEIVE_MAXIMUM;
use crate::server_packet::{Publish, ServerPacket};

/// PUBACK, PUBREC, PUBREL and PUBCOMP.
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
/// Session Expiry Interval of sessions that last, seconds.
const EXPIRY_S: u32 = 24 * 3600;
/// From here on a reason code is a refusal.
const FAILURE: u8 = 0x80;

/// A message on its way to the broker.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its number in the ledger.
    pub id: u64,
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    packet_id: u16,
    /// PUBREC has come.
    released: bool,
}

/// A filter on its way to the broker.
#[derive(Debug, Clone)]
enum Request {
    Subscribe { filter: String, options: u8 },
    Unsubscribe { filter: String },
}

/// What has happened to a client.
#[derive(Debug)]
pub enum Event {
    /// CONNACK of success.
    Connected {
        /// Whether the broker had the session.
        session_present: bool,
    },
    /// CONNACK of a refusal.
    Refused(u8),
    /// PUBACK or PUBREC of success.
    Acknowledged(u64),
    /// PUBACK or PUBREC of a refusal.
    NotTaken(u64, u8),
    /// It was sent again, or its PUBREL was.
    Again(u64),
    /// PUBCOMP.
    Completed(u64),
    /// SUBACK, with the reason code.
    Subscribed(String, u8),
    /// UNSUBACK.
    Unsubscribed(String),
    /// A message that is not one that had come and was not released.
    Delivered(Publish),
    /// A QoS 2 message under an identifier that another one holds.
    Reused {
        /// The identifier.
        packet_id: u16,
        /// What holds it.
        held: Vec<u8>,
        /// What came.
        came: Vec<u8>,
    },
    /// The connection has ended.
    Closed,
}

/// A client.
#[derive(Debug)]
pub struct Endpoint {
    /// Client identifier.
    pub id: String,
    /// Protocol.
    pub version: Version,
    /// Whether its session outlives its connections.
    pub lasting: bool,
    /// Sent with each CONNECT.
    pub will: Option<Will>,
    connection: Option<Connection>,
    /// Open until the broker has answered its successor, so that the broker is who ends it.
    former: Option<Connection>,
    connected: bool,
    next_packet_id: u16,
    receive_maximum: usize,
    /// In the order in which they were sent.
    outgoing: BTreeMap<u64, Outgoing>,
    requests: BTreeMap<u16, Request>,
    /// First bytes of messages that came with QoS 2 and were not released.
    incoming: HashMap<u16, Vec<u8>>,
    held_acks: Vec<u8>,
}

impl Endpoint {
    /// A client that was never connected.
    pub fn new(id: impl Into<String>, version: Version, lasting: bool) -> Self {
        Self {
            id: id.into(),
            version,
            lasting,
            will: None,
            connection: None,
            former: None,
            connected: false,
            next_packet_id: 0,
            receive_maximum: usize::from(u16::MAX),
            outgoing: BTreeMap::new(),
            requests: BTreeMap::new(),
            incoming: HashMap::new(),
            held_acks: Vec::new(),
        }
    }

    /// Whether a connection is open, answered or not.
    pub fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether CONNACK has come and the connection stands.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The connection, to wait for.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Messages whose handshake is not finished.
    pub fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// Handshakes of any kind that are not finished.
    pub fn unfinished(&self) -> usize {
        self.outgoing.len() + self.requests.len()
    }

    /// Whether it may publish one more with QoS 1 or 2.
    pub fn may_publish(&self, window: usize) -> bool {
        let backlog = self.connection.as_ref().map_or(0, Connection::backlog);
        self.connected && self.outgoing.len() < window.min(self.receive_maximum) && backlog < 256 * 1024
    }

    /// Opens a connection, beside one that is open (which the broker then ends), and asks for the session.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn connect(&mut self, address: SocketAddr, clean_start: bool) -> anyhow::Result<()> {
        let mut connection = Connection::open(address, self.version).with_context(|| self.id.clone())?;
        let mut connect = Connect::new(self.version, self.id.clone());
        connect.clean_start = match self.version {
            Version::V5 => clean_start,
            // There the flag also decides whether the session lasts.
            Version::V311 => !self.lasting,
        };
        if self.lasting && self.version == Version::V5 {
            connect = connect.session_expiry(EXPIRY_S);
        }
        connect.will.clone_from(&self.will);
        connection.send(&connect.bytes());
        self.connected = false;
        self.held_acks.clear();
        if clean_start || !self.lasting {
            self.forget();
        }
        self.former = self.connection.replace(connection);
        Ok(())
    }

    /// Forgets everything, as a client does that begins anew.
    fn forget(&mut self) {
        self.outgoing.clear();
        self.requests.clear();
        self.incoming.clear();
    }

    /// Forgets what has come and was not released.
    pub fn forget_incoming(&mut self) {
        self.incoming.clear();
    }

    /// Filters with their QoS for which SUBSCRIBE was sent and not answered.
    pub fn wanted_filters(&self) -> Vec<(String, u8)> {
        let wanted = |request: &Request| match request {
            Request::Subscribe { filter, options } => Some((filter.clone(), *options)),
            Request::Unsubscribe { .. } => None,
        };
        self.requests.values().filter_map(wanted).collect()
    }

    /// Ends the connection, with a DISCONNECT or as a broken cable does.
    pub fn close(&mut self, politely: bool) {
        if let Some(mut connection) = self.connection.take()
            && politely
        {
            let bytes = match self.version {
                Version::V5 => client_packet::disconnect(0, &[]),
                Version::V311 => client_packet::packet(0xE0, &[]),
            };
            connection.send(&bytes);
            // What comes now is not read; a message that is lost with it was not acknowledged.
            connection.exchange().ok();
        }
        self.former = None;
        self.connected = false;
        self.held_acks.clear();
    }

    /// Publishes; with QoS 0 nothing is remembered.
    pub fn publish(&mut self, id: u64, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) {
        let packet_id = if qos > 0 { self.free_packet_id() } else { 0 };
        let outgoing = Outgoing { id, topic: topic.to_owned(), payload, qos, retain, packet_id, released: false };
        self.send(&publish_bytes(&outgoing, self.version, false));
        if qos > 0 {
            self.outgoing.insert(id, outgoing);
        }
    }

    /// Subscribes.
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        let packet_id = self.free_packet_id();
        let request = Request::Subscribe { filter: filter.to_owned(), options };
        self.send(&request_bytes(&request, packet_id, self.version));
        self.requests.insert(packet_id, request);
    }

    /// Takes a subscription back.
    pub fn unsubscribe(&mut self, filter: &str) {
        let packet_id = self.free_packet_id();
        let request = Request::Unsubscribe { filter: filter.to_owned() };
        self.send(&request_bytes(&request, packet_id, self.version));
        self.requests.insert(packet_id, request);
    }

    /// Sends the acknowledgements that were held back.
    pub fn send_acks(&mut self) {
        let acks = std::mem::take(&mut self.held_acks);
        self.send(&acks);
    }

    /// Sends and receives what can be without waiting. Acknowledgements of what came are held until
    /// [`Endpoint::send_acks`].
    ///
    /// # Errors
    /// The broker breaks a rule.
    pub fn exchange(&mut self) -> anyhow::Result<Vec<Event>> {
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        let packets = connection.exchange().with_context(|| self.id.clone())?;
        let ended = connection.has_ended();
        let mut events = Vec::new();
        for packet in packets {
            self.take(packet, &mut events)?;
        }
        if ended {
            self.close(false);
            events.push(Event::Closed);
        }
        Ok(events)
    }

    fn take(&mut self, packet: ServerPacket, events: &mut Vec<Event>) -> anyhow::Result<()> {
        match packet {
            ServerPacket::ConnAck(connack) if connack.reason != 0 => events.push(Event::Refused(connack.reason)),
            ServerPacket::ConnAck(connack) => {
                let maximum = connack.properties.number(RECEIVE_MAXIMUM).unwrap_or(u32::from(u16::MAX));
                self.receive_maximum = maximum as usize;
                self.connected = true;
                self.former = None;
                events.push(Event::Connected { session_present: connack.session_present });
                events.extend(self.outgoing.keys().map(|id| Event::Again(*id)));
                self.send_again();
            }
            ServerPacket::PubAck(ack) => self.acknowledged(ack.packet_id, ack.reason, events),
            ServerPacket::PubRec(ack) => self.received(ack.packet_id, ack.reason, events),
            ServerPacket::PubComp(ack) => {
                if let Some(id) = self.outgoing_with(ack.packet_id).map(|outgoing| outgoing.id) {
                    self.outgoing.remove(&id);
                    events.push(Event::Completed(id));
                }
            }
            ServerPacket::PubRel(ack) => {
                self.incoming.remove(&ack.packet_id);
                self.held_acks.extend(client_packet::ack(PUBCOMP, ack.packet_id));
            }
            ServerPacket::Publish(publish) => self.delivered(publish, events),
            ServerPacket::SubAck(ack) => {
                if let Some(Request::Subscribe { filter, .. }) = self.requests.remove(&ack.packet_id) {
                    events.push(Event::Subscribed(filter, ack.reasons.first().copied().unwrap_or(FAILURE)));
                }
            }
            ServerPacket::UnsubAck(ack) => {
                if let Some(Request::Unsubscribe { filter }) = self.requests.remove(&ack.packet_id) {
                    events.push(Event::Unsubscribed(filter));
                }
            }
            ServerPacket::PingResp | ServerPacket::Auth(_) | ServerPacket::Disconnect(_) => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, packet_id: u16, reason: u8, events: &mut Vec<Event>) {
        let Some(id) = self.outgoing_with(packet_id).map(|outgoing| outgoing.id) else { return };
        self.outgoing.remove(&id);
        events.push(if reason < FAILURE { Event::Acknowledged(id) } else { Event::NotTaken(id, reason) });
    }

    fn received(&mut self, packet_id: u16, reason: u8, events: &mut Vec<Event>) {
        let Some(outgoing) = self.outgoing_with(packet_id) else { return };
        let id = outgoing.id;
        if reason >= FAILURE {
            self.outgoing.remove(&id);
            events.push(Event::NotTaken(id, reason));
            return;
        }
        if !outgoing.released {
            outgoing.released = true;
            events.push(Event::Acknowledged(id));
        }
        self.send(&client_packet::ack(PUBREL, packet_id));
    }

    fn delivered(&mut self, publish: Publish, events: &mut Vec<Event>) {
        match (publish.qos, publish.packet_id) {
            (1, Some(packet_id)) => self.held_acks.extend(client_packet::ack(PUBACK, packet_id)),
            (2, Some(packet_id)) => {
                self.held_acks.extend(client_packet::ack(PUBREC, packet_id));
                let start = publish.payload[..publish.payload.len().min(64)].to_vec();
                if let Some(held) = self.incoming.get(&packet_id) {
                    if *held != start {
                        events.push(Event::Reused { packet_id, held: held.clone(), came: start });
                    }
                    return;
                }
                self.incoming.insert(packet_id, start);
            }
            _ => {}
        }
        events.push(Event::Delivered(publish));
    }

    /// [MQTT-4.4.0-1]: all that was not acknowledged, in its order, with the same identifiers.
    fn send_again(&mut self) {
        let mut bytes = Vec::new();
        for outgoing in self.outgoing.values() {
            if outgoing.released {
                bytes.extend(client_packet::ack(PUBREL, outgoing.packet_id));
            } else {
                bytes.extend(publish_bytes(outgoing, self.version, true));
            }
        }
        for (packet_id, request) in &self.requests {
            bytes.extend(request_bytes(request, *packet_id, self.version));
        }
        self.send(&bytes);
    }

    fn outgoing_with(&mut self, packet_id: u16) -> Option<&mut Outgoing> {
        self.outgoing.values_mut().find(|outgoing| outgoing.packet_id == packet_id)
    }

    fn send(&mut self, bytes: &[u8]) {
        if let Some(connection) = &mut self.connection {
            connection.send(bytes);
        }
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.next_packet_id = self.next_packet_id.wrapping_add(1).max(1);
            let id = self.next_packet_id;
            if self.outgoing_with(id).is_none() && !self.requests.contains_key(&id) {
                return id;
            }
        }
    }
}

fn publish_bytes(outgoing: &Outgoing, version: Version, dup: bool) -> Vec<u8> {
    let mut publish =
        client_packet::Publish::new(&outgoing.topic, &outgoing.payload).qos(outgoing.qos, outgoing.packet_id);
    publish.retain = outgoing.retain;
    publish.dup = dup;
    publish.bytes(version)
}

fn request_bytes(request: &Request, packet_id: u16, version: Version) -> Vec<u8> {
    match request {
        Request::Subscribe { filter, options } => {
            client_packet::subscribe(version, packet_id, &[], &[(filter, *options)])
        }
        Request::Unsubscribe { filter } => client_packet::unsubscribe(version, packet_id, &[], &[filter]),
    }
}
