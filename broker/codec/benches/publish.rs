//! Nanoseconds per packet for what a broker does all day, beside rumqttc's MQTT 5 codec in the same run.
//!
//! Both read the same stream of packets. The rounds of the two alternate, so that a machine that slows down slows both,
//! and the median round counts; the ratio is the figure to trust. `cargo bench -p selvedge-codec`.

use std::{hint::black_box, time::Instant};

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::{QoS as PeerQoS, v5 as peer};
use selvedge_codec::{
    Ack, AckKind, Delivery, PacketId, ProtocolVersion, Publish, PublishPropertiesBuffer, QoS, decode, encode,
    frame_length,
};

/// Packets in the stream that one round works through.
const PACKETS: usize = 2_000;
const ROUNDS: usize = 201;
const TOPIC: &str = "plant/7/line/3/state"; // 20 bytes
const PAYLOAD: [u8; 64] = [b'x'; 64];

fn main() {
    let four_properties = publish_with_four_properties();
    let mut plain = Vec::new();
    publish(QoS::AtMostOnce).encode(ProtocolVersion::V5, &mut plain).expect("valid");
    let mut puback = Vec::new();
    Ack::success(PacketId::MIN).encode(AckKind::PubAck, ProtocolVersion::V5, &mut puback).expect("valid");

    println!("{:<38} {:>10} {:>10} {:>7}", "", "selvedge", "rumqttc", "ratio");
    decode_row("decode qos 1 publish, 4 properties", &four_properties);
    decode_row("decode qos 0 publish, no properties", &plain);
    decode_row("decode puback", &puback);
    encode_row("encode qos 1 publish, 4 properties", &four_properties);
}

fn publish(qos: QoS) -> Publish<'static> {
    let packet_id = (qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        packet_id,
        properties: Default::default(),
        payload: &PAYLOAD,
    }
}

fn publish_with_four_properties() -> Vec<u8> {
    let mut properties = PublishPropertiesBuffer::new();
    properties
        .content_type("application/json")
        .and_then(|properties| properties.response_topic("plant/7/answers/42"))
        .and_then(|properties| properties.correlation_data(&[7; 16]))
        .and_then(|properties| properties.user_property("trace", "4bf92f3577b34da6"))
        .expect("valid");
    let publish = Publish { properties: properties.as_properties(), ..publish(QoS::AtLeastOnce) };
    let mut packet = Vec::new();
    publish.encode(ProtocolVersion::V5, &mut packet).expect("valid");
    packet
}

fn decode_row(name: &str, packet: &[u8]) {
    let stream = packet.repeat(PACKETS);
    let ours = || {
        let start = Instant::now();
        let mut rest = &stream[..];
        while let Ok(Some(length)) = frame_length(black_box(rest), 1 << 20) {
            let (frame, after) = rest.split_at(length);
            assert!(black_box(&decode(ProtocolVersion::V5, frame)).is_ok());
            rest = after;
        }
        nanoseconds_each(start)
    };
    let theirs = || {
        let mut stream = BytesMut::from(&stream[..]);
        let start = Instant::now();
        while !stream.is_empty() {
            assert!(black_box(&peer::Packet::read(black_box(&mut stream), Some(1 << 20))).is_ok());
        }
        nanoseconds_each(start)
    };
    print_row(name, ours, theirs);
}

fn encode_row(name: &str, packet: &[u8]) {
    let Ok(selvedge_codec::Packet::Publish(publish)) = decode(ProtocolVersion::V5, packet) else {
        panic!("not a publish");
    };
    let delivery = Delivery {
        version: ProtocolVersion::V5,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic,
        packet_id: publish.packet_id,
        topic_alias: None,
        message_expiry_s: None,
        subscription_identifiers: &[],
        forwarded: publish.properties.as_forwarded(),
        payload: publish.payload,
    };
    let mut out = Vec::with_capacity(packet.len() * PACKETS);
    let ours = || {
        out.clear();
        let start = Instant::now();
        for _ in 0..PACKETS {
            black_box(&delivery).encode(&mut out).expect("valid");
        }
        black_box(&out);
        nanoseconds_each(start)
    };
    let mut theirs = peer::Publish::new(TOPIC, PeerQoS::AtLeastOnce, Bytes::from_static(&PAYLOAD), None);
    theirs.pkid = 1;
    theirs.properties = Some(peer::PublishProperties {
        content_type: publish.properties.content_type().map(str::to_owned),
        response_topic: publish.properties.response_topic().map(str::to_owned),
        correlation_data: publish.properties.correlation_data().map(Bytes::copy_from_slice),
        user_properties: publish
            .properties
            .user_properties()
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..Default::default()
    });
    let mut their_out = BytesMut::with_capacity(packet.len() * PACKETS);
    let theirs = || {
        their_out.clear();
        let start = Instant::now();
        for _ in 0..PACKETS {
            black_box(&theirs).write(&mut their_out).expect("valid");
        }
        black_box(&their_out);
        nanoseconds_each(start)
    };
    print_row(name, ours, theirs);

    // What was measured is what both mean.
    let mut again = Vec::new();
    encode(ProtocolVersion::V5, &selvedge_codec::Packet::Publish(publish), &mut again).expect("valid");
    assert_eq!(again, packet);
}

fn print_row(name: &str, mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) {
    let mut rounds = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rounds.0.push(ours());
        rounds.1.push(theirs());
    }
    let (ours, theirs) = (median(rounds.0), median(rounds.1));
    println!("{name:<38} {ours:>7.1} ns {theirs:>7.1} ns {:>7.2}", ours / theirs);
}

fn nanoseconds_each(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / PACKETS as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
