//! What a server may send, decoded strictly and without the product's codec, which would share its mistakes.
//!
//! Every rule that a single packet can break is checked here, for MQTT 5 and 3.1.1: reserved flags, minimal lengths,
//! UTF-8, packet identifiers other than zero, reason codes and properties that this packet may carry, no property
//! twice, no bytes left over. What needs the packets before it stands in [`crate::peer`].

pub mod fields;
pub mod properties;
mod reason_codes;

use anyhow::{Context as _, bail, ensure};

use self::fields::Fields;
use self::properties::Properties;
use self::reason_codes as codes;
use crate::client::Version;

/// A packet of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerPacket {
    /// Answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish),
    /// Answer to a QoS 1 PUBLISH.
    PubAck(Ack),
    /// First answer to a QoS 2 PUBLISH.
    PubRec(Ack),
    /// Answer to PUBREC.
    PubRel(Ack),
    /// Last answer to a QoS 2 PUBLISH.
    PubComp(Ack),
    /// Answer to SUBSCRIBE.
    SubAck(FilterAck),
    /// Answer to UNSUBSCRIBE.
    UnsubAck(FilterAck),
    /// Answer to PINGREQ.
    PingResp,
    /// The server's last word.
    Disconnect(Closing),
    /// A step of an enhanced authentication.
    Auth(Closing),
}

/// CONNACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server had the session.
    pub session_present: bool,
    /// Reason code, in 3.1.1 the return code.
    pub reason: u8,
    /// Empty in 3.1.1.
    pub properties: Properties,
}

/// PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Whether it is a retransmission.
    pub dup: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The RETAIN flag.
    pub retain: bool,
    /// The topic name; [`crate::peer::Peer`] fills it in where the packet has an alias only.
    pub topic: String,
    /// There if `qos` is not 0.
    pub packet_id: Option<u16>,
    /// Empty in 3.1.1.
    pub properties: Properties,
    /// The payload.
    pub payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Of the PUBLISH.
    pub packet_id: u16,
    /// 0 in 3.1.1.
    pub reason: u8,
    /// Empty in 3.1.1.
    pub properties: Properties,
}

/// SUBACK and UNSUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterAck {
    /// Of the SUBSCRIBE or UNSUBSCRIBE.
    pub packet_id: u16,
    /// One for each filter; none in an UNSUBACK of 3.1.1.
    pub reasons: Vec<u8>,
    /// Empty in 3.1.1.
    pub properties: Properties,
}

/// DISCONNECT and AUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Reason code.
    pub reason: u8,
    /// What else it says.
    pub properties: Properties,
}

impl ServerPacket {
    /// The packet's name in the standard.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConnAck(_) => "CONNACK",
            Self::Publish(_) => "PUBLISH",
            Self::PubAck(_) => "PUBACK",
            Self::PubRec(_) => "PUBREC",
            Self::PubRel(_) => "PUBREL",
            Self::PubComp(_) => "PUBCOMP",
            Self::SubAck(_) => "SUBACK",
            Self::UnsubAck(_) => "UNSUBACK",
            Self::PingResp => "PINGRESP",
            Self::Disconnect(_) => "DISCONNECT",
            Self::Auth(_) => "AUTH",
        }
    }

    /// Its properties; none of a PINGRESP.
    pub fn properties(&self) -> Option<&Properties> {
        match self {
            Self::ConnAck(packet) => Some(&packet.properties),
            Self::Publish(packet) => Some(&packet.properties),
            Self::PubAck(packet) | Self::PubRec(packet) | Self::PubRel(packet) | Self::PubComp(packet) => {
                Some(&packet.properties)
            }
            Self::SubAck(packet) | Self::UnsubAck(packet) => Some(&packet.properties),
            Self::Disconnect(packet) | Self::Auth(packet) => Some(&packet.properties),
            Self::PingResp => None,
        }
    }
}

/// Cuts the first whole packet off `bytes` and gives it and its length; `None` if more bytes are needed.
///
/// # Errors
/// It breaks a rule; the text says which.
pub fn decode(version: Version, bytes: &[u8]) -> anyhow::Result<Option<(ServerPacket, usize)>> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let Some((length, head)) = remaining_length(&bytes[1..])? else { return Ok(None) };
    let end = 1 + head + length;
    let Some(body) = bytes.get(1 + head..end) else { return Ok(None) };
    let packet = decode_body(version, first, body).with_context(|| format!("in the packet {:02x?}", &bytes[..end]))?;
    Ok(Some((packet, end)))
}

/// Value and length of a remaining length.
fn remaining_length(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        ensure!(index < 4, "a remaining length of more than 4 bytes");
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1]
            ensure!(index == 0 || *byte != 0, "a remaining length with more bytes than it needs: {bytes:02x?}");
            return Ok(Some((value, index + 1)));
        }
    }
    Ok(None)
}

fn decode_body(version: Version, first: u8, body: &[u8]) -> anyhow::Result<ServerPacket> {
    let fields = Fields::new(body);
    let flags = first & 0x0F;
    let kind = first >> 4;
    if kind == 3 {
        return publish(version, flags, fields).map(ServerPacket::Publish);
    }
    // [MQTT-2.1.3-1]
    let reserved = if kind == 6 { 0b0010 } else { 0 };
    ensure!(flags == reserved, "packet type {kind} has the reserved flags {flags:#06b} instead of {reserved:#06b}");
    let v5 = version == Version::V5;
    Ok(match kind {
        2 => ServerPacket::ConnAck(connack(version, fields)?),
        4 => ServerPacket::PubAck(ack(version, "PUBACK", codes::PUBACK, fields)?),
        5 => ServerPacket::PubRec(ack(version, "PUBREC", codes::PUBREC, fields)?),
        6 => ServerPacket::PubRel(ack(version, "PUBREL", codes::PUBREL, fields)?),
        7 => ServerPacket::PubComp(ack(version, "PUBCOMP", codes::PUBCOMP, fields)?),
        9 => ServerPacket::SubAck(filter_ack(version, "SUBACK", codes::suback(version), fields)?),
        11 => ServerPacket::UnsubAck(filter_ack(version, "UNSUBACK", codes::UNSUBACK, fields)?),
        13 => {
            fields.end()?;
            ServerPacket::PingResp
        }
        14 if v5 => {
            let closing = closing("DISCONNECT", codes::DISCONNECT, fields)?;
            ServerPacket::Disconnect(closing)
        }
        15 if v5 => {
            let auth = closing("AUTH", codes::AUTH, fields)?;
            ensure!(auth.properties.text(properties::AUTHENTICATION_METHOD).is_some(), "an AUTH without a method");
            ServerPacket::Auth(auth)
        }
        _ => bail!("packet type {kind}, which a server does not send in version {version}"),
    })
}

fn connack(version: Version, mut fields: Fields<'_>) -> anyhow::Result<ConnAck> {
    let flags = fields.byte("connect acknowledge flags")?;
    // [MQTT-3.2.2-1]
    ensure!(flags & 0xFE == 0, "reserved connect acknowledge flags: {flags:#010b}");
    let session_present = flags == 1;
    let reason = fields.byte("reason code")?;
    codes::check("CONNACK", codes::connack(version), reason)?;
    // [MQTT-3.2.2-6]
    ensure!(!(session_present && reason != 0), "a CONNACK with reason {reason:#04x} and session present");
    let properties = Properties::of(version, "CONNACK", &mut fields)?;
    fields.end()?;
    Ok(ConnAck { session_present, reason, properties })
}

fn publish(version: Version, flags: u8, mut fields: Fields<'_>) -> anyhow::Result<Publish> {
    let (dup, qos, retain) = (flags & 0b1000 != 0, flags >> 1 & 0b11, flags & 1 != 0);
    // [MQTT-3.3.1-4]
    ensure!(qos < 3, "a PUBLISH with both QoS bits set");
    // [MQTT-3.3.1-2]
    ensure!(!(dup && qos == 0), "a PUBLISH of QoS 0 with DUP set");
    let topic = fields.text("topic name")?;
    // [MQTT-3.3.2-2]
    ensure!(!topic.contains(['+', '#']), "a topic name with wildcards: {topic:?}");
    let packet_id = if qos > 0 { Some(fields.packet_id()?) } else { None };
    let properties = Properties::of(version, "PUBLISH", &mut fields)?;
    let alias = properties.number(properties::TOPIC_ALIAS);
    // [MQTT-4.7.3-1]
    ensure!(!topic.is_empty() || alias.is_some(), "a PUBLISH with neither topic name nor alias");
    let payload = fields.rest().to_vec();
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload })
}

fn ack(version: Version, name: &'static str, allowed: &[u8], mut fields: Fields<'_>) -> anyhow::Result<Ack> {
    let packet_id = fields.packet_id()?;
    let mut reason = 0;
    let mut properties = Properties::default();
    // 3.4.2.1: both may be left out, the properties also alone.
    if version == Version::V5 && !fields.is_empty() {
        reason = fields.byte("reason code")?;
        codes::check(name, allowed, reason)?;
        if !fields.is_empty() {
            properties = Properties::of(version, name, &mut fields)?;
        }
    }
    fields.end()?;
    Ok(Ack { packet_id, reason, properties })
}

fn filter_ack(
    version: Version,
    name: &'static str,
    allowed: &[u8],
    mut fields: Fields<'_>,
) -> anyhow::Result<FilterAck> {
    let packet_id = fields.packet_id()?;
    let properties = Properties::of(version, name, &mut fields)?;
    let reasons = fields.rest().to_vec();
    for reason in &reasons {
        codes::check(name, allowed, *reason)?;
    }
    let none = version == Version::V311 && name == "UNSUBACK";
    ensure!(reasons.is_empty() == none, "{name} with {} reason codes", reasons.len());
    Ok(FilterAck { packet_id, reasons, properties })
}

fn closing(name: &'static str, allowed: &[u8], mut fields: Fields<'_>) -> anyhow::Result<Closing> {
    let mut closing = Closing { reason: 0, properties: Properties::default() };
    if !fields.is_empty() {
        closing.reason = fields.byte("reason code")?;
        codes::check(name, allowed, closing.reason)?;
        if !fields.is_empty() {
            closing.properties = Properties::of(Version::V5, name, &mut fields)?;
        }
    }
    fields.end()?;
    Ok(closing)
}

#[cfg(test)]
#[path = "server_packet/tests.rs"]
mod tests;
