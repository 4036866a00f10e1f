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
    /// Groups of batches that were answered together; each costs one fsync.
    pub groups: u64,
    /// Fsyncs of the journal that succeeded.
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
    /// Bytes handed to the operating system to be written to the journal.
    pub journal_bytes_written: u64,
    /// Segments of the journal now.
    pub segments: u64,
    /// Bytes of the journal now.
    pub journal_bytes: u64,
    /// About how many of them are needed now.
    pub journal_live_bytes: u64,
    /// Messages that are held now.
    pub messages_live: u64,
    /// Segments that were removed because nothing in them was needed any more.
    pub segments_cleaned: u64,
    /// Messages that were written again, so that their segment could be removed.
    pub messages_moved: u64,
    /// Bytes of those.
    pub message_bytes_moved: u64,
    /// Messages that could not be loaded because they were damaged.
    pub messages_damaged: u64,
    /// Fsyncs that only something that was not urgent waited for.
    pub lazy_syncs: u64,
    /// Times the state was made durable.
    pub checkpoints: u64,
    /// Bytes that opening dropped from the end of the journal or set aside.
    pub recovery_bytes_dropped: u64,
    /// Times opening made the state again from the journal: 0 or 1.
    pub state_rebuilds: u64,
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
    journal_bytes_written: AtomicU64,
    segments_cleaned: AtomicU64,
    messages_moved: AtomicU64,
    message_bytes_moved: AtomicU64,
    messages_damaged: AtomicU64,
    lazy_syncs: AtomicU64,
    checkpoints: AtomicU64,
}

impl Counters {
    pub(crate) fn group_done(&self, commits: u64, bytes: u64) {
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn group_failed(&self, commits: u64) {
        self.commits_failed.fetch_add(commits, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn journal_written(&self, bytes: u64) {
        self.journal_bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn segment_cleaned(&self) {
        self.segments_cleaned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self, messages: u64, bytes: u64) {
        self.messages_moved.fetch_add(messages, Ordering::Relaxed);
        self.message_bytes_moved.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn message_damaged(&self) {
        self.messages_damaged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lazy_sync(&self) {
        self.lazy_syncs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn checkpoint(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
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

    /// What is counted here; what is a measure of now is left for the caller.
    pub(crate) fn snapshot(&self) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            commits: read(&self.commits),
            commits_failed: read(&self.commits_failed),
            groups: read(&self.groups),
            fsyncs: read(&self.fsyncs),
            fsync_us: read(&self.fsync_us),
            bytes_written: read(&self.bytes_written),
            waits: read(&self.waits),
            reads_corrupt: read(&self.reads_corrupt),
            journal_bytes_written: read(&self.journal_bytes_written),
            segments_cleaned: read(&self.segments_cleaned),
            messages_moved: read(&self.messages_moved),
            message_bytes_moved: read(&self.message_bytes_moved),
            messages_damaged: read(&self.messages_damaged),
            lazy_syncs: read(&self.lazy_syncs),
            checkpoints: read(&self.checkpoints),
            ..Metrics::default()
        }
    }
}
