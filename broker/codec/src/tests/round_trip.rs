//! What is encoded is decoded again, for every packet in both versions.

use proptest::prelude::*;

use crate::{
    DecodeError, EncodeError, Packet, ProtocolVersion, decode, decode_connect, encode, frame_length,
    packet::generate::packet,
};

/// Leaked like the generated parts, because packets of different lifetimes cannot be compared.
fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> &'static [u8] {
    let mut frame = Vec::new();
    encode(version, packet, &mut frame).expect("generated packets are valid");
    frame.leak()
}

fn any_version() -> impl Strategy<Value = (ProtocolVersion, Packet<'static>)> {
    prop_oneof![Just(ProtocolVersion::V311), Just(ProtocolVersion::V5)]
        .prop_flat_map(|version| packet(version).prop_map(move |packet| (version, packet)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_packet_is_decoded_as_it_was_encoded((version, packet) in any_version()) {
        let frame = encoded(version, &packet);
        prop_assert_eq!(frame_length(frame, u32::MAX), Ok(Some(frame.len())));
        let decoded = decode(version, frame).expect("encoded packets are valid");
        prop_assert_eq!(&decoded, &packet);
        prop_assert_eq!(decoded.packet_type() as u8, frame[0] >> 4);
        if let Packet::Connect(connect) = &packet {
            prop_assert_eq!(decode_connect(frame), Ok(**connect));
        }
        // A second time from what borrows from bytes instead of from generated values.
        prop_assert_eq!(encoded(version, &decoded), frame);
    }

    #[test]
    fn a_cut_frame_is_never_a_packet((version, packet) in any_version()) {
        let frame = encoded(version, &packet);
        for length in 0..frame.len() {
            prop_assert_eq!(frame_length(&frame[..length], u32::MAX), Ok(None), "cut at {}", length);
            let refused = matches!(decode(version, &frame[..length]), Err(DecodeError::FrameLength { .. }));
            prop_assert!(refused, "cut at {}", length);
        }
    }

    #[test]
    fn packets_follow_each_other_without_gaps(
        packets in proptest::collection::vec(packet(ProtocolVersion::V5), 1..5),
    ) {
        let frames: Vec<_> = packets.iter().map(|packet| encoded(ProtocolVersion::V5, packet)).collect();
        let mut rest: &'static [u8] = frames.concat().leak();
        for packet in &packets {
            let length = frame_length(rest, u32::MAX).expect("valid").expect("whole");
            let (frame, after) = rest.split_at(length);
            prop_assert_eq!(&decode(ProtocolVersion::V5, frame).expect("valid"), packet);
            rest = after;
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_packet_for_the_other_version_is_refused_or_becomes_valid_there(packet in packet(ProtocolVersion::V5)) {
        let mut frame = Vec::new();
        match encode(ProtocolVersion::V311, &packet, &mut frame) {
            Ok(()) => prop_assert_eq!(decode(ProtocolVersion::V311, &frame).expect("valid").packet_type(), packet.packet_type()),
            Err(EncodeError::NotInVersion { .. } | EncodeError::ReasonCode { .. } | EncodeError::FieldValue { .. }) => {
                prop_assert!(frame.is_empty());
            }
            Err(other) => panic!("{other}"),
        }
    }
}
