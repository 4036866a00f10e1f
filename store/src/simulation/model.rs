//! What must be there: every entry that was appended, by its sequence number, and what follows from them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::owner::{self, Holds, Owner};

/// One entry of the workload.
#[derive(Debug, Clone)]
pub(super) struct ModelEntry {
    pub(super) sequence: u64,
    pub(super) wall_ms: u64,
    pub(super) records: Vec<u8>,
    pub(super) first_message: u64,
    pub(super) messages: Vec<Range<u32>>,
    pub(super) operations: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A batch as it was replayed.
pub(super) type ReplayedEntry = (u64, u64, Vec<u8>, u64, Vec<Range<u32>>);

pub(super) struct Model {
    entries: Vec<ModelEntry>,
    /// What the owner knows after all entries.
    pub(super) holds: Holds,
    /// The highest sequence number that was acknowledged.
    pub(super) acknowledged: u64,
    pub(super) next_message: u64,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), holds: Holds::new(), acknowledged: 0, next_message: 1 }
    }

    pub(super) fn push(&mut self, entry: ModelEntry, changes: &[(u64, i32)]) {
        owner::apply_change(&mut self.holds, changes);
        self.next_message = self.next_message.max(entry.first_message + entry.messages.len() as u64);
        self.entries.push(entry);
    }

    /// The state after everything up to `last`.
    pub(super) fn state(&self, last: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut state = BTreeMap::new();
        for (key, value) in self.until(last).flat_map(|entry| &entry.operations) {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        state
    }

    /// Compares with what was recovered: everything up to `last`, the owner's records from `oldest` on.
    pub(super) fn check_replay(&self, oldest: u64, last: u64, replayed: &[ReplayedEntry]) -> Result<(), String> {
        if last < self.acknowledged {
            return Err(format!("{} was acknowledged and the journal ends at {last}", self.acknowledged));
        }
        let with_records = self.until(last).filter(|entry| entry.sequence >= oldest && !entry.records.is_empty());
        let expected: Vec<ReplayedEntry> = with_records
            .map(|entry| {
                (entry.sequence, entry.wall_ms, entry.records.clone(), entry.first_message, entry.messages.clone())
            })
            .collect();
        if let Some(at) = (0..expected.len().max(replayed.len())).find(|at| expected.get(*at) != replayed.get(*at)) {
            let sequence = |entries: &[ReplayedEntry]| entries.get(at).map(|entry| entry.0);
            return Err(format!("replayed {:?} in place of {:?}", sequence(replayed), sequence(&expected)));
        }
        Ok(())
    }

    pub(super) fn has_records_before(&self, sequence: u64) -> bool {
        self.entries.iter().any(|entry| entry.sequence < sequence && !entry.records.is_empty())
    }

    /// Forgets what was never acknowledged and is not there.
    pub(super) fn forget_after(&mut self, last: u64) -> Result<(), String> {
        self.entries.retain(|entry| entry.sequence <= last);
        let mut owner = Owner::new(true);
        for entry in self.entries.iter().filter(|entry| !entry.records.is_empty()) {
            owner.take(&entry.records)?;
        }
        self.holds = owner.holds().cloned().unwrap_or_default();
        let next = self.entries.iter().map(|entry| entry.first_message + entry.messages.len() as u64);
        self.next_message = next.max().unwrap_or(1);
        Ok(())
    }

    fn until(&self, last: u64) -> impl Iterator<Item = &ModelEntry> {
        self.entries.iter().filter(move |entry| entry.sequence <= last)
    }
}
