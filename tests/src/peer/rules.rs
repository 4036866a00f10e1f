//! What a server has to keep to over the whole of a connection, checked at every packet.
//!
//! Sets are small and die with the connection. What a server owes across connections is for the tests.

use std::collections::{HashMap, HashSet};

use anyhow::{bail, ensure};

use crate::client::Version;
use crate::client_packet::Terms;
use crate::server_packet::{Publish, ServerPacket, properties};

/// The connection so far.
#[derive(Debug)]
pub struct Rules {
    version: Version,
    terms: Terms,
    /// Session present of the CONNACK, once it came.
    accepted: Option<bool>,
    /// The packet after which there may be none.
    last: Option<&'static str>,
    aliases: HashMap<u32, String>,
    /// Identifiers of messages of the server that this peer has not acknowledged to the end.
    in_flight: HashSet<u16>,
    /// Identifiers of which this peer has sent a PUBREC, for messages of the server or not.
    receipts: HashSet<u16>,
}

impl Rules {
    /// A connection on which nothing was sent.
    pub fn new(version: Version, terms: Terms) -> Self {
        Self {
            version,
            terms,
            accepted: None,
            last: None,
            aliases: HashMap::new(),
            in_flight: HashSet::new(),
            receipts: HashSet::new(),
        }
    }

    /// The acknowledgement that ends a message of the server is about to be sent.
    pub fn completed(&mut self, packet_id: u16) {
        self.in_flight.remove(&packet_id);
    }

    /// A packet is about to be sent.
    pub fn sending(&mut self, bytes: &[u8]) {
        if let [0x50, _, high, low, ..] = bytes {
            self.receipts.insert(u16::from_be_bytes([*high, *low]));
        }
    }

    /// Checks the next packet, which has `size` bytes, and fills in a topic that came as an alias.
    ///
    /// # Errors
    /// It may not come now.
    pub fn check(&mut self, packet: &mut ServerPacket, size: usize) -> anyhow::Result<()> {
        // [MQTT-3.14.4-1], [MQTT-3.2.2-7]
        if let Some(last) = self.last {
            bail!("a {} after {last}", packet.name());
        }
        // [MQTT-3.1.2-24]
        let largest = self.terms.packet_bytes_max;
        ensure!(size <= usize::try_from(largest)?, "a {} of {size} bytes, allowed are {largest}", packet.name());
        self.check_words(packet)?;
        match packet {
            ServerPacket::ConnAck(connack) => {
                // [MQTT-3.2.0-2]
                ensure!(self.accepted.is_none(), "a second CONNACK");
                self.accepted = Some(connack.session_present);
                if connack.reason != 0 {
                    self.last = Some("a CONNACK that refuses");
                }
                let method = connack.properties.text(properties::AUTHENTICATION_METHOD);
                let known = self.terms.authentication_method.as_deref();
                // [MQTT-4.12.0-5], [MQTT-4.12.0-6]
                ensure!(
                    method == known || (connack.reason != 0 && method.is_none()),
                    "a CONNACK with the method {method:?}"
                );
                let information = connack.properties.has(properties::RESPONSE_INFORMATION);
                // [MQTT-3.1.2-28]
                ensure!(self.terms.response_information || !information, "response information nobody asked for");
            }
            ServerPacket::Auth(auth) => {
                let method = auth.properties.text(properties::AUTHENTICATION_METHOD);
                let known = self.terms.authentication_method.as_deref();
                // [MQTT-4.12.0-5], [MQTT-4.12.0-6]
                ensure!(method == known, "an AUTH with the method {method:?}");
            }
            // [MQTT-3.2.0-1], [MQTT-3.14.0-1]
            _ => ensure!(self.accepted.is_some(), "a {} before CONNACK", packet.name()),
        }
        match packet {
            ServerPacket::Publish(publish) => self.check_publish(publish)?,
            ServerPacket::PubRel(ack) => {
                // [MQTT-4.3.3-4]; in a session that goes on, the PUBREC may have been sent before this connection.
                let received = self.receipts.contains(&ack.packet_id) || self.accepted == Some(true);
                ensure!(received, "a PUBREL for {} without a PUBREC", ack.packet_id);
            }
            ServerPacket::Disconnect(_) => self.last = Some("a DISCONNECT"),
            _ => {}
        }
        Ok(())
    }

    fn check_words(&self, packet: &ServerPacket) -> anyhow::Result<()> {
        let may = matches!(
            packet,
            ServerPacket::ConnAck(_) | ServerPacket::Disconnect(_) | ServerPacket::Publish(_) | ServerPacket::PingResp
        );
        if let Some(properties) = packet.properties()
            && !may
            && !self.terms.problem_information
        {
            // [MQTT-3.1.2-29]
            let words = properties.has(properties::REASON_STRING) || properties.has(properties::USER_PROPERTY);
            ensure!(!words, "a {} with a reason in words, which the client does not want", packet.name());
        }
        Ok(())
    }

    fn check_publish(&mut self, publish: &mut Publish) -> anyhow::Result<()> {
        if let Some(id) = publish.packet_id {
            // [MQTT-2.2.1-4]
            ensure!(self.in_flight.insert(id), "packet identifier {id} is in use");
            let (count, most) = (self.in_flight.len(), usize::from(self.terms.receive_maximum));
            // [MQTT-3.3.4-9]
            ensure!(count <= most, "{count} messages in flight, allowed are {most}");
            // [MQTT-4.3.2-2], [MQTT-4.3.3-2]
            ensure!(!publish.dup || self.accepted == Some(true), "DUP on a message of a new session");
        }
        if self.version == Version::V5
            && let Some(alias) = publish.properties.number(properties::TOPIC_ALIAS)
        {
            let most = u32::from(self.terms.topic_alias_max);
            // [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-11]
            ensure!(alias <= most, "topic alias {alias}, allowed are {most}");
            if publish.topic.is_empty() {
                let Some(topic) = self.aliases.get(&alias) else { bail!("topic alias {alias} was never set") };
                publish.topic.clone_from(topic);
            } else {
                self.aliases.insert(alias, publish.topic.clone());
            }
        }
        Ok(())
    }
}
