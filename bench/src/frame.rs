//! The packets of the hot path, taken apart without building values; everything else is left to the codec.
//! Trusts the broker no further than that no bytes of it can panic: what does not parse is [`Incoming::Broken`].
//! Invariant: a PUBLISH yields the same packet identifier and payload as the codec's decoder would give.

use selvedge_codec::ProtocolVersion;

/// A packet that a client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// A message; `packet_id` is 0 for QoS 0.
    Publish { qos: u8, packet_id: u16, payload: &'a [u8] },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Acknowledge { kind: Acknowledge, packet_id: u16, reason: u8 },
    /// Anything else, whole.
    Other(&'a [u8]),
    /// Too short for what its first byte says.
    Broken,
}

/// The four packets that carry a packet identifier through a QoS 1 or 2 exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the standard's own names")]
pub(crate) enum Acknowledge {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

/// First byte and body of a whole frame.
pub(crate) fn split_frame(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, mut rest) = frame.split_first()?;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte & 0x80 == 0 {
            return Some((first, rest));
        }
    }
    None
}

/// A length-prefixed string and what follows it.
pub(crate) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Takes a whole frame apart.
pub(crate) fn incoming(frame: &[u8], version: ProtocolVersion) -> Incoming<'_> {
    let Some((first, body)) = split_frame(frame) else { return Incoming::Broken };
    let parsed = match first >> 4 {
        3 => publish(first, body, version),
        4 => acknowledge(Acknowledge::PubAck, body),
        5 => acknowledge(Acknowledge::PubRec, body),
        6 => acknowledge(Acknowledge::PubRel, body),
        7 => acknowledge(Acknowledge::PubComp, body),
        _ => return Incoming::Other(frame),
    };
    parsed.unwrap_or(Incoming::Broken)
}

fn publish(first: u8, body: &[u8], version: ProtocolVersion) -> Option<Incoming<'_>> {
    let qos = first >> 1 & 3;
    let (_, mut rest) = split_string(body)?;
    let mut packet_id = 0;
    if qos > 0 {
        let (id, behind) = rest.split_first_chunk()?;
        packet_id = u16::from_be_bytes(*id);
        rest = behind;
    }
    if version == ProtocolVersion::V5 {
        let (length, behind) = variable_integer(rest)?;
        rest = behind.get(length..)?;
    }
    Some(Incoming::Publish { qos, packet_id, payload: rest })
}

fn acknowledge(kind: Acknowledge, body: &[u8]) -> Option<Incoming<'_>> {
    let (id, rest) = body.split_first_chunk()?;
    let reason = rest.first().copied().unwrap_or(0);
    Some(Incoming::Acknowledge { kind, packet_id: u16::from_be_bytes(*id), reason })
}

fn variable_integer(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_codec::{Packet, decode, frame_length};

    use super::*;

    const BOTH: [ProtocolVersion; 2] = [ProtocolVersion::V311, ProtocolVersion::V5];

    #[test]
    fn what_ends_too_early_is_broken_and_never_a_panic() {
        let frames: [&[u8]; 6] =
            [b"", b"\x32", b"\x32\x02\x00\x05", b"\x32\x03\x00\x01a", b"\x40\x01\x00", b"\x30\x04\x00\x01a\xFF"];
        for frame in frames {
            assert_eq!(incoming(frame, ProtocolVersion::V5), Incoming::Broken, "{frame:?}");
        }
    }

    #[test]
    fn a_reason_code_is_read_where_there_is_one() {
        let acknowledge = |reason| Incoming::Acknowledge { kind: Acknowledge::PubAck, packet_id: 258, reason };
        assert_eq!(incoming(&[0x40, 2, 1, 2], ProtocolVersion::V5), acknowledge(0));
        assert_eq!(incoming(&[0x40, 3, 1, 2, 0x97], ProtocolVersion::V5), acknowledge(0x97));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_as_the_codec_takes_them_or_as_broken(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for version in BOTH {
                let _ = incoming(&bytes, version);
                let Ok(Some(length)) = frame_length(&bytes, u32::MAX) else { continue };
                if let Ok(Packet::Publish(publish)) = decode(version, &bytes[..length]) {
                    let packet_id = publish.packet_id.map_or(0, selvedge_codec::PacketId::get);
                    let expected = Incoming::Publish { qos: publish.qos.bits(), packet_id, payload: publish.payload };
                    prop_assert_eq!(incoming(&bytes[..length], version), expected);
                }
            }
        }
    }
}
