//! Publishing: payloads, then targets, snapshot and, last, the timestamp, all checked as a node would before anything is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use selvedge_ota_metadata::sign;
use selvedge_ota_metadata::{
    Clock, Content, KeySet, Limits, MetaFile, Role, SignedFile, Snapshot, Targets, Timestamp, Trust, Want,
};
use selvedge_ota_patch::Progress;

use super::files::{self, Readers};
use super::{Keys, PublishError, Repository, read_signed};

/// How long signatures count. Days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// Of the root.
    pub root: u32,
    /// Of targets and delegated roles.
    pub targets: u32,
    /// Of the snapshot.
    pub snapshot: u32,
    /// Of the timestamp: the longest time for which a node can be kept from what is new without noticing.
    pub timestamp: u32,
}

impl Default for Days {
    fn default() -> Self {
        Self { root: 3650, targets: 365, snapshot: 90, timestamp: 30 }
    }
}

impl Days {
    pub(super) fn from(&self, now_unix_s: i64, days: u32) -> i64 {
        now_unix_s.saturating_add(i64::from(days).saturating_mul(86_400))
    }
}

/// How to publish.
#[derive(Clone, Copy, Debug)]
pub struct PublishOptions {
    /// How long signatures count.
    pub days: Days,
    /// Patches are made from so many earlier contents of each path.
    pub patches_from: usize,
    /// Of zstd, 1 to 22.
    pub level: i32,
    /// Whether anything is written.
    pub rehearsal: Rehearsal,
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// Payloads are made and left in `targets`; nothing is signed.
    Yes,
    /// For nodes to see.
    No,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self { days: Days::default(), patches_from: 3, level: 19, rehearsal: Rehearsal::No }
    }
}

/// What happens, for people who wait.
#[derive(Clone, Debug)]
pub enum PublishEvent {
    /// A payload is made.
    Payload {
        /// Its path.
        path: String,
        /// How far it is.
        progress: Progress,
    },
}

/// What a node has to fetch for a content. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadSize {
    /// The target.
    pub path: String,
    /// The content itself.
    pub plain: u64,
    /// The content compressed; `None`: that is not smaller.
    pub compressed: Option<u64>,
    /// Patches that are smaller still, by base.
    pub patches: Vec<(Content, u64)>,
}

/// What was published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Roles with a new version, and that version.
    pub roles: Vec<(String, u64)>,
    /// What nodes have to fetch for each content of those roles.
    pub sizes: Vec<PayloadSize>,
}

impl Repository {
    /// Publishes what waits; without anything that waits, signs what runs out.
    ///
    /// # Errors
    /// Keys are missing, a node would not follow, or the disk. Then nodes see what they saw before.
    pub fn publish(
        &self,
        keys: &Keys,
        options: &PublishOptions,
        now_unix_s: i64,
        events: &mut dyn FnMut(PublishEvent),
    ) -> Result<Published, PublishError> {
        let mut sizes = Vec::new();
        let mut roles = Vec::new();
        let mut changed = self.drafts()?;
        let main = changed.get(&Role::Targets).or_else(|| self.targets.get(&Role::Targets)).cloned();
        for (role, targets) in &self.targets {
            let half = i64::from(options.days.targets).saturating_mul(86_400 / 2);
            let runs_out = targets.expires_unix_s < now_unix_s.saturating_add(half);
            // Taken out of `main`, a delegated role has no keys, and nodes do not ask for it.
            let counts =
                self.keys_of(role, main.as_ref()).map_or(Ok(true), |set| self.counts(role, targets.version, set))?;
            if (runs_out || !counts) && !changed.contains_key(role) {
                changed.insert(role.clone(), Targets { version: targets.version + 1, ..targets.clone() });
            }
        }
        let mut meta = self.snapshot.meta.clone();
        let mut files = Vec::new();
        for (role, mut targets) in changed.clone() {
            sizes.append(&mut self.complete(&role, &mut targets, options, events)?);
            if options.rehearsal == Rehearsal::Yes {
                continue;
            }
            targets.expires_unix_s = options.days.from(now_unix_s, options.days.targets);
            let set = self.keys_of(&role, main.as_ref())?;
            let bytes = self.signed(sign::targets(&targets)?, &role, set, keys)?;
            meta.insert(role.clone(), MetaFile::of(targets.version, &bytes));
            roles.push((role.name().to_owned(), targets.version));
            files.push((role.file_name(Some(targets.version)), bytes));
        }
        if options.rehearsal == Rehearsal::Yes {
            return Ok(Published { roles, sizes });
        }
        let half = i64::from(options.days.snapshot).saturating_mul(86_400 / 2);
        let mut snapshot_file = self.timestamp.snapshot.clone();
        let runs_out = self.snapshot.expires_unix_s < now_unix_s.saturating_add(half);
        let counts = self.counts(&Role::Snapshot, self.snapshot.version, &self.root.snapshot)?;
        if meta != self.snapshot.meta || runs_out || !counts {
            let version = self.snapshot.version + 1;
            let expires_unix_s = options.days.from(now_unix_s, options.days.snapshot);
            let snapshot = Snapshot { version, expires_unix_s, meta };
            let bytes = self.signed(sign::snapshot(&snapshot)?, &Role::Snapshot, &self.root.snapshot, keys)?;
            snapshot_file = MetaFile::of(version, &bytes);
            roles.push((Role::Snapshot.name().to_owned(), version));
            files.push((Role::Snapshot.file_name(Some(version)), bytes));
        }
        let version = self.timestamp.version + 1;
        let expires_unix_s = options.days.from(now_unix_s, options.days.timestamp);
        let timestamp = Timestamp { version, expires_unix_s, snapshot: snapshot_file };
        let bytes = self.signed(sign::timestamp(&timestamp)?, &Role::Timestamp, &self.root.timestamp, keys)?;
        roles.push((Role::Timestamp.name().to_owned(), version));
        files.push((Role::Timestamp.file_name(None), bytes));
        self.rehearse(&files, now_unix_s)?;
        for (name, bytes) in &files {
            files::write(&self.metadata_path(name), bytes, Readers::All)?;
        }
        for role in changed.keys() {
            files::remove(&self.draft_path(role))?;
        }
        Ok(Published { roles, sizes })
    }

    /// Signs a file with the keys at hand that count for it.
    pub(super) fn signed(
        &self,
        mut file: SignedFile,
        role: &Role,
        set: &KeySet,
        keys: &Keys,
    ) -> Result<Vec<u8>, PublishError> {
        keys.of(set).for_each(|key| file.sign(key));
        let have = file.signed_by(set).len();
        if have < usize::try_from(set.threshold).unwrap_or(usize::MAX) {
            let missing: Vec<&str> = set
                .keys
                .iter()
                .map(selvedge_ota_metadata::Key::id)
                .filter(|id| !keys.has(id))
                .map(|id| id.as_str())
                .collect();
            return Err(PublishError::MissingKeys {
                role: role.name().to_owned(),
                have,
                threshold: set.threshold,
                folder: keys.folder().to_owned(),
                missing: missing.join(", "),
            });
        }
        Ok(file.to_bytes())
    }

    /// Whether the published file of a role has enough signatures of the keys that the role has now.
    fn counts(&self, role: &Role, version: u64, set: &KeySet) -> Result<bool, PublishError> {
        let file = read_signed(&self.metadata_path(&role.file_name(Some(version))))?;
        Ok(file.signed_by(set).len() >= usize::try_from(set.threshold).unwrap_or(usize::MAX))
    }

    fn keys_of<'k>(&'k self, role: &Role, main: Option<&'k Targets>) -> Result<&'k KeySet, PublishError> {
        let Role::Delegated(name) = role else { return Ok(&self.root.targets) };
        let delegations = main.map(|targets| &targets.delegations);
        let delegation = delegations.and_then(|all| all.iter().find(|delegation| delegation.name == *name));
        delegation.map(|delegation| &delegation.keys).ok_or_else(|| PublishError::NoRole {
            role: role.name().to_owned(),
            roles: "no delegation to it".to_owned(),
        })
    }

    /// Follows the repository as it would be, from its first root, as a node that was never updated does.
    fn rehearse(&self, new: &[(String, Vec<u8>)], now_unix_s: i64) -> Result<(), PublishError> {
        let new: BTreeMap<&str, &[u8]> = new.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let refused = |file: &str, cause: &dyn std::fmt::Display| PublishError::Refused(format!("{file}: {cause}"));
        let first = files::read(&self.metadata_path("1.root.json"))?;
        let trust = Trust::pin(&first).map_err(|error| refused("1.root.json", &error))?;
        let mut refresh = trust.begin(Clock::trusted(now_unix_s), Limits::default());
        while let Want::File { path, .. } = refresh.wants() {
            let on_disk: PathBuf = self.metadata_path(&path);
            let step = if let Some(bytes) = new.get(path.as_str()) {
                refresh.give(bytes)
            } else if on_disk.exists() {
                refresh.give(&files::read(&on_disk)?)
            } else {
                refresh.absent()
            };
            step.map_err(|error| refused(&path, &error))?;
        }
        let refreshed = refresh.finish().map_err(|error| PublishError::Refused(error.to_string()))?;
        match refreshed.problems.first() {
            Some(problem) => Err(PublishError::Refused(problem.to_string())),
            None => Ok(()),
        }
    }
}
