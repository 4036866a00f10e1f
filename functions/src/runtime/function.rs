//! One deployed function: what it serves, its queue, what is counted and kept of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::circuits::Circuits;
use super::job::Job;
use super::lanes::{Next, Order};
use super::queue::{Queue, Refused, Take};
use super::traffic::{LiveVersion, Traffic};
use super::watch::Watch;
use super::{FunctionState, FunctionStatus};
use crate::alias::{Share, Sticky};
use crate::canary::Canary;
use crate::circuit::{Change, End, Permit};
use crate::config::Config;
use crate::counters::Counters;
use crate::log_ring::LogRing;
use crate::manifest::Trigger;
use crate::recording::RecordingRoom;
use crate::version::VersionNumber;

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

impl Function {
    pub(super) fn new(name: &str, serving: Serving, facts: Facts, config: &Config, room: Arc<RecordingRoom>) -> Self {
        let watch = Watch::new(room);
        watch.set(facts.canary, facts.shadow);
        Self {
            name: name.to_owned(),
            logs: Arc::new(LogRing::new(config.log_lines_kept, config.log_line_bytes_max)),
            counters: Counters::new(),
            watch,
            commits_max: config.commits_in_flight_max,
            began: Instant::now(),
            last_warning: Mutex::new(None),
            queue: Mutex::new(Queue::new(serving, facts)),
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

    /// What it ran cannot be loaded any more; false where that is known already.
    pub(super) fn loses_code(&self) -> bool {
        let mut queue = self.queue.lock();
        let was_ready = matches!(queue.serving, Serving::Ready(_));
        if was_ready {
            queue.serving = Serving::Preparing;
        }
        was_ready
    }

    /// Does it wait for its native code?
    pub(super) fn is_preparing(&self) -> bool {
        matches!(self.queue.lock().serving, Serving::Preparing)
    }

    /// Appends a message, or gives it back.
    pub(super) fn push(&self, job: Job, config: &Config) -> Result<(), Refused> {
        self.queue.lock().push(&self.name, job, config)
    }

    /// Puts a message back to the front, to be run again.
    pub(super) fn push_again(&self, job: Job) -> Result<(), Refused> {
        self.queue.lock().push_again(&self.name, job)
    }

    /// What the scheduler has to be told: to run the function now or to look at it at a time.
    pub(super) fn claim(&self) -> Next {
        self.queue.lock().claim(Instant::now(), self.commits_max)
    }

    /// The next message for a worker, whom the scheduler gave the function; `is_wake`: because its time had come.
    pub(super) fn take(&self, is_wake: bool) -> Take {
        let mut queue = self.queue.lock();
        queue.lanes.entered(is_wake);
        queue.take(&self.name, &self.counters, self.began, self.began.elapsed())
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

    /// Drops instances that are too old to run again; when to look again.
    pub(super) fn sweep_kept(&self, now: Instant) -> Vec<Instant> {
        let Some(traffic) = self.traffic() else { return Vec::new() };
        let reusing = traffic
            .versions()
            .iter()
            .filter_map(|version| Some((version, version.deployment.manifest.isolation.reuse()?)));
        reusing.filter_map(|(version, rule)| version.kept.sweep(rule, now)).collect()
    }

    /// The worker is done with a message and with its publisher.
    pub(super) fn release(&self, order: Order) {
        let mut queue = self.queue.lock();
        queue.lanes.end();
        queue.lanes.free(order);
    }

    /// A commit begins. Gives `start` back if the host gets it now; one that can conflict may have to wait for another one.
    pub(super) fn commit_begins<F: FnOnce() + Send + 'static>(&self, checked: bool, start: F) -> Option<F> {
        self.queue.lock().commit_begins(checked, start)
    }

    /// The worker is done with a message whose commit began. Where it can conflict, its publisher waits for
    /// [`Function::pass_on`].
    pub(super) fn ran(&self, order: Order, checked: bool) {
        let mut queue = self.queue.lock();
        queue.lanes.end();
        if !checked {
            queue.lanes.free(order);
        }
    }

    /// As [`Function::commit_begins`], of a commit that cannot conflict and is with the host already.
    pub(super) fn commit_begins_beside(&self) {
        self.queue.lock().commit_counts();
    }

    /// A commit ended.
    pub(super) fn commit_ended(&self) {
        self.queue.lock().commit_ended();
    }

    /// A commit is in order or has ended, and with that the turn of its order, if it kept one.
    pub(super) fn pass_on(&self, checked: bool, order: Option<Order>) {
        let next = self.queue.lock().pass_on(checked, order);
        if let Some(start) = next {
            start();
        }
    }

    /// Takes no message any more; gives back those that waited.
    pub(super) fn close(&self) -> Vec<Job> {
        self.queue.lock().close()
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
            queued: queue.len(),
            running: queue.lanes.running(),
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
