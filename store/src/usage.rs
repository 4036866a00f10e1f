//! How much of the disk a store uses, and whether there is room for more in its budget.

/// Bytes on the disk. Cheap to ask for; those of the state and the free ones are as of the last write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all segments of the journal.
    pub journal_bytes: u64,
    /// About how many of them are needed: live messages, the state, the owner's last image.
    pub journal_live_bytes: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// Messages that are held.
    pub messages_live: u64,
    /// Bytes of sled's files.
    pub state_bytes: u64,
    /// Bytes that are free on the file system.
    pub free_bytes: u64,
    /// The budget for journal and state together, in bytes; 0 for none.
    pub disk_bytes_max: u64,
}

impl Usage {
    /// Whether so many more bytes are within the budget and fit on the file system.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let used = self.journal_bytes.saturating_add(self.state_bytes).saturating_add(bytes);
        (self.disk_bytes_max == 0 || used <= self.disk_bytes_max) && bytes <= self.free_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_counts_journal_and_state_and_may_be_none() {
        let usage =
            Usage { journal_bytes: 60, state_bytes: 30, free_bytes: 50, disk_bytes_max: 100, ..Usage::default() };
        assert_eq!([10, 11].map(|bytes| usage.has_room(bytes)), [true, false]);
        let unlimited = Usage { disk_bytes_max: 0, ..usage };
        assert_eq!([50, 51].map(|bytes| unlimited.has_room(bytes)), [true, false]);
    }
}
