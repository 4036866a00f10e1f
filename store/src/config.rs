//! What an operator may set about the store. Not the place for limits that the disk format depends on: those
//! are constants beside the code that needs them ([`crate::VALUE_BYTES_MAX`] and its neighbours).

use serde::{Deserialize, Serialize};

/// Settings of a [`crate::Store`]. All sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for pages that sled keeps decoded, in bytes. Process memory grows by about three times this
    /// when it is full. 256 KiB at least.
    pub cache_bytes: u64,
    /// Bytes of batches that may wait for the writer thread before [`crate::Store::commit`] blocks. The batches
    /// being written count apart, so memory is bounded by twice this. [`crate::Store::append`] never blocks: who
    /// appends asks [`crate::Store::backlog`] first.
    pub queue_bytes_max: usize,
    /// Size of the ballast file in bytes; 0 keeps none.
    pub ballast_bytes: u64,
    /// With fewer free bytes than this on the file system, [`crate::Store::health`] says that the disk is full.
    pub free_bytes_min: u64,
    /// How many unopenable databases are kept for inspection; the oldest go first.
    pub quarantines_max: usize,
    /// A segment of the journal that has reached so many bytes is followed by the next. 4 KiB to 1 GiB; what is
    /// outside counts as the nearest. Small segments can be removed sooner, large ones cost fewer files.
    pub segment_bytes: u64,
    /// The journal is cleaned when it has more bytes than twice what is live in it and this.
    pub slack_bytes: u64,
    /// The state is made durable when so many bytes were applied to it since the last time. More makes a start after
    /// a power cut longer, because more has to be applied again.
    pub checkpoint_bytes: u64,
    /// What need not be durable at once is after so many milliseconds at the latest.
    pub lazy_sync_ms: u64,
    /// Milliseconds between the beginnings of two fsyncs at least: what comes meanwhile shares the next one. The first after a
    /// silence is not held up. 0: none.
    pub gather_ms: u64,
    /// Budget for journal and state together, in bytes; 0 for none. The store only says whether it is used up
    /// ([`crate::Store::has_room`]): refusing is the callers' decision.
    pub disk_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_bytes: 1024 * 1024,
            queue_bytes_max: 4 * 1024 * 1024,
            ballast_bytes: 1024 * 1024,
            free_bytes_min: 8 * 1024 * 1024,
            quarantines_max: 2,
            segment_bytes: 4 * 1024 * 1024,
            slack_bytes: 16 * 1024 * 1024,
            checkpoint_bytes: 4 * 1024 * 1024,
            lazy_sync_ms: 1_000,
            gather_ms: 5,
            disk_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

impl Config {
    /// [`Config::segment_bytes`] within its limits.
    pub(crate) fn segment_bytes_within_limits(&self) -> u64 {
        self.segment_bytes.clamp(4 * 1024, 1 << 30)
    }
}
