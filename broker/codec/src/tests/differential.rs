//! The same bytes for this codec and for `rmqtt-codec` 0.3.1: both accept with the same values, both refuse, or the
//! difference is one of [`KNOWN`], where the standard (or a stated decision) is on this codec's side. A difference that
//! is not listed fails, and so does a listed one that its example no longer shows.

mod values;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use tokio_util::codec::Decoder;

use super::damage::{apply, damage};
use crate::{
    DecodeError, Packet, PacketType, ProtocolVersion,
    ProtocolVersion::{V5, V311},
    connect_version, decode, encode, frame_length,
    packet::generate::packet,
};

/// A difference that is meant.
struct Known {
    /// The statement or section that decides it, or the decision.
    because: &'static str,
    verdict: Verdict,
    example: (ProtocolVersion, &'static [u8]),
}

/// Who refuses, and whether this is the difference in question.
enum Verdict {
    /// This codec refuses, the peer accepts.
    WeRefuse(fn(&DecodeError) -> bool),
    /// The peer refuses, this codec accepts.
    TheyRefuse(fn(&Packet<'_>) -> bool),
}

use Verdict::{TheyRefuse, WeRefuse};

const KNOWN: &[Known] = &[
    Known {
        because: "[MQTT-3.3.1-2]: DUP must be 0 at QoS 0; the peer does not look",
        verdict: WeRefuse(|error| matches!(error, DecodeError::DupWithoutQos)),
        example: (V311, b"\x38\x03\0\x01t"),
    },
    Known {
        because: "[MQTT-1.5.4-2]: no U+0000 in strings; the peer checks UTF-8 alone",
        verdict: WeRefuse(|error| matches!(error, DecodeError::NullCharacter { .. })),
        example: (V311, b"\x30\x03\0\x01\0"),
    },
    Known {
        because: "[MQTT-3.3.2-2], [MQTT-4.7.3-1]: topic names have no wildcards, a will's is not empty; the peer leaves it to the server",
        verdict: WeRefuse(|error| matches!(error, DecodeError::TopicName(_))),
        example: (V311, b"\x30\x03\0\x01#"),
    },
    Known {
        because: "section 3.3.2.1: an empty topic name needs an alias; the peer leaves it to the server",
        verdict: WeRefuse(|error| matches!(error, DecodeError::TopicMissing)),
        example: (V5, b"\x30\x03\0\0\0"),
    },
    Known {
        because: "[MQTT-3.3.2-14], [MQTT-4.7.3-1]: a response topic is a topic name; the peer takes any string",
        verdict: WeRefuse(|error| matches!(error, DecodeError::ResponseTopic(_))),
        example: (V5, b"\x30\x08\0\x01t\x04\x08\0\x01+"),
    },
    Known {
        because: "[MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2]: the peer does not parse topic filters",
        verdict: WeRefuse(|error| matches!(error, DecodeError::TopicFilter(_))),
        example: (V311, b"\x82\x07\0\x01\0\x02a#\0"),
    },
    Known {
        because: "[MQTT-3.8.3-4]: no local on a shared subscription; the peer leaves it to the server",
        verdict: WeRefuse(|error| matches!(error, DecodeError::NoLocalOnShared)),
        example: (V5, b"\x82\x10\0\x01\0\0\x0a$share/g/t\x04"),
    },
    Known {
        because: "3.1.1 [MQTT-3-8.3-4]: reserved bits of the requested QoS; the peer masks them",
        verdict: WeRefuse(|error| matches!(error, DecodeError::SubscriptionOptionsReserved { .. })),
        example: (V311, b"\x82\x06\0\x01\0\x01a\x04"),
    },
    Known {
        because: "sections 3.1 to 3.13: nothing follows the last field; the peer ignores it after CONNECT, pings, and all of 3.1.1",
        verdict: WeRefuse(|error| matches!(error, DecodeError::TrailingBytes { .. })),
        example: (V311, b"\xc0\x01\0"),
    },
    Known {
        because: "3.1.1 [MQTT-3.1.2-22]: no password without user name; the peer does not look",
        verdict: WeRefuse(|error| matches!(error, DecodeError::PasswordWithoutUserName)),
        example: (V311, b"\x10\x0f\0\x04MQTT\x04\x42\0\0\0\0\0\x01p"),
    },
    Known {
        because: "[MQTT-3.1.2-11], [MQTT-3.1.2-13]: the peer checks will flags in 3.1.1 alone",
        verdict: WeRefuse(|error| matches!(error, DecodeError::WillFlags)),
        example: (V5, b"\x10\x0d\0\x04MQTT\x05\x22\0\0\0\0\0"),
    },
    Known {
        because: "[MQTT-3.1.2-12]: will QoS 3; the peer looks only if there is a will",
        verdict: WeRefuse(|error| matches!(error, DecodeError::QosReserved { packet: PacketType::Connect })),
        example: (V5, b"\x10\x0d\0\x04MQTT\x05\x1a\0\0\0\0\0"),
    },
    Known {
        because: "[MQTT-3.2.2-6]: a refusal has no session; the peer does not look",
        verdict: WeRefuse(|error| matches!(error, DecodeError::SessionPresentWithError)),
        example: (V311, b"\x20\x02\x01\x05"),
    },
    Known {
        because: "sections 3.1.2.11.10 and 3.15.2.2.2: authentication data and AUTH need a method; the peer leaves it to the server",
        verdict: WeRefuse(|error| matches!(error, DecodeError::AuthenticationMethodMissing { .. })),
        example: (V5, b"\xf0\x02\x18\0"),
    },
    Known {
        because: "section 3.15.2.2.1: AUTH has a property length unless its remaining length is 0; the peer lets it be left out",
        verdict: WeRefuse(|error| matches!(error, DecodeError::Truncated { field: "property length" })),
        example: (V5, b"\xf0\x01\x18"),
    },
    Known {
        because: "section 3.9.3: SUBACK and UNSUBACK have a code per filter, so at least one; the peer accepts none",
        verdict: WeRefuse(|error| {
            matches!(error, DecodeError::PayloadEmpty { packet: PacketType::SubAck | PacketType::UnsubAck })
        }),
        example: (V311, b"\x90\x02\0\x01"),
    },
    Known {
        because: "[MQTT-1.5.5-1]: shortest form of variable byte integers in MQTT 5; the peer takes padded ones",
        verdict: WeRefuse(|error| matches!(error, DecodeError::Overlong { .. })),
        example: (V5, b"\xc0\x80\0"),
    },
    Known {
        because: "section 3.2.2.3.6: a maximum packet size of 0, section 3.2.2.3.4: a maximum QoS of 2; the peer takes both",
        verdict: WeRefuse(|error| matches!(error, DecodeError::PropertyValue { id: 0x27 | 0x24 })),
        example: (V5, b"\x20\x08\0\0\x05\x27\0\0\0\0"),
    },
    Known {
        because: "3.1.1, table 3.1: return codes 6 to 255 are reserved; the peer knows 6 as reserved",
        verdict: WeRefuse(|error| matches!(error, DecodeError::ReasonCode { packet: PacketType::ConnAck, code: 6 })),
        example: (V311, b"\x20\x02\0\x06"),
    },
    Known {
        because: "decision: MQTT 3.1 is not spoken; the peer accepts level 3, under either protocol name, and level 4 as MQIsdp",
        verdict: WeRefuse(|error| matches!(error, DecodeError::UnsupportedProtocolVersion { level: 3 | 4 })),
        example: (V311, b"\x10\x0e\0\x06MQIsdp\x03\x02\0\0\0\0"),
    },
    Known {
        because: "[MQTT-3.1.3-6]: whether an empty client identifier is taken is the server's decision (in 3.1.1 its answer is return code 2)",
        verdict: TheyRefuse(
            |packet| matches!(packet, Packet::Connect(connect) if connect.client_id.is_empty() && !connect.clean_start),
        ),
        example: (V5, b"\x10\x0d\0\x04MQTT\x05\0\0\0\0\0\0"),
    },
    Known {
        because: "section 3.3.2.3.3: a message expiry interval of 0 is not excluded; the peer refuses it",
        verdict: TheyRefuse(|packet| match packet {
            Packet::Publish(publish) => publish.properties.message_expiry_s == Some(0),
            Packet::Connect(connect) => connect.will.is_some_and(|will| will.properties.message_expiry_s == Some(0)),
            _ => false,
        }),
        example: (V5, b"\x30\x09\0\x01t\x05\x02\0\0\0\0"),
    },
];

/// What the peer makes of one frame.
fn peer(version: ProtocolVersion, frame: &[u8]) -> Option<values::Values> {
    let mut input = BytesMut::from(frame);
    let decoded = match version {
        V311 => {
            let decoded = rmqtt_codec::v3::Codec::new(0).decode(&mut input);
            decoded.ok().flatten().map(|(packet, _)| values::peer_v3(&packet))
        }
        V5 => {
            let decoded = rmqtt_codec::v5::Codec::new(0, 0).decode(&mut input);
            decoded.ok().flatten().map(|(packet, _)| values::peer_v5(&packet))
        }
    };
    decoded.filter(|_| input.is_empty())
}

/// Which entry of [`KNOWN`] explains the difference; `Ok(None)` where there is none.
fn compare(version: ProtocolVersion, frame: &[u8]) -> Result<Option<usize>, String> {
    // The peer has one codec per version, a CONNECT says its own.
    let version = connect_version(frame).unwrap_or(version);
    let ours = match frame_length(frame, u32::MAX) {
        Ok(Some(length)) if length == frame.len() => decode(version, frame),
        Ok(_) => Err(DecodeError::FrameLength { actual: frame.len() }),
        Err(error) => Err(error),
    };
    let difference = match (&ours, peer(version, frame)) {
        (Err(_), None) => return Ok(None),
        (Ok(packet), Some(theirs)) if values::ours(packet) == theirs => return Ok(None),
        (Ok(packet), Some(theirs)) => {
            return Err(format!("{frame:02x?} in {version:?}:\n ours {:?}\ntheirs {theirs:?}", values::ours(packet)));
        }
        (Err(error), Some(_)) => {
            KNOWN.iter().position(|known| matches!(known.verdict, WeRefuse(applies) if applies(error)))
        }
        (Ok(packet), None) => {
            KNOWN.iter().position(|known| matches!(known.verdict, TheyRefuse(applies) if applies(packet)))
        }
    };
    difference.map(Some).ok_or_else(|| format!("{frame:02x?} in {version:?}: ours {ours:?}, theirs the opposite"))
}

#[test]
fn every_known_difference_is_still_one() {
    for (place, known) in KNOWN.iter().enumerate() {
        let (version, frame) = known.example;
        assert_eq!(compare(version, frame), Ok(Some(place)), "{}", known.because);
    }
}

fn check(version: ProtocolVersion, frame: &[u8]) -> Result<(), TestCaseError> {
    compare(version, frame).map(drop).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn both_mean_the_same_by_a_valid_packet(v311 in packet(V311), v5 in packet(V5)) {
        for (version, packet) in [(V311, v311), (V5, v5)] {
            let mut frame = Vec::new();
            encode(version, &packet, &mut frame).expect("valid");
            check(version, &frame)?;
        }
    }

    #[test]
    fn both_refuse_the_same_damage(
        v311 in packet(V311),
        v5 in packet(V5),
        damages in vec(damage(), 1..3),
        keep_length_right in any::<bool>(),
    ) {
        for (version, packet) in [(V311, v311), (V5, v5)] {
            let mut frame = Vec::new();
            encode(version, &packet, &mut frame).expect("valid");
            check(version, &apply(&frame, &damages, keep_length_right))?;
        }
    }

    #[test]
    fn both_refuse_the_same_bytes(first_byte in any::<u8>(), body in vec(prop_oneof![0_u8..6, any::<u8>()], 0..40)) {
        let frame = [&[first_byte, body.len() as u8][..], &body].concat();
        check(V311, &frame)?;
        check(V5, &frame)?;
    }
}
