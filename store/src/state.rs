//! The state as readers see it: what has been applied from the journal. The engine underneath is sled; behind a small
//! trait, so that a simulation can put a simpler one there.
//!
//! Invariant: an engine says up to which sequence number it has applied the journal, in the same step as what it
//! applies, so that applying again after a crash neither skips nor repeats anything.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

use crate::batch::{Space, tree_key};
use crate::journal::operations::OperationAt;
use crate::metrics::Counters;

/// Why a value could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// What is stored fails its checksum or is in a form that this program does not know. The store makes its state
    /// again from the journal when it is opened next.
    #[error("the value of key {} in {space:?} is corrupt", key.escape_ascii())]
    Corrupt {
        /// The space that was read.
        space: Space,
        /// The key whose value is corrupt.
        key: Vec<u8>,
    },
    /// sled could not read it.
    #[error("reading key {} in {space:?} failed: {cause}", key.escape_ascii())]
    Failed {
        /// The space that was read.
        space: Space,
        /// The key that was read, or where a scan stood.
        key: Vec<u8>,
        /// What sled said.
        cause: String,
    },
}

/// Why an engine gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A checksum was wrong.
    Corrupt,
    /// What the engine said.
    Failed(String),
}

/// Keeps keys and values. Readers on any thread; only the writer thread applies and only one thread syncs.
pub(crate) trait StateEngine: Send + Sync {
    /// The last batch of the journal that is applied.
    fn sequence(&self) -> u64;
    /// Keys in each space.
    fn keys(&self) -> [u64; Space::ALL.len()];
    /// About how many bytes of journal it takes to write all of it again.
    fn live_bytes(&self) -> u64;
    /// Applies operations in order, in one step with the sequence number that stands for them.
    fn apply(&self, operations: &mut dyn Iterator<Item = OperationAt<'_>>, sequence: u64) -> Result<(), String>;
    fn read(&self, tree_key: &[u8]) -> Result<Option<Vec<u8>>, Unreadable>;
    /// The first caller's key in a range that has no end.
    fn next_key(&self, start: Bound<&[u8]>) -> Result<Option<Vec<u8>>, String>;
    /// Makes everything applied durable.
    fn sync(&self) -> Result<(), String>;
    /// Bytes on the disk.
    fn disk_bytes(&self) -> u64;
    /// Overwrites what is stored under a key, for tests of damage.
    #[cfg(test)]
    fn raw_put(&self, _tree_key: &[u8], _bytes: &[u8]) {}
    /// What is stored under a key, unchecked.
    #[cfg(test)]
    fn raw(&self, _tree_key: &[u8]) -> Option<Vec<u8>> {
        None
    }
    /// Records of every kind.
    #[cfg(test)]
    fn raw_len(&self) -> usize {
        0
    }
}

pub(crate) struct State {
    pub(crate) engine: Box<dyn StateEngine>,
    corrupt: AtomicBool,
}

impl State {
    pub(crate) fn new(engine: Box<dyn StateEngine>) -> Self {
        Self { engine, corrupt: AtomicBool::new(false) }
    }

    pub(crate) fn get(&self, space: Space, key: &[u8], counters: &Counters) -> Result<Option<Vec<u8>>, ReadError> {
        self.engine.read(&tree_key(space, key)).map_err(|unreadable| match unreadable {
            Unreadable::Corrupt => {
                counters.read_corrupt();
                self.corrupt.store(true, Ordering::Relaxed);
                ReadError::Corrupt { space, key: key.to_vec() }
            }
            Unreadable::Failed(cause) => ReadError::Failed { space, key: key.to_vec(), cause },
        })
    }

    /// Whether a reader found something corrupt since this was asked last.
    pub(crate) fn take_corrupt(&self) -> bool {
        self.corrupt.load(Ordering::Relaxed) && self.corrupt.swap(false, Ordering::Relaxed)
    }
}
