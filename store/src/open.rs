//! Opening: lock, format version, then sled with its two remedies, then the journal. A full disk is answered by giving
//! up the ballast, a database that cannot be used by setting it aside and making a new one, which the journal fills
//! again. Both are said aloud.
//!
//! Invariant: nothing is ever set aside because of a fault that a later try could not have: missing permissions, a
//! full or read-only disk, too many open files.

pub(crate) mod rebuild;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use thiserror::Error;

use crate::ballast::{self, Ballast};
use crate::checkpoint::{Checkpoint, Where};
use crate::config::Config;
use crate::disk::{Disk, is_full};
use crate::engine::{self, Engine, OpenFailure, Standing};
use crate::entry::Replayed;
use crate::format::{self, FORMAT_VERSION, Found};
use crate::journal::JOURNAL_VERSION;
use crate::lock::{DirectoryLock, LockError};
use crate::quarantine;
use crate::recovery::{self, JournalReport};
use crate::shared::{Shared, journal_dir};
use crate::state::{Reopen, State, StateEngine};
use crate::writer::Writer;

const STATE: &str = "state";
const LOCK: &str = "lock";

/// What opening had to do. Everything but `created` is a reason to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The directory held no store before.
    pub created: bool,
    /// A database was set aside. What was in it is there again if the journal has it.
    pub quarantine: Option<Quarantine>,
    /// What became of the ballast file.
    pub ballast: Ballast,
    /// The file with the format version was damaged and was written again.
    pub format_repaired: bool,
    /// The state was made again from the journal.
    pub state_rebuilt: bool,
    /// The state was written to the journal: the directory was of version 1, or the journal had lost something that
    /// the state still had.
    pub copied: bool,
    /// What reading the journal found.
    pub journal: JournalReport,
}

/// A database that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Where it is now.
    pub path: PathBuf,
    /// Why it could not be used.
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
    /// A segment of the journal was written by a newer program.
    #[error("{} has format version {found}, this program knows versions up to {JOURNAL_VERSION}: run the newer program or use another directory", path.display())]
    JournalNewer {
        /// The segment.
        path: PathBuf,
        /// The version found there.
        found: u32,
    },
    /// The journal has something in it that only a newer program can have written.
    #[error("{} has a section of the unknown kind {tag} in the batch at {offset}: run the program that wrote it", path.display())]
    JournalUnknown {
        /// The segment.
        path: PathBuf,
        /// Offset of the batch in bytes.
        offset: u64,
        /// The kind.
        tag: u8,
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

/// An open directory, before its threads run.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) report: OpenReport,
}

pub(crate) fn open(
    dir: &Path,
    config: Config,
    disk: Arc<dyn Disk>,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<Opened, OpenError> {
    fs::create_dir_all(dir).map_err(io_error("create the directory", dir))?;
    let lock = take_lock(dir)?;
    let found = format::read(dir).map_err(io_error("read the format version in", dir))?;
    if let Found::Version(found) = found
        && found > FORMAT_VERSION
    {
        return Err(OpenError::Newer { dir: dir.to_path_buf(), found });
    }
    let journal = journal_dir(dir);
    disk.create_directory(&journal).map_err(io_error("create the directory", &journal))?;
    let oldest = recovery::oldest_state_sequence(&journal, &*disk)?;

    let state = dir.join(STATE);
    let created = !state.exists();
    let mut remedies =
        Remedies { dir, state: &state, config: &config, disk: &*disk, quarantine: None, released: false };
    let expectation = Expectation { oldest, version: found, condemned: rebuild::is_condemned(dir) };
    let (engine, standing) = remedies.open(&mut || expectation.open(&state, &config, &disk))?;
    let (quarantine, released) = (remedies.quarantine, remedies.released);
    if created || quarantine.is_some() {
        make_creation_durable(dir, &state, &engine, &*disk)?;
    }
    format::remove_leftover(dir);

    let rebuilt = oldest.is_some() && (created || quarantine.is_some());
    let (front, journal) = rebuild::replay(dir, &config, &disk, &engine, replay)?;
    // What was read back may stand in a cache only, and what was applied just now in sled's memory.
    engine.sync().map_err(|failure| rebuild::database_error(dir, failure))?;
    let synced = engine.sequence();
    rebuild::remove_condemnation(dir, &*disk)?;
    let ballast = if released { Ballast::Released } else { ballast::keep(dir, config.ballast_bytes, &*disk) };
    let format_repaired = found == Found::Damaged;
    let copied = rebuild::must_copy(dir, &engine, standing, &front);
    let report = OpenReport { created, quarantine, ballast, format_repaired, state_rebuilt: rebuilt, copied, journal };

    let reopen = reopen(&state, &config, &disk);
    let shared = Arc::new(Shared::new(dir, config, disk, front, State::new(Box::new(engine), reopen), Some(lock)));
    let mut writer = Writer::new(shared.clone(), Checkpoint::new(Where::Thread, synced));
    if copied {
        rebuild::copy_state_to_journal(&mut writer)?;
    }
    if format_repaired {
        tracing::warn!(dir = %dir.display(), "the format version of the data directory was damaged and is written again");
    }
    if found != Found::Version(FORMAT_VERSION) {
        format::write(dir, &*shared.disk).map_err(io_error("write the format version in", dir))?;
    }
    Ok(Opened { shared, writer, report })
}

/// How the database is opened again after it failed on a full disk.
fn reopen(state: &Path, config: &Config, disk: &Arc<dyn Disk>) -> Reopen {
    let (state, cache_bytes, disk) = (state.to_path_buf(), config.cache_bytes, disk.clone());
    Box::new(move || {
        let (engine, standing) = Engine::open(&state, cache_bytes, disk.clone()).map_err(|error| error.to_string())?;
        match standing {
            Standing::Sequenced => Ok(Box::new(engine)),
            standing => Err(format!("the database is {standing:?}")),
        }
    })
}

/// What the state must be for the journal to bring it up to date.
struct Expectation {
    oldest: Option<u64>,
    version: Found,
    condemned: bool,
}

impl Expectation {
    fn open(&self, state: &Path, config: &Config, disk: &Arc<dyn Disk>) -> Result<(Engine, Standing), OpenFailure> {
        // A state that is opened again after the first was set aside is empty, and nothing is wrong with it.
        let (engine, standing) = Engine::open(state, config.cache_bytes, disk.clone())?;
        let what = match (standing, self.oldest) {
            (Standing::Empty, _) | (_, None) => return Ok((engine, standing)),
            _ if self.condemned => "a value in it was corrupt".to_owned(),
            (Standing::Unsequenced, Some(_)) if self.version != Found::Version(FORMAT_VERSION) => {
                return Ok((engine, standing));
            }
            (Standing::Unsequenced, Some(_)) => "it does not say what is in it".to_owned(),
            (Standing::Sequenced, Some(oldest)) if engine.sequence() < oldest => {
                "it is older than the journal".to_owned()
            }
            (Standing::Sequenced, Some(_)) => match engine.verify() {
                Ok(()) => return Ok((engine, standing)),
                Err(what) => what,
            },
        };
        Err(OpenFailure::Unusable(what))
    }
}

pub(crate) fn take_lock(dir: &Path) -> Result<DirectoryLock, OpenError> {
    let path = dir.join(LOCK);
    DirectoryLock::take(&path).map_err(|error| match error {
        LockError::Held(pid) => OpenError::Locked { dir: dir.to_path_buf(), pid },
        LockError::Io(source) => OpenError::Io { attempted: "lock", path, source },
    })
}

/// Without these a power cut may take the whole directory, although every file in it was fsynced.
fn make_creation_durable(dir: &Path, state: &Path, engine: &Engine, disk: &dyn Disk) -> Result<(), OpenError> {
    engine.make_creation_durable(state).map_err(io_error("make durable the database in", state))?;
    for path in std::iter::once(dir).chain(dir.parent().filter(|parent| !parent.as_os_str().is_empty())) {
        disk.sync_directory(path).map_err(io_error("fsync the directory", path))?;
    }
    Ok(())
}

pub(crate) fn io_error(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
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
        OpenFailure::Sled(_) | OpenFailure::Panic(_) | OpenFailure::Unusable(_) => Remedy::SetAside,
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    let errnos = [Errno::MFILE, Errno::NFILE, Errno::AGAIN].map(Errno::raw_os_error);
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | OutOfMemory | Interrupted | ResourceBusy)
        || error.raw_os_error().is_some_and(|errno| errnos.contains(&errno))
        || engine::is_locked(error)
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
        tracing::error!(path = %path.display(), cause, "the database could not be used and was set aside: making it again from the journal");
        self.quarantine = Some(Quarantine { path, cause });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
