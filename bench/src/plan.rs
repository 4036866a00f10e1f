//! What a run will do: the options of a message scenario with everything decided, and what is allowed.
//! No I/O. Invariant: a [`LoadPlan`] is only made from options that are inside [`LIMITS`], so nothing behind it checks again.

use std::time::Duration;

use thiserror::Error;

use crate::options::{LoadOptions, WildcardOptions};
use crate::stamp::Stamp;
use crate::topology::{Shape, Topology};

/// Upper limits of what can be asked for; each bounds memory or descriptors of the generator.
pub(crate) struct Limits {
    pub payload_bytes: u32,
    pub clients: u32,
    pub streams: u64,
    pub filters: u32,
    pub window: u32,
    pub rate_per_s: f64,
    pub seconds: f64,
    pub timeout_s: u64,
}

/// The one set of limits.
pub(crate) const LIMITS: Limits = Limits {
    payload_bytes: 1_048_576,
    clients: 60_000,
    streams: 1_000_000,
    filters: 100_000,
    window: 100_000,
    rate_per_s: 10_000_000.0,
    seconds: 3_000.0,
    timeout_s: 600,
};

/// Seconds that every client announces as keep-alive; above the longest run, so that no pings disturb it.
pub(crate) const KEEP_ALIVE_S: u16 = 3_600;

/// How many messages are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// So many in all.
    Messages(u64),
    /// What fits into so long.
    For(Duration),
}

/// What decides when the next message is published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// At most so many undelivered messages per publisher.
    Window(u32),
    /// So many a second in all.
    PerSecond(f64),
}

/// How long the sessions of subscribers live, and whether their clients are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriberSessions {
    /// As long as their connections.
    Transient,
    /// Longer than their connections, which stand during the run.
    Durable,
    /// Longer than their connections, which are closed before anything is published: deliveries are not part of the run.
    Offline,
}

/// A message scenario with everything decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LoadPlan {
    pub name: &'static str,
    pub topology: Topology,
    pub qos: u8,
    pub sessions: SubscriberSessions,
    pub payload_bytes: usize,
    pub amount: Amount,
    pub pace: Pace,
    pub warmup: u64,
}

/// Options that cannot be run.
#[derive(Debug, Error, PartialEq)]
pub enum OptionsError {
    /// A number outside of its limits.
    #[error("--{option} is {value}, allowed is {lowest} to {highest}")]
    OutOfRange {
        /// The option without dashes.
        option: &'static str,
        /// What was given.
        value: String,
        /// Least allowed.
        lowest: String,
        /// Most allowed.
        highest: String,
    },
    /// A combination that the scenario does not have.
    #[error("scenario {scenario} cannot have {what}")]
    Shape {
        /// The scenario's name.
        scenario: &'static str,
        /// What was asked for.
        what: String,
    },
}

/// Checks one number against its limits.
pub(crate) fn in_range<T: PartialOrd + std::fmt::Display>(
    option: &'static str,
    value: T,
    lowest: T,
    highest: T,
) -> Result<T, OptionsError> {
    if value >= lowest && value <= highest {
        return Ok(value);
    }
    Err(OptionsError::OutOfRange {
        option,
        value: value.to_string(),
        lowest: lowest.to_string(),
        highest: highest.to_string(),
    })
}

/// Checks `--payload-bytes`.
pub(crate) fn payload_bytes(value: u32) -> Result<usize, OptionsError> {
    in_range("payload-bytes", value, Stamp::BYTES as u32, LIMITS.payload_bytes).map(|bytes| bytes as usize)
}

impl LoadPlan {
    /// Decides everything about `pair`.
    pub fn pair(options: &LoadOptions) -> Result<Self, OptionsError> {
        let (publishers, subscribers) = (options.publishers.unwrap_or(1), options.subscribers.unwrap_or(1));
        if (publishers, subscribers) != (1, 1) {
            return Err(shape_error("pair", publishers, subscribers, "1 and 1; `pairs` has more"));
        }
        Self::new("pair", Topology { shape: Shape::Pairs, publishers, subscribers }, options)
    }

    /// Decides everything about `pairs`.
    pub fn pairs(options: &LoadOptions) -> Result<Self, OptionsError> {
        let publishers = options.publishers.or(options.subscribers).unwrap_or(10);
        let subscribers = options.subscribers.unwrap_or(publishers);
        if publishers != subscribers {
            return Err(shape_error("pairs", publishers, subscribers, "as many of one as of the other"));
        }
        Self::new("pairs", Topology { shape: Shape::Pairs, publishers, subscribers }, options)
    }

    /// Decides everything about `fan-out`.
    pub fn fan_out(options: &LoadOptions) -> Result<Self, OptionsError> {
        let (publishers, subscribers) = (options.publishers.unwrap_or(1), options.subscribers.unwrap_or(100));
        Self::new("fan-out", Topology { shape: Shape::FanOut, publishers, subscribers }, options)
    }

    /// Decides everything about `fan-in`.
    pub fn fan_in(options: &LoadOptions) -> Result<Self, OptionsError> {
        let (publishers, subscribers) = (options.publishers.unwrap_or(100), options.subscribers.unwrap_or(1));
        if subscribers != 1 {
            return Err(shape_error("fan-in", publishers, subscribers, "one subscriber"));
        }
        Self::new("fan-in", Topology { shape: Shape::FanIn, publishers, subscribers }, options)
    }

    /// Decides everything about `wildcard`.
    pub fn wildcard(options: &WildcardOptions) -> Result<Self, OptionsError> {
        let filters = in_range("filters", options.filters, 1, LIMITS.filters)?;
        let (publishers, subscribers) = (options.load.publishers.unwrap_or(1), options.load.subscribers.unwrap_or(1));
        if subscribers > filters {
            return Err(shape_error("wildcard", publishers, subscribers, "at least one filter per subscriber"));
        }
        if options.load.target.bare_relay {
            let what = "the bare relay, which does not match wildcards".to_owned();
            return Err(OptionsError::Shape { scenario: "wildcard", what });
        }
        Self::new("wildcard", Topology { shape: Shape::Wildcard { filters }, publishers, subscribers }, &options.load)
    }

    /// Sizes and pace in words.
    pub fn describe(&self) -> String {
        let Topology { shape, publishers, subscribers } = self.topology;
        let shape = match shape {
            Shape::Wildcard { filters } => format!(", {filters} filters"),
            Shape::Pairs | Shape::FanOut | Shape::FanIn => String::new(),
        };
        let pace = match self.pace {
            Pace::Window(window) => format!("window {window}"),
            Pace::PerSecond(rate) => format!("{rate} messages/s"),
        };
        let sessions = match self.sessions {
            SubscriberSessions::Transient => "",
            SubscriberSessions::Durable => " durable sessions",
            SubscriberSessions::Offline => " durable sessions, offline",
        };
        let (qos, bytes) = (self.qos, self.payload_bytes);
        format!("{publishers} → {subscribers}{sessions}{shape}, QoS {qos}, {bytes} bytes, {pace}")
    }

    /// Deliveries that one published message makes during the run.
    pub fn copies(&self) -> u64 {
        match self.sessions {
            SubscriberSessions::Offline => 0,
            SubscriberSessions::Transient | SubscriberSessions::Durable => u64::from(self.topology.copies()),
        }
    }

    fn new(name: &'static str, topology: Topology, options: &LoadOptions) -> Result<Self, OptionsError> {
        in_range("publishers", topology.publishers, 1, LIMITS.clients)?;
        in_range("subscribers", topology.subscribers, 1, LIMITS.clients)?;
        let streams = u64::from(topology.publishers) * u64::from(topology.subscribers);
        if !matches!(topology.shape, Shape::Pairs) && streams > LIMITS.streams {
            let what = format!("{streams} pairs of publisher and subscriber; allowed are {}", LIMITS.streams);
            return Err(OptionsError::Shape { scenario: name, what });
        }
        let sessions = match (options.durable, options.offline) {
            (false, _) => SubscriberSessions::Transient,
            (true, false) => SubscriberSessions::Durable,
            (true, true) => SubscriberSessions::Offline,
        };
        if options.durable && options.qos == 0 {
            let what = "--durable with --qos 0, which no session keeps; allowed is --qos 1 or 2".to_owned();
            return Err(OptionsError::Shape { scenario: name, what });
        }
        let amount = match (options.messages, options.seconds) {
            (Some(messages), _) => Amount::Messages(in_range("messages", messages, 1, u64::from(u32::MAX))?),
            (None, seconds) => {
                let seconds = in_range("seconds", seconds.unwrap_or(5.0), 0.01, LIMITS.seconds)?;
                Amount::For(Duration::from_secs_f64(seconds))
            }
        };
        let pace = match options.rate {
            Some(rate) => Pace::PerSecond(in_range("rate", rate, 0.1, LIMITS.rate_per_s)?),
            None => Pace::Window(in_range("window", options.window.unwrap_or(100), 1, LIMITS.window)?),
        };
        let warmup = options.warmup.unwrap_or(match (amount, pace) {
            (Amount::Messages(messages), _) => (messages / 10).min(10_000),
            (Amount::For(_), Pace::Window(_)) => 10_000 / u64::from(topology.copies()),
            (Amount::For(length), Pace::PerSecond(rate)) => (rate * length.as_secs_f64() / 10.0) as u64,
        });
        Ok(Self {
            name,
            topology,
            qos: options.qos,
            sessions,
            payload_bytes: payload_bytes(options.payload_bytes)?,
            amount,
            pace,
            warmup: in_range("warmup", warmup, 0, u64::from(u32::MAX))?,
        })
    }
}

fn shape_error(scenario: &'static str, publishers: u32, subscribers: u32, allowed: &str) -> OptionsError {
    let what = format!("{publishers} publishers and {subscribers} subscribers; allowed is {allowed}");
    OptionsError::Shape { scenario, what }
}

#[cfg(test)]
mod tests;
