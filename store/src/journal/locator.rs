//! Where a message is, how long it is, and its checksum, standing in front of it in the same segment: with the offset
//! of its locator a message can be read alone.

use std::ops::Range;

/// Length in bytes.
pub(crate) const LOCATOR_BYTES: usize = 12;

/// A decoded locator, unchecked until the message's bytes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locator {
    /// Bytes from the first byte of the locator to the first of the message.
    pub(crate) distance: u32,
    /// Bytes of the message.
    pub(crate) length: u32,
    crc: u32,
}

impl Locator {
    pub(crate) fn of(number: u64, message: &[u8], distance: u32) -> Self {
        // Messages are shorter than a batch's body (`BODY_BYTES_MAX`).
        Self { distance, length: message.len() as u32, crc: checksum(number, message) }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for word in [self.distance, self.length, self.crc] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, _) = bytes.split_first_chunk::<LOCATOR_BYTES>()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(Self { distance: word(0), length: word(4), crc: word(8) })
    }

    /// Whether `message` is the one with this number that was written.
    pub(crate) fn fits(&self, number: u64, message: &[u8]) -> bool {
        message.len() == self.length as usize && checksum(number, message) == self.crc
    }
}

/// The table of the messages at `ranges` in `records`, which follow `gap` bytes after its end.
pub(crate) fn encode_table(first: u64, ranges: &[Range<u32>], records: &[u8], gap: u32, out: &mut Vec<u8>) {
    for (index, range) in ranges.iter().enumerate() {
        let left_of_table = ((ranges.len() - index) * LOCATOR_BYTES) as u32;
        let message = &records[range.start as usize..range.end as usize];
        Locator::of(first + index as u64, message, left_of_table + gap + range.start).encode(out);
    }
}

/// The ranges in `records` bytes of records that a table points to, or `None` if it is none.
pub(crate) fn decode_table(table: &[u8], gap: u32, records: u64) -> Option<Vec<Range<u32>>> {
    let mut ranges = Vec::with_capacity(table.len() / LOCATOR_BYTES);
    let mut rest = table;
    let mut end = 0;
    while !rest.is_empty() {
        let locator = Locator::decode(rest)?;
        let start = locator.distance.checked_sub(rest.len() as u32)?.checked_sub(gap)?;
        let range = start..start.checked_add(locator.length)?;
        if range.start < end || u64::from(range.end) > records {
            return None;
        }
        end = range.end;
        ranges.push(range);
        rest = &rest[LOCATOR_BYTES..];
    }
    Some(ranges)
}

fn checksum(number: u64, message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&(message.len() as u32).to_le_bytes());
    hasher.update(message);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(lengths in proptest::collection::vec((0..5_u32, 0..30_u32), 0..20),
                                      first in 0..u64::MAX / 2, gap in 0..100_u32) {
            let mut end = 0;
            let ranges: Vec<_> = lengths.iter().map(|(skip, length)| {
                let range = end + skip..end + skip + length;
                end = range.end;
                range
            }).collect();
            let records: Vec<u8> = (0..end).map(|index| index as u8).collect();
            let mut bytes = Vec::new();
            encode_table(first, &ranges, &records, gap, &mut bytes);
            prop_assert_eq!(decode_table(&bytes, gap, records.len() as u64), Some(ranges.clone()));
            bytes.extend(std::iter::repeat_n(0xee, gap as usize));
            bytes.extend_from_slice(&records);
            for (index, range) in ranges.iter().enumerate() {
                let at = index * LOCATOR_BYTES;
                let locator = Locator::decode(&bytes[at..]).unwrap();
                let start = at + locator.distance as usize;
                let message = &bytes[start..start + locator.length as usize];
                prop_assert_eq!(message, &records[range.start as usize..range.end as usize]);
                prop_assert!(locator.fits(first + index as u64, message));
                prop_assert!(!locator.fits(first + index as u64 + 1, message));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), gap: u32, records: u64) {
            let _ = decode_table(&bytes, gap, records);
        }
    }
}
