//! Settings of logging, the store, the twins and the functions.

use serde::{Deserialize, Serialize};

use super::quantity::{ByteSize, Period};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged to stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or directives by module. `SELVEDGE_LOG` goes over it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Durable state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Decoded pages kept in memory; the process grows by about three times this.
    pub cache_bytes: ByteSize,
    /// Changes that wait for the disk before whoever makes them waits, too.
    pub queue_bytes_max: ByteSize,
    /// A file that is given up when the disk is too full to start; zero keeps none.
    pub ballast_bytes: ByteSize,
    /// With fewer free bytes on the file system, changes are refused.
    pub free_bytes_min: ByteSize,
    /// Databases that could not be opened and are kept for inspection.
    pub quarantines_max: u32,
    /// Size of a file of the journal; a new one begins then.
    pub segment_bytes: ByteSize,
    /// What of the journal may be dead before it is cleaned, beside as much as is alive.
    pub slack_bytes: ByteSize,
    /// Changes of the state after which the database is made durable, so that less has to be repeated at a start.
    pub checkpoint_bytes: ByteSize,
    /// Journal and database together; zero is any size. Above it, publications that must be kept are refused.
    pub disk_bytes_max: ByteSize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: ByteSize::mib(1),
            queue_bytes_max: ByteSize::mib(4),
            ballast_bytes: ByteSize::mib(1),
            free_bytes_min: ByteSize::mib(8),
            quarantines_max: 2,
            segment_bytes: ByteSize::mib(4),
            slack_bytes: ByteSize::mib(16),
            checkpoint_bytes: ByteSize::mib(4),
            disk_bytes_max: ByteSize(1 << 30),
        }
    }
}

/// Device twins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwinsConfig {
    /// `desired` or `reported` as JSON without spaces.
    pub section_bytes_max: ByteSize,
    /// One request.
    pub request_bytes_max: ByteSize,
    /// Objects and arrays within each other in a section, the section itself included.
    pub depth_max: u32,
    /// Fields in both sections of a twin.
    pub fields_max: u32,
    /// Path of a field as a JSON pointer.
    pub path_bytes_max: ByteSize,
    /// Twins.
    pub twins_max: u64,
    /// Removed fields that a twin remembers.
    pub tombstones_max: u32,
    /// Deleted twins that are remembered, so that their version goes on.
    pub deleted_twins_max: u32,
    /// Changes that are remembered of each twin; 0 for none.
    pub history_changes_max: u32,
    /// What they may take on disk for one twin; the oldest go first.
    pub history_bytes_max: ByteSize,
    /// Twins kept decoded in memory.
    pub cache_bytes_max: ByteSize,
    /// How far ahead of this node's clock another node's change may be.
    pub clock_ahead_max: Period,
    /// Requests waiting to be answered.
    pub requests_in_flight_max: u16,
    /// Whether twins are also device shadows under `$aws/things/`.
    pub aws_topics: bool,
}

impl Default for TwinsConfig {
    fn default() -> Self {
        Self {
            section_bytes_max: ByteSize::kib(32),
            request_bytes_max: ByteSize::kib(128),
            depth_max: 8,
            fields_max: 1024,
            path_bytes_max: ByteSize(256),
            twins_max: 10_000,
            tombstones_max: 256,
            deleted_twins_max: 1000,
            history_changes_max: 32,
            history_bytes_max: ByteSize::kib(64),
            cache_bytes_max: ByteSize::kib(512),
            clock_ahead_max: Period::seconds(300),
            requests_in_flight_max: 256,
            aws_topics: true,
        }
    }
}

/// Where instances get their memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryProfile {
    /// `pooled` where the address space has room for it, else `on-demand`.
    Probe,
    /// A pool of reserved slots; fast.
    Pooled,
    /// A mapping per instance; for small address spaces.
    OnDemand,
}

/// WebAssembly functions. What a single function may use is in its own manifest, within these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionsConfig {
    /// Threads that run functions.
    pub workers: u32,
    /// Long invocations that are given a thread of their own, so that the others go on.
    pub stuck_workers_max: u32,
    /// After this time an invocation counts as long.
    pub slice: Period,
    /// Deployed functions.
    pub functions_max: u32,
    /// Functions whose native code stays in memory however long nothing comes for them.
    pub loaded_max: u32,
    /// Published versions kept per function; the oldest that no alias needs gives way.
    pub versions_max: u32,
    /// Messages in flight to one function: taken from the broker and not acknowledged.
    pub in_flight_max: u16,
    /// Messages waiting for one function inside the runtime.
    pub queue_messages_max: u32,
    /// Bytes of them.
    pub queue_bytes_max: ByteSize,
    /// Commits under way per function.
    pub commits_in_flight_max: u32,
    /// Functions that a message may pass through, one after the other, before it is refused.
    pub depth_max: u32,
    /// Log lines kept per function.
    pub log_lines_kept: u32,
    /// Longest log line; the rest is cut.
    pub log_line_bytes_max: ByteSize,
    /// Recordings of real messages of all functions together; 0: none are kept.
    pub recording_bytes_max: ByteSize,
    /// Largest component that can be deployed.
    pub component_bytes_max: ByteSize,
    /// Largest memory that a manifest may ask for.
    pub memory_bytes_max: ByteSize,
    /// Instances kept for later messages by functions with `isolation = "reuse"`, all together.
    pub kept_instances_max: u32,
    /// Memory of all instances together; a growth past it fails.
    pub memory_total_bytes: ByteSize,
    /// Longest time limit that a manifest may ask for.
    pub timeout_max: Period,
    /// Longest time that a manifest may have messages held for it, before anybody gets them.
    pub intercept_timeout_max: Period,
    /// Wall time of one compilation.
    pub compile_timeout: Period,
    /// Address space of the compiler's process.
    pub compile_memory_bytes: ByteSize,
    /// Where instances get their memory from.
    pub memory_profile: MemoryProfile,
}

impl Default for FunctionsConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            stuck_workers_max: 4,
            slice: Period::milliseconds(20),
            functions_max: 64,
            loaded_max: 32,
            versions_max: 16,
            in_flight_max: 256,
            queue_messages_max: 1024,
            queue_bytes_max: ByteSize::mib(4),
            commits_in_flight_max: 64,
            depth_max: 16,
            log_lines_kept: 256,
            log_line_bytes_max: ByteSize::kib(2),
            recording_bytes_max: ByteSize::mib(2),
            component_bytes_max: ByteSize::mib(32),
            memory_bytes_max: ByteSize::mib(128),
            kept_instances_max: 8,
            memory_total_bytes: ByteSize::mib(192),
            timeout_max: Period::seconds(60),
            intercept_timeout_max: Period::seconds(1),
            compile_timeout: Period::seconds(60),
            compile_memory_bytes: ByteSize(1 << 30),
            memory_profile: MemoryProfile::Probe,
        }
    }
}
