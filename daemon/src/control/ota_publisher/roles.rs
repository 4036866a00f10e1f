//! `ota delegate`, `ota rotate` and `ota sign`: who may sign what.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use selvedge_ota::metadata::{Key, KeyId, KeySet, PathPattern, Role, Root};
use selvedge_ota::publisher::{Days, Keys, Repository, RootChange, keys, sign_file};
use serde_json::{Value, json};

use super::{now_unix_s, short, tell, waits_for_publish};
use crate::arguments::ota_publisher::{OtaDelegateArguments, OtaRotateArguments, OtaSignArguments};
use crate::control::output::escaped;

pub(super) fn delegate(arguments: &OtaDelegateArguments) -> anyhow::Result<()> {
    let repository = Repository::open(&arguments.repository)?;
    let set = KeySet { keys: public_keys(&arguments.keys)?, threshold: arguments.threshold };
    let paths = arguments.paths.iter().map(PathPattern::new).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<&str> = set.keys.iter().map(|key| key.id().as_str()).collect();
    let report = json!({
        "role": arguments.role, "paths": arguments.paths, "keys": ids, "threshold": arguments.threshold,
    });
    repository.delegate(&arguments.role, set, paths, now_unix_s()?, Days::default().targets)?;
    tell(arguments.json, &report, || {
        format!(
            "{} may sign {} with {} of {} keys; {}",
            escaped(&arguments.role),
            escaped(&arguments.paths.join(", ")),
            arguments.threshold,
            arguments.keys.len(),
            waits_for_publish(&arguments.repository)
        )
    })
}

pub(super) fn rotate(arguments: &OtaRotateArguments) -> anyhow::Result<()> {
    let repository = Repository::open(&arguments.repository)?;
    if let Some(draft) = waiting_root(&repository) {
        let draft = draft.display();
        bail!("{draft} waits for signatures (selvedge ota sign); remove that file to begin again");
    }
    let keys = Keys::read(&arguments.keys.keys)?;
    let role = Role::named(&arguments.role)?;
    let add = public_keys(&arguments.add)?;
    let remove = match key_set(repository.root(), &role) {
        Some(set) => arguments.remove.iter().map(|start| one_key(set, &role, start)).collect::<anyhow::Result<_>>()?,
        // The library says which roles there are.
        None => Vec::new(),
    };
    let (now, days) = (now_unix_s()?, Days::from(arguments.days));
    let change = repository.rotate(&role, (add, &remove), arguments.threshold, &keys, (now, &days))?;
    tell_change(arguments.json, &change, &arguments.repository)
}

pub(super) fn sign(arguments: &OtaSignArguments) -> anyhow::Result<()> {
    let place = &arguments.place;
    let keys = Keys::read(&arguments.keys.keys)?;
    if place.is_dir() {
        let change = Repository::open(place)?.sign_waiting_root(&keys)?;
        return tell_change(arguments.json, &change, place);
    }
    ensure!(place.is_file(), "{} is neither a repository nor a metadata file", place.display());
    ensure!(keys.public().next().is_some(), "there is no key in {}", keys.folder().display());
    // With a folder before its name, into which a new file can be put in the place of the old one.
    let file = std::path::absolute(place).with_context(|| format!("find {}", place.display()))?;
    let count = sign_file(&file, &keys)?;
    tell(arguments.json, &json!({ "file": place, "signatures": count }), || {
        format!("{} has {count} more signature{}", place.display(), if count == 1 { "" } else { "s" })
    })
}

fn tell_change(as_json: bool, change: &RootChange, repository: &Path) -> anyhow::Result<()> {
    let report = match change {
        RootChange::Published { version } => json!({ "published": true, "version": version }),
        RootChange::Waits { draft, before, own } => {
            let of = |(have, need): &(usize, u32)| json!({ "have": have, "need": need });
            json!({ "published": false, "draft": draft, "keys_before": of(before), "keys_after": of(own) })
        }
    };
    let repository = repository.display();
    tell(as_json, &report, || {
        match change {
        RootChange::Published { version } => [
            format!("root {version} is published"),
            format!("next: selvedge ota publish {repository}, so that what the roles have signed fits their keys"),
        ]
        .join("\n"),
        RootChange::Waits { draft, before: (has, needs), own: (own, own_needs) } => [
            format!(
                "{} waits: it has {has} of {needs} signatures of the root's keys before, and {own} of {own_needs} of those after",
                draft.display()
            ),
            format!("next, where the other keys are: selvedge ota sign {repository} --keys DIR (or sign a copy of the file)"),
        ]
        .join("\n"),
    }
    })
}

/// The root that waits for signatures, if one does.
pub(super) fn waiting_root(repository: &Repository) -> Option<PathBuf> {
    let name = Role::Root.file_name(Some(repository.root().version.checked_add(1)?));
    Some(repository.folder().join("draft").join(name)).filter(|path| path.exists())
}

/// The keys of one of the four roles.
pub(super) fn key_set<'r>(root: &'r Root, role: &Role) -> Option<&'r KeySet> {
    match role {
        Role::Root => Some(&root.root),
        Role::Targets => Some(&root.targets),
        Role::Snapshot => Some(&root.snapshot),
        Role::Timestamp => Some(&root.timestamp),
        Role::Delegated(_) => None,
    }
}

/// The id of the one key that begins like that: a slip must not remove keys that nobody meant.
fn one_key(set: &KeySet, role: &Role, start: &str) -> anyhow::Result<String> {
    let ids = || set.keys.iter().map(Key::id).map(KeyId::as_str);
    let mut meant = ids().filter(|id| !start.is_empty() && id.starts_with(start));
    let all = || ids().map(short).collect::<Vec<_>>().join(", ");
    let id = meant.next().with_context(|| format!("{role} has no key {start:?}; it has {}", all()))?;
    ensure!(meant.next().is_none(), "{role} has several keys that begin with {start:?}: {}", all());
    Ok(id.to_owned())
}

fn public_keys(paths: &[PathBuf]) -> anyhow::Result<Vec<Key>> {
    Ok(paths.iter().map(|path| keys::read_public(path)).collect::<Result<_, _>>()?)
}

/// Key ids for a report.
pub(super) fn ids(set: &KeySet) -> Vec<Value> {
    set.keys.iter().map(|key| json!(key.id().as_str())).collect()
}
