//! What is looked at beside the runs of a function: recordings of real messages, a shadow, a canary.
//!
//! Nothing here decides about a message. Invariants: what is not recorded costs a look at a bucket; one verdict for a canary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::job::Job;
use super::shadow::{Shadow, ShadowStatus};
use super::traffic::LiveVersion;
use crate::caller::Caller;
use crate::canary::{Canary, CanaryStatus, Guard, Observation, Verdict};
use crate::deployment::Deployment;
use crate::host::Host;
use crate::invocation::Outcome;
use crate::message::InvocationContext;
use crate::rate::{Bucket, Rate};
use crate::recording::{Recording, RecordingRing, RecordingRoom, RunResult};
use crate::tape::Recorder;
use crate::version::VersionNumber;

/// Largest tape of one run, bytes: as much again as what it writes may be.
const TAPE_BYTES_MAX: usize = 256 << 10;

/// Beside one function.
pub(super) struct Watch {
    began: Instant,
    inner: Mutex<Inner>,
    /// Runs whose tape grew too large.
    too_large: AtomicU64,
}

struct Inner {
    ring: RecordingRing,
    bucket: Option<Bucket>,
    guard: Option<Guard>,
    shadow: Option<Arc<Shadow>>,
}

/// What is to be compared with a recording.
pub(super) enum Against {
    /// The shadow has not seen the message.
    Shadow(Arc<Shadow>),
    /// The other version of a canary has not.
    Canary(Canary),
}

/// What is known of a function's recordings, its shadow and its canary.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct WatchStatus {
    /// Messages that are recorded now.
    pub recordings: usize,
    /// Messages that were not, because they found no room or asked the node for too much.
    pub recordings_refused: u64,
    /// The version that sees the messages without effects.
    pub shadow: Option<ShadowStatus>,
    /// The version on trial.
    pub canary: Option<CanaryStatus>,
}

impl Watch {
    pub(super) fn new(room: Arc<RecordingRoom>) -> Self {
        let inner = Inner { ring: RecordingRing::new(room), bucket: None, guard: None, shadow: None };
        Self { began: Instant::now(), inner: Mutex::new(inner), too_large: AtomicU64::new(0) }
    }

    /// What is to be watched from now on; what is watched already goes on.
    pub(super) fn set(&self, canary: Option<Canary>, shadow: Option<VersionNumber>) {
        let now = self.began.elapsed();
        let inner = &mut *self.inner.lock();
        if inner.guard.as_ref().map(Guard::canary) != canary.as_ref() {
            inner.guard = canary.map(|canary| Guard::new(canary, now));
        }
        if inner.shadow.as_ref().map(|shadow| shadow.number()) != shadow {
            inner.shadow = shadow.map(Shadow::new);
        }
    }

    /// Lends `host` to a run and writes down what it says, if the run is one to be recorded.
    pub(super) fn recorder(&self, deployment: &Deployment, host: &Arc<dyn Host>) -> Option<Arc<Recorder>> {
        let policy = deployment.manifest.recording;
        let now = self.began.elapsed();
        let inner = &mut *self.inner.lock();
        if policy.messages == 0 && inner.guard.is_none() && inner.shadow.is_none() {
            return None;
        }
        let rate = Rate { per_s: policy.per_s, burst: policy.per_s };
        // One for all versions: a full one for each change of the rate would be no limit while two share the messages.
        let bucket = inner.bucket.get_or_insert_with(|| Bucket::new(rate, now));
        bucket.take(rate, now).is_ok().then(|| Recorder::new(host.clone(), TAPE_BYTES_MAX))
    }

    /// Keeps what came of a recorded run; gives it back with what it is to be compared with.
    pub(super) fn recorded(
        &self,
        recorder: &Recorder,
        version: &LiveVersion,
        alias: Option<&str>,
        (job, invocation_id): (&Job, &str),
        outcome: &Outcome,
    ) -> Option<(Arc<Recording>, Vec<Against>)> {
        let Some((tape, tape_bytes)) = recorder.finish() else {
            self.too_large.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let recording = Arc::new(Recording {
            invocation_id: invocation_id.to_owned(),
            version: version.deployment.number,
            alias: alias.map(str::to_owned),
            message: job.message.clone().into(),
            context: InvocationContext { caller: None, ..(*job.context).clone() },
            wanted: job.context.caller.as_ref().map(Caller::wanted),
            attempt: job.attempt,
            start_ms: outcome.start_ms,
            tape: Arc::new(tape),
            result: RunResult::of(&outcome.end),
            run_us: outcome.run_time.as_micros() as u64,
            memory_bytes: outcome.memory_bytes,
        });
        let inner = &mut *self.inner.lock();
        inner.ring.push(recording.clone(), tape_bytes, version.deployment.manifest.recording.messages);
        let shadow = inner.shadow.as_ref().filter(|shadow| shadow.number() != recording.version);
        let shadow = shadow.map(|shadow| Against::Shadow(shadow.clone()));
        let canary = inner.guard.as_ref().map(Guard::canary);
        let canary = canary.filter(|canary| [canary.baseline, canary.candidate].contains(&recording.version));
        let against: Vec<Against> = shadow.into_iter().chain(canary.copied().map(Against::Canary)).collect();
        Some((recording, against))
    }

    /// Tells the guard of a canary, if there is one, of a run or a comparison.
    pub(super) fn observe(&self, observation: Observation) -> Option<(Canary, Verdict)> {
        let now: Duration = self.began.elapsed();
        let inner = &mut *self.inner.lock();
        let guard = inner.guard.as_mut()?;
        let verdict = guard.observe(observation, now)?;
        Some((*guard.canary(), verdict))
    }

    /// The recordings, oldest first.
    pub(super) fn recordings(&self) -> Vec<Arc<Recording>> {
        self.inner.lock().ring.all()
    }

    /// Forgets them.
    pub(super) fn forget(&self) {
        self.inner.lock().ring.clear();
    }

    pub(super) fn status(&self) -> WatchStatus {
        let inner = self.inner.lock();
        let (recordings, refused) = inner.ring.counts();
        WatchStatus {
            recordings,
            recordings_refused: refused + self.too_large.load(Ordering::Relaxed),
            shadow: inner.shadow.as_ref().map(|shadow| shadow.status()),
            canary: inner.guard.as_ref().map(Guard::status),
        }
    }
}
