//! Work on a data directory that no node has open: looking for damage, a copy of everything in one file and back,
//! and giving back the disk space of what is dead.
//!
//! The journal's owner knows what is alive; the store does not. Each of these works without the owner, too, and keeps
//! then whatever might be needed.

pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod export;
mod export_file;
pub(crate) mod import;

use crate::entry::Replayed;

/// How far something has come, in bytes of about equal work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// All that is to do, as far as can be told.
    pub total: u64,
}

/// Told about progress every now and then.
pub type OnProgress<'a> = dyn FnMut(Progress) + 'a;

/// The owner of the journal's records, for work that needs to know what is alive.
pub trait JournalOwner {
    /// Takes over what is replayed, as when a node starts.
    fn replay(&mut self, replayed: Replayed<'_>);
    /// The messages that are held, and how many times.
    ///
    /// # Errors
    /// What was replayed cannot be understood, so that nobody knows what is alive; the text says why.
    fn holds(&mut self) -> Result<Vec<(u64, u32)>, String>;
    /// Records that say all that it knows, each for an entry of its own: instead of everything replayed.
    fn image(&mut self) -> Vec<Vec<u8>>;
}
