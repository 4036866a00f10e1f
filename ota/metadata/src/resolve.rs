//! Which role's word counts for a path: the order of delegations (TUF 5.6.7), before all else the targets role itself.
//!
//! A role that could not be had (withheld, expired, signed by strangers) leaves open what it says. The roles after it are
//! then not asked: whoever withholds a role must not choose who speaks in its place.

use thiserror::Error;

use crate::path::TargetPath;
use crate::role::{Role, Target};
use crate::trust::{AcceptedTargets, Trust};

/// What is to be at a path is not known, which is not the same as nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("what {path} is to be is not known: {role} has a say in it, and there is no valid file of it")]
pub struct UnavailableError {
    /// The path.
    pub path: TargetPath,
    /// The role without a file.
    pub role: Role,
}

impl Trust {
    /// What is to be at a path, and which role says so. None if nobody who may says anything about it.
    ///
    /// # Errors
    /// If a role that has a say could not be had.
    pub fn find(&self, path: &TargetPath) -> Result<Option<(&Role, &Target)>, UnavailableError> {
        let mut asked: Vec<&Role> = Vec::new();
        let mut to_ask = vec![(&Role::Root, Role::Targets)];
        while let Some((delegator, role)) = to_ask.pop() {
            if asked.contains(&&role) {
                continue;
            }
            let accepted = self.targets.get_key_value(&role);
            let Some((role, accepted)) = accepted.filter(|(_, accepted)| accepted.vouched_by.contains(delegator))
            else {
                return Err(UnavailableError { path: path.clone(), role });
            };
            if let Some(target) = accepted.file.content.targets.get(path) {
                return Ok(Some((role, target)));
            }
            asked.push(role);
            let (children, last_word) = children(accepted, path);
            if last_word {
                to_ask.clear();
            }
            to_ask.extend(children.into_iter().rev().map(|child| (role, child)));
        }
        Ok(None)
    }

    /// Everything that is to be somewhere, in the order of roles and paths. Paths of which it is not known what is to be there
    /// are left out, so something that is missing here is not to be removed before [`Trust::find`] says that it is gone.
    pub fn targets(&self) -> impl Iterator<Item = (&TargetPath, &Target)> {
        self.listed().filter(|&(role, path, _)| self.speaks(role, path)).map(|(_, path, target)| (path, target))
    }

    /// What roles list without effect: others speak for these paths, or nobody let them.
    pub fn ignored(&self) -> impl Iterator<Item = (&Role, &TargetPath)> {
        self.listed().filter(|&(role, path, _)| !self.speaks(role, path)).map(|(role, path, _)| (role, path))
    }

    /// Where the repository keeps the content of a target, below its targets folder. Not encoded for a URL.
    pub fn content_path(&self, path: &TargetPath, target: &Target) -> String {
        match self.root().consistent_snapshot {
            true => path.hashed_path(&target.sha256),
            false => path.to_string(),
        }
    }

    fn listed(&self) -> impl Iterator<Item = (&Role, &TargetPath, &Target)> {
        self.targets.iter().flat_map(move |(role, accepted)| {
            accepted.file.content.targets.iter().map(move |(path, target)| (role, path, target))
        })
    }

    fn speaks(&self, role: &Role, path: &TargetPath) -> bool {
        self.find(path).is_ok_and(|found| found.is_some_and(|(speaker, _)| speaker == role))
    }
}

/// Whom a role lets speak for a path, and whether nobody else may then.
fn children(accepted: &AcceptedTargets, path: &TargetPath) -> (Vec<Role>, bool) {
    let mut children = Vec::new();
    for delegation in accepted.file.content.delegations.iter().filter(|delegation| delegation.covers(path)) {
        children.push(Role::Delegated(delegation.name.clone()));
        if delegation.terminating {
            return (children, true);
        }
    }
    (children, false)
}
