//! The updater's side: filling a slot, putting it on trial, and ending the trial.
//!
//! Each change is one replacement of `boot` or of `current`; between two of them [`crate::next_start`] and [`Slots::recover`] know
//! what to make of it. Invariant: a slot that `boot` names is never written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::disk::{Disk, ReadAt, WriteFile};
use crate::image::{self, Image};
use crate::record::{self, BootRecord, Candidate, Ended, Outcome};
use crate::replace::{replace, replace_link};
use crate::slot::Slot;
use crate::stream_hash::{Digest, HashError, expect};

/// Permission bits of a program.
const PROGRAM_MODE: u32 = 0o755;

/// The two slots in a folder. All methods that change something need the [`crate::Lock`] of the folder.
#[derive(Clone)]
pub struct Slots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// Why nothing was changed, or, after [`ChangeError::Disk`], why it is not known to be durable.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// A program is on trial.
    #[error(
        "version {version} in slot {slot} is on probation: wait for its end, or end it with `selvedge ota rollback`"
    )]
    OnTrial {
        /// The slot.
        slot: Slot,
        /// Its version; empty when it cannot be told.
        version: String,
    },
    /// No program is on trial.
    #[error("no update is on probation")]
    NothingOnTrial,
    /// There is no program to go back to.
    #[error(
        "there is no version to go back to: none was updated before this one, or the one before is gone or cannot read the data any more"
    )]
    NoPrevious,
    /// The slot has not been filled, or what is in it has changed.
    #[error("slot {slot} does not hold what it should")]
    NotSealed {
        /// The slot.
        slot: Slot,
        /// How it differs.
        source: HashError,
    },
    /// `boot` is there and cannot be read.
    #[error("{path} cannot be used: {cause}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The disk.
    #[error("{action} {path}", path = path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

impl ChangeError {
    /// Whether there was no room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

impl Slots {
    /// Those in `folder`. Touches nothing.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, folder: folder.to_owned() }
    }

    /// The folder that holds `boot`, `current` and `slots`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program in a slot.
    pub fn program(&self, slot: Slot) -> PathBuf {
        self.slot_folder(slot).join("selvedge")
    }

    /// Opens the program in a slot, as a base of a patch for example.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub fn open(&self, slot: Slot) -> io::Result<Box<dyn ReadAt>> {
        self.disk.open(&self.program(slot))
    }

    /// Where `current` points; `None` before the first update, and when it points elsewhere.
    pub fn current(&self) -> Option<Slot> {
        let target = self.disk.read_link(&self.current_path()).ok()?;
        Slot::ALL.into_iter().find(|slot| target == relative(*slot))
    }

    /// What `boot` says; before the first update that the program of the package is good.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub fn record(&self) -> Result<BootRecord, ChangeError> {
        let path = self.record_path();
        match self.disk.read(&path, record::BYTES_MAX) {
            Ok(bytes) => {
                BootRecord::from_bytes(&bytes).map_err(|error| ChangeError::Record { path, cause: error.to_string() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BootRecord::default()),
            Err(source) => Err(ChangeError::Disk { action: "read", path, source }),
        }
    }

    /// What the program in a slot has to be.
    ///
    /// # Errors
    /// The slot holds nothing, or its description is damaged.
    pub fn image(&self, slot: Slot) -> Result<Image, ChangeError> {
        let path = self.image_path(slot);
        let bytes = self.disk.read(&path, image::BYTES_MAX).map_err(|source| ChangeError::Disk {
            action: "read",
            path: path.clone(),
            source,
        })?;
        Image::from_bytes(&bytes).map_err(|error| ChangeError::Record { path, cause: error.to_string() })
    }

    /// Whether the program in a slot is what it has to be; reads all of it.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub fn verify(&self, slot: Slot, wanted: Digest) -> Result<(), HashError> {
        expect(&*self.open(slot).map_err(HashError::Read)?, wanted)
    }

    /// Empties the slot that a new program goes to, and gives it. The way back to the version before the good one ends here.
    ///
    /// # Errors
    /// A program is on trial, or the disk.
    pub fn clear(&self) -> Result<Slot, ChangeError> {
        let mut record = self.record()?;
        self.nothing_on_trial(&record)?;
        let slot = record.good.map_or(Slot::A, Slot::other);
        let folder = self.slot_folder(slot);
        for folder in [&self.folder, &self.folder.join("slots"), &folder] {
            self.disk.create_directory(folder).map_err(at("make the folder", folder))?;
        }
        if record.previous.take().is_some() {
            self.write_record(&record)?;
        }
        for path in [self.image_path(slot), self.program(slot)] {
            self.disk.remove(&path).map_err(at("remove", &path))?;
        }
        self.disk.sync_directory(&folder).map_err(at("make durable", &folder))?;
        Ok(slot)
    }

    /// A file for the program of a slot that was just cleared.
    ///
    /// # Errors
    /// The disk.
    pub fn create_program(&self, slot: Slot) -> Result<Box<dyn WriteFile>, ChangeError> {
        let path = self.program(slot);
        self.disk.create(&path, PROGRAM_MODE).map_err(at("write", &path))
    }

    /// Writes down what the program in a cleared slot has to be, after its file was made durable, and checks that it is that.
    ///
    /// # Errors
    /// It is not, or the disk.
    pub fn seal(&self, slot: Slot, image: &Image) -> Result<(), ChangeError> {
        self.verify(slot, image.digest).map_err(|source| ChangeError::NotSealed { slot, source })?;
        let path = self.image_path(slot);
        replace(&*self.disk, &path, &image.to_bytes()).map_err(at("write", &path))?;
        for folder in [self.folder.join("slots"), self.folder.clone()] {
            self.disk.sync_directory(&folder).map_err(at("make durable", &folder))?;
        }
        Ok(())
    }

    /// Puts a sealed slot on trial: it starts next, at most `tries_max` times until it is confirmed.
    ///
    /// # Errors
    /// A program is on trial, the slot is not sealed, or the disk. After an error the good program starts next, or, when
    /// only the very last step failed, the slot on trial.
    pub fn put_on_trial(&self, slot: Slot, tries_max: u32) -> Result<(), ChangeError> {
        let mut record = self.record()?;
        self.nothing_on_trial(&record)?;
        let image = self.image(slot)?;
        self.verify(slot, image.digest).map_err(|source| ChangeError::NotSealed { slot, source })?;
        record.previous = record.previous.filter(|previous| *previous != slot);
        record.candidate = Some(Candidate { slot, tries: 0, tries_max });
        self.write_record(&record)?;
        self.turn_current(slot)
    }

    /// Confirms the program on trial. It is the good one now; the one before stays as a way back if `previous` says that it can
    /// still read the data.
    ///
    /// # Errors
    /// Nothing is on trial, or the disk.
    pub fn commit(&self, previous: WayBack, at_unix_s: u64) -> Result<(), ChangeError> {
        let mut record = self.record()?;
        let candidate = record.candidate.take().ok_or(ChangeError::NothingOnTrial)?;
        record.previous = record.good.take().filter(|_| previous == WayBack::Keep);
        record.good = Some(candidate.slot);
        record.ended = Some(self.ended(Outcome::Committed, candidate.slot, at_unix_s, String::new()));
        self.write_record(&record)
    }

    /// Ends the trial: the good program starts next.
    ///
    /// # Errors
    /// Nothing is on trial, or the disk.
    pub fn roll_back(&self, reason: &str, at_unix_s: u64) -> Result<(), ChangeError> {
        let mut record = self.record()?;
        let candidate = record.candidate.take().ok_or(ChangeError::NothingOnTrial)?;
        record.ended = Some(self.ended(Outcome::RolledBack, candidate.slot, at_unix_s, reason.to_owned()));
        self.write_record(&record)?;
        self.follow(&record)
    }

    /// Puts the version before the good one on trial.
    ///
    /// # Errors
    /// A program is on trial, there is no version to go back to, or the disk.
    pub fn try_previous(&self, tries_max: u32) -> Result<Slot, ChangeError> {
        let record = self.record()?;
        self.nothing_on_trial(&record)?;
        let slot = record.previous.ok_or(ChangeError::NoPrevious)?;
        self.put_on_trial(slot, tries_max)?;
        Ok(slot)
    }

    /// Takes up what a stop left between two steps: a trial that was written down and never begun is ended, and `current` points to
    /// what the record says. For the updater, before it does anything, and when the node has started.
    ///
    /// # Errors
    /// The record is damaged, or the disk.
    pub fn recover(&self) -> Result<(), ChangeError> {
        let mut record = self.record()?;
        let never_begun = record.candidate.filter(|candidate| candidate.tries == 0);
        if let Some(candidate) = never_begun.filter(|candidate| self.current() != Some(candidate.slot)) {
            let reason = "the machine stopped before the switch: apply it again".to_owned();
            record.candidate = None;
            record.ended = Some(self.ended(Outcome::Interrupted, candidate.slot, 0, reason));
            self.write_record(&record)?;
        }
        self.follow(&record)
    }

    pub(crate) fn write_record(&self, record: &BootRecord) -> Result<(), ChangeError> {
        let path = self.record_path();
        replace(&*self.disk, &path, &record.to_bytes()).map_err(at("write", &path))
    }

    /// Lets `current` point to what the record wants, if it does not yet.
    pub(crate) fn follow(&self, record: &BootRecord) -> Result<(), ChangeError> {
        match record.wanted() {
            Some(slot) if self.current() == Some(slot) => Ok(()),
            Some(slot) => self.turn_current(slot),
            None => {
                let path = self.current_path();
                if self.disk.read_link(&path).is_err() {
                    return Ok(());
                }
                self.disk.remove(&path).map_err(at("remove", &path))?;
                self.disk.sync_directory(&self.folder).map_err(at("make durable", &self.folder))
            }
        }
    }

    pub(crate) fn ended(&self, outcome: Outcome, slot: Slot, at_unix_s: u64, reason: String) -> Ended {
        let image = self.image(slot).ok();
        let version = image.as_ref().map_or_else(|| "unknown".to_owned(), |image| image.version.clone());
        let sha256 = image.map_or_else(String::new, |image| image.digest.hex());
        Ended { outcome, version, sha256, at_unix_s, reason }
    }

    fn turn_current(&self, slot: Slot) -> Result<(), ChangeError> {
        let path = self.current_path();
        replace_link(&*self.disk, &relative(slot), &path).map_err(at("turn", &path))
    }

    fn nothing_on_trial(&self, record: &BootRecord) -> Result<(), ChangeError> {
        let Some(Candidate { slot, .. }) = record.candidate else { return Ok(()) };
        let version = self.image(slot).map(|image| image.version).unwrap_or_default();
        Err(ChangeError::OnTrial { slot, version })
    }

    fn slot_folder(&self, slot: Slot) -> PathBuf {
        self.folder.join(relative(slot))
    }

    fn image_path(&self, slot: Slot) -> PathBuf {
        self.slot_folder(slot).join("image")
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("boot")
    }

    fn current_path(&self) -> PathBuf {
        self.folder.join("current")
    }
}

/// Whether the program before the one that is confirmed can go on from the present data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// It can.
    Keep,
    /// It cannot: the data has a newer format now, or its version is below the security floor.
    Drop,
}

/// A slot's folder as `current` points to it.
fn relative(slot: Slot) -> PathBuf {
    Path::new("slots").join(slot.name())
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ChangeError {
    let path = path.to_owned();
    move |source| ChangeError::Disk { action, path, source }
}

#[cfg(test)]
mod tests;
