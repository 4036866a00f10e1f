//! Why a file of metadata is not taken, in words for the person who must find out.

use thiserror::Error;

use crate::expiry::show;
use crate::json::JsonError;
use crate::key::{KeyError, KeyId};
use crate::role::Role;

/// A file was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{file} is refused: {refusal}")]
pub struct RefuseError {
    /// Whose metadata it is.
    pub role: Role,
    /// The name under which it was asked for.
    pub file: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Larger than what was asked for.
    #[error("it has more than {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: u64,
    },
    /// No JSON, or JSON of two meanings.
    #[error("it is not JSON that can be signed: {0}")]
    Json(JsonError),
    /// JSON of another shape, or of a meaning that TUF does not allow.
    #[error("{0}")]
    Form(String),
    /// More of something than is taken from one file.
    #[error("it has {count} {what}, and {max} are the most")]
    TooMany {
        /// Targets, keys and so on.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// A key in it.
    #[error("the key {id} in it {problem}")]
    Key {
        /// As listed.
        id: String,
        /// What is wrong with it.
        problem: KeyError,
    },
    /// Two signatures under one key id.
    #[error("it has two signatures for the key {0}")]
    DuplicateSignature(String),
    /// Not enough keys have signed.
    #[error("{valid} of {} have signed it, and {threshold} must", trusted(.keys))]
    Signatures {
        /// Distinct keys with a good signature.
        valid: usize,
        /// How many are needed.
        threshold: u32,
        /// The keys that could sign.
        keys: Vec<KeyId>,
    },
    /// Not the version that was announced or follows.
    #[error("it is version {version}, and version {expected} was expected")]
    OtherVersion {
        /// In the file.
        version: u64,
        /// By its name, or by who lists it.
        expected: u64,
    },
    /// Older than what was accepted before.
    #[error("it would go back: version {seen} was accepted before, this is version {version}")]
    Rollback {
        /// In the file.
        version: u64,
        /// In the trust.
        seen: u64,
    },
    /// Lists an older version of another role than was listed before.
    #[error("it would take {role} back: version {seen} was listed before, now version {version} is")]
    RollbackOf {
        /// Whose version is lower.
        role: Role,
        /// In the file.
        version: u64,
        /// In the trust.
        seen: u64,
    },
    /// A role that was listed before is not any more.
    #[error("it no longer lists {role}, which was listed before")]
    Dropped {
        /// The role.
        role: Role,
    },
    /// Too old.
    #[error("it expired at {}, and it is {} or later", show(*.expires_unix_s), show(*.now_unix_s))]
    Expired {
        /// When.
        expires_unix_s: i64,
        /// The time by which that was judged.
        now_unix_s: i64,
    },
    /// Not of the length that is listed.
    #[error("it has {bytes} bytes, and {listed_by} says {expected}")]
    Length {
        /// What was given.
        bytes: u64,
        /// What is listed.
        expected: u64,
        /// Who lists it.
        listed_by: Role,
    },
    /// Not of the hash that is listed.
    #[error(
        "its content is not the one that {listed_by} lists; the repository may be in the middle of a change, try again"
    )]
    Hash {
        /// Who lists it.
        listed_by: Role,
    },
    /// A role without an entry in the snapshot.
    #[error("the snapshot does not list it")]
    NotListed,
    /// The repository says that there is none.
    #[error("the repository does not have it")]
    Absent,
    /// More roots than one refresh takes.
    #[error("more than {max} roots follow one another; what was accepted is kept, refresh again to go on")]
    TooManyRoots {
        /// The bound.
        max: u32,
    },
    /// More delegations than a node follows.
    #[error("it is one delegation more than the {max} that are followed")]
    TooManyDelegations {
        /// The bound.
        max: u32,
    },
    /// A delegation of a delegation of ….
    #[error("it is delegated over more than {max} steps")]
    TooDeep {
        /// The bound.
        max: u32,
    },
    /// All targets files together are too much.
    #[error("with it, the targets files would have more than {max} bytes together")]
    TooManyBytes {
        /// The bound.
        max: u64,
    },
}

fn trusted(keys: &[KeyId]) -> String {
    let ids: Vec<_> = keys.iter().take(4).map(KeyId::short).collect();
    let more = if keys.len() > ids.len() { ", …" } else { "" };
    match keys.len() {
        0 => "no usable keys".to_owned(),
        1 => format!("1 trusted key ({})", ids.join(", ")),
        count => format!("{count} trusted keys ({}{more})", ids.join(", ")),
    }
}
