//! The lock file: one open store per directory. The operating system releases it when its holder dies, so there
//! is nothing stale to clean up; the process id inside is only for the error message.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Longest lock file content that is read for the error message, in bytes.
const CONTENT_BYTES_MAX: u64 = 32;

/// Held while a store is open.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Someone holds it; their process id, if it could be read.
    Held(Option<u32>),
    /// The lock file could not be opened, locked or written.
    Io(io::Error),
}

impl DirectoryLock {
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // The process id is a courtesy: on a full disk it cannot be written, and the lock holds all the same.
        if let Err(error) = write_holder(&mut file) {
            tracing::debug!(%error, "could not write the process id into the lock file");
        }
        Ok(Self { _file: file })
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(CONTENT_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
