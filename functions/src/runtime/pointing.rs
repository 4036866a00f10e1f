//! Changes which versions get messages: aliases, the way back, and what is removed for good.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::function::{Function, Serving};
use super::job::Job;
use super::load::{facts, traffic};
use super::{InvocationDone, Shared, deploy, worker};
use crate::alias::{Alias, Share, Sticky};
use crate::catalog::{Catalog, LIVE};
use crate::deployment::DeployError;
use crate::log_ring::LogLevel;
use crate::manifest::{Manifest, Trigger};
use crate::message::{InvocationContext, InvocationMessage};
use crate::version::VersionNumber;

/// What runs a message that does not come from a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An alias.
    Alias(String),
    /// One version, whether an alias names it or not.
    Version(VersionNumber),
}

/// An alias after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pointed {
    /// Name of the function.
    pub name: String,
    /// Name of the alias.
    pub alias: String,
    /// Its versions.
    pub shares: Vec<Share>,
    /// What stays with one version.
    pub sticky: Option<Sticky>,
    /// False when it was that already.
    pub changed: bool,
    /// What starts the function now; the caller subscribes to these. `None`: they cannot be told.
    pub triggers: Option<Vec<Trigger>>,
}

/// The published versions of a function and its aliases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionList {
    /// Name of the function.
    pub name: String,
    /// Oldest first.
    pub versions: Vec<VersionEntry>,
    /// By name.
    pub aliases: BTreeMap<String, Alias>,
}

/// One published version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionEntry {
    /// Its number.
    pub version: VersionNumber,
    /// The author's version; empty when there is none or the manifest is refused.
    pub author_version: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// Milliseconds since 1970; 0 when not known.
    pub published_ms: u64,
    /// Aliases that name it, with its weight.
    pub aliases: BTreeMap<String, u32>,
}

pub(super) fn find(shared: &Shared, name: &str) -> Result<(Arc<Function>, Catalog), DeployError> {
    let function = shared.functions.read().get(name).cloned();
    let function = function.ok_or_else(|| DeployError::NoFunction(crate::log_ring::cut(name, 80).to_owned()))?;
    Ok((function, shared.records.get(name).map_err(DeployError::Record)?))
}

/// Points an alias at versions, which are compiled and tried first.
pub(super) fn point(shared: &Arc<Shared>, name: &str, alias: &str, to: Alias) -> Result<Pointed, DeployError> {
    let (function, mut catalog) = find(shared, name)?;
    let changed = catalog.point(alias, to)?;
    apply(shared, &function, &catalog, alias, changed)
}

/// Points an alias where it pointed before.
pub(super) fn roll_back(shared: &Arc<Shared>, name: &str, alias: &str) -> Result<Pointed, DeployError> {
    let (function, mut catalog) = find(shared, name)?;
    catalog.step_back(alias)?;
    apply(shared, &function, &catalog, alias, true)
}

pub(super) fn apply(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    catalog: &Catalog,
    alias_name: &str,
    changed: bool,
) -> Result<Pointed, DeployError> {
    let alias = catalog.alias(alias_name)?.clone();
    let running = function.traffic();
    let traffic = traffic(shared, function, catalog, Some(alias_name), &alias)?;
    for version in traffic.versions() {
        let is_running = running.as_ref().is_some_and(|running| running.version(version.deployment.number).is_some());
        if !is_running {
            version.deployment.try_start(&shared.host, &function.logs)?;
        }
    }
    shared.records.put(&function.name, catalog).map_err(DeployError::Store)?;
    let facts = facts(catalog, &shared.config);
    let triggers = facts.triggers.clone();
    if alias_name == LIVE {
        function.set_serving(Serving::Ready(Arc::new(traffic)), facts);
        worker::schedule(shared, function);
    }
    if changed {
        let text = format!("alias {alias_name} is {alias}");
        function.logs.push(shared.host.now_ms(), LogLevel::Info, "", "runtime", &text);
        tracing::info!(function = function.name, alias = alias_name, versions = %alias, "alias changed");
    }
    Ok(Pointed {
        name: function.name.clone(),
        alias: alias_name.to_owned(),
        shares: alias.shares().to_vec(),
        sticky: alias.sticky(),
        changed,
        triggers,
    })
}

/// Forgets an alias.
pub(super) fn forget_alias(shared: &Shared, name: &str, alias: &str) -> Result<(), DeployError> {
    let (_, mut catalog) = find(shared, name)?;
    catalog.forget_alias(alias)?;
    shared.records.put(name, &catalog).map_err(DeployError::Store)
}

/// Removes the oldest versions that no alias needs until `keep` are left.
pub(super) fn collect(shared: &Shared, name: &str, keep: usize) -> Result<Vec<VersionNumber>, DeployError> {
    let (function, mut catalog) = find(shared, name)?;
    let gone = catalog.collect(keep);
    if gone.is_empty() {
        return Ok(gone);
    }
    shared.records.put(name, &catalog).map_err(DeployError::Store)?;
    deploy::remove_unused(shared);
    let numbers: Vec<String> = gone.iter().map(VersionNumber::to_string).collect();
    let text = format!("removed {}", numbers.join(", "));
    function.logs.push(shared.host.now_ms(), LogLevel::Info, "", "runtime", &text);
    tracing::info!(function = name, versions = numbers.join(" "), "versions removed");
    Ok(gone)
}

/// What is published.
pub(super) fn versions(shared: &Shared, name: &str) -> Result<VersionList, DeployError> {
    let (_, catalog) = find(shared, name)?;
    let without_limits = shared.config.without_limits();
    let entry = |version: &crate::catalog::Version| VersionEntry {
        version: version.number,
        author_version: Manifest::parse(&version.manifest, &without_limits)
            .map(|manifest| manifest.version)
            .unwrap_or_default(),
        digest: version.digest.clone(),
        published_ms: version.published_ms,
        aliases: weights(&catalog, version.number),
    };
    Ok(VersionList {
        name: name.to_owned(),
        versions: catalog.versions().iter().map(entry).collect(),
        aliases: catalog.aliases().map(|(name, alias)| (name.to_owned(), alias.clone())).collect(),
    })
}

fn weights(catalog: &Catalog, number: VersionNumber) -> BTreeMap<String, u32> {
    let weight = |alias: &Alias| alias.shares().iter().find(|share| share.version == number).map(|share| share.weight);
    catalog.aliases().filter_map(|(name, alias)| Some((name.to_owned(), weight(alias)?))).collect()
}

/// Queues a message for an alias or a version; what it takes is loaded or compiled first.
pub(super) fn invoke(
    shared: &Arc<Shared>,
    name: &str,
    target: &Target,
    (message, context): (InvocationMessage, InvocationContext),
    done: InvocationDone,
) -> Result<(), DeployError> {
    let (function, catalog) = find(shared, name)?;
    let (alias_name, alias) = match target {
        Target::Alias(alias) => (Some(alias.as_str()), catalog.alias(alias)?.clone()),
        Target::Version(number) => (None, Alias::only(catalog.version(*number)?.number)),
    };
    let traffic = traffic(shared, &function, &catalog, alias_name, &alias)?;
    let mut job = Job::new(message, context, done);
    job.pinned = Some(Arc::new(traffic));
    worker::enqueue(shared, &function, job);
    Ok(())
}
