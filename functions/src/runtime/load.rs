//! Makes what runs from what is recorded: at the start of the node, and after a compilation in the background.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::function::{Facts, Function, Serving};
use super::traffic::{LiveVersion, Traffic, union};
use super::{Shared, deploy, worker};
use crate::alias::Alias;
use crate::catalog::{Catalog, LIVE, Version};
use crate::config::Config;
use crate::deployment::{DeployError, Deployment};
use crate::manifest::Manifest;
use crate::version::VersionNumber;

/// Loads every recorded function whose native code is there; gives the names of those that must be compiled.
pub(super) fn load_all(shared: &Arc<Shared>) -> io::Result<Vec<String>> {
    let mut functions = BTreeMap::new();
    let mut to_compile = Vec::new();
    for (name, record) in shared.records.all()? {
        let (serving, facts) = match record {
            Ok(catalog) => (serving(shared, &name, &catalog), facts(&catalog, &shared.config)),
            Err(reason) => (Serving::Broken(reason), Facts::default()),
        };
        match &serving {
            Serving::Preparing => to_compile.push(name.clone()),
            Serving::Broken(reason) => tracing::error!(function = name, reason, "function cannot run"),
            Serving::Ready(_) | Serving::Idle => {}
        }
        shared.sweep_code();
        functions.insert(
            name.clone(),
            Arc::new(Function::new(&name, serving, facts, &shared.config, shared.recording_room.clone())),
        );
    }
    *shared.functions.write() = functions;
    Ok(to_compile)
}

impl Shared {
    /// After code was loaded that nothing runs yet.
    pub(super) fn sweep_code(&self) {
        if let Some(engine) = self.engine.running() {
            engine.shelf.sweep_all();
        }
    }
}

/// What can be served at once.
fn serving(shared: &Shared, name: &str, catalog: &Catalog) -> Serving {
    let Some(live) = catalog.live() else { return Serving::Idle };
    let engine = match shared.engine.get() {
        Ok(engine) => engine,
        Err(error) => return Serving::Broken(error.to_string()),
    };
    let version = |number| -> Result<Arc<LiveVersion>, Serving> {
        let broken = |error: DeployError| Serving::Broken(error.to_string());
        let version = catalog.version(number).map_err(DeployError::from).map_err(broken)?;
        let manifest = manifest_of(name, version, &shared.config).map_err(broken)?;
        let component = shared.artifacts.load(&engine, &version.digest).map_err(|error| {
            tracing::warn!(error = %error, "native code of a function is made again in the background");
            Serving::Preparing
        })?;
        let deployment = {
            let loaded = (version.digest.as_str(), &component);
            Deployment::new((number, manifest), &shared.artifacts, loaded, engine.clone()).map_err(broken)?
        };
        Ok(LiveVersion::new(Arc::new(deployment)))
    };
    match live.shares().iter().map(|share| version(share.version)).collect::<Result<Vec<_>, Serving>>() {
        Ok(versions) => {
            // One that cannot run does without: its messages are given up while a circuit is open.
            let fallbacks = missing_fallbacks(&versions).into_iter().filter_map(|number| version(number).ok());
            let fallbacks = fallbacks.collect();
            Serving::Ready(Arc::new(Traffic::new(Some(LIVE), live.clone(), versions).with_fallbacks(fallbacks)))
        }
        Err(serving) => serving,
    }
}

/// Versions that take messages of these and are not among them.
fn missing_fallbacks(versions: &[Arc<LiveVersion>]) -> Vec<VersionNumber> {
    let is_there = |number: &VersionNumber| versions.iter().any(|version| version.deployment.number == *number);
    let wanted = versions.iter().filter_map(|version| version.deployment.manifest.fallback_version());
    wanted.filter(|number| !is_there(number)).collect()
}

/// Has one thread compile these functions, one after the other.
pub(super) fn prepare_later(shared: &Arc<Shared>, names: Vec<String>) -> io::Result<()> {
    let (shared, changing) = (Arc::downgrade(shared), shared.changing.clone());
    let all = move || {
        for name in names {
            let _changing = changing.lock();
            let Some(shared) = shared.upgrade() else { return };
            prepare(&shared, &name);
        }
    };
    std::thread::Builder::new().name("fn-prepare".into()).stack_size(1 << 20).spawn(all).map(drop)
}

/// The native code of a function that ran is not there any more, or not good: its messages wait until it is made again.
pub(super) fn lost_code(shared: &Arc<Shared>, function: &Function) {
    if !function.loses_code() {
        return;
    }
    tracing::error!(function = function.name, "native code of a function is not there any more and is made again");
    if let Err(error) = prepare_later(shared, vec![function.name.clone()]) {
        function.break_down(format!("cannot start a thread to make its native code again: {error}"));
    }
}

/// Compiles a function that was found without native code, unless it was changed or removed meanwhile.
fn prepare(shared: &Arc<Shared>, name: &str) {
    let Some(function) = shared.functions.read().get(name).cloned() else { return };
    if !function.is_preparing() {
        return;
    }
    let built = shared.records.get(name).and_then(|catalog| {
        let live = catalog.live().ok_or("nothing is live any more")?;
        let traffic = traffic(shared, &function, &catalog, Some(LIVE), live).map_err(|error| error.to_string())?;
        Ok((traffic, facts(&catalog, &shared.config)))
    });
    match built {
        Ok((traffic, facts)) => {
            function.set_serving(Serving::Ready(Arc::new(traffic)), facts);
            shared.sweep_code();
            tracing::info!(function = name, "function is ready");
            worker::schedule(shared, &function);
        }
        // It goes on waiting, for the next start.
        Err(_) if shared.compiler.is_stopped() => {}
        Err(reason) => {
            tracing::error!(function = name, reason, "function cannot run");
            function.break_down(reason);
        }
    }
}

/// The versions of an alias, ready to run: those that run already, the others loaded, compiled where needed. Blocks for seconds
/// then.
pub(super) fn traffic(
    shared: &Shared,
    function: &Function,
    catalog: &Catalog,
    name: Option<&str>,
    alias: &Alias,
) -> Result<Traffic, DeployError> {
    let running = function.traffic();
    let ready = |number: VersionNumber| -> Result<Arc<LiveVersion>, DeployError> {
        if let Some(version) = running.as_ref().and_then(|traffic| traffic.version(number)) {
            return Ok(version.clone());
        }
        let version = catalog.version(number)?;
        let manifest = manifest_of(&function.name, version, &shared.config)?;
        let (compiler, engine, numbered) = (&shared.compiler, shared.engine.get()?, (number, manifest));
        let deployment = deploy::build(&shared.artifacts, compiler, engine, numbered, &version.digest)?;
        Ok(LiveVersion::new(Arc::new(deployment)))
    };
    let versions: Vec<_> = alias.shares().iter().map(|share| ready(share.version)).collect::<Result<_, _>>()?;
    let fallbacks: Vec<_> = missing_fallbacks(&versions).into_iter().map(ready).collect::<Result<_, _>>()?;
    Ok(Traffic::new(name, alias.clone(), versions).with_fallbacks(fallbacks))
}

/// One version, ready to run: that which runs already, or loaded, compiled where needed. Blocks for seconds then.
pub(super) fn one(
    shared: &Shared,
    function: &Function,
    number: VersionNumber,
) -> Result<Arc<LiveVersion>, DeployError> {
    let catalog = shared.records.get(&function.name).map_err(DeployError::Record)?;
    let traffic = traffic(shared, function, &catalog, None, &Alias::only(number))?;
    traffic.versions().first().cloned().ok_or_else(|| DeployError::NothingLive(function.name.clone()))
}

fn manifest_of(name: &str, version: &Version, config: &Config) -> Result<Manifest, DeployError> {
    let wrong = |reason| DeployError::Version { version: version.number, reason };
    let manifest = Manifest::parse(&version.manifest, config).map_err(|error| wrong(error.to_string()))?;
    if manifest.name != name {
        return Err(wrong(format!("the record of {name:?} is about {:?}", manifest.name)));
    }
    Ok(manifest)
}

/// What is known of a function, also of one whose manifest is refused, most often because limits were lowered: its component is
/// kept, and its messages wait for the limits to be raised.
pub(super) fn facts(catalog: &Catalog, config: &Config) -> Facts {
    let without_limits = config.without_limits();
    let parse = |version: &Version| Manifest::parse(&version.manifest, &without_limits);
    let foremost = catalog.foremost();
    let live = catalog.live();
    let manifests: Result<Vec<Manifest>, ()> = live
        .map_or(&[][..], Alias::shares)
        .iter()
        .map(|share| catalog.version(share.version).ok().and_then(|version| parse(version).ok()).ok_or(()))
        .collect();
    Facts {
        version: foremost.and_then(|version| parse(version).ok()).map(|manifest| manifest.version).unwrap_or_default(),
        digest: foremost.map(|version| version.digest.clone()).unwrap_or_default(),
        live: live.map(|alias| alias.shares().to_vec()).unwrap_or_default(),
        sticky: live.and_then(Alias::sticky),
        canary: catalog.canary().copied(),
        shadow: catalog.shadow(),
        triggers: manifests.ok().map(|manifests| union(manifests.iter().flat_map(|manifest| &manifest.triggers))),
    }
}
