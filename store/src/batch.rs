//! A batch: puts and deletes that become durable together or not at all. Limits are checked as operations are
//! added, so that a batch which exists can be written.

use thiserror::Error;

use crate::journal::operations;

/// Longest key in bytes. With it a full sled index page stays below the size at which sled moves the page to a
/// file of its own, which no fsync of ours would cover.
pub const KEY_BYTES_MAX: usize = 400;

/// Longest value in bytes: one less than 64 KiB. Bigger payloads belong into files.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 - 1;

/// Most bytes (keys and values) in one batch: 2 MiB.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Counted for each operation beside its key and value, so that a batch of tiny operations is bounded too.
const OPERATION_OVERHEAD_BYTES: usize = 64;

/// What an operation has in the journal beside the key and the value that its caller gave: the space's byte too.
const ENCODED_OVERHEAD_BYTES: usize = operations::OPERATION_OVERHEAD_BYTES + 1;

/// Who a key belongs to. Keys of different spaces never meet; a batch may touch several spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    /// Twin cells and headers.
    Twin = 1,
    /// What functions keep.
    KeyValue = 2,
    /// Deployed functions: versions, aliases, settings.
    Function = 3,
    /// The node itself: identity, clock, update state.
    Node = 4,
}

impl Space {
    /// Every space, in the order of [`Space::index`].
    pub const ALL: [Space; 4] = [Space::Twin, Space::KeyValue, Space::Function, Space::Node];

    /// Position in [`Space::ALL`] and in [`crate::Metrics::keys`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize - 1
    }
}

/// Why an operation was not added to a batch. The batch stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PutError {
    /// Keys have at least one byte.
    #[error("a key in {space:?} is empty")]
    KeyEmpty {
        /// The space of the refused key.
        space: Space,
    },
    /// The key is longer than [`KEY_BYTES_MAX`].
    #[error("a key in {space:?} has {bytes} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong {
        /// The space of the refused key.
        space: Space,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The value is longer than [`VALUE_BYTES_MAX`].
    #[error("a value in {space:?} has {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong {
        /// The space of the refused value.
        space: Space,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The batch would grow past [`BATCH_BYTES_MAX`].
    #[error("the batch would have {bytes} bytes, at most {BATCH_BYTES_MAX} are allowed")]
    BatchTooLarge {
        /// The size the batch would have had, in bytes.
        bytes: usize,
    },
}

/// One put (`Some`) or delete (`None`) under its key in the tree: the space's byte, then the caller's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) tree_key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Puts and deletes that are applied atomically. Of several operations on one key the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
}

impl Batch {
    /// An empty batch. Committing one is a barrier: its callback runs when everything before it is durable.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: `key` in `space` gets `value`.
    pub fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), PutError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(PutError::ValueTooLong { space, bytes: value.len() });
        }
        self.push(space, key, Some(value))
    }

    /// Adds: `key` in `space` is removed. Removing what is not there is no error.
    pub fn delete(&mut self, space: Space, key: &[u8]) -> Result<(), PutError> {
        self.push(space, key, None)
    }

    /// Adds all operations of `other` after those already here, or none of them.
    pub fn append(&mut self, other: Batch) -> Result<(), PutError> {
        let bytes = self.bytes + other.bytes;
        if bytes > BATCH_BYTES_MAX {
            return Err(PutError::BatchTooLarge { bytes });
        }
        self.operations.extend(other.operations);
        self.bytes = bytes;
        Ok(())
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Size in bytes as counted against [`BATCH_BYTES_MAX`] and the store's queue.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of its operations in the journal.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.bytes - self.operations.len() * (OPERATION_OVERHEAD_BYTES - ENCODED_OVERHEAD_BYTES)
    }

    /// Operations that are no deletes.
    pub(crate) fn puts(&self) -> usize {
        self.operations.iter().filter(|operation| operation.value.is_some()).count()
    }

    /// Adds an operation as it was read from the journal or the state, which hold nothing that is past the limits of
    /// one; how many there are is the caller's concern.
    pub(crate) fn push_stored(&mut self, tree_key: &[u8], value: Option<&[u8]>) {
        self.bytes += OPERATION_OVERHEAD_BYTES + tree_key.len() - 1 + value.map_or(0, <[u8]>::len);
        self.operations.push(Operation { tree_key: tree_key.to_vec(), value: value.map(<[u8]>::to_vec) });
    }

    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    fn push(&mut self, space: Space, key: &[u8], value: Option<&[u8]>) -> Result<(), PutError> {
        if key.is_empty() {
            return Err(PutError::KeyEmpty { space });
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(PutError::KeyTooLong { space, bytes: key.len() });
        }
        let bytes = self.bytes + OPERATION_OVERHEAD_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        if bytes > BATCH_BYTES_MAX {
            return Err(PutError::BatchTooLarge { bytes });
        }
        self.operations.push(Operation { tree_key: tree_key(space, key), value: value.map(<[u8]>::to_vec) });
        self.bytes = bytes;
        Ok(())
    }
}

/// The key in the one tree that holds all spaces.
pub(crate) fn tree_key(space: Space, key: &[u8]) -> Vec<u8> {
    let mut tree_key = Vec::with_capacity(1 + key.len());
    tree_key.push(space as u8);
    tree_key.extend_from_slice(key);
    tree_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_longest_length_is_taken_and_one_byte_more_is_not() {
        let mut batch = Batch::new();
        assert_eq!(batch.put(Space::Twin, &[7; KEY_BYTES_MAX], b"v"), Ok(()));
        let refused = batch.put(Space::Twin, &[7; KEY_BYTES_MAX + 1], b"v");
        assert_eq!(refused, Err(PutError::KeyTooLong { space: Space::Twin, bytes: KEY_BYTES_MAX + 1 }));
        assert_eq!(batch.delete(Space::Node, &[]), Err(PutError::KeyEmpty { space: Space::Node }));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn a_value_of_64_kib_is_refused_and_one_byte_less_is_taken() {
        let mut batch = Batch::new();
        assert_eq!(batch.put(Space::KeyValue, b"k", &[0; VALUE_BYTES_MAX]), Ok(()));
        let error = batch.put(Space::KeyValue, b"k", &[0; 64 * 1024]).unwrap_err();
        assert_eq!(error.to_string(), "a value in KeyValue has 65536 bytes, at most 65535 are allowed");
    }

    #[test]
    fn a_batch_is_full_at_its_limit_and_stays_as_it_was() {
        let mut batch = Batch::new();
        let mut index = 0_u32;
        let error = loop {
            if let Err(error) = batch.put(Space::KeyValue, &index.to_be_bytes(), &[0; 60_000]) {
                break error;
            }
            index += 1;
        };
        assert!(matches!(error, PutError::BatchTooLarge { bytes } if bytes > BATCH_BYTES_MAX));
        assert_eq!(batch.len(), index as usize);
        let rest = BATCH_BYTES_MAX - batch.bytes() - OPERATION_OVERHEAD_BYTES - 1;
        assert!(batch.put(Space::KeyValue, b"x", &vec![0; rest + 1]).is_err());
        assert_eq!(batch.put(Space::KeyValue, b"x", &vec![0; rest]), Ok(()));
        assert_eq!(batch.bytes(), BATCH_BYTES_MAX);
        let mut one = Batch::new();
        one.delete(Space::Twin, b"x").unwrap();
        assert!(batch.append(one).is_err());
    }
}
