//! Durable state: what is kept on disk and when it counts as kept.
//!
//! A [`Store`] is one directory. Callers hand it [`Batch`]es; one writer thread applies whatever has queued
//! up, makes all of it durable with a single fsync, and only then runs the completion callbacks. Readers on
//! any thread see applied state, which may be a few milliseconds ahead of what is durable.
//!
//! It is not a query engine, knows nothing of twins or sessions, and does not hide which engine is
//! underneath from the operator: `state/` is a sled database.
//!
//! Invariant: a callback that got `Ok` never belongs to a batch that a kill or a power cut can take away, and
//! after the first failed write, flush or fsync no callback ever gets `Ok` again.
//!
//! The directory:
//!
//! | name | what |
//! |---|---|
//! | `lock` | held while a store is open; contains the holder's process id |
//! | `format` | version of everything below |
//! | `ballast` | reserved bytes, given back when the disk is too full to open the state |
//! | `state/` | the sled database |
//! | `state.quarantine-<n>/` | databases that could not be opened, newest last |

mod ballast;
mod batch;
mod config;
mod disk;
mod engine;
mod format;
mod health;
mod lock;
mod metrics;
mod open;
mod quarantine;
mod queue;
mod record;
mod scan;
mod store;
mod writer;

pub use ballast::Ballast;
pub use batch::{BATCH_BYTES_MAX, Batch, KEY_BYTES_MAX, PutError, Space, VALUE_BYTES_MAX};
pub use config::Config;
pub use disk::{Disk, LocalDisk};
pub use engine::ReadError;
pub use format::FORMAT_VERSION;
pub use health::{CommitError, Health};
pub use metrics::Metrics;
pub use open::{OpenError, OpenReport, Quarantine};
pub use scan::Scan;
pub use store::{Backlog, Store};
