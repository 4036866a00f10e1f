//! The handle that everyone else holds. Cheap to clone; when the last clone goes, what was committed is written
//! and the directory is released.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::batch::{Batch, Space};
use crate::config::Config;
use crate::disk::{Disk, LocalDisk};
use crate::engine::{Engine, ReadError};
use crate::health::{CommitError, Health, Poison};
use crate::lock::DirectoryLock;
use crate::metrics::{Counters, Metrics};
use crate::open::{self, OpenError, OpenReport};
use crate::queue::{Commit, OnDurable, Queue, Waited};
use crate::scan::Scan;
use crate::writer;

/// Stack of the writer thread in bytes. sled recurses little; callbacks should do less.
const WRITER_STACK_BYTES: usize = 512 * 1024;

/// How full the queue before the writer thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes that wait.
    pub bytes: usize,
    /// Where [`Store::commit`] begins to block.
    pub bytes_max: usize,
    /// Callers that are blocked now.
    pub blocked: usize,
}

/// An open data directory.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Closes the queue when the last [`Store`] goes.
struct Handle {
    shared: Arc<Shared>,
    report: OpenReport,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What handles, scans and the writer thread share. The lock comes last: it is released after sled has closed.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) queue: Queue,
    pub(crate) poison: Poison,
    pub(crate) counters: Counters,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    free_bytes: AtomicU64,
    free_bytes_min: u64,
    _lock: DirectoryLock,
}

impl Store {
    /// Opens the data directory `dir`, creating what is missing.
    pub fn open(dir: &Path, config: Config) -> Result<Self, OpenError> {
        Self::open_on(dir, config, Arc::new(LocalDisk))
    }

    /// [`Store::open`] with another [`Disk`], for tests of failing disks.
    pub fn open_on(dir: &Path, config: Config, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let opened = open::open(dir, &config, &*disk)?;
        let shared = Arc::new(Shared {
            engine: opened.engine,
            queue: Queue::new(config.queue_bytes_max),
            poison: Poison::default(),
            counters: Counters::default(),
            disk,
            dir: dir.to_path_buf(),
            free_bytes: AtomicU64::new(u64::MAX),
            free_bytes_min: config.free_bytes_min,
            _lock: opened.lock,
        });
        shared.look_at_free_space();
        let database = opened.database;
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .stack_size(WRITER_STACK_BYTES)
            .spawn({
                let shared = shared.clone();
                move || writer::run(&shared, &database)
            })
            .map_err(|source| OpenError::Io {
                attempted: "start the writer thread for",
                path: dir.to_path_buf(),
                source,
            })?;
        let handle = Handle { shared, report: opened.report, writer: Mutex::new(Some(writer)) };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// What opening had to do.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.handle.report
    }

    /// Commits `batch`: all of it or nothing, in the order of the calls. `on_durable` runs exactly once on the thread
    /// `store`: with `Ok` after the fsync that covers the batch. It must be short and must not block; what it
    /// commits itself is queued without waiting.
    ///
    /// Returns at once, unless [`Config::queue_bytes_max`] is reached: then it blocks until the writer thread has taken
    /// what waits. A thread that must not block asks [`Store::backlog`] first and stops reading its input.
    pub fn commit(&self, batch: Batch, on_durable: impl FnOnce(Result<(), CommitError>) + Send + 'static) {
        let shared = &self.handle.shared;
        if shared.queue.push(Commit { batch, on_durable: Box::new(on_durable) }) == Waited::Yes {
            shared.counters.waited();
        }
    }

    /// [`Store::commit`] that never blocks and may pass the bound, for callers that hold a lock which a callback may
    /// want. They call [`Store::wait_for_room`] before they take it, so that the bound is passed by one batch each.
    pub fn commit_now(&self, batch: Batch, on_durable: impl FnOnce(Result<(), CommitError>) + Send + 'static) {
        let on_durable: OnDurable = Box::new(on_durable);
        self.handle.shared.queue.push_now(Commit { batch, on_durable });
    }

    /// Blocks until a batch of `bytes` fits into the queue; never on the thread `store`.
    pub fn wait_for_room(&self, bytes: usize) {
        if self.handle.shared.queue.wait_for_room(bytes) == Waited::Yes {
            self.handle.shared.counters.waited();
        }
    }

    /// Commits and waits until it is durable. From a completion callback: [`CommitError::OnWriterThread`], and nothing
    /// is committed.
    pub fn commit_blocking(&self, batch: Batch) -> Result<(), CommitError> {
        if self.handle.shared.queue.on_writer_thread() {
            return Err(CommitError::OnWriterThread);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.commit(batch, move |result| {
            let _ = sender.send(result);
        });
        let lost = || Err(self.handle.shared.poison.set("the writer thread ended without an answer"));
        receiver.recv().unwrap_or_else(|_| lost())
    }

    /// The value of `key`, as applied: it may not be durable yet, and what is still queued is not seen.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.handle.shared.engine.get(space, key, &self.handle.shared.counters)
    }

    /// At most `limit` keys of `space` that begin with `prefix` and come after `after` (all of them if `None`),
    /// ascending, with their values. Sees what [`Store::get`] sees, key by key: it is no snapshot.
    #[must_use]
    pub fn scan(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Scan {
        Scan::new(self.handle.shared.clone(), space, prefix, after, limit)
    }

    /// Whether commits can succeed. Cheap; asks the file system only while the disk is full.
    #[must_use]
    pub fn health(&self) -> Health {
        let shared = &self.handle.shared;
        if let Some(cause) = shared.poison.cause() {
            return Health::Poisoned { cause };
        }
        if shared.is_full() {
            shared.look_at_free_space();
            if shared.is_full() {
                return Health::DiskFull { free_bytes: shared.free_bytes.load(Ordering::Relaxed) };
            }
        }
        Health::Good
    }

    /// How much waits for the writer thread.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let queue = &self.handle.shared.queue;
        Backlog { bytes: queue.bytes(), bytes_max: queue.bytes_max(), blocked: queue.blocked() }
    }

    /// Counters since the store was opened.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let shared = &self.handle.shared;
        shared.counters.snapshot(shared.engine.keys(), shared.queue.bytes() as u64)
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.handle.shared.dir).finish_non_exhaustive()
    }
}

impl Shared {
    /// Remembers how much space is left. An unreadable file system counts as not full: writes will say so.
    pub(crate) fn look_at_free_space(&self) {
        let free = self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        self.free_bytes.store(free, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.free_bytes.load(Ordering::Relaxed) < self.free_bytes_min
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
        if self.shared.queue.on_writer_thread() {
            // The last handle was dropped by a callback: the thread ends by itself when it has finished.
            return;
        }
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests;
