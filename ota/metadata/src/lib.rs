//! Signed metadata of updates: who says what is to run, and whether to believe it.
//!
//! The part of TUF 1.0 (The Update Framework, `specification/latest`) that a node needs, compatible with python-tuf: OLPC
//! canonical JSON, ed25519, the roles root, timestamp, snapshot, targets and delegated targets with path patterns. Not here:
//! network, disk, clock and payloads. Bytes and a time go in, verdicts come out. Hash prefixes (`path_hash_prefixes`) and
//! keys of other kinds are not used.
//!
//! The device pins a root once ([`Trust::pin`]), stores [`Trust::to_bytes`], and brings it up to date with a [`Refresh`]:
//!
//! ```text
//! let mut refresh = trust.begin(clock, limits);
//! while let Want::File { path, bytes_max, .. } = refresh.wants() {
//!     match fetch(path, bytes_max) { Some(bytes) => refresh.give(&bytes)?, None => refresh.absent()? }
//!     store(refresh.trust_so_far());           // a new root counts at once
//! }
//! let trust = refresh.finish()?.trust;
//! ```
//!
//! The publisher writes the same documents with [`sign`].
//!
//! Invariant: all of a [`Trust`] hangs on its root by valid signatures of enough distinct keys, and no version in it ever
//! falls, except that of what a removed key had signed.

mod clock;
mod expiry;
mod json;
mod key;
mod kind;
mod limits;
mod path;
mod pattern;
mod refresh;
mod refuse;
mod resolve;
mod role;
mod rollout;
pub mod sign;
mod signed_file;
mod trust;

pub use clock::Clock;
pub use expiry::{format_time, parse_time};
pub use json::{CanonicalError, JsonError, canonical};
pub use key::{Key, KeyError, KeyId, KeySet};
pub use kind::{Architecture, Content, Kind, KindError};
pub use limits::Limits;
pub use path::{PATH_BYTES_MAX, PathError, TargetPath};
pub use pattern::{PATTERN_BYTES_MAX, PathPattern, PatternError};
pub use refresh::{FinishError, Refresh, Refreshed, Want};
pub use refuse::{Refusal, RefuseError};
pub use resolve::UnavailableError;
pub use role::{
    Delegation, MetaFile, ROLE_NAME_BYTES_MAX, Role, RoleName, RoleNameError, Root, Snapshot, Target, Targets,
    Timestamp,
};
pub use rollout::Rollout;
pub use signed_file::SignedFile;
pub use trust::{PinError, Standing, Trust, TrustDocumentError};
