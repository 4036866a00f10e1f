//! What is handed to the journal, and what comes back from it when a store is opened.

use std::ops::Range;

use crate::batch::Batch;
use crate::health::CommitError;

/// What runs when something is durable, or known not to become so. Runs once, on the thread `store`; it must be short
/// and must not block. A panic inside is caught and logged.
pub type OnDurable = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// Changes of the state, and who waits for them.
pub struct Commit {
    /// Puts and deletes that are applied together or not at all.
    pub batch: Batch,
    /// Runs when `batch` is durable and can be read.
    pub on_durable: OnDurable,
}

/// How soon an entry has to be durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Urgency {
    /// With the next urgent one, at the latest after [`crate::Config::lazy_sync_ms`].
    #[default]
    Lazy,
    /// As soon as the disk can.
    Now,
}

/// What becomes durable together or not at all.
#[derive(Default)]
pub struct Entry {
    /// Records of the journal's owner (the broker), opaque to the store.
    pub records: Vec<u8>,
    /// Byte ranges within `records`, ascending, disjoint, of messages that can be loaded one by one later; numbered
    /// in turn from `first_message`.
    pub messages: Vec<Range<u32>>,
    /// Number of the first of them; numbers only grow. Gaps between entries are allowed, going back is not.
    /// Without messages it is not looked at.
    pub first_message: u64,
    /// Changes of how many hold a message: number and difference. A new message has no holder; one that nobody holds
    /// after the entry is dead, and a dead one stays dead.
    pub holds: Vec<(u64, i32)>,
    /// Changes of the state that become durable with it, each with who waits for it.
    pub state: Vec<Commit>,
    /// How soon it has to be durable.
    pub urgency: Urgency,
}

/// A batch with the owner's records, as it is read back while a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// What [`crate::Store::append`] gave for the entry.
    pub sequence: u64,
    /// Wall clock that was given with it, ms since 1970.
    pub wall_ms: u64,
    /// Number of the first message.
    pub first_message: u64,
    /// Byte ranges of the messages within `records`.
    pub messages: &'a [Range<u32>],
    /// The records.
    pub records: &'a [u8],
}
