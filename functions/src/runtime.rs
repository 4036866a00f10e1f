//! The functions of a node: deploy, invoke, look at them, remove them.
//!
//! Per function there is one bounded queue, and order is kept: of all messages where the function runs one at a time, of those of
//! each publisher where its manifest allows several. Runs of all functions share `Config::workers` threads. An invocation that outlives `Config::slice_ms` is moved out of the way: its thread no longer
//! counts as a worker and another takes its place, up to `Config::stuck_workers_max` at once, so a function that loops until
//! its time limit does not hold up the others.

mod circuits;
mod deploy;
mod function;
mod job;
mod lanes;
mod load;
mod pipeline;
mod pointing;
mod queue;
mod record;
mod schedule;
mod settle;
mod shadow;
mod traffic;
mod trial;
mod trials;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use thiserror::Error;

use crate::alias::{Alias, Share, Sticky};
use crate::artifact::ArtifactStore;
use crate::canary::CanaryStatus;
use crate::compile::{CompileChild, CompileCounts, Compiler};
use crate::config::Config;
use crate::counters::FunctionCounters;
use crate::deployment::{DeployError, Deployment};
use crate::engine::settings::POOLED_MEMORY_BYTES;
use crate::engine::{LazyEngine, RunningEngine};
use crate::host::Host;
use crate::kept::KeptRoom;
use crate::log_ring::{LogLine, LogSink};
use crate::manifest::{Manifest, Trigger};
use crate::message::{InvocationContext, InvocationError, InvocationMessage, InvocationResult};
use crate::recording::RecordingRoom;
use crate::version::VersionNumber;
use crate::world::World;
pub use circuits::CircuitState;
use deploy::Goal;
pub use deploy::precompile;
use function::Function;
use job::Job;
pub use pointing::{Pointed, Target, VersionEntry, VersionList};
use record::RecordStore;
use schedule::Scheduler;
use shadow::Comparer;
pub use shadow::ShadowStatus;
pub use traffic::VersionStatus;
pub use trial::Replay;
use trials::Judgements;
pub use trials::{Judgement, Promoted};
pub use watch::WatchStatus;

/// Called once with the end of an invocation, from a worker thread, from the host's commit, or from within
/// [`Runtime::invoke`] when the message is not taken. Must not block.
pub type InvocationDone = Box<dyn FnOnce(InvocationResult) + Send>;

/// Why the runtime did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configuration has a value that is not allowed.
    #[error("functions.{key}: allowed are {allowed}")]
    Config {
        /// Key in [`Config`].
        key: &'static str,
        /// Range.
        allowed: &'static str,
    },
    /// The directory could not be opened or made.
    #[error("opening functions in {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("starting a function worker")]
    Thread(#[source] std::io::Error),
}

/// What a deployment came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deployed {
    /// Name of the function.
    pub name: String,
    /// The version; an old one when the same manifest and component were published before.
    pub version: VersionNumber,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// World that was detected.
    pub world: World,
    /// What starts the function now; the caller subscribes to these. `None`: that cannot be told.
    pub triggers: Option<Vec<Trigger>>,
    /// True when a version was live before.
    pub replaced: bool,
    /// Allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// Can a function run?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum FunctionState {
    /// Yes.
    Ready,
    /// No version is live: nothing starts it.
    Idle,
    /// Not yet: its native code is being made. Messages wait.
    Preparing,
    /// No; messages wait until it is deployed again or removed.
    Broken {
        /// Why.
        reason: String,
    },
}

/// One deployed function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionStatus {
    /// Name.
    pub name: String,
    /// The author's version of the foremost one: of the greatest weight, or the newest when none is live.
    pub version: String,
    /// SHA-256 of its component, hexadecimal.
    pub digest: String,
    /// World; `None` while it is not ready.
    pub world: Option<World>,
    /// Whether it runs.
    #[serde(flatten)]
    pub state: FunctionState,
    /// The alias `live`.
    pub live: Vec<Share>,
    /// What stays with one version.
    pub sticky: Option<Sticky>,
    /// What each live version came to; empty while it is not ready.
    pub versions: Vec<VersionStatus>,
    /// What starts it. `None`: its record cannot be read, so what started it before must go on to wait for it.
    pub triggers: Option<Vec<Trigger>>,
    /// Messages waiting.
    pub queued: usize,
    /// Messages that run now.
    pub running: usize,
    /// How its circuits are; `closed` where it has none.
    pub circuit: CircuitState,
    /// How many are open or tried again.
    pub circuits_open: usize,
    /// What its messages came to since the node started.
    pub counters: FunctionCounters,
    /// Messages that are recorded now.
    pub recordings: usize,
    /// Messages that were not, because they found no room or asked the node for too much.
    pub recordings_refused: u64,
    /// The version that sees the messages without effects.
    pub shadow: Option<VersionNumber>,
    /// The version on trial.
    pub canary: Option<CanaryStatus>,
}

/// The functions of a node. Dropping it stops the workers after their current invocation; waiting messages end with
/// [`InvocationError::Stopping`].
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What workers, commits and the API have in common.
struct Shared {
    config: Config,
    host: Arc<dyn Host>,
    /// Held while functions are deployed or removed.
    changing: Arc<Mutex<()>>,
    engine: LazyEngine,
    artifacts: Arc<ArtifactStore>,
    records: RecordStore,
    compiler: Compiler,
    functions: RwLock<BTreeMap<String, Arc<Function>>>,
    scheduler: Arc<Scheduler>,
    recording_room: Arc<RecordingRoom>,
    kept_room: Arc<KeptRoom>,
    comparer: Comparer,
    judgements: Judgements,
}

impl Runtime {
    /// Opens the functions kept in `directory`. Those with native code at hand are ready on return; others are compiled by
    /// one thread in the background. The engine starts with the first function.
    pub fn open(
        directory: PathBuf,
        compile_child: CompileChild,
        config: Config,
        host: Arc<dyn Host>,
    ) -> Result<Self, OpenError> {
        check(&config)?;
        let directory_error = |source| OpenError::Directory { path: directory.clone(), source };
        let artifacts = ArtifactStore::open(&directory, |key| {
            host.random(key);
            Ok(())
        })
        .map_err(directory_error)?;
        let records = RecordStore::open(&directory).map_err(directory_error)?;
        let compiler = Compiler::new(compile_child, &config);
        let shared = Arc::new(Shared {
            changing: Arc::default(),
            engine: LazyEngine::new(config.clone()),
            scheduler: Arc::new(Scheduler::new(config.workers, config.stuck_workers_max)),
            recording_room: RecordingRoom::new(config.recording_bytes_max),
            kept_room: KeptRoom::new(config.kept_instances_max, config.memory_total_bytes / 2),
            comparer: Comparer::default(),
            judgements: Judgements::default(),
            config,
            host,
            artifacts: Arc::new(artifacts),
            records,
            compiler,
            functions: RwLock::default(),
        });
        let runtime = Self { shared };
        runtime.load_all().map_err(directory_error)?;
        Ok(runtime)
    }

    /// Compiles, checks and starts a component once, stores it durably, then puts it in the place of what is live, between two
    /// messages. Blocks for seconds; deployments wait for each other.
    pub fn deploy(&self, manifest_toml: &str, component: Vec<u8>) -> Result<Deployed, DeployError> {
        let _changing = self.shared.changing.lock();
        deploy::deploy(&self.shared, manifest_toml, component, Goal::GoLive)
    }

    /// Like [`deploy`](Self::deploy), but what is live stays.
    pub fn publish(&self, manifest_toml: &str, component: Vec<u8>) -> Result<Deployed, DeployError> {
        let _changing = self.shared.changing.lock();
        deploy::deploy(&self.shared, manifest_toml, component, Goal::Publish)
    }

    /// Points an alias at versions, durably; `live` changes between two messages. Blocks for seconds where native code is missing.
    pub fn point(&self, name: &str, alias: &str, to: Alias) -> Result<Pointed, DeployError> {
        let _changing = self.shared.changing.lock();
        pointing::point(&self.shared, name, alias, to)
    }

    /// Points an alias where it pointed before its last change; again for a further step.
    pub fn roll_back(&self, name: &str, alias: &str) -> Result<Pointed, DeployError> {
        let _changing = self.shared.changing.lock();
        pointing::roll_back(&self.shared, name, alias)
    }

    /// Forgets an alias other than `live`.
    pub fn forget_alias(&self, name: &str, alias: &str) -> Result<(), DeployError> {
        let _changing = self.shared.changing.lock();
        pointing::forget_alias(&self.shared, name, alias)
    }

    /// Removes the oldest versions until `keep` are left, except those that an alias names or named before its last change.
    pub fn collect(&self, name: &str, keep: usize) -> Result<Vec<VersionNumber>, DeployError> {
        let _changing = self.shared.changing.lock();
        pointing::collect(&self.shared, name, keep)
    }

    /// The published versions and the aliases of a function.
    pub fn versions(&self, name: &str) -> Result<VersionList, DeployError> {
        pointing::versions(&self.shared, name)
    }

    /// Queues a message for an alias or a version; `done` is called exactly once, unless an error is returned. Blocks for seconds
    /// where native code is missing.
    pub fn invoke_at(
        &self,
        name: &str,
        target: &Target,
        message: InvocationMessage,
        context: InvocationContext,
        done: InvocationDone,
    ) -> Result<(), DeployError> {
        let _changing = self.shared.changing.lock();
        pointing::invoke(&self.shared, name, target, (message, context), done)
    }

    /// Removes a function; waiting messages end with [`InvocationError::Removed`], a running one is finished. False when
    /// there is none of that name.
    pub fn remove(&self, name: &str) -> Result<bool, std::io::Error> {
        let _changing = self.shared.changing.lock();
        deploy::remove(&self.shared, name)
    }

    /// Every deployed function, by name.
    pub fn list(&self) -> Vec<FunctionStatus> {
        let functions: Vec<_> = self.shared.functions.read().values().cloned().collect();
        functions.iter().map(|function| function.status()).collect()
    }

    /// Queues a message for a function. `done` is called exactly once. Never blocks on a function.
    pub fn invoke(&self, name: &str, message: InvocationMessage, context: InvocationContext, done: InvocationDone) {
        let function = self.shared.functions.read().get(name).cloned();
        let Some(function) = function else {
            return done(Err(InvocationError::NotDeployed { function: name.to_owned() }));
        };
        let job = Job::new(message, context, done);
        worker::enqueue(&self.shared, &function, job);
    }

    /// The log lines kept of a function, oldest first; with `follow`, each later line goes there. `None` when there is no
    /// such function.
    pub fn logs(&self, name: &str, follow: Option<LogSink>) -> Option<Vec<LogLine>> {
        let function = self.shared.functions.read().get(name).cloned()?;
        Some(function.logs.subscribe(follow))
    }

    /// Ends a compilation that is under way and begins none any more, so that nobody has to wait for one: what was to be deployed
    /// is not, and what was to be compiled again is at the next start. For a node that is about to stop.
    pub fn stop_compiling(&self) {
        self.shared.compiler.stop();
    }

    /// How compilations ended since this was opened.
    pub fn compilations(&self) -> CompileCounts {
        self.shared.compiler.counts()
    }

    fn load_all(&self) -> std::io::Result<()> {
        let to_compile = load::load_all(&self.shared)?;
        if to_compile.is_empty() {
            return Ok(());
        }
        load::prepare_later(&self.shared, to_compile)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.scheduler.stop();
        let functions = std::mem::take(&mut *self.shared.functions.write());
        for function in functions.into_values() {
            for job in function.close() {
                job.end(Err(InvocationError::Stopping));
            }
        }
    }
}

/// Stores, compiles and links a component outside of a runtime; also gives its digest.
pub(crate) fn build_for_offline(
    artifacts: &Arc<ArtifactStore>,
    child: &CompileChild,
    config: &Config,
    engine: Arc<RunningEngine>,
    manifest: Manifest,
    component: &[u8],
) -> Result<(Arc<Deployment>, String), DeployError> {
    deploy::check_size(config, component)?;
    let digest = artifacts.put_component(component).map_err(DeployError::Store)?;
    let (compiler, numbered) = (Compiler::new(child.clone(), config), (VersionNumber::FIRST, manifest));
    Ok((Arc::new(deploy::build(artifacts, &compiler, engine, numbered, &digest)?), digest))
}

fn check(config: &Config) -> Result<(), OpenError> {
    let wrong = |key, allowed| Err(OpenError::Config { key, allowed });
    if !(1..=64).contains(&config.workers) {
        return wrong("workers", "1 to 64");
    }
    if config.stuck_workers_max > 64 {
        return wrong("stuck_workers_max", "0 to 64");
    }
    if !(10..=60_000).contains(&config.slice_ms) {
        return wrong("slice_ms", "10 to 60000");
    }
    if !(1..=256).contains(&config.versions_max) {
        return wrong("versions_max", "1 to 256");
    }
    if config.loaded_max == 0 {
        return wrong("loaded_max", "1 and more");
    }
    if config.queue_messages_max == 0 {
        return wrong("queue_messages_max", "1 and more");
    }
    if config.commits_in_flight_max == 0 {
        return wrong("commits_in_flight_max", "1 and more");
    }
    if config.kept_instances_max > 64 {
        return wrong("kept_instances_max", "0 to 64");
    }
    if config.memory_bytes_max < 64 << 10 || config.memory_bytes_max as u64 > POOLED_MEMORY_BYTES {
        return wrong("memory_bytes_max", "65536 to 268435456");
    }
    if config.memory_total_bytes < config.memory_bytes_max {
        return wrong("memory_total_bytes", "memory_bytes_max and more");
    }
    if !(1..=3_600_000).contains(&config.timeout_ms_max) {
        return wrong("timeout_ms_max", "1 to 3600000");
    }
    if !(1..=60_000).contains(&config.intercept_timeout_ms_max) {
        return wrong("intercept_timeout_ms_max", "1 to 60000");
    }
    if config.compile_memory_bytes < 64 << 20 {
        return wrong("compile_memory_bytes", "67108864 and more");
    }
    Ok(())
}
