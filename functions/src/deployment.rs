//! One version of a function, ready to run: checked, linked, tried once.
//!
//! Not the queue; that lives on when the version changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use wasmtime::component::Component;

use crate::admission::NoRoom;
use crate::artifact::{ArtifactStore, LoadError, MakeError};
use crate::catalog::CatalogError;
use crate::code::Code;
use crate::compile::CompileError;
use crate::engine::{EngineError, RunningEngine};
use crate::host::Host;
use crate::invocation;
use crate::log_ring::LogRing;
use crate::manifest::{Manifest, ManifestError};
use crate::message::InvocationContext;
use crate::version::VersionNumber;
use crate::world::{World, WorldError};
use crate::zone::ZoneError;

/// Why a function was not deployed.
#[derive(Debug, Error)]
pub enum DeployError {
    /// `function.toml` is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The component is larger than `Config::component_bytes_max`.
    #[error("component has {bytes} bytes, allowed are {allowed}")]
    ComponentTooBig {
        /// Its size.
        bytes: usize,
        /// The limit.
        allowed: usize,
    },
    /// `Config::functions_max` functions are deployed.
    #[error("{allowed} functions are deployed, more are not allowed")]
    TooMany {
        /// The limit.
        allowed: usize,
    },
    /// The compiler refused or failed.
    #[error("cannot compile the component: {0}")]
    Compile(#[source] CompileError),
    /// The component fits no world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// An import or the handler has another type than the world says, or the component is too big for a slot of the pool.
    #[error("component does not fit the interface: {0}")]
    Link(String),
    /// A fresh instance failed before any message came.
    #[error("component does not start: {0}")]
    Start(String),
    /// This node runs no functions.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Native code was not loaded after it had been made.
    #[error("cannot load native code: {0}")]
    Load(String),
    /// A schedule goes by clocks that the machine does not know.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The machine has no room for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// There is no function of that name.
    #[error("there is no function {0:?}")]
    NoFunction(String),
    /// Nothing of it is live.
    #[error("nothing of {0:?} is live: selvedge fn alias {0} live VERSION")]
    NothingLive(String),
    /// No such recording.
    #[error(
        "there is no recording of {0:?}: `selvedge fn recordings` lists those that there are; a restart forgets them"
    )]
    NotRecorded(String),
    /// What was asked of a version is out of range.
    #[error("{0}")]
    Policy(String),
    /// Versions could not be tried.
    #[error("cannot try the version: {0}")]
    Trial(String),
    /// Versions or aliases are not there, or there is no room for them.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What is kept of the function cannot be read.
    #[error("cannot read the function's record: {0}")]
    Record(String),
    /// A version's manifest was accepted once and is not any more, most often because limits were lowered.
    #[error("{version} cannot run: {reason}")]
    Version {
        /// The version.
        version: VersionNumber,
        /// Why.
        reason: String,
    },
    /// The function could not be stored.
    #[error("cannot store the function")]
    Store(#[source] std::io::Error),
}

impl From<MakeError> for DeployError {
    fn from(error: MakeError) -> Self {
        match error {
            MakeError::Compile(error) => Self::Compile(error),
            MakeError::Io(error) => Self::Store(error),
        }
    }
}

impl From<LoadError> for DeployError {
    fn from(error: LoadError) -> Self {
        Self::Load(error.to_string())
    }
}

/// A version that can run.
pub(crate) struct Deployment {
    pub(crate) number: VersionNumber,
    pub(crate) manifest: Manifest,
    pub(crate) world: World,
    pub(crate) code: Arc<Code>,
    pub(crate) engine: Arc<RunningEngine>,
}

impl Deployment {
    /// Of a component that was just loaded from `artifacts`, by its digest there.
    pub(crate) fn new(
        (number, manifest): (VersionNumber, Manifest),
        artifacts: &Arc<ArtifactStore>,
        (digest, component): (&str, &Component),
        engine: Arc<RunningEngine>,
    ) -> Result<Self, DeployError> {
        let (code, world) = Code::new(artifacts, digest, component, &engine)?;
        Ok(Self { number, manifest, world, code, engine })
    }

    /// Makes one instance and drops it, under the function's own limits: finds what cannot start, and warms the slot.
    pub(crate) fn try_start(self: &Arc<Self>, host: &Arc<dyn Host>, logs: &Arc<LogRing>) -> Result<(), DeployError> {
        let context = Arc::new(InvocationContext { received_ms: host.now_ms(), ..InvocationContext::default() });
        invocation::start_once(self, host, logs, &context).map_err(DeployError::Start)
    }

    /// The time limit of one run.
    pub(crate) fn deadline_after(&self, start: Instant) -> Instant {
        start + Duration::from_millis(self.manifest.limits.timeout_ms)
    }
}
