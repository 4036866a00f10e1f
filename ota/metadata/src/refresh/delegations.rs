//! Targets and delegated roles: every delegation is followed once, nearest first, so that what a delegated role delegates
//! further cannot use up what is allowed before its neighbours had their turn. Cycles end because a role's own delegations are
//! followed only when its file is accepted, which happens once.

use super::{Edge, Refresh, Step};
use crate::refuse::{Refusal, RefuseError};
use crate::role::{Role, Targets};
use crate::signed_file::SignedFile;
use crate::trust::{Accepted, AcceptedTargets, Adoption};

impl Refresh {
    /// Follows delegations until a file must be fetched, or all are done.
    pub(super) fn follow_edges(&mut self) -> Result<(), RefuseError> {
        while let Some(edge) = self.edges.pop_front() {
            match self.follow_without_fetching(&edge) {
                Ok(Adoption::New) => self.add_edges_of(&edge),
                Ok(Adoption::Known) => {}
                Ok(Adoption::Missing) => {
                    self.step = Step::Targets(edge);
                    return Ok(());
                }
                Err(refusal) => {
                    let refused = self.refused(edge.role.clone(), refusal);
                    if edge.role == Role::Targets {
                        return Err(refused);
                    }
                    self.problems.push(refused);
                }
            }
        }
        self.kept.clear();
        self.step = Step::Done;
        Ok(())
    }

    /// TUF 5.6 for a file that is there already.
    fn follow_without_fetching(&mut self, edge: &Edge) -> Result<Adoption, Refusal> {
        if edge.depth > self.limits.delegation_depth {
            return Err(Refusal::TooDeep { max: self.limits.delegation_depth });
        }
        if edge.depth > 0 {
            if self.followed >= self.limits.delegations {
                return Err(Refusal::TooManyDelegations { max: self.limits.delegations });
            }
            self.followed += 1;
        }
        self.trust.snapshot().and_then(|snapshot| snapshot.meta.get(&edge.role)).ok_or(Refusal::NotListed)?;
        let adoption = self.trust.adopt(&edge.delegator, &edge.role, &mut self.kept)?;
        if adoption == Adoption::New {
            let fits = self.check_adopted(&edge.role);
            if fits.is_err() {
                self.trust.targets.remove(&edge.role);
            }
            fits?;
        }
        Ok(adoption)
    }

    fn check_adopted(&self, role: &Role) -> Result<(), Refusal> {
        let accepted = self.trust.targets.get(role).ok_or(Refusal::NotListed)?;
        self.check_fresh(accepted.file.content.expires_unix_s)?;
        self.check_total(0)
    }

    /// TUF 5.6 for a file that was fetched.
    pub(super) fn give_targets(&mut self, edge: &Edge, bytes: &[u8]) -> Result<(), RefuseError> {
        match self.next_targets(edge, bytes) {
            Ok(content) => {
                let file = Accepted::new(bytes, content);
                let accepted = AcceptedTargets { file, vouched_by: [edge.delegator.clone()].into() };
                self.trust.targets.insert(edge.role.clone(), accepted);
                self.kept.remove(&edge.role);
                self.add_edges_of(edge);
                self.follow_edges()
            }
            Err(refusal) => self.refuse_edge(edge, refusal),
        }
    }

    fn next_targets(&self, edge: &Edge, bytes: &[u8]) -> Result<Targets, Refusal> {
        if bytes.len() as u64 > self.limits.targets_bytes {
            return Err(Refusal::TooLong { bytes_max: self.limits.targets_bytes });
        }
        self.check_total(bytes.len() as u64)?;
        let listed =
            self.trust.snapshot().and_then(|snapshot| snapshot.meta.get(&edge.role)).ok_or(Refusal::NotListed)?;
        listed.check(bytes, Role::Snapshot)?;
        let file = SignedFile::read(bytes, self.limits.targets_bytes, &self.limits)?;
        let keys = self.trust.keys_of(&edge.delegator, &edge.role).ok_or(Refusal::NotListed)?;
        file.check_signed_by(keys)?;
        let targets = Targets::read(file.content(), &edge.role, &self.limits)?;
        if targets.version != listed.version {
            return Err(Refusal::OtherVersion { version: targets.version, expected: listed.version });
        }
        self.check_fresh(targets.expires_unix_s)?;
        Ok(targets)
    }

    /// A refused delegated role is set down, and the next one is gone on with.
    pub(super) fn refuse_edge(&mut self, edge: &Edge, refusal: Refusal) -> Result<(), RefuseError> {
        let refused = self.refused(edge.role.clone(), refusal);
        if edge.role != Role::Targets {
            self.problems.push(refused.clone());
            self.follow_edges()?;
        }
        Err(refused)
    }

    fn add_edges_of(&mut self, edge: &Edge) {
        let depth = edge.depth.saturating_add(1);
        let children = self.trust.delegated_by(&edge.role);
        self.edges.extend(children.map(|role| Edge { delegator: edge.role.clone(), role, depth }));
    }

    fn check_total(&self, more: u64) -> Result<(), Refusal> {
        let texts = self.trust.targets.values().map(|accepted| accepted.file.text.len() as u64);
        let max = self.limits.targets_bytes_total;
        if texts.fold(more, u64::saturating_add) > max { Err(Refusal::TooManyBytes { max }) } else { Ok(()) }
    }
}
