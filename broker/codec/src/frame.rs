//! The fixed header (section 2.1): where a frame ends and what its first byte may say.
//!
//! Invariant: what can be refused from the first bytes is refused before the body arrives, so nobody buffers a packet
//! that cannot become valid. A remaining length of padded form (for instance `80 00`) is accepted here, because this
//! is where the version is not known yet; [`decode`](crate::decode) refuses it for MQTT 5 ([MQTT-1.5.5-1]), while
//! 3.1.1 has no such rule and clients that reserve the four bytes exist.

use std::fmt;

use crate::{DecodeError, QoS};

/// The largest remaining length, in bytes.
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;

/// The kind of a control packet (section 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the standard's own names")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// All fifteen, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::ConnAck,
        Self::Publish,
        Self::PubAck,
        Self::PubRec,
        Self::PubRel,
        Self::PubComp,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The packet's name in lower case, as it appears in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnAck => "connack",
            Self::Publish => "publish",
            Self::PubAck => "puback",
            Self::PubRec => "pubrec",
            Self::PubRel => "pubrel",
            Self::PubComp => "pubcomp",
            Self::Subscribe => "subscribe",
            Self::SubAck => "suback",
            Self::Unsubscribe => "unsubscribe",
            Self::UnsubAck => "unsuback",
            Self::PingReq => "pingreq",
            Self::PingResp => "pingresp",
            Self::Disconnect => "disconnect",
            Self::Auth => "auth",
        }
    }

    /// The first byte of a packet of this type, with the flags that are fixed for it (table 2-2). PUBLISH adds its own.
    #[inline]
    pub(crate) const fn first_byte(self) -> u8 {
        let flags = match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }

    #[inline]
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Length in bytes of the first packet in `input`, once all of it is there; `None` = more bytes are needed.
///
/// The fixed header is checked, and the whole packet compared with `max_packet_size` (bytes), as soon as they are known.
///
/// # Errors
/// A first byte that no packet has, a remaining length of five bytes, or a packet above `max_packet_size`.
#[inline]
pub fn frame_length(input: &[u8], max_packet_size: u32) -> Result<Option<usize>, DecodeError> {
    let Some((&first_byte, rest)) = input.split_first() else {
        return Ok(None);
    };
    packet_type(first_byte)?;
    let Some(RemainingLength { value, bytes, .. }) = remaining_length(rest)? else {
        return Ok(None);
    };
    let size = value + 1 + bytes;
    if size > max_packet_size {
        return Err(DecodeError::PacketTooLarge { size, limit: max_packet_size });
    }
    let size = size as usize;
    Ok((input.len() >= size).then_some(size))
}

/// One whole frame taken apart.
pub(crate) struct Frame<'a> {
    pub packet: PacketType,
    pub flags: u8,
    /// Whether the remaining length used more bytes than it needs.
    pub padded: bool,
    pub body: &'a [u8],
}

/// Splits a frame into its parts; the frame must end where its remaining length says.
#[inline]
pub(crate) fn split(frame: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let Some((&first_byte, rest)) = frame.split_first() else {
        return Err(DecodeError::FrameLength { actual: 0 });
    };
    let packet = packet_type(first_byte)?;
    let wrong_length = DecodeError::FrameLength { actual: frame.len() };
    let Some(RemainingLength { value, bytes, padded }) = remaining_length(rest)? else {
        return Err(wrong_length);
    };
    let body = rest.get(bytes as usize..).unwrap_or_default();
    if body.len() != value as usize {
        return Err(wrong_length);
    }
    Ok(Frame { packet, flags: first_byte & 0x0F, padded, body })
}

/// The packet type of a first byte, with every rule that its flags alone can break.
#[inline]
fn packet_type(first_byte: u8) -> Result<PacketType, DecodeError> {
    let flags = first_byte & 0x0F;
    let packet = PacketType::from_bits(first_byte >> 4).ok_or(DecodeError::PacketTypeReserved)?;
    if packet == PacketType::Publish {
        // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
        match QoS::from_bits(flags >> 1 & 0b11) {
            None => Err(DecodeError::QosReserved { packet }),
            Some(QoS::AtMostOnce) if flags & 0b1000 != 0 => Err(DecodeError::DupWithoutQos),
            Some(_) => Ok(packet),
        }
    } else if first_byte == packet.first_byte() {
        Ok(packet)
    } else {
        // [MQTT-2.1.3-1]
        Err(DecodeError::ReservedFlags { packet, flags })
    }
}

struct RemainingLength {
    value: u32,
    bytes: u32,
    padded: bool,
}

#[inline]
fn remaining_length(input: &[u8]) -> Result<Option<RemainingLength>, DecodeError> {
    match input.first() {
        Some(&byte) if byte & 0x80 == 0 => {
            Ok(Some(RemainingLength { value: u32::from(byte), bytes: 1, padded: false }))
        }
        _ => long_remaining_length(input),
    }
}

fn long_remaining_length(input: &[u8]) -> Result<Option<RemainingLength>, DecodeError> {
    let mut value = 0;
    let mut bytes = 0;
    for &byte in input.iter().take(4) {
        value |= u32::from(byte & 0x7F) << (7 * bytes);
        bytes += 1;
        if byte & 0x80 == 0 {
            return Ok(Some(RemainingLength { value, bytes, padded: byte == 0 && bytes > 1 }));
        }
    }
    if bytes == 4 { Err(DecodeError::RemainingLength) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_SIZE: u32 = u32::MAX;

    #[test]
    fn nothing_is_known_before_the_remaining_length_ends() {
        for input in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0xFF, 0xFF, 0xFF], &[0x30, 0x02], &[0x30, 0x02, 0x00]] {
            assert_eq!(frame_length(input, ANY_SIZE), Ok(None), "{input:?}");
        }
        assert_eq!(frame_length(&[0x30, 0x02, 0x00, 0x00], ANY_SIZE), Ok(Some(4)));
        assert_eq!(frame_length(&[0xC0, 0x00, 0x30], ANY_SIZE), Ok(Some(2)));
    }

    #[test]
    fn a_remaining_length_of_five_bytes_is_malformed() {
        assert_eq!(frame_length(&[0x30, 0xFF, 0xFF, 0xFF, 0x80], ANY_SIZE), Err(DecodeError::RemainingLength));
        assert_eq!(frame_length(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], ANY_SIZE), Ok(None));
    }

    #[test]
    fn the_maximum_packet_size_counts_the_whole_packet_and_is_checked_without_a_body() {
        assert_eq!(frame_length(&[0x30, 98], 100), Ok(None));
        assert_eq!(frame_length(&[0x30, 99], 100), Err(DecodeError::PacketTooLarge { size: 101, limit: 100 }));
        assert_eq!(frame_length(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], REMAINING_LENGTH_MAX + 5), Ok(None));
        let error =
            frame_length(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], REMAINING_LENGTH_MAX + 4).expect_err("one byte too large");
        assert_eq!(error.reason_code(), crate::ReasonCode::PacketTooLarge);
    }

    #[test]
    fn every_first_byte_is_judged_alone() {
        for first_byte in 0..=u8::MAX {
            let expected = match first_byte >> 4 {
                0 => Err(DecodeError::PacketTypeReserved),
                3 if first_byte & 0b110 == 0b110 => Err(DecodeError::QosReserved { packet: PacketType::Publish }),
                3 if first_byte & 0b1110 == 0b1000 => Err(DecodeError::DupWithoutQos),
                3 => Ok(None),
                kind => {
                    let packet = PacketType::ALL[usize::from(kind) - 1];
                    let flags = first_byte & 0x0F;
                    let fixed = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
                    if flags == fixed { Ok(None) } else { Err(DecodeError::ReservedFlags { packet, flags }) }
                }
            };
            assert_eq!(frame_length(&[first_byte], ANY_SIZE), expected, "{first_byte:#04x}");
        }
    }

    #[test]
    fn a_frame_must_be_as_long_as_it_says() {
        assert!(split(&[0xC0, 0x00]).is_ok());
        for frame in [&[][..], &[0xC0], &[0xC0, 0x01], &[0xC0, 0x00, 0x00], &[0xC0, 0x80]] {
            assert_eq!(split(frame).err(), Some(DecodeError::FrameLength { actual: frame.len() }), "{frame:?}");
        }
    }

    #[test]
    fn padding_of_the_remaining_length_is_noticed() {
        assert!(split(&[0xC0, 0x80, 0x00]).is_ok_and(|frame| frame.padded));
        assert!(split(&[0xC0, 0x00]).is_ok_and(|frame| !frame.padded));
        assert_eq!(frame_length(&[0xC0, 0x80, 0x80, 0x00], ANY_SIZE), Ok(Some(4)));
    }
}
