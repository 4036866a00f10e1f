//! Counters of a store since it was opened. Plain numbers: naming and exporting them is the daemon's job.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Space;

/// A snapshot of a store's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Batches that became durable.
    pub commits: u64,
    /// Batches whose callback got an error.
    pub commits_failed: u64,
    /// Groups of batches written; each costs one fsync.
    pub groups: u64,
    /// Fsyncs of the database file that succeeded.
    pub fsyncs: u64,
    /// Microseconds spent in those fsyncs.
    pub fsync_us: u64,
    /// Bytes of keys and values in durable batches, as the callers gave them.
    pub bytes_written: u64,
    /// Times a caller had to wait because the queue was full.
    pub waits: u64,
    /// Reads of a value that failed its checksum or could not be understood.
    pub reads_corrupt: u64,
    /// Keys present in each space, indexed by [`Space::index`].
    pub keys: [u64; Space::ALL.len()],
    /// Bytes that wait for the writer thread now.
    pub queue_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    commits_failed: AtomicU64,
    groups: AtomicU64,
    fsyncs: AtomicU64,
    fsync_us: AtomicU64,
    bytes_written: AtomicU64,
    waits: AtomicU64,
    reads_corrupt: AtomicU64,
}

impl Counters {
    pub(crate) fn group_done(&self, commits: u64, bytes: u64, durable: bool) {
        if durable {
            self.commits.fetch_add(commits, Ordering::Relaxed);
            self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.commits_failed.fetch_add(commits, Ordering::Relaxed);
        }
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fsync_done(&self, us: u64) {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.fsync_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read_corrupt(&self) {
        self.reads_corrupt.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, keys: [u64; Space::ALL.len()], queue_bytes: u64) -> Metrics {
        Metrics {
            commits: self.commits.load(Ordering::Relaxed),
            commits_failed: self.commits_failed.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            fsyncs: self.fsyncs.load(Ordering::Relaxed),
            fsync_us: self.fsync_us.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            reads_corrupt: self.reads_corrupt.load(Ordering::Relaxed),
            keys,
            queue_bytes,
        }
    }
}
