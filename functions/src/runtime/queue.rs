//! The messages that wait for one function, and which of them a worker gets next. Pure: the time is an argument.
//!
//! Invariants: a message is here, with a worker, with the host's commit, or ended; commits that can conflict are with the host
//! one at a time until they are in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::circuits::Circuits;
use super::function::{Facts, Serving};
use super::job::Job;
use super::lanes::{Lanes, Next, Order, Passed};
use super::traffic::{LiveVersion, Traffic};
use crate::circuit::Permit;
use crate::config::Config;
use crate::counters::Counters;
use crate::manifest::{CircuitPer, CircuitPolicy, Concurrency, Fallback};
use crate::message::InvocationError;
use crate::rate::{Bucket, CpuShare};

/// Places for messages that an empty queue keeps; a burst's memory is given back.
const IDLE_CAPACITY: usize = 64;

/// What waits for an open circuit is looked at again after this, because something else may be live by then.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a worker finds.
pub(super) enum Take {
    /// Nothing to do.
    Nothing,
    /// Nothing before that; the scheduler has to be told.
    Later(Instant),
    /// A message that nobody waits for any more.
    Abandoned(Job, Order),
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
    /// What the message keeps until it is freed.
    pub(super) order: Order,
    /// Others may be able to run beside it.
    pub(super) others_wait: bool,
}

/// A refused message and the reason.
pub(super) type Refused = Box<(Job, InvocationError)>;

/// Hands a commit to the host.
pub(super) type StartCommit = Box<dyn FnOnce() + Send>;

/// See the module.
pub(super) struct Queue {
    pub(super) serving: Serving,
    pub(super) facts: Facts,
    pub(super) circuits: Circuits,
    pub(super) cpu: Option<CpuShare>,
    pub(super) lanes: Lanes,
    waiting: VecDeque<Job>,
    waiting_bytes: usize,
    /// Commits under way.
    commits: usize,
    /// One of them can conflict and is not in order yet.
    checked_commit: bool,
    /// Further such, until that one is in order or has ended.
    held: VecDeque<StartCommit>,
    closed: bool,
    bucket: Option<Bucket>,
}

impl Queue {
    pub(super) fn new(serving: Serving, facts: Facts) -> Self {
        Self {
            serving,
            facts,
            circuits: Circuits::default(),
            cpu: None,
            lanes: Lanes::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            commits: 0,
            checked_commit: false,
            held: VecDeque::new(),
            closed: false,
            bucket: None,
        }
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Appends a message, or gives it back.
    pub(super) fn push(&mut self, function: &str, job: Job, config: &Config) -> Result<(), Refused> {
        if self.closed {
            return Err(Box::new((job, InvocationError::Removed { function: function.to_owned() })));
        }
        let bytes = self.waiting_bytes.saturating_add(job.weight_bytes);
        // A single message larger than the byte limit is let in when nothing else waits; the broker bounds its size.
        let too_many = self.waiting.len() >= config.queue_messages_max;
        if too_many || (bytes > config.queue_bytes_max && !self.waiting.is_empty()) {
            return Err(Box::new((job, InvocationError::Overloaded { function: function.to_owned() })));
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(job);
        Ok(())
    }

    /// Puts a message back to the front, to be run again.
    pub(super) fn push_again(&mut self, function: &str, job: Job) -> Result<(), Refused> {
        if self.closed {
            return Err(Box::new((job, InvocationError::Removed { function: function.to_owned() })));
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(job.weight_bytes);
        self.waiting.push_front(job);
        Ok(())
    }

    /// What the scheduler has to be told, as [`Lanes::claim`]; a function that cannot run is none of its business.
    pub(super) fn claim(&mut self, now: Instant, commits_max: usize) -> Next {
        if self.commits >= commits_max {
            return Next::Nothing;
        }
        let (concurrency, is_ready) = (self.concurrency(), matches!(self.serving, Serving::Ready(_)));
        let able = self.waiting.iter().take_while(|job| is_ready || job.pinned.is_some());
        self.lanes.claim(concurrency, self.waiting.len(), able.map(Job::candidate), now)
    }

    /// The next message for a worker, which then has a lane of the function. `now` is since `began`, too.
    pub(super) fn take(&mut self, function: &str, counters: &Counters, began: Instant, now: Duration) -> Take {
        let concurrency = self.concurrency();
        if !self.lanes.has_room(concurrency, self.waiting.len()) {
            return Take::Nothing;
        }
        let mut passed = Passed::default();
        loop {
            let candidates = self.waiting.iter().map(Job::candidate);
            let place = match self.lanes.next(concurrency, candidates, began + now, &mut passed) {
                Next::Run(place) => place,
                Next::At(at) => return self.later(at),
                Next::Nothing => return Take::Nothing,
            };
            let Some(job) = self.waiting.get(place) else { return Take::Nothing };
            let order = Lanes::order(concurrency, job.candidate());
            if job.is_abandoned(began + now) {
                let Some(job) = self.pop(place) else { return Take::Nothing };
                self.lanes.begin(order);
                return Take::Abandoned(job, order);
            }
            let Some((mut version, traffic)) = self.choose(function, place) else { return Take::Nothing };
            let mut falls_back = false;
            if let Some(Permit::No { until }) = self.permit(place, &version, now) {
                let policy = version.deployment.manifest.circuit.as_ref();
                match policy.map(|policy| (&policy.fallback, policy.per)) {
                    // Who waits for an answer has one at once.
                    Some((Fallback::Wait, per)) if !self.has_caller(place) => {
                        let at = began + until.min(now + LOOK_AGAIN);
                        self.wait_until(place, at);
                        if per == CircuitPer::Client && concurrency.ceiling > 1 {
                            passed.over(order, Some(at));
                            continue;
                        }
                        return self.later(at);
                    }
                    Some((Fallback::Version(number), _)) => match traffic.fallback(*number) {
                        Some(other) => version = other.clone(),
                        None => falls_back = true,
                    },
                    _ => falls_back = true,
                }
            }
            if !falls_back && let Some(until) = self.wait_for_rate(&version, now) {
                counters.waited_for_rate();
                self.wait_until(place, began + until);
                return self.later(began + until);
            }
            let alias = traffic.name.clone();
            let Some(job) = self.pop(place) else { return Take::Nothing };
            self.lanes.begin(order);
            let others_wait = concurrency.ceiling > 1 && !self.waiting.is_empty();
            let taken = Taken { job, version, alias, order, others_wait };
            return if falls_back { Take::FallBack(taken) } else { Take::Run(taken) };
        }
    }

    /// A commit begins. Gives it back to be handed to the host now, unless it has to wait for another one.
    pub(super) fn commit_begins<F: FnOnce() + Send + 'static>(&mut self, checked: bool, start: F) -> Option<F> {
        self.commits += 1;
        if checked && self.checked_commit {
            self.held.push_back(Box::new(start));
            return None;
        }
        self.checked_commit |= checked;
        Some(start)
    }

    /// A commit begins that is with the host already.
    pub(super) fn commit_counts(&mut self) {
        self.commits += 1;
    }

    /// A commit ended.
    pub(super) fn commit_ended(&mut self) {
        self.commits -= 1;
    }

    /// A commit is in order or has ended: the next message of its order may run. Gives the commit that waited for it if it could
    /// conflict.
    pub(super) fn pass_on(&mut self, checked: bool, order: Option<Order>) -> Option<StartCommit> {
        if let Some(order) = order {
            self.lanes.free(order);
        }
        if !checked {
            return None;
        }
        let next = self.held.pop_front();
        self.checked_commit = next.is_some();
        next
    }

    /// Takes no message any more; gives back those that waited.
    pub(super) fn close(&mut self) -> Vec<Job> {
        self.closed = true;
        self.waiting_bytes = 0;
        self.waiting.drain(..).collect()
    }

    fn later(&mut self, at: Instant) -> Take {
        match self.lanes.wake(at) {
            Next::At(at) => Take::Later(at),
            Next::Run(_) | Next::Nothing => Take::Nothing,
        }
    }

    fn concurrency(&self) -> Concurrency {
        match &self.serving {
            Serving::Ready(traffic) => traffic.concurrency(),
            _ => Concurrency::default(),
        }
    }

    fn choose(&self, function: &str, place: usize) -> Option<(Arc<LiveVersion>, Arc<Traffic>)> {
        let job = self.waiting.get(place)?;
        let live = match &self.serving {
            Serving::Ready(traffic) => Some(traffic),
            _ => None,
        };
        let traffic = job.pinned.as_ref().or(live)?;
        Some((traffic.choose(function, &job.message, &job.context, job.random)?, traffic.clone()))
    }

    fn wait_until(&mut self, place: usize, at: Instant) {
        if let Some(job) = self.waiting.get_mut(place) {
            job.not_before = Some(at);
        }
    }

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

    /// What the circuit says about a message, once for all its attempts; `None` where there is none.
    fn permit(&mut self, place: usize, version: &LiveVersion, now: Duration) -> Option<Permit> {
        let policy: &CircuitPolicy = version.deployment.manifest.circuit.as_ref()?;
        let job = self.waiting.get_mut(place)?;
        if let Some(permit @ (Permit::Run | Permit::Probe)) = job.permit {
            return Some(permit);
        }
        let permit = self.circuits.permit(policy, job.context.client_id.as_deref(), now);
        job.permit = Some(permit);
        Some(permit)
    }

    /// Does somebody wait for the message?
    fn has_caller(&self, place: usize) -> bool {
        self.waiting.get(place).is_some_and(|job| job.context.caller.is_some())
    }

    fn pop(&mut self, place: usize) -> Option<Job> {
        let job = self.waiting.remove(place)?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(job.weight_bytes);
        if self.waiting.is_empty() && self.waiting.capacity() > IDLE_CAPACITY {
            self.waiting.shrink_to(IDLE_CAPACITY);
        }
        Some(job)
    }
}
