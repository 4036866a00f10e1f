//! Root, timestamp, snapshot: one after the other, each refusal final.

use super::{Edge, Refresh, Step};
use crate::refuse::{Refusal, RefuseError};
use crate::role::{Role, Root, Snapshot, Timestamp};
use crate::signed_file::SignedFile;
use crate::trust::Accepted;

impl Refresh {
    /// TUF 5.3.3 to 5.3.8.
    pub(super) fn give_root(&mut self, bytes: &[u8]) -> Result<(), RefuseError> {
        let root = self.next_root(bytes).map_err(|refusal| self.refused(Role::Root, refusal))?;
        let last_possible = root.version == u64::MAX;
        self.trust.replace_root(Accepted::new(bytes, root));
        self.roots += 1;
        if last_possible { self.end_of_roots() } else { Ok(()) }
    }

    fn next_root(&self, bytes: &[u8]) -> Result<Root, Refusal> {
        let before = self.trust.root();
        if self.roots >= self.limits.roots {
            return Err(Refusal::TooManyRoots { max: self.limits.roots });
        }
        let file = SignedFile::read(bytes, self.limits.root_bytes, &self.limits)?;
        file.check_signed_by(&before.root)?;
        let root = Root::read(file.content(), &self.limits)?;
        file.check_signed_by(&root.root)?;
        if root.version <= before.version {
            return Err(Refusal::Rollback { version: root.version, seen: before.version });
        }
        if root.version != before.version.saturating_add(1) {
            return Err(Refusal::OtherVersion { version: root.version, expected: before.version.saturating_add(1) });
        }
        Ok(root)
    }

    /// No root follows: the present one must be fresh (TUF 5.3.10).
    pub(super) fn end_of_roots(&mut self) -> Result<(), RefuseError> {
        let root = self.trust.root();
        if let Err(refusal) = self.check_fresh(root.expires_unix_s) {
            let file = Role::Root.file_name(Some(root.version));
            return Err(RefuseError { role: Role::Root, file, refusal });
        }
        self.step = Step::Timestamp;
        Ok(())
    }

    /// TUF 5.4.
    pub(super) fn give_timestamp(&mut self, bytes: &[u8]) -> Result<(), RefuseError> {
        match self.next_timestamp(bytes) {
            Ok(Some(timestamp)) => self.trust.timestamp = Some(Accepted::new(bytes, timestamp)),
            Ok(None) => {}
            Err(refusal) => return Err(self.refused(Role::Timestamp, refusal)),
        }
        self.step = Step::Snapshot;
        self.use_snapshot_from_before()
    }

    /// None if it is the one that is there already; the one that is there is kept then.
    fn next_timestamp(&self, bytes: &[u8]) -> Result<Option<Timestamp>, Refusal> {
        let file = SignedFile::read(bytes, self.limits.timestamp_bytes, &self.limits)?;
        file.check_signed_by(&self.trust.root().timestamp)?;
        let timestamp = Timestamp::read(file.content())?;
        if let Some(before) = self.trust.timestamp() {
            if timestamp.version < before.version {
                return Err(Refusal::Rollback { version: timestamp.version, seen: before.version });
            }
            if timestamp.version == before.version {
                return self.check_fresh(before.expires_unix_s).map(|()| None);
            }
            let (version, seen) = (timestamp.snapshot.version, before.snapshot.version);
            if version < seen {
                return Err(Refusal::RollbackOf { role: Role::Snapshot, version, seen });
            }
        }
        self.check_fresh(timestamp.expires_unix_s)?;
        Ok(Some(timestamp))
    }

    /// What the timestamp lists may be there already.
    fn use_snapshot_from_before(&mut self) -> Result<(), RefuseError> {
        let Some((snapshot, timestamp)) = self.trust.snapshot.as_ref().zip(self.trust.timestamp()) else {
            return Ok(());
        };
        let listed = &timestamp.snapshot;
        let is_listed = snapshot.content.version == listed.version
            && listed.check(snapshot.text.as_bytes(), Role::Timestamp).is_ok();
        if !is_listed {
            return Ok(());
        }
        self.check_fresh(snapshot.content.expires_unix_s).map_err(|refusal| self.refused(Role::Snapshot, refusal))?;
        self.begin_targets()
    }

    /// TUF 5.5.
    pub(super) fn give_snapshot(&mut self, bytes: &[u8]) -> Result<(), RefuseError> {
        let snapshot = self.next_snapshot(bytes).map_err(|refusal| self.refused(Role::Snapshot, refusal))?;
        self.trust.snapshot = Some(Accepted::new(bytes, snapshot));
        self.begin_targets()
    }

    fn next_snapshot(&self, bytes: &[u8]) -> Result<Snapshot, Refusal> {
        if bytes.len() as u64 > self.limits.snapshot_bytes {
            return Err(Refusal::TooLong { bytes_max: self.limits.snapshot_bytes });
        }
        let listed = self.trust.timestamp().map(|timestamp| &timestamp.snapshot).ok_or(Refusal::NotListed)?;
        listed.check(bytes, Role::Timestamp)?;
        let file = SignedFile::read(bytes, self.limits.snapshot_bytes, &self.limits)?;
        file.check_signed_by(&self.trust.root().snapshot)?;
        let snapshot = Snapshot::read(file.content())?;
        if snapshot.version != listed.version {
            return Err(Refusal::OtherVersion { version: snapshot.version, expected: listed.version });
        }
        if let Some(before) = self.trust.snapshot() {
            snapshot.check_follows(before)?;
        }
        self.check_fresh(snapshot.expires_unix_s)?;
        Ok(snapshot)
    }

    /// From here on every targets file must be one that this snapshot lists.
    fn begin_targets(&mut self) -> Result<(), RefuseError> {
        self.kept = self.trust.set_targets_aside();
        self.edges.push_back(Edge { delegator: Role::Root, role: Role::Targets, depth: 0 });
        self.follow_edges()
    }
}
