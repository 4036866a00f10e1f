//! What all encrypted connections of the reactor share: room for one read and one write, and counters.

use std::cell::{Cell, RefCell};

use super::records::RECORD_BYTES_MAX;
use crate::statistics::Statistics;

/// For what goes with a record: a change of keys, an alert.
const SPARE_BYTES: usize = 512;

/// What the library holds for one connection, keys above all; measured by `tests/idle_memory.rs`.
const STATE_BYTES: u64 = 3_700;

/// See the module.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// The rest of a record that an earlier read has begun, and what one read brings.
    pub(crate) incoming: RefCell<Box<[u8]>>,
    pub(crate) outgoing: RefCell<Box<[u8]>>,
    kept: Cell<u64>,
    streams: Cell<u64>,
    errors: Cell<u64>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            incoming: RefCell::new(vec![0; 2 * RECORD_BYTES_MAX].into()),
            outgoing: RefCell::new(vec![0; RECORD_BYTES_MAX + SPARE_BYTES].into()),
            kept: Cell::new(0),
            streams: Cell::new(0),
            errors: Cell::new(0),
        }
    }

    /// A connection that kept `before` bytes keeps `after` now.
    pub(crate) fn kept_changed(&self, before: usize, after: usize) {
        self.kept.set((self.kept.get() + after as u64).saturating_sub(before as u64));
    }

    /// An encrypted connection begins.
    pub(crate) fn begin(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    /// An encrypted connection that kept `bytes` is over.
    pub(crate) fn end(&self, bytes: usize) {
        self.kept_changed(bytes, 0);
        self.streams.set(self.streams.get().saturating_sub(1));
    }

    /// What all connections keep, their keys included, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.get() + self.streams.get() * STATE_BYTES
    }

    /// The records of a connection were not acceptable, or it ended without saying so.
    pub(crate) fn count_error(&self) {
        self.errors.set(self.errors.get() + 1);
    }

    pub(crate) fn count_into(&self, statistics: &mut Statistics) {
        statistics.tls_bytes = self.kept.get();
        statistics.tls_errors = self.errors.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_connection_counts_with_its_keys_until_it_is_over() {
        let buffers = Buffers::new();
        buffers.begin();
        buffers.begin();
        buffers.kept_changed(0, 100);
        assert_eq!(buffers.bytes(), 100 + 2 * STATE_BYTES);
        buffers.end(100);
        assert_eq!(buffers.bytes(), STATE_BYTES);
        buffers.end(0);
        assert_eq!(buffers.bytes(), 0);
    }
}
