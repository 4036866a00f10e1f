//! Durable state: what is kept on disk and when it counts as kept.
//!
//! A [`Store`] is one directory. Callers hand it [`Entry`]s: records that only their owner understands, with messages
//! in them that can be loaded one by one, and [`Batch`]es of changes of a state of keys and values. One writer thread
//! appends whatever has queued up to the journal, makes all of it durable with a single fsync, and only then runs the
//! completion callbacks and applies the state.
//!
//! The journal is the truth. `state/`, a sled database, is what the journal says about keys and values, made again from
//! it when it cannot be used. What of the journal is not needed any more is cleaned away, oldest first.
//!
//! It is not a query engine, knows nothing of twins or sessions, and does not hide which engine is
//! underneath from the operator.
//!
//! Invariant: a callback that got `Ok` never belongs to something that a kill or a power cut can take away, and
//! after the first failed write, flush or fsync no callback ever gets `Ok` again. A full disk is no such failure:
//! what was taken waits until there is room.
//!
//! The directory:
//!
//! | name | what |
//! |---|---|
//! | `lock` | held while a store is open; contains the holder's process id |
//! | `format` | version of everything below |
//! | `ballast` | reserved bytes, given back when the disk is too full |
//! | `journal/<number>.journal` | segments of the journal |
//! | `journal/<number>-<offset>-<n>.damaged` | what stood behind damage in the journal |
//! | `state/` | the sled database |
//! | `state.quarantine-<n>/` | databases that could not be used, newest last |
//! | `state.condemned` | the database is to be made again at the next start |
//! | `journal.incomplete` | the state is being written to the journal |

mod ballast;
mod batch;
mod checkpoint;
mod cleaning;
mod config;
mod disk;
mod engine;
mod entry;
mod format;
mod front;
mod health;
mod index;
mod intake;
mod journal;
mod load;
mod lock;
mod metrics;
mod offline;
mod open;
mod quarantine;
mod record;
mod recovery;
mod scan;
mod segments;
mod shared;
#[cfg(test)]
mod simulation;
mod state;
mod store;
mod usage;
mod writer;

pub use ballast::Ballast;
pub use batch::{BATCH_BYTES_MAX, Batch, KEY_BYTES_MAX, PutError, Space, VALUE_BYTES_MAX};
pub use config::Config;
pub use disk::{Disk, DiskFile, LocalDisk};
pub use entry::{Commit, Entry, OnDurable, Replayed, Urgency};
pub use format::FORMAT_VERSION;
pub use health::{CommitError, Health};
pub use metrics::Metrics;
pub use offline::check::{CheckReport, check};
pub use offline::compact::{CompactError, CompactReport, compact};
pub use offline::export::{ExportError, ExportReport, export};
pub use offline::import::{ImportError, import};
pub use offline::{JournalOwner, OnProgress, Progress};
pub use open::{OpenError, OpenReport, Quarantine};
pub use recovery::{Dropped, JournalReport};
pub use scan::Scan;
pub use state::ReadError;
pub use store::{Backlog, Store};
pub use usage::Usage;
