//! Digests: a short sum of what a node shows, by buckets of things, so that two nodes see at once whether they agree.
//!
//! Removals are left out, because nodes forget them at different times. Digests find what should not happen; they are no
//! defence against a member that wants them to agree.

use crate::event::Event;
use crate::place::Key;
use crate::wire;

/// How many buckets there are.
pub const BUCKETS: usize = 256;

/// A sum for each bucket.
pub type Digests = [u64; BUCKETS];

/// The bucket of a thing.
#[must_use]
pub fn bucket(thing: &str) -> usize {
    (hash(thing.as_bytes()) as usize) % BUCKETS
}

/// Whether the bucket of `thing` is among these, a bit each.
#[must_use]
pub fn is_among(buckets: &[u8; BUCKETS / 8], thing: &str) -> bool {
    let bucket = bucket(thing);
    buckets.get(bucket / 8).is_some_and(|bits| bits & (1 << (bucket % 8)) != 0)
}

/// What an event adds to the sum of its thing's bucket, with wrapping.
#[must_use]
pub fn share(key: &Key, event: &Event) -> u64 {
    if !event.has_value() {
        return 0;
    }
    let mut bytes = Vec::with_capacity(96);
    wire::put_cell_key(&mut bytes, key);
    wire::put_event(&mut bytes, event);
    hash(&bytes)
}

/// FNV-1a, with its bits spread by the last steps of MurmurHash3.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_used_evenly_and_never_change() {
        let mut used = [0; BUCKETS];
        for index in 0..10_000 {
            used[bucket(&format!("thing-{index:05}"))] += 1;
        }
        assert!(used.iter().all(|count| (10..80).contains(count)), "{used:?}");
        assert_eq!(["pump", "a", "dev-1"].map(bucket), BUCKETS_OF_WIRE_1);
    }

    const BUCKETS_OF_WIRE_1: [usize; 3] = [249, 91, 14];
}
