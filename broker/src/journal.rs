//! What the broker asks of whoever keeps things on disk for it, and how it hears that they are there.
//!
//! The reactor never waits for a disk: it hands over what a turn left to be kept, goes on, and sends what waited for it once it is
//! told. Invariant: entries become durable in the order in which they were handed over.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use selvedge_core::{Kept, Restored};

use crate::handle::CommandQueue;

/// Changes of another part of the node that become durable together with messages and acknowledgements; opaque to the broker,
/// which passes them on to the [`Journal`].
pub type Alongside = Box<dyn Any + Send>;

/// Called with messages by number, as the journal kept them.
pub type FetchAnswer = Box<dyn FnOnce(Vec<(u64, Option<Vec<u8>>)>) + Send>;

/// Keeps what the broker must not lose. Called on the reactor's thread: each call passes something on and returns.
pub trait Journal: Send {
    /// Makes an entry durable, together with what goes alongside. `durable` is called then; never if it cannot be made durable.
    fn append(&mut self, kept: Kept, alongside: Vec<Alongside>, durable: Box<dyn FnOnce() + Send>);

    /// Gets messages, also those that are not durable yet.
    fn fetch(&mut self, numbers: Vec<u64>, answer: FetchAnswer);

    /// Whether so much waits for the disk that those who publish should not be read for a while.
    fn is_behind(&self) -> bool;

    /// Whether the disk has room for more messages.
    fn has_room(&self) -> bool;
}

/// A journal, and what it held when the node started.
pub struct Continuation {
    /// Where things are kept from now on.
    pub journal: Box<dyn Journal>,
    /// What was kept before.
    pub restored: Restored,
    /// Milliseconds since 1970, never before the last thing that was kept.
    pub wall_ms: u64,
    /// Greater than the number of any message that was kept.
    pub next_message: u64,
    /// Gives a message at once, by number, while the broker starts, which fails if the disk cannot be read.
    pub fetch: Box<dyn FnMut(u64) -> std::io::Result<Option<Vec<u8>>> + Send>,
}

impl std::fmt::Debug for Continuation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Continuation")
            .field("wall_ms", &self.wall_ms)
            .field("next_message", &self.next_message)
            .finish_non_exhaustive()
    }
}

/// How far the journal is; written by its thread, read by the reactor.
#[derive(Debug)]
pub(crate) struct Mark {
    durable: AtomicU64,
    commands: Arc<CommandQueue>,
}

impl Mark {
    pub(crate) fn new(commands: Arc<CommandQueue>) -> Self {
        Self { durable: AtomicU64::new(0), commands }
    }

    /// All entries up to this one are durable.
    pub(crate) fn reached(&self, entry: u64) {
        self.durable.fetch_max(entry, Ordering::Release);
        self.commands.wake();
    }

    /// The last entry that is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }
}
