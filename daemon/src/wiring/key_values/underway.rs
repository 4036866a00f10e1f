//! Key-values on their way to the store: reads see them before the store has them.
//!
//! Invariant: what was added is seen until its [`Passage`] is dropped, which is when the store has it or never will; of two writes of
//! a key the later one is seen.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Record;

/// Bytes of keys, values and patches of twins under way from which on nothing more is to rest on them: runs then wait until they are
/// durable. It bounds memory, and what a function that floods the node with changes writes for each fsync.
pub const BYTES_MAX: usize = 64 << 10;

/// A key of the store, and what will be there: nothing where it is removed.
pub type Change = (Vec<u8>, Option<Record>);

/// See the module.
#[derive(Debug, Default)]
pub struct Underway {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    changes: BTreeMap<Vec<u8>, (u64, Option<Record>)>,
    /// Of all passages, also what a later one covers.
    bytes: usize,
    last: u64,
}

/// The changes of one commit. Drop it when the store has them, or never will.
#[derive(Debug)]
pub struct Passage {
    underway: Arc<Underway>,
    number: u64,
    keys: Vec<Vec<u8>>,
    bytes: usize,
}

impl Underway {
    /// Adds the changes of a commit, to be called in the order of the commits; `beside_bytes` of other changes are part of it.
    pub fn add(self: &Arc<Self>, changes: Vec<Change>, beside_bytes: usize) -> Passage {
        let of_change = |(key, record): &Change| key.len() + record.as_ref().map_or(0, |record| record.value.len());
        let bytes = beside_bytes + changes.iter().map(of_change).sum::<usize>();
        let keys = changes.iter().map(|(key, _)| key.clone()).collect();
        let mut state = self.state.lock();
        state.last += 1;
        state.bytes += bytes;
        let number = state.last;
        state.changes.extend(changes.into_iter().map(|(key, record)| (key, (number, record))));
        Passage { underway: Arc::clone(self), number, keys, bytes }
    }

    /// What a key will have; the outer `None`: the store knows.
    pub fn get(&self, key: &[u8]) -> Option<Option<Record>> {
        self.state.lock().changes.get(key).map(|(_, record)| record.clone())
    }

    /// Keys that begin with `prefix` and come after `after`, ascending, and whether they will be there at `now_ms`.
    pub fn list(&self, prefix: &[u8], after: Option<&[u8]>, now_ms: u64) -> Vec<(Vec<u8>, bool)> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let state = self.state.lock();
        let changes = state.changes.range::<[u8], _>((from, Bound::Unbounded));
        let changes = changes.take_while(|(key, _)| key.starts_with(prefix));
        let is_there = |record: &Option<Record>| record.as_ref().is_some_and(|record| !record.is_expired(now_ms));
        changes.map(|(key, (_, record))| (key.clone(), is_there(record))).collect()
    }

    /// Whether no key of any function is under way.
    pub fn is_empty(&self) -> bool {
        self.state.lock().changes.is_empty()
    }

    /// Whether anything that begins with `prefix` is under way.
    pub fn has(&self, prefix: &[u8]) -> bool {
        let state = self.state.lock();
        let mut changes = state.changes.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        changes.next().is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// Whether there is room for more to rest on what is under way.
    pub fn has_room(&self) -> bool {
        self.state.lock().bytes < BYTES_MAX
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut state = self.underway.state.lock();
        state.bytes -= self.bytes;
        for key in &self.keys {
            if state.changes.get(key).is_some_and(|(number, _)| *number == self.number) {
                state.changes.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: u64, expires_ms: u64) -> Option<Record> {
        Some(Record { revision, expires_ms, value: vec![0; 10] })
    }

    fn changes(keys: &[&str], revision: u64) -> Vec<Change> {
        keys.iter().map(|key| (key.as_bytes().to_vec(), record(revision, 0))).collect()
    }

    fn revision(underway: &Underway, key: &str) -> Option<u64> {
        underway.get(key.as_bytes())?.map(|record| record.revision)
    }

    #[test]
    fn the_later_write_of_a_key_is_seen_until_it_has_arrived_whichever_is_dropped_first() {
        for later_first in [false, true] {
            let underway = Arc::new(Underway::default());
            let first = underway.add(changes(&["a", "b"], 1), 0);
            let second = underway.add(changes(&["b", "c"], 2), 0);
            assert_eq!(["a", "b", "c", "d"].map(|key| revision(&underway, key)), [Some(1), Some(2), Some(2), None]);
            if later_first {
                drop(second);
                assert_eq!(["a", "b", "c"].map(|key| revision(&underway, key)), [Some(1), None, None]);
                drop(first);
            } else {
                drop(first);
                assert_eq!(["a", "b", "c"].map(|key| revision(&underway, key)), [None, Some(2), Some(2)]);
                drop(second);
            }
            assert!(underway.is_empty(), "nothing is left");
        }
    }

    #[test]
    fn a_removal_and_an_expiry_are_seen_as_such() {
        let underway = Arc::new(Underway::default());
        let _passage = underway.add(vec![(b"f\0gone".to_vec(), None), (b"f\0old".to_vec(), record(1, 5))], 0);
        assert_eq!(underway.get(b"f\0gone"), Some(None));
        let keys = |now_ms| underway.list(b"f\0", None, now_ms).into_iter().map(|(_, there)| there).collect::<Vec<_>>();
        assert_eq!((keys(4), keys(5)), (vec![false, true], vec![false, false]));
    }

    #[test]
    fn a_list_begins_after_a_key_and_ends_with_the_prefix() {
        let underway = Arc::new(Underway::default());
        let _passage = underway.add(changes(&["f\0a", "f\0b", "f\0c", "g\0a"], 1), 0);
        let list = |prefix: &str, after: Option<&str>| {
            let found = underway.list(prefix.as_bytes(), after.map(str::as_bytes), 0);
            found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(list("f\0", None), ["f\0a", "f\0b", "f\0c"]);
        assert_eq!(list("f\0", Some("f\0a")), ["f\0b", "f\0c"]);
        assert_eq!(list("f\0b", Some("f\0a")), ["f\0b"], "what comes before the prefix leaves nothing out");
        assert_eq!(list("f\0b", Some("f\0b")), [""; 0]);
        assert_eq!((underway.has(b"g\0"), underway.has(b"h\0"), underway.is_empty()), (true, false, false));
    }

    #[test]
    fn room_comes_back_when_changes_have_arrived() {
        let underway = Arc::new(Underway::default());
        let large = |number: u8| {
            let value = vec![0; BYTES_MAX / 2];
            underway.add(vec![(vec![number], Some(Record { revision: 1, expires_ms: 0, value }))], 0)
        };
        let (one, two) = (large(1), large(1));
        assert!(!underway.has_room());
        drop(one);
        assert!(underway.has_room() && revision(&underway, "\u{1}").is_some(), "the second one is still seen");
        drop(two);
        assert!(underway.has_room() && underway.is_empty());
        let patches = underway.add(Vec::new(), BYTES_MAX);
        assert!(!underway.has_room());
        drop(patches);
        assert!(underway.has_room());
    }
}
