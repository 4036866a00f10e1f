//! Puts versions in place: at deployment, at start, and after a compilation in the background; and takes them away.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::function::{Facts, Function, Version};
use super::record::{Record, RecordStore};
use super::{Deployed, Shared, worker};
use crate::artifact::{ArtifactStore, LoadError};
use crate::compile::{CompileChild, CompileLimits};
use crate::config::Config;
use crate::deployment::{DeployError, Deployment};
use crate::engine::{LazyEngine, RunningEngine};
use crate::log_ring::LogLevel;
use crate::manifest::Manifest;
use crate::message::InvocationError;

pub(super) fn deploy(shared: &Arc<Shared>, manifest_toml: &str, component: Vec<u8>) -> Result<Deployed, DeployError> {
    let outcome = try_deploy(shared, manifest_toml, component);
    remove_unused(shared);
    outcome
}

fn try_deploy(shared: &Arc<Shared>, manifest_toml: &str, component: Vec<u8>) -> Result<Deployed, DeployError> {
    let manifest = Manifest::parse(manifest_toml, &shared.config)?;
    let name = manifest.name.clone();
    let present = shared.functions.read().get(&name).cloned();
    if present.is_none() && shared.functions.read().len() >= shared.config.functions_max {
        return Err(DeployError::TooMany { allowed: shared.config.functions_max });
    }
    check_size(&shared.config, &component)?;
    let engine = shared.engine.get()?;
    let digest = shared.artifacts.put_component(&component).map_err(DeployError::Store)?;
    drop(component);
    let warnings = manifest.warnings();
    let facts = facts(&manifest, &digest);
    let deployment =
        Arc::new(build(&shared.artifacts, &shared.compile_child, &shared.config, engine, manifest, &digest)?);
    let replaced = present.is_some();
    let function =
        present.unwrap_or_else(|| Arc::new(Function::new(&name, Version::Preparing, facts.clone(), &shared.config)));
    deployment.try_start(&shared.host, &function.logs)?;
    shared.records.put(&name, &Record::new(manifest_toml, &digest)).map_err(DeployError::Store)?;
    let (world, triggers) = (deployment.world, facts.triggers.clone().unwrap_or_default());
    function.set_version(Version::Ready(deployment), facts);
    shared.functions.write().insert(name.clone(), function.clone());
    worker::schedule(shared, &function);
    let text = format!("deployed {}", &digest[..16]);
    function.logs.push(shared.host.now_ms(), LogLevel::Info, "", "runtime", &text);
    tracing::info!(function = name, digest, replaced, "function deployed");
    Ok(Deployed { name, digest, world, triggers, replaced, warnings })
}

/// Makes the native code that this program's engine needs for every function deployed in `directory`, without running any; how many were
/// made. For a new version of the node, before it takes over.
pub fn precompile(directory: &Path, child: &CompileChild, config: &Config) -> Result<usize, DeployError> {
    let artifacts = ArtifactStore::open(directory, |key| getrandom::fill(key).map_err(io::Error::other))
        .map_err(DeployError::Store)?;
    let records = RecordStore::open(directory).and_then(|records| records.all()).map_err(DeployError::Store)?;
    let engine = LazyEngine::new(config.clone()).get()?;
    let limits = compile_limits(config);
    let mut made = 0;
    for record in records.into_iter().filter_map(|(_, record)| record.ok()) {
        // One that cannot be compiled says so when the node runs; it does not keep the node from its update.
        if artifacts.load(&engine, &record.digest).is_err()
            && artifacts.compile(child, engine.profile, &record.digest, limits).is_ok()
        {
            made += 1;
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
    artifacts: &ArtifactStore,
    child: &CompileChild,
    config: &Config,
    engine: Arc<RunningEngine>,
    manifest: Manifest,
    digest: &str,
) -> Result<Deployment, DeployError> {
    let component = match artifacts.load(&engine, digest) {
        Ok(component) => component,
        Err(error) => {
            if !matches!(error, LoadError::Missing { .. }) {
                tracing::warn!(error = %error, "native code of a function is made again");
            }
            artifacts.compile(child, engine.profile, digest, compile_limits(config))?;
            artifacts.load(&engine, digest)?
        }
    };
    Deployment::new(manifest, &component, engine)
}

fn compile_limits(config: &Config) -> CompileLimits {
    CompileLimits {
        timeout: Duration::from_millis(config.compile_timeout_ms),
        memory_bytes: config.compile_memory_bytes,
    }
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

/// Loads every recorded function whose native code is there; gives the names of those that must be compiled.
pub(super) fn load_all(shared: &Arc<Shared>) -> io::Result<Vec<String>> {
    let mut functions = BTreeMap::new();
    let mut to_compile = Vec::new();
    for (name, record) in shared.records.all()? {
        let (version, facts) = match record {
            Ok(record) => match parse(shared, &name, &record) {
                Ok((manifest, facts)) => (load(shared, manifest, &facts.digest), facts),
                Err(reason) => (Version::Broken(reason), facts_of_broken(shared, &record)),
            },
            Err(reason) => (Version::Broken(reason), Facts::default()),
        };
        match &version {
            Version::Preparing => to_compile.push(name.clone()),
            Version::Broken(reason) => tracing::error!(function = name, reason, "function cannot run"),
            Version::Ready(_) => {}
        }
        functions.insert(name.clone(), Arc::new(Function::new(&name, version, facts, &shared.config)));
    }
    *shared.functions.write() = functions;
    Ok(to_compile)
}

fn parse(shared: &Shared, name: &str, record: &Record) -> Result<(Manifest, Facts), String> {
    let manifest = Manifest::parse(&record.manifest, &shared.config).map_err(|error| error.to_string())?;
    if manifest.name != name {
        return Err(format!("the record of {name:?} is about {:?}", manifest.name));
    }
    let facts = facts(&manifest, &record.digest);
    Ok((manifest, facts))
}

fn load(shared: &Shared, manifest: Manifest, digest: &str) -> Version {
    let engine = match shared.engine.get() {
        Ok(engine) => engine,
        Err(error) => return Version::Broken(error.to_string()),
    };
    match shared.artifacts.load(&engine, digest) {
        Ok(component) => match Deployment::new(manifest, &component, engine) {
            Ok(deployment) => Version::Ready(Arc::new(deployment)),
            Err(error) => Version::Broken(error.to_string()),
        },
        Err(error) => {
            tracing::warn!(error = %error, "native code of a function is made again in the background");
            Version::Preparing
        }
    }
}

/// Compiles a function that was found without native code, unless it was changed or removed meanwhile.
pub(super) fn prepare(shared: &Arc<Shared>, name: &str) {
    let Some(function) = shared.functions.read().get(name).cloned() else { return };
    let Some(digest) = function.preparing_digest() else { return };
    let record = shared.records.all().ok().and_then(|all| all.into_iter().find(|(found, _)| found == name));
    let parsed = match record {
        Some((_, record)) => record.and_then(|record| parse(shared, name, &record)),
        None => Err("its record is gone".to_owned()),
    };
    let built = parsed.and_then(|(manifest, facts)| {
        let engine = shared.engine.get().map_err(|error| error.to_string())?;
        let built = build(&shared.artifacts, &shared.compile_child, &shared.config, engine, manifest, &digest);
        built.map(|deployment| (deployment, facts)).map_err(|error| error.to_string())
    });
    match built {
        Ok((deployment, facts)) => {
            function.set_version(Version::Ready(Arc::new(deployment)), facts);
            tracing::info!(function = name, "function is ready");
            worker::schedule(shared, &function);
        }
        Err(reason) => {
            tracing::error!(function = name, reason, "function cannot run");
            function.break_down(reason);
        }
    }
}

fn facts(manifest: &Manifest, digest: &str) -> Facts {
    Facts { version: manifest.version.clone(), digest: digest.to_owned(), triggers: Some(manifest.triggers.clone()) }
}

/// What is known of a function whose manifest is refused, most often because limits were lowered: its component is kept, and
/// its messages wait for the limits to be raised.
fn facts_of_broken(shared: &Shared, record: &Record) -> Facts {
    let without_limits = Config { memory_bytes_max: usize::MAX, timeout_ms_max: u64::MAX, ..shared.config.clone() };
    match Manifest::parse(&record.manifest, &without_limits) {
        Ok(manifest) => facts(&manifest, &record.digest),
        Err(_) => Facts { digest: record.digest.clone(), ..Facts::default() },
    }
}

/// Removes what no recorded function needs; a failure costs only disk and is tried again at the next change. While there is
/// a record that cannot be read, nothing is removed: what it needs is not known.
fn remove_unused(shared: &Shared) {
    let records = match shared.records.all() {
        Ok(records) => records,
        Err(error) => return tracing::warn!(%error, "cannot tell which components are used"),
    };
    let digests: Result<Vec<String>, String> =
        records.into_iter().map(|(_, record)| record.map(|record| record.digest)).collect();
    let digests = match digests {
        Ok(digests) => digests,
        Err(reason) => return tracing::warn!(reason, "components that may not be used any more are kept"),
    };
    if let Err(error) = shared.artifacts.remove_unused(&digests) {
        tracing::warn!(error = %error, "cannot remove components that are not used any more");
    }
}
