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
    /// being written count apart, so memory is bounded by twice this.
    pub queue_bytes_max: usize,
    /// Size of the ballast file in bytes; 0 keeps none.
    pub ballast_bytes: u64,
    /// With fewer free bytes than this on the file system, [`crate::Store::health`] says that the disk is full.
    pub free_bytes_min: u64,
    /// How many unopenable databases are kept for inspection; the oldest go first.
    pub quarantines_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_bytes: 1024 * 1024,
            queue_bytes_max: 4 * 1024 * 1024,
            ballast_bytes: 1024 * 1024,
            free_bytes_min: 8 * 1024 * 1024,
            quarantines_max: 2,
        }
    }
}
