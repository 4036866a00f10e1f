//! Versions on trial: what is asked about them, and the thread that carries out what the guards of canaries say.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use selvedge_functions::{Judgement, Runtime};
use serde_json::{Value, json};

use super::function_api::{FunctionApi, refused, value};
use super::function_lines::FunctionLines;
use super::node_api::blocking;
use crate::http::{ApiError, Pending, TrialWish};

impl FunctionApi {
    /// Answers when it is done.
    pub fn try_out(&self, name: String, wish: TrialWish) -> Pending<Value> {
        let functions = self.clone();
        blocking(move || functions.try_out_now(&name, wish))
    }

    fn try_out_now(&self, name: &str, wish: TrialWish) -> Result<Value, ApiError> {
        let runtime = &self.runtime;
        match wish {
            TrialWish::Recordings => Ok(json!({ "recordings": runtime.recordings(name).map_err(refused)? })),
            TrialWish::Forget => {
                runtime.forget_recordings(name).map_err(refused)?;
                Ok(json!({ "forgotten": name }))
            }
            TrialWish::Replay { invocation_id, version } => {
                value(&runtime.replay(name, &invocation_id, version).map_err(refused)?)
            }
            TrialWish::Promote(wish) => {
                let _deploying = self.deploying.lock();
                let promoted = runtime.promote(name, wish.version, wish.recordings, wish.policy, wish.dry_run);
                let promoted = promoted.map_err(refused)?;
                if let Some(pointed) = &promoted.pointed {
                    self.subscribe(name, pointed.triggers.clone())?;
                }
                value(&promoted)
            }
            TrialWish::Shadow(version) => {
                runtime.set_shadow(name, version).map_err(refused)?;
                Ok(json!({ "name": name, "shadow": version }))
            }
            TrialWish::Canary(wish) => {
                self.point_now(name, |runtime| runtime.start_canary(name, wish.version, wish.policy))
            }
            TrialWish::Watch => value(&runtime.watch(name).map_err(refused)?),
        }
    }

    fn conclude(&self, judgement: &Judgement) -> Result<(), ApiError> {
        let _deploying = self.deploying.lock();
        let pointed = self.runtime.conclude(judgement).map_err(refused)?;
        pointed.map_or(Ok(()), |pointed| self.subscribe(&judgement.function, pointed.triggers))
    }
}

/// Starts the thread that takes canaries back or makes them live. It ends with the runtime, which it does not keep.
///
/// # Errors
/// The system gives no thread.
pub fn start_judging(functions: &FunctionApi) -> std::io::Result<()> {
    let Some(judgements) = functions.runtime.judgements() else { return Ok(()) };
    let bench = Bench {
        runtime: Arc::downgrade(&functions.runtime),
        lines: Arc::downgrade(&functions.lines),
        deploying: Arc::clone(&functions.deploying),
    };
    let work = move || bench.sit(&judgements);
    std::thread::Builder::new().name("fn-judge".to_owned()).stack_size(1 << 20).spawn(work).map(drop)
}

struct Bench {
    runtime: Weak<Runtime>,
    lines: Weak<FunctionLines>,
    deploying: Arc<Mutex<()>>,
}

impl Bench {
    fn sit(&self, judgements: &Receiver<Judgement>) {
        while let Ok(judgement) = judgements.recv() {
            let (Some(runtime), Some(lines)) = (self.runtime.upgrade(), self.lines.upgrade()) else { return };
            let functions = FunctionApi { runtime, lines, deploying: Arc::clone(&self.deploying) };
            if let Err(error) = functions.conclude(&judgement) {
                // It stays as it is, and a restart of the node or a person begins anew.
                let function = judgement.function;
                tracing::error!(function, verdict = %judgement.verdict, error = error.message, "a canary's end was not carried out");
            }
        }
    }
}
