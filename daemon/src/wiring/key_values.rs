//! Key-values of functions in the store.
//!
//! Key: `<function>` 0x00 `<key>`; a function's name has no 0x00, so buckets never meet. Value: version byte 1, revision
//! (8 bytes, big endian), expiry in milliseconds since 1970 (8 bytes, big endian; 0 is never), then the bytes.

use std::sync::Arc;

use selvedge_functions::{HostError, KvEntry};
use selvedge_store::{Batch, PutError, Space, Store};

pub mod underway;

use underway::{Change, Underway};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 17;
/// Keys looked at in one go while listing past expired ones, and while sweeping.
const SCAN_KEYS: usize = 256;

/// One stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Changes with every write.
    pub revision: u64,
    /// Milliseconds since 1970 at which the key is absent; 0 is never.
    pub expires_ms: u64,
    /// The bytes.
    pub value: Vec<u8>,
}

impl Record {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.value.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(&self.expires_ms.to_be_bytes());
        bytes.extend_from_slice(&self.value);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (revision, rest) = rest.split_first_chunk::<8>()?;
        let (expires_ms, value) = rest.split_first_chunk::<8>()?;
        (*version == VERSION).then(|| Self {
            revision: u64::from_be_bytes(*revision),
            expires_ms: u64::from_be_bytes(*expires_ms),
            value: value.to_vec(),
        })
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now_ms
    }
}

/// All key-values of all functions, those under way to the store included.
#[derive(Debug)]
pub struct KeyValues {
    store: Store,
    underway: Arc<Underway>,
}

impl KeyValues {
    /// Those in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, underway: Arc::default() }
    }

    /// What is on its way to the store.
    pub fn underway(&self) -> &Arc<Underway> {
        &self.underway
    }

    /// Whether something of the function is on its way to the store.
    pub fn are_underway(&self, function: &str) -> bool {
        // Mostly nothing is, and that is found out without a key.
        !self.underway.is_empty() && self.underway.has(&store_key(function, ""))
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// The store cannot be read, or what is there cannot be understood.
    pub fn get(&self, function: &str, key: &str, now_ms: u64) -> Result<Option<KvEntry>, HostError> {
        let key = store_key(function, key);
        // In this order: what leaves meanwhile is in the store then.
        let record = match self.underway.get(&key) {
            Some(record) => record,
            None => match self.store.get(Space::KeyValue, &key).map_err(unavailable)? {
                Some(bytes) => {
                    Some(Record::from_bytes(&bytes).ok_or_else(|| unavailable("a stored value cannot be understood"))?)
                }
                None => None,
            },
        };
        let record = record.filter(|record| !record.is_expired(now_ms));
        Ok(record.map(|record| KvEntry { value: record.value, revision: record.revision }))
    }

    /// Keys that begin with `prefix` and come after `after`, at most `limit`, ascending.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<String>, HostError> {
        let (bucket, prefix) = (store_key(function, ""), store_key(function, prefix));
        let mut last = after.map(|after| store_key(function, after));
        // In this order: what leaves meanwhile is in the store then.
        let mut changed = self.underway.list(&prefix, last.as_deref(), now_ms).into_iter().peekable();
        let mut found = Found { bucket: bucket.len(), limit, keys: Vec::new() };
        loop {
            let mut seen = 0;
            for entry in self.store.scan(Space::KeyValue, &prefix, last.as_deref(), SCAN_KEYS) {
                let (key, bytes) = entry.map_err(unavailable)?;
                seen += 1;
                while let Some((before, is_there)) = changed.next_if(|(changed, _)| *changed < key) {
                    found.add(&before, is_there);
                }
                let is_there = match changed.next_if(|(changed, _)| *changed == key) {
                    Some((_, is_there)) => is_there,
                    None => Record::from_bytes(&bytes).is_some_and(|record| !record.is_expired(now_ms)),
                };
                found.add(&key, is_there);
                if found.is_full() {
                    return Ok(found.keys);
                }
                last = Some(key);
            }
            if seen < SCAN_KEYS {
                changed.for_each(|(key, is_there)| found.add(&key, is_there));
                return Ok(found.keys);
            }
        }
    }
}

/// What a list has so far.
struct Found {
    /// Length of what store keys of the function begin with.
    bucket: usize,
    limit: usize,
    keys: Vec<String>,
}

impl Found {
    fn is_full(&self) -> bool {
        self.keys.len() >= self.limit
    }

    fn add(&mut self, key: &[u8], is_there: bool) {
        let name = key.get(self.bucket..).and_then(|name| std::str::from_utf8(name).ok());
        if let (true, false, Some(name)) = (is_there, self.is_full(), name) {
            self.keys.push(name.to_owned());
        }
    }
}

/// Adds a write to `batch`, a removal where there is no record; gives the change.
///
/// # Errors
/// Key or value is too long, or the batch is full.
pub fn write(batch: &mut Batch, function: &str, key: &str, record: Option<Record>) -> Result<Change, PutError> {
    let key = store_key(function, key);
    match &record {
        Some(record) => batch.put(Space::KeyValue, &key, &record.to_bytes())?,
        None => batch.delete(Space::KeyValue, &key)?,
    }
    Ok((key, record))
}

/// Store keys of what has expired among the next keys after `after`, and where to go on; `None` at the end.
pub fn expired(store: &Store, after: Option<&[u8]>, now_ms: u64) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    let mut expired = Vec::new();
    let mut last = None;
    let mut seen = 0;
    for (key, bytes) in store.scan(Space::KeyValue, b"", after, SCAN_KEYS).flatten() {
        seen += 1;
        if Record::from_bytes(&bytes).is_some_and(|record| record.is_expired(now_ms)) {
            expired.push(key.clone());
        }
        last = Some(key);
    }
    (expired, last.filter(|_| seen == SCAN_KEYS))
}

/// Removals of those of `keys` that are still expired, as applied. What does not fit into a batch is left for the next sweep.
pub fn removals(store: &Store, keys: &[Vec<u8>], now_ms: u64) -> Batch {
    let mut batch = Batch::new();
    for key in keys {
        let found = store.get(Space::KeyValue, key).ok().flatten();
        let expired =
            found.and_then(|bytes| Record::from_bytes(&bytes)).is_some_and(|record| record.is_expired(now_ms));
        if expired && batch.delete(Space::KeyValue, key).is_err() {
            break;
        }
    }
    batch
}

fn store_key(function: &str, key: &str) -> Vec<u8> {
    [function.as_bytes(), &[0], key.as_bytes()].concat()
}

fn unavailable(error: impl ToString) -> HostError {
    HostError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open() -> (tempfile::TempDir, KeyValues) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
        (directory, KeyValues::new(store))
    }

    fn record(key: &str, expires_ms: u64) -> Record {
        Record { revision: 7, expires_ms, value: key.as_bytes().to_vec() }
    }

    fn store(all: &KeyValues, function: &str, key: &str, expires_ms: u64) {
        let mut batch = Batch::new();
        write(&mut batch, function, key, Some(record(key, expires_ms))).unwrap();
        all.store.commit_blocking(batch).unwrap();
    }

    #[test]
    fn a_bucket_belongs_to_one_function() {
        let (_directory, all) = open();
        store(&all, "a", "k", 0);
        store(&all, "ab", "k", 0);
        assert_eq!(all.get("a", "k", 0).unwrap(), Some(KvEntry { value: b"k".to_vec(), revision: 7 }));
        assert_eq!(all.get("b", "k", 0).unwrap(), None);
        assert_eq!(all.list("a", "", None, 10, 0).unwrap(), ["k"]);
    }

    #[test]
    fn lists_are_ordered_limited_and_without_expired_keys() {
        let (_directory, all) = open();
        for number in 0..600 {
            store(&all, "f", &format!("x{number:03}"), if number % 2 == 0 { 50 } else { 0 });
        }
        store(&all, "f", "y", 0);
        assert_eq!(all.list("f", "x", Some("x001"), 2, 50).unwrap(), ["x003", "x005"]);
        assert_eq!(all.list("f", "x", None, 2, 49).unwrap(), ["x000", "x001"]);
        assert_eq!(all.list("f", "", None, 1000, 50).unwrap().len(), 301);
        assert_eq!(all.get("f", "x000", 50).unwrap(), None);
    }

    #[test]
    fn what_is_under_way_is_seen_in_the_place_of_what_is_stored() {
        let (_directory, all) = open();
        ["b", "d", "f"].iter().for_each(|key| store(&all, "f", key, 0));
        let new = |key: &str| (store_key("f", key), Some(Record { revision: 8, expires_ms: 0, value: Vec::new() }));
        let passage = all.underway.add(vec![new("a"), new("b"), (store_key("f", "d"), None), new("e"), new("g")], 0);
        assert_eq!(all.list("f", "", None, 10, 0).unwrap(), ["a", "b", "e", "f", "g"]);
        assert_eq!(all.list("f", "", Some("b"), 2, 0).unwrap(), ["e", "f"]);
        assert_eq!(all.list("f", "", Some("f"), 2, 0).unwrap(), ["g"]);
        assert_eq!(all.list("f", "", None, 1, 0).unwrap(), ["a"]);
        let revisions = || ["a", "b", "d", "f"].map(|key| all.get("f", key, 0).unwrap().map(|entry| entry.revision));
        assert_eq!(revisions(), [Some(8), Some(8), None, Some(7)]);
        assert!(all.are_underway("f") && !all.are_underway("e"));
        drop(passage);
        assert_eq!(revisions(), [None, Some(7), Some(7), Some(7)]);
        assert_eq!(all.list("f", "", None, 10, 0).unwrap(), ["b", "d", "f"]);
    }

    #[test]
    fn a_sweep_removes_what_has_expired_and_nothing_else() {
        let (_directory, all) = open();
        for number in 0..300 {
            store(&all, "f", &format!("{number:03}"), if number % 3 == 0 { 50 } else { 0 });
        }
        let (mut after, mut removed) = (None, 0);
        loop {
            let (keys, next) = expired(&all.store, after.as_deref(), 50);
            let batch = removals(&all.store, &keys, 50);
            removed += batch.len();
            all.store.commit_blocking(batch).unwrap();
            if next.is_none() {
                break;
            }
            after = next;
        }
        assert_eq!((removed, all.list("f", "", None, 1000, 0).unwrap().len()), (100, 200));
    }

    #[test]
    fn a_key_that_was_set_again_is_not_removed() {
        let (_directory, all) = open();
        store(&all, "f", "a", 50);
        store(&all, "f", "b", 50);
        let (keys, _) = expired(&all.store, None, 50);
        assert_eq!(keys.len(), 2);
        store(&all, "f", "a", 51);
        all.store.commit_blocking(removals(&all.store, &keys, 50)).unwrap();
        assert_eq!(all.list("f", "", None, 10, 0).unwrap(), ["a"]);
    }

    proptest! {
        /// What is stored and what is under way, in any mixture, lists and reads as if all of it were stored.
        #[test]
        fn it_does_not_matter_what_has_arrived(
            stored in proptest::collection::btree_map("[a-c]{1,3}", any::<bool>(), 0..20),
            changed in proptest::collection::btree_map("[a-c]{1,3}", any::<Option<bool>>(), 0..20),
            prefix in "[a-c]{0,1}",
            after in proptest::option::of("[a-c]{0,3}"),
            limit in 1_usize..8,
        ) {
            const NOW_MS: u64 = 50;
            let expiry = |is_old: bool| if is_old { NOW_MS } else { 0 };
            let (_directory, all) = open();
            let mut batch = Batch::new();
            for (key, is_old) in &stored {
                write(&mut batch, "f", key, Some(record(key, expiry(*is_old)))).unwrap();
            }
            all.store.commit_blocking(batch).unwrap();
            let changes = changed.iter().map(|(key, old)| (store_key("f", key), old.map(|old| record(key, expiry(old)))));
            let _passage = all.underway.add(changes.collect(), 0);
            let mut expected = stored.into_iter().map(|(key, old)| (key, Some(old))).collect::<std::collections::BTreeMap<_, _>>();
            expected.extend(changed);
            let is_there = |key: &str| expected.get(key) == Some(&Some(false));
            let keys: Vec<String> = expected
                .keys()
                .filter(|key| is_there(key) && key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
                .take(limit)
                .cloned()
                .collect();
            prop_assert_eq!(all.list("f", &prefix, after.as_deref(), limit, NOW_MS).unwrap(), keys);
            for key in expected.keys() {
                prop_assert_eq!(all.get("f", key, NOW_MS).unwrap().is_some(), is_there(key));
            }
        }

        #[test]
        fn a_record_survives_its_bytes(revision in any::<u64>(), expires_ms in any::<u64>(), value in any::<Vec<u8>>()) {
            let record = Record { revision, expires_ms, value };
            let bytes = record.to_bytes();
            prop_assert_eq!(Record::from_bytes(&bytes), Some(record));
            for cut in 0..HEADER_BYTES {
                prop_assert_eq!(Record::from_bytes(&bytes[..cut]), None);
            }
        }

        #[test]
        fn bytes_of_another_version_are_no_record(mut bytes in proptest::collection::vec(any::<u8>(), HEADER_BYTES..40)) {
            bytes[0] = 2;
            prop_assert_eq!(Record::from_bytes(&bytes), None);
        }
    }
}
