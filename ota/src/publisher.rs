//! The publisher's side: a folder that any web server can serve as it is, made and signed on a machine of the publisher.
//!
//! ```text
//! REPOSITORY/metadata/1.root.json 2.root.json … 7.targets.json 9.snapshot.json timestamp.json     what nodes read
//! REPOSITORY/targets/DIRECTORY/SHA256.NAME                                                        contents and payloads
//! REPOSITORY/draft/targets.json …                                      changes that nobody sees before `publish`
//! ```
//!
//! Secret keys are never in it. Invariant: `timestamp.json` is written last, so that who reads the folder meanwhile sees the old
//! state or the new one, whole.

mod add;
mod bundle;
mod create;
mod files;
pub mod keys;
mod payloads;
mod publication;
mod roots;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_ota_metadata::sign::DraftError;
use selvedge_ota_metadata::{
    KindError, Limits, PathError, Refusal, Role, RoleNameError, Root, SignedFile, Snapshot, Targets, Timestamp,
};
use thiserror::Error;

pub use add::{Added, Addition};
pub use bundle::{Bundled, bundle};
pub use create::{Created, create};
pub use keys::{KeyFileError, Keys};
pub use publication::{Days, PayloadSize, PublishEvent, PublishOptions, Published, Rehearsal};
pub use roots::{RootChange, sign_file};

/// Longest metadata file of a repository, bytes.
const METADATA_BYTES_MAX: u64 = 64 << 20;

/// A repository and what it says now.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
    root: Root,
    timestamp: Timestamp,
    snapshot: Snapshot,
    /// The targets role and those that it delegates to.
    targets: BTreeMap<Role, Targets>,
}

/// Why the repository stays as it is.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The disk.
    #[error("{action} {path}", path = path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// There is something already.
    #[error("{path} is not empty; a new repository needs a folder of its own", path = path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing.
    #[error("{path} is no repository: it has no metadata/1.root.json (`selvedge ota init` makes one)", path = path.display())]
    NoRepository {
        /// The folder.
        path: PathBuf,
    },
    /// A metadata file of the repository.
    #[error("{path} makes no sense: {refusal}", path = path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// What would be published makes no sense.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// What is said about a target makes no sense.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// A path that is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A name that is none.
    #[error(transparent)]
    RoleName(#[from] RoleNameError),
    /// A key file.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// No such role.
    #[error("there is no role {role}; the repository has {roles}")]
    NoRole {
        /// What was asked for.
        role: String,
        /// What there is.
        roles: String,
    },
    /// A role may not speak about a path.
    #[error("the role {role} may not sign {path}: it is for {patterns}")]
    OutsideRole {
        /// The role.
        role: String,
        /// The target.
        path: String,
        /// What it may sign.
        patterns: String,
    },
    /// Too few keys are at hand.
    #[error("{have} of the {threshold} keys that must sign {role} are in {folder}; missing are {missing}", folder = folder.display())]
    MissingKeys {
        /// The role.
        role: String,
        /// Keys at hand.
        have: usize,
        /// Keys needed.
        threshold: u32,
        /// Where they were looked for.
        folder: PathBuf,
        /// Which could sign too.
        missing: String,
    },
    /// A payload.
    #[error("make a payload for {path}")]
    Payload {
        /// The target.
        path: String,
        /// Why.
        source: selvedge_ota_patch::MakeError,
    },
    /// Nothing of that path.
    #[error("there is no target {path}")]
    NoTarget {
        /// What was asked for.
        path: String,
    },
    /// What was made is not what a node would take.
    #[error("a node would not follow what was made, so nothing was published: {0}")]
    Refused(String),
}

impl Repository {
    /// Reads the repository in `folder`.
    ///
    /// # Errors
    /// There is none, or a file of it makes no sense.
    pub fn open(folder: &Path) -> Result<Self, PublishError> {
        let metadata = folder.join("metadata");
        if !metadata.join("1.root.json").exists() {
            return Err(PublishError::NoRepository { path: folder.to_owned() });
        }
        let mut version = 1;
        while metadata.join(format!("{}.root.json", version + 1)).exists() {
            version += 1;
        }
        let root = read(&metadata.join(format!("{version}.root.json")), SignedFile::root)?;
        let timestamp = read(&metadata.join("timestamp.json"), SignedFile::timestamp)?;
        let snapshot_name = Role::Snapshot.file_name(Some(timestamp.snapshot.version));
        let snapshot = read(&metadata.join(snapshot_name), SignedFile::snapshot)?;
        let mut targets = BTreeMap::new();
        for (role, listed) in &snapshot.meta {
            let path = metadata.join(role.file_name(Some(listed.version)));
            targets.insert(role.clone(), read(&path, SignedFile::targets)?);
        }
        Ok(Self { folder: folder.to_owned(), root, timestamp, snapshot, targets })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its newest root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Its timestamp.
    pub fn timestamp(&self) -> &Timestamp {
        &self.timestamp
    }

    /// Its snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What each targets role says, as published.
    pub fn targets(&self) -> &BTreeMap<Role, Targets> {
        &self.targets
    }

    /// What each targets role will say, where that differs.
    ///
    /// # Errors
    /// A draft cannot be read.
    pub fn drafts(&self) -> Result<BTreeMap<Role, Targets>, PublishError> {
        let mut drafts = BTreeMap::new();
        let folder = self.folder.join("draft");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(drafts) };
        for entry in entries {
            let path = entry.map_err(files::at("read", &folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
            let Some(name) = name.filter(|name| !name.ends_with(".root")) else { continue };
            drafts.insert(Role::named(name)?, read(&path, SignedFile::targets)?);
        }
        Ok(drafts)
    }

    fn draft_path(&self, role: &Role) -> PathBuf {
        self.folder.join("draft").join(role.file_name(None))
    }

    fn metadata_path(&self, name: &str) -> PathBuf {
        self.folder.join("metadata").join(name)
    }

    /// The targets role of a name.
    fn role(&self, name: &str) -> Result<Role, PublishError> {
        let role = self.targets.keys().find(|role| role.name() == name).cloned();
        role.ok_or_else(|| {
            let roles: Vec<&str> = self.targets.keys().map(Role::name).collect();
            PublishError::NoRole { role: name.to_owned(), roles: roles.join(", ") }
        })
    }
}

/// Reads a metadata file of a repository of one's own: its form, not its signatures.
fn read<T>(path: &Path, as_what: impl FnOnce(&SignedFile) -> Result<T, Refusal>) -> Result<T, PublishError> {
    let file = read_signed(path)?;
    as_what(&file).map_err(|refusal| PublishError::Metadata { path: path.to_owned(), refusal })
}

fn read_signed(path: &Path) -> Result<SignedFile, PublishError> {
    let bytes = files::read(path)?;
    SignedFile::read(&bytes, METADATA_BYTES_MAX, &Limits::default())
        .map_err(|refusal| PublishError::Metadata { path: path.to_owned(), refusal })
}
