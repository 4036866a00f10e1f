//! What must hold for any bytes, shared by the fuzz target and by the test that replays its corpus.
//!
//! The first byte of an input chooses the version (even = 3.1.1, odd = 5), the rest is what a peer sends.

use selvedge_codec::{
    Delivery, Packet, ProtocolVersion, Publish, PublishProperties, decode, decode_connect, encode, frame_length,
};

/// Larger than any input, so that only the length of the input limits a frame.
const MAX_PACKET_SIZE: u32 = 1 << 20;

/// Decodes the input as a stream, frame by frame, and everything decoded again after encoding it.
pub fn check_input(input: &[u8]) {
    let Some((version, mut stream)) = input.split_first() else {
        return;
    };
    let version = if version % 2 == 0 { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
    loop {
        match frame_length(stream, MAX_PACKET_SIZE) {
            Ok(Some(length)) => {
                let (frame, rest) = stream.split_at(length);
                check_frame(version, frame);
                stream = rest;
            }
            Ok(None) => return,
            Err(error) => return assert!(error.reason_code().is_error()),
        }
    }
}

fn check_frame(version: ProtocolVersion, frame: &[u8]) {
    let mut again = Vec::new();
    let packet = match decode(version, frame) {
        Ok(packet) => packet,
        Err(error) => return assert!(error.reason_code().is_error()),
    };
    // A CONNECT has the version that it says.
    let version = match &packet {
        Packet::Connect(connect) => {
            assert_eq!(decode_connect(frame).as_ref(), Ok(&**connect));
            connect.version
        }
        _ => version,
    };
    encode(version, &packet, &mut again).expect("what was decoded can be encoded");
    assert_eq!(decode(version, &again).as_ref(), Ok(&packet), "and decoded again");
    if let Packet::Publish(publish) = packet {
        check_forwarding(version, publish);
    }
}

/// A subscriber gets the properties that the publisher sent, also after they were stored.
fn check_forwarding(version: ProtocolVersion, publish: Publish<'_>) {
    let stored: Vec<u8> = publish.properties.forwarded().flatten().copied().collect();
    assert_eq!(stored.len(), publish.properties.forwarded_len());
    let later = PublishProperties::from_forwarded(&stored, publish.properties.message_expiry_s);
    let delivery = Delivery {
        version,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: if publish.topic.is_empty() { "t" } else { publish.topic },
        packet_id: publish.packet_id,
        topic_alias: None,
        message_expiry_s: later.message_expiry_s,
        subscription_identifiers: &[],
        forwarded: later.as_forwarded(),
        payload: publish.payload,
    };
    let mut out = Vec::new();
    delivery.encode(&mut out).expect("a delivery of what was decoded");
    assert_eq!(out.len(), delivery.encoded_len());
    let Ok(Packet::Publish(got)) = decode(version, &out) else {
        panic!("a delivery is a publish");
    };
    let (got, sent) = (got.properties, publish.properties);
    assert_eq!(got.payload_format(), sent.payload_format());
    assert_eq!((got.content_type(), got.response_topic()), (sent.content_type(), sent.response_topic()));
    assert_eq!((got.correlation_data(), got.message_expiry_s), (sent.correlation_data(), sent.message_expiry_s));
    assert_eq!(got.user_properties(), sent.user_properties());
}
