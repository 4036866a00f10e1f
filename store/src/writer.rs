//! The writer thread: takes all entries that wait, writes them where they were placed, makes them durable with one
//! fsync, runs the owners' callbacks, applies the state and runs the callbacks of that, all in order. Between groups it
//! cleans a little. It never waits for anything but the intake and the disk.
//!
//! Invariant: a callback gets `Ok` only after an fsync that came after the write, and nothing is applied to the state
//! before.

mod append;
mod complete;
pub(crate) mod full_disk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::cleaning::{Cleaning, Progress};
use crate::entry::Urgency;
use crate::front::{Pending, Records};
use crate::health::CommitError;
use crate::intake::Rest;
use crate::open::rebuild;
use crate::shared::Shared;
use append::{Head, WriteFailure};
use full_disk::FullDisk;

/// Entries that the list for what waits keeps room for when it is empty.
const TAKEN_MAX: usize = 4_096;

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) checkpoint: Checkpoint,
    cleaning: Cleaning,
    /// Exchanged with what waits in the intake.
    taken: Vec<Pending>,
    /// Taken and not written.
    pending: VecDeque<Pending>,
    /// Written and not known to be durable.
    unsynced: Vec<Pending>,
    head: Option<Head>,
    /// The head has bytes that no fsync covers.
    dirty: bool,
    /// A name in the directory is covered by no fsync.
    directory_dirty: bool,
    /// Sequence number of the last batch that was written, and of the last durable one.
    written: u64,
    durable: u64,
    /// When the last fsync for callers began.
    synced_at: Option<Duration>,
    /// When the first lazy entry of `unsynced` was written.
    lazy_since: Option<Duration>,
    /// Cleaning waits for an fsync.
    sync_wanted: bool,
    /// The last handle has gone.
    closing: bool,
    full: FullDisk,
    buffer: Vec<u8>,
    /// In place of records that are written.
    no_records: Arc<Records>,
}

/// Runs until the intake is closed and everything that was taken is done.
pub(crate) fn run(mut writer: Writer) {
    let started = Instant::now();
    writer.shared.intake.claim_writer();
    let mut rest = Rest::UntilWork;
    loop {
        let open = writer.shared.intake.rest(rest);
        writer.let_gather(started.elapsed());
        rest = writer.round(started.elapsed());
        if !open {
            writer.close();
            return;
        }
    }
}

impl Writer {
    /// A writer for a journal in which everything up to the last batch is durable.
    pub(crate) fn new(shared: Arc<Shared>, checkpoint: Checkpoint) -> Self {
        let durable = shared.intake.with(|front| {
            front.durable(front.last_sequence());
            front.last_sequence()
        });
        Self {
            shared,
            checkpoint,
            cleaning: Cleaning::default(),
            taken: Vec::new(),
            pending: VecDeque::new(),
            unsynced: Vec::new(),
            head: None,
            dirty: false,
            directory_dirty: false,
            written: durable,
            durable,
            synced_at: None,
            lazy_since: None,
            sync_wanted: false,
            closing: false,
            full: FullDisk::default(),
            buffer: Vec::new(),
            no_records: Arc::default(),
        }
    }

    /// Sleeps until another fsync may begin, so that what comes meanwhile shares it.
    fn let_gather(&self, now: Duration) {
        let gather = Duration::from_millis(self.shared.config.gather_ms);
        let pause = self.synced_at.map_or(Duration::ZERO, |synced| (synced + gather).saturating_sub(now));
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }

    /// One round at the time `now`, which only has to ascend: write, sync, complete, clean a little.
    pub(crate) fn round(&mut self, now: Duration) -> Rest {
        // While the disk is full what comes waits in the intake, where callers see it.
        if !self.is_holding() {
            self.take();
        }
        if let Err(error) = self.shared.poison.check() {
            self.take();
            self.fail_all(&error);
            return Rest::UntilWork;
        }
        let result = self.write_and_sync(now);
        if let Err(cause) = result {
            self.poison(&cause);
            return Rest::None;
        }
        if self.closing {
            return Rest::None;
        }
        match self.clean() {
            Ok(Progress::More) => Rest::None,
            Ok(Progress::Idle) => self.rest(now),
            Err(cause) => {
                self.poison(&cause);
                Rest::None
            }
        }
    }

    fn take(&mut self) {
        self.shared.intake.take(&mut self.taken);
        self.pending.extend(self.taken.drain(..));
        self.taken.shrink_to(TAKEN_MAX);
    }

    /// Sequence number of the last durable batch.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Asks for an fsync in the next round, whatever waits.
    pub(crate) fn want_sync(&mut self) {
        self.sync_wanted = true;
    }

    /// Whether there are state operations that were taken and not applied yet.
    pub(crate) fn has_unapplied(&self) -> bool {
        self.pending.iter().chain(&self.unsynced).any(Pending::has_operations)
    }

    fn write_and_sync(&mut self, now: Duration) -> Result<(), String> {
        if self.full.may_write(now) {
            match self.write() {
                Ok(()) => self.full.has_written(&self.shared),
                Err(WriteFailure::Full) => self.full.has_not_written(now, &self.shared),
                Err(WriteFailure::Failed(cause)) => return Err(cause),
            }
        }
        if self.is_sync_due(now) {
            self.synced_at = Some(now);
            self.sync()?;
            self.complete()?;
        }
        if self.shared.state.take_corrupt() {
            self.condemn_state();
        }
        self.checkpoint.poll(&self.shared)?;
        if self.shared.state.is_behind() {
            self.full.catch_up(now, self.durable, &self.shared, &mut self.checkpoint)?;
        } else if self.checkpoint.is_due(&self.shared.config) {
            self.checkpoint.begin(&self.shared)?;
        }
        self.full.keep_ballast(&self.shared);
        Ok(())
    }

    fn is_sync_due(&mut self, now: Duration) -> bool {
        if self.unsynced.is_empty() {
            self.sync_wanted = false;
            return false;
        }
        let since = *self.lazy_since.get_or_insert(now);
        let overdue = now.saturating_sub(since) >= self.lazy_sync();
        if overdue && self.dirty {
            self.shared.counters.lazy_sync();
        }
        let urgent = |pending: &Pending| pending.urgency == Urgency::Now;
        overdue || self.sync_wanted || !self.is_dirty() || self.unsynced.iter().any(urgent)
    }

    /// Whether nothing is taken from callers until there is room on the disk.
    fn is_holding(&self) -> bool {
        self.shared.is_stuck() || !self.closing && full_disk::is_too_far_behind(&self.shared)
    }

    fn has_work(&self) -> bool {
        let waits = !self.shared.intake.with(|front| front.waiting().is_empty());
        waits || !self.pending.is_empty() || !self.unsynced.is_empty()
    }

    fn is_dirty(&self) -> bool {
        self.dirty || self.directory_dirty
    }

    fn lazy_sync(&self) -> Duration {
        Duration::from_millis(self.shared.config.lazy_sync_ms)
    }

    fn rest(&self, now: Duration) -> Rest {
        let lazy = self.lazy_since.map(|since| since + self.lazy_sync());
        let next = [lazy, self.full.next_try()].into_iter().flatten().min();
        match next.map(|at| at.saturating_sub(now)) {
            Some(time) if self.is_holding() => Rest::Hold(time),
            Some(time) => Rest::For(time),
            None => Rest::UntilWork,
        }
    }

    /// Sees to it that the next start makes the state again from the journal.
    fn condemn_state(&self) {
        let dir = &self.shared.dir;
        match rebuild::condemn(dir, &*self.shared.disk) {
            Ok(()) => {
                tracing::error!(dir = %dir.display(), "a value of the state is corrupt: the next start makes it again from the journal")
            }
            Err(error) => {
                tracing::error!(dir = %dir.display(), %error, "a value of the state is corrupt, and this could not be noted for the next start")
            }
        }
    }

    fn clean(&mut self) -> Result<Progress, String> {
        let mut cleaning = std::mem::take(&mut self.cleaning);
        let progress = cleaning.step(self);
        self.cleaning = cleaning;
        progress
    }

    /// From now on nothing is written any more; everyone who waits is told.
    fn poison(&mut self, cause: &str) {
        tracing::error!(dir = %self.shared.dir.display(), cause, "the store could not write and refuses commits from now on");
        let error = self.shared.poison.set(cause);
        self.full = FullDisk::default();
        self.shared.set_stuck(false);
        self.fail_all(&error);
    }

    /// Writes what is left when the last handle has gone, and leaves the state durable, so that the next start is short.
    fn close(&mut self) {
        self.closing = true;
        let mut now = full_disk::RETRY_MAX;
        while self.has_work() && !self.full.has_tried_enough() {
            self.sync_wanted = true;
            now += full_disk::RETRY_MAX;
            self.round(now);
            if self.shared.is_stuck() {
                std::thread::sleep(full_disk::RETRY_MIN);
            }
        }
        if self.has_work() {
            self.take();
            self.fail_all(&CommitError::DiskFull);
        }
        self.checkpoint.join();
        if self.shared.poison.check().is_ok()
            && let Err(cause) = self.checkpoint.finish(&self.shared)
        {
            tracing::error!(dir = %self.shared.dir.display(), cause, "the state could not be made durable at the end");
        }
    }
}
