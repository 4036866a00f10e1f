//! A worker thread: takes a function, runs its next message, hands the effects to the host, decides about another attempt.
//! How commits and messages that are given up end is in `settle`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use selvedge_priority::make_way;

use super::Shared;
use super::function::Function;
use super::job::Job;
use super::lanes::{Next, Order};
use super::load;
use super::pipeline::{self, First, Stage};
use super::queue::{Refused, Take, Taken};
use super::schedule::{Needed, Turn};
use super::settle::{self, Baton, Ended, Ending, Ticket};
use super::traffic::LiveVersion;
use crate::alias::scatter;
use crate::canary::Observation;
use crate::counters::RunEnd;
use crate::dead_letter::{self, GivenUp};
use crate::engine::settings::GUEST_STACK_BYTES;
use crate::host::{CommitFailure, Effects, Host};
use crate::invocation::{self, Input};
use crate::kept::ReuseOf;
use crate::log_ring::LogLevel;
use crate::manifest::Manifest;
use crate::message::{InvocationError, InvocationSuccess, Settlement};
use crate::retry::{self, Cause};
use crate::run_failure::RunFailure;

/// Stack of a worker: the guest's, and as much again for host calls.
pub(super) const STACK_BYTES: usize = GUEST_STACK_BYTES + (1 << 20);
/// Functions go after the broker when the processor is short.
const WORKER_NICE: i32 = 5;
/// An invocation that outlived its slice goes after everything.
pub(super) const ASIDE_NICE: i32 = 19;
/// Runs of one message that may end in a conflict before that counts as a failed attempt.
const CONFLICTS_PER_ATTEMPT: u32 = 8;

pub(super) static NEXT_INVOCATION: AtomicU64 = AtomicU64::new(1);

/// Queues a message or ends it with the reason why not.
pub(super) fn enqueue(shared: &Arc<Shared>, function: &Arc<Function>, job: Job) {
    let foremost = function.traffic().and_then(|traffic| traffic.foremost().cloned());
    let own_depth = foremost.as_ref().and_then(|version| version.deployment.manifest.limits.depth);
    let depth_max = own_depth.unwrap_or(u32::MAX).min(shared.config.depth_max);
    if job.context.depth > depth_max {
        let reason = format!("the message passed through {} functions, allowed are {depth_max}", job.context.depth);
        return give_up(shared, function, foremost.as_ref(), job, "", InvocationError::LimitExceeded { reason });
    }
    if job.context.caller.is_some() && foremost.is_none() {
        return job.end(Err(InvocationError::NotReady { function: function.name.clone() }));
    }
    match function.push(job, &shared.config) {
        Ok(()) => schedule(shared, function),
        Err(refused) => {
            let (job, error) = *refused;
            function.counters.gave_up(&error);
            job.end(Err(error));
        }
    }
}

/// Hands the function to the scheduler as often as it has work that may run, and for when it will have.
pub(super) fn schedule(shared: &Arc<Shared>, function: &Arc<Function>) {
    loop {
        let needed = match function.claim() {
            Next::Nothing => return,
            Next::Run(_) => shared.scheduler.run_now(function.clone()),
            Next::At(at) => shared.scheduler.run_at(at, function.clone()),
        };
        provide(shared, needed);
    }
}

fn provide(shared: &Arc<Shared>, needed: Needed) {
    if needed == Needed::Nothing {
        return;
    }
    let thread_shared = Arc::downgrade(shared);
    let scheduler = shared.scheduler.clone();
    let spawned = std::thread::Builder::new().name("fn-worker".into()).stack_size(STACK_BYTES).spawn(move || {
        make_way(WORKER_NICE);
        while let Some(turn) = scheduler.next() {
            // Without the runtime nobody waits for the message any more.
            let Some(shared) = thread_shared.upgrade() else { return };
            if work_on(&shared, turn) == Thread::IsAside {
                let needed = shared.scheduler.aside_ended();
                provide(&shared, needed);
                return;
            }
        }
    });
    if let Err(error) = spawned {
        tracing::error!(error = %error, "cannot start a function worker");
        shared.scheduler.worker_failed();
    }
}

#[derive(PartialEq, Eq)]
enum Thread {
    IsWorker,
    IsAside,
}

fn work_on(shared: &Arc<Shared>, turn: Turn) -> Thread {
    let function = &turn.function;
    if turn.is_wake {
        if let Some(at) = shared.engine.running().and_then(|engine| engine.shelf.sweep(Instant::now())) {
            provide(shared, shared.scheduler.run_at(at, function.clone()));
        }
        for at in function.sweep_kept(Instant::now()) {
            provide(shared, shared.scheduler.run_at(at, function.clone()));
        }
    }
    let Taken { job, version, alias, order, others_wait } = match function.take(turn.is_wake) {
        Take::Run(taken) => taken,
        Take::Nothing => return Thread::IsWorker,
        Take::Later(at) => {
            provide(shared, shared.scheduler.run_at(at, function.clone()));
            return Thread::IsWorker;
        }
        Take::Abandoned(job, order) => {
            give_up(shared, function, None, job, "", InvocationError::CallerLeft);
            function.release(order);
            schedule(shared, function);
            return Thread::IsWorker;
        }
        Take::FallBack(taken) => {
            let order = taken.order;
            settle::fall_back(shared, function, taken);
            function.release(order);
            schedule(shared, function);
            return Thread::IsWorker;
        }
    };
    if others_wait {
        schedule(shared, function);
    }
    let deployment = &version.deployment;
    let rule = deployment.manifest.isolation.reuse();
    let stepped_aside = Arc::new(AtomicBool::new(false));
    let recorder = function.watch.recorder(deployment, &shared.host);
    let recording_host: Option<Arc<dyn Host>> = recorder.clone().map(|recorder| recorder as Arc<dyn Host>);
    let input = Input {
        deployment,
        alias: alias.clone(),
        host: recording_host.as_ref().unwrap_or(&shared.host),
        logs: &function.logs,
        invocation_id: format!("{}-{}", function.name, NEXT_INVOCATION.fetch_add(1, Ordering::Relaxed)),
        message: &job.message,
        context: &job.context,
        attempt: job.attempt,
        is_replay: false,
        on_slice: Some((Duration::from_millis(shared.config.slice_ms), step_aside(shared, &stepped_aside))),
        until: None,
        reuse: rule.map(|rule| ReuseOf { kept: &version.kept, room: &shared.kept_room, host: &shared.host, rule }),
    };
    let invocation_id = input.invocation_id.clone();
    let _span = tracing::debug_span!("invocation", function = function.name, id = invocation_id).entered();
    let until = deployment.manifest.then.as_ref().map(|_| deployment.deadline_after(Instant::now()));
    let outcome = invocation::run(input);
    let run_end = outcome.end.as_ref().err().map_or(RunEnd::Ok, RunFailure::run_end);
    let run_us = outcome.run_time.as_micros() as u64;
    if deployment.manifest.limits.cpu_percent.is_some() {
        function.took(outcome.run_time);
    }
    for counters in [&function.counters, &version.counters] {
        counters.ran(run_end, run_us, outcome.memory_bytes, outcome.log_lines_dropped);
        if outcome.is_reused {
            counters.reused();
        }
    }
    if let Some(at) = deployment.engine.shelf.sweep_wanted(Instant::now()) {
        provide(shared, shared.scheduler.run_at(at, function.clone()));
    }
    if let Some(at) = rule.and_then(|rule| version.kept.sweep_wanted(rule)) {
        provide(shared, shared.scheduler.run_at(at, function.clone()));
    }
    if let Some(recorder) = recorder {
        let run = (&job, invocation_id.as_str());
        let recorded = function.watch.recorded(&recorder, &version, alias.as_deref(), run, &outcome);
        for (recording, against) in recorded
            .into_iter()
            .flat_map(|(recording, all)| all.into_iter().map(move |against| (recording.clone(), against)))
        {
            shared.comparer.compare(shared, function, &recording, against);
        }
    }
    let is_fault = matches!(&outcome.end, Err(failure) if !matches!(failure, RunFailure::Reject(_) | RunFailure::Left));
    shared.observe(function, Observation::Ran { version: deployment.number, is_fault, run_us });
    let end = outcome.end.and_then(|effects| match until {
        Some(until) if !effects.handed.is_empty() => {
            let may_step_aside = !stepped_aside.load(Ordering::SeqCst);
            let on_slice = may_step_aside.then(|| step_aside(shared, &stepped_aside));
            pipeline::follow(shared, &First { version: &version, job: &job, until, on_slice }, effects)
        }
        _ => Ok((effects, Vec::new())),
    });
    match end {
        Ok((effects, stages)) => commit(shared, function, &version, (job, order), (effects, stages), run_us),
        Err(failure) => {
            if matches!(&failure, RunFailure::NotReady(name) if *name == function.name) {
                load::lost_code(shared, function);
            }
            after_failure(shared, function, &version, (job, order), &invocation_id, failure);
        }
    }
    if stepped_aside.load(Ordering::SeqCst) { Thread::IsAside } else { Thread::IsWorker }
}

/// Called from within the guest: makes room for others, true when it did.
fn step_aside(shared: &Arc<Shared>, stepped_aside: &Arc<AtomicBool>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    let (shared, stepped_aside) = (shared.clone(), stepped_aside.clone());
    Arc::new(move || {
        let Some(needed) = shared.scheduler.step_aside() else { return false };
        stepped_aside.store(true, Ordering::SeqCst);
        provide(&shared, needed);
        make_way(ASIDE_NICE);
        true
    })
}

fn after_failure(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    version: &Arc<LiveVersion>,
    (mut job, order): (Job, Order),
    invocation_id: &str,
    failure: RunFailure,
) {
    let manifest = &version.deployment.manifest;
    let pause = pause_before_next(&job, manifest, failure.cause());
    let error = into_error(failure, job.attempt, manifest.limits.timeout_ms);
    let Some(pause) = pause else {
        give_up(shared, function, Some(version), job, invocation_id, error);
        function.release(order);
        return schedule(shared, function);
    };
    put_off(shared, function, version, &mut job, invocation_id, &error, pause);
    // The message must be at the front before the next one of its publisher may be taken.
    let refused = function.push_again(job).err();
    function.release(order);
    if let Some((job, error)) = refused.map(|refused| *refused) {
        job.end(Err(error));
    }
    schedule(shared, function);
}

/// The pause before another attempt, if there is one and whoever waits for it can.
fn pause_before_next(job: &Job, manifest: &Manifest, cause: Cause) -> Option<Duration> {
    let random = scatter(job.random ^ u64::from(job.attempt).rotate_left(32));
    let pause = retry::pause_before_next(&manifest.retry, job.attempt, cause, random)?;
    let caller = job.context.caller.as_ref();
    caller.is_none_or(|caller| caller.can_wait(Instant::now(), pause)).then_some(pause)
}

/// Makes the next run of a message another attempt, after a pause.
fn put_off(
    shared: &Shared,
    function: &Function,
    version: &LiveVersion,
    job: &mut Job,
    invocation_id: &str,
    error: &InvocationError,
    pause: Duration,
) {
    let attempts_max = version.deployment.manifest.retry.attempts;
    let text = format!("attempt {} of {attempts_max}: {error}; next in {} ms", job.attempt, pause.as_millis());
    function.logs.push(shared.host.now_ms(), LogLevel::Warn, invocation_id, "runtime", &text);
    function.counters.failed_with(&error.to_string());
    version.counters.failed_with(&error.to_string());
    job.attempt += 1;
    job.not_before = Some(Instant::now() + pause);
}

fn into_error(failure: RunFailure, attempts: u32, limit_ms: u64) -> InvocationError {
    match failure {
        RunFailure::Retry(reason) => InvocationError::Failed { reason, attempts },
        RunFailure::Reject(reason) => InvocationError::Rejected { reason },
        RunFailure::Trap(reason) => InvocationError::Trapped { reason, attempts },
        RunFailure::Left => InvocationError::CallerLeft,
        RunFailure::TimedOut => InvocationError::TimedOut { limit_ms, attempts },
        RunFailure::OverLimit(reason) => InvocationError::LimitExceeded { reason },
        RunFailure::Refused(reason) => InvocationError::OutputRefused { reason },
        RunFailure::NotReady(function) => InvocationError::NotReady { function },
    }
}

/// Ends a message without effects, for good or to be delivered again, and says so in the function's log. One that is given up for
/// good becomes a dead letter, if the version has a topic for them.
pub(super) fn give_up(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    version: Option<&Arc<LiveVersion>>,
    job: Job,
    invocation_id: &str,
    error: InvocationError,
) {
    function.counters.gave_up(&error);
    if let Some(version) = version {
        version.counters.gave_up(&error);
        settle::judge(shared, function, version, &job, settle::end_of(&error));
    }
    // Who waits for the answer is told.
    let has_letter = !error.deliver_again() && job.context.caller.is_none();
    let letter = version.filter(|_| has_letter).and_then(|version| {
        let given_up = GivenUp {
            version: version.deployment.number,
            client: job.context.client_id.as_deref(),
            attempts: job.attempt,
            reason: &error.to_string(),
        };
        let letter = dead_letter::of(&version.deployment.manifest, job.message.clone().into(), given_up)?;
        Some((version, letter))
    });
    let fate = match &letter {
        _ if error.deliver_again() => "will be delivered again",
        Some(_) => "becomes a dead letter",
        None => "dropped",
    };
    function.logs.push(
        shared.host.now_ms(),
        LogLevel::Error,
        invocation_id,
        "runtime",
        &format!("message {fate}: {error}"),
    );
    if function.may_warn() {
        tracing::warn!(function = function.name, error = %error, fate, "function failed on a message");
    }
    match letter {
        Some((version, letter)) => {
            let ended = Ended { error, by: Settlement::DeadLetter, invocation_id: invocation_id.to_owned() };
            settle::commit_instead(shared, function, version, job, letter, ended);
        }
        None => job.end(Err(error)),
    }
}

fn commit(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    version: &Arc<LiveVersion>,
    (job, order): (Job, Order),
    (mut effects, stages): (Effects, Vec<Stage>),
    run_us: u64,
) {
    let checked = effects.needs_check();
    // An answer alone is no effect, but may tell of what the runs before it wrote.
    let is_answer_only = job.context.caller.is_some() && effects.is_empty() && !shared.host.is_underway(&function.name);
    let success = InvocationSuccess {
        invocation_id: effects.invocation_id.clone(),
        outputs: effects.publish.len(),
        attempts: job.attempt,
        version: Some(version.deployment.number),
        run_us,
        replies: std::mem::take(&mut effects.replies),
    };
    let others = pipeline::involved(&effects, &stages);
    let ticket = Ticket {
        shared: shared.clone(),
        version: version.clone(),
        baton: Baton::new(function, checked, checked.then_some(order), others.clone()),
        stages,
        open: Some((job, Ending::Ran(success))),
    };
    let host = shared.host.clone();
    pipeline::start_in_turn(function, checked, &others, move || {
        if is_answer_only {
            ticket.close(Ok(()));
        } else {
            host.commit(effects, ticket.done());
        }
    });
    // Not before the host has the commit: that of the publisher's next message must come after it.
    function.ran(order, checked);
    schedule(shared, function);
}

/// Puts the message back to the front after a conflict, or gives it back with the error.
pub(super) fn again_or_error(
    shared: &Shared,
    function: &Function,
    version: &LiveVersion,
    mut job: Job,
    invocation_id: &str,
    failure: CommitFailure,
) -> Option<Refused> {
    let reason = match failure {
        CommitFailure::Conflict(reason) => reason,
        CommitFailure::Refused(reason) => return Some(Box::new((job, InvocationError::CommitRefused { reason }))),
        CommitFailure::Unavailable(reason) => {
            return Some(Box::new((job, InvocationError::CommitUnavailable { reason })));
        }
    };
    job.conflicts += 1;
    if job.conflicts.is_multiple_of(CONFLICTS_PER_ATTEMPT) {
        let error = InvocationError::Conflict { reason, attempts: job.conflicts };
        let Some(pause) = pause_before_next(&job, &version.deployment.manifest, Cause::Conflict) else {
            return Some(Box::new((job, error)));
        };
        put_off(shared, function, version, &mut job, invocation_id, &error, pause);
    }
    function.push_again(job).err()
}
