//! What a function returns is handed on to the next one of its pipeline, and both come to one commit.
//!
//! Invariants: later functions run on the same thread, within the time of the first one, and see what the earlier ones wrote; what
//! one of them fails with is the end of the message, and nothing of any of them remains.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Shared;
use super::function::Function;
use super::job::Job;
use super::load;
use super::queue::StartCommit;
use super::traffic::LiveVersion;
use super::worker::NEXT_INVOCATION;
use crate::counters::RunEnd;
use crate::host::{Effects, Host};
use crate::invocation::{self, Input, OnSlice};
use crate::kept::ReuseOf;
use crate::manifest::{Source, pipeline_topic};
use crate::message::{InvocationContext, InvocationMessage};
use crate::run_failure::RunFailure;
use crate::together::Together;

/// Runs of later functions for one message.
const RUNS_MAX: usize = 256;

/// A later function that ran.
pub(super) struct Stage {
    function: Arc<Function>,
    version: Arc<LiveVersion>,
    published: usize,
}

impl Stage {
    /// Its part is committed.
    pub(super) fn committed(&self) {
        self.function.counters.committed(self.published);
        self.version.counters.committed(self.published);
    }
}

/// The functions whose key-values a commit touches besides the first one's, each once and by name.
pub(super) fn involved(effects: &Effects, stages: &[Stage]) -> Vec<Arc<Function>> {
    let of_name = |name: &str| stages.iter().find(|stage| stage.function.name == name);
    effects.others.iter().filter_map(|bucket| Some(of_name(&bucket.function)?.function.clone())).collect()
}

/// Lets `start` wait for its turn with each of these and with the function itself, always in the order of their names, so that
/// two commits never wait for each other.
pub(super) fn start_in_turn(
    function: &Arc<Function>,
    checked: bool,
    others: &[Arc<Function>],
    start: impl FnOnce() + Send + 'static,
) {
    if others.is_empty() {
        if let Some(start) = function.commit_begins(checked, start) {
            start();
        }
        return;
    }
    let mut all: Vec<(Arc<Function>, bool)> = others.iter().map(|other| (other.clone(), true)).collect();
    all.push((function.clone(), checked));
    all.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    let start: StartCommit = Box::new(start);
    let first = all.into_iter().rev().fold(start, |next, (function, checked)| -> StartCommit {
        Box::new(move || {
            if let Some(start) = function.commit_begins(checked, next) {
                start();
            }
        })
    });
    first();
}

/// Who hands on, and within which bounds.
pub(super) struct First<'a> {
    pub(super) version: &'a Arc<LiveVersion>,
    pub(super) job: &'a Job,
    /// When the first function's time is over.
    pub(super) until: Instant,
    /// Called once a run takes long; gives true when there is room.
    pub(super) on_slice: Option<OnSlice>,
}

/// Hands on what the first function returned, and what comes of that, until nothing is left; all effects together. Only where there
/// is something: [`Effects::handed`].
pub(super) fn follow(
    shared: &Arc<Shared>,
    first: &First<'_>,
    effects: Effects,
) -> Result<(Effects, Vec<Stage>), RunFailure> {
    let Some(next) = &first.version.deployment.manifest.then else { return Ok((effects, Vec::new())) };
    let (name, id, delivery) = (effects.function.clone(), effects.invocation_id.clone(), effects.delivery);
    let mut pipeline = Pipeline { shared, first, together: Together::new(shared.host.clone()), stages: Vec::new() };
    let depth = effects.depth;
    let handed = pipeline.together.add(effects);
    pipeline.hand_on(next, handed, depth, &id)?;
    let Pipeline { together, stages, .. } = pipeline;
    Ok((together.finish(name, id, delivery), stages))
}

struct Pipeline<'a> {
    shared: &'a Arc<Shared>,
    first: &'a First<'a>,
    together: Arc<Together>,
    stages: Vec<Stage>,
}

impl Pipeline<'_> {
    fn hand_on(
        &mut self,
        name: &str,
        messages: Vec<InvocationMessage>,
        depth: u32,
        caused_by: &str,
    ) -> Result<(), RunFailure> {
        for message in messages {
            let (stage, effects) = self.run(name, message, depth, caused_by)?;
            let (next, id) = (stage.version.deployment.manifest.then.clone(), effects.invocation_id.clone());
            self.stages.push(stage);
            let handed = self.together.add(effects);
            if let Some(next) = next {
                self.hand_on(&next, handed, depth + 1, &id)?;
            }
        }
        Ok(())
    }

    /// One run of a later function.
    fn run(
        &self,
        name: &str,
        message: InvocationMessage,
        depth: u32,
        caused_by: &str,
    ) -> Result<(Stage, Effects), RunFailure> {
        if self.stages.len() >= RUNS_MAX {
            return Err(RunFailure::OverLimit(format!("more than {RUNS_MAX} runs in one pipeline")));
        }
        let not_ready = || RunFailure::NotReady(name.to_owned());
        let function = self.shared.functions.read().get(name).cloned().ok_or_else(not_ready)?;
        let traffic = function.traffic().ok_or_else(not_ready)?;
        let job = self.first.job;
        let context = InvocationContext {
            client_id: job.context.client_id.clone(),
            caused_by: Some(caused_by.to_owned()),
            matched_filter: pipeline_topic(name),
            trace_parent: job.context.trace_parent.clone(),
            caller: job.context.caller.clone(),
            received_ms: job.context.received_ms,
            message_key: job.context.message_key,
            delivery: None,
            depth,
        };
        let message = message.into();
        let version = traffic.choose(name, &message, &context, job.random).ok_or_else(not_ready)?;
        let deployment = &version.deployment;
        if !deployment.manifest.triggers.iter().any(|trigger| trigger.source == Source::Pipeline) {
            let words = format!("{name} takes nothing from other functions; it needs [[trigger]] pipeline = true");
            return Err(RunFailure::Refused(words));
        }
        let depth_max = deployment.manifest.limits.depth.unwrap_or(u32::MAX).min(self.shared.config.depth_max);
        if depth > depth_max {
            let words = format!("{name}: the message passed through {depth} functions, allowed are {depth_max}");
            return Err(RunFailure::OverLimit(words));
        }
        let host: Arc<dyn Host> = self.together.clone();
        let slice = std::time::Duration::from_millis(self.shared.config.slice_ms);
        let rule = deployment.manifest.isolation.reuse();
        let (kept, room, resting) = (&version.kept, &self.shared.kept_room, &self.shared.host);
        let outcome = invocation::run(Input {
            deployment,
            alias: traffic.name.clone(),
            host: &host,
            logs: &function.logs,
            invocation_id: format!("{name}-{}", NEXT_INVOCATION.fetch_add(1, Ordering::Relaxed)),
            message: &message,
            context: &Arc::new(context),
            attempt: job.attempt,
            is_replay: false,
            on_slice: self.first.on_slice.clone().map(|on_slice| (slice, on_slice)),
            until: Some(self.first.until),
            reuse: rule.map(|rule| ReuseOf { kept, room, host: resting, rule }),
        });
        let end = outcome.end.as_ref().err().map_or(RunEnd::Ok, RunFailure::run_end);
        for counters in [&function.counters, &version.counters] {
            let run_us = outcome.run_time.as_micros() as u64;
            counters.ran(end, run_us, outcome.memory_bytes, outcome.log_lines_dropped);
            if outcome.is_reused {
                counters.reused();
            }
        }
        if matches!(&outcome.end, Err(RunFailure::NotReady(lost)) if lost == name) {
            load::lost_code(self.shared, &function);
        }
        let effects = outcome.end.map_err(|failure| in_function(name, failure))?;
        let published = effects.publish.len() + effects.replies.len();
        Ok((Stage { version: version.clone(), function, published }, effects))
    }
}

/// Says where it failed.
fn in_function(name: &str, failure: RunFailure) -> RunFailure {
    let told = |reason: String| format!("in {name}: {reason}");
    match failure {
        RunFailure::Retry(reason) => RunFailure::Retry(told(reason)),
        RunFailure::Reject(reason) => RunFailure::Reject(told(reason)),
        RunFailure::Trap(reason) => RunFailure::Trap(told(reason)),
        RunFailure::OverLimit(reason) => RunFailure::OverLimit(told(reason)),
        RunFailure::Refused(reason) => RunFailure::Refused(told(reason)),
        other @ (RunFailure::TimedOut | RunFailure::Left | RunFailure::NotReady(_)) => other,
    }
}
