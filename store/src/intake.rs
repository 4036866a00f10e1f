//! The front behind its lock, and the waiting on both sides of it: callers wait for room, the writer thread for work.

use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::front::{Front, Pending};

/// Whether a caller had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Yes,
    No,
}

/// How long the writer thread may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There is more to do at once.
    None,
    /// Until there is work, or this time has passed.
    For(Duration),
    /// Until this time has passed, whatever work there is.
    Hold(Duration),
    /// Until there is work.
    UntilWork,
}

pub(crate) struct Intake {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    bytes_max: usize,
    writer: OnceLock<ThreadId>,
}

struct State {
    front: Front,
    blocked: usize,
    closed: bool,
    /// Something but an entry happened that the writer thread should look at.
    called: bool,
}

impl Intake {
    pub(crate) fn new(front: Front, bytes_max: usize) -> Self {
        let state = Mutex::new(State { front, blocked: 0, closed: false, called: false });
        Self { state, work: Condvar::new(), room: Condvar::new(), bytes_max, writer: OnceLock::new() }
    }

    /// The calling thread takes what waits, so it never waits for room.
    pub(crate) fn claim_writer(&self) {
        let _ = self.writer.set(thread::current().id());
    }

    pub(crate) fn on_writer_thread(&self) -> bool {
        self.writer.get() == Some(&thread::current().id())
    }

    /// Reads or changes the front without waking anyone.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Front) -> T) -> T {
        f(&mut self.state.lock().front)
    }

    /// Changes the front and wakes the writer thread. With `bytes`, waits until so many fit.
    pub(crate) fn push<T>(&self, bytes: Option<usize>, f: impl FnOnce(&mut Front) -> T) -> (T, Waited) {
        let mut state = self.state.lock();
        let waited = bytes.map_or(Waited::No, |bytes| self.wait(&mut state, bytes));
        let result = f(&mut state.front);
        state.called = true;
        drop(state);
        self.work.notify_one();
        (result, waited)
    }

    /// Waits until a batch of `bytes` would fit.
    pub(crate) fn wait_for_room(&self, bytes: usize) -> Waited {
        self.wait(&mut self.state.lock(), bytes)
    }

    /// Sleeps as long as `rest` says. `false`: closed.
    pub(crate) fn rest(&self, rest: Rest) -> bool {
        let mut state = self.state.lock();
        let idle = |state: &State| !state.closed && !state.called && state.front.waiting().is_empty();
        match rest {
            Rest::None => {}
            Rest::For(time) if idle(&state) => {
                self.work.wait_for(&mut state, time);
            }
            Rest::For(_) => {}
            Rest::Hold(_) if state.closed => {}
            Rest::Hold(time) => {
                self.work.wait_for(&mut state, time);
            }
            Rest::UntilWork => {
                while idle(&state) {
                    self.work.wait(&mut state);
                }
            }
        }
        state.called = false;
        !state.closed
    }

    /// Everything that waits, in exchange for an empty list.
    pub(crate) fn take(&self, empty: &mut Vec<Pending>) {
        self.state.lock().front.take(empty);
        self.room.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_all();
    }

    /// How many callers wait for room.
    pub(crate) fn blocked(&self) -> usize {
        self.state.lock().blocked
    }

    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, bytes: usize) -> Waited {
        let mut waited = Waited::No;
        let bytes = Front::counted_bytes(bytes);
        let full =
            |state: &State| state.front.waiting_bytes() + bytes > self.bytes_max && !state.front.waiting().is_empty();
        // A batch larger than the whole bound passes when it would be alone.
        while full(state) && !self.on_writer_thread() {
            waited = Waited::Yes;
            state.blocked += 1;
            self.room.wait(state);
            state.blocked -= 1;
        }
        waited
    }
}
