//! Limits of the runtime, each with its unit. What a single function may use is in its manifest, within these.

use serde::{Deserialize, Serialize};

/// Limits of the whole runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Threads that run functions, 1 to 64. Each runs one invocation at a time.
    pub workers: usize,
    /// Invocations that outlived `slice_ms` and were given a thread of their own, so that the others go on; 0 to 64.
    pub stuck_workers_max: usize,
    /// After this time an invocation counts as stuck: its place among `workers` goes to the next one. Milliseconds.
    pub slice_ms: u64,
    /// Deployed functions.
    pub functions_max: usize,
    /// Functions whose native code stays in memory however long nothing comes for them, 1 and more; more than these are loaded
    /// again from disk with their next message.
    pub loaded_max: usize,
    /// Published versions kept per function; the oldest that no alias needs gives way to a new one.
    pub versions_max: usize,
    /// Messages waiting per function.
    pub queue_messages_max: usize,
    /// Bytes of messages waiting per function.
    pub queue_bytes_max: usize,
    /// Commits under way per function that cannot conflict; the function waits when there are more.
    pub commits_in_flight_max: usize,
    /// Functions a message may pass through before it is refused.
    pub depth_max: u32,
    /// Log lines kept per function.
    pub log_lines_kept: usize,
    /// Longest log line; the rest is cut. Bytes.
    pub log_line_bytes_max: usize,
    /// Recordings of real messages of all functions together; 0: none are kept. Bytes.
    pub recording_bytes_max: usize,
    /// Largest component that can be deployed. Bytes.
    pub component_bytes_max: usize,
    /// Instances kept for later messages by all functions with `isolation = "reuse"` together, 0 to 64; their memory may be half of
    /// `memory_total_bytes`.
    pub kept_instances_max: usize,
    /// Largest memory a manifest may ask for, 64 KiB to 256 MiB. Bytes.
    pub memory_bytes_max: usize,
    /// Memories and tables of all running instances together; a growth past it fails. Bytes.
    pub memory_total_bytes: usize,
    /// Longest time limit a manifest may ask for. Milliseconds.
    pub timeout_ms_max: u64,
    /// Longest time that a manifest may have messages held for it, before anybody gets them. Milliseconds.
    pub intercept_timeout_ms_max: u64,
    /// Wall time of one compilation. Milliseconds.
    pub compile_timeout_ms: u64,
    /// Address space of the compiler child. Bytes.
    pub compile_memory_bytes: u64,
    /// Where instances get their memory from.
    pub memory_profile: MemoryProfile,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 2,
            stuck_workers_max: 4,
            slice_ms: 20,
            functions_max: 64,
            loaded_max: 32,
            versions_max: 16,
            queue_messages_max: 1024,
            queue_bytes_max: 4 << 20,
            commits_in_flight_max: 64,
            depth_max: 16,
            log_lines_kept: 256,
            log_line_bytes_max: 2048,
            recording_bytes_max: 2 << 20,
            component_bytes_max: 32 << 20,
            kept_instances_max: 8,
            memory_bytes_max: 128 << 20,
            memory_total_bytes: 192 << 20,
            timeout_ms_max: 60_000,
            intercept_timeout_ms_max: 1000,
            compile_timeout_ms: 60_000,
            compile_memory_bytes: 1 << 30,
            memory_profile: MemoryProfile::Probe,
        }
    }
}

impl Config {
    /// The same, with manifests that may ask for anything: to read what they say when they would be refused.
    pub fn without_limits(&self) -> Self {
        let (timeout_ms_max, intercept_timeout_ms_max) = (u64::MAX, u64::MAX);
        Self { memory_bytes_max: usize::MAX, timeout_ms_max, intercept_timeout_ms_max, ..self.clone() }
    }
}

/// Where instances get their memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryProfile {
    /// `pooled` where the address space has room for it (tried with a real mapping), else `on-demand`.
    Probe,
    /// A pool of reserved slots, some 4 GiB of addresses; fast to use again.
    Pooled,
    /// A mapping per instance; slower, for places with a limit on address space.
    OnDemand,
}
