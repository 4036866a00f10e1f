//! Runs versions again on recordings: one invocation, or all of them to judge a version that wants to go live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge_priority::make_way;
use serde::Serialize;

use super::function::Function;
use super::traffic::LiveVersion;
use super::worker::{ASIDE_NICE, STACK_BYTES};
use super::{Shared, load};
use crate::comparison::{Differences, compare};
use crate::deployment::DeployError;
use crate::gate::{self, Pair, PolicyWish, PromotionReport, Scope, TrialRun};
use crate::host::Host;
use crate::log_ring::LogLine;
use crate::recording::{Recording, RunResult};
use crate::replay::{Played, play};
use crate::version::VersionNumber;

/// Time that judging a version may take.
const TRIAL_MAX: Duration = Duration::from_secs(60);

/// One invocation again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// What was recorded.
    pub recording: Arc<Recording>,
    /// The version that ran now.
    pub version: VersionNumber,
    /// What it came to now.
    pub result: RunResult,
    /// Instantiate and call, microseconds.
    pub run_us: f64,
    /// Whether the result is the same byte for byte.
    pub is_same: bool,
    /// What is different.
    pub differences: Differences,
    /// Reads that were not recorded and were answered from the present.
    pub unrecorded_reads: usize,
    /// What it wrote to its log.
    pub logs: Vec<LogLine>,
}

/// Runs the version that ran then, or another one, on one recording again.
pub(super) fn replay(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    invocation_id: &str,
    version: Option<VersionNumber>,
) -> Result<Replay, DeployError> {
    let recordings = function.watch.recordings();
    let recording = recordings.into_iter().rev().find(|recording| recording.invocation_id == invocation_id);
    let recording =
        recording.ok_or_else(|| DeployError::NotRecorded(crate::log_ring::cut(invocation_id, 80).to_owned()))?;
    let version = load::one(shared, function, version.unwrap_or(recording.version))?;
    let host = shared.host.clone();
    aside(move || {
        let Played { run, logs } = play(&version.deployment, &recording, Some(host));
        Replay {
            version: version.deployment.number,
            is_same: run.result == recording.result,
            differences: compare(&recording.result, &run.result),
            run_us: run.run_us,
            unrecorded_reads: run.unrecorded,
            result: run.result,
            logs,
            recording,
        }
    })
}

/// Both versions on all recordings.
pub(super) fn judge(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    candidate: VersionNumber,
    recordings: Option<Vec<Recording>>,
    wish: PolicyWish,
) -> Result<PromotionReport, DeployError> {
    let live = function.traffic().and_then(|traffic| traffic.foremost().cloned());
    let live = live.ok_or_else(|| DeployError::NothingLive(function.name.clone()))?;
    let candidate = load::one(shared, function, candidate)?;
    let policy = candidate.deployment.manifest.promote.with(wish);
    policy.check().map_err(|error| DeployError::Policy(error.to_string()))?;
    let recordings = match recordings {
        Some(recordings) => recordings.into_iter().map(Arc::new).collect(),
        None => function.watch.recordings(),
    };
    let (host, name) = (shared.host.clone(), function.name.clone());
    aside(move || {
        let until = Instant::now() + TRIAL_MAX;
        let (taken, not_taken): (Vec<_>, Vec<_>) = recordings
            .iter()
            .partition(|recording| candidate.takes(&recording.message.topic, &recording.context.matched_filter));
        let pair = |recording: &&Arc<Recording>| pair(&live, &candidate, recording, &host);
        let pairs: Vec<Pair> = taken.iter().take_while(|_| Instant::now() < until).map(pair).collect();
        let scope = Scope {
            function: name,
            live: live.deployment.number,
            candidate: candidate.deployment.number,
            not_taken: not_taken.len(),
            left_out: taken.len() - pairs.len(),
        };
        gate::judge(scope, policy, &pairs)
    })
}

/// Twice each, in turns, the faster counts: the first run of a version pays for pages that the second finds.
fn pair(live: &LiveVersion, candidate: &LiveVersion, recording: &Recording, host: &Arc<dyn Host>) -> Pair {
    let run = |version: &LiveVersion| play(&version.deployment, recording, Some(host.clone())).run;
    let faster = |one: TrialRun, other: TrialRun| if one.run_us <= other.run_us { one } else { other };
    let (live_first, candidate_first) = (run(live), run(candidate));
    let (candidate_second, live_second) = (run(candidate), run(live));
    Pair {
        invocation_id: recording.invocation_id.clone(),
        topic: recording.message.topic.clone(),
        then: (recording.version == live.deployment.number).then(|| recording.result.clone()),
        live: faster(live_first, live_second),
        candidate: faster(candidate_first, candidate_second),
    }
}

/// On a thread of its own, which has the stack of a guest and goes after everything else.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DeployError> {
    let work = move || {
        make_way(ASIDE_NICE);
        work()
    };
    let thread = std::thread::Builder::new().name("fn-trial".into()).stack_size(STACK_BYTES).spawn(work);
    let thread = thread.map_err(|error| DeployError::Trial(error.to_string()))?;
    thread.join().map_err(|_| DeployError::Trial("it panicked".to_owned()))
}
