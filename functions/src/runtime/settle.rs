//! How a message ends: its commit, what is published in its stead, and what its end does to the circuit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::Shared;
use super::function::Function;
use super::job::Job;
use super::lanes::Order;
use super::pipeline::Stage;
use super::queue::Taken;
use super::traffic::LiveVersion;
use super::worker::{again_or_error, give_up, schedule};
use crate::circuit::{Change, End};
use crate::dead_letter;
use crate::host::{CommitDone, CommitFailure, Effects};
use crate::log_ring::LogLevel;
use crate::manifest::Fallback;
use crate::message::{InvocationError, InvocationMessage, InvocationSuccess, Settlement};

/// What a commit is the end of.
pub(super) enum Ending {
    /// A run that returned ok.
    Ran(InvocationSuccess),
    /// A message that was given up and for which something else is published.
    Instead(Ended),
}

/// Why a message was given up, and what is published for it.
pub(super) struct Ended {
    pub(super) error: InvocationError,
    pub(super) by: Settlement,
    pub(super) invocation_id: String,
}

/// What others wait for until a commit is in order; passed on once.
pub(super) struct Baton {
    function: Arc<Function>,
    /// The commit can conflict.
    checked: bool,
    /// Of the message, if it is kept until then.
    order: Option<Order>,
    /// Functions whose key-values the commit touches besides.
    others: Vec<Arc<Function>>,
    is_over: AtomicBool,
}

impl Baton {
    pub(super) fn new(
        function: &Arc<Function>,
        checked: bool,
        order: Option<Order>,
        others: Vec<Arc<Function>>,
    ) -> Arc<Self> {
        Arc::new(Self { function: function.clone(), checked, order, others, is_over: AtomicBool::new(false) })
    }

    /// Lets others run.
    pub(super) fn pass_on(&self, shared: &Arc<Shared>) {
        let nobody_waits = !self.checked && self.others.is_empty();
        if nobody_waits || self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        for other in &self.others {
            other.pass_on(true, None);
            schedule(shared, other);
        }
        self.function.pass_on(self.checked, self.order);
        schedule(shared, &self.function);
    }

    fn commit_ended(&self) {
        self.others.iter().for_each(|other| other.commit_ended());
        self.function.commit_ended();
    }
}

/// A commit under way. Dropped without an answer it counts as unavailable.
pub(super) struct Ticket {
    pub(super) shared: Arc<Shared>,
    pub(super) version: Arc<LiveVersion>,
    pub(super) baton: Arc<Baton>,
    /// What ran in the pipeline.
    pub(super) stages: Vec<Stage>,
    pub(super) open: Option<(Job, Ending)>,
}

impl Ticket {
    /// What the host is to call.
    pub(super) fn done(self) -> CommitDone {
        let (baton, shared) = (self.baton.clone(), self.shared.clone());
        CommitDone {
            ordered: Box::new(move || baton.pass_on(&shared)),
            ended: Box::new(move |outcome| self.close(outcome)),
        }
    }

    pub(super) fn close(mut self, outcome: Result<(), CommitFailure>) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Result<(), CommitFailure>) {
        match self.open.take() {
            Some((job, Ending::Ran(success))) => self.ran(job, success, outcome),
            Some((job, Ending::Instead(ended))) => self.instead(job, ended, outcome),
            None => return,
        }
        self.baton.others.iter().chain([&self.baton.function]).for_each(|function| schedule(&self.shared, function));
    }

    fn free(&self) {
        self.baton.commit_ended();
        self.baton.pass_on(&self.shared);
    }

    fn ran(&self, job: Job, success: InvocationSuccess, outcome: Result<(), CommitFailure>) {
        let (shared, function, version) = (&self.shared, &self.baton.function, &self.version);
        match outcome {
            Ok(()) => {
                function.counters.committed(success.outputs);
                version.counters.committed(success.outputs);
                self.stages.iter().for_each(Stage::committed);
                judge(shared, function, version, &job, End::Good);
                self.free();
                job.end(Ok(success));
            }
            Err(failure) => {
                function.counters.commit_failed();
                version.counters.commit_failed();
                // The message must be at the front before the next one may be taken.
                let ended = again_or_error(shared, function, version, job, &success.invocation_id, failure);
                self.free();
                if let Some((job, error)) = ended.map(|ended| *ended) {
                    give_up(shared, function, Some(version), job, &success.invocation_id, error);
                }
            }
        }
    }

    fn instead(&self, job: Job, ended: Ended, outcome: Result<(), CommitFailure>) {
        let Ended { error, by, invocation_id } = ended;
        self.free();
        let function = &self.baton.function;
        let end = match outcome {
            Ok(()) => {
                function.counters.settled(by);
                InvocationError::Settled { by, error: Box::new(error) }
            }
            Err(CommitFailure::Unavailable(reason)) => InvocationError::CommitUnavailable { reason },
            Err(refused) => {
                let text = format!("{} was refused: {refused}", by.name());
                let now_ms = self.shared.host.now_ms();
                function.logs.push(now_ms, LogLevel::Error, &invocation_id, "runtime", &text);
                error
            }
        };
        job.end(Err(end));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Err(CommitFailure::Unavailable("the commit was given up".into())));
    }
}

/// Publishes a message in the place of what a given-up one did not bring about, together with its acknowledgement.
pub(super) fn commit_instead(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    version: &Arc<LiveVersion>,
    job: Job,
    message: InvocationMessage,
    ended: Ended,
) {
    let effects = Effects {
        function: function.name.clone(),
        invocation_id: ended.invocation_id.clone(),
        delivery: job.context.delivery,
        depth: job.context.depth.saturating_add(1),
        publish: vec![message],
        ..Effects::default()
    };
    function.commit_begins_beside();
    let ticket = Ticket {
        shared: shared.clone(),
        version: version.clone(),
        baton: Baton::new(function, false, None, Vec::new()),
        stages: Vec::new(),
        open: Some((job, Ending::Instead(ended))),
    };
    shared.host.commit(effects, ticket.done());
}

/// Does what the manifest says about a message whose circuit is open.
pub(super) fn fall_back(shared: &Arc<Shared>, function: &Arc<Function>, taken: Taken) {
    let Taken { job, version, .. } = taken;
    let error = InvocationError::CircuitOpen { function: function.name.clone() };
    let fallback = version.deployment.manifest.circuit.as_ref().map(|circuit| &circuit.fallback);
    let reply = match fallback {
        Some(Fallback::Reply { topic, payload }) if job.context.caller.is_none() => {
            dead_letter::reply(&job.message.clone().into(), topic.as_deref(), payload)
        }
        _ => None,
    };
    match reply {
        Some(reply) => {
            let ended = Ended { error, by: Settlement::Reply, invocation_id: String::new() };
            commit_instead(shared, function, &version, job, reply, ended);
        }
        None => give_up(shared, function, Some(&version), job, "", error),
    }
}

/// What the end of a message says about its function: one that it rejects is the message's fault.
pub(super) fn end_of(error: &InvocationError) -> End {
    match error {
        InvocationError::Rejected { .. } => End::Good,
        InvocationError::Conflict { .. } | InvocationError::Removed { .. } | InvocationError::CallerLeft => {
            End::Unknown
        }
        error if error.deliver_again() => End::Unknown,
        _ => End::Failed,
    }
}

/// Lets the circuit know of an end, and everybody of what that changed.
pub(super) fn judge(shared: &Shared, function: &Function, version: &LiveVersion, job: &Job, end: End) {
    let Some(change) = function.ended(version, job, end) else { return };
    let (level, name, text) = match change {
        Change::Opened { reason } => (LogLevel::Warn, "circuit-opened", reason),
        Change::Closed => (LogLevel::Info, "circuit-closed", "the probe went well".to_owned()),
    };
    if name == "circuit-opened" {
        function.counters.circuit_opened();
    }
    let client = job.context.client_id.as_deref();
    let of_whom = client.map_or_else(String::new, |client| format!(" (last client {client})"));
    function.logs.push(shared.host.now_ms(), level, "", "runtime", &format!("{name}: {text}{of_whom}"));
    tracing::info!(function = function.name, event = name, reason = text, client, "circuit of a function changed");
    let detail =
        json!({ "function": function.name, "version": version.deployment.number, "reason": text, "client": client });
    shared.host.event(&function.name, name, detail);
}
