//! sled behind a wall: reads that check what they get, and the one place where operations become sled's.
//!
//! sled answers some damage with a panic. Nothing here lets one through: a panic becomes an error that says what
//! sled said. Invariant: the tree holds, for every caller key, one head and exactly the chunks that it names, and
//! one tally of them, because all are always written in the same sled batch.

mod tally;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::batch::Space;
use crate::disk::{Disk, is_full};
use crate::journal::operations::OperationAt;
use crate::record::{self, CHUNK_BYTES, Head};
use crate::state::{EngineFailure, StateEngine, Unreadable};
pub(crate) use tally::Standing;
use tally::{TALLY_KEY, Tally};

/// How often a value that is replaced while it is read is read again.
const READ_TRIES_MAX: usize = 100;

/// How often, and how long apart, a database that is locked is tried again.
const LOCK_TRIES_MAX: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// An open sled database.
pub(crate) struct Engine {
    db: sled::Db,
    /// sled's file, for fsync.
    database: File,
    disk: Arc<dyn Disk>,
    tally: Mutex<Tally>,
}

impl Engine {
    /// Opens or creates the database in `path`, and says what its tally is worth.
    pub(crate) fn open(path: &Path, cache_bytes: u64, disk: Arc<dyn Disk>) -> Result<(Self, Standing), OpenFailure> {
        let config = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(cache_bytes.max(256 * 1024))
            .flush_every_ms(None);
        let open = || {
            let db = config.open()?;
            let (tally, standing) = tally::read(&db)?;
            Ok::<_, sled::Error>((db, tally, standing))
        };
        let mut tries = 0;
        let (db, tally, standing) = loop {
            match without_panic(open).map_err(OpenFailure::Panic)? {
                Ok(opened) => break opened,
                // sled's own threads may keep the file for a moment after a database was dropped.
                Err(sled::Error::Io(error)) if is_locked(&error) && tries < LOCK_TRIES_MAX => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(OpenFailure::Sled(error)),
            }
        };
        let database = File::open(path.join("db")).map_err(|error| OpenFailure::Sled(sled::Error::Io(error)))?;
        Ok((Self { db, database, disk, tally: Mutex::new(tally) }, standing))
    }

    /// Makes a database that was just created durable; the directory it is in is the caller's concern.
    pub(crate) fn make_creation_durable(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_file(&self.database)?;
        self.disk.sync_file(&File::open(path.join("conf"))?)?;
        self.disk.sync_directory(path)
    }

    /// Reads everything and compares it with the tally. `Err`: what is wrong.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let mut counted = Tally::default();
        let mut start = Bound::Unbounded;
        loop {
            let found = self.next(start.as_ref().map(|key: &sled::IVec| &key[..]))?;
            let Some((tree_key, head)) = found else { break };
            if record::space_of(&tree_key).is_some() {
                if self.value(&tree_key, &head).map_err(|failure| failure.to_string())?.is_none() {
                    return Err(format!("the value of key {} is corrupt", tree_key.escape_ascii()));
                }
                counted.put(&tree_key, &head);
            }
            start = Bound::Excluded(tree_key);
        }
        let tally = self.tally.lock();
        if counted.same_content(&tally) { Ok(()) } else { Err("it does not hold what it should".to_owned()) }
    }

    fn next(&self, start: Bound<&[u8]>) -> Result<Option<(sled::IVec, sled::IVec)>, String> {
        without_panic(|| self.db.range::<&[u8], _>((start, Bound::Unbounded)).next().transpose())
            .and_then(|found| found.map_err(|error| error.to_string()))
    }

    fn raw_head(&self, tree_key: &[u8]) -> Result<Option<sled::IVec>, EngineFailure> {
        without_panic(|| self.db.get(tree_key)).map_err(EngineFailure::Failed)?.map_err(failure)
    }

    /// The value that `head` stands for, or `None` if it is not what was written.
    fn value(&self, tree_key: &[u8], head: &[u8]) -> Result<Option<Vec<u8>>, EngineFailure> {
        let (generation, length, crc) = match record::decode(tree_key, head) {
            None => return Ok(None),
            Some(Head::Inline(value)) => return Ok(Some(value.to_vec())),
            Some(Head::Chunked { generation, length, crc }) => (generation, length, crc),
        };
        let mut value = Vec::with_capacity(length);
        for key in record::chunk_keys(tree_key[0], generation, length) {
            let Some(chunk) = self.raw_head(&key)? else { return Ok(None) };
            value.extend_from_slice(&chunk);
        }
        Ok((value.len() == length && record::check(tree_key, &value, crc)).then_some(value))
    }

    fn write(&self, mut out: sled::Batch, tally: Tally) -> Result<(), EngineFailure> {
        out.insert(TALLY_KEY, record::encode_inline(TALLY_KEY, &tally.encode()));
        without_panic(|| self.db.apply_batch(out)).map_err(EngineFailure::Failed)?.map_err(failure)?;
        *self.tally.lock() = tally;
        Ok(())
    }
}

impl StateEngine for Engine {
    fn sequence(&self) -> u64 {
        self.tally.lock().sequence
    }

    fn keys(&self) -> [u64; Space::ALL.len()] {
        self.tally.lock().keys
    }

    fn live_bytes(&self) -> u64 {
        self.tally.lock().live_bytes
    }

    fn apply(&self, operations: &[OperationAt<'_>], sequence: u64) -> Result<(), EngineFailure> {
        let mut last: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for operation in operations {
            last.insert(operation.tree_key, operation.value);
        }
        let mut tally = self.tally.lock().clone();
        tally.sequence = sequence;
        let mut out = sled::Batch::default();
        for (tree_key, value) in last {
            let old = self.raw_head(tree_key)?;
            if let Some(old) = &old {
                tally.remove(tree_key, old);
                remove_chunks(&mut out, tree_key, old);
            }
            let head = match value {
                None => {
                    out.remove(tree_key);
                    continue;
                }
                Some(value) if value.len() <= CHUNK_BYTES => record::encode_inline(tree_key, value),
                Some(value) => {
                    let generation = tally.next_generation;
                    tally.next_generation += 1;
                    let keys = record::chunk_keys(tree_key[0], generation, value.len());
                    for (key, chunk) in keys.zip(value.chunks(CHUNK_BYTES)) {
                        out.insert(&key, chunk);
                    }
                    record::encode_chunked(tree_key, value, generation)
                }
            };
            tally.put(tree_key, &head);
            out.insert(tree_key, head);
        }
        self.write(out, tally)
    }

    fn read(&self, tree_key: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut previous: Option<sled::IVec> = None;
        for _ in 0..READ_TRIES_MAX {
            let Some(head) = self.raw_head(tree_key).map_err(unreadable)? else { return Ok(None) };
            if let Some(value) = self.value(tree_key, &head).map_err(unreadable)? {
                return Ok(Some(value));
            }
            // A replaced value's chunks are gone before its new head is seen; an unchanged head means damage.
            if previous.as_ref() == Some(&head) {
                return Err(Unreadable::Corrupt);
            }
            previous = Some(head);
        }
        Err(Unreadable::Failed("it was replaced again and again while being read".to_owned()))
    }

    fn next_key(&self, start: Bound<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        Ok(self.next(start)?.map(|(key, _)| key.to_vec()))
    }

    fn sync(&self) -> Result<(), EngineFailure> {
        without_panic(|| self.db.flush()).map_err(EngineFailure::Failed)?.map_err(failure)?;
        // sled's flush ends at sync_file_range, which leaves the data in the drive's cache and the file's length unwritten.
        let synced = self.disk.sync_file(&self.database);
        synced.map_err(|error| EngineFailure::Failed(format!("fsync of the database file: {error}")))
    }

    fn disk_bytes(&self) -> u64 {
        without_panic(|| self.db.size_on_disk()).ok().and_then(Result::ok).unwrap_or(0)
    }

    #[cfg(test)]
    fn raw_put(&self, tree_key: &[u8], bytes: &[u8]) {
        self.db.insert(tree_key, bytes).unwrap();
    }

    #[cfg(test)]
    fn raw(&self, tree_key: &[u8]) -> Option<Vec<u8>> {
        self.db.get(tree_key).unwrap().map(|bytes| bytes.to_vec())
    }

    #[cfg(test)]
    fn raw_len(&self) -> usize {
        self.db.len()
    }
}

/// Why sled did not open.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    /// It said so.
    Sled(sled::Error),
    /// It panicked with this message.
    Panic(String),
    /// It opened, but it is not what it should be.
    Unusable(String),
}

impl std::fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenFailure::Sled(error) => error.fmt(f),
            OpenFailure::Panic(message) => write!(f, "panic: {message}"),
            OpenFailure::Unusable(what) => f.write_str(what),
        }
    }
}

fn remove_chunks(out: &mut sled::Batch, tree_key: &[u8], old: &[u8]) {
    if let Some(Head::Chunked { generation, length, .. }) = record::decode(tree_key, old) {
        for key in record::chunk_keys(tree_key[0], generation, length) {
            out.remove(&key);
        }
    }
}

/// Whether sled says that someone has the database open. Only its words tell.
pub(crate) fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn unreadable(failure: EngineFailure) -> Unreadable {
    Unreadable::Failed(failure.to_string())
}

fn failure(error: sled::Error) -> EngineFailure {
    match &error {
        sled::Error::Io(cause) if is_full(cause) => EngineFailure::Full(error.to_string()),
        _ => EngineFailure::Failed(error.to_string()),
    }
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
