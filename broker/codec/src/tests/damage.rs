//! Bytes that are not packets: random ones, and valid packets with something wrong. Nothing panics, what is accepted
//! can be encoded again, and what is refused has a reason code that says so.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{Packet, ProtocolVersion, decode, encode, frame_length, packet::generate::packet};

/// One thing that goes wrong between two peers.
#[derive(Debug, Clone)]
pub(super) enum Damage {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

pub(super) fn damage() -> impl Strategy<Value = Damage> {
    // Values at the borders of what fields mean, besides any.
    let byte = prop_oneof![
        any::<u8>(),
        Just(0),
        Just(1),
        Just(0x7F),
        Just(0x80),
        Just(0xFF),
        Just(b'#'),
        Just(b'+'),
        0_u8..0x30
    ];
    prop_oneof![
        4 => (any::<Index>(), byte.clone()).prop_map(|(place, byte)| Damage::Replace(place, byte)),
        2 => (any::<Index>(), byte).prop_map(|(place, byte)| Damage::Insert(place, byte)),
        2 => any::<Index>().prop_map(Damage::Remove),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

/// Damages the body of a frame and gives it a matching remaining length, or damages the frame as it is.
pub(super) fn apply(frame: &[u8], damages: &[Damage], keep_length_right: bool) -> Vec<u8> {
    let header = 1 + frame[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let mut bytes = if keep_length_right { frame[header..].to_vec() } else { frame.to_vec() };
    for damage in damages {
        match damage {
            Damage::Insert(place, byte) => bytes.insert(place.index(bytes.len() + 1), *byte),
            _ if bytes.is_empty() => {}
            Damage::Replace(place, byte) => {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            Damage::Remove(place) => drop(bytes.remove(place.index(bytes.len()))),
            Damage::Cut(place) => bytes.truncate(place.index(bytes.len())),
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let repeated = bytes[from.min(to)..from.max(to)].iter().take(64).copied().collect::<Vec<_>>();
                bytes.splice(from..from, repeated);
            }
        }
    }
    if !keep_length_right {
        return bytes;
    }
    let mut whole = vec![frame[0]];
    crate::writer::put_variable_byte_integer(&mut whole, bytes.len() as u32);
    whole.extend(bytes);
    whole
}

fn check(version: ProtocolVersion, input: &[u8]) {
    match frame_length(input, 1 << 20) {
        Ok(None) => {}
        Ok(Some(length)) => check_frame(version, &input[..length]),
        Err(error) => assert!(error.reason_code().is_error() && !error.to_string().is_empty()),
    }
    check_frame(version, input);
}

fn check_frame(version: ProtocolVersion, frame: &[u8]) {
    let mut again = Vec::new();
    match decode(version, frame) {
        Err(error) => assert!(error.reason_code().is_error() && !error.to_string().is_empty()),
        Ok(packet) => {
            let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
            encode(version, &packet, &mut again).expect("what was decoded can be encoded");
            assert_eq!(decode(version, &again).expect("and decoded again"), packet);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_bytes_do_no_harm(input in vec(any::<u8>(), 0..60)) {
        check(ProtocolVersion::V311, &input);
        check(ProtocolVersion::V5, &input);
    }

    #[test]
    fn random_bodies_do_no_harm(first_byte in any::<u8>(), body in vec(prop_oneof![0_u8..6, any::<u8>()], 0..60)) {
        let frame = [&[first_byte, body.len() as u8][..], &body].concat();
        check(ProtocolVersion::V311, &frame);
        check(ProtocolVersion::V5, &frame);
    }

    #[test]
    fn damaged_packets_do_no_harm(
        packet in packet(ProtocolVersion::V5),
        damages in vec(damage(), 1..4),
        keep_length_right in any::<bool>(),
    ) {
        let mut frame = Vec::new();
        encode(ProtocolVersion::V5, &packet, &mut frame).expect("valid");
        let frame = apply(&frame, &damages, keep_length_right);
        check(ProtocolVersion::V5, &frame);
        check(ProtocolVersion::V311, &frame);
    }
}
