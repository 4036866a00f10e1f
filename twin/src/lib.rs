//! Device twins: two JSON documents per thing, `desired` and `reported`, that merge after any partition.
//!
//! What a document is and how two of them merge is decided in `selvedge-twin-core`; here is what a request does to a twin
//! ([`merge_patch`], [`delta`], [`twin`], [`message`], all pure) and how twins are kept: [`repository`] and
//! [`transaction`] are the only modules that touch the store. Topics and HTTP are wired elsewhere: this crate knows the
//! last part of a topic only.
//!
//! Invariants: merging is commutative, associative and idempotent; stamps of a node never go back, also over restarts;
//! a reply that says "accepted" is handed out after the fsync that covers what it accepted.

mod cache;
mod config;
pub mod delta;
pub mod exchange;
pub mod explain;
pub mod history;
pub mod merge_patch;
pub mod message;
pub mod ops;
pub mod query;
mod record;
pub mod repository;
mod storage;
mod sums;
pub mod transaction;
pub mod twin;

pub use selvedge_twin_core::clock::{self, NodeId, Stamp};
pub use selvedge_twin_core::document::{self, Document};
pub use selvedge_twin_core::{dot, json, keys, path, policy, sync, thing};

pub use config::{Config, ConfigError};
pub use exchange::{Ending, ExchangeError, Group, GroupStatus, JoinError};
pub use explain::{Claim, FieldOrigin};
pub use history::{History, Moment, MomentError};
pub use message::{Operation, Reply};
pub use path::Path;
pub use query::{Query, QueryError, Subject};
pub use repository::{Answer, CommitPath, Found, Metrics, OpenError, Summary, TwinError, Twins};
pub use sums::Sums;
pub use transaction::{PatchError, Publication, Transaction};
pub use twin::{Section, Twin, TwinView};
