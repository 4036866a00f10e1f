//! Changes that the engine could not take: in the journal, in here for readers, and not in the engine yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::journal::operations::OperationAt;

#[derive(Debug, Default)]
pub(crate) struct Overlay {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    sequence: u64,
}

impl Overlay {
    pub(crate) fn apply(&mut self, operations: &[OperationAt<'_>], sequence: u64) {
        for OperationAt { tree_key, value } in operations {
            self.bytes += tree_key.len() + value.map_or(0, <[u8]>::len);
            let old = self.changes.insert(tree_key.to_vec(), value.map(<[u8]>::to_vec));
            if let Some(old) = old {
                self.bytes -= tree_key.len() + old.map_or(0, |old| old.len());
            }
        }
        self.sequence = sequence;
    }

    /// `None`: nothing is said about the key. `Some(None)`: it is deleted.
    pub(super) fn get(&self, tree_key: &[u8]) -> Option<Option<&[u8]>> {
        self.changes.get(tree_key).map(Option::as_deref)
    }

    /// The first key in a range without end that has a value here.
    pub(super) fn next_put(&self, start: Bound<&[u8]>) -> Option<&[u8]> {
        let mut range = self.changes.range::<[u8], _>((start, Bound::Unbounded));
        range.find(|(_, value)| value.is_some()).map(|(key, _)| &key[..])
    }

    pub(super) fn operations(&self) -> Vec<OperationAt<'_>> {
        self.changes.iter().map(|(tree_key, value)| OperationAt { tree_key, value: value.as_deref() }).collect()
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
