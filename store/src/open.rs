//! Opening: lock, format version, then sled with its two remedies. A full disk is answered by giving up the
//! ballast, a database that cannot be opened by setting it aside and making a new one. Both are said aloud.
//!
//! Invariant: nothing is ever set aside because of a fault that a later try could not have: missing permissions, a
//! full or read-only disk, too many open files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use crate::ballast::{self, Ballast};
use crate::config::Config;
use crate::disk::Disk;
use crate::engine::{Engine, OpenFailure};
use crate::format::{self, FORMAT_VERSION, Found};
use crate::lock::{DirectoryLock, LockError};
use crate::quarantine;

const STATE: &str = "state";
const LOCK: &str = "lock";

/// What opening had to do. Everything but `created` is a reason to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The directory held no store before.
    pub created: bool,
    /// A database was set aside, and the store is empty.
    pub quarantine: Option<Quarantine>,
    /// What became of the ballast file.
    pub ballast: Ballast,
    /// The file with the format version was damaged and was written again.
    pub format_repaired: bool,
}

/// A database that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Where it is now.
    pub path: PathBuf,
    /// Why it could not be opened.
    pub cause: String,
}

/// Why a store was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the data directory {} is in use by {}", dir.display(), pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, if the lock file says.
        pid: Option<u32>,
    },
    /// It was written by a newer program.
    #[error("the data directory {} has format version {found}, this program knows versions up to {FORMAT_VERSION}: run the newer program or use another directory", dir.display())]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// The version found there.
        found: u32,
    },
    /// An operation on the directory failed.
    #[error("could not {attempted} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The disk is full, and there is no ballast left to give up.
    #[error("the disk is too full to open the database in {}: {cause}", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
        /// What sled said.
        cause: String,
    },
    /// sled failed for a reason that a new database would not mend.
    #[error("could not open the database in {}: {cause}", dir.display())]
    Database {
        /// The directory.
        dir: PathBuf,
        /// What sled said.
        cause: String,
    },
}

/// An open directory.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    /// sled's file, for fsync.
    pub(crate) database: File,
    pub(crate) lock: DirectoryLock,
    pub(crate) report: OpenReport,
}

pub(crate) fn open(dir: &Path, config: &Config, disk: &dyn Disk) -> Result<Opened, OpenError> {
    fs::create_dir_all(dir).map_err(io_error("create the directory", dir))?;
    let lock = take_lock(dir)?;
    let found = format::read(dir).map_err(io_error("read the format version in", dir))?;
    if let Found::Version(found) = found
        && found > FORMAT_VERSION
    {
        return Err(OpenError::Newer { dir: dir.to_path_buf(), found });
    }
    let state = dir.join(STATE);
    let created = !state.exists();
    let mut remedies = Remedies { dir, state: &state, config, disk, quarantine: None, released: false };
    let engine = remedies.open(&mut || Engine::open(&state, config.cache_bytes))?;
    let (quarantine, released) = (remedies.quarantine, remedies.released);

    let database_path = state.join("db");
    let database = File::open(&database_path).map_err(io_error("open", &database_path))?;
    if created || quarantine.is_some() {
        make_creation_durable(dir, &state, &database, disk)?;
    }
    format::remove_leftover(dir);
    let format_repaired = found == Found::Damaged;
    if format_repaired {
        tracing::warn!(dir = %dir.display(), "the format version of the data directory was damaged and is written again");
    }
    if found != Found::Version(FORMAT_VERSION) {
        format::write(dir, disk).map_err(io_error("write the format version in", dir))?;
    }
    let ballast = if released { Ballast::Released } else { ballast::keep(dir, config.ballast_bytes, disk) };
    Ok(Opened { engine, database, lock, report: OpenReport { created, quarantine, ballast, format_repaired } })
}

fn take_lock(dir: &Path) -> Result<DirectoryLock, OpenError> {
    let path = dir.join(LOCK);
    DirectoryLock::take(&path).map_err(|error| match error {
        LockError::Held(pid) => OpenError::Locked { dir: dir.to_path_buf(), pid },
        LockError::Io(source) => OpenError::Io { attempted: "lock", path, source },
    })
}

/// Without these a power cut may take the whole directory, although every file in it was fsynced.
fn make_creation_durable(dir: &Path, state: &Path, database: &File, disk: &dyn Disk) -> Result<(), OpenError> {
    disk.sync_file(database).map_err(io_error("fsync the database in", state))?;
    let conf = state.join("conf");
    File::open(&conf).and_then(|file| disk.sync_file(&file)).map_err(io_error("fsync", &conf))?;
    for path in [state, dir].into_iter().chain(dir.parent().filter(|parent| !parent.as_os_str().is_empty())) {
        disk.sync_directory(path).map_err(io_error("fsync the directory", path))?;
    }
    Ok(())
}

fn io_error(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { attempted, path, source }
}

/// What a failed open calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    ReleaseBallast,
    DiskFull,
    SetAside,
    GiveUp,
}

/// Decides on a remedy from what went wrong, the free space and whether there is ballast. Pure.
fn remedy(failure: &OpenFailure, free_bytes: Option<u64>, ballast_bytes: u64, has_ballast: bool) -> Remedy {
    let said_full = matches!(failure, OpenFailure::Sled(sled::Error::Io(error)) if is_full(error));
    // sled may panic or misread when it cannot write, so an almost full disk is the first suspect.
    let looks_full = free_bytes.is_some_and(|free| free < ballast_bytes);
    if said_full || looks_full {
        if has_ballast {
            return Remedy::ReleaseBallast;
        }
        if said_full {
            return Remedy::DiskFull;
        }
    }
    match failure {
        OpenFailure::Sled(sled::Error::Io(error)) if is_passing(error) => Remedy::GiveUp,
        OpenFailure::Sled(_) | OpenFailure::Panic(_) => Remedy::SetAside,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    let errnos = [Errno::MFILE, Errno::NFILE, Errno::AGAIN].map(Errno::raw_os_error);
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | OutOfMemory | Interrupted | ResourceBusy)
        || error.raw_os_error().is_some_and(|errno| errnos.contains(&errno))
}

struct Remedies<'a> {
    dir: &'a Path,
    state: &'a Path,
    config: &'a Config,
    disk: &'a dyn Disk,
    quarantine: Option<Quarantine>,
    released: bool,
}

impl Remedies<'_> {
    /// Tries `open`, applying each remedy at most once.
    fn open<T>(&mut self, open: &mut dyn FnMut() -> Result<T, OpenFailure>) -> Result<T, OpenError> {
        loop {
            let failure = match open() {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            let cause = failure.to_string();
            let free_bytes = self.disk.free_bytes(self.dir).ok();
            let dir = self.dir.to_path_buf();
            match remedy(&failure, free_bytes, self.config.ballast_bytes, ballast::exists(self.dir)) {
                Remedy::ReleaseBallast => self.release(&cause)?,
                Remedy::SetAside if self.quarantine.is_none() => self.set_aside(cause)?,
                Remedy::DiskFull => return Err(OpenError::DiskFull { dir, cause }),
                Remedy::SetAside | Remedy::GiveUp => return Err(OpenError::Database { dir, cause }),
            }
        }
    }

    fn release(&mut self, cause: &str) -> Result<(), OpenError> {
        tracing::error!(dir = %self.dir.display(), cause, "the disk is full: giving up the ballast file to open the database");
        ballast::release(self.dir, self.disk).map_err(io_error("remove the ballast file in", self.dir))?;
        self.released = true;
        Ok(())
    }

    fn set_aside(&mut self, cause: String) -> Result<(), OpenError> {
        let path = quarantine::set_aside(self.dir, self.state, self.config.quarantines_max, self.disk)
            .map_err(io_error("set aside", self.state))?;
        tracing::error!(path = %path.display(), cause, "the database could not be opened and was set aside: starting with an empty one");
        self.quarantine = Some(Quarantine { path, cause });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
