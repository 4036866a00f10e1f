//! The state as readers see it: what has been applied from the journal. The engine underneath is sled; behind a small
//! trait, so that a simulation can put a simpler one there.
//!
//! Invariant: an engine says up to which sequence number it has applied the journal, in the same step as what it
//! applies, so that applying again after a crash neither skips nor repeats anything.
//!
//! On a full disk the engine falls behind: what it cannot take is durable in the journal and stands in an overlay in
//! memory, which readers see first. An engine that failed to write is of no more use, not even for reading what it had
//! not written yet, so it is given nothing any more as soon as room gets scarce. If it failed all the same, what it may
//! have lost is put into the overlay from the journal, and it is opened again when there is room.

mod overlay;

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use thiserror::Error;

use crate::batch::{Space, tree_key};
use crate::journal::operations::OperationAt;
use crate::metrics::Counters;
pub(crate) use overlay::Overlay;

/// Said of reads while the engine cannot be opened.
const CLOSED: &str = "the database is closed until the disk has room";

/// Why a value could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// What is stored fails its checksum or is in a form that this program does not know. The store makes its state
    /// again from the journal when it is opened next.
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

/// Why an engine gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A checksum was wrong.
    Corrupt,
    /// What the engine said.
    Failed(String),
}

/// Why an engine did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EngineFailure {
    /// There is no room, which may pass. The engine may be of no more use until it is opened again.
    Full(String),
    /// Anything else.
    Failed(String),
}

impl std::fmt::Display for EngineFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (EngineFailure::Full(cause) | EngineFailure::Failed(cause)) = self;
        f.write_str(cause)
    }
}

/// Keeps keys and values. Readers on any thread; only the writer thread applies and only one thread syncs.
pub(crate) trait StateEngine: Send + Sync {
    /// The last batch of the journal that is applied.
    fn sequence(&self) -> u64;
    /// Keys in each space.
    fn keys(&self) -> [u64; Space::ALL.len()];
    /// About how many bytes of journal it takes to write all of it again.
    fn live_bytes(&self) -> u64;
    /// Applies operations in order, in one step with the sequence number that stands for them.
    fn apply(&self, operations: &[OperationAt<'_>], sequence: u64) -> Result<(), EngineFailure>;
    fn read(&self, tree_key: &[u8]) -> Result<Option<Vec<u8>>, Unreadable>;
    /// The first caller's key in a range that has no end.
    fn next_key(&self, start: Bound<&[u8]>) -> Result<Option<Vec<u8>>, String>;
    /// Makes everything applied durable.
    fn sync(&self) -> Result<(), EngineFailure>;
    /// Bytes on the disk.
    fn disk_bytes(&self) -> u64;
    /// Overwrites what is stored under a key, for tests of damage.
    #[cfg(test)]
    fn raw_put(&self, _tree_key: &[u8], _bytes: &[u8]) {}
    /// What is stored under a key, unchecked.
    #[cfg(test)]
    fn raw(&self, _tree_key: &[u8]) -> Option<Vec<u8>> {
        None
    }
    /// Records of every kind.
    #[cfg(test)]
    fn raw_len(&self) -> usize {
        0
    }
}

/// Whether the engine should be given something to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    Little,
}

/// Opens an engine again that was of no more use.
pub(crate) type Reopen = Box<dyn Fn() -> Result<Box<dyn StateEngine>, String> + Send + Sync>;

/// The engine, and in front of it what it could not take because the disk was full.
pub(crate) struct State {
    /// `None` while it cannot be opened again.
    engine: RwLock<Option<Box<dyn StateEngine>>>,
    overlay: RwLock<Overlay>,
    /// Whether the overlay is in use: looked at before its lock is.
    behind: AtomicBool,
    /// The engine failed for want of room and has to be opened again.
    failed: AtomicBool,
    reopen: Reopen,
    corrupt: AtomicBool,
}

impl State {
    pub(crate) fn new(engine: Box<dyn StateEngine>, reopen: Reopen) -> Self {
        Self {
            engine: RwLock::new(Some(engine)),
            overlay: RwLock::default(),
            behind: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            reopen,
            corrupt: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self, space: Space, key: &[u8], counters: &Counters) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(&tree_key(space, key)).map_err(|unreadable| match unreadable {
            Unreadable::Corrupt => {
                counters.read_corrupt();
                self.corrupt.store(true, Ordering::Relaxed);
                ReadError::Corrupt { space, key: key.to_vec() }
            }
            Unreadable::Failed(cause) => ReadError::Failed { space, key: key.to_vec(), cause },
        })
    }

    pub(crate) fn read(&self, tree_key: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        if self.is_behind()
            && let Some(value) = self.overlay.read().get(tree_key)
        {
            return Ok(value.map(<[u8]>::to_vec));
        }
        self.with(|engine| engine.read(tree_key)).unwrap_or_else(|| Err(Unreadable::Failed(CLOSED.to_owned())))
    }

    /// The first caller's key in a range that has no end.
    pub(crate) fn next_key(&self, start: Bound<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        let mut start = start.map(<[u8]>::to_vec);
        loop {
            let from = start.as_ref().map(Vec::as_slice);
            let below = self.with(|engine| engine.next_key(from)).ok_or(CLOSED)??;
            if !self.is_behind() {
                return Ok(below);
            }
            let overlay = self.overlay.read();
            let above = overlay.next_put(from);
            match below {
                // Deleted in the overlay: look behind it.
                Some(key) if overlay.get(&key) == Some(None) && above.is_none_or(|above| *key < *above) => {
                    start = Bound::Excluded(key);
                }
                Some(key) => return Ok(Some(above.filter(|above| **above < *key).map_or(key, <[u8]>::to_vec))),
                None => return Ok(above.map(<[u8]>::to_vec)),
            }
        }
    }

    /// Applies operations. Those that the engine has no room for are kept in front of it, and so are all if `room` says
    /// that there is little: an engine that is left alone on a full disk can be read.
    pub(crate) fn apply(&self, operations: &[OperationAt<'_>], sequence: u64, room: Room) -> Result<(), String> {
        if !self.is_behind() && room == Room::Little {
            tracing::warn!("the disk is almost full: changes of the state stay in the journal and in memory");
            self.behind.store(true, Ordering::Release);
        }
        if !self.is_behind() {
            let applied = self.with(|engine| engine.apply(operations, sequence));
            match applied.unwrap_or_else(|| Err(EngineFailure::Full(CLOSED.to_owned()))) {
                Ok(()) => return Ok(()),
                Err(EngineFailure::Failed(cause)) => return Err(cause),
                Err(EngineFailure::Full(cause)) => self.fall_behind(&cause),
            }
        }
        self.overlay.write().apply(operations, sequence);
        Ok(())
    }

    /// The last batch of the journal that the engine itself has applied.
    pub(crate) fn engine_sequence(&self) -> u64 {
        self.with(|engine| engine.sequence()).unwrap_or(0)
    }

    pub(crate) fn keys(&self) -> [u64; Space::ALL.len()] {
        self.with(|engine| engine.keys()).unwrap_or_default()
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.with(|engine| engine.live_bytes()).unwrap_or(0)
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.with(|engine| engine.disk_bytes()).unwrap_or(0)
    }

    /// Makes durable what the engine has applied, and says up to which batch. `None`: it could not, for want of room.
    pub(crate) fn sync(&self) -> Result<Option<u64>, String> {
        let sequence = self.engine_sequence();
        match self.with(|engine| engine.sync()) {
            Some(Ok(())) => Ok(Some(sequence)),
            Some(Err(EngineFailure::Failed(cause))) => Err(cause),
            Some(Err(EngineFailure::Full(cause))) => {
                self.fall_behind(&cause);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Whether the engine does not have everything, because the disk was full.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// Bytes that are kept in memory because the engine could not take them.
    pub(crate) fn bytes_behind(&self) -> usize {
        if self.is_behind() { self.overlay.read().bytes() } else { 0 }
    }

    /// Whether the engine failed for want of room and is of no more use.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Puts in front of the engine what it may have lost when it failed.
    pub(crate) fn cover(&self, overlay: Overlay) {
        *self.overlay.write() = overlay;
    }

    /// Opens the engine again if it failed, and puts everything in front of it that is in the journal after what it
    /// says it has applied, which `missing` reads. `Ok(false)`: it cannot be opened yet.
    pub(crate) fn reopen(
        &self,
        missing: &mut dyn FnMut(u64, &mut Overlay) -> Result<(), String>,
    ) -> Result<bool, String> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(true);
        }
        let mut slot = self.engine.write();
        // The database is locked as long as it is open.
        *slot = None;
        let engine = match (self.reopen)() {
            Ok(engine) => engine,
            Err(cause) => {
                tracing::warn!(cause, "the state cannot be opened again yet");
                return Ok(false);
            }
        };
        let mut overlay = Overlay::default();
        missing(engine.sequence(), &mut overlay)?;
        *self.overlay.write() = overlay;
        *slot = Some(engine);
        self.failed.store(false, Ordering::Release);
        Ok(true)
    }

    /// Gives the engine what it does not have. `Ok(false)`: there is still no room.
    pub(crate) fn catch_up(&self) -> Result<bool, String> {
        let overlay = self.overlay.read();
        let caught_up = self.with(|engine| {
            let sequence = overlay.sequence().max(engine.sequence());
            engine.apply(&overlay.operations(), sequence).and_then(|()| engine.sync())
        });
        drop(overlay);
        match caught_up {
            Some(Ok(())) => {
                self.behind.store(false, Ordering::Release);
                *self.overlay.write() = Overlay::default();
                Ok(true)
            }
            Some(Err(EngineFailure::Failed(cause))) => Err(cause),
            Some(Err(EngineFailure::Full(cause))) => {
                self.fall_behind(&cause);
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Whether a reader found something corrupt since this was asked last.
    pub(crate) fn take_corrupt(&self) -> bool {
        self.corrupt.load(Ordering::Relaxed) && self.corrupt.swap(false, Ordering::Relaxed)
    }

    /// Something of the engine, unless it is closed.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&dyn StateEngine) -> T) -> Option<T> {
        self.engine.read().as_deref().map(f)
    }

    fn fall_behind(&self, cause: &str) {
        tracing::error!(cause, "the disk is too full for the state: changes stay in the journal and in memory");
        self.failed.store(true, Ordering::Release);
        self.behind.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
