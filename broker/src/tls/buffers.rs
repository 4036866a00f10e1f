//! What all encrypted connections of the reactor share: room for one read and one write, and counters.

use std::cell::{Cell, RefCell};

use super::records::RECORD_BYTES_MAX;
use crate::statistics::Statistics;

/// For what goes with a record: a change of keys, an alert.
const SPARE_BYTES: usize = 512;

/// See the module.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// The rest of a record that an earlier read has begun, and what one read brings.
    pub(crate) incoming: RefCell<Box<[u8]>>,
    pub(crate) outgoing: RefCell<Box<[u8]>>,
    kept: Cell<u64>,
    errors: Cell<u64>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            incoming: RefCell::new(vec![0; 2 * RECORD_BYTES_MAX].into()),
            outgoing: RefCell::new(vec![0; RECORD_BYTES_MAX + SPARE_BYTES].into()),
            kept: Cell::new(0),
            errors: Cell::new(0),
        }
    }

    /// A connection that kept `before` bytes keeps `after` now.
    pub(crate) fn kept_changed(&self, before: usize, after: usize) {
        self.kept.set((self.kept.get() + after as u64).saturating_sub(before as u64));
    }

    /// What all connections keep, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.get()
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
