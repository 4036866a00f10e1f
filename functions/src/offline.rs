//! Runs a function on messages without a node: key-values and twins in memory, a clock and randomness that repeat.
//!
//! Not a simulation of the broker: nothing is delivered to anyone, failures are not tried again. The same input gives the
//! same report, but for times.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::artifact::ArtifactStore;
use crate::caller::{Caller, Waiting, Wanted};
use crate::comparison::{Differences, compare};
use crate::compile::CompileChild;
use crate::config::Config;
use crate::deployment::{DeployError, Deployment};
use crate::engine::LazyEngine;
use crate::host::{
    CommitDone, CommitFailure, Effects, Host, HostError, KvChange, KvEntry, KvWrite, TwinDoc, TwinPatch, TwinSection,
};
use crate::http_route::REQUEST_TOPIC;
use crate::invocation::{self, Input};
use crate::kept::{KeptInstances, KeptRoom, ReuseOf};
use crate::log_ring::{LogLine, LogRing};
use crate::manifest::{Manifest, Trigger};
use crate::message::{InvocationContext, InvocationMessage};
use crate::recording::{Recording, RunResult};
use crate::replay::{Played, play};
use crate::run_failure::RunFailure;
use crate::runtime::build_for_offline;
use crate::topic;
use crate::twin_buffer;
use crate::world::World;

/// Time at which every offline run happens: 2026-01-01 00:00:00 UTC.
const OFFLINE_NOW_MS: u64 = 1_767_225_600_000;

/// What the function finds, and after a run what it left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfflineState {
    /// Key-values as text.
    pub kv: BTreeMap<String, String>,
    /// Twins by thing name, then `desired` and `reported`.
    pub twins: BTreeMap<String, BTreeMap<TwinSection, Value>>,
}

/// What one message came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfflineRun {
    /// What was published: `bus.publish` first, then the returned messages, at last those for a caller. Empty after a failure.
    pub published: Vec<InvocationMessage>,
    /// Why there are no effects.
    pub failure: Option<String>,
    /// Instantiate and call, nanoseconds.
    pub run_ns: u64,
    /// All memories and tables of the instance, bytes.
    pub memory_bytes: u64,
}

/// What all messages came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfflineReport {
    /// Name in the manifest.
    pub function: String,
    /// World that was detected.
    pub world: World,
    /// One per message, in order.
    pub runs: Vec<OfflineRun>,
    /// Log lines of all runs.
    pub logs: Vec<LogLine>,
    /// Key-values and twins afterwards.
    pub state: OfflineState,
}

/// Why nothing was run.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// Manifest or component are not good; the same errors as at a deployment.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// No place for native code.
    #[error("using {} for native code", .path.display())]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Cause.
        source: std::io::Error,
    },
}

/// Runs the function on each message in order. Native code is kept in `directory`, so that the next run of the same
/// component starts at once; what other components left there is removed, so use one directory per function.
pub fn run_offline(
    directory: &Path,
    child: &CompileChild,
    config: &Config,
    manifest_toml: &str,
    component: &[u8],
    messages: Vec<(InvocationMessage, InvocationContext)>,
    state: OfflineState,
) -> Result<OfflineReport, OfflineError> {
    let memory = Arc::new(OfflineHost::new(state));
    let deployment = build(directory, child, config, manifest_toml, component)?;
    let logs = Arc::new(LogRing::new(10_000, config.log_line_bytes_max));
    let host: Arc<dyn Host> = memory.clone();
    let (kept, room) =
        (KeptInstances::default(), KeptRoom::new(config.kept_instances_max, config.memory_total_bytes / 2));
    let rule = deployment.manifest.isolation.reuse();
    let mut runs = Vec::with_capacity(messages.len());
    for (number, (message, mut context)) in messages.into_iter().enumerate() {
        context.received_ms = OFFLINE_NOW_MS;
        if context.matched_filter.is_empty() {
            context.matched_filter =
                deployment.manifest.triggers.first().map(|trigger| trigger.mqtt.clone()).unwrap_or_default();
        }
        let waiting = wait_for(&deployment.manifest, &message.topic);
        let (caller, _waiting) = waiting.unzip();
        context.caller = caller;
        let outcome = invocation::run(Input {
            deployment: &deployment,
            alias: None,
            host: &host,
            logs: &logs,
            invocation_id: format!("{}-{}", deployment.manifest.name, number + 1),
            message: &message.into(),
            context: &Arc::new(context),
            attempt: 1,
            is_replay: false,
            on_slice: None,
            until: None,
            reuse: rule.map(|rule| ReuseOf { kept: &kept, room: &room, host: &host, rule }),
        });
        let (run_ns, memory_bytes) = (outcome.run_time.as_nanos() as u64, outcome.memory_bytes);
        let (published, failure) = match outcome.end.map(|effects| memory.apply(effects)) {
            Ok(published) => (published, None),
            Err(failure) => (Vec::new(), Some(words(failure, deployment.manifest.limits.timeout_ms))),
        };
        runs.push(OfflineRun { published, failure, run_ns, memory_bytes });
    }
    let (function, world) = (deployment.manifest.name.clone(), deployment.world);
    Ok(OfflineReport { function, world, runs, logs: logs.subscribe(None), state: memory.state() })
}

/// A recorded message, run again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedRun {
    /// The run that was recorded.
    pub invocation_id: String,
    /// The message's topic.
    pub topic: String,
    /// What it came to now.
    pub result: RunResult,
    /// What is different from then.
    pub differences: Differences,
    /// Reads that were not recorded: nothing was there.
    pub unrecorded_reads: usize,
    /// Instantiate and call, nanoseconds.
    pub run_ns: u64,
    /// What it wrote to its log.
    pub logs: Vec<LogLine>,
}

/// Runs the function on each recording as if it were then, without effects. `directory`: as for [`run_offline`].
///
/// # Errors
/// The same.
pub fn replay_offline(
    directory: &Path,
    child: &CompileChild,
    config: &Config,
    manifest_toml: &str,
    component: &[u8],
    recordings: &[Recording],
) -> Result<Vec<RecordedRun>, OfflineError> {
    let deployment = build(directory, child, config, manifest_toml, component)?;
    let again = |recording: &Recording| {
        let Played { run, logs } = play(&deployment, recording, None);
        RecordedRun {
            invocation_id: recording.invocation_id.clone(),
            topic: recording.message.topic.clone(),
            differences: compare(&recording.result, &run.result),
            result: run.result,
            unrecorded_reads: run.unrecorded,
            run_ns: (run.run_us * 1000.0) as u64,
            logs,
        }
    };
    Ok(recordings.iter().map(again).collect())
}

fn build(
    directory: &Path,
    child: &CompileChild,
    config: &Config,
    manifest_toml: &str,
    component: &[u8],
) -> Result<Arc<Deployment>, OfflineError> {
    let directory_error = |source| OfflineError::Directory { path: directory.into(), source };
    let manifest = Manifest::parse(manifest_toml, config).map_err(DeployError::from)?;
    let artifacts = ArtifactStore::open(directory, |key| getrandom::fill(key).map_err(std::io::Error::other))
        .map(Arc::new)
        .map_err(directory_error)?;
    let engine = LazyEngine::new(config.clone()).get().map_err(DeployError::from)?;
    let (deployment, digest) = build_for_offline(&artifacts, child, config, engine, manifest, component)?;
    artifacts.remove_unused(std::slice::from_ref(&digest)).map_err(directory_error)?;
    Ok(deployment)
}

/// Where the function has a caller in a node, it has one here, who is shown what they get beside what is published.
fn wait_for(manifest: &Manifest, topic: &str) -> Option<(Caller, Waiting)> {
    let of_topic = |trigger: &&Trigger| topic::filter_matches(&trigger.mqtt, topic);
    let trigger = manifest.triggers.iter().find(of_topic);
    let wanted = if topic.starts_with(REQUEST_TOPIC) {
        Wanted::HttpResponse
    } else if trigger.is_some_and(|trigger| trigger.intercept_rule().is_some()) {
        Wanted::Everything
    } else {
        return None;
    };
    Some(Caller::new(Instant::now() + Duration::from_millis(manifest.limits.timeout_ms), wanted))
}

fn words(failure: RunFailure, timeout_ms: u64) -> String {
    match failure {
        RunFailure::Retry(reason) => format!("retry: {reason}"),
        RunFailure::Reject(reason) => format!("reject: {reason}"),
        RunFailure::Trap(reason) => format!("trap: {reason}"),
        RunFailure::Left => "nobody waited for it any more".to_owned(),
        RunFailure::TimedOut => format!("stopped after limits.timeout_ms = {timeout_ms}"),
        RunFailure::OverLimit(reason) => format!("over a limit: {reason}"),
        RunFailure::Refused(reason) => format!("output refused: {reason}"),
        RunFailure::NotReady(function) => format!("{function} is not ready"),
    }
}

/// A host in memory.
pub(crate) struct OfflineHost {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kv: BTreeMap<String, KvEntry>,
    twins: HashMap<(String, TwinSection), (Value, u64)>,
    random_step: u64,
}

impl OfflineHost {
    pub(crate) fn new(state: OfflineState) -> Self {
        let kv = state.kv.into_iter().map(|(key, value)| (key, KvEntry { value: value.into_bytes(), revision: 1 }));
        let sections = state.twins.into_iter().flat_map(|(device, sections)| {
            sections.into_iter().map(move |(section, document)| ((device.clone(), section), (document, 1)))
        });
        Self { inner: Mutex::new(Inner { kv: kv.collect(), twins: sections.collect(), random_step: 0 }) }
    }

    fn state(&self) -> OfflineState {
        let inner = self.inner.lock();
        let kv = inner
            .kv
            .iter()
            .map(|(key, entry)| (key.clone(), String::from_utf8_lossy(&entry.value).into_owned()))
            .collect();
        let mut twins: BTreeMap<String, BTreeMap<TwinSection, Value>> = BTreeMap::new();
        for ((device, section), (document, _)) in &inner.twins {
            twins.entry(device.clone()).or_default().insert(*section, document.clone());
        }
        OfflineState { kv, twins }
    }

    /// Applies all effects; offline nobody else writes, so nothing can conflict.
    fn apply(&self, effects: Effects) -> Vec<InvocationMessage> {
        let inner = &mut *self.inner.lock();
        for KvWrite { key, change, .. } in effects.kv_writes {
            match change {
                KvChange::Set { value, revision, .. } => inner.kv.insert(key, KvEntry { value, revision }),
                KvChange::Delete => inner.kv.remove(&key),
            };
        }
        for TwinPatch { device, section, merge, .. } in effects.twin_patches {
            let (document, revision) =
                inner.twins.entry((device, section)).or_insert_with(|| (Value::Object(serde_json::Map::new()), 0));
            if let Ok(patch) = serde_json::from_str(&merge) {
                twin_buffer::merge(document, &patch);
            }
            *revision += 1;
        }
        effects.publish.into_iter().chain(effects.handed).chain(effects.replies).collect()
    }
}

impl Host for OfflineHost {
    fn now_ms(&self) -> u64 {
        OFFLINE_NOW_MS
    }

    fn random(&self, buffer: &mut [u8]) {
        let mut inner = self.inner.lock();
        for byte in buffer {
            inner.random_step =
                inner.random_step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (inner.random_step >> 33) as u8;
        }
    }

    fn kv_get(&self, _function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        Ok(self.inner.lock().kv.get(key).cloned())
    }

    fn kv_list(
        &self,
        _function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        let inner = self.inner.lock();
        let keys =
            inner.kv.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(limit).cloned().collect())
    }

    fn twin_get(&self, device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError> {
        let inner = self.inner.lock();
        let Some((document, revision)) = inner.twins.get(&(device.to_owned(), section)) else { return Ok(None) };
        Ok(document.pointer(path).map(|part| TwinDoc { json: part.to_string(), revision: *revision }))
    }

    fn commit(&self, effects: Effects, done: CommitDone) {
        let outcome: Result<(), CommitFailure> = Ok(());
        self.apply(effects);
        done.end(outcome);
    }
}
