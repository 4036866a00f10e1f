//! One refresh: the client workflow of TUF (section 5.3 to 5.6), as a machine that says which file it wants next.
//!
//! Roots one by one, then timestamp, snapshot, targets, and every role that is delegated to, nearest first. Checks of a file,
//! in this order: size, hash where one is listed, signatures by enough distinct keys, form (with the fingerprints of the keys
//! in it), version, expiry. Of roots only the last must be fresh, so that a device that slept for years can follow the chain.
//!
//! A top-level file that is refused stops the refresh. A delegated role that is refused does not: it is listed among the
//! problems and what it has a say in is not known ([`crate::UnavailableError`]). Otherwise the holder of one function's key
//! could keep a node from an update of its daemon.
//!
//! Invariant: [`Refresh::trust_so_far`] is at every moment a trust that may be stored.

use std::collections::{BTreeMap, VecDeque};

use thiserror::Error;

use crate::clock::Clock;
use crate::limits::Limits;
use crate::refuse::{Refusal, RefuseError};
use crate::role::{Role, Targets};
use crate::trust::{Accepted, Trust};

mod delegations;
mod top_level;

/// A refresh under way.
#[derive(Clone, Debug)]
pub struct Refresh {
    trust: Trust,
    now_unix_s: i64,
    clock: Clock,
    limits: Limits,
    step: Step,
    roots: u32,
    /// Targets files from before that may still be the newest.
    kept: BTreeMap<Role, Accepted<Targets>>,
    edges: VecDeque<Edge>,
    followed: u32,
    problems: Vec<RefuseError>,
}

/// What a refresh waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// A file, to be given with [`Refresh::give`] or declared [`Refresh::absent`].
    File {
        /// Name below the metadata folder of the repository, as it stands in a URL.
        path: String,
        /// Nobody needs to read further than this.
        bytes_max: u64,
        /// Whether it is normal that there is none: the next root.
        optional: bool,
        /// Whose it is.
        role: Role,
    },
    /// Nothing more: [`Refresh::finish`].
    Done,
}

/// The end of a refresh.
#[derive(Clone, Debug, PartialEq)]
pub struct Refreshed {
    /// What is believed now.
    pub trust: Trust,
    /// Delegated roles that were refused.
    pub problems: Vec<RefuseError>,
}

/// Why a refresh has not come to its end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FinishError {
    /// Something is still wanted.
    #[error("the refresh is not finished: it still needs {0}")]
    Unfinished(String),
    /// Stopped before.
    #[error(transparent)]
    Refused(RefuseError),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Root,
    Timestamp,
    Snapshot,
    Targets(Edge),
    Done,
    Stopped(RefuseError),
}

/// One delegation to be followed; the root's to the targets role is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    delegator: Role,
    role: Role,
    depth: u32,
}

impl Refresh {
    pub(crate) fn new(trust: Trust, clock: Clock, limits: Limits) -> Self {
        let mut refresh = Self {
            now_unix_s: clock.effective(trust.latest_seen_unix_s),
            trust,
            clock,
            limits,
            step: Step::Root,
            roots: 0,
            kept: BTreeMap::new(),
            edges: VecDeque::new(),
            followed: 0,
            problems: Vec::new(),
        };
        if refresh.trust.root().version == u64::MAX {
            // No version can follow. A refusal is kept for `finish`.
            let outcome = refresh.end_of_roots();
            let _kept = refresh.settle(outcome);
        }
        refresh
    }

    /// What is needed next.
    pub fn wants(&self) -> Want {
        let (role, bytes_max) = match &self.step {
            Step::Root => (Role::Root, self.limits.root_bytes),
            Step::Timestamp => (Role::Timestamp, self.limits.timestamp_bytes),
            Step::Snapshot => (Role::Snapshot, self.limits.snapshot_bytes),
            Step::Targets(edge) => (edge.role.clone(), self.limits.targets_bytes),
            Step::Done | Step::Stopped(_) => return Want::Done,
        };
        let bytes_max = self.listed_length(&role).map_or(bytes_max, |length| length.min(bytes_max));
        Want::File { path: self.file_name(&role), bytes_max, optional: role == Role::Root, role }
    }

    /// Takes the file that is wanted.
    ///
    /// # Errors
    /// If it is refused. After a refusal of a top-level file nothing more is wanted; after that of a delegated role the next
    /// one may be.
    pub fn give(&mut self, bytes: &[u8]) -> Result<(), RefuseError> {
        let outcome = match self.step.clone() {
            Step::Root => self.give_root(bytes),
            Step::Timestamp => self.give_timestamp(bytes),
            Step::Snapshot => self.give_snapshot(bytes),
            Step::Targets(edge) => self.give_targets(&edge, bytes),
            Step::Done => Ok(()),
            Step::Stopped(refused) => Err(refused),
        };
        self.settle(outcome)
    }

    /// The repository has no such file.
    ///
    /// # Errors
    /// If there must be one, or the root, which is the last then, has expired.
    pub fn absent(&mut self) -> Result<(), RefuseError> {
        let outcome = match self.step.clone() {
            Step::Root => self.end_of_roots(),
            Step::Timestamp => Err(self.refused(Role::Timestamp, Refusal::Absent)),
            Step::Snapshot => Err(self.refused(Role::Snapshot, Refusal::Absent)),
            Step::Targets(edge) => self.refuse_edge(&edge, Refusal::Absent),
            Step::Done => Ok(()),
            Step::Stopped(refused) => Err(refused),
        };
        self.settle(outcome)
    }

    /// What is believed at this moment; may be stored at any time, and should be after every accepted root.
    pub fn trust_so_far(&self) -> &Trust {
        &self.trust
    }

    /// Delegated roles that were refused so far.
    pub fn problems(&self) -> &[RefuseError] {
        &self.problems
    }

    /// The new trust, once nothing is wanted any more. Only here the time that a trusted clock shows is remembered.
    ///
    /// # Errors
    /// If the refresh was stopped or is not finished. [`Refresh::trust_so_far`] is still worth keeping.
    pub fn finish(mut self) -> Result<Refreshed, FinishError> {
        match (self.wants(), self.step) {
            (Want::File { path, .. }, _) => Err(FinishError::Unfinished(path)),
            (Want::Done, Step::Stopped(refused)) => Err(FinishError::Refused(refused)),
            (Want::Done, _) => {
                self.trust.latest_seen_unix_s = self.clock.latest_seen(self.trust.latest_seen_unix_s);
                Ok(Refreshed { trust: self.trust, problems: self.problems })
            }
        }
    }

    /// After a refusal of a top-level file there is no going on.
    fn settle(&mut self, outcome: Result<(), RefuseError>) -> Result<(), RefuseError> {
        if let Err(refused) = &outcome
            && !matches!(refused.role, Role::Delegated(_))
        {
            self.step = Step::Stopped(refused.clone());
        }
        outcome
    }

    fn refused(&self, role: Role, refusal: Refusal) -> RefuseError {
        RefuseError { file: self.file_name(&role), role, refusal }
    }

    /// The name under which the file that comes next is asked for.
    fn file_name(&self, role: &Role) -> String {
        let version = match role {
            Role::Root => Some(self.trust.root().version.saturating_add(1)),
            Role::Timestamp => None,
            _ if !self.trust.root().consistent_snapshot => None,
            Role::Snapshot => self.trust.timestamp().map(|timestamp| timestamp.snapshot.version),
            Role::Targets | Role::Delegated(_) => {
                self.trust.snapshot().and_then(|snapshot| snapshot.meta.get(role)).map(|listed| listed.version)
            }
        };
        role.file_name(version)
    }

    fn listed_length(&self, role: &Role) -> Option<u64> {
        match role {
            Role::Root | Role::Timestamp => None,
            Role::Snapshot => self.trust.timestamp()?.snapshot.length,
            Role::Targets | Role::Delegated(_) => self.trust.snapshot()?.meta.get(role)?.length,
        }
    }

    fn check_fresh(&self, expires_unix_s: i64) -> Result<(), Refusal> {
        if self.now_unix_s >= expires_unix_s {
            return Err(Refusal::Expired { expires_unix_s, now_unix_s: self.now_unix_s });
        }
        Ok(())
    }
}
