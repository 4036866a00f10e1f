//! Commits that wait for the writer thread: bounded in bytes, in the order of the calls.

use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::batch::Batch;
use crate::health::CommitError;

/// Counted for each commit, so that empty batches are bounded too.
const COMMIT_OVERHEAD_BYTES: usize = 128;

/// What runs when a batch is durable, or known not to become so.
pub(crate) type OnDurable = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// A batch and who waits for it.
pub(crate) struct Commit {
    pub(crate) batch: Batch,
    pub(crate) on_durable: OnDurable,
}

impl Commit {
    fn bytes(&self) -> usize {
        self.batch.bytes() + COMMIT_OVERHEAD_BYTES
    }
}

/// Whether [`Queue::push`] had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Yes,
    No,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    bytes_max: usize,
    writer: OnceLock<ThreadId>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Commit>,
    bytes: usize,
    blocked: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), room: Condvar::new(), bytes_max, writer: OnceLock::new() }
    }

    /// The calling thread takes from the queue, so it never waits for room.
    pub(crate) fn claim_writer(&self) {
        let _ = self.writer.set(thread::current().id());
    }

    pub(crate) fn on_writer_thread(&self) -> bool {
        self.writer.get() == Some(&thread::current().id())
    }

    /// Waits for room, then adds.
    pub(crate) fn push(&self, commit: Commit) -> Waited {
        let mut state = self.state.lock();
        let waited = self.wait(&mut state, commit.bytes());
        self.add(&mut state, commit);
        waited
    }

    /// Adds at once, past the bound if need be.
    pub(crate) fn push_now(&self, commit: Commit) {
        self.add(&mut self.state.lock(), commit);
    }

    /// Waits until a batch of `bytes` would fit.
    pub(crate) fn wait_for_room(&self, bytes: usize) -> Waited {
        self.wait(&mut self.state.lock(), bytes + COMMIT_OVERHEAD_BYTES)
    }

    /// Everything that waits; `None` once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Commit>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.work.wait(&mut state);
        }
        state.bytes = 0;
        let taken = std::mem::take(&mut state.waiting);
        drop(state);
        self.room.notify_all();
        Some(taken)
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_all();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// How many callers wait for room.
    pub(crate) fn blocked(&self) -> usize {
        self.state.lock().blocked
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn add(&self, state: &mut MutexGuard<'_, State>, commit: Commit) {
        state.bytes += commit.bytes();
        state.waiting.push(commit);
        self.work.notify_one();
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, bytes: usize) -> Waited {
        let mut waited = Waited::No;
        // A batch larger than the whole bound passes when it would be alone.
        while state.bytes + bytes > self.bytes_max && !state.waiting.is_empty() && !self.on_writer_thread() {
            waited = Waited::Yes;
            state.blocked += 1;
            self.room.wait(state);
            state.blocked -= 1;
        }
        waited
    }
}
