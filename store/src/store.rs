//! The handle that everyone else holds. Cheap to clone; when the last clone goes, what was committed is written
//! and the directory is released.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::batch::{Batch, Space};
use crate::cleaning;
use crate::config::Config;
use crate::disk::{Disk, LocalDisk};
use crate::entry::{Commit, Entry, OnDurable, Replayed, Urgency};
use crate::front::Front;
use crate::health::{CommitError, Health};
use crate::intake::Waited;
use crate::load;
use crate::metrics::Metrics;
use crate::open::{self, OpenError, OpenReport, Opened};
use crate::scan::Scan;
use crate::shared::Shared;
use crate::state::ReadError;
use crate::usage::Usage;
use crate::writer;

/// Stack of the writer thread in bytes. sled recurses little; callbacks should do less.
const WRITER_STACK_BYTES: usize = 512 * 1024;
/// Stack of the thread that loads messages, in bytes.
const READER_STACK_BYTES: usize = 256 * 1024;
/// Clients come before the disk: the broker answers all of them, and a commit takes a while in any case. Functions come after it.
const NICE: i32 = 4;

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

/// Closes the intake when the last [`Store`] goes.
struct Handle {
    shared: Arc<Shared>,
    report: OpenReport,
    requests: Mutex<Option<Sender<load::Request>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the data directory `dir`, creating what is missing. Records of an owner stay untouched in the journal.
    pub fn open(dir: &Path, config: Config) -> Result<Self, OpenError> {
        Self::open_on(dir, config, Arc::new(LocalDisk))
    }

    /// [`Store::open`] with another [`Disk`], for tests of failing disks.
    pub fn open_on(dir: &Path, config: Config, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        Self::open_with(dir, config, disk, &mut |_| {})
    }

    /// Opens the data directory `dir` for the owner of records: `replay` is called for every batch that has some, in
    /// the order in which they were appended. Old ones may come that an image has superseded, and only the last of them.
    pub fn open_with(
        dir: &Path,
        config: Config,
        disk: Arc<dyn Disk>,
        replay: &mut dyn FnMut(Replayed<'_>),
    ) -> Result<Self, OpenError> {
        let Opened { shared, writer, report } = open::open(dir, config, disk, replay)?;
        let (sender, requests) = mpsc::channel();
        // The handle comes first: if a thread cannot be started, dropping it ends the other.
        let handle = Handle {
            shared: shared.clone(),
            report,
            requests: Mutex::new(Some(sender)),
            threads: Mutex::new(Vec::new()),
        };
        let reading = shared.clone();
        handle.start("store-read", READER_STACK_BYTES, move || load::run(&reading, &requests))?;
        handle.start("store", WRITER_STACK_BYTES, move || writer::run(writer))?;
        Ok(Self { handle: Arc::new(handle) })
    }

    /// What opening had to do.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.handle.report
    }

    /// Takes an entry and gives its sequence number, rising by one from entry to entry; for one that writes nothing,
    /// that of the last before it. Never blocks on the disk: callers ask [`Store::backlog`] before. `wall_ms` is the
    /// wall clock in ms since 1970, kept with it.
    ///
    /// `on_durable` runs once on the thread `store`, right after the fsync that covers the entry and before its state
    /// is applied; those of its commits run after that. An entry that breaks a rule of [`Entry`] or has more than 1 GiB
    /// gets [`CommitError::Invalid`], and nothing of it is taken.
    pub fn append(
        &self,
        entry: Entry,
        wall_ms: u64,
        on_durable: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) -> u64 {
        let on_durable: OnDurable = Box::new(on_durable);
        self.handle.shared.intake.push(None, |front| front.append(entry, wall_ms, on_durable)).0
    }

    /// Loads messages by number and gives them to `answer` on the thread `store-read`, in the order of the numbers.
    /// `None`: there is none, nobody holds it any more, or it is damaged. Sees what was appended, also if it is not
    /// written yet.
    pub fn load(&self, numbers: Vec<u64>, answer: impl FnOnce(Vec<Option<Vec<u8>>>) + Send + 'static) {
        let request = load::Request { numbers, answer: Box::new(answer) };
        if let Some(sender) = &*self.handle.requests.lock() {
            // The thread ends only when the last sender is gone.
            let _ = sender.send(request);
        }
    }

    /// [`Store::load`] of one message on the calling thread.
    ///
    /// # Errors
    /// The disk cannot be read, and could not a few seconds before: nothing is known of the message.
    pub fn load_blocking(&self, number: u64) -> io::Result<Option<Vec<u8>>> {
        load::blocking(&self.handle.shared, number)
    }

    /// The number that the next new message must have at least.
    #[must_use]
    pub fn next_message(&self) -> u64 {
        self.handle.shared.intake.with(|front| front.next_message)
    }

    /// Wall clock of the last entry that was replayed or appended, in ms since 1970; 0 if there is none.
    #[must_use]
    pub fn last_wall_ms(&self) -> u64 {
        self.handle.shared.intake.with(|front| front.last_wall_ms)
    }

    /// The owner has taken over what was replayed: these messages are held, so many times. From now on what nobody
    /// holds is dead, and segments with the owner's records may be cleaned. Without this call nothing of the owner's
    /// is ever removed. Counts only for messages that were there when the store was opened: changes of their holders
    /// that were appended before this call make no difference.
    pub fn adopt(&self, holds: &mut dyn Iterator<Item = (u64, u32)>) {
        self.handle.shared.intake.push(None, |front| front.adopt(holds));
    }

    /// `wanted` is called (on the thread `store`, it must not block) when the owner should write an image of all its
    /// state, because segments wait to be removed; once until [`Store::image_complete`], and never before
    /// [`Store::adopt`]. A handle of the store in it keeps the store open.
    pub fn on_image_wanted(&self, wanted: Box<dyn Fn() + Send + Sync>) {
        *self.handle.shared.image_wanted.lock() = Some(Arc::from(wanted));
        self.handle.shared.intake.push(None, |_| ());
    }

    /// The owner has appended a whole image of its state, from the entry `began` (its sequence number) on: its records
    /// before that are superseded. Takes effect when all of it is durable.
    pub fn image_complete(&self, began: u64) {
        self.handle.shared.intake.push(None, |front| front.image_complete(began));
    }

    /// Has the journal cleaned of everything that is dead in it now, also if that is little. Goes on in the background;
    /// the owner is asked for an image if one is needed. [`Store::is_compacting`] tells when it is done.
    pub fn compact(&self) {
        self.handle.shared.intake.push(None, Front::compact);
    }

    /// Whether what [`Store::compact`] asked for is not done yet.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.oldest_segment() <= self.compacting_until()
    }

    /// [`Store::compact`] of what stands in front of the first records of an owner.
    pub(crate) fn compact_state(&self) {
        self.handle.shared.intake.push(None, Front::compact_state);
    }

    pub(crate) fn oldest_segment(&self) -> u64 {
        self.handle.shared.intake.with(|front| front.segments.oldest().map_or(u64::MAX, |oldest| oldest.number))
    }

    pub(crate) fn compacting_until(&self) -> u64 {
        self.handle.shared.intake.with(|front| front.clean_until)
    }

    pub(crate) fn is_cleaning_stopped(&self) -> bool {
        self.handle.shared.intake.with(|front| front.cleaning_stopped)
    }

    /// How much of the disk is used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let shared = &self.handle.shared;
        let state_live = shared.state.live_bytes();
        let usage = shared.intake.with(|front| Usage {
            journal_bytes: front.segments.bytes(),
            journal_live_bytes: cleaning::live_bytes(front, state_live),
            segments: front.segments.len() as u64,
            messages_live: front.index.live() as u64,
            ..Usage::default()
        });
        Usage {
            state_bytes: shared.state_bytes(),
            free_bytes: shared.free_bytes(),
            disk_bytes_max: shared.config.disk_bytes_max,
            ..usage
        }
    }

    /// Whether so many more bytes are within [`Config::disk_bytes_max`] and fit on the file system. Cheap enough to ask
    /// for each message.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let shared = &self.handle.shared;
        let usage = Usage {
            journal_bytes: shared.intake.with(|front| front.segments.bytes()),
            state_bytes: shared.state_bytes(),
            free_bytes: shared.free_bytes(),
            disk_bytes_max: shared.config.disk_bytes_max,
            ..Usage::default()
        };
        usage.has_room(bytes)
    }

    /// Commits `batch`: all of it or nothing, in the order of the calls. `on_durable` runs exactly once on the thread
    /// `store`: with `Ok` after the fsync that covers the batch, when it can be read. It must be short and must not
    /// block; what it commits itself is queued without waiting.
    ///
    /// Returns at once, unless [`Config::queue_bytes_max`] is reached: then it blocks until the writer thread has taken
    /// what waits. A thread that must not block asks [`Store::backlog`] first and stops reading its input.
    pub fn commit(&self, batch: Batch, on_durable: impl FnOnce(Result<(), CommitError>) + Send + 'static) {
        self.append_batch(Some(batch.bytes()), batch, Box::new(on_durable));
    }

    /// [`Store::commit`] that never blocks and may pass the bound, for callers that hold a lock which a callback may
    /// want. They call [`Store::wait_for_room`] before they take it, so that the bound is passed by one batch each.
    pub fn commit_now(&self, batch: Batch, on_durable: impl FnOnce(Result<(), CommitError>) + Send + 'static) {
        self.append_batch(None, batch, Box::new(on_durable));
    }

    /// Blocks until a batch of `bytes` fits into the queue; never on the thread `store`.
    pub fn wait_for_room(&self, bytes: usize) {
        if self.handle.shared.intake.wait_for_room(bytes) == Waited::Yes {
            self.handle.shared.counters.waited();
        }
    }

    /// Commits and waits until it is durable. From a completion callback: [`CommitError::OnWriterThread`], and nothing
    /// is committed.
    pub fn commit_blocking(&self, batch: Batch) -> Result<(), CommitError> {
        if self.handle.shared.intake.on_writer_thread() {
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
        self.handle.shared.state.get(space, key, &self.handle.shared.counters)
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
                return Health::DiskFull { free_bytes: shared.free_bytes() };
            }
        }
        Health::Good
    }

    /// How much waits for the writer thread.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let intake = &self.handle.shared.intake;
        let bytes = intake.with(|front| front.waiting_bytes());
        Backlog { bytes, bytes_max: intake.bytes_max(), blocked: intake.blocked() }
    }

    /// Counters since the store was opened.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let shared = &self.handle.shared;
        let usage = self.usage();
        let report = &self.handle.report;
        Metrics {
            keys: shared.state.keys(),
            queue_bytes: self.backlog().bytes as u64,
            segments: usage.segments,
            journal_bytes: usage.journal_bytes,
            journal_live_bytes: usage.journal_live_bytes,
            messages_live: usage.messages_live,
            recovery_bytes_dropped: report.journal.dropped.as_ref().map_or(0, |dropped| dropped.bytes),
            state_rebuilds: u64::from(report.state_rebuilt),
            ..shared.counters.snapshot()
        }
    }

    fn append_batch(&self, wait_for: Option<usize>, batch: Batch, on_durable: OnDurable) {
        let shared = &self.handle.shared;
        let entry = Entry { state: vec![Commit { batch, on_durable }], urgency: Urgency::Now, ..Entry::default() };
        let append = |front: &mut Front| front.append(entry, front.last_wall_ms, Box::new(|_| {}));
        if shared.intake.push(wait_for, append).1 == Waited::Yes {
            shared.counters.waited();
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.handle.shared.dir).finish_non_exhaustive()
    }
}

impl Handle {
    fn start(&self, name: &str, stack_bytes: usize, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let builder = thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes);
        let run = move || {
            selvedge_priority::be_nice(NICE);
            run();
        };
        let started = builder.spawn(run).map_err(open::io_error("start a thread for", &self.shared.dir))?;
        self.threads.lock().push(started);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.intake.close();
        self.requests.lock().take();
        let here = thread::current().id();
        for thread in self.threads.lock().drain(..) {
            // The last handle may be dropped by a callback: the thread that runs it ends by itself when it has finished.
            if thread.thread().id() != here {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
