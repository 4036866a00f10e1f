//! The pure core of twins: what a document is, how two of them merge, when a removal may be forgotten, and how nodes tell
//! each other. No I/O, no store, no tokio; time and keys are arguments.
//!
//! A document is a map from path to [`field::Field`], a field is made of cells, and a cell holds the events that no other
//! event has taken the place of ([`cell`]). Every event has a name that is given once ([`dot`]) and says which events of
//! its cell its maker had seen.
//!
//! Invariants: joining is commutative, associative and idempotent; whether an event counts depends on its bytes and on the
//! policy that all members have, never on a clock or a setting of one node; what was removed does not come back.

pub mod cell;
pub mod clock;
pub mod digest;
pub mod document;
pub mod dot;
pub mod event;
pub mod field;
pub mod json;
pub mod keys;
pub mod memory;
pub mod path;
pub mod place;
pub mod policy;
pub mod sync;
pub mod thing;
pub mod vector;
pub mod wire;
