//! The first bytes of a batch, and whether what follows them is what was written.

use super::BODY_BYTES_MAX;

/// Length in bytes.
pub(crate) const BATCH_HEADER_BYTES: u64 = BYTES as u64;

const BYTES: usize = 40;
/// Where the part of the header begins that the checksum covers as it stands.
const COVERED: usize = 8;

/// What a batch says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) sequence: u64,
    /// Wall clock of the owner, ms since 1970.
    pub(crate) wall_ms: u64,
    /// Number of its first message, or the next number to give if it has none.
    pub(crate) first_message: u64,
    /// Last sequence number that was durable when this was written.
    pub(crate) durable: u64,
}

/// Why there is no batch at some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The bytes end before the batch does.
    Short,
    /// The length is none that this program writes.
    Length,
    /// The checksum is wrong.
    Checksum,
}

impl BatchHeader {
    /// Appends the header of a batch whose body has the `parts` one after the other.
    pub(crate) fn encode(&self, segment: u64, parts: &[&[u8]], out: &mut Vec<u8>) {
        // Bodies are bounded by `BODY_BYTES_MAX`.
        let body_len = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        out.extend_from_slice(&body_len.to_le_bytes());
        let crc_at = out.len();
        out.extend_from_slice(&[0; 4]);
        for number in [self.sequence, self.wall_ms, self.first_message, self.durable] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let mut hasher = begin(segment, body_len, &out[crc_at + 4..]);
        parts.iter().for_each(|part| hasher.update(part));
        out[crc_at..crc_at + 4].copy_from_slice(&hasher.finalize().to_le_bytes());
    }

    /// The batch at the beginning of `bytes`, with its body.
    pub(crate) fn decode(segment: u64, bytes: &[u8]) -> Result<(Self, &[u8]), Broken> {
        let (header, rest) = bytes.split_first_chunk::<BYTES>().ok_or(Broken::Short)?;
        let (parsed, body_len, crc) = Self::parse(header);
        if u64::from(body_len) > BODY_BYTES_MAX {
            return Err(Broken::Length);
        }
        let body = rest.get(..body_len as usize).ok_or(Broken::Short)?;
        let mut hasher = begin(segment, body_len, &header[COVERED..]);
        hasher.update(body);
        if hasher.finalize() == crc { Ok((parsed, body)) } else { Err(Broken::Checksum) }
    }

    /// Sequence number and body length at the beginning of `bytes`, unchecked: only to see what is worth checking.
    pub(crate) fn peek(bytes: &[u8]) -> Option<(u64, u32)> {
        let (header, _) = bytes.split_first_chunk::<BYTES>()?;
        let (parsed, body_len, _) = Self::parse(header);
        Some((parsed.sequence, body_len))
    }

    fn parse(header: &[u8; BYTES]) -> (Self, u32, u32) {
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let number = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let parsed = Self { sequence: number(8), wall_ms: number(16), first_message: number(24), durable: number(32) };
        (parsed, word(0), word(4))
    }
}

fn begin(segment: u64, body_len: u32, rest_of_header: &[u8]) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&body_len.to_le_bytes());
    hasher.update(rest_of_header);
    hasher
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(header: &BatchHeader, segment: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (first, second) = body.split_at(body.len() / 3);
        header.encode(segment, &[first, second], &mut bytes);
        assert_eq!(bytes.len() as u64, BATCH_HEADER_BYTES);
        bytes.extend_from_slice(body);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(segment: u64, numbers: [u64; 4],
                                      body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let [sequence, wall_ms, first_message, durable] = numbers;
            let header = BatchHeader { sequence, wall_ms, first_message, durable };
            let mut bytes = encoded(&header, segment, &body);
            bytes.extend_from_slice(b"next");
            prop_assert_eq!(BatchHeader::decode(segment, &bytes), Ok((header, &body[..])));
            prop_assert_eq!(BatchHeader::decode(segment ^ 1, &bytes), Err(Broken::Checksum));
            prop_assert_eq!(BatchHeader::peek(&bytes), Some((sequence, body.len() as u32)));
        }

        #[test]
        fn a_flipped_bit_is_noticed(bit: prop::sample::Index) {
            let header = BatchHeader { sequence: 1, wall_ms: 2, first_message: 3, durable: 0 };
            let mut bytes = encoded(&header, 5, b"some bytes of a body");
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(BatchHeader::decode(5, &bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = BatchHeader::decode(0, &bytes);
            BatchHeader::peek(&bytes);
        }
    }
}
