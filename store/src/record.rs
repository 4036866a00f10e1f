//! The bytes of a value in sled.
//!
//! ```text
//! head   = version:u8 kind:u8 crc32:u32le body
//! body   = value                                  kind 0, up to CHUNK_BYTES
//!        | generation:u64le length:u32le          kind 1, the value is in chunks
//! chunk  key = 0x80|space generation:u64be index:u16be    value = up to CHUNK_BYTES of the value
//! ```
//! The checksum covers the length of the tree key, the tree key and the whole value, so a value that turns up under
//! another key is caught too. Changing any of this needs a new version byte that the old program refuses.
//!
//! Chunks exist because sled keeps up to 17 values in one page and moves a page of more than 128 KiB into a file of
//! its own, which it does not fsync: what is not in one file is not covered by the fsync that commits rely on.

use crate::batch::{Space, VALUE_BYTES_MAX};

/// Values longer than this are split. 20 × (this + key) stays below sled's 128 KiB.
pub(crate) const CHUNK_BYTES: usize = 4096;

const VERSION: u8 = 1;
const KIND_INLINE: u8 = 0;
const KIND_CHUNKED: u8 = 1;
const HEADER_BYTES: usize = 6;
const CHUNK_MARK: u8 = 0x80;

/// A decoded head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// The value itself; its checksum was right.
    Inline(&'a [u8]),
    /// Where the value is. `crc` is checked by [`check`] once it is assembled.
    Chunked { generation: u64, length: usize, crc: u32 },
}

/// The head of a value of at most [`CHUNK_BYTES`].
pub(crate) fn encode_inline(tree_key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut head = header(KIND_INLINE, checksum(tree_key, value), value.len());
    head.extend_from_slice(value);
    head
}

/// The head of a longer value whose chunks are stored under `generation`.
pub(crate) fn encode_chunked(tree_key: &[u8], value: &[u8], generation: u64) -> Vec<u8> {
    let mut head = header(KIND_CHUNKED, checksum(tree_key, value), 12);
    head.extend_from_slice(&generation.to_le_bytes());
    // Values are far shorter than 4 GiB (`VALUE_BYTES_MAX`).
    head.extend_from_slice(&(value.len() as u32).to_le_bytes());
    head
}

/// `None`: not something this program wrote, or damaged.
pub(crate) fn decode<'a>(tree_key: &[u8], bytes: &'a [u8]) -> Option<Head<'a>> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [VERSION, kind, crc @ ..] = *header else { return None };
    let crc = u32::from_le_bytes(crc);
    match kind {
        KIND_INLINE => check(tree_key, body, crc).then_some(Head::Inline(body)),
        KIND_CHUNKED => {
            let (generation, rest) = body.split_first_chunk::<8>()?;
            let length = u32::from_le_bytes(rest.try_into().ok()?) as usize;
            let plausible = (CHUNK_BYTES + 1..=VALUE_BYTES_MAX).contains(&length);
            plausible.then_some(Head::Chunked { generation: u64::from_le_bytes(*generation), length, crc })
        }
        _ => None,
    }
}

/// Length of the value and checksum that a head names, unchecked; zeros if it is none.
pub(crate) fn peek(bytes: &[u8]) -> (usize, u32) {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return (0, 0) };
    let [_, kind, crc @ ..] = *header;
    let length = match (kind, body.get(8..12).and_then(|length| length.try_into().ok())) {
        (KIND_CHUNKED, Some(length)) => u32::from_le_bytes(length) as usize,
        _ => body.len(),
    };
    (length, u32::from_le_bytes(crc))
}

/// Whether `value` is what was stored under `tree_key`.
pub(crate) fn check(tree_key: &[u8], value: &[u8], crc: u32) -> bool {
    checksum(tree_key, value) == crc
}

/// The tree keys of the chunks of a value of `length` bytes, in order.
pub(crate) fn chunk_keys(space_byte: u8, generation: u64, length: usize) -> impl Iterator<Item = [u8; 11]> {
    (0..length.div_ceil(CHUNK_BYTES)).map(move |index| {
        let mut key = [0; 11];
        key[0] = CHUNK_MARK | space_byte;
        key[1..9].copy_from_slice(&generation.to_be_bytes());
        key[9..].copy_from_slice(&(index as u16).to_be_bytes());
        key
    })
}

/// The generation in a chunk's tree key, or `None` for any other key.
pub(crate) fn generation_of(tree_key: &[u8]) -> Option<u64> {
    let (mark, rest) = tree_key.split_first()?;
    let (generation, index) = rest.split_first_chunk::<8>()?;
    (mark & CHUNK_MARK != 0 && index.len() == 2).then(|| u64::from_be_bytes(*generation))
}

/// The space of a caller's tree key; `None` for chunks and the store's own record.
pub(crate) fn space_of(tree_key: &[u8]) -> Option<Space> {
    let first = *tree_key.first()?;
    Space::ALL.into_iter().find(|space| *space as u8 == first)
}

fn header(kind: u8, crc: u32, body_bytes: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEADER_BYTES + body_bytes);
    head.extend_from_slice(&[VERSION, kind]);
    head.extend_from_slice(&crc.to_le_bytes());
    head
}

fn checksum(tree_key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(tree_key.len() as u32).to_le_bytes());
    hasher.update(tree_key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(key in proptest::collection::vec(any::<u8>(), 1..40),
                                      value in proptest::collection::vec(any::<u8>(), 0..300), generation: u64) {
            let inline = encode_inline(&key, &value);
            prop_assert_eq!(decode(&key, &inline), Some(Head::Inline(&value[..])));
            let long = vec![7; CHUNK_BYTES + 1 + value.len()];
            let head = encode_chunked(&key, &long, generation);
            match decode(&key, &head) {
                Some(Head::Chunked { generation: found, length, crc }) => {
                    prop_assert_eq!((found, length), (generation, long.len()));
                    prop_assert!(check(&key, &long, crc));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(value in proptest::collection::vec(any::<u8>(), 0..100), bit: prop::sample::Index) {
            let mut bytes = encode_inline(b"key", &value);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(b"key", &bytes), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(key in proptest::collection::vec(any::<u8>(), 0..20),
                                       bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&key, &bytes);
            let _ = generation_of(&key);
            let _ = space_of(&key);
        }
    }

    #[test]
    fn a_value_under_another_key_is_not_taken() {
        assert_eq!(decode(b"b", &encode_inline(b"a", b"value")), None);
        assert_eq!(decode(b"ab", &encode_inline(b"a", b"bvalue")), None);
    }

    #[test]
    fn chunk_keys_give_their_generation_back_and_caller_keys_have_none() {
        let keys: Vec<_> = chunk_keys(2, 77, CHUNK_BYTES * 2 + 1).collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| generation_of(key) == Some(77) && space_of(key).is_none()));
        assert_eq!(generation_of(&[2; 11]), None);
        assert_eq!(space_of(&[2, 9]), Some(Space::KeyValue));
    }
}
