//! Packets as bytes, and blocking connections.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter,
    Unsubscribe, UserProperties, Will, encode,
};

pub const VERSION: ProtocolVersion = ProtocolVersion::V311;

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(VERSION, packet, &mut bytes).expect("encodable");
    bytes
}

pub fn connect(client_id: &str, will_topic: Option<&str>) -> Vec<u8> {
    let will = will_topic.map(|topic| Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        payload: b"gone",
        delay_s: 0,
        properties: PublishProperties::default(),
    });
    bytes(&Packet::Connect(Box::new(Connect { will, ..Connect::new(VERSION, client_id, true) })))
}

pub fn publish(topic: &str, payload: &[u8], packet_id: Option<u16>) -> Vec<u8> {
    bytes(&Packet::Publish(Publish {
        dup: false,
        qos: if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
        retain: false,
        topic,
        packet_id: packet_id.and_then(PacketId::new),
        properties: PublishProperties::default(),
        payload,
    }))
}

pub fn subscribe(filters: &[&str], qos: QoS) -> Vec<u8> {
    bytes(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::EMPTY,
        filters: filters.iter().map(|filter| SubscribeFilter::new(filter, qos)).collect(),
    }))
}

pub fn unsubscribe(filters: &[&str]) -> Vec<u8> {
    bytes(&Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: UserProperties::EMPTY,
        filters: filters.iter().copied().collect(),
    }))
}

pub fn ping() -> Vec<u8> {
    bytes(&Packet::PingReq)
}

/// Length of a CONNACK of 3.1.1.
pub const CONNACK_BYTES: usize = 4;

/// A connected client with a clean session, blocking.
pub fn open(address: SocketAddr, client_id: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&connect(client_id, None))?;
    stream.read_exact(&mut [0; CONNACK_BYTES])?;
    Ok(stream)
}
