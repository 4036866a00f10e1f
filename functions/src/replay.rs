//! Runs a version on a recorded message again, as if it were then and without effects.

use std::sync::Arc;
use std::time::Instant;

use crate::bindings::selvedge::function::types;
use crate::caller::Caller;
use crate::deployment::Deployment;
use crate::gate::TrialRun;
use crate::host::Host;
use crate::invocation::{self, Input};
use crate::log_ring::{LogLine, LogRing};
use crate::message::InvocationContext;
use crate::recording::{Recording, RunResult};
use crate::tape::Player;

/// Log lines of a run that are told.
const LOG_LINES: usize = 200;
/// Longest of them, bytes.
const LOG_LINE_BYTES: usize = 2048;

/// A run again, with its log.
pub(crate) struct Played {
    pub(crate) run: TrialRun,
    pub(crate) logs: Vec<LogLine>,
}

/// Runs a version on a recording as if it were then. What it reads and is not recorded comes from `present`, or is not there.
pub(crate) fn play(deployment: &Arc<Deployment>, recording: &Recording, present: Option<Arc<dyn Host>>) -> Played {
    let player = Player::new(recording.tape.clone(), recording.start_ms, present);
    let host: Arc<dyn Host> = player.clone();
    let logs = Arc::new(LogRing::new(LOG_LINES, LOG_LINE_BYTES));
    let message: types::Message = recording.message.clone().into();
    // Somebody who has as much time as the function may take.
    let caller = recording.wanted.map(|wanted| Caller::new(deployment.deadline_after(Instant::now()), wanted));
    let (caller, _waiting) = caller.unzip();
    let outcome = invocation::run(Input {
        deployment,
        alias: recording.alias.as_deref().map(Arc::from),
        host: &host,
        logs: &logs,
        invocation_id: recording.invocation_id.clone(),
        message: &message,
        context: &Arc::new(InvocationContext { caller, ..recording.context.clone() }),
        attempt: recording.attempt,
        is_replay: true,
        on_slice: None,
        until: None,
        reuse: None,
    });
    let run = TrialRun {
        result: RunResult::of(&outcome.end),
        run_us: outcome.run_time.as_nanos() as f64 / 1000.0,
        memory_bytes: outcome.memory_bytes,
        unrecorded: player.unrecorded(),
    };
    Played { run, logs: logs.subscribe(None) }
}
