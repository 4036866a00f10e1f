//! Key-values of functions in the store.
//!
//! Key: `<function>` 0x00 `<key>`; a function's name has no 0x00, so buckets never meet. Value: version byte 1, revision
//! (8 bytes, big endian), expiry in milliseconds since 1970 (8 bytes, big endian; 0 is never), then the bytes.

use selvedge_functions::{HostError, KvEntry};
use selvedge_store::{Batch, PutError, Space, Store};

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

/// The entry of a key, as applied.
///
/// # Errors
/// The store cannot be read, or what is there cannot be understood.
pub fn get(store: &Store, function: &str, key: &str, now_ms: u64) -> Result<Option<KvEntry>, HostError> {
    let found = store.get(Space::KeyValue, &store_key(function, key)).map_err(unavailable)?;
    let Some(bytes) = found else { return Ok(None) };
    let record = Record::from_bytes(&bytes).ok_or_else(|| unavailable("a stored value cannot be understood"))?;
    Ok((!record.is_expired(now_ms)).then_some(KvEntry { value: record.value, revision: record.revision }))
}

/// Keys that begin with `prefix` and come after `after`, at most `limit`, ascending.
///
/// # Errors
/// The store cannot be read.
pub fn list(
    store: &Store,
    function: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    now_ms: u64,
) -> Result<Vec<String>, HostError> {
    let bucket = store_key(function, "");
    let mut last = after.map(|after| store_key(function, after));
    let mut keys = Vec::new();
    loop {
        let mut seen = 0;
        for entry in store.scan(Space::KeyValue, &store_key(function, prefix), last.as_deref(), SCAN_KEYS) {
            let (key, bytes) = entry.map_err(unavailable)?;
            seen += 1;
            let alive = Record::from_bytes(&bytes).is_some_and(|record| !record.is_expired(now_ms));
            let name = key.get(bucket.len()..).and_then(|name| std::str::from_utf8(name).ok());
            if let (true, Some(name)) = (alive, name) {
                keys.push(name.to_owned());
            }
            if keys.len() >= limit {
                return Ok(keys);
            }
            last = Some(key);
        }
        if seen < SCAN_KEYS {
            return Ok(keys);
        }
    }
}

/// Adds a write to `batch`.
///
/// # Errors
/// Key or value is too long, or the batch is full.
pub fn put(batch: &mut Batch, function: &str, key: &str, record: &Record) -> Result<(), PutError> {
    batch.put(Space::KeyValue, &store_key(function, key), &record.to_bytes())
}

/// Adds a removal to `batch`.
///
/// # Errors
/// The key is too long, or the batch is full.
pub fn delete(batch: &mut Batch, function: &str, key: &str) -> Result<(), PutError> {
    batch.delete(Space::KeyValue, &store_key(function, key))
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

    fn open() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), selvedge_store::Config::default()).unwrap();
        (directory, store)
    }

    fn write(store: &Store, function: &str, key: &str, expires_ms: u64) {
        let mut batch = Batch::new();
        put(&mut batch, function, key, &Record { revision: 7, expires_ms, value: key.as_bytes().to_vec() }).unwrap();
        store.commit_blocking(batch).unwrap();
    }

    #[test]
    fn a_bucket_belongs_to_one_function() {
        let (_directory, store) = open();
        write(&store, "a", "k", 0);
        write(&store, "ab", "k", 0);
        assert_eq!(get(&store, "a", "k", 0).unwrap(), Some(KvEntry { value: b"k".to_vec(), revision: 7 }));
        assert_eq!(get(&store, "b", "k", 0).unwrap(), None);
        assert_eq!(list(&store, "a", "", None, 10, 0).unwrap(), ["k"]);
    }

    #[test]
    fn lists_are_ordered_limited_and_without_expired_keys() {
        let (_directory, store) = open();
        for number in 0..600 {
            write(&store, "f", &format!("x{number:03}"), if number % 2 == 0 { 50 } else { 0 });
        }
        write(&store, "f", "y", 0);
        assert_eq!(list(&store, "f", "x", Some("x001"), 2, 50).unwrap(), ["x003", "x005"]);
        assert_eq!(list(&store, "f", "x", None, 2, 49).unwrap(), ["x000", "x001"]);
        assert_eq!(list(&store, "f", "", None, 1000, 50).unwrap().len(), 301);
        assert_eq!(get(&store, "f", "x000", 50).unwrap(), None);
    }

    #[test]
    fn a_sweep_removes_what_has_expired_and_nothing_else() {
        let (_directory, store) = open();
        for number in 0..300 {
            write(&store, "f", &format!("{number:03}"), if number % 3 == 0 { 50 } else { 0 });
        }
        let (mut after, mut removed) = (None, 0);
        loop {
            let (keys, next) = expired(&store, after.as_deref(), 50);
            let batch = removals(&store, &keys, 50);
            removed += batch.len();
            store.commit_blocking(batch).unwrap();
            if next.is_none() {
                break;
            }
            after = next;
        }
        assert_eq!((removed, list(&store, "f", "", None, 1000, 0).unwrap().len()), (100, 200));
    }

    #[test]
    fn a_key_that_was_set_again_is_not_removed() {
        let (_directory, store) = open();
        write(&store, "f", "a", 50);
        write(&store, "f", "b", 50);
        let (keys, _) = expired(&store, None, 50);
        assert_eq!(keys.len(), 2);
        write(&store, "f", "a", 51);
        store.commit_blocking(removals(&store, &keys, 50)).unwrap();
        assert_eq!(list(&store, "f", "", None, 10, 0).unwrap(), ["a"]);
    }

    proptest! {
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
