//! Publishes versions, puts them in place, and takes functions away.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::function::{Function, Serving};
use super::load::{facts, traffic};
use super::record::RecordStore;
use super::{Deployed, Shared, worker};
use crate::admission;
use crate::alias::Alias;
use crate::artifact::{ArtifactStore, LoadError};
use crate::catalog::{Candidate, Catalog, LIVE};
use crate::compile::{CompileChild, Compiler};
use crate::config::Config;
use crate::deployment::{DeployError, Deployment};
use crate::engine::{LazyEngine, RunningEngine};
use crate::log_ring::LogLevel;
use crate::manifest::Manifest;
use crate::message::InvocationError;
use crate::version::VersionNumber;
use crate::zone::find_zone;

/// What becomes of a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// It is there, to be given messages later.
    Publish,
    /// It gets all messages.
    GoLive,
}

pub(super) fn deploy(
    shared: &Arc<Shared>,
    manifest_toml: &str,
    component: Vec<u8>,
    goal: Goal,
) -> Result<Deployed, DeployError> {
    let outcome = try_deploy(shared, manifest_toml, component, goal);
    remove_unused(shared);
    outcome
}

fn try_deploy(
    shared: &Arc<Shared>,
    manifest_toml: &str,
    component: Vec<u8>,
    goal: Goal,
) -> Result<Deployed, DeployError> {
    let manifest = Manifest::parse(manifest_toml, &shared.config)?;
    let name = manifest.name.clone();
    let present = shared.functions.read().get(&name).cloned();
    if present.is_none() && shared.functions.read().len() >= shared.config.functions_max {
        return Err(DeployError::TooMany { allowed: shared.config.functions_max });
    }
    let mut catalog = match (&present, goal) {
        (None, _) => Catalog::new(),
        (Some(_), Goal::Publish) => shared.records.get(&name).map_err(DeployError::Record)?,
        // Deploying again is the way out of a record that cannot be read.
        (Some(_), Goal::GoLive) => shared.records.get(&name).unwrap_or_else(|_| Catalog::new()),
    };
    for zone in manifest.zones() {
        find_zone(zone)?;
    }
    check_size(&shared.config, &component)?;
    admission::check(&manifest.limits, &shared.config, shared.host.memory_available())?;
    let engine = shared.engine.get()?;
    let digest = shared.artifacts.put_component(&component).map_err(DeployError::Store)?;
    drop(component);
    let (mut warnings, now_ms) = (manifest.warnings(), shared.host.now_ms());
    if let Some(next) = manifest.then.as_ref().filter(|next| !shared.functions.read().contains_key(*next)) {
        warnings.push(format!("then = {next:?}: there is no such function yet, and messages wait for it"));
    }
    let replaced = catalog.live().is_some();
    let candidate =
        Candidate { manifest: manifest_toml, digest: &digest, fallback: manifest.fallback_version(), now_ms };
    let number = catalog.publish(candidate, shared.config.versions_max)?;
    let deployment = Arc::new(build(&shared.artifacts, &shared.compiler, engine, (number, manifest), &digest)?);
    let function = match present {
        Some(function) => function,
        None => {
            let (facts, room) = (facts(&catalog, &shared.config), shared.recording_room.clone());
            Arc::new(Function::new(&name, Serving::Idle, facts, &shared.config, room))
        }
    };
    deployment.try_start(&shared.host, &function.logs)?;
    let world = deployment.world;
    drop(deployment);
    let alias = Alias::only(number);
    let served = match goal {
        Goal::Publish => function.traffic(),
        Goal::GoLive => {
            catalog.point(LIVE, alias.clone())?;
            Some(Arc::new(traffic(shared, &function, &catalog, Some(LIVE), &alias)?))
        }
    };
    shared.records.put(&name, &catalog).map_err(DeployError::Store)?;
    let facts = facts(&catalog, &shared.config);
    let triggers = facts.triggers.clone();
    shared.functions.write().insert(name.clone(), function.clone());
    match (served, catalog.live()) {
        (Some(traffic), _) => function.set_serving(Serving::Ready(traffic), facts),
        (None, None) => function.set_serving(Serving::Idle, facts),
        // Not ready, and what is live stays.
        (None, Some(_)) => {}
    }
    shared.sweep_code();
    worker::schedule(shared, &function);
    let verb = if goal == Goal::GoLive { "deployed" } else { "published" };
    let text = format!("{verb} {number}, component {}", &digest[..16]);
    function.logs.push(now_ms, LogLevel::Info, "", "runtime", &text);
    tracing::info!(function = name, version = %number, digest, live = goal == Goal::GoLive, "function published");
    Ok(Deployed { name, version: number, digest, world, triggers, replaced, warnings })
}

/// Makes the native code that this program's engine needs for every live version in `directory`, without running any; how many were
/// made. For a new version of the node, before it takes over.
pub fn precompile(directory: &Path, child: &CompileChild, config: &Config) -> Result<usize, DeployError> {
    let artifacts = ArtifactStore::open(directory, |key| getrandom::fill(key).map_err(io::Error::other))
        .map_err(DeployError::Store)?;
    let records = RecordStore::open(directory).and_then(|records| records.all()).map_err(DeployError::Store)?;
    let engine = LazyEngine::new(config.clone()).get()?;
    let compiler = Compiler::new(child.clone(), config);
    let mut made = 0;
    for catalog in records.into_iter().filter_map(|(_, record)| record.ok()) {
        let live = catalog.live().map_or(&[][..], Alias::shares);
        for version in live.iter().filter_map(|share| catalog.version(share.version).ok()) {
            // One that cannot be compiled says so when the node runs; it does not keep the node from its update.
            if artifacts.load(&engine, &version.digest).is_err()
                && artifacts.compile(&compiler, engine.profile, &version.digest).is_ok()
            {
                made += 1;
            }
        }
    }
    Ok(made)
}

/// Is the component within `Config::component_bytes_max`?
pub(crate) fn check_size(config: &Config, component: &[u8]) -> Result<(), DeployError> {
    let (bytes, allowed) = (component.len(), config.component_bytes_max);
    if bytes <= allowed { Ok(()) } else { Err(DeployError::ComponentTooBig { bytes, allowed }) }
}

/// Loads a stored component's native code, made first where it is missing or not good, and links it.
pub(crate) fn build(
    artifacts: &Arc<ArtifactStore>,
    compiler: &Compiler,
    engine: Arc<RunningEngine>,
    (number, manifest): (VersionNumber, Manifest),
    digest: &str,
) -> Result<Deployment, DeployError> {
    let component = match artifacts.load(&engine, digest) {
        Ok(component) => component,
        Err(error) => {
            if !matches!(error, LoadError::Missing { .. }) {
                tracing::warn!(error = %error, "native code of a function is made again");
            }
            artifacts.compile(compiler, engine.profile, digest)?;
            artifacts.load(&engine, digest)?
        }
    };
    Deployment::new((number, manifest), artifacts, (digest, &component), engine)
}

pub(super) fn remove(shared: &Arc<Shared>, name: &str) -> io::Result<bool> {
    if !shared.functions.read().contains_key(name) {
        return Ok(false);
    }
    shared.records.remove(name)?;
    let removed = shared.functions.write().remove(name);
    for job in removed.iter().flat_map(|function| function.close()) {
        job.end(Err(InvocationError::Removed { function: name.to_owned() }));
    }
    remove_unused(shared);
    tracing::info!(function = name, "function removed");
    Ok(true)
}

/// Removes what no recorded function needs; a failure costs only disk and is tried again at the next change. While there is
/// a record that cannot be read, nothing is removed: what it needs is not known.
pub(super) fn remove_unused(shared: &Shared) {
    let records = match shared.records.all() {
        Ok(records) => records,
        Err(error) => return tracing::warn!(%error, "cannot tell which components are used"),
    };
    let catalogs: Result<Vec<Catalog>, String> = records.into_iter().map(|(_, record)| record).collect();
    let digests = catalogs.map(|catalogs| {
        let versions = catalogs.iter().flat_map(Catalog::versions);
        versions.map(|version| version.digest.clone()).collect::<Vec<String>>()
    });
    let digests = match digests {
        Ok(digests) => digests,
        Err(reason) => return tracing::warn!(reason, "components that may not be used any more are kept"),
    };
    if let Err(error) = shared.artifacts.remove_unused(&digests) {
        tracing::warn!(error = %error, "cannot remove components that are not used any more");
    }
}
