//! Whether the store can still keep a promise, and the error of a commit that it could not keep.
//! Poison is for good: what a failed fsync left behind on the disk is unknown until the next open.

use std::sync::{Arc, OnceLock};

use thiserror::Error;

/// Whether commits can succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Commits are taken and become durable.
    Good,
    /// The file system has less free space than configured. Commits are still taken, so that what is under way can
    /// finish; whoever starts new work should refuse it.
    DiskFull {
        /// Bytes free when this was asked.
        free_bytes: u64,
    },
    /// A write, flush or fsync failed: every commit is refused. Restart the process.
    Poisoned {
        /// What failed first.
        cause: Arc<str>,
    },
}

/// Why a batch is not (known to be) durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// A write, flush or fsync failed, now or before. The batch may or may not be there after a restart.
    #[error("the store refuses to commit since a write failed: {cause}")]
    Poisoned {
        /// What failed first.
        cause: Arc<str>,
    },
    /// The disk was full and the last handle went before there was room.
    #[error("the disk was full until the store was closed")]
    DiskFull,
    /// The entry is none: nothing of it was taken.
    #[error("the entry was not taken: {what}")]
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
    /// [`crate::Store::commit_blocking`] was called from a completion callback, where it could never return.
    #[error("a blocking commit was attempted on the store's own thread")]
    OnWriterThread,
}

/// Set once, by the first failure.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<Arc<str>>);

impl Poison {
    /// Records `cause` unless there is one already, and gives the error that every commit gets from now on.
    pub(crate) fn set(&self, cause: &str) -> CommitError {
        CommitError::Poisoned { cause: self.0.get_or_init(|| Arc::from(cause)).clone() }
    }

    pub(crate) fn cause(&self) -> Option<Arc<str>> {
        self.0.get().cloned()
    }

    pub(crate) fn check(&self) -> Result<(), CommitError> {
        self.cause().map_or(Ok(()), |cause| Err(CommitError::Poisoned { cause }))
    }
}
