//! sled behind a wall: reads that check what they get, and the one place where batches become sled's.
//!
//! sled answers some damage with a panic. Nothing here lets one through: a panic becomes an error that says what
//! sled said. Invariant: the tree holds, for every caller key, one head and exactly the chunks that it names,
//! because both are always written in the same sled batch.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::batch::{Batch, Space, tree_key};
use crate::metrics::Counters;
use crate::record::{self, CHUNK_BYTES, Head};

/// The store's own record: keys per space and the next chunk generation.
const TALLY_KEY: &[u8] = &[0];

/// How often a value that is replaced while it is read is read again.
const READ_TRIES_MAX: usize = 100;

/// Why a value could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// What is stored fails its checksum or is in a form that this program does not know.
    #[error("the value of key {} in {space:?} is corrupt", key.escape_ascii())]
    Corrupt {
        /// The space that was read.
        space: Space,
        /// The key whose value is corrupt.
        key: Vec<u8>,
    },
    /// sled could not read it.
    #[error("reading key {} in {space:?} failed: {cause}", key.escape_ascii())]
    Failed {
        /// The space that was read.
        space: Space,
        /// The key that was read, or where a scan stood.
        key: Vec<u8>,
        /// What sled said.
        cause: String,
    },
}

/// An open sled database. Shared by readers; only the writer thread calls the methods that write.
#[derive(Debug)]
pub(crate) struct Engine {
    db: sled::Db,
    keys: [AtomicU64; Space::ALL.len()],
    next_generation: AtomicU64,
}

/// The content of [`TALLY_KEY`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    keys: [u64; Space::ALL.len()],
    next_generation: u64,
}

impl Engine {
    /// Opens or creates the database in `path`. A panic of sled comes back as `Err(Err(message))`.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenFailure> {
        let config = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(cache_bytes.max(256 * 1024))
            .flush_every_ms(None);
        let opened = without_panic(|| {
            let db = config.open()?;
            let tally = read_tally(&db)?;
            Ok::<_, sled::Error>((db, tally))
        });
        let (db, tally) = opened.map_err(OpenFailure::Panic)?.map_err(OpenFailure::Sled)?;
        Ok(Self { db, keys: tally.keys.map(AtomicU64::new), next_generation: AtomicU64::new(tally.next_generation) })
    }

    pub(crate) fn keys(&self) -> [u64; Space::ALL.len()] {
        std::array::from_fn(|index| self.keys[index].load(Ordering::Relaxed))
    }

    pub(crate) fn get(&self, space: Space, key: &[u8], counters: &Counters) -> Result<Option<Vec<u8>>, ReadError> {
        let tree_key = tree_key(space, key);
        let mut previous: Option<sled::IVec> = None;
        for _ in 0..READ_TRIES_MAX {
            let Some(head) = self.raw(&tree_key).map_err(|cause| failed(space, key, cause))? else {
                return Ok(None);
            };
            if let Some(value) = self.value(&tree_key, &head).map_err(|cause| failed(space, key, cause))? {
                return Ok(Some(value));
            }
            // A replaced value's chunks are gone before its new head is seen; an unchanged head means damage.
            if previous.as_ref() == Some(&head) {
                counters.read_corrupt();
                return Err(ReadError::Corrupt { space, key: key.to_vec() });
            }
            previous = Some(head);
        }
        Err(failed(space, key, "it was replaced again and again while being read".to_owned()))
    }

    /// The first key after `after` (excluded) or from `from` (included) on, as stored.
    pub(crate) fn next_key(&self, start: std::ops::Bound<&[u8]>) -> Result<Option<sled::IVec>, String> {
        without_panic(|| {
            let mut range = self.db.range::<&[u8], _>((start, std::ops::Bound::Unbounded));
            range.next().transpose().map(|entry| entry.map(|(key, _)| key))
        })
        .and_then(|found| found.map_err(|error| error.to_string()))
    }

    /// Applies all batches as one sled batch, in order. `Ok(false)`: there was nothing to write.
    pub(crate) fn apply<'a>(&self, batches: impl Iterator<Item = &'a Batch>) -> Result<bool, String> {
        let mut last: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for operation in batches.flat_map(Batch::operations) {
            last.insert(&operation.tree_key, operation.value.as_deref());
        }
        if last.is_empty() {
            return Ok(false);
        }
        let before = self.tally();
        let mut tally = before;
        let mut out = sled::Batch::default();
        for (tree_key, value) in last {
            let old = self.raw(tree_key)?;
            tally.count(tree_key, old.is_some(), value.is_some());
            remove_chunks(&mut out, tree_key, old.as_deref());
            match value {
                Some(value) if value.len() <= CHUNK_BYTES => {
                    out.insert(tree_key, record::encode_inline(tree_key, value));
                }
                Some(value) => {
                    let generation = tally.next_generation;
                    tally.next_generation += 1;
                    let keys = record::chunk_keys(tree_key[0], generation, value.len());
                    for (key, chunk) in keys.zip(value.chunks(CHUNK_BYTES)) {
                        out.insert(&key, chunk);
                    }
                    out.insert(tree_key, record::encode_chunked(tree_key, value, generation));
                }
                None => out.remove(tree_key),
            }
        }
        if tally != before {
            out.insert(TALLY_KEY, record::encode_inline(TALLY_KEY, &tally.encode()));
        }
        without_panic(|| self.db.apply_batch(out))?.map_err(|error| error.to_string())?;
        self.set_tally(tally);
        Ok(true)
    }

    /// Hands everything applied to the operating system. Not durable before an fsync of the `db` file.
    pub(crate) fn flush(&self) -> Result<(), String> {
        without_panic(|| self.db.flush())?.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Overwrites what is stored under a caller's key, for tests of damage.
    #[cfg(test)]
    pub(crate) fn raw_put(&self, space: Space, key: &[u8], bytes: &[u8]) {
        self.db.insert(tree_key(space, key), bytes).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn raw_len(&self) -> usize {
        self.db.len()
    }

    pub(crate) fn raw(&self, tree_key: &[u8]) -> Result<Option<sled::IVec>, String> {
        without_panic(|| self.db.get(tree_key))?.map_err(|error| error.to_string())
    }

    /// The value that `head` stands for, or `None` if it is not what was written.
    fn value(&self, tree_key: &[u8], head: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (generation, length, crc) = match record::decode(tree_key, head) {
            None => return Ok(None),
            Some(Head::Inline(value)) => return Ok(Some(value.to_vec())),
            Some(Head::Chunked { generation, length, crc }) => (generation, length, crc),
        };
        let mut value = Vec::with_capacity(length);
        for key in record::chunk_keys(tree_key[0], generation, length) {
            let Some(chunk) = self.raw(&key)? else { return Ok(None) };
            value.extend_from_slice(&chunk);
        }
        Ok((value.len() == length && record::check(tree_key, &value, crc)).then_some(value))
    }

    fn tally(&self) -> Tally {
        Tally { keys: self.keys(), next_generation: self.next_generation.load(Ordering::Relaxed) }
    }

    fn set_tally(&self, tally: Tally) {
        for (atomic, count) in self.keys.iter().zip(tally.keys) {
            atomic.store(count, Ordering::Relaxed);
        }
        self.next_generation.store(tally.next_generation, Ordering::Relaxed);
    }
}

/// Why sled did not open.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    /// It said so.
    Sled(sled::Error),
    /// It panicked with this message.
    Panic(String),
}

impl std::fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenFailure::Sled(error) => error.fmt(f),
            OpenFailure::Panic(message) => write!(f, "panic: {message}"),
        }
    }
}

impl Tally {
    fn count(&mut self, tree_key: &[u8], was: bool, is: bool) {
        let Some(space) = record::space_of(tree_key) else { return };
        let count = &mut self.keys[space.index()];
        *count = count.saturating_add(u64::from(is)).saturating_sub(u64::from(was));
    }

    fn encode(&self) -> Vec<u8> {
        let numbers = self.keys.iter().chain(std::iter::once(&self.next_generation));
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map(|b| b.try_into().map_or(0, u64::from_le_bytes));
        let mut tally = Tally::default();
        for count in &mut tally.keys {
            *count = numbers.next()?;
        }
        tally.next_generation = numbers.next()?;
        numbers.next().is_none().then_some(tally)
    }
}

/// Reads the tally, or counts everything if it is missing or damaged.
fn read_tally(db: &sled::Db) -> Result<Tally, sled::Error> {
    if let Some(bytes) = db.get(TALLY_KEY)?
        && let Some(Head::Inline(value)) = record::decode(TALLY_KEY, &bytes)
        && let Some(tally) = Tally::decode(value)
    {
        return Ok(tally);
    }
    let mut tally = Tally::default();
    for entry in db.iter().keys() {
        let tree_key = entry?;
        tally.count(&tree_key, false, true);
        if let Some(generation) = record::generation_of(&tree_key) {
            tally.next_generation = tally.next_generation.max(generation.saturating_add(1));
        }
    }
    Ok(tally)
}

fn remove_chunks(out: &mut sled::Batch, tree_key: &[u8], old: Option<&[u8]>) {
    if let Some(Head::Chunked { generation, length, .. }) = old.and_then(|old| record::decode(tree_key, old)) {
        for key in record::chunk_keys(tree_key[0], generation, length) {
            out.remove(&key);
        }
    }
}

fn failed(space: Space, key: &[u8], cause: String) -> ReadError {
    ReadError::Failed { space, key: key.to_vec(), cause }
}

/// Runs `f`; a panic inside becomes its message.
pub(crate) fn without_panic<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    // What a panic leaves half-done inside sled is sled's: readers see checked values only, and a writer that
    // panicked poisons the store.
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
    })
}
