//! A version that sees real messages after the live one has run on them, and has no effects; and the thread that runs it.
//!
//! One thread for the whole node, after everything else in priority, started with the first comparison. Its queue is bounded: what does
//! not fit is skipped and counted, so that comparing never delays a message.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use selvedge_priority::make_way;
use serde::Serialize;

use super::function::Function;
use super::traffic::LiveVersion;
use super::watch::Against;
use super::worker::{ASIDE_NICE, STACK_BYTES};
use super::{Shared, load};
use crate::canary::{Canary, Observation};
use crate::comparison::{Differences, compare, count_places};
use crate::gate::Changed;
use crate::recording::{Recording, RunResult};
use crate::replay::play;
use crate::version::VersionNumber;

/// Comparisons that wait.
const WAITING_MAX: usize = 64;
/// Changed messages that are shown.
const EXAMPLES_MAX: usize = 10;

/// A version in the shadow of those that are live.
pub(super) struct Shadow {
    number: VersionNumber,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Loaded with the first message, compiled where needed.
    version: Option<Arc<LiveVersion>>,
    compared: u64,
    skipped: u64,
    changed: u64,
    newly_failed: u64,
    unrecorded_reads: u64,
    places: BTreeMap<String, u64>,
    examples: Vec<Changed>,
    problem: Option<String>,
}

/// What a shadow came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShadowStatus {
    /// The version.
    pub version: VersionNumber,
    /// Messages that it was compared on.
    pub compared: u64,
    /// Messages for which there was no time.
    pub skipped: u64,
    /// Messages whose output is another one.
    pub changed: u64,
    /// Messages that fail and did not with the live version.
    pub newly_failed: u64,
    /// Reads that the live version did not make and that were answered from the present.
    pub unrecorded_reads: u64,
    /// What changed, by place, with the number of messages; at most 32 places.
    pub places: BTreeMap<String, u64>,
    /// The last of the changed messages.
    pub examples: Vec<Changed>,
    /// Why it does not run.
    pub problem: Option<String>,
}

impl Shadow {
    pub(super) fn new(number: VersionNumber) -> Arc<Self> {
        Arc::new(Self { number, state: Mutex::default() })
    }

    pub(super) fn number(&self) -> VersionNumber {
        self.number
    }

    pub(super) fn status(&self) -> ShadowStatus {
        let state = self.state.lock();
        ShadowStatus {
            version: self.number,
            compared: state.compared,
            skipped: state.skipped,
            changed: state.changed,
            newly_failed: state.newly_failed,
            unrecorded_reads: state.unrecorded_reads,
            places: state.places.clone(),
            examples: state.examples.clone(),
            problem: state.problem.clone(),
        }
    }

    fn skip(&self) {
        self.state.lock().skipped += 1;
    }

    fn version(&self, shared: &Shared, function: &Function) -> Option<Arc<LiveVersion>> {
        let mut state = self.state.lock();
        if state.version.is_none() && state.problem.is_none() {
            match load::one(shared, function, self.number) {
                Ok(version) => state.version = Some(version),
                Err(error) => {
                    tracing::warn!(function = function.name, version = %self.number, %error, "a shadow cannot run");
                    state.problem = Some(error.to_string());
                }
            }
        }
        state.version.clone()
    }

    fn compared(&self, recording: &Recording, differences: Differences, newly_failed: bool, unrecorded: usize) {
        let state = &mut *self.state.lock();
        state.compared += 1;
        state.newly_failed += u64::from(newly_failed);
        state.unrecorded_reads += unrecorded as u64;
        if differences.is_empty() {
            return;
        }
        state.changed += 1;
        count_places(&mut state.places, &differences);
        if state.examples.len() >= EXAMPLES_MAX {
            state.examples.remove(0);
        }
        state.examples.push(Changed {
            invocation_id: recording.invocation_id.clone(),
            topic: recording.message.topic.clone(),
            differences,
        });
    }
}

/// One message to compare on.
struct Comparison {
    function: Arc<Function>,
    recording: Arc<Recording>,
    against: Against,
}

/// The way to the thread.
#[derive(Default)]
pub(super) struct Comparer {
    queue: Mutex<Option<SyncSender<Comparison>>>,
}

impl Comparer {
    /// Compares when there is time.
    pub(super) fn compare(
        &self,
        shared: &Arc<Shared>,
        function: &Arc<Function>,
        recording: &Arc<Recording>,
        against: Against,
    ) {
        let mut queue = self.queue.lock();
        let queue = match &*queue {
            Some(queue) => queue,
            None => match start(Arc::downgrade(shared)) {
                Ok(started) => queue.insert(started),
                Err(error) => return tracing::error!(%error, "cannot start the thread that compares versions"),
            },
        };
        let (function, recording) = (function.clone(), recording.clone());
        match queue.try_send(Comparison { function, recording, against }) {
            Ok(()) => {}
            Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) => {
                if let Against::Shadow(shadow) = refused.against {
                    shadow.skip();
                }
            }
        }
    }
}

fn start(shared: Weak<Shared>) -> std::io::Result<SyncSender<Comparison>> {
    let (queue, waiting) = sync_channel(WAITING_MAX);
    let work = move || work(&shared, &waiting);
    std::thread::Builder::new().name("fn-compare".into()).stack_size(STACK_BYTES).spawn(work)?;
    Ok(queue)
}

/// Ends with the runtime: its end of the queue is gone then.
fn work(shared: &Weak<Shared>, waiting: &Receiver<Comparison>) {
    make_way(ASIDE_NICE);
    while let Ok(Comparison { function, recording, against }) = waiting.recv() {
        let Some(shared) = shared.upgrade() else { return };
        match against {
            Against::Shadow(shadow) => with_shadow(&shared, &function, &recording, &shadow),
            Against::Canary(canary) => with_other_half(&shared, &function, &recording, &canary),
        }
    }
}

fn with_shadow(shared: &Arc<Shared>, function: &Arc<Function>, recording: &Recording, shadow: &Shadow) {
    let Some(version) = shadow.version(shared, function) else { return };
    let played = play(&version.deployment, recording, Some(shared.host.clone())).run;
    let differences = compare(&recording.result, &played.result);
    let newly_failed = is_newly_failed(&recording.result, &played.result);
    shadow.compared(recording, differences, newly_failed, played.unrecorded);
}

fn with_other_half(shared: &Arc<Shared>, function: &Arc<Function>, recording: &Recording, canary: &Canary) {
    let is_candidate = recording.version == canary.candidate;
    let other = if is_candidate { canary.baseline } else { canary.candidate };
    // It may have ended meanwhile.
    let Some(version) = function.traffic().and_then(|traffic| traffic.version(other).cloned()) else { return };
    let played = play(&version.deployment, recording, Some(shared.host.clone())).run.result;
    let (before, after) = if is_candidate { (&played, &recording.result) } else { (&recording.result, &played) };
    let observation = Observation::Compared {
        is_changed: !compare(before, after).is_empty(),
        newly_failed: is_newly_failed(before, after),
    };
    shared.observe(function, observation);
}

fn is_newly_failed(before: &RunResult, after: &RunResult) -> bool {
    after.is_fault() && !before.is_fault()
}
