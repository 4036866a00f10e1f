//! How safe messages for durable sessions are kept.

use serde::{Deserialize, Serialize};

use super::quantity::Period;

/// What a crash takes of what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DurabilityMode {
    /// Nothing: it is on disk before.
    Fsync,
    /// At a power cut, the last interval.
    Interval,
    /// Everything that waits.
    Memory,
}

/// The same for what comes in by one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerDurability {
    /// As `durability.mode` says.
    Default,
    /// As [`DurabilityMode::Fsync`].
    Fsync,
    /// As [`DurabilityMode::Interval`].
    Interval,
    /// As [`DurabilityMode::Memory`].
    Memory,
}

/// What is given up when the disk has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriorityLevel {
    /// Given up for anything else.
    Low,
    /// Given up for what is high.
    #[default]
    Normal,
    /// Never given up.
    High,
}

/// The same for some topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicDurability {
    /// Topic filter.
    pub filter: String,
    /// What holds for the topics that match; without it, what holds for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DurabilityMode>,
    /// What waits and is given up first when the disk has no room.
    #[serde(default)]
    pub priority: PriorityLevel,
    /// For how long at most a message lives, whatever its publisher said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<Period>,
}

/// How safe messages for durable sessions are kept. The first topic that matches goes over the listener, that over the mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DurabilityConfig {
    /// What holds where nothing else is said, and for sessions and subscriptions.
    pub mode: DurabilityMode,
    /// What nobody waits for is on disk after this time at the latest.
    pub interval: Period,
    /// Between two fsyncs at least: what comes meanwhile shares the next one. The first after a silence is not held up.
    pub gather: Period,
    /// By topic, in order.
    pub topics: Vec<TopicDurability>,
}

impl Default for DurabilityConfig {
    fn default() -> Self {
        Self {
            mode: DurabilityMode::Fsync,
            interval: Period::seconds(1),
            gather: Period::milliseconds(5),
            topics: Vec::new(),
        }
    }
}
