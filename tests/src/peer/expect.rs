//! What a test expects next: each of these fails when something else comes, or nothing.

use anyhow::{Context as _, bail, ensure};

use super::Peer;
use crate::client::Version;
use crate::server_packet::{self, Ack, ConnAck, FilterAck, ServerPacket};

impl Peer {
    /// A CONNACK.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_connack(&mut self) -> anyhow::Result<ConnAck> {
        match self.receive()? {
            ServerPacket::ConnAck(connack) => {
                self.connected = connack.reason == 0;
                Ok(connack)
            }
            other => bail!("expected CONNACK, got {other:?}"),
        }
    }

    /// A message. It is not acknowledged: see [`Peer::acknowledge`].
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_publish(&mut self) -> anyhow::Result<server_packet::Publish> {
        match self.receive()? {
            ServerPacket::Publish(publish) => Ok(publish),
            other => bail!("expected PUBLISH, got {other:?}"),
        }
    }

    /// A message with this payload.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_message(&mut self, payload: impl AsRef<[u8]>) -> anyhow::Result<server_packet::Publish> {
        let publish = self.expect_publish()?;
        let expected = payload.as_ref();
        ensure!(publish.payload == expected, "expected {:?}, got {publish:?}", String::from_utf8_lossy(expected));
        Ok(publish)
    }

    /// A PUBACK for this packet identifier.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_puback(&mut self, packet_id: u16) -> anyhow::Result<Ack> {
        match self.receive_answer()? {
            ServerPacket::PubAck(ack) if ack.packet_id == packet_id => Ok(ack),
            other => bail!("expected PUBACK for {packet_id}, got {other:?}"),
        }
    }

    /// A PUBREC for this packet identifier.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_pubrec(&mut self, packet_id: u16) -> anyhow::Result<Ack> {
        match self.receive_answer()? {
            ServerPacket::PubRec(ack) if ack.packet_id == packet_id => Ok(ack),
            other => bail!("expected PUBREC for {packet_id}, got {other:?}"),
        }
    }

    /// A PUBREL for this packet identifier.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_pubrel(&mut self, packet_id: u16) -> anyhow::Result<Ack> {
        match self.receive_answer()? {
            ServerPacket::PubRel(ack) if ack.packet_id == packet_id => Ok(ack),
            other => bail!("expected PUBREL for {packet_id}, got {other:?}"),
        }
    }

    /// A PUBCOMP for this packet identifier.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_pubcomp(&mut self, packet_id: u16) -> anyhow::Result<Ack> {
        match self.receive_answer()? {
            ServerPacket::PubComp(ack) if ack.packet_id == packet_id => Ok(ack),
            other => bail!("expected PUBCOMP for {packet_id}, got {other:?}"),
        }
    }

    /// A SUBACK for this packet identifier.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_suback(&mut self, packet_id: u16) -> anyhow::Result<FilterAck> {
        match self.receive_answer()? {
            ServerPacket::SubAck(ack) if ack.packet_id == packet_id => Ok(ack),
            other => bail!("expected SUBACK for {packet_id}, got {other:?}"),
        }
    }

    /// An UNSUBACK for this packet identifier.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub fn expect_unsuback(&mut self, packet_id: u16) -> anyhow::Result<FilterAck> {
        match self.receive_answer()? {
            ServerPacket::UnsubAck(ack) if ack.packet_id == packet_id => Ok(ack),
            other => bail!("expected UNSUBACK for {packet_id}, got {other:?}"),
        }
    }

    /// Shows that the broker has sent nothing but what was received: it answers a PINGREQ, and nothing comes before.
    ///
    /// # Errors
    /// Something has come.
    pub fn expect_nothing(&mut self) -> anyhow::Result<()> {
        let before = self.until_pong()?;
        ensure!(before.is_empty(), "expected nothing, got {before:?}");
        Ok(())
    }

    /// The end of the connection for what this peer did, whose reason is one of `reasons`.
    ///
    /// An accepted MQTT 5 connection is told with DISCONNECT (which other brokers than the product may leave out); one
    /// that is not accepted yet may be told with CONNACK; one of 3.1.1 is told nothing.
    ///
    /// # Errors
    /// The connection stays open, or ends otherwise.
    pub fn expect_closed(&mut self, reasons: &[u8]) -> anyhow::Result<()> {
        let mut said = None;
        loop {
            match self.receive_or_end().context("expected the end of the connection")? {
                None => break,
                Some(ServerPacket::Disconnect(closing)) if self.connected => said = Some(closing.reason),
                Some(ServerPacket::ConnAck(connack)) if !self.connected && connack.reason != 0 => {
                    said = Some(connack.reason);
                }
                Some(other) => bail!("expected the end of the connection, got {other:?}"),
            }
        }
        match said {
            Some(reason) => ensure!(reasons.contains(&reason), "closed with {reason:#04x}, expected {reasons:02x?}"),
            None => {
                let must = self.connected && self.version == Version::V5 && self.must_say_why;
                ensure!(!must, "closed without a DISCONNECT, expected one of {reasons:02x?}");
            }
        }
        Ok(())
    }

    /// The end of the connection and nothing before it.
    ///
    /// # Errors
    /// Something comes, or the connection stays open.
    pub fn expect_silent_end(&mut self) -> anyhow::Result<()> {
        match self.receive_or_end()? {
            None => Ok(()),
            Some(other) => bail!("expected the end of the connection, got {other:?}"),
        }
    }
}
