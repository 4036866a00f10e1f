//! A state engine in memory that, like sled in a power cut, loses the last of what was applied and not synced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::random::Random;
use crate::batch::Space;
use crate::journal::operations::{OPERATION_OVERHEAD_BYTES, OperationAt};
use crate::state::{EngineFailure, StateEngine, Unreadable};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Shared by the engine in use and by whoever cuts its power.
#[derive(Clone, Default)]
pub(crate) struct MemoryEngine(Arc<Mutex<Versions>>);

#[derive(Default)]
struct Versions {
    /// What is there now.
    map: Map,
    sequence: u64,
    /// The state after each application that is not synced, and the synced one in front.
    history: Vec<(u64, Map)>,
    /// There is no room on the disk.
    full: bool,
    /// It failed once and has to be opened again, as sled has.
    failed: bool,
    opened: u64,
}

impl MemoryEngine {
    pub(crate) fn new() -> Self {
        let engine = Self::default();
        engine.0.lock().history.push((0, Map::new()));
        engine
    }

    /// The process ends: what was not synced may be there or not, because sled keeps it in memory.
    pub(super) fn end(&self, random: &mut Random) {
        let mut versions = self.0.lock();
        (versions.full, versions.failed) = (false, false);
        let kept = random.below(versions.history.len() as u64) as usize;
        versions.go_back_to(kept);
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Opens it again after it failed: what was not synced may be there or not.
    pub(crate) fn reopen(&self) -> Result<Box<dyn StateEngine>, String> {
        let mut versions = self.0.lock();
        versions.opened += 1;
        if versions.full && versions.opened.is_multiple_of(2) {
            return Err("no room".to_owned());
        }
        let kept = versions.opened as usize % versions.history.len();
        versions.go_back_to(kept);
        versions.failed = false;
        Ok(Box::new(self.clone()))
    }

    /// It cannot be opened: what is left is an empty one.
    pub(super) fn lose_everything(&self) {
        *self.0.lock() = Versions { history: vec![(0, Map::new())], ..Versions::default() };
    }

    pub(crate) fn map(&self) -> Map {
        self.0.lock().map.clone()
    }
}

impl Versions {
    fn go_back_to(&mut self, kept: usize) {
        let (sequence, map) = self.history.swap_remove(kept);
        self.map = map.clone();
        self.sequence = sequence;
        self.history = vec![(sequence, map)];
    }

    fn check(&mut self) -> Result<(), EngineFailure> {
        self.failed |= self.full;
        if self.failed { Err(EngineFailure::Full("no room".to_owned())) } else { Ok(()) }
    }
}

impl StateEngine for MemoryEngine {
    fn sequence(&self) -> u64 {
        self.0.lock().sequence
    }

    fn keys(&self) -> [u64; Space::ALL.len()] {
        [0; Space::ALL.len()]
    }

    fn live_bytes(&self) -> u64 {
        let weigh = |(key, value): (&Vec<u8>, &Vec<u8>)| (OPERATION_OVERHEAD_BYTES + key.len() + value.len()) as u64;
        self.0.lock().map.iter().map(weigh).sum()
    }

    fn apply(&self, operations: &[OperationAt<'_>], sequence: u64) -> Result<(), EngineFailure> {
        let mut versions = self.0.lock();
        versions.check()?;
        for OperationAt { tree_key, value } in operations {
            match value {
                Some(value) => versions.map.insert(tree_key.to_vec(), value.to_vec()),
                None => versions.map.remove(*tree_key),
            };
        }
        versions.sequence = sequence;
        let version = (sequence, versions.map.clone());
        versions.history.push(version);
        Ok(())
    }

    fn read(&self, tree_key: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(self.0.lock().map.get(tree_key).cloned())
    }

    fn next_key(&self, start: Bound<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.lock().map.range::<[u8], _>((start, Bound::Unbounded)).next().map(|(key, _)| key.clone()))
    }

    fn sync(&self) -> Result<(), EngineFailure> {
        let mut versions = self.0.lock();
        versions.check()?;
        let last = versions.history.len() - 1;
        versions.history.drain(..last);
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}
