//! One deployed function: the versions it serves, its queue, and whether it may run now.
//!
//! Invariants: at most one thread works on a function; a message is in the queue, with a worker, with the host's commit, or
//! ended; `done` of every message is called exactly once, whatever is dropped on the way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::circuits::Circuits;
use super::traffic::{LiveVersion, Traffic};
use super::watch::Watch;
use super::{FunctionState, FunctionStatus, InvocationDone};
use crate::alias::{Share, Sticky, scatter};
use crate::bindings::selvedge::function::types;
use crate::canary::Canary;
use crate::circuit::{Change, End, Permit};
use crate::config::Config;
use crate::counters::Counters;
use crate::log_ring::LogRing;
use crate::manifest::{CircuitPolicy, Fallback, Trigger};
use crate::message::{InvocationContext, InvocationError, InvocationMessage, InvocationResult};
use crate::rate::{Bucket, CpuShare};
use crate::recording::RecordingRoom;
use crate::version::VersionNumber;

/// Places for messages that an empty queue keeps; a burst's memory is given back.
const IDLE_CAPACITY: usize = 64;

/// What waits for an open circuit is looked at again after this, because something else may be live by then.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One message on its way.
pub(super) struct Job {
    pub(super) message: types::Message,
    pub(super) context: Arc<InvocationContext>,
    /// Number of the run that comes next or is going on, from 1.
    pub(super) attempt: u32,
    /// Commits of this message that conflicted.
    pub(super) conflicts: u32,
    /// Decides about the version where nothing else does; another one for each message.
    pub(super) random: u64,
    /// The versions that were asked for; `None`: the live ones when it runs.
    pub(super) pinned: Option<Arc<Traffic>>,
    /// What its circuit said; asked once for all attempts.
    permit: Option<Permit>,
    weight_bytes: usize,
    done: Option<InvocationDone>,
}

static NEXT_MESSAGE: AtomicU64 = AtomicU64::new(1);
/// Tells messages of this run of the node from those of others.
static BOOT_KEY: LazyLock<u64> = LazyLock::new(|| {
    let mut bytes = [0; 8];
    // Without random numbers the node does not start; a key that is the same again is the worst that could come of it.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
});

impl Job {
    pub(super) fn new(message: InvocationMessage, mut context: InvocationContext, done: InvocationDone) -> Self {
        let weight_bytes = message.weight_bytes();
        let random = NEXT_MESSAGE.fetch_add(1, Ordering::Relaxed);
        context.message_key = scatter(random ^ *BOOT_KEY);
        Self {
            message: message.into(),
            context: Arc::new(context),
            attempt: 1,
            conflicts: 0,
            random,
            pinned: None,
            permit: None,
            weight_bytes,
            done: Some(done),
        }
    }

    /// Does nobody wait for its end any more, though somebody did?
    fn is_abandoned(&self, now: Instant) -> bool {
        self.context.caller.as_ref().is_some_and(|caller| caller.is_gone(now))
    }

    pub(super) fn end(mut self, result: InvocationResult) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Job {
    /// A message that is lost with a thread or a queue is one to deliver again.
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(InvocationError::Stopping));
        }
    }
}

/// What a function runs.
#[derive(Clone)]
pub(super) enum Serving {
    Ready(Arc<Traffic>),
    /// Nothing is live.
    Idle,
    Preparing,
    Broken(String),
}

/// What is known of a function also when it cannot run.
#[derive(Clone, Default)]
pub(super) struct Facts {
    /// The author's version of the foremost one.
    pub(super) version: String,
    /// Its component.
    pub(super) digest: String,
    /// The alias `live`.
    pub(super) live: Vec<Share>,
    pub(super) sticky: Option<Sticky>,
    /// `None`: not known.
    pub(super) triggers: Option<Vec<Trigger>>,
    /// The version on trial.
    pub(super) canary: Option<Canary>,
    /// The version that sees the messages without effects.
    pub(super) shadow: Option<VersionNumber>,
}

/// Who has the function now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody.
    Free,
    /// The scheduler, to be run now or later.
    Queued,
    /// A worker.
    Running,
}

struct Queue {
    serving: Serving,
    facts: Facts,
    waiting: VecDeque<Job>,
    waiting_bytes: usize,
    phase: Phase,
    /// Commits under way.
    commits: usize,
    /// One of them can conflict: nothing may overtake it.
    checked_commit: bool,
    closed: bool,
    circuits: Circuits,
    bucket: Option<Bucket>,
    cpu: Option<CpuShare>,
}

/// A function and its queue.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) logs: Arc<LogRing>,
    pub(super) counters: Counters,
    /// What is looked at beside its runs.
    pub(super) watch: Watch,
    commits_max: usize,
    /// Its time counts from here.
    began: Instant,
    last_warning: Mutex<Option<Instant>>,
    queue: Mutex<Queue>,
}

impl Queue {
    /// Takes a run from the rate of the version's function, or says when there will be one, and processor time for it.
    fn wait_for_rate(&mut self, version: &LiveVersion, now: Duration) -> Option<Duration> {
        let limits = &version.deployment.manifest.limits;
        if let Some(percent) = limits.cpu_percent {
            let share = self.cpu.get_or_insert_with(|| CpuShare::new(now));
            if let Err(until) = share.may_run(percent, now) {
                return Some(until);
            }
        }
        let rate = limits.rate?;
        self.bucket.get_or_insert_with(|| Bucket::new(rate, now)).take(rate, now).err()
    }

    /// What the circuit says about the message at the front, once for all its attempts; `None` where there is none.
    fn permit(&mut self, version: &LiveVersion, now: Duration) -> Option<Permit> {
        let policy: &CircuitPolicy = version.deployment.manifest.circuit.as_ref()?;
        let job = self.waiting.front_mut()?;
        if let Some(permit @ (Permit::Run | Permit::Probe)) = job.permit {
            return Some(permit);
        }
        let permit = self.circuits.permit(policy, job.context.client_id.as_deref(), now);
        job.permit = Some(permit);
        Some(permit)
    }

    /// Does somebody wait for the message at the front?
    fn has_caller(&self) -> bool {
        self.waiting.front().is_some_and(|job| job.context.caller.is_some())
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(job.weight_bytes);
        if self.waiting.is_empty() && self.waiting.capacity() > IDLE_CAPACITY {
            self.waiting.shrink_to(IDLE_CAPACITY);
        }
        Some(job)
    }
}

/// What a worker finds.
pub(super) enum Take {
    /// Nothing to do.
    Nothing,
    /// Nothing before that.
    Later(Instant),
    /// A message that nobody waits for any more.
    Abandoned(Job),
    /// A message to run.
    Run(Taken),
    /// A message whose circuit is open.
    FallBack(Taken),
}

/// A message for a worker.
pub(super) struct Taken {
    pub(super) job: Job,
    pub(super) version: Arc<LiveVersion>,
    /// The alias by which the version was chosen.
    pub(super) alias: Option<Arc<str>>,
}

/// A refused message and the reason.
pub(super) type Refused = Box<(Job, InvocationError)>;

impl Function {
    pub(super) fn new(name: &str, serving: Serving, facts: Facts, config: &Config, room: Arc<RecordingRoom>) -> Self {
        let watch = Watch::new(room);
        watch.set(facts.canary, facts.shadow);
        let queue = Queue {
            serving,
            facts,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            phase: Phase::Free,
            commits: 0,
            checked_commit: false,
            closed: false,
            circuits: Circuits::default(),
            bucket: None,
            cpu: None,
        };
        Self {
            name: name.to_owned(),
            logs: Arc::new(LogRing::new(config.log_lines_kept, config.log_line_bytes_max)),
            counters: Counters::new(),
            watch,
            commits_max: config.commits_in_flight_max,
            began: Instant::now(),
            last_warning: Mutex::new(None),
            queue: Mutex::new(queue),
        }
    }

    /// Swaps what it runs between two messages.
    pub(super) fn set_serving(&self, serving: Serving, facts: Facts) {
        self.watch.set(facts.canary, facts.shadow);
        let mut queue = self.queue.lock();
        queue.serving = serving;
        queue.facts = facts;
        // What other versions did says nothing about these.
        queue.circuits = Circuits::default();
    }

    /// What it runs, if it can run.
    pub(super) fn traffic(&self) -> Option<Arc<Traffic>> {
        match &self.queue.lock().serving {
            Serving::Ready(traffic) => Some(traffic.clone()),
            _ => None,
        }
    }

    /// It cannot run; what is known of it stays.
    pub(super) fn break_down(&self, reason: String) {
        self.queue.lock().serving = Serving::Broken(reason);
    }

    /// Does it wait for its native code?
    pub(super) fn is_preparing(&self) -> bool {
        matches!(self.queue.lock().serving, Serving::Preparing)
    }

    /// Appends a message, or gives it back.
    pub(super) fn push(&self, job: Job, config: &Config) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Box::new((job, InvocationError::Removed { function: self.name.clone() })));
        }
        let bytes = queue.waiting_bytes.saturating_add(job.weight_bytes);
        // A single message larger than the byte limit is let in when nothing else waits; the broker bounds its size.
        let too_many = queue.waiting.len() >= config.queue_messages_max;
        if too_many || (bytes > config.queue_bytes_max && !queue.waiting.is_empty()) {
            return Err(Box::new((job, InvocationError::Overloaded { function: self.name.clone() })));
        }
        queue.waiting_bytes = bytes;
        queue.waiting.push_back(job);
        Ok(())
    }

    /// Puts a message back to the front, to be run again.
    pub(super) fn push_again(&self, job: Job) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Box::new((job, InvocationError::Removed { function: self.name.clone() })));
        }
        queue.waiting_bytes = queue.waiting_bytes.saturating_add(job.weight_bytes);
        queue.waiting.push_front(job);
        Ok(())
    }

    /// True when the caller must hand the function to the scheduler: it has work, may run, and nobody has it.
    pub(super) fn claim_for_queue(&self) -> bool {
        let mut queue = self.queue.lock();
        let is_pinned = queue.waiting.front().is_some_and(|job| job.pinned.is_some());
        let can_run = is_pinned || matches!(queue.serving, Serving::Ready(_));
        let may_run = can_run && !queue.checked_commit && queue.commits < self.commits_max;
        if queue.phase != Phase::Free || !may_run || queue.waiting.is_empty() {
            return false;
        }
        queue.phase = Phase::Queued;
        true
    }

    /// The next message for a worker, which then has the function; with [`Take::Nothing`] nobody has it, with [`Take::Later`] the
    /// scheduler.
    pub(super) fn take(&self) -> Take {
        let now = self.began.elapsed();
        let mut queue = self.queue.lock();
        if queue.waiting.front().is_some_and(|job| job.is_abandoned(self.began + now))
            && let Some(job) = queue.pop()
        {
            queue.phase = Phase::Running;
            return Take::Abandoned(job);
        }
        let Some((mut version, traffic)) = self.choose(&queue) else {
            queue.phase = Phase::Free;
            return Take::Nothing;
        };
        let alias = traffic.name.clone();
        if let Some(until) = queue.wait_for_rate(&version, now) {
            queue.phase = Phase::Queued;
            self.counters.waited_for_rate();
            return Take::Later(self.began + until);
        }
        let mut falls_back = false;
        match queue.permit(&version, now) {
            None | Some(Permit::Run | Permit::Probe) => {}
            Some(Permit::No { until }) => match version.deployment.manifest.circuit.as_ref().map(|it| &it.fallback) {
                // Who waits for an answer has one at once.
                Some(Fallback::Wait) if !queue.has_caller() => {
                    queue.phase = Phase::Queued;
                    return Take::Later(self.began + until.min(now + LOOK_AGAIN));
                }
                Some(Fallback::Version(number)) => match traffic.fallback(*number) {
                    Some(other) => version = other.clone(),
                    None => falls_back = true,
                },
                _ => falls_back = true,
            },
        }
        let Some(job) = queue.pop() else {
            queue.phase = Phase::Free;
            return Take::Nothing;
        };
        queue.phase = Phase::Running;
        let taken = Taken { job, version, alias };
        if falls_back { Take::FallBack(taken) } else { Take::Run(taken) }
    }

    fn choose(&self, queue: &Queue) -> Option<(Arc<LiveVersion>, Arc<Traffic>)> {
        let job = queue.waiting.front()?;
        let live = match &queue.serving {
            Serving::Ready(traffic) => Some(traffic),
            _ => None,
        };
        let traffic = job.pinned.as_ref().or(live)?;
        Some((traffic.choose(&self.name, job)?, traffic.clone()))
    }

    /// A message came to its end; gives what that did to its circuit.
    pub(super) fn ended(&self, version: &LiveVersion, job: &Job, end: End) -> Option<Change> {
        let policy = version.deployment.manifest.circuit.as_ref()?;
        let permit = job.permit.filter(|permit| !matches!(permit, Permit::No { .. }))?;
        let now = self.began.elapsed();
        self.queue.lock().circuits.ended(policy, job.context.client_id.as_deref(), now, (permit, end))
    }

    /// A run took so long.
    pub(super) fn took(&self, time: Duration) {
        if let Some(share) = &mut self.queue.lock().cpu {
            share.used(time);
        }
    }

    /// The worker is done with the function.
    pub(super) fn release(&self) {
        self.queue.lock().phase = Phase::Free;
    }

    /// The worker gives the function back to the scheduler, to wait there.
    pub(super) fn release_to_scheduler(&self) {
        self.queue.lock().phase = Phase::Queued;
    }

    pub(super) fn commit_begins(&self, checked: bool) {
        let mut queue = self.queue.lock();
        queue.commits += 1;
        queue.checked_commit |= checked;
    }

    pub(super) fn commit_ended(&self, checked: bool) {
        let mut queue = self.queue.lock();
        queue.commits -= 1;
        queue.checked_commit &= !checked;
    }

    /// Takes no message any more; gives back those that waited.
    pub(super) fn close(&self) -> Vec<Job> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.waiting_bytes = 0;
        queue.waiting.drain(..).collect()
    }

    /// True at most every ten seconds, so that a failing function does not fill the node's log.
    pub(super) fn may_warn(&self) -> bool {
        let mut last = self.last_warning.lock();
        let may = last.is_none_or(|last| last.elapsed().as_secs() >= 10);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    pub(super) fn status(&self) -> FunctionStatus {
        let watch = self.watch.status();
        let queue = self.queue.lock();
        let (circuit, circuits_open) = queue.circuits.state();
        let world = |traffic: &Traffic| traffic.foremost().map(|version| version.deployment.world);
        let (world, state, versions) = match &queue.serving {
            Serving::Ready(traffic) => (world(traffic), FunctionState::Ready, traffic.status()),
            Serving::Idle => (None, FunctionState::Idle, Vec::new()),
            Serving::Preparing => (None, FunctionState::Preparing, Vec::new()),
            Serving::Broken(reason) => (None, FunctionState::Broken { reason: reason.clone() }, Vec::new()),
        };
        FunctionStatus {
            name: self.name.clone(),
            version: queue.facts.version.clone(),
            digest: queue.facts.digest.clone(),
            world,
            state,
            live: queue.facts.live.clone(),
            sticky: queue.facts.sticky,
            versions,
            triggers: queue.facts.triggers.clone(),
            queued: queue.waiting.len(),
            circuit,
            circuits_open,
            counters: self.counters.snapshot(),
            recordings: watch.recordings,
            recordings_refused: watch.recordings_refused,
            shadow: watch.shadow.map(|shadow| shadow.version),
            canary: watch.canary,
        }
    }
}
