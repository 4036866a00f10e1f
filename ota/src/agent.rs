//! The device's side of an update, from a source to what is in place: refresh trust, plan, fetch, make, check, put in place.
//!
//! It does what it does through [`Disk`], [`Source`] and [`Host`], with the time as an argument, so that a test can stop it at each
//! operation. Invariant: the program that runs, its slot and the slot's record are touched only by [`Slots`], and only after the
//! new content was made whole and had the hash that was signed.

mod install;
mod make;
mod refresh;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_ota_metadata::{Clock, Limits, PinError, RefuseError, Trust, TrustDocumentError};
use selvedge_ota_slots::{ChangeError, Disk, Lock, LockError, Outcome, Slots, replace};
use thiserror::Error;

use crate::download::Staging;
use crate::host::{Event, Host};
use crate::plan::{Decision, Facts, Item, Occasion, OnTrial, Skip, Thing, plan};
use crate::source::{FetchError, Source};
use crate::state::{Heard, Refused, State, StateError};

pub use install::InstallError;

/// Longest trust document, bytes.
const TRUST_BYTES_MAX: u64 = 32 << 20;

/// The updater of a folder.
pub struct Agent {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    slots: Slots,
    limits: AgentLimits,
}

/// Bounds of an update.
#[derive(Clone, Debug)]
pub struct AgentLimits {
    /// Of metadata.
    pub metadata: Limits,
    /// Largest program, function or file. Bytes.
    pub content_bytes_max: u64,
    /// Starts in which a new program has to be confirmed.
    pub tries_max: u32,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self { metadata: Limits::default(), content_bytes_max: 256 << 20, tries_max: 3 }
    }
}

/// What came of an update.
#[derive(Debug, Default)]
pub struct Report {
    /// What is in place now: target and version.
    pub installed: Vec<(String, String)>,
    /// What was left as it is: target, version and why.
    pub left: Vec<(String, String, Skip)>,
    /// What could not be put in place: target, version and why.
    pub failed: Vec<(String, String, InstallError)>,
    /// Delegated roles that could not be used, for people.
    pub problems: Vec<String>,
    /// Whether a new program waits for a restart.
    pub restart: Restart,
}

/// Whether the node has to start again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// No.
    #[default]
    NotNeeded,
    /// A new program is on trial from the next start on.
    Needed,
}

/// Why nothing was updated.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// Nobody is trusted yet.
    #[error("no root is trusted yet: set ota.root to the publisher's root.json, or `selvedge ota trust root.json`")]
    NoTrust,
    /// The first root is no root.
    #[error("the root cannot be trusted")]
    Pin(#[source] Box<PinError>),
    /// What is trusted cannot be read.
    #[error("{path} is damaged; remove it to begin with the first root again (ota.root)", path = path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: Box<TrustDocumentError>,
    },
    /// Metadata did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Metadata came and is not believed.
    #[error("{file} of {source_name} is refused")]
    Refused {
        /// The source.
        source_name: String,
        /// The metadata file.
        file: String,
        /// Why.
        source: Box<RefuseError>,
    },
    /// The refresh is not complete.
    #[error("the metadata is not complete: {0}")]
    Incomplete(String),
    /// Somebody else updates.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The slots.
    #[error(transparent)]
    Slots(#[from] ChangeError),
    /// What is remembered.
    #[error(transparent)]
    State(#[from] StateError),
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

/// One run of the updater.
pub struct Run<'r> {
    /// Where the update comes from.
    pub source: &'r mut dyn Source,
    /// The node.
    pub host: &'r dyn Host,
    /// What is true of it.
    pub facts: Facts,
    /// Who wants it.
    pub occasion: Occasion,
    /// For the freshness of metadata.
    pub clock: Clock,
    /// Told what happens.
    pub events: &'r mut dyn FnMut(Event),
}

impl Agent {
    /// The updater of `folder`, which is there.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path, limits: AgentLimits) -> Self {
        let slots = Slots::new(Arc::clone(&disk), folder);
        Self { disk, folder: folder.to_owned(), slots, limits }
    }

    /// Its slots.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Takes the lock that everything needs that changes something.
    ///
    /// # Errors
    /// Somebody else has it.
    pub fn lock(&self) -> Result<Lock, LockError> {
        Lock::take(&self.folder)
    }

    /// What is remembered.
    ///
    /// # Errors
    /// It is damaged, newer or cannot be read.
    pub fn state(&self) -> Result<State, StateError> {
        State::read(&*self.disk, &self.folder)
    }

    /// Remembers something else. Needs the lock.
    ///
    /// # Errors
    /// The disk, or what was remembered is damaged.
    pub fn change_state(&self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        let mut state = self.state()?;
        change(&mut state);
        state.write(&*self.disk, &self.folder)
    }

    /// What is trusted; `None`: nothing yet.
    ///
    /// # Errors
    /// It is damaged or cannot be read.
    pub fn trust(&self) -> Result<Option<Trust>, UpdateError> {
        let path = self.trust_path();
        match self.disk.read(&path, TRUST_BYTES_MAX) {
            Ok(bytes) => Trust::from_bytes(&bytes)
                .map(Some)
                .map_err(|source| UpdateError::Trust { path, source: Box::new(source) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(UpdateError::Disk { action: "read", path, source }),
        }
    }

    /// Trusts a first root, from a place that the operator vouches for. Needs the lock. Forgets what was trusted before.
    ///
    /// # Errors
    /// It is no root, or the disk.
    pub fn pin(&self, root: &[u8]) -> Result<Trust, UpdateError> {
        let trust = Trust::pin(root).map_err(|error| UpdateError::Pin(Box::new(error)))?;
        self.store_trust(&trust)?;
        Ok(trust)
    }

    /// Takes up what a stop left, and remembers how the last trial ended. Needs the lock.
    ///
    /// # Errors
    /// The disk, or a file is damaged.
    pub fn recover(&self) -> Result<(), UpdateError> {
        self.slots.recover()?;
        let record = self.slots.record()?;
        let Some(ended) = record.ended else { return Ok(()) };
        let mut state = self.state()?;
        let before = state.clone();
        let heard = Heard { sha256: ended.sha256.clone(), at_unix_s: ended.at_unix_s };
        // While one is on trial, its end is to come, and is news also where the same program ended before, by a clock that is not known.
        let is_over = record.candidate.is_none();
        let is_news = is_over && state.heard.as_ref() != Some(&heard) && state.refused(&ended.sha256).is_none();
        state.heard = is_over.then_some(heard);
        match ended.outcome {
            Outcome::RolledBack if is_news && !ended.sha256.is_empty() => {
                let (sha256, version, reason) = (ended.sha256, ended.version, ended.reason);
                state.refuse(Refused { sha256, version, reason, at_unix_s: ended.at_unix_s });
            }
            Outcome::Committed => {
                if let Some(image) = record.good.and_then(|slot| self.slots.image(slot).ok()) {
                    state.raise(&image);
                    state.forgive(&image.digest.hex());
                }
            }
            Outcome::RolledBack | Outcome::Interrupted => {}
        }
        if state != before {
            state.write(&*self.disk, &self.folder)?;
        }
        Ok(())
    }

    /// Brings this node up to date with the source. Needs the lock.
    ///
    /// # Errors
    /// Nothing was put in place. What could not be put in place when the rest could is in the report.
    pub fn update(&self, run: &mut Run<'_>) -> Result<Report, UpdateError> {
        self.recover()?;
        let (trust, problems) = self.refresh(run.source, run.clock, run.events)?;
        let mut report = Report { problems, ..Report::default() };
        run.facts.on_trial = if self.slots.record()?.candidate.is_some() { OnTrial::Yes } else { OnTrial::No };
        let mut items = Vec::new();
        for decision in plan(&trust, &self.state()?, &run.facts, run.occasion) {
            match decision {
                Decision::Leave { path, version, why } => report.left.push((path.to_string(), version, why)),
                Decision::Install(item) => items.push(item),
            }
        }
        self.sweep_staging(&items)?;
        for item in items {
            let (path, version) = (item.path.to_string(), item.version.clone());
            match self.install(&item, run) {
                Ok(()) => {
                    (run.events)(Event::Installed { path: path.clone(), version: version.clone() });
                    if matches!(item.thing, Thing::Daemon { .. }) {
                        report.restart = Restart::Needed;
                    }
                    report.installed.push((path, version));
                }
                Err(error) => report.failed.push((path, version, error)),
            }
        }
        Ok(report)
    }

    /// Removes what no item needs any more; payloads that came in part stay.
    fn sweep_staging(&self, items: &[Item]) -> Result<(), UpdateError> {
        let staging = self.staging();
        let failed = |source| UpdateError::Disk { action: "sweep", path: staging.folder.clone(), source };
        self.disk.create_directory(&staging.folder).map_err(failed)?;
        let payloads = items.iter().flat_map(|item| &item.offers).map(|offer| staging.path(offer.payload));
        staging.sweep(&payloads.collect::<Vec<_>>()).map_err(failed)
    }

    fn staging(&self) -> Staging<'_> {
        Staging { disk: &*self.disk, folder: self.folder.join("staging") }
    }

    fn trust_path(&self) -> PathBuf {
        self.folder.join("trust")
    }

    fn store_trust(&self, trust: &Trust) -> Result<(), UpdateError> {
        let path = self.trust_path();
        replace(&*self.disk, &path, &trust.to_bytes()).map_err(|source| UpdateError::Disk {
            action: "write",
            path,
            source,
        })
    }
}
