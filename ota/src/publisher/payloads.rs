//! The shorter ways to a content: itself compressed, and patches from what was published under its path before.

use std::collections::BTreeMap;

use selvedge_ota_metadata::{Content, Kind, Role, SignedFile, Target, TargetPath, Targets};
use selvedge_ota_patch::{Options, Progress, make_full, make_patch};

use super::files::{self, Readers};
use super::publication::{PayloadSize, PublishEvent, PublishOptions};
use super::{PublishError, Repository, read};

impl Repository {
    /// Gives each content of `targets` the payloads that are smaller than what is there without them, and takes away those that lead
    /// nowhere any more.
    pub(super) fn complete(
        &self,
        role: &Role,
        targets: &mut Targets,
        options: &PublishOptions,
        events: &mut dyn FnMut(PublishEvent),
    ) -> Result<Vec<PayloadSize>, PublishError> {
        let wanted: Vec<(TargetPath, Content)> = targets
            .targets
            .iter()
            .filter(|(_, target)| !matches!(target.kind(), Ok(None | Some(Kind::Patch { .. })) | Err(_)))
            .map(|(path, target)| (path.clone(), target.content()))
            .collect();
        targets.targets.retain(|_, target| match target.kind() {
            Ok(Some(Kind::Patch { result, .. })) => wanted.iter().any(|(_, content)| *content == result),
            _ => true,
        });
        let mut sizes = Vec::new();
        for (path, content) in wanted {
            let earlier = self.earlier(role, &path, content, options.patches_from)?;
            sizes.push(self.complete_one(targets, &path, content, &earlier, options, events)?);
        }
        Ok(sizes)
    }

    fn complete_one(
        &self,
        targets: &mut Targets,
        path: &TargetPath,
        content: Content,
        earlier: &[Content],
        options: &PublishOptions,
        events: &mut dyn FnMut(PublishEvent),
    ) -> Result<PayloadSize, PublishError> {
        let mut size = PayloadSize { path: path.to_string(), plain: content.length, compressed: None, patches: vec![] };
        let new = files::read(&self.content_path(path, &content))?;
        let effort = Options { level: options.level, ..Options::default() };
        let name = path.to_string();
        let failed = |source| PublishError::Payload { path: name.clone(), source };
        for base in std::iter::once(None).chain(earlier.iter().copied().map(Some)) {
            let payload_path = payload_path(path, content, base)?;
            // The shortest way that a node without this payload has.
            let limit = size.compressed.unwrap_or(size.plain);
            let length = match targets.targets.get(&payload_path) {
                Some(known) => known.length,
                None => {
                    let mut report =
                        |progress: Progress| events(PublishEvent::Payload { path: payload_path.to_string(), progress });
                    let made = match base {
                        None => make_full(&new, &effort, &mut report),
                        Some(base) => {
                            let old = files::read(&self.content_path(path, &base))?;
                            make_patch(&old, &new, &effort, &mut report)
                        }
                    }
                    .map_err(failed)?;
                    let length = made.bytes.len() as u64;
                    if length >= limit {
                        continue;
                    }
                    let digest = selvedge_ota_slots::Digest::of(&made.bytes);
                    let payload = Content { length, sha256: digest.sha256 };
                    files::write(&self.content_path(&payload_path, &payload), &made.bytes, Readers::All)?;
                    let custom = Some(Kind::Patch { base, result: content }.to_custom()?);
                    targets.targets.insert(payload_path, Target { length, sha256: payload.sha256, custom });
                    length
                }
            };
            match base {
                None => size.compressed = Some(length),
                Some(base) => size.patches.push((base, length)),
            }
        }
        Ok(size)
    }

    /// The last contents under `path` that were published before `content`, newest first.
    fn earlier(
        &self,
        role: &Role,
        path: &TargetPath,
        content: Content,
        count: usize,
    ) -> Result<Vec<Content>, PublishError> {
        let mut found = Vec::new();
        let mut version = self.targets.get(role).map_or(0, |published| published.version);
        while version > 0 && found.len() < count {
            let file = self.metadata_path(&role.file_name(Some(version)));
            version -= 1;
            if !file.exists() {
                continue;
            }
            let Some(target) = read(&file, SignedFile::targets)?.targets.remove(path) else { continue };
            let earlier = target.content();
            if earlier != content && !found.contains(&earlier) && self.content_path(path, &earlier).exists() {
                found.push(earlier);
            }
        }
        Ok(found)
    }

    /// What the whole repository says, by path: the targets role goes before those that it delegates to.
    pub(super) fn all_targets(&self) -> BTreeMap<&TargetPath, &Target> {
        let mut all = BTreeMap::new();
        let own = self.targets.get(&Role::Targets);
        for targets in own.into_iter().chain(self.targets.values()) {
            for (path, target) in &targets.targets {
                all.entry(path).or_insert(target);
            }
        }
        all
    }
}

/// Beside its target, so that whoever may sign the one may sign the other.
fn payload_path(path: &TargetPath, content: Content, base: Option<Content>) -> Result<TargetPath, PublishError> {
    let short = |content: Content| crate::content::hex(content.sha256.get(..6).unwrap_or_default());
    let result = short(content);
    Ok(TargetPath::new(match base {
        None => format!("{path}.{result}.full"),
        Some(base) => format!("{path}.{result}.from.{}", short(base)),
    })?)
}
