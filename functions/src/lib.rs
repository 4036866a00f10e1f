//! WebAssembly functions on messages.
//!
//! A function is one component of the package `selvedge:function` (see `functions/wit/function.wit`). Each message gets a
//! fresh instance; what the instance asks for (publish, key-values, twin patches) is buffered and handed to the host as one
//! [`Effects`] value when it returned ok, and dropped otherwise. This crate knows no broker, store or twin: the node gives it
//! those abilities through [`Host`].
//!
//! Path of a message: [`Runtime::invoke`] → `runtime/function` (queue) → `runtime/schedule` → `runtime/worker` → `invocation` (→ `capability/*`, `wasi/*`) →
//! [`Host::commit`] → the caller's `done`.
//!
//! Invariants: native code is loaded only when its keyed MAC verifies; no compiler runs in this process except in
//! [`compile_child_main`]; every queue, buffer and loop that a guest can drive has a limit in [`Config`] or the [`Manifest`].

mod admission;
mod alias;
mod artifact;
mod bindings;
mod caller;
mod canary;
mod capability;
mod catalog;
mod circuit;
mod code;
mod comparison;
mod compile;
mod config;
mod counters;
mod cron;
mod dead_letter;
mod deployment;
mod durable_file;
mod engine;
mod gate;
mod grant;
mod hex;
mod host;
mod http_response;
mod http_route;
mod invocation;
mod kept;
mod kv_buffer;
mod limit;
mod log_ring;
mod manifest;
mod message;
mod offline;
mod outgoing;
mod outputs;
mod passage;
mod rate;
mod recording;
mod replay;
mod retry;
mod run_failure;
mod runtime;
mod tape;
mod timetable;
mod together;
mod topic;
mod twin_buffer;
mod version;
mod wasi;
mod window;
mod world;
mod zone;

#[cfg(feature = "compiler")]
pub mod author;

pub use admission::NoRoom;
pub use alias::{ALIAS_VERSIONS_MAX, Alias, AliasError, Share, Sticky};
pub use caller::{Caller, Waiting, Wanted};
pub use canary::{Canary, CanaryPolicy, CanaryStatus, Verdict};
pub use catalog::{CatalogError, LIVE};
pub use circuit::CircuitRule;
pub use comparison::{Difference, Differences};
#[cfg(feature = "compiler")]
pub use compile::child::compile_child_main;
pub use compile::{CompileChild, CompileCounts, CompileError};
pub use config::{Config, MemoryProfile};
pub use counters::FunctionCounters;
pub use cron::{Schedule, ScheduleError};
pub use deployment::DeployError;
pub use engine::EngineError;
pub use gate::{Changed, Figures, PolicyError, PolicyWish, PromotionPolicy, PromotionReport};
pub use host::{
    BucketEffects, CommitDone, CommitFailure, Effects, Host, HostError, KvChange, KvEntry, KvRead, KvWrite, OnEnded,
    OnOrdered, TwinDoc, TwinPatch, TwinRead, TwinSection,
};
pub use http_response::{HttpResponse, RESPONSE_TOPIC};
pub use http_route::{HttpMethod, HttpRoute, REQUEST_TOPIC, RouteAuth, RouteMatch, RoutePattern, find_route};
pub use log_ring::{LogLevel, LogLine, LogSink};
pub use manifest::{
    CircuitPer, CircuitPolicy, Concurrency, Fallback, Grants, Isolation, Limits, Manifest, ManifestError,
    RecordingPolicy, Retry, Reuse, Source, Trigger,
};
pub use message::{
    InvocationContext, InvocationError, InvocationMessage, InvocationResult, InvocationSuccess, Properties, Qos,
    Settlement,
};
pub use offline::{OfflineError, OfflineReport, OfflineRun, OfflineState, RecordedRun, replay_offline, run_offline};
pub use outgoing::{HttpReply, HttpRequest, is_public_address};
pub use passage::{Arrival, InterceptRule, Itinerary, OnFailure, Passage, Station, StationEnd, Step};
pub use rate::{Bucket, Rate};
pub use recording::{FailureKind, Recording, RunResult};
pub use runtime::{
    CircuitState, Deployed, FunctionState, FunctionStatus, InvocationDone, Judgement, OpenError, Pointed, Promoted,
    Replay, Runtime, ShadowStatus, Target, VersionEntry, VersionList, VersionStatus, WatchStatus, precompile,
};
pub use tape::Tape;
pub use timetable::{Appointment, Timetable};
pub use version::{VersionNumber, VersionNumberError};
pub use window::{WindowBatch, WindowBy, WindowKind, WindowRule, Windows};
pub use world::{World, WorldError};
pub use zone::{ZoneError, find_zone};
