//! One connection with a broker: bytes go out as a test gives them, well-formed or not; what comes back is decoded
//! strictly ([`crate::server_packet`]) and held against the rules of the whole connection.
//!
//! Invariant: no packet of the broker reaches a test unchecked. Nothing waits longer than the patience of the peer, and
//! nothing is shown not to arrive by waiting: [`Peer::expect_nothing`] sends a PINGREQ and takes what comes before the
//! PINGRESP. A message that arrives while an acknowledgement is awaited is set aside for [`Peer::expect_publish`].

mod expect;
mod link;
mod rules;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use self::link::Link;
use self::rules::Rules;
use crate::client::{Transport, Version};
use crate::client_packet::{self, Connect, Publish, Terms};
use crate::raw_mqtt::PINGREQ;
use crate::server_packet::{self, ConnAck, ServerPacket};

/// Where a broker is, and how long to wait for it.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Its address.
    pub address: SocketAddr,
    /// What carries the packets there.
    pub transport: Transport,
    /// The longest wait for one packet.
    pub patience: Duration,
    /// Whether a closed connection of MQTT 5 has to say why: the standard only recommends it (4.13.1).
    pub must_say_why: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Peer {
    link: Link,
    version: Version,
    must_say_why: bool,
    rules: Rules,
    bytes: Vec<u8>,
    set_aside: VecDeque<server_packet::Publish>,
    connected: bool,
    next_packet_id: u16,
}

impl Peer {
    /// Opens a connection and sends nothing. `version` is how the broker's packets are to be read.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn open(route: Route, version: Version) -> anyhow::Result<Self> {
        Ok(Self {
            link: Link::open(route.address, route.transport, route.patience)?,
            version,
            must_say_why: route.must_say_why,
            rules: Rules::new(version, Terms::default()),
            bytes: Vec::new(),
            set_aside: VecDeque::new(),
            connected: false,
            next_packet_id: 0,
        })
    }

    /// Opens a connection, sends a CONNECT and gives the answer, whatever it is.
    ///
    /// # Errors
    /// There is none.
    pub fn try_connect(route: Route, connect: &Connect) -> anyhow::Result<(Self, ConnAck)> {
        let mut peer = Self::open(route, connect.version)?;
        peer.send_connect(connect)?;
        let connack = peer.expect_connack()?;
        Ok((peer, connack))
    }

    /// As [`Peer::try_connect`] for a CONNECT that has to be accepted.
    ///
    /// # Errors
    /// It is refused.
    pub fn connect(route: Route, connect: &Connect) -> anyhow::Result<(Self, ConnAck)> {
        let (peer, connack) = Self::try_connect(route, connect)?;
        ensure!(connack.reason == 0, "CONNECT is refused with {:#04x}", connack.reason);
        Ok((peer, connack))
    }

    /// The version of the connection.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.rules.sending(bytes);
        self.link.send(bytes)
    }

    /// Sends a CONNECT and holds the broker to its terms from now on.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn send_connect(&mut self, connect: &Connect) -> anyhow::Result<()> {
        self.hold_to(connect);
        self.send(&connect.bytes())
    }

    /// Holds the broker to the terms of a CONNECT whose bytes the test sends itself.
    pub fn hold_to(&mut self, connect: &Connect) {
        self.rules = Rules::new(connect.version, connect.terms.clone());
    }

    /// The next packet, none at the end of the connection. Messages that were set aside come first.
    ///
    /// # Errors
    /// Nothing comes in time, or what comes breaks a rule.
    pub fn receive_or_end(&mut self) -> anyhow::Result<Option<ServerPacket>> {
        match self.set_aside.pop_front() {
            Some(publish) => Ok(Some(ServerPacket::Publish(publish))),
            None => self.receive_new(),
        }
    }

    /// The next packet.
    ///
    /// # Errors
    /// The connection ends, nothing comes in time, or what comes breaks a rule.
    pub fn receive(&mut self) -> anyhow::Result<ServerPacket> {
        self.receive_or_end()?.context("the server closed the connection where a packet was expected")
    }

    /// What came before the answer to a PINGREQ that is sent now, messages that were set aside included.
    ///
    /// # Errors
    /// There is no answer.
    pub fn until_pong(&mut self) -> anyhow::Result<Vec<ServerPacket>> {
        self.send(&PINGREQ)?;
        let mut before = Vec::new();
        loop {
            match self.receive().context("wait for PINGRESP")? {
                ServerPacket::PingResp => return Ok(before),
                other => before.push(other),
            }
        }
    }

    /// The payloads of all messages that came before the answer to a PINGREQ that is sent now; each is acknowledged.
    ///
    /// # Errors
    /// There is no answer, or something else came.
    pub fn payloads(&mut self) -> anyhow::Result<Vec<String>> {
        let mut payloads = Vec::new();
        for packet in self.until_pong()? {
            let ServerPacket::Publish(publish) = packet else { bail!("expected messages, got {packet:?}") };
            self.acknowledge(&publish)?;
            payloads.push(String::from_utf8_lossy(&publish.payload).into_owned());
        }
        Ok(payloads)
    }

    /// As [`Peer::payloads`], again and again until nothing more comes: acknowledgements make room for further messages.
    ///
    /// # Errors
    /// As [`Peer::payloads`].
    pub fn all_payloads(&mut self) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        loop {
            let some = self.payloads()?;
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some);
        }
    }

    /// Waits until the broker has handled all that this peer sent; messages are set aside.
    ///
    /// # Errors
    /// There is no answer.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        self.send(&PINGREQ)?;
        match self.receive_answer()? {
            ServerPacket::PingResp => Ok(()),
            other => bail!("expected PINGRESP, got {other:?}"),
        }
    }

    /// The bytes up to the end of the connection, unchecked: for answers whose version is not known.
    ///
    /// # Errors
    /// The connection stays open.
    pub fn bytes_until_end(&mut self) -> anyhow::Result<Vec<u8>> {
        while self.link.receive(&mut self.bytes)? {}
        Ok(std::mem::take(&mut self.bytes))
    }

    /// Subscribes to one filter; the low two bits of `options` have to be granted.
    ///
    /// # Errors
    /// They are not.
    pub fn subscribe(&mut self, filter: &str, options: u8) -> anyhow::Result<()> {
        self.subscribe_with(filter, options, &[])
    }

    /// As [`Peer::subscribe`] with encoded properties.
    ///
    /// # Errors
    /// The subscription is not granted.
    pub fn subscribe_with(&mut self, filter: &str, options: u8, properties: &[u8]) -> anyhow::Result<()> {
        let id = self.packet_id();
        self.send(&client_packet::subscribe(self.version, id, properties, &[(filter, options)]))?;
        let reasons = self.expect_suback(id)?.reasons;
        ensure!(reasons == [options & 3], "SUBSCRIBE to {filter} is answered with {reasons:02x?}");
        Ok(())
    }

    /// Unsubscribes from one filter.
    ///
    /// # Errors
    /// The subscription is not there.
    pub fn unsubscribe(&mut self, filter: &str) -> anyhow::Result<()> {
        let id = self.packet_id();
        self.send(&client_packet::unsubscribe(self.version, id, &[], &[filter]))?;
        let reasons = self.expect_unsuback(id)?.reasons;
        ensure!(reasons.iter().all(|reason| *reason == 0), "UNSUBSCRIBE {filter} is answered with {reasons:02x?}");
        Ok(())
    }

    /// Sends a PUBLISH and nothing else.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn send_publish(&mut self, publish: &Publish) -> anyhow::Result<()> {
        self.send(&publish.bytes(self.version))
    }

    /// Publishes and waits until the broker has the message: for its acknowledgement, with QoS 0 for the answer to a
    /// PINGREQ.
    ///
    /// # Errors
    /// It is refused.
    pub fn publish(&mut self, publish: &Publish) -> anyhow::Result<()> {
        self.send_publish(publish)?;
        let reason = match publish.qos {
            0 => return self.settle(),
            1 => self.expect_puback(publish.packet_id)?.reason,
            _ => self.expect_pubrec(publish.packet_id)?.reason,
        };
        ensure!(reason < 0x80, "PUBLISH is refused with {reason:#04x}");
        if publish.qos == 2 {
            self.send(&client_packet::ack(0x62, publish.packet_id))?;
            self.expect_pubcomp(publish.packet_id)?;
        }
        Ok(())
    }

    /// Acknowledges a message as its QoS asks for.
    ///
    /// # Errors
    /// The broker does not go along.
    pub fn acknowledge(&mut self, publish: &server_packet::Publish) -> anyhow::Result<()> {
        let Some(id) = publish.packet_id else { return Ok(()) };
        if publish.qos == 1 {
            return self.puback(id);
        }
        self.pubrec(id)?;
        self.expect_pubrel(id)?;
        self.pubcomp(id)
    }

    /// The test itself is about to send the acknowledgement that ends this message.
    pub fn acknowledged(&mut self, packet_id: u16) {
        self.rules.completed(packet_id);
    }

    /// Sends a PUBACK.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn puback(&mut self, packet_id: u16) -> anyhow::Result<()> {
        self.rules.completed(packet_id);
        self.send(&client_packet::ack(0x40, packet_id))
    }

    /// Sends a PUBREC of success.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn pubrec(&mut self, packet_id: u16) -> anyhow::Result<()> {
        self.send(&client_packet::ack(0x50, packet_id))
    }

    /// Sends a PUBCOMP.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn pubcomp(&mut self, packet_id: u16) -> anyhow::Result<()> {
        self.rules.completed(packet_id);
        self.send(&client_packet::ack(0x70, packet_id))
    }

    /// Sends a PUBACK (0x40) or PUBREC (0x50) of MQTT 5 that refuses the message.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn refuse(&mut self, first: u8, packet_id: u16, reason: u8) -> anyhow::Result<()> {
        self.rules.completed(packet_id);
        self.send(&client_packet::ack_with(first, packet_id, reason))
    }

    /// Ends the connection with DISCONNECT and waits until the broker has closed it.
    ///
    /// # Errors
    /// It stays open.
    pub fn disconnect(mut self) -> anyhow::Result<()> {
        self.send(&[0xE0, 0x00])?;
        while let Some(packet) = self.receive_or_end().context("wait for the end after DISCONNECT")? {
            // What was under way may still come.
            ensure!(matches!(packet, ServerPacket::Publish(_)), "{packet:?} after the client's DISCONNECT");
        }
        Ok(())
    }

    /// A packet identifier that was not used on this connection; 1000 and up, so that a test may choose small ones.
    pub fn packet_id(&mut self) -> u16 {
        self.next_packet_id += 1;
        1000 + self.next_packet_id
    }

    /// The next packet that is no message; messages are set aside.
    fn receive_answer(&mut self) -> anyhow::Result<ServerPacket> {
        loop {
            match self.receive_new()?.context("the server closed the connection where an answer was expected")? {
                ServerPacket::Publish(publish) => self.set_aside.push_back(publish),
                other => return Ok(other),
            }
        }
    }

    fn receive_new(&mut self) -> anyhow::Result<Option<ServerPacket>> {
        loop {
            if let Some((mut packet, length)) = server_packet::decode(self.version, &self.bytes)? {
                self.bytes.drain(..length);
                self.rules.check(&mut packet, length)?;
                return Ok(Some(packet));
            }
            if !self.link.receive(&mut self.bytes)? {
                ensure!(self.bytes.is_empty(), "the connection ends inside a packet: {:02x?}", self.bytes);
                return Ok(None);
            }
        }
    }
}
