//! The fifteen control packets as one type, and the two directions between it and bytes.

mod ack;
mod auth;
mod connack;
mod connect;
mod delivery;
mod disconnect;
mod forwarded;
mod ping;
mod publish;
mod publish_properties;
mod publish_properties_buffer;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;
mod will;

pub use ack::{Ack, AckKind};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, connect_version, decode_connect};
pub use delivery::Delivery;
pub use disconnect::Disconnect;
pub use forwarded::Forwarded;
pub use publish::Publish;
pub use publish_properties::PublishProperties;
pub use publish_properties_buffer::PublishPropertiesBuffer;
pub use suback::SubAck;
pub use subscribe::{FILTERS_MAX, RetainHandling, Subscribe, SubscribeFilter};
pub use unsuback::UnsubAck;
pub use unsubscribe::Unsubscribe;
pub use will::Will;

use crate::{DecodeError, EncodeError, PacketType, ProtocolVersion, frame};

/// A control packet, borrowed from the bytes that it was decoded from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented at its type")]
pub enum Packet<'a> {
    Connect(Box<Connect<'a>>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// Decodes `frame`, which is exactly one frame (see [`frame_length`](crate::frame_length)), in the version of the connection.
///
/// # Errors
/// Everything that makes a packet malformed or a protocol error by itself, without knowledge of the connection.
#[inline]
pub fn decode<'a>(version: ProtocolVersion, frame: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
    let frame = frame::split(frame)?;
    if frame.padded && version == ProtocolVersion::V5 {
        return Err(DecodeError::Overlong { field: "remaining length" }); // [MQTT-1.5.5-1]
    }
    let body = frame.body;
    match frame.packet {
        PacketType::Publish => Publish::decode(version, &frame).map(Packet::Publish),
        PacketType::PubAck => Ack::decode(AckKind::PubAck, version, body).map(Packet::PubAck),
        PacketType::PubRec => Ack::decode(AckKind::PubRec, version, body).map(Packet::PubRec),
        PacketType::PubRel => Ack::decode(AckKind::PubRel, version, body).map(Packet::PubRel),
        PacketType::PubComp => Ack::decode(AckKind::PubComp, version, body).map(Packet::PubComp),
        PacketType::Connect => Connect::decode(&frame).map(|connect| Packet::Connect(Box::new(connect))),
        PacketType::ConnAck => ConnAck::decode(version, body).map(Packet::ConnAck),
        PacketType::Subscribe => Subscribe::decode(version, body).map(Packet::Subscribe),
        PacketType::SubAck => SubAck::decode(version, body).map(Packet::SubAck),
        PacketType::Unsubscribe => Unsubscribe::decode(version, body).map(Packet::Unsubscribe),
        PacketType::UnsubAck => UnsubAck::decode(version, body).map(Packet::UnsubAck),
        PacketType::PingReq => ping::check_body(frame.packet, body).map(|()| Packet::PingReq),
        PacketType::PingResp => ping::check_body(frame.packet, body).map(|()| Packet::PingResp),
        PacketType::Disconnect => Disconnect::decode(version, body).map(Packet::Disconnect),
        PacketType::Auth if version == ProtocolVersion::V5 => Auth::decode(body).map(Packet::Auth),
        PacketType::Auth => Err(DecodeError::NotInVersion { packet: frame.packet, version }),
    }
}

/// Appends `packet` to `out`. What is encoded can be decoded again; what 3.1.1 has no place for is left out.
///
/// # Errors
/// Something that a receiver would refuse, or that the version cannot say; `out` is then unchanged.
pub fn encode(version: ProtocolVersion, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let not_in_version = EncodeError::NotInVersion { packet: packet.packet_type() };
    match packet {
        Packet::Connect(connect) if connect.version != version => Err(not_in_version),
        Packet::Connect(connect) => connect.encode(out),
        Packet::ConnAck(connack) => connack.encode(version, out),
        Packet::Publish(publish) => publish.encode(version, out),
        Packet::PubAck(ack) => ack.encode(AckKind::PubAck, version, out),
        Packet::PubRec(ack) => ack.encode(AckKind::PubRec, version, out),
        Packet::PubRel(ack) => ack.encode(AckKind::PubRel, version, out),
        Packet::PubComp(ack) => ack.encode(AckKind::PubComp, version, out),
        Packet::Subscribe(subscribe) => subscribe.encode(version, out),
        Packet::SubAck(suback) => suback.encode(version, out),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
        Packet::UnsubAck(unsuback) => unsuback.encode(version, out),
        Packet::PingReq | Packet::PingResp => {
            out.extend_from_slice(&ping::encoded(packet.packet_type()));
            Ok(())
        }
        Packet::Disconnect(disconnect) => disconnect.encode(version, out),
        Packet::Auth(_) if version == ProtocolVersion::V311 => Err(not_in_version),
        Packet::Auth(auth) => auth.encode(out),
    }
}

impl Packet<'_> {
    /// Which of the fifteen it is.
    #[inline]
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::prelude::*;

    use super::*;

    /// Any packet that `version` can say.
    pub(crate) fn packet(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
        let ack = move |kind| ack::generate::ack(kind, version);
        let without_body = prop_oneof![Just(Packet::PingReq), Just(Packet::PingResp)];
        let auth = match version {
            ProtocolVersion::V311 => Just(Packet::PingReq).boxed(),
            ProtocolVersion::V5 => auth::generate::auth().prop_map(Packet::Auth).boxed(),
        };
        prop_oneof![
            connect::generate::connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
            connack::generate::connack(version).prop_map(Packet::ConnAck),
            publish::generate::publish(version).prop_map(Packet::Publish),
            ack(AckKind::PubAck).prop_map(Packet::PubAck),
            ack(AckKind::PubRec).prop_map(Packet::PubRec),
            ack(AckKind::PubRel).prop_map(Packet::PubRel),
            ack(AckKind::PubComp).prop_map(Packet::PubComp),
            subscribe::generate::subscribe(version).prop_map(Packet::Subscribe),
            suback::generate::suback(version).prop_map(Packet::SubAck),
            prop_oneof![
                unsubscribe::generate::unsubscribe(version).prop_map(Packet::Unsubscribe),
                unsuback::generate::unsuback(version).prop_map(Packet::UnsubAck),
                without_body,
                disconnect::generate::disconnect(version).prop_map(Packet::Disconnect),
                auth,
            ],
        ]
    }
}
