//! `[limits]`: what one invocation may use, and how many there are at once.

use serde::Deserialize;
use toml::Spanned;

use super::ManifestError;
use super::check::Check;
use super::quantity::Bytes;
use crate::config::Config;
use crate::rate::Rate;

/// Messages that a function may run at once.
const CONCURRENCY_MAX: u64 = 64;

/// What one invocation may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All memories and tables together. Bytes.
    pub memory_bytes: usize,
    /// Wall time of instantiate and call. Milliseconds.
    pub timeout_ms: u64,
    /// Messages published and returned.
    pub output_messages: usize,
    /// Bytes of those messages, topics and properties included.
    pub output_bytes: usize,
    /// Log lines; more are counted and dropped.
    pub log_lines: usize,
    /// Keys written.
    pub kv_keys: usize,
    /// Bytes of keys and values written.
    pub kv_bytes: usize,
    /// Twin patches.
    pub twin_patches: usize,
    /// How often it may run; messages wait meanwhile. `None`: as often as it can.
    pub rate: Option<Rate>,
    /// Messages at once.
    pub concurrency: Concurrency,
    /// Share of one processor that its runs may take in the long run, percent; messages wait meanwhile. `None`: no limit.
    pub cpu_percent: Option<u32>,
    /// Functions that a message may have passed through before it is refused; `None`: as many as the node allows.
    pub depth: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            timeout_ms: 1000,
            output_messages: 64,
            output_bytes: 1 << 20,
            log_lines: 100,
            kv_keys: 64,
            kv_bytes: 256 << 10,
            twin_patches: 16,
            rate: None,
            concurrency: Concurrency::default(),
            cpu_percent: None,
            depth: None,
        }
    }
}

/// Messages that a function runs at once: the more wait, the more, within these. With more than one, only messages of the same
/// publisher keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// So many however few wait; at least 1.
    pub floor: usize,
    /// Never more; at least the floor.
    pub ceiling: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { floor: 1, ceiling: 1 }
    }
}

impl Concurrency {
    /// What both allow.
    pub(crate) fn least(self, other: Self) -> Self {
        Self { floor: self.floor.min(other.floor), ceiling: self.ceiling.min(other.ceiling) }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    memory_bytes: Option<Spanned<Bytes>>,
    timeout_ms: Option<Spanned<i64>>,
    output_messages: Option<Spanned<i64>>,
    output_bytes: Option<Spanned<Bytes>>,
    log_lines: Option<Spanned<i64>>,
    kv_keys: Option<Spanned<i64>>,
    kv_bytes: Option<Spanned<Bytes>>,
    twin_patches: Option<Spanned<i64>>,
    pub(super) rate_per_s: Option<Spanned<i64>>,
    pub(super) burst: Option<Spanned<i64>>,
    cpu_percent: Option<Spanned<i64>>,
    concurrency: Option<Spanned<i64>>,
    concurrency_min: Option<Spanned<i64>>,
    depth: Option<Spanned<i64>>,
}

impl Check<'_> {
    pub(super) fn limits(&self, raw: &RawLimits, config: &Config) -> Result<Limits, ManifestError> {
        let default = Limits::default();
        let count = |key, value, default: usize, max: u64| {
            self.integer(key, value, default as u64, 0..max + 1).map(|number| number as usize)
        };
        let memory_bytes = self.bytes(
            "limits.memory_bytes",
            &raw.memory_bytes,
            default.memory_bytes,
            64 << 10..config.memory_bytes_max.saturating_add(1),
        )?;
        let default_timeout_ms = default.timeout_ms.min(config.timeout_ms_max);
        Ok(Limits {
            memory_bytes,
            timeout_ms: self.integer(
                "limits.timeout_ms",
                &raw.timeout_ms,
                default_timeout_ms,
                1..config.timeout_ms_max.saturating_add(1),
            )?,
            output_messages: count("limits.output_messages", &raw.output_messages, default.output_messages, 10_000)?,
            output_bytes: self.bytes(
                "limits.output_bytes",
                &raw.output_bytes,
                default.output_bytes,
                0..(64 << 20) + 1,
            )?,
            log_lines: count("limits.log_lines", &raw.log_lines, default.log_lines, 10_000)?,
            kv_keys: count("limits.kv_keys", &raw.kv_keys, default.kv_keys, 1_000)?,
            kv_bytes: self.bytes("limits.kv_bytes", &raw.kv_bytes, default.kv_bytes, 0..(4 << 20) + 1)?,
            twin_patches: count("limits.twin_patches", &raw.twin_patches, default.twin_patches, 256)?,
            rate: self.rate(raw)?,
            concurrency: self.concurrency(raw)?,
            cpu_percent: self.optional("limits.cpu_percent", &raw.cpu_percent, 1..101)?,
            depth: self.optional("limits.depth", &raw.depth, 0..u64::from(config.depth_max) + 1)?,
        })
    }

    fn concurrency(&self, raw: &RawLimits) -> Result<Concurrency, ManifestError> {
        let ceiling = self.integer("limits.concurrency", &raw.concurrency, 1, 1..CONCURRENCY_MAX + 1)?;
        let floor = self.integer("limits.concurrency_min", &raw.concurrency_min, 1, 1..ceiling + 1)?;
        Ok(Concurrency { floor: floor as usize, ceiling: ceiling as usize })
    }
}
