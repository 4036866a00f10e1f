//! The store's own record in sled: how far the journal is applied, and what there must be then, so that a database
//! that lost something in a power cut can be told from a good one by reading it.
//!
//! ```text
//! value = keys:u64le×4 next_generation:u64le sequence:u64le live_bytes:u64le digest:u64le
//!       | keys:u64le×4 next_generation:u64le                    as version 1 of the data directory has it
//! ```
//! The digest is the sum of a mixed checksum of every caller's key and value, in any order.

use crate::batch::Space;
use crate::journal::operations::OPERATION_OVERHEAD_BYTES;
use crate::record::{self, Head};

pub(super) const TALLY_KEY: &[u8] = &[0];

const NUMBERS: usize = Space::ALL.len() + 4;
const NUMBERS_IN_VERSION_1: usize = Space::ALL.len() + 1;

/// What the tally that was found is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A new database.
    Empty,
    /// It says how far the journal is applied.
    Sequenced,
    /// It is one of version 1, which knows no journal, or it is damaged and was counted anew.
    Unsequenced,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) keys: [u64; Space::ALL.len()],
    pub(super) next_generation: u64,
    /// The last batch of the journal that is applied.
    pub(super) sequence: u64,
    /// Bytes of all caller's keys and values, as in the journal.
    pub(super) live_bytes: u64,
    digest: u64,
}

impl Tally {
    /// Counts a head that is there from now on.
    pub(super) fn put(&mut self, tree_key: &[u8], head: &[u8]) {
        let Some(space) = record::space_of(tree_key) else { return };
        let (bytes, digest) = weigh(tree_key, head);
        self.keys[space.index()] = self.keys[space.index()].saturating_add(1);
        self.live_bytes = self.live_bytes.saturating_add(bytes);
        self.digest = self.digest.wrapping_add(digest);
    }

    /// Counts a head that is gone from now on.
    pub(super) fn remove(&mut self, tree_key: &[u8], head: &[u8]) {
        let Some(space) = record::space_of(tree_key) else { return };
        let (bytes, digest) = weigh(tree_key, head);
        self.keys[space.index()] = self.keys[space.index()].saturating_sub(1);
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        self.digest = self.digest.wrapping_sub(digest);
    }

    /// Whether both stand for the same keys and values.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        (self.keys, self.live_bytes, self.digest) == (other.keys, other.live_bytes, other.digest)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let rest = [self.next_generation, self.sequence, self.live_bytes, self.digest];
        self.keys.iter().chain(&rest).flat_map(|number| number.to_le_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != NUMBERS * 8 {
            return None;
        }
        let mut numbers = bytes.chunks_exact(8).map(|b| b.try_into().map_or(0, u64::from_le_bytes));
        let mut tally = Tally::default();
        for count in &mut tally.keys {
            *count = numbers.next()?;
        }
        tally.next_generation = numbers.next()?;
        tally.sequence = numbers.next()?;
        tally.live_bytes = numbers.next()?;
        tally.digest = numbers.next()?;
        Some(tally)
    }
}

/// Reads the tally, or counts everything if there is none that can be used.
pub(super) fn read(db: &sled::Db) -> Result<(Tally, Standing), sled::Error> {
    let stored = db.get(TALLY_KEY)?;
    if let Some(bytes) = &stored
        && let Some(Head::Inline(value)) = record::decode(TALLY_KEY, bytes)
        && let Some(tally) = Tally::decode(value)
    {
        return Ok((tally, Standing::Sequenced));
    }
    let mut tally = Tally::default();
    let mut standing = if stored.is_some() { Standing::Unsequenced } else { Standing::Empty };
    for entry in db.iter() {
        let (tree_key, head) = entry?;
        standing = Standing::Unsequenced;
        tally.put(&tree_key, &head);
        if let Some(generation) = record::generation_of(&tree_key) {
            tally.next_generation = tally.next_generation.max(generation.saturating_add(1));
        }
    }
    Ok((tally, standing))
}

/// Bytes in the journal and part of the digest.
fn weigh(tree_key: &[u8], head: &[u8]) -> (u64, u64) {
    let (length, crc) = record::peek(head);
    let bytes = (OPERATION_OVERHEAD_BYTES + tree_key.len() + length) as u64;
    let mut mixed = u64::from(crc) | (length as u64) << 32;
    // splitmix64: so that equal sums of different sets are left to chance.
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bytes, mixed ^ (mixed >> 31))
}

const _: () = assert!(NUMBERS != NUMBERS_IN_VERSION_1, "the two are told apart by their length");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_anything_shorter_or_longer_is_not() {
        let tally = Tally { keys: [1, 2, 3, u64::MAX], next_generation: 5, sequence: 6, live_bytes: 7, digest: 8 };
        let mut bytes = tally.encode();
        assert_eq!(Tally::decode(&bytes), Some(tally));
        bytes.push(0);
        assert_eq!(Tally::decode(&bytes), None);
        assert_eq!(Tally::decode(&bytes[..NUMBERS_IN_VERSION_1 * 8]), None);
    }

    #[test]
    fn the_order_of_changes_does_not_matter_and_what_is_missing_does() {
        let heads: Vec<_> =
            (0..20_u8).map(|index| (vec![2, index], record::encode_inline(&[2, index], &[index; 9]))).collect();
        let (mut there, mut back) = (Tally::default(), Tally::default());
        heads.iter().for_each(|(key, head)| there.put(key, head));
        heads.iter().rev().for_each(|(key, head)| back.put(key, head));
        assert!(there.same_content(&back) && there.keys == [0, 20, 0, 0]);
        back.remove(&heads[3].0, &heads[3].1);
        assert!(!there.same_content(&back));
        let other = record::encode_inline(&[2, 3], &[77; 9]);
        back.put(&[2, 3], &other);
        assert!(!there.same_content(&back), "a stale value is noticed");
    }
}
