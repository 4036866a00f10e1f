//! Putting one thing in place: the shortest way that works, checked at its end, then handed to a slot or to the node.

use std::path::PathBuf;

use selvedge_ota_patch::{ApplyError, CheckBaseError};
use selvedge_ota_slots::{ChangeError, Image, with_causes};
use thiserror::Error;

use super::make::{Base, check_base};
use super::{Agent, Run};
use crate::content;
use crate::download::{DownloadError, Staging, at};
use crate::host::Event;
use crate::plan::{Form, Item, Offer, Thing};
use crate::state::{Installed, Refused, StateError};

/// A content that is made of a payload, in the staging folder.
const MADE: &str = "made";

/// Why something is not in place.
#[derive(Debug, Error)]
pub enum InstallError {
    /// It is larger than this node takes.
    #[error("it has {length} bytes, and ota.content_bytes_max allows {allowed}")]
    TooBig {
        /// Bytes.
        length: u64,
        /// Bytes.
        allowed: u64,
    },
    /// The payload.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The base of a patch.
    #[error("what is here now is not the base of {path}")]
    Base {
        /// The patch.
        path: String,
        /// How it differs.
        source: CheckBaseError,
    },
    /// There is no base.
    #[error("what {path} is a patch for is not here")]
    NoBase {
        /// The patch.
        path: String,
    },
    /// The payload makes no such content.
    #[error("{path} cannot be used")]
    Apply {
        /// The payload.
        path: String,
        /// Why.
        source: Box<ApplyError>,
    },
    /// The new program is not fit to be tried.
    #[error("the new program does not run here: {0}")]
    Preflight(String),
    /// The node.
    #[error("{0}")]
    Host(String),
    /// The slots.
    #[error(transparent)]
    Slots(#[from] ChangeError),
    /// What is remembered.
    #[error(transparent)]
    State(#[from] StateError),
}

impl InstallError {
    /// Whether another way to the same content may do better.
    fn is_about_the_way(&self) -> bool {
        matches!(
            self,
            Self::Base { .. }
                | Self::NoBase { .. }
                | Self::Apply { .. }
                | Self::Download(DownloadError::NotSigned { .. } | DownloadError::Fetch(_))
        )
    }
}

impl Agent {
    /// Puts `item` in place. After an error all is as before, but for payloads that wait in `staging`.
    pub(super) fn install(&self, item: &Item, run: &mut Run<'_>) -> Result<(), InstallError> {
        let allowed = self.limits.content_bytes_max;
        if item.content.length > allowed {
            return Err(InstallError::TooBig { length: item.content.length, allowed });
        }
        let staging = self.staging();
        self.try_offers(&staging, item, run)?;
        let mut done: Vec<PathBuf> = item.offers.iter().map(|offer| staging.path(offer.payload)).collect();
        done.push(staging.folder.join(MADE));
        for path in done {
            self.disk.remove(&path).map_err(at("remove", &path))?;
        }
        Ok(())
    }

    fn try_offers(&self, staging: &Staging<'_>, item: &Item, run: &mut Run<'_>) -> Result<(), InstallError> {
        let mut last = None;
        for offer in &item.offers {
            let made = match item.thing {
                Thing::Daemon { data_format, security_floor } => {
                    self.install_program(staging, item, offer, (data_format, security_floor), run)
                }
                Thing::Function { .. } | Thing::File { .. } => self.install_file(staging, item, offer, run),
            };
            match made {
                Ok(()) => return Ok(()),
                Err(error) if error.is_about_the_way() => {
                    (run.events)(Event::Fallback { path: offer.path.to_string(), cause: with_causes(&error) });
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| InstallError::Host("there is no way to it in the repository".to_owned())))
    }

    fn install_program(
        &self,
        staging: &Staging<'_>,
        item: &Item,
        offer: &Offer,
        (data_format, security_floor): (u32, u64),
        run: &mut Run<'_>,
    ) -> Result<(), InstallError> {
        let base = run.host.open_running().map(Base);
        let base = check_base(base.as_ref(), offer)?;
        let payload = staging.fetch(run.source, &offer.path, offer.payload, run.events)?;
        staging.require_room(item.content.length)?;
        let slot = self.slots.clear()?;
        let path = self.slots.program(slot);
        let mut file = self.slots.create_program(slot)?;
        self.make(item, offer, base.as_ref(), &payload, &mut *file, run.events)?;
        file.sync().map_err(at("make durable", &path))?;
        drop(file);
        let digest = content::slot(item.content);
        let image = Image { version: item.version.clone(), digest, data_format, security_floor };
        self.slots.seal(slot, &image)?;
        (run.events)(Event::Preflight);
        if let Err(reason) = run.host.preflight(&path) {
            let sha256 = content::hex(&item.content.sha256);
            let at_unix_s = run.facts.now_unix_s.unwrap_or(0);
            let refused = Refused { sha256, version: item.version.clone(), reason: reason.clone(), at_unix_s };
            self.change_state(|state| state.refuse(refused))?;
            return Err(InstallError::Preflight(reason));
        }
        Ok(self.slots.put_on_trial(slot, self.limits.tries_max)?)
    }

    fn install_file(
        &self,
        staging: &Staging<'_>,
        item: &Item,
        offer: &Offer,
        run: &mut Run<'_>,
    ) -> Result<(), InstallError> {
        let base = match offer.form {
            Form::Patch(from) => run.host.open_base(&item.thing, from).map(Base),
            Form::Plain | Form::Compressed => None,
        };
        let base = check_base(base.as_ref(), offer)?;
        let payload = staging.fetch(run.source, &offer.path, offer.payload, run.events)?;
        let made = match offer.form {
            Form::Plain => payload,
            Form::Compressed | Form::Patch(_) => {
                staging.require_room(item.content.length)?;
                let path = staging.folder.join(MADE);
                let mut file = self.disk.create(&path, 0o600).map_err(at("write", &path))?;
                self.make(item, offer, base.as_ref(), &payload, &mut *file, run.events)?;
                file.sync().map_err(at("make durable", &path))?;
                path
            }
        };
        run.host.put_in_place(&item.thing, &item.version, &made).map_err(InstallError::Host)?;
        let installed = Installed {
            version: item.version.clone(),
            length: item.content.length,
            sha256: content::hex(&item.content.sha256),
            at_unix_s: run.facts.now_unix_s.unwrap_or(0),
        };
        Ok(self.change_state(|state| {
            state.installed.insert(item.path.to_string(), installed);
        })?)
    }
}
