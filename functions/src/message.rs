//! What goes into an invocation and what comes out: the message, the facts about it, and the result for the caller.
//!
//! Plain data, owned, independent of the engine's generated types, so that the rest of the node never sees those.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::caller::Caller;
use crate::hex::{from_readable, to_readable};
use crate::version::VersionNumber;

/// MQTT quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Qos {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
    /// QoS 2.
    ExactlyOnce,
}

/// MQTT 5 PUBLISH properties (3.3.2.3) that belong to the message and not to the hop. Order and duplicates of user
/// properties are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Properties {
    /// Payload format indicator is 1.
    pub utf8_payload: bool,
    /// Content type.
    pub content_type: Option<String>,
    /// Response topic.
    pub response_topic: Option<String>,
    /// Correlation data.
    pub correlation_data: Option<Vec<u8>>,
    /// Message expiry interval in seconds.
    pub message_expiry_s: Option<u32>,
    /// User properties in order.
    pub user_properties: Vec<(String, String)>,
}

/// One application message, into or out of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvocationMessage {
    /// Topic name, no wildcards.
    pub topic: String,
    /// Payload. Serialised as text when it is UTF-8, else as `{"hex": "…"}`.
    #[serde(serialize_with = "to_readable", deserialize_with = "from_readable")]
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// Message properties.
    pub properties: Properties,
}

impl InvocationMessage {
    /// Bytes that this message holds on the heap, for limits on queues and outputs.
    pub fn weight_bytes(&self) -> usize {
        let properties = &self.properties;
        let texts = [&properties.content_type, &properties.response_topic];
        let user: usize = properties.user_properties.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
        self.topic.len()
            + self.payload.len()
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
            + properties.correlation_data.as_ref().map_or(0, Vec::len)
            + user
    }
}

/// Facts about one delivery, the same for all attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvocationContext {
    /// Client that published the message, if the node knows.
    pub client_id: Option<String>,
    /// The run of a function that published it, if one did.
    pub caused_by: Option<String>,
    /// The trigger's filter that matched.
    pub matched_filter: String,
    /// When the node received the message, milliseconds since 1970.
    pub received_ms: u64,
    /// W3C trace context of the message, if it carried one.
    pub trace_parent: Option<String>,
    /// The host's own name for this delivery; handed back in [`Effects::delivery`](crate::Effects), so that the input's
    /// acknowledgement can be committed together with the effects.
    #[serde(skip)]
    pub delivery: Option<u64>,
    /// How many functions the message has already passed through. The host sets 0 for messages from clients and
    /// [`Effects::depth`](crate::Effects) for messages that a function published; past `Config::depth_max` an invocation
    /// is refused, which ends loops of functions that feed each other.
    pub depth: u32,
    /// By which the runtime knows the message at each of its attempts; set by the runtime, and another one after a restart.
    pub message_key: u64,
    /// Who waits for the end; `None`: nobody, and the message stays until it is dealt with.
    #[serde(skip)]
    pub caller: Option<Caller>,
}

/// What happened to one queued message, given to `done` exactly once.
pub type InvocationResult = Result<InvocationSuccess, InvocationError>;

/// The invocation returned ok and its effects are committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvocationSuccess {
    /// Identifies the run in logs and context.
    pub invocation_id: String,
    /// Messages published.
    pub outputs: usize,
    /// Attempts it took, 1 for the first.
    pub attempts: u32,
    /// The version that ran; `None` where there are none, offline.
    pub version: Option<VersionNumber>,
    /// Instantiate and call of the last attempt, microseconds.
    pub run_us: u64,
    /// What it returned for its caller.
    #[serde(skip)]
    pub replies: Vec<InvocationMessage>,
}

/// Why a message had no effects.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InvocationError {
    /// No function of that name.
    #[error("function {function:?} is not deployed")]
    NotDeployed {
        /// Name that was asked for.
        function: String,
    },
    /// The function's queue is full: deliver again later.
    #[error("queue of function {function:?} is full")]
    Overloaded {
        /// Name of the function.
        function: String,
    },
    /// The runtime is shutting down: deliver again later.
    #[error("runtime is stopping")]
    Stopping,
    /// It has a caller, and the function cannot run now.
    #[error("function {function:?} is not ready")]
    NotReady {
        /// Name of the function.
        function: String,
    },
    /// Its caller has left, or had no time left.
    #[error("nobody waited for it any more")]
    CallerLeft,
    /// The function was removed while the message waited.
    #[error("function {function:?} was removed")]
    Removed {
        /// Name of the function.
        function: String,
    },
    /// The function said `reject`.
    #[error("function rejected the message: {reason}")]
    Rejected {
        /// The function's words.
        reason: String,
    },
    /// The function said `retry` and used up its attempts.
    #[error("function failed {attempts} times: {reason}")]
    Failed {
        /// The function's words at the last attempt.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
    /// The instance trapped.
    #[error("function trapped: {reason}")]
    Trapped {
        /// The trap.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
    /// The instance ran past its deadline.
    #[error("function was stopped after its time limit of {limit_ms} ms")]
    TimedOut {
        /// The limit.
        limit_ms: u64,
        /// Attempts made.
        attempts: u32,
    },
    /// A limit on memory or output was passed.
    #[error("function passed a limit: {reason}")]
    LimitExceeded {
        /// Which limit, and how much was asked for.
        reason: String,
    },
    /// An output lacks a grant or is not a valid message.
    #[error("output refused: {reason}")]
    OutputRefused {
        /// What was refused and which grant would allow it.
        reason: String,
    },
    /// Other writers changed what it had read, again and again.
    #[error("effects conflicted with other writers {attempts} times: {reason}")]
    Conflict {
        /// What conflicted last.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
    /// The function has failed so often that it is not run for a while.
    #[error("circuit of function {function:?} is open, because it failed too often")]
    CircuitOpen {
        /// Name of the function.
        function: String,
    },
    /// It was given up, and something was published for it, together with its acknowledgement: there is nothing left to do.
    #[error("{error} ({})", .by.name())]
    Settled {
        /// What was published.
        by: Settlement,
        /// Why it was given up.
        error: Box<InvocationError>,
    },
    /// The host refused the effects.
    #[error("effects were refused: {reason}")]
    CommitRefused {
        /// The host's words.
        reason: String,
    },
    /// The host could not commit: deliver again later.
    #[error("effects could not be committed: {reason}")]
    CommitUnavailable {
        /// The host's words.
        reason: String,
    },
}

/// What was published for a message that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// The message itself with the reason, to the dead-letter topic.
    DeadLetter,
    /// The static reply of the manifest.
    Reply,
}

impl Settlement {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead letter",
            Self::Reply => "static reply",
        }
    }
}

impl InvocationError {
    /// True when the host has acknowledged the message with what it committed for it.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Settled { .. })
    }

    /// True when the message was not dealt with and should be kept and delivered again; false when it is dropped for good
    /// and should be acknowledged.
    pub fn deliver_again(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. } | Self::NotReady { .. } | Self::Stopping | Self::CommitUnavailable { .. }
        )
    }
}
