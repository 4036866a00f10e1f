//! The engine that runs functions: made on first use, without a compiler, with a small pool of memory slots where the
//! address space has room for it.
//!
//! Not the compiler's engine; both take [`settings::base`], so that what one makes the other accepts.

mod address_space;
pub(crate) mod settings;
pub(crate) mod ticker;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use thiserror::Error;

use crate::code::CodeShelf;
use crate::config::{Config, MemoryProfile};
use crate::limit::MemoryBudget;
use settings::Profile;
use ticker::Ticker;

/// Why there is no engine.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    /// This place does not allow native code that is not in the program's own file, or has no room for it.
    #[error("cannot start the WebAssembly engine: {0}")]
    Start(String),
    /// The thread that measures time limits could not be started.
    #[error("cannot start the deadline thread: {0}")]
    Ticker(String),
}

/// An engine that runs.
pub(crate) struct RunningEngine {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) profile: Profile,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) memory: Arc<MemoryBudget>,
    /// Code in memory.
    pub(crate) shelf: CodeShelf,
}

impl Drop for RunningEngine {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}

/// The engine, made when the first function needs it, so that a node without functions pays nothing.
pub(crate) struct LazyEngine {
    config: Config,
    engine: OnceLock<Arc<RunningEngine>>,
    starting: Mutex<()>,
}

impl LazyEngine {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, engine: OnceLock::new(), starting: Mutex::new(()) }
    }

    /// The engine, if it was started.
    pub(crate) fn running(&self) -> Option<&Arc<RunningEngine>> {
        self.engine.get()
    }

    /// The engine, started if this is the first use. A failed start is tried again at the next use.
    pub(crate) fn get(&self) -> Result<Arc<RunningEngine>, EngineError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine.clone());
        }
        let _starting = self.starting.lock();
        if let Some(engine) = self.engine.get() {
            return Ok(engine.clone());
        }
        let engine = Arc::new(start(&self.config)?);
        Ok(self.engine.get_or_init(|| engine).clone())
    }
}

fn start(config: &Config) -> Result<RunningEngine, EngineError> {
    let slots = (config.workers + config.stuck_workers_max + config.kept_instances_max + 3) as u32;
    let wanted = match config.memory_profile {
        MemoryProfile::Pooled => Profile::Pooled,
        MemoryProfile::OnDemand => Profile::OnDemand,
        MemoryProfile::Probe if address_space::has_room_for(settings::pool_bytes(slots)) => Profile::Pooled,
        MemoryProfile::Probe => {
            tracing::warn!(
                needed_bytes = settings::pool_bytes(slots),
                "address space is too small for a pool of function memories; functions get memory on demand and run slower"
            );
            Profile::OnDemand
        }
    };
    let (engine, profile) = match wasmtime::Engine::new(&settings::node(wanted, slots)) {
        Ok(engine) => (engine, wanted),
        Err(error) if wanted == Profile::Pooled && config.memory_profile == MemoryProfile::Probe => {
            tracing::warn!(
                error = format!("{error:#}"),
                "pool of function memories failed; functions get memory on demand and run slower"
            );
            let engine = wasmtime::Engine::new(&settings::node(Profile::OnDemand, slots))
                .map_err(|error| EngineError::Start(format!("{error:#}")))?;
            (engine, Profile::OnDemand)
        }
        Err(error) => return Err(EngineError::Start(format!("{error:#}"))),
    };
    let ticker = Ticker::start(engine.weak()).map_err(|error| EngineError::Ticker(error.to_string()))?;
    tracing::info!(profile = profile.as_str(), slots, "function engine started");
    let memory = Arc::new(MemoryBudget::new(config.memory_total_bytes));
    let shelf = CodeShelf::new(config.loaded_max);
    Ok(RunningEngine { engine, profile, ticker, memory, shelf })
}
