//! New roots: other keys for a role, or a later expiry. Where the root's keys are elsewhere, the new root waits as
//! `draft/N.root.json` until enough of them have signed it.

use std::path::{Path, PathBuf};

use selvedge_ota_metadata::sign;
use selvedge_ota_metadata::{Key, Role, Root, SignedFile};

use super::files::{self, Readers};
use super::publication::Days;
use super::{Keys, PublishError, Repository, read_signed};

/// What became of a new root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootChange {
    /// Nodes see it.
    Published {
        /// Its version.
        version: u64,
    },
    /// More signatures are needed: `selvedge ota sign` it where the keys are.
    Waits {
        /// The draft.
        draft: PathBuf,
        /// Of the keys before, that have signed it, and that must.
        before: (usize, u32),
        /// Of its own keys, that have signed it, and that must.
        own: (usize, u32),
    },
}

impl Repository {
    /// Makes the next root: for `role` with the keys `add` and without those in `remove`, and a threshold if one is given. A new
    /// expiry alone is made with no keys at all.
    ///
    /// # Errors
    /// It makes no sense, or the disk.
    pub fn rotate(
        &self,
        role: &Role,
        (add, remove): (Vec<Key>, &[String]),
        threshold: Option<u32>,
        keys: &Keys,
        (now_unix_s, days): (i64, &Days),
    ) -> Result<RootChange, PublishError> {
        let mut root = Root { version: self.root.version + 1, ..self.root.clone() };
        root.expires_unix_s = days.from(now_unix_s, days.root);
        let set = match role {
            Role::Root => &mut root.root,
            Role::Timestamp => &mut root.timestamp,
            Role::Snapshot => &mut root.snapshot,
            Role::Targets => &mut root.targets,
            Role::Delegated(_) => {
                let roles = "root, targets, snapshot, timestamp (`selvedge ota delegate` changes the others)";
                return Err(PublishError::NoRole { role: role.name().to_owned(), roles: roles.to_owned() });
            }
        };
        set.keys.retain(|key| !remove.iter().any(|id| key.id().as_str().starts_with(id.as_str())));
        for key in add {
            if !set.contains(key.id()) {
                set.keys.push(key);
            }
        }
        set.threshold = threshold.unwrap_or(set.threshold);
        self.sign_root(sign::root(&root)?, keys)
    }

    /// Adds signatures to a root that waits, and publishes it when there are enough.
    ///
    /// # Errors
    /// None waits, or the disk.
    pub fn sign_waiting_root(&self, keys: &Keys) -> Result<RootChange, PublishError> {
        let draft = self.root_draft();
        if !draft.exists() {
            return Err(PublishError::NoTarget { path: format!("{}: no root waits for signatures", draft.display()) });
        }
        self.sign_root(read_signed(&draft)?, keys)
    }

    fn sign_root(&self, mut file: SignedFile, keys: &Keys) -> Result<RootChange, PublishError> {
        let draft = self.root_draft();
        let root = file.root().map_err(|refusal| PublishError::Metadata { path: draft.clone(), refusal })?;
        for set in [&self.root.root, &root.root] {
            keys.of(set).for_each(|key| file.sign(key));
        }
        let before = (file.signed_by(&self.root.root).len(), self.root.root.threshold);
        let own = (file.signed_by(&root.root).len(), root.root.threshold);
        let is_enough = |(have, need): (usize, u32)| have >= usize::try_from(need).unwrap_or(usize::MAX);
        if !(is_enough(before) && is_enough(own)) {
            files::write(&draft, &file.to_bytes(), Readers::All)?;
            return Ok(RootChange::Waits { draft, before, own });
        }
        let path = self.metadata_path(&Role::Root.file_name(Some(root.version)));
        files::write(&path, &file.to_bytes(), Readers::All)?;
        files::remove(&draft)?;
        Ok(RootChange::Published { version: root.version })
    }

    fn root_draft(&self) -> PathBuf {
        self.folder.join("draft").join(Role::Root.file_name(Some(self.root.version + 1)))
    }
}

/// Adds the signatures of all keys at hand to any metadata file, in its place; how many signatures it got. For machines that hold keys
/// and no repository.
///
/// # Errors
/// It is no metadata file, or the disk.
pub fn sign_file(path: &Path, keys: &Keys) -> Result<usize, PublishError> {
    let mut file = read_signed(path)?;
    let mut count = 0;
    for key in keys.all() {
        file.sign(key);
        count += 1;
    }
    files::write(path, &file.to_bytes(), Readers::All)?;
    Ok(count)
}
