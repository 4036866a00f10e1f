//! `ota list`: what a repository says, and what waits.

use std::collections::BTreeMap;

use selvedge_ota::metadata::{KeySet, Kind, Role, Target, TargetPath, Targets, format_time};
use selvedge_ota::publisher::Repository;
use serde_json::{Map, Value, json};

use super::roles::{ids, key_set, waiting_root};
use super::{hexadecimal, now_unix_s, short, tell};
use crate::arguments::ota_publisher::OtaListArguments;
use crate::control::output::escaped;

pub(super) fn list(arguments: &OtaListArguments) -> anyhow::Result<()> {
    let repository = Repository::open(&arguments.repository)?;
    let drafts = repository.drafts()?;
    let now = now_unix_s()?;
    let roles: Vec<Value> = roles(&repository, now);
    let targets: Vec<Value> = repository.targets().iter().flat_map(|(role, targets)| rows(role, targets)).collect();
    let waits: Vec<Value> = drafts.iter().flat_map(|(role, draft)| changes(&repository, role, draft)).collect();
    let root = waiting_root(&repository);
    let report = json!({ "roles": roles, "targets": targets, "waits": waits, "waiting_root": root });
    tell(arguments.json, &report, || text(&report))
}

fn roles(repository: &Repository, now_unix_s: i64) -> Vec<Value> {
    let root = repository.root();
    let row = |role: &Role, version: u64, expires_unix_s: i64, set: Option<&KeySet>| {
        json!({
            "role": role.name(), "version": version,
            "expires": format_time(expires_unix_s), "expired": expires_unix_s <= now_unix_s,
            "threshold": set.map(|set| set.threshold), "keys": set.map(ids).unwrap_or_default(),
        })
    };
    let (timestamp, snapshot) = (repository.timestamp(), repository.snapshot());
    let mut rows = vec![
        row(&Role::Root, root.version, root.expires_unix_s, Some(&root.root)),
        row(&Role::Timestamp, timestamp.version, timestamp.expires_unix_s, Some(&root.timestamp)),
        row(&Role::Snapshot, snapshot.version, snapshot.expires_unix_s, Some(&root.snapshot)),
    ];
    let delegations = repository.targets().get(&Role::Targets).map(|targets| targets.delegations.as_slice());
    for (role, targets) in repository.targets() {
        let delegation =
            delegations.unwrap_or_default().iter().find(|delegation| delegation.name.as_str() == role.name());
        let set = key_set(root, role).or(delegation.map(|delegation| &delegation.keys));
        let mut row = row(role, targets.version, targets.expires_unix_s, set);
        if let (Some(delegation), Some(row)) = (delegation, row.as_object_mut()) {
            let paths: Vec<&str> = delegation.paths.iter().map(selvedge_ota::metadata::PathPattern::as_str).collect();
            row.insert("paths".to_owned(), json!(paths));
        }
        rows.push(row);
    }
    rows
}

/// A row for each content; payloads are told with the content that they lead to.
fn rows(role: &Role, targets: &Targets) -> Vec<Value> {
    let kinds: Vec<(&TargetPath, &Target, Option<Kind>)> =
        targets.targets.iter().map(|(path, target)| (path, target, target.kind().ok().flatten())).collect();
    let mut rows = Vec::new();
    for (path, target, kind) in &kinds {
        if matches!(kind, Some(Kind::Patch { .. })) {
            continue;
        }
        let payloads: Vec<Value> = kinds
            .iter()
            .filter_map(|(path, payload, kind)| match kind {
                Some(Kind::Patch { base, result }) if *result == target.content() => {
                    let from = base.map(|base| hexadecimal(&base.sha256));
                    Some(json!({ "path": path.as_str(), "bytes": payload.length, "from": from }))
                }
                _ => None,
            })
            .collect();
        let mut row = json!({
            "path": path.as_str(), "role": role.name(), "bytes": target.length,
            "sha256": hexadecimal(&target.sha256), "payloads": payloads,
        });
        if let Some(row) = row.as_object_mut() {
            row.extend(about(target));
        }
        rows.push(row);
    }
    rows
}

/// What nodes are told of a target, without the text of a function's manifest.
fn about(target: &Target) -> Map<String, Value> {
    let mut about = match target.custom.as_ref().and_then(|custom| custom.get("selvedge")) {
        Some(Value::Object(about)) => about.clone(),
        _ => Map::new(),
    };
    about.remove("manifest");
    about
}

/// What `publish` would change, a row for each path; one without a path where it is something else.
fn changes(repository: &Repository, role: &Role, draft: &Targets) -> Vec<Value> {
    let nothing = BTreeMap::new();
    let published = repository.targets().get(role);
    let before = published.map_or(&nothing, |targets| &targets.targets);
    let change = |path: &TargetPath| {
        let what = match (before.get(path), draft.targets.get(path)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) if old.content() == new.content() => "staged",
            (Some(_), Some(_)) => "replaced",
            (None, _) => "added",
            (_, None) => "removed",
        };
        let version = draft.targets.get(path).and_then(|target| about(target).remove("version"));
        Some(json!({ "role": role.name(), "path": path.as_str(), "change": what, "version": version }))
    };
    let paths: std::collections::BTreeSet<_> = before.keys().chain(draft.targets.keys()).collect();
    let mut rows: Vec<Value> = paths.into_iter().filter_map(change).collect();
    if published.is_none_or(|published| published.delegations != draft.delegations) {
        let what = if published.is_none() { "new role" } else { "delegations" };
        rows.push(json!({ "role": role.name(), "path": null, "change": what }));
    }
    rows
}

fn word(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => escaped(text),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn array<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text(report: &Value) -> String {
    let mut lines = vec![format!("{:<16} {:>7}  {:<20}  keys", "role", "version", "until")];
    for role in array(report, "roles") {
        let keys: Vec<&str> = array(role, "keys").filter_map(Value::as_str).map(short).collect();
        let expired = if role.get("expired") == Some(&Value::Bool(true)) { " EXPIRED" } else { "" };
        let paths: Vec<String> = array(role, "paths").filter_map(Value::as_str).map(escaped).collect();
        let paths = if paths.is_empty() { String::new() } else { format!(", for {}", paths.join(" ")) };
        let (name, version, expires) = (word(role, "role"), word(role, "version"), word(role, "expires"));
        let threshold = word(role, "threshold");
        lines
            .push(format!("{name:<16} {version:>7}  {expires:<20}  {threshold} of {}{paths}{expired}", keys.join(" ")));
    }
    lines.push(String::new());
    for target in array(report, "targets") {
        lines.push(target_text(target));
        for payload in array(target, "payloads") {
            let from = word(payload, "from");
            let what =
                if from.is_empty() { "compressed".to_owned() } else { format!("patch from {}…", short(&from)) };
            lines.push(format!("  {what}: {} bytes", word(payload, "bytes")));
        }
    }
    if array(report, "targets").next().is_none() {
        lines.push("no targets".to_owned());
    }
    for change in array(report, "waits") {
        let what = [word(change, "path"), word(change, "version"), word(change, "change")];
        let what: Vec<String> = what.into_iter().filter(|word| !word.is_empty()).collect();
        lines.push(format!("waits for publish, {}: {}", word(change, "role"), what.join(" ")));
    }
    if let Some(root) = report.get("waiting_root").and_then(Value::as_str) {
        lines.push(format!("waits for signatures (selvedge ota sign): {}", escaped(root)));
    }
    lines.join("\n")
}

fn target_text(target: &Value) -> String {
    let sha256 = word(target, "sha256");
    let mut text = format!(
        "{} {}: {} bytes, sha256 {}…, signed by {}",
        word(target, "path"),
        word(target, "version"),
        word(target, "bytes"),
        short(&sha256),
        word(target, "role")
    );
    if let Some(percent) = target.pointer("/rollout/percent") {
        text.push_str(&format!(", to {percent} % of the nodes"));
    }
    if target.get("paused") == Some(&Value::Bool(true)) {
        text.push_str(", paused");
    }
    text
}
