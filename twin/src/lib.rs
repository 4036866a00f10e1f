//! Device twins: two JSON documents per thing, `desired` and `reported`, that merge after any partition.
//!
//! A document is a flat map from path to [`Cell`]; a cell keeps the write with the greatest [`Stamp`], and a removal
//! removes exactly the writes that it saw. Everything that decides is pure ([`clock`], [`path`], [`cell`],
//! [`document`], [`merge_patch`], [`delta`], [`twin`], [`message`]); [`repository`] and [`transaction`] are the only
//! modules that touch the store. Topics and HTTP are wired elsewhere: this crate knows the last part of a topic only.
//!
//! Invariants: merging is commutative, associative and idempotent; stamps of a node never go back, also over restarts;
//! a reply that says "accepted" is handed out after the fsync that covers what it accepted.

mod cache;
pub mod cell;
pub mod clock;
mod config;
pub mod delta;
pub mod document;
pub mod json;
pub mod merge_patch;
pub mod message;
pub mod path;
pub mod query;
mod record;
pub mod repository;
mod storage;
pub mod thing;
pub mod transaction;
pub mod twin;

pub use cell::Cell;
pub use clock::{NodeId, Stamp};
pub use config::{Config, ConfigError};
pub use document::Document;
pub use message::{Operation, Reply};
pub use path::Path;
pub use query::{Query, QueryError};
pub use repository::{Answer, CommitPath, Metrics, OpenError, Summary, TwinError, Twins};
pub use transaction::{PatchError, Publication, Transaction};
pub use twin::{Section, Twin, TwinView};
