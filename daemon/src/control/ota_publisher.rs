//! `selvedge ota …` on the publisher's machine: makes and signs a repository in a folder. Asks no node and needs no network.

mod addition;
mod listing;
mod publishing;
mod roles;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use selvedge_ota::metadata::{Role, Rollout, Target, TargetPath};
use selvedge_ota::publisher::{self, PublishError, Repository, keys};
use serde_json::{Value, json};

use super::output::{escaped, print_line};
use crate::arguments::ota_publisher::{
    OtaInitArguments, OtaKeyCommand, OtaKeyListArguments, OtaKeyNewArguments, OtaPublisherCommand, OtaRemoveArguments,
    OtaStageArguments,
};

/// As many digits of a key id or hash as a person compares.
const SHORT_DIGITS: usize = 12;

/// Runs the command.
///
/// # Errors
/// The repository stays as it is; the text says why.
pub fn run(command: OtaPublisherCommand) -> anyhow::Result<()> {
    match command {
        OtaPublisherCommand::Init(arguments) => init(&arguments),
        OtaPublisherCommand::Key(OtaKeyCommand::New(arguments)) => new_key(&arguments),
        OtaPublisherCommand::Key(OtaKeyCommand::List(arguments)) => list_keys(&arguments),
        OtaPublisherCommand::Add(arguments) => addition::add(&arguments),
        OtaPublisherCommand::Remove(arguments) => remove(&arguments),
        OtaPublisherCommand::Stage(arguments) => stage(&arguments),
        OtaPublisherCommand::Delegate(arguments) => roles::delegate(&arguments),
        OtaPublisherCommand::Publish(arguments) => publishing::publish(&arguments),
        OtaPublisherCommand::Rotate(arguments) => roles::rotate(&arguments),
        OtaPublisherCommand::Sign(arguments) => roles::sign(&arguments),
        OtaPublisherCommand::Bundle(arguments) => publishing::bundle(&arguments),
        OtaPublisherCommand::List(arguments) => listing::list(&arguments),
    }
}

fn init(arguments: &OtaInitArguments) -> anyhow::Result<()> {
    let folder = &arguments.keys.keys;
    let mut seeds = Vec::new();
    for _ in 0..4 {
        seeds.push(random_seed()?);
    }
    // The library takes one for each of the four keys; a fifth would be a key that anybody can make.
    let mut seeds = seeds.into_iter();
    let mut next_seed = || seeds.next().expect("a new repository has four keys");
    let days = arguments.days.into();
    let created = publisher::create(&arguments.repository, folder, &days, now_unix_s()?, &mut next_seed)?;
    let (root, repository) = (created.root.display().to_string(), arguments.repository.display());
    let report = json!({
        "repository": arguments.repository, "root": created.root, "keys_folder": folder, "keys": created.keys,
    });
    tell(arguments.json, &report, || {
        [
            format!("{repository} is a repository; {} has its keys: {}", folder.display(), created.keys.join(", ")),
            format!("nodes are given {root}, once: selvedge ota trust {root}"),
            format!(
                "next: selvedge ota add {repository} FILE …, then selvedge ota publish {repository} --keys {}",
                folder.display()
            ),
            "keep root.key on a stick in a drawer: publishing does not need it".to_owned(),
        ]
        .join("\n")
    })
}

fn new_key(arguments: &OtaKeyNewArguments) -> anyhow::Result<()> {
    let key = keys::make(&arguments.keys.keys, &arguments.name, &random_seed()?)?;
    let (name, id) = (&arguments.name, key.public().id().as_str());
    let file = |ending: &str| arguments.keys.keys.join(format!("{name}.{ending}"));
    let (secret, public) = (file("key"), file("pub"));
    tell(arguments.json, &json!({ "name": name, "id": id, "secret": secret, "public": public }), || {
        format!("{} is secret, {} is for others; key id {id}", secret.display(), public.display())
    })
}

fn list_keys(arguments: &OtaKeyListArguments) -> anyhow::Result<()> {
    let keys = selvedge_ota::publisher::Keys::read(&arguments.keys.keys)?;
    let rows: Vec<Value> = keys.public().map(|(name, key)| json!({ "name": name, "id": key.id().as_str() })).collect();
    tell(arguments.json, &json!(rows), || {
        let lines: Vec<String> =
            keys.public().map(|(name, key)| format!("{:<20} {}", escaped(name), key.id())).collect();
        if lines.is_empty() { format!("no keys in {}", arguments.keys.keys.display()) } else { lines.join("\n") }
    })
}

fn remove(arguments: &OtaRemoveArguments) -> anyhow::Result<()> {
    Repository::open(&arguments.repository)?.remove(&arguments.role, &arguments.path)?;
    tell(arguments.json, &json!({ "path": arguments.path, "removed": true, "role": arguments.role }), || {
        format!("{} is removed; {}", escaped(&arguments.path), waits_for_publish(&arguments.repository))
    })
}

fn stage(arguments: &OtaStageArguments) -> anyhow::Result<()> {
    let repository = Repository::open(&arguments.repository)?;
    let rollout = match arguments.percent {
        Some(percent) => {
            let salt = match &arguments.salt {
                Some(salt) => salt.clone(),
                None => salt_of(&repository, &arguments.role, &arguments.path)?,
            };
            Some(Some(Rollout::new(percent, salt).context("0 to 100 percent are possible")?))
        }
        None => arguments.everybody.then_some(None),
    };
    let pause = match (arguments.pause, arguments.resume) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    repository.stage(&arguments.role, &arguments.path, rollout, pause)?;
    let target = waiting_target(&repository, &arguments.role, &arguments.path)?;
    let kind = target.kind()?.with_context(|| format!("{} is nothing that nodes take", arguments.path))?;
    let report = json!({
        "path": arguments.path, "role": arguments.role, "rollout": kind.rollout(), "paused": kind.is_paused(),
    });
    tell(arguments.json, &report, || {
        let whom =
            kind.rollout().map_or_else(|| "all nodes".to_owned(), |part| format!("{} % of the nodes", part.percent()));
        let pause = if kind.is_paused() { ", when the pause ends" } else { "" };
        format!("{} goes to {whom}{pause}; {}", escaped(&arguments.path), waits_for_publish(&arguments.repository))
    })
}

/// The salt before, so that more percent include the nodes of fewer; for a first part, one of this path and version, so that it is
/// not the same nodes that go first each time.
fn salt_of(repository: &Repository, role: &str, path: &str) -> anyhow::Result<String> {
    let custom = waiting_target(repository, role, path)?.custom.unwrap_or_default();
    let text = |pointer: &str| custom.pointer(pointer).and_then(Value::as_str);
    Ok(match text("/selvedge/rollout/salt") {
        Some(salt) => salt.to_owned(),
        None => format!("{path} {}", text("/selvedge/version").unwrap_or_default()),
    })
}

/// A target as it will be published.
fn waiting_target(repository: &Repository, role: &str, path: &str) -> anyhow::Result<Target> {
    let role = Role::named(role)?;
    let mut drafts = repository.drafts()?;
    let targets = drafts.remove(&role).or_else(|| repository.targets().get(&role).cloned());
    let roles = || repository.targets().keys().map(Role::name).collect::<Vec<_>>().join(", ");
    let mut targets = targets.ok_or_else(|| PublishError::NoRole { role: role.name().to_owned(), roles: roles() })?;
    let found = targets.targets.remove(&TargetPath::new(path)?);
    Ok(found.ok_or_else(|| PublishError::NoTarget { path: path.to_owned() })?)
}

fn waits_for_publish(repository: &std::path::Path) -> String {
    format!("nodes see it after selvedge ota publish {}", repository.display())
}

/// Prints what came of it, for programs or for people.
fn tell(as_json: bool, report: &Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    Ok(print_line(&if as_json { report.to_string() } else { text() })?)
}

fn short(digits: &str) -> &str {
    digits.get(..SHORT_DIGITS).unwrap_or(digits)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now_unix_s() -> anyhow::Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock of this machine is before 1970")?;
    Ok(i64::try_from(since.as_secs())?)
}

fn random_seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("take random bytes for a key: {error}"))?;
    Ok(seed)
}
