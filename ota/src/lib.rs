//! Updates: from a repository to what is in place, old or new, never broken.
//!
//! The device's side is an [`Agent`]: it reads a repository ([`source`]), believes what is signed (`ota/metadata`), decides what
//! concerns this node ([`plan()`]), fetches and makes it in bounded memory (`ota/patch`), and puts a program on trial in the free
//! slot (`ota/slots`) or hands a function or file to the node ([`Host`]). The publisher's side is [`publisher`].
//!
//! Not here: when to look, what to do after a new program has started (the daemon's probation), and the launcher.

mod agent;
mod backoff;
mod content;
mod download;
mod host;
mod plan;
mod probation;
pub mod publisher;
pub mod source;
mod state;
mod window;

pub use selvedge_ota_metadata as metadata;
pub use selvedge_ota_slots as slots;

pub use agent::{Agent, AgentLimits, InstallError, Report, Restart, Run, UpdateError};
pub use backoff::Backoff;
pub use download::DownloadError;
pub use host::{Event, Host};
pub use plan::{Decision, Facts, Form, Item, Occasion, Offer, OnTrial, Skip, Thing, plan};
pub use probation::{Probation, Verdict};
pub use state::{Heard, Installed, Refused, State, StateError};
pub use window::{Window, WindowError};
