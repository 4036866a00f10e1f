//! The first bytes of a segment. All of it but the version can be told from the file's name and the batches, so
//! a damaged header costs nothing; a right one with a newer version is refused.

use super::JOURNAL_VERSION;

/// Length in bytes.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = BYTES as u64;

const BYTES: usize = 40;
const MAGIC: &[u8; 8] = b"SELVJRNL";

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) segment: u64,
    /// Sequence number of the first batch in it.
    pub(crate) first_sequence: u64,
    /// Sequence number of the last batch before the segment that had state operations; 0 if there was none.
    pub(crate) state_sequence: u64,
}

/// What stands where a header should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Header(SegmentHeader),
    /// A whole header of a newer program.
    Newer(u32),
    /// Too short, another segment's, or a wrong checksum.
    Broken,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&JOURNAL_VERSION.to_le_bytes());
        for number in [self.segment, self.first_sequence, self.state_sequence] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header of the segment that `segment`, from the file's name, says it is.
    pub(crate) fn decode(segment: u64, bytes: &[u8]) -> Read {
        let Some((header, _)) = bytes.split_first_chunk::<BYTES>() else { return Read::Broken };
        let (covered, crc) = header.split_at(BYTES - 4);
        if covered[..8] != *MAGIC || crc32fast::hash(covered).to_le_bytes() != *crc {
            return Read::Broken;
        }
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let number = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        match word(8) {
            JOURNAL_VERSION if number(12) == segment => {
                Read::Header(SegmentHeader { segment, first_sequence: number(20), state_sequence: number(28) })
            }
            version if version > JOURNAL_VERSION => Read::Newer(version),
            _ => Read::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(segment: u64, first_sequence: u64, state_sequence: u64) {
            let header = SegmentHeader { segment, first_sequence, state_sequence };
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            prop_assert_eq!(bytes.len() as u64, SEGMENT_HEADER_BYTES);
            prop_assert_eq!(SegmentHeader::decode(segment, &bytes), Read::Header(header));
            prop_assert_eq!(SegmentHeader::decode(segment.wrapping_add(1), &bytes), Read::Broken);
        }

        #[test]
        fn a_flipped_bit_is_noticed(bit in 0..BYTES * 8) {
            let mut bytes = Vec::new();
            SegmentHeader { segment: 7, first_sequence: 8, state_sequence: 2 }.encode(&mut bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHeader::decode(7, &bytes), Read::Broken);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            SegmentHeader::decode(0, &bytes);
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = Vec::new();
        SegmentHeader { segment: 7, first_sequence: 8, state_sequence: 2 }.encode(&mut bytes);
        bytes[8] = 9;
        assert_eq!(SegmentHeader::decode(7, &bytes), Read::Broken);
        let crc = crc32fast::hash(&bytes[..BYTES - 4]);
        bytes[BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(7, &bytes), Read::Newer(9));
    }
}
