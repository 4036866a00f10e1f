//! One file with what an update needs, for a stick, an HTTP push or MQTT.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use selvedge_ota_metadata::{Kind, Role, TargetPath};

use super::files::at;
use super::{PublishError, Repository};

/// What is in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Files.
    pub files: usize,
    /// Bytes of the bundle.
    pub bytes: u64,
    /// Targets that it brings, each with the payload that was chosen.
    pub targets: Vec<(String, String)>,
}

/// Writes a bundle of `repository` to `output`: all roots and current metadata, and for each target (or those in `only`) the patch from the
/// contents in `bases` (hexadecimal, or their beginnings) where there is one, and otherwise the shortest way from nothing.
///
/// # Errors
/// A file cannot be read or written, or `only` names what is not there.
pub fn bundle(
    repository: &Repository,
    output: &Path,
    only: &[String],
    bases: &[String],
) -> Result<Bundled, PublishError> {
    let mut paths = metadata(repository);
    let mut targets = Vec::new();
    for (path, target) in repository.all_targets() {
        let is_ours = matches!(target.kind(), Ok(Some(kind)) if !matches!(kind, Kind::Patch { .. }));
        if !is_ours || (!only.is_empty() && !only.iter().any(|only| only == path.as_str())) {
            continue;
        }
        let (payload, file) = shortest(repository, path, bases);
        targets.push((path.to_string(), payload));
        paths.insert(file);
    }
    if let Some(missing) = only.iter().find(|only| !targets.iter().any(|(path, _)| path == *only)) {
        return Err(PublishError::NoTarget { path: missing.clone() });
    }
    let temporary = output.with_extension("new");
    let bytes = write(repository, &temporary, &paths).map_err(at("write", &temporary))?;
    std::fs::rename(&temporary, output).map_err(at("write", output))?;
    Ok(Bundled { files: paths.len(), bytes, targets })
}

fn metadata(repository: &Repository) -> BTreeSet<PathBuf> {
    let mut names = vec![Role::Timestamp.file_name(None)];
    names.extend((1..=repository.root.version).map(|version| Role::Root.file_name(Some(version))));
    names.push(Role::Snapshot.file_name(Some(repository.snapshot.version)));
    names.extend(repository.snapshot.meta.iter().map(|(role, file)| role.file_name(Some(file.version))));
    names.into_iter().map(|name| Path::new("metadata").join(name)).collect()
}

/// The payload to take along for a target, and its file.
fn shortest(repository: &Repository, path: &TargetPath, bases: &[String]) -> (String, PathBuf) {
    let all = repository.all_targets();
    let wanted = all.get(path).map(|target| target.content());
    let mut ways: Vec<(u64, String, PathBuf)> = Vec::new();
    for (payload, target) in all {
        let is_way = match target.kind() {
            Ok(Some(Kind::Patch { base: None, result })) => Some(result) == wanted,
            Ok(Some(Kind::Patch { base: Some(base), result })) => {
                let base = crate::content::hex(&base.sha256);
                Some(result) == wanted && bases.iter().any(|wanted| base.starts_with(wanted.as_str()))
            }
            _ => payload == path,
        };
        if is_way {
            let file = Path::new("targets").join(payload.hashed_path(&target.sha256));
            ways.push((target.length, payload.to_string(), file));
        }
    }
    ways.sort();
    ways.into_iter().next().map(|(_, payload, file)| (payload, file)).unwrap_or_default()
}

fn write(repository: &Repository, output: &Path, paths: &BTreeSet<PathBuf>) -> io::Result<u64> {
    let mut builder = tar::Builder::new(BufWriter::new(File::create(output)?));
    builder.mode(tar::HeaderMode::Deterministic);
    for path in paths {
        builder.append_path_with_name(repository.folder().join(path), path)?;
    }
    let file = builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
