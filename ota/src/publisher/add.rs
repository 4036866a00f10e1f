//! Changes that wait for `publish`: contents, delegations, pauses and roll-outs.

use std::path::Path;

use selvedge_ota_metadata::sign;
use selvedge_ota_metadata::{
    Content, Delegation, KeySet, Kind, PathPattern, Role, RoleName, Rollout, Target, TargetPath, Targets,
};
use selvedge_ota_slots::Digest;

use super::files::{self, Readers, at};
use super::{PublishError, Repository};

/// A content for the repository.
#[derive(Clone, Debug)]
pub struct Addition<'a> {
    /// The file with it.
    pub file: &'a Path,
    /// Its path there.
    pub path: &'a str,
    /// What it is.
    pub kind: Kind,
    /// The role that signs it.
    pub role: &'a str,
}

/// What was added.
#[derive(Clone, Debug)]
pub struct Added {
    /// Its path in the repository.
    pub path: TargetPath,
    /// Of the content.
    pub content: Content,
    /// Whether something was there under that path.
    pub replaced: bool,
}

impl Repository {
    /// Adds a content, or replaces the one of that path. Nobody sees it before it is published.
    ///
    /// # Errors
    /// It makes no sense, the role may not sign that path, or the disk.
    pub fn add(&self, addition: &Addition<'_>) -> Result<Added, PublishError> {
        let role = self.role(addition.role)?;
        let path = TargetPath::new(addition.path)?;
        self.require_covered(&role, &path)?;
        let bytes = std::fs::read(addition.file).map_err(at("read", addition.file))?;
        let digest = Digest::of(&bytes);
        let content = Content { length: digest.length, sha256: digest.sha256 };
        let custom = Some(addition.kind.to_custom()?);
        files::write(&self.content_path(&path, &content), &bytes, Readers::All)?;
        let target = Target { length: content.length, sha256: content.sha256, custom };
        let mut replaced = false;
        self.change_draft(&role, |targets| {
            replaced = targets.targets.insert(path.clone(), target).is_some();
            Ok(())
        })?;
        Ok(Added { path, content, replaced })
    }

    /// Takes a target away. Nodes that have it keep it.
    ///
    /// # Errors
    /// There is none, or the disk.
    pub fn remove(&self, role: &str, path: &str) -> Result<(), PublishError> {
        let role = self.role(role)?;
        let path = TargetPath::new(path)?;
        self.change_draft(&role, |targets| match targets.targets.remove(&path) {
            Some(_) => Ok(()),
            None => Err(PublishError::NoTarget { path: path.to_string() }),
        })
    }

    /// Changes to whom a target goes: a part of the nodes, or nobody for now.
    ///
    /// # Errors
    /// There is no such target, or the disk.
    pub fn stage(
        &self,
        role: &str,
        path: &str,
        rollout: Option<Option<Rollout>>,
        paused: Option<bool>,
    ) -> Result<(), PublishError> {
        let role = self.role(role)?;
        let path = TargetPath::new(path)?;
        self.change_draft(&role, |targets| {
            let target = targets.targets.get_mut(&path);
            let target = target.ok_or_else(|| PublishError::NoTarget { path: path.to_string() })?;
            let kind = target.kind()?.ok_or_else(|| PublishError::NoTarget { path: path.to_string() })?;
            target.custom = Some(kind.staged(rollout, paused).to_custom()?);
            Ok(())
        })
    }

    /// Lets another role sign some paths.
    ///
    /// # Errors
    /// Name or patterns make no sense, or the disk.
    pub fn delegate(
        &self,
        name: &str,
        keys: KeySet,
        paths: Vec<PathPattern>,
        now_unix_s: i64,
        days: u32,
    ) -> Result<(), PublishError> {
        let role = RoleName::new(name)?;
        let delegation = Delegation { name: role.clone(), keys, paths, terminating: true };
        self.change_draft(&Role::Targets, |targets| {
            targets.delegations.retain(|known| known.name != role);
            targets.delegations.push(delegation);
            Ok(())
        })?;
        let role = Role::Delegated(role);
        if self.targets.contains_key(&role) {
            return Ok(());
        }
        let expires_unix_s = now_unix_s.saturating_add(i64::from(days).saturating_mul(86_400));
        let empty = Targets { version: 0, expires_unix_s, targets: Default::default(), delegations: Vec::new() };
        self.write_draft(&role, empty)
    }

    /// Where a content of the repository is.
    pub(super) fn content_path(&self, path: &TargetPath, content: &Content) -> std::path::PathBuf {
        self.folder.join("targets").join(path.hashed_path(&content.sha256))
    }

    fn require_covered(&self, role: &Role, path: &TargetPath) -> Result<(), PublishError> {
        let Role::Delegated(name) = role else { return Ok(()) };
        let draft = self.drafts()?.remove(&Role::Targets);
        let Some(targets) = draft.as_ref().or_else(|| self.targets.get(&Role::Targets)) else { return Ok(()) };
        let delegation = targets.delegations.iter().find(|delegation| delegation.name == *name);
        if delegation.is_some_and(|delegation| delegation.covers(path)) {
            return Ok(());
        }
        let patterns: Vec<&str> =
            delegation.iter().flat_map(|delegation| &delegation.paths).map(PathPattern::as_str).collect();
        Err(PublishError::OutsideRole {
            role: role.name().to_owned(),
            path: path.to_string(),
            patterns: patterns.join(", "),
        })
    }

    fn change_draft(
        &self,
        role: &Role,
        change: impl FnOnce(&mut Targets) -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        let mut drafts = self.drafts()?;
        let draft = drafts.remove(role).or_else(|| self.targets.get(role).cloned());
        let mut targets =
            draft.ok_or_else(|| PublishError::NoRole { role: role.name().to_owned(), roles: String::new() })?;
        change(&mut targets)?;
        self.write_draft(role, targets)
    }

    /// A draft has the version after the published one, so that it is a file of its own.
    fn write_draft(&self, role: &Role, mut targets: Targets) -> Result<(), PublishError> {
        targets.version = self.targets.get(role).map_or(0, |published| published.version) + 1;
        let bytes = sign::targets(&targets)?.to_bytes();
        files::write(&self.draft_path(role), &bytes, Readers::Owner)
    }
}
