//! How much metadata a node takes. Everything that grows with what is received has its bound here.

/// Bounds on a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest root file, in bytes.
    pub root_bytes: u64,
    /// Largest timestamp file, in bytes. It is fetched most often and has one entry.
    pub timestamp_bytes: u64,
    /// Largest snapshot file, in bytes: about 100 per role, 250 with hashes.
    pub snapshot_bytes: u64,
    /// Largest targets file, in bytes: about 500 per target with our block.
    pub targets_bytes: u64,
    /// Most bytes of all targets files together. They are kept in memory and in the trust document.
    pub targets_bytes_total: u64,
    /// Most roots that are accepted in one refresh; the next refresh goes on from there.
    pub roots: u32,
    /// Most delegations that are followed, each one at most one download.
    pub delegations: u32,
    /// How many delegations lie between the targets role and a role at most.
    pub delegation_depth: u32,
    /// Most targets in one file.
    pub targets_per_file: usize,
    /// Most keys in one file.
    pub keys_per_file: usize,
    /// Most signatures in one file.
    pub signatures_per_file: usize,
    /// Most path patterns in one file.
    pub patterns_per_file: usize,
    /// Most path patterns in one file with more than one `*` between slashes, which take long to match.
    pub costly_patterns_per_file: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root_bytes: 256 * 1024,
            timestamp_bytes: 16 * 1024,
            snapshot_bytes: 256 * 1024,
            targets_bytes: 1024 * 1024,
            targets_bytes_total: 4 * 1024 * 1024,
            roots: 128,
            delegations: 64,
            delegation_depth: 4,
            targets_per_file: 4096,
            keys_per_file: 64,
            signatures_per_file: 64,
            patterns_per_file: 128,
            costly_patterns_per_file: 8,
        }
    }
}

impl Limits {
    /// For a document that this node wrote itself: what was accepted under one configuration is readable under the next.
    pub(crate) fn own_document() -> Self {
        Self {
            root_bytes: u64::MAX,
            timestamp_bytes: u64::MAX,
            snapshot_bytes: u64::MAX,
            targets_bytes: u64::MAX,
            targets_bytes_total: u64::MAX,
            roots: u32::MAX,
            delegations: u32::MAX,
            delegation_depth: u32::MAX,
            targets_per_file: usize::MAX,
            keys_per_file: usize::MAX,
            signatures_per_file: usize::MAX,
            patterns_per_file: usize::MAX,
            costly_patterns_per_file: usize::MAX,
        }
    }
}
