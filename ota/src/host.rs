//! What the updater asks of the node it works for. The daemon is one; tests have others.

use std::path::Path;

use selvedge_ota_metadata::Content;
use selvedge_ota_slots::ReadAt;

use crate::plan::Thing;

/// The node. Every text is for people.
pub trait Host {
    /// Puts a function or file in place whose bytes are in `file`, all or nothing.
    ///
    /// # Errors
    /// It is not in place; why.
    fn put_in_place(&self, thing: &Thing, version: &str, file: &Path) -> Result<(), String>;
    /// Opens what a function or file is now, as the base of a patch; `None` when that is not to be had.
    fn open_base(&self, thing: &Thing, content: Content) -> Option<Box<dyn ReadAt>>;
    /// Opens the program that runs, as the base of a patch.
    fn open_running(&self) -> Option<Box<dyn ReadAt>>;
    /// Starts a new program for a moment, before it is put on trial: whether it runs on this machine at all, and what has to be made
    /// ready for it (functions are compiled for its runtime).
    ///
    /// # Errors
    /// It is not fit to be tried; why.
    fn preflight(&self, program: &Path) -> Result<(), String>;
}

/// What happens, for people who wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A metadata file is fetched.
    Metadata {
        /// Its name.
        file: String,
    },
    /// Bytes of a payload have come.
    Download {
        /// The payload.
        path: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A part of the new content is made.
    Make {
        /// What is made.
        path: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A way did not work and the next one is taken.
    Fallback {
        /// The payload.
        path: String,
        /// Why.
        cause: String,
    },
    /// The new program is started for a moment.
    Preflight,
    /// Something is in place.
    Installed {
        /// The target.
        path: String,
        /// Its version.
        version: String,
    },
}
