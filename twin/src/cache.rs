//! Twins in memory, bounded in estimated bytes. A twin whose commits are not finished stays, whatever the bound: what
//! the store shows of it is older. Invariant: a twin that is not here is completely in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use selvedge_twin_core::cell::Cell;
use selvedge_twin_core::event::Body;

use crate::history::ring::Past;
use crate::twin::{Section, Twin};

/// Estimated for a twin beside its cells, in bytes.
const TWIN_BYTES: usize = 400;
/// Estimated for an event beside the path of its cell and its value, in bytes.
const EVENT_BYTES: usize = 240;

/// Counts a twin's commits that are on their way. Dropping it says that one has ended.
pub(crate) struct Underway(Arc<AtomicU32>);

impl Underway {
    pub(crate) fn begin(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

#[derive(Default)]
pub(crate) struct Cache {
    entries: HashMap<String, Entry>,
    bytes: usize,
    bytes_max: usize,
    uses: u64,
}

struct Entry {
    twin: Arc<Twin>,
    bytes: usize,
    used: u64,
    underway: Arc<AtomicU32>,
    /// Its history, if it was changed since it was read.
    past: Option<Arc<Past>>,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    pub(crate) fn get(&mut self, thing: &str) -> Option<Arc<Twin>> {
        self.uses += 1;
        let entry = self.entries.get_mut(thing)?;
        entry.used = self.uses;
        Some(entry.twin.clone())
    }

    /// As [`Cache::get`], without counting as a use.
    pub(crate) fn get_quietly(&self, thing: &str) -> Option<Arc<Twin>> {
        self.entries.get(thing).map(|entry| entry.twin.clone())
    }

    /// Looks without counting as a use.
    pub(crate) fn peek(&self, thing: &str) -> Option<&Twin> {
        self.entries.get(thing).map(|entry| &*entry.twin)
    }

    pub(crate) fn put(&mut self, thing: &str, twin: Arc<Twin>) {
        self.insert(thing, twin);
        self.evict();
    }

    /// Puts a twin that is being committed.
    pub(crate) fn put_underway(&mut self, thing: &str, twin: Arc<Twin>) -> Underway {
        let underway = Underway::begin(&self.insert(thing, twin).underway);
        self.evict();
        underway
    }

    pub(crate) fn is_underway(&self, thing: &str) -> bool {
        self.entries.get(thing).is_some_and(Entry::is_underway)
    }

    /// The history of a twin that was changed since it was read.
    pub(crate) fn past(&self, thing: &str) -> Option<Arc<Past>> {
        self.entries.get(thing)?.past.clone()
    }

    /// Keeps the history of a twin that is here.
    pub(crate) fn keep_past(&mut self, thing: &str, past: Arc<Past>) {
        if let Some(entry) = self.entries.get_mut(thing) {
            let before = entry.past.as_ref().map_or(0, |past| past.bytes());
            entry.bytes = entry.bytes - before + past.bytes();
            self.bytes = self.bytes - before + past.bytes();
            entry.past = Some(past);
        }
    }

    /// All twins whose commits are not finished.
    pub(crate) fn underway(&self) -> impl Iterator<Item = (&str, &Twin)> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.is_underway())
            .map(|(thing, entry)| (thing.as_str(), &*entry.twin))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn insert(&mut self, thing: &str, twin: Arc<Twin>) -> &mut Entry {
        self.uses += 1;
        let bytes = TWIN_BYTES + thing.len() + estimate(&twin);
        self.bytes += bytes;
        if let Some(entry) = self.entries.get(thing) {
            self.bytes -= entry.bytes;
        }
        let entry = self.entries.entry(thing.to_owned()).or_insert_with(|| Entry {
            twin: twin.clone(),
            bytes,
            used: 0,
            underway: Arc::default(),
            past: None,
        });
        let past_bytes = entry.past.as_ref().map_or(0, |past| past.bytes());
        (entry.twin, entry.bytes, entry.used) = (twin, bytes + past_bytes, self.uses);
        self.bytes += past_bytes;
        entry
    }

    /// When the bound is passed: drops the least recently used down to three quarters of it.
    fn evict(&mut self) {
        if self.bytes <= self.bytes_max {
            return;
        }
        let idle = self.entries.iter().filter(|(_, entry)| !entry.is_underway());
        let mut by_use: Vec<(u64, String)> = idle.map(|(thing, entry)| (entry.used, thing.clone())).collect();
        by_use.sort_unstable();
        for (_, thing) in by_use {
            if self.bytes <= self.bytes_max / 4 * 3 {
                break;
            }
            if let Some(entry) = self.entries.remove(&thing) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

impl Entry {
    fn is_underway(&self) -> bool {
        self.underway.load(Ordering::Acquire) > 0
    }
}

fn estimate(twin: &Twin) -> usize {
    let cells = Section::ALL.into_iter().flat_map(|section| twin.section(section).cells());
    cells.map(|(path, _, cell)| path.as_str().len() + cell_bytes(cell)).sum()
}

fn cell_bytes(cell: &Cell) -> usize {
    let sizes = cell.siblings().iter().map(|event| {
        let value = match &event.body {
            Body::Json(text) => text.len(),
            _ => 0,
        };
        EVENT_BYTES + value + event.context.len() * 32 + event.signature.as_ref().map_or(0, |_| 64)
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(cache: &mut Cache, count: usize) {
        for index in 0..count {
            cache.put(&format!("thing-{index}"), Arc::default());
        }
    }

    #[test]
    fn the_least_recently_used_go_when_the_bound_is_passed() {
        let mut cache = Cache::new(10 * (TWIN_BYTES + 7));
        fill(&mut cache, 10);
        assert_eq!(cache.len(), 10);
        assert!(cache.get("thing-0").is_some());
        cache.put("thing-x", Arc::default());
        assert!(cache.len() <= 8 && cache.bytes <= cache.bytes_max);
        assert!(cache.get("thing-0").is_some() && cache.get("thing-x").is_some());
        assert!(cache.get("thing-1").is_none());
    }

    #[test]
    fn a_twin_with_an_unfinished_commit_stays_until_all_its_commits_have_ended() {
        let mut cache = Cache::new(0);
        let first = cache.put_underway("a", Arc::default());
        let second = cache.put_underway("a", Arc::default());
        drop(first);
        fill(&mut cache, 3);
        assert!(cache.is_underway("a") && cache.peek("a").is_some());
        drop(second);
        fill(&mut cache, 3);
        assert!(!cache.is_underway("a") && cache.peek("a").is_none());
        assert_eq!((cache.len(), cache.bytes), (0, 0));
    }
}
