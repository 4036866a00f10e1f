//! What a device believes: the end of a chain of roots, and what hangs on it. One value, stored as one document.
//!
//! Not a cache of what a repository has: everything here was verified, and a document that is read again is verified again
//! (except for freshness, which only a [`crate::Refresh`] judges).
//!
//! Invariant: timestamp and snapshot are signed as the root says; every targets file is the one that the snapshot lists and
//! is signed as at least one of its delegators says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use thiserror::Error;

use crate::clock::Clock;
use crate::json::JsonError;
use crate::key::{KeyId, KeySet};
use crate::limits::Limits;
use crate::refresh::Refresh;
use crate::refuse::Refusal;
use crate::role::{Role, Root, Snapshot, Targets, Timestamp};
use crate::signed_file::SignedFile;

mod document;

/// What a device believes.
#[derive(Clone, PartialEq)]
pub struct Trust {
    pub(crate) latest_seen_unix_s: i64,
    pub(crate) root: Accepted<Root>,
    pub(crate) timestamp: Option<Accepted<Timestamp>>,
    pub(crate) snapshot: Option<Accepted<Snapshot>>,
    pub(crate) targets: BTreeMap<Role, AcceptedTargets>,
}

/// A file and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accepted<T> {
    pub(crate) text: Box<str>,
    pub(crate) content: T,
}

/// A targets file, and which delegators' keys have signed it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AcceptedTargets {
    pub(crate) file: Accepted<Targets>,
    pub(crate) vouched_by: BTreeSet<Role>,
}

/// What became of a targets file from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// It belongs to the trust now.
    New,
    /// It did already, and this delegator's keys have signed it too.
    Known,
    /// There is none of the version that the snapshot lists.
    Missing,
}

/// Why a root cannot be pinned.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the root to be trusted is refused: {0}")]
pub struct PinError(Refusal);

/// Why a document is no trust.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrustDocumentError {
    /// Not a document at all.
    #[error("the stored trust is damaged: {0}")]
    Json(JsonError),
    /// JSON of another shape.
    #[error("the stored trust is damaged: {0}")]
    Form(String),
    /// From another program.
    #[error("the stored trust has format {0}, and this program reads format {known}; run a newer program", known = document::FORMAT)]
    Format(u64),
    /// Bits have changed.
    #[error("the stored trust is damaged: its checksum does not fit")]
    Checksum,
    /// A file in it that does not hang on its root.
    #[error("the stored trust is damaged: its {role} is refused: {refusal}")]
    File {
        /// Whose.
        role: Role,
        /// Why.
        refusal: Refusal,
    },
}

/// How a role stands, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which role.
    pub role: Role,
    /// Of its file.
    pub version: u64,
    /// Seconds since 1970.
    pub expires_unix_s: i64,
    /// The keys that may sign it.
    pub keys: Vec<KeyId>,
    /// How many of them must.
    pub threshold: u32,
}

impl Trust {
    /// Starts from a root that came with the device. Whoever gives it is trusted: it is only checked against itself, and not
    /// for freshness.
    ///
    /// # Errors
    /// If it is no root, or not signed by enough of its own keys.
    pub fn pin(root: &[u8]) -> Result<Self, PinError> {
        let limits = Limits::default();
        let root = own_root(root, limits.root_bytes, &limits).map_err(PinError)?;
        Ok(Self { latest_seen_unix_s: 0, root, timestamp: None, snapshot: None, targets: BTreeMap::new() })
    }

    /// Begins to bring the trust up to date. The trust itself stays as it is.
    pub fn begin(&self, clock: Clock, limits: Limits) -> Refresh {
        Refresh::new(self.clone(), clock, limits)
    }

    /// The latest time at which a whole refresh was accepted, in seconds since 1970 by a trusted clock; 0 if never.
    pub fn latest_seen_unix_s(&self) -> i64 {
        self.latest_seen_unix_s
    }

    /// The newest root.
    pub fn root(&self) -> &Root {
        &self.root.content
    }

    /// The newest timestamp.
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref().map(|file| &file.content)
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().map(|file| &file.content)
    }

    /// The file of a role, as it was received.
    pub fn file(&self, role: &Role) -> Option<&str> {
        match role {
            Role::Root => Some(&self.root.text),
            Role::Timestamp => self.timestamp.as_ref().map(|file| &*file.text),
            Role::Snapshot => self.snapshot.as_ref().map(|file| &*file.text),
            Role::Targets | Role::Delegated(_) => self.targets.get(role).map(|accepted| &*accepted.file.text),
        }
    }

    /// Every role of which there is a file.
    pub fn standings(&self) -> Vec<Standing> {
        let root = self.root();
        let standing = |role: &Role, version, expires_unix_s, keys: &KeySet| Standing {
            role: role.clone(),
            version,
            expires_unix_s,
            keys: keys.keys.iter().map(|key| key.id().clone()).collect(),
            threshold: keys.threshold,
        };
        let mut all = vec![standing(&Role::Root, root.version, root.expires_unix_s, &root.root)];
        all.extend(
            self.timestamp().map(|it| standing(&Role::Timestamp, it.version, it.expires_unix_s, &root.timestamp)),
        );
        all.extend(self.snapshot().map(|it| standing(&Role::Snapshot, it.version, it.expires_unix_s, &root.snapshot)));
        for (role, accepted) in &self.targets {
            let it = &accepted.file.content;
            let keys = accepted.vouched_by.iter().find_map(|delegator| self.keys_of(delegator, role));
            all.extend(keys.map(|keys| standing(role, it.version, it.expires_unix_s, keys)));
        }
        all
    }

    /// The keys that a delegator (the root for the targets role) gives a role.
    pub(crate) fn keys_of(&self, delegator: &Role, role: &Role) -> Option<&KeySet> {
        match (delegator, role) {
            (Role::Root, Role::Targets) => Some(&self.root.content.targets),
            (_, Role::Delegated(name)) => {
                let delegations = &self.targets.get(delegator)?.file.content.delegations;
                delegations.iter().find(|delegation| delegation.name == *name).map(|delegation| &delegation.keys)
            }
            _ => None,
        }
    }

    /// Takes a root that follows the present one, and forgets what does not hang on it.
    pub(crate) fn replace_root(&mut self, root: Accepted<Root>) {
        let removes = root.content.removes_online_key(&self.root.content);
        self.root = root;
        let holds = |text: Option<&str>, keys: &KeySet| text.is_some_and(|text| reread(text, keys).is_ok());
        let timestamp = self.timestamp.as_ref().map(|file| &*file.text);
        let snapshot = self.snapshot.as_ref().map(|file| &*file.text);
        if removes || !holds(timestamp, &self.root.content.timestamp) {
            self.timestamp = None;
        }
        if removes || !holds(snapshot, &self.root.content.snapshot) {
            self.snapshot = None;
        }
        let mut kept = self.set_targets_aside();
        self.link(&mut kept);
    }

    /// Takes all targets files out, to be adopted again one by one.
    pub(crate) fn set_targets_aside(&mut self) -> BTreeMap<Role, Accepted<Targets>> {
        std::mem::take(&mut self.targets).into_iter().map(|(role, accepted)| (role, accepted.file)).collect()
    }

    /// Adopts what can be reached from the root and is what the snapshot lists.
    fn link(&mut self, kept: &mut BTreeMap<Role, Accepted<Targets>>) {
        let mut edges = VecDeque::from([(Role::Root, Role::Targets)]);
        while let Some((delegator, role)) = edges.pop_front() {
            if self.adopt(&delegator, &role, kept) == Ok(Adoption::New) {
                edges.extend(self.delegated_by(&role).map(|child| (role.clone(), child)));
            }
        }
    }

    /// The roles to which a role delegates, in its order.
    pub(crate) fn delegated_by(&self, role: &Role) -> impl Iterator<Item = Role> + use<'_> {
        let accepted = self.targets.get(role);
        let delegations = accepted.into_iter().flat_map(|accepted| &accepted.file.content.delegations);
        delegations.map(|delegation| Role::Delegated(delegation.name.clone()))
    }

    /// Tries to have a role without fetching it.
    ///
    /// # Errors
    /// If it belongs to the trust already, but this delegator's keys have not signed it.
    pub(crate) fn adopt(
        &mut self,
        delegator: &Role,
        role: &Role,
        kept: &mut BTreeMap<Role, Accepted<Targets>>,
    ) -> Result<Adoption, Refusal> {
        let keys = self.keys_of(delegator, role).ok_or(Refusal::NotListed)?;
        if let Some(known) = self.targets.get(role) {
            reread(&known.file.text, keys)?;
            if let Some(known) = self.targets.get_mut(role) {
                known.vouched_by.insert(delegator.clone());
            }
            return Ok(Adoption::Known);
        }
        let listed = self.snapshot().and_then(|snapshot| snapshot.meta.get(role)).ok_or(Refusal::NotListed)?;
        let is_listed = |file: &Accepted<Targets>| {
            file.content.version == listed.version
                && listed.check(file.text.as_bytes(), Role::Snapshot).is_ok()
                && reread(&file.text, keys).is_ok()
        };
        if !kept.get(role).is_some_and(is_listed) {
            return Ok(Adoption::Missing);
        }
        let Some(file) = kept.remove(role) else { return Ok(Adoption::Missing) };
        self.targets.insert(role.clone(), AcceptedTargets { file, vouched_by: [delegator.clone()].into() });
        Ok(Adoption::New)
    }
}

/// Short: files are long.
impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("Trust");
        text.field("latest_seen_unix_s", &self.latest_seen_unix_s);
        for standing in self.standings() {
            text.field(standing.role.name(), &standing.version);
        }
        text.finish_non_exhaustive()
    }
}

impl<T> Accepted<T> {
    /// Keeps bytes that were read as JSON before, so they are text.
    pub(crate) fn new(bytes: &[u8], content: T) -> Self {
        Self { text: String::from_utf8_lossy(bytes).into(), content }
    }
}

/// A root that is signed by enough of its own keys.
fn own_root(bytes: &[u8], bytes_max: u64, limits: &Limits) -> Result<Accepted<Root>, Refusal> {
    let file = SignedFile::read(bytes, bytes_max, limits)?;
    let root = Root::read(file.content(), limits)?;
    file.check_signed_by(&root.root)?;
    Ok(Accepted::new(bytes, root))
}

/// Checks the signatures of a file that was accepted before.
fn reread(text: &str, keys: &KeySet) -> Result<SignedFile, Refusal> {
    let file = SignedFile::read(text.as_bytes(), u64::MAX, &Limits::own_document())?;
    file.check_signed_by(keys)?;
    Ok(file)
}
