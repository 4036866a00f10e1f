//! One at a time changes the slots. The lock is the kernel's (flock): it ends with the process that holds it, so a file that was left
//! behind locks nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock is not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else is changing the slots.
    #[error("another update is at work in {folder}", folder = folder.display())]
    Busy {
        /// The folder of the slots.
        folder: PathBuf,
    },
    /// The system refused.
    #[error("lock {path}", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of the slots in `folder`, which is there.
    ///
    /// # Errors
    /// Somebody holds it, or the system refused.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(|source| LockError::Io { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Busy { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(LockError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_a_file_left_behind_locks_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("lock"), "4711").expect("left behind");
        let lock = Lock::take(folder.path()).expect("free");
        let text = Lock::take(folder.path()).expect_err("held").to_string();
        assert!(text.starts_with("another update is at work in "), "{text}");
        drop(lock);
        Lock::take(folder.path()).expect("free again");
    }
}
