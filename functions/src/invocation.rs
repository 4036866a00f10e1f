//! One run of a function: a fresh instance, one call, and what came of it.
//!
//! Not the queue and not the retries. Invariant: nothing that the guest did leaves this module unless it returned ok.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use crate::bindings::exports::selvedge::function::handler::Failure;
use crate::bindings::selvedge::function::types;
use crate::caller::Caller;
use crate::counters::RunEnd;
use crate::deployment::Deployment;
use crate::host::{Effects, Host};
use crate::kv_buffer::KvBuffer;
use crate::limit::{MemoryLimit, Refusal};
use crate::log_ring::LogRing;
use crate::manifest::Limits;
use crate::message::{InvocationContext, InvocationMessage};
use crate::retry::Cause;
use crate::topic;
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
}

/// Why a run has no effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunFailure {
    Retry(String),
    Reject(String),
    Trap(String),
    TimedOut,
    /// Its caller does not wait any more.
    Left,
    OverLimit(String),
    Refused(String),
}

impl RunFailure {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Retry(_) => Cause::Asked,
            Self::Trap(_) => Cause::Trap,
            Self::TimedOut => Cause::Timeout,
            Self::Left | Self::Reject(_) | Self::OverLimit(_) | Self::Refused(_) => Cause::Final,
        }
    }

    pub(crate) fn run_end(&self) -> RunEnd {
        match self {
            Self::Retry(_) | Self::Reject(_) => RunEnd::Failed,
            Self::Trap(_) => RunEnd::Trapped,
            Self::TimedOut | Self::Left => RunEnd::TimedOut,
            Self::OverLimit(_) | Self::Refused(_) => RunEnd::OverLimit,
        }
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

/// Messages to publish, counted against the limits.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    messages: Vec<InvocationMessage>,
    /// For the caller.
    replies: Vec<InvocationMessage>,
    bytes: usize,
}

/// Why an output was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputRefusal {
    Invalid(String),
    Denied(String),
    Quota(String),
}

impl Outputs {
    /// Takes one message if it is valid, granted and within the limits.
    pub(crate) fn push(&mut self, deployment: &Deployment, message: InvocationMessage) -> Result<(), OutputRefusal> {
        check_message(&message).map_err(OutputRefusal::Invalid)?;
        deployment.manifest.grants.check_publish(&message.topic).map_err(OutputRefusal::Denied)?;
        self.count(&deployment.manifest.limits, &message)?;
        self.messages.push(message);
        Ok(())
    }

    /// Takes one returned message, which needs no grant where it is for the caller.
    fn push_returned(
        &mut self,
        deployment: &Deployment,
        caller: Option<&Caller>,
        message: InvocationMessage,
    ) -> Result<(), OutputRefusal> {
        let Some(caller) = caller.filter(|caller| caller.wants(&message.topic)) else {
            return self.push(deployment, message);
        };
        check_message(&message).and_then(|()| caller.check(&self.replies, &message)).map_err(OutputRefusal::Invalid)?;
        self.count(&deployment.manifest.limits, &message)?;
        self.replies.push(message);
        Ok(())
    }

    fn count(&mut self, limits: &Limits, message: &InvocationMessage) -> Result<(), OutputRefusal> {
        if self.messages.len() + self.replies.len() >= limits.output_messages {
            return Err(OutputRefusal::Quota(format!(
                "more messages than limits.output_messages = {}",
                limits.output_messages
            )));
        }
        let bytes = self.bytes + message.weight_bytes();
        if bytes > limits.output_bytes {
            return Err(OutputRefusal::Quota(format!(
                "{bytes} bytes of messages, limits.output_bytes is {}",
                limits.output_bytes
            )));
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// What MQTT does not allow in a PUBLISH: strings and binary data longer than 65,535 bytes or with NUL [MQTT-1.5.4-2],
/// wildcards in names [MQTT-3.3.2-2] [MQTT-3.3.2-14].
fn check_message(message: &InvocationMessage) -> Result<(), String> {
    let properties = &message.properties;
    if !topic::is_valid_name(&message.topic) {
        return Err(format!("{:?} is not a topic name", crate::log_ring::cut(&message.topic, 100)));
    }
    if properties.response_topic.as_ref().is_some_and(|name| !topic::is_valid_name(name)) {
        return Err("response-topic is not a topic name".into());
    }
    let is_text = |text: &str| text.len() <= 65_535 && !text.contains('\0');
    let user_texts = properties.user_properties.iter().flat_map(|(key, value)| [key, value]);
    if !properties.content_type.iter().chain(user_texts).all(|text| is_text(text)) {
        return Err("a property's text is longer than 65,535 bytes or has a NUL character".into());
    }
    if properties.correlation_data.as_ref().is_some_and(|data| data.len() > 65_535) {
        return Err("correlation-data is longer than 65,535 bytes".into());
    }
    if properties.utf8_payload && std::str::from_utf8(&message.payload).is_err() {
        return Err("utf8-payload is set and the payload is not UTF-8".into());
    }
    Ok(())
}

/// Bytes that one host call may copy out of the guest beyond the outputs: keys, values, log texts.
const HOST_CALL_BYTES: usize = 256 << 10;
/// Handles of resources alive at once in one instance.
const HANDLES_MAX: usize = 1024;

/// Runs `input` to its end or its deadline on this thread.
pub(crate) fn run(input: Input<'_>) -> Outcome {
    let (deployment, message) = (input.deployment, input.message);
    let running = deployment.engine.ticker.run();
    let start = Instant::now();
    let mut store = new_store(deployment, new_state(input, start));
    let returned = deployment
        .pre
        .instantiate(&mut store)
        .and_then(|instance| instance.selvedge_function_handler().call_handle(&mut store, message));
    let mut state = store.into_data();
    drop(running);
    let run_time = start.elapsed();
    state.finish_standard_output();
    let (memory_bytes, log_lines_dropped) = (state.memory.bytes() as u64, state.log_lines_dropped);
    let start_ms = state.start_ms;
    let end = match returned {
        Ok(Ok(messages)) => accept(&mut state, messages).map(|()| into_effects(state)),
        Ok(Err(Failure::Retry(reason))) => Err(RunFailure::Retry(cut_reason(&reason))),
        Ok(Err(Failure::Reject(reason))) => Err(RunFailure::Reject(cut_reason(&reason))),
        Err(error) => Err(explain(&state, &error)),
    };
    Outcome { end, start_ms, run_time, memory_bytes, log_lines_dropped }
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
    };
    let mut store = new_store(deployment, new_state(input, Instant::now()));
    let Err(error) = deployment.pre.instantiate(&mut store) else { return Ok(()) };
    Err(match explain(store.data(), &error) {
        RunFailure::TimedOut | RunFailure::Left => {
            format!("it did not start within limits.timeout_ms = {}", deployment.manifest.limits.timeout_ms)
        }
        RunFailure::Retry(reason) | RunFailure::Reject(reason) | RunFailure::Trap(reason) => reason,
        RunFailure::OverLimit(reason) | RunFailure::Refused(reason) => reason,
    })
}

/// A store with every limit set.
fn new_store(deployment: &Deployment, state: InvocationState) -> Store<InvocationState> {
    let mut store = Store::new(&deployment.engine.engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(deployment.manifest.limits.output_bytes.saturating_mul(2).saturating_add(HOST_CALL_BYTES));
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(look_at_deadline);
    store
}

fn new_state(input: Input<'_>, start: Instant) -> InvocationState {
    let deployment = input.deployment.clone();
    let limits = &deployment.manifest.limits;
    let start_ms = input.host.now_ms();
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
        deadline: deadline(&deployment, input.context.caller.as_ref(), start),
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

/// What is left of the caller's time is a limit as well.
fn deadline(deployment: &Deployment, caller: Option<&Caller>, start: Instant) -> Instant {
    let own = deployment.deadline_after(start);
    caller.map_or(own, |caller| own.min(caller.deadline()))
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
