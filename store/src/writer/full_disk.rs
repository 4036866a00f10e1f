//! What the writer thread does while the disk is full: it keeps what it has taken, leaves the rest where callers see it,
//! tries again and again, and brings the state up to date when there is room. The ballast is given up first and put
//! back last.

use std::time::Duration;

use crate::ballast;
use crate::checkpoint::Checkpoint;
use crate::journal::operations::OperationAt;
use crate::recovery;
use crate::shared::Shared;
use crate::state::{Overlay, Room};

/// First and longest pause between two tries to write.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(50);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(1);
/// How often entries are tried to be written after the last handle has gone.
const TRIES_WHEN_CLOSED: u32 = 20;
/// So many bytes of changes that the state could not take are kept in memory before no more is taken from callers.
const BEHIND_BYTES_MAX: usize = 16 * 1024 * 1024;
/// With less room than this, or than what counts as a full disk if that is less, the state is given nothing.
const STATE_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// So much more must be free before it is given something again.
const CATCH_UP_BYTES_MIN: u64 = 1024 * 1024;

#[derive(Default)]
pub(super) struct FullDisk {
    writing: Option<Retry>,
    catching_up: Option<Retry>,
    ballast_released: bool,
}

struct Retry {
    at: Duration,
    delay: Duration,
    tries: u32,
}

impl Retry {
    fn after(previous: Option<&Retry>, now: Duration) -> Self {
        let delay = previous.map_or(RETRY_MIN, |previous| (previous.delay * 2).min(RETRY_MAX));
        Self { at: now + delay, delay, tries: previous.map_or(1, |previous| previous.tries + 1) }
    }
}

/// Whether as much is kept in memory for the state as may be.
pub(super) fn is_too_far_behind(shared: &Shared) -> bool {
    shared.state.bytes_behind() > BEHIND_BYTES_MAX
}

/// Whether the state should be given something to write.
pub(super) fn room(shared: &Shared) -> Room {
    if shared.free_bytes() < shared.config.free_bytes_min.min(STATE_BYTES_MIN) { Room::Little } else { Room::Enough }
}

/// Whether a state that is behind, because there is little room, can make durable what it has.
pub(crate) fn may_sync_state(shared: &Shared) -> bool {
    !shared.state.has_failed() && shared.free_bytes() >= CATCH_UP_BYTES_MIN
}

impl FullDisk {
    pub(super) fn may_write(&self, now: Duration) -> bool {
        self.writing.as_ref().is_none_or(|retry| retry.at <= now)
    }

    pub(super) fn next_try(&self) -> Option<Duration> {
        [&self.writing, &self.catching_up].into_iter().flatten().map(|retry| retry.at).min()
    }

    /// Whether it is time to give up what waits, because nobody is there any more.
    pub(super) fn has_tried_enough(&self) -> bool {
        self.writing.as_ref().is_some_and(|retry| retry.tries > TRIES_WHEN_CLOSED)
    }

    pub(super) fn has_written(&mut self, shared: &Shared) {
        if self.writing.take().is_some() {
            tracing::info!(dir = %shared.dir.display(), "what waited for room on the disk is written");
            shared.set_stuck(false);
        }
    }

    pub(super) fn has_not_written(&mut self, now: Duration, shared: &Shared) {
        if self.writing.is_none() {
            tracing::error!(dir = %shared.dir.display(), "the disk is full: what is committed waits until there is room");
            shared.set_stuck(true);
            self.release_ballast(shared);
        }
        shared.look_at_free_space();
        self.writing = Some(Retry::after(self.writing.as_ref(), now));
    }

    /// Gives the state what it could not take, if it is time to try. `durable` is the last batch that it may have.
    pub(super) fn catch_up(
        &mut self,
        now: Duration,
        durable: u64,
        shared: &Shared,
        checkpoint: &mut Checkpoint,
    ) -> Result<(), String> {
        if self.catching_up.as_ref().is_some_and(|retry| retry.at > now) {
            return Ok(());
        }
        checkpoint.join();
        let read = |after: u64, overlay: &mut Overlay| read_into(overlay, (after, durable), shared);
        if self.catching_up.is_none() && shared.state.has_failed() {
            self.release_ballast(shared);
            let mut overlay = Overlay::default();
            read(checkpoint.synced(), &mut overlay)?;
            shared.state.cover(overlay);
        }
        shared.look_at_free_space();
        let least = shared.config.free_bytes_min.min(STATE_BYTES_MIN) + CATCH_UP_BYTES_MIN;
        let enough = shared.free_bytes() >= least + 2 * shared.state.bytes_behind() as u64;
        if enough && shared.state.reopen(&mut { read })? && shared.state.catch_up()? {
            tracing::info!(dir = %shared.dir.display(), "the state has what it could not take while the disk was full");
            checkpoint.note(shared.state.engine_sequence());
            self.catching_up = None;
        } else {
            self.catching_up = Some(Retry::after(self.catching_up.as_ref(), now));
        }
        Ok(())
    }

    /// Puts the ballast back when there is room for more than it.
    pub(super) fn keep_ballast(&mut self, shared: &Shared) {
        let enough = shared.config.free_bytes_min.saturating_add(2 * shared.config.ballast_bytes);
        if self.ballast_released && !shared.is_full() && shared.free_bytes() > enough {
            ballast::keep(&shared.dir, shared.config.ballast_bytes, &*shared.disk);
            self.ballast_released = false;
        }
    }

    fn release_ballast(&mut self, shared: &Shared) {
        if ballast::exists(&shared.dir) {
            self.ballast_released |= ballast::release(&shared.dir, &*shared.disk).is_ok();
        }
    }
}

/// Reads from the journal what the state does not have: everything after the first batch up to the second.
fn read_into(overlay: &mut Overlay, (after, until): (u64, u64), shared: &Shared) -> Result<(), String> {
    let Some(first) = shared.intake.with(|front| front.segments.first_after(after)) else { return Ok(()) };
    let mut take = |operations: &[OperationAt<'_>], sequence: u64| overlay.apply(operations, sequence);
    let read = recovery::read_operations(&shared.journal_dir, &*shared.disk, first, (after, until), &mut take);
    read.map_err(|error| error.to_string())
}
