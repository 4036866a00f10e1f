//! One run of a function: an instance, fresh or kept of an earlier run, one call, and what came of it.
//!
//! Not the queue and not the retries. Invariant: nothing that the guest did leaves this module unless it returned ok.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use crate::bindings::exports::selvedge::function::handler::Failure;
use crate::bindings::selvedge::function::types;
use crate::caller::Caller;
use crate::deployment::Deployment;
use crate::host::{Effects, Host};
use crate::kept::{Instance, Life, ReuseOf};
use crate::kv_buffer::KvBuffer;
use crate::limit::{MemoryLimit, Refusal};
use crate::log_ring::LogRing;
use crate::message::{InvocationContext, InvocationMessage};
use crate::outputs::{OutputRefusal, Outputs};
use crate::run_failure::RunFailure;
use crate::twin_buffer::TwinBuffer;
use crate::wasi::WasiState;

/// Makes room for other functions; true when it did.
pub(crate) type OnSlice = Arc<dyn Fn() -> bool + Send + Sync>;

/// What one run is given.
pub(crate) struct Input<'a> {
    pub(crate) deployment: &'a Arc<Deployment>,
    /// The alias by which the version was chosen.
    pub(crate) alias: Option<Arc<str>>,
    pub(crate) host: &'a Arc<dyn Host>,
    pub(crate) logs: &'a Arc<LogRing>,
    pub(crate) invocation_id: String,
    pub(crate) message: &'a types::Message,
    pub(crate) context: &'a Arc<InvocationContext>,
    pub(crate) attempt: u32,
    /// The guest is told that this is no first time.
    pub(crate) is_replay: bool,
    /// Called from within the guest when it outlived the slice, at every tick until it gives true.
    pub(crate) on_slice: Option<(Duration, OnSlice)>,
    /// It has to be over by then, whatever its own limit is.
    pub(crate) until: Option<Instant>,
    /// Where instances are kept, if this one may be one of them.
    pub(crate) reuse: Option<ReuseOf<'a>>,
}

/// What one run came to.
pub(crate) struct Outcome {
    pub(crate) end: Result<Effects, RunFailure>,
    /// The clock at its start, milliseconds since 1970.
    pub(crate) start_ms: u64,
    /// Instantiate and call.
    pub(crate) run_time: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) log_lines_dropped: u64,
    /// By an instance that had run before.
    pub(crate) is_reused: bool,
}

impl Outcome {
    fn not_run(start_ms: u64, failure: RunFailure) -> Self {
        let (run_time, memory_bytes, log_lines_dropped) = (Duration::ZERO, 0, 0);
        Self { end: Err(failure), start_ms, run_time, memory_bytes, log_lines_dropped, is_reused: false }
    }
}

/// Everything that host calls of one run see and change.
pub(crate) struct InvocationState {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) alias: Option<Arc<str>>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) logs: Arc<LogRing>,
    pub(crate) invocation_id: String,
    pub(crate) context: Arc<InvocationContext>,
    pub(crate) attempt: u32,
    pub(crate) is_replay: bool,
    pub(crate) start: Instant,
    /// The clock at `start`, milliseconds since 1970.
    pub(crate) start_ms: u64,
    pub(crate) deadline: Instant,
    pub(crate) memory: MemoryLimit,
    pub(crate) kv: KvBuffer,
    pub(crate) twin: TwinBuffer,
    pub(crate) outputs: Outputs,
    pub(crate) log_lines: usize,
    pub(crate) log_lines_dropped: u64,
    pub(crate) wasi: WasiState,
    /// Requests made over HTTP.
    pub(crate) http_requests: u32,
    on_slice: Option<(Duration, OnSlice)>,
    timed_out: bool,
}

impl InvocationState {
    /// Before something that may take long: the thread does not count as a worker any more. False: there is no room for one more such.
    pub(crate) fn make_room(&mut self) -> bool {
        let has_room = self.on_slice.as_ref().is_none_or(|(_, step_aside)| step_aside());
        if has_room {
            self.on_slice = None;
        }
        has_room
    }
}

/// Bytes that one host call may copy out of the guest beyond the outputs: keys, values, log texts.
const HOST_CALL_BYTES: usize = 256 << 10;
/// Handles of resources alive at once in one instance.
const HANDLES_MAX: usize = 1024;

/// Runs `input` to its end or its deadline on this thread.
pub(crate) fn run(input: Input<'_>) -> Outcome {
    let (deployment, message, logs, reuse) = (input.deployment, input.message, input.logs, input.reuse);
    let running = deployment.engine.ticker.run();
    let start = Instant::now();
    let state = new_state(input, start);
    let linked = match deployment.code.get(&deployment.engine, start) {
        Ok(linked) => linked,
        Err(error) => {
            let name = deployment.manifest.name.clone();
            tracing::error!(function = name, error = %error, "native code of a function cannot be loaded");
            return Outcome::not_run(state.start_ms, RunFailure::NotReady(name));
        }
    };
    let (mut store, instance, life) = match reuse.and_then(|reuse| reuse.take(start)) {
        Some(kept) => {
            let Instance { mut store, instance, life, .. } = kept;
            change_state(&mut store, state);
            set_limits(&mut store, deployment);
            (store, Ok(instance), life)
        }
        None => {
            let mut store = new_store(deployment, state);
            let instance = linked.instantiate(&mut store);
            (store, instance, Life::begins(start))
        }
    };
    let returned = instance.and_then(|instance| {
        let returned = instance.selvedge_function_handler().call_handle(&mut store, message)?;
        Ok((returned, instance))
    });
    let memory_bytes = store.data().memory.bytes();
    // What trapped or was stopped is in a state that nobody knows.
    let place = reuse.filter(|_| returned.is_ok()).and_then(|reuse| reuse.place(memory_bytes, life, Instant::now()));
    let (returned, mut state) = match (returned, reuse, place) {
        (Ok((returned, instance)), Some(reuse), Some(place)) => {
            let state = change_state(&mut store, resting_state(deployment, logs, reuse.host, start));
            reuse.keep(Instance { store, instance, life: life.ran(), _place: place });
            (Ok(returned), state)
        }
        (returned, ..) => (returned.map(|(returned, _)| returned), store.into_data()),
    };
    drop(running);
    let run_time = start.elapsed();
    state.finish_standard_output();
    let (memory_bytes, log_lines_dropped) = (memory_bytes as u64, state.log_lines_dropped);
    let start_ms = state.start_ms;
    let end = match returned {
        Ok(Ok(messages)) => accept(&mut state, messages).map(|()| into_effects(state)),
        Ok(Err(Failure::Retry(reason))) => Err(RunFailure::Retry(cut_reason(&reason))),
        Ok(Err(Failure::Reject(reason))) => Err(RunFailure::Reject(cut_reason(&reason))),
        Err(error) => Err(explain(&state, &error)),
    };
    Outcome { end, start_ms, run_time, memory_bytes, log_lines_dropped, is_reused: life.calls > 0 }
}

/// Makes one instance without calling it; the error is a sentence for people.
pub(crate) fn start_once(
    deployment: &Arc<Deployment>,
    host: &Arc<dyn Host>,
    logs: &Arc<LogRing>,
    context: &Arc<InvocationContext>,
) -> Result<(), String> {
    let _running = deployment.engine.ticker.run();
    let message = InvocationMessage::default().into();
    let invocation_id = "start".to_owned();
    let input = Input {
        deployment,
        alias: None,
        host,
        logs,
        invocation_id,
        message: &message,
        context,
        attempt: 0,
        is_replay: false,
        on_slice: None,
        until: None,
        reuse: None,
    };
    let mut store = new_store(deployment, new_state(input, Instant::now()));
    let linked = deployment.code.get(&deployment.engine, Instant::now()).map_err(|error| error.to_string())?;
    let Err(error) = linked.instantiate(&mut store) else { return Ok(()) };
    Err(match explain(store.data(), &error) {
        RunFailure::TimedOut | RunFailure::Left => {
            format!("it did not start within limits.timeout_ms = {}", deployment.manifest.limits.timeout_ms)
        }
        RunFailure::Retry(reason) | RunFailure::Reject(reason) | RunFailure::Trap(reason) => reason,
        RunFailure::OverLimit(reason) | RunFailure::Refused(reason) | RunFailure::NotReady(reason) => reason,
    })
}

/// A store with every limit set.
fn new_store(deployment: &Deployment, state: InvocationState) -> Store<InvocationState> {
    let mut store = Store::new(&deployment.engine.engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_max_component_handles(HANDLES_MAX);
    store.epoch_deadline_callback(look_at_deadline);
    set_limits(&mut store, deployment);
    store
}

/// Limits that one run uses up.
fn set_limits(store: &mut Store<InvocationState>, deployment: &Deployment) {
    store.set_hostcall_fuel(deployment.manifest.limits.output_bytes.saturating_mul(2).saturating_add(HOST_CALL_BYTES));
    store.set_epoch_deadline(1);
}

/// Gives the store another state, but the count of its memory, and gives the former one.
fn change_state(store: &mut Store<InvocationState>, state: InvocationState) -> InvocationState {
    let mut former = std::mem::replace(store.data_mut(), state);
    std::mem::swap(&mut former.memory, &mut store.data_mut().memory);
    store.data_mut().memory.forgive();
    former
}

/// What an instance that waits holds: nothing of the run that it comes from.
fn resting_state(
    deployment: &Arc<Deployment>,
    logs: &Arc<LogRing>,
    host: &Arc<dyn Host>,
    start: Instant,
) -> InvocationState {
    let message = InvocationMessage::default().into();
    let input = Input {
        deployment,
        alias: None,
        host,
        logs,
        invocation_id: String::new(),
        message: &message,
        context: &Arc::default(),
        attempt: 0,
        is_replay: false,
        on_slice: None,
        until: None,
        reuse: None,
    };
    new_state(input, start)
}

fn new_state(input: Input<'_>, start: Instant) -> InvocationState {
    let deployment = input.deployment.clone();
    let limits = &deployment.manifest.limits;
    let start_ms = input.host.now_ms();
    let deadline = deadline(&deployment, &input, start);
    InvocationState {
        alias: input.alias,
        host: input.host.clone(),
        logs: input.logs.clone(),
        invocation_id: input.invocation_id,
        context: input.context.clone(),
        attempt: input.attempt,
        is_replay: input.is_replay,
        start,
        start_ms,
        deadline,
        memory: MemoryLimit::new(limits.memory_bytes, deployment.engine.memory.clone()),
        kv: KvBuffer::new(start_ms, limits.kv_keys, limits.kv_bytes),
        twin: TwinBuffer::new(limits.twin_patches),
        outputs: Outputs::default(),
        log_lines: 0,
        log_lines_dropped: 0,
        wasi: WasiState::default(),
        http_requests: 0,
        on_slice: input.on_slice,
        timed_out: false,
        deployment,
    }
}

impl InvocationState {
    /// The time for a line of the log: what the guest is told of the time is not asked for it.
    pub(crate) fn logged_at_ms(&self) -> u64 {
        self.start_ms.saturating_add(self.start.elapsed().as_millis() as u64)
    }
}

/// What is left of the time of the caller and of the pipeline is a limit as well.
fn deadline(deployment: &Deployment, input: &Input<'_>, start: Instant) -> Instant {
    let of_caller = input.context.caller.as_ref().map(Caller::deadline);
    [of_caller, input.until].into_iter().flatten().fold(deployment.deadline_after(start), Instant::min)
}

/// Called by running guest code after each tick.
fn look_at_deadline(mut store: StoreContextMut<'_, InvocationState>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    let now = Instant::now();
    let has_left = state.context.caller.as_ref().is_some_and(|caller| caller.is_gone(now));
    if now >= state.deadline || has_left {
        state.timed_out = true;
        return Ok(UpdateDeadline::Interrupt);
    }
    if let Some((slice, step_aside)) = &state.on_slice
        && now >= state.start + *slice
        && step_aside()
    {
        state.on_slice = None;
    }
    Ok(UpdateDeadline::Continue(1))
}

/// Takes the returned messages after those of `bus.publish`.
fn accept(state: &mut InvocationState, messages: Vec<types::Message>) -> Result<(), RunFailure> {
    let InvocationState { outputs, deployment, context, .. } = state;
    for (index, message) in messages.into_iter().enumerate() {
        outputs.push_returned(deployment, context.caller.as_ref(), message.into()).map_err(
            |refusal| match refusal {
                OutputRefusal::Invalid(reason) | OutputRefusal::Denied(reason) => {
                    RunFailure::Refused(format!("returned message {}: {reason}", index + 1))
                }
                OutputRefusal::Quota(reason) => RunFailure::OverLimit(reason),
            },
        )?;
    }
    Ok(())
}

fn into_effects(state: InvocationState) -> Effects {
    let (kv_reads, kv_writes) = state.kv.into_effects();
    let (twin_reads, twin_patches) = state.twin.into_effects();
    Effects {
        function: state.deployment.manifest.name.clone(),
        invocation_id: state.invocation_id,
        delivery: state.context.delivery,
        depth: state.context.depth.saturating_add(1),
        kv_reads,
        kv_writes,
        twin_reads,
        twin_patches,
        publish: state.outputs.messages,
        replies: state.outputs.replies,
        handed: state.outputs.handed,
        others: Vec::new(),
    }
}

/// Tells the deadline, a limit and the guest's own fault apart.
fn explain(state: &InvocationState, error: &wasmtime::Error) -> RunFailure {
    if state.timed_out {
        let caller = state.context.caller.as_ref();
        let is_cut_short = caller.is_some_and(|caller| caller.has_cut_short(state.start, Instant::now()));
        return if is_cut_short { RunFailure::Left } else { RunFailure::TimedOut };
    }
    match state.memory.refusal() {
        Some(Refusal::Own(words)) => return RunFailure::OverLimit(words.clone()),
        Some(Refusal::Shared(words)) => return RunFailure::Trap(words.clone()),
        None => {}
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => RunFailure::Trap("stack overflow".into()),
        Some(trap) => RunFailure::Trap(trap.to_string()),
        None => RunFailure::Trap(cut_reason(&format!("{error:#}"))),
    }
}

fn cut_reason(reason: &str) -> String {
    crate::log_ring::cut(reason, 500).to_owned()
}
