//! `function.toml`: what a function is called, what starts it, what it may use and what it may do.
//!
//! Pure: text in, [`Manifest`] or a [`ManifestError`] with line, key and what is allowed out. Reads no file; the paths in it
//! are for the command line.

mod check;
mod failure_check;
mod http_check;
mod intercept_check;
mod isolation;
mod limits;
mod quantity;
mod trial_check;
mod trigger_check;
mod window_check;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::Spanned;

use crate::circuit::CircuitRule;
use crate::config::Config;
use crate::gate::PromotionPolicy;
pub use crate::grant::Grants;
use crate::http_route::HttpRoute;
use crate::message::Qos;
use crate::passage::{InterceptRule, OnFailure};
use crate::topic;
use crate::version::VersionNumber;
use crate::window::WindowRule;
use check::Check;
use isolation::RawReuse;
pub use isolation::{Isolation, Reuse};
use limits::RawLimits;
pub use limits::{Concurrency, Limits};
use quantity::Text;
use trial_check::RawRecording;
pub use trial_check::RecordingPolicy;
pub(crate) use trigger_check::pipeline_topic;

/// Longest function name, bytes.
const NAME_BYTES_MAX: usize = 64;
/// Triggers of one function.
const TRIGGERS_MAX: usize = 32;
/// Patterns of one grant.
const GRANTS_MAX: usize = 128;
/// Longest manifest, bytes.
const MANIFEST_BYTES_MAX: usize = 64 << 10;

/// A checked `function.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Name, also of the key-value bucket: lower-case letters, digits and `-`, at most 64 bytes, beginning with a letter.
    pub name: String,
    /// The author's version; empty when not given.
    pub version: String,
    /// Path of the component, relative to the manifest; `None` when not given. Only the command line looks at it.
    pub component: Option<String>,
    /// What starts the function, at least one.
    pub triggers: Vec<Trigger>,
    /// Whether an instance runs one message or several, one after the other.
    pub isolation: Isolation,
    /// The function that gets what this one returns, in the same commit.
    pub then: Option<String>,
    /// What one invocation may use.
    pub limits: Limits,
    /// What happens after a failure.
    pub retry: Retry,
    /// When it is not run any more for a while; `None`: never.
    pub circuit: Option<CircuitPolicy>,
    /// What it may do.
    pub grants: Grants,
    /// Values for `env.config`.
    pub config: BTreeMap<String, String>,
    /// What is kept of real messages.
    pub recording: RecordingPolicy,
    /// What a version must show on them before it goes live.
    pub promote: PromotionPolicy,
}

/// An `observe` trigger: a copy of each message that matches, after it was routed. What is no message of a client is one of the
/// node's own, on a topic below `$` that no client can publish to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// MQTT topic filter.
    pub mqtt: String,
    /// Greatest quality of service to receive with.
    pub qos: Qos,
    /// What publishes to it.
    #[serde(flatten)]
    pub source: Source,
    /// Messages that are collected into batches; `None`: each is on its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowRule>,
}

/// What publishes the messages of a trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Source {
    /// Clients, functions, or the node for reasons of its own.
    #[default]
    Messages,
    /// The node, when a schedule says so.
    Schedule {
        /// The schedule as written.
        cron: String,
        /// The time zone by whose clocks it goes, such as `Europe/Berlin`.
        zone: String,
    },
    /// The node, when it starts.
    Start,
    /// Clients, before anybody gets what they publish. Not through the session of the function: the publisher waits.
    Intercept(InterceptRule),
    /// What an earlier function of a pipeline returns. Not through the session of the function: the earlier one's commit waits.
    Pipeline,
    /// Requests over HTTP. Not through the session of the function: somebody waits for the answer.
    Http(HttpRoute),
}

impl Trigger {
    /// Does the session of the function get its messages? What somebody waits for takes another way.
    pub fn is_subscription(&self) -> bool {
        !matches!(self.source, Source::Http(_) | Source::Intercept(_) | Source::Pipeline)
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Messages if self.window.is_some() => write!(formatter, "{} in windows", self.mqtt),
            Source::Messages => formatter.write_str(&self.mqtt),
            Source::Schedule { cron, zone } => write!(formatter, "cron {cron:?} {zone}"),
            Source::Start => formatter.write_str("start"),
            Source::Pipeline => formatter.write_str("what functions hand on to it"),
            Source::Http(route) => write!(formatter, "{route}"),
            Source::Intercept(rule) => {
                let then = if rule.on_failure == OnFailure::Pass { "pass" } else { "drop" };
                write!(formatter, "{} before anybody gets it, {} ms, then {then}", self.mqtt, rule.timeout_ms)
            }
        }
    }
}

/// What happens after `retry` or a trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts per message, the first one included; 1 to 20.
    pub attempts: u32,
    /// Pause before the second attempt, doubled before each later one, at most a minute; between half of it and all of it is
    /// waited. The function's next messages wait meanwhile, so that order is kept. Milliseconds.
    pub backoff_ms: u64,
    /// Topic that messages which are given up go to, with the reason; `None`: they are dropped.
    pub dead_letter: Option<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, backoff_ms: 100, dead_letter: None }
    }
}

/// What happens while a function only fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// When it opens and is tried again.
    pub rule: CircuitRule,
    /// Who has a circuit of their own.
    pub per: CircuitPer,
    /// What becomes of messages while it is open.
    pub fallback: Fallback,
}

/// Who has a circuit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitPer {
    /// The function.
    Function,
    /// Each client, so that a bad one does not open it for the others.
    Client,
}

/// What becomes of messages while a circuit is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// They wait for the probe, in order.
    Wait,
    /// They are given up, to the dead-letter topic if there is one.
    Drop,
    /// Another version runs them.
    Version(VersionNumber),
    /// They are answered with this payload.
    Reply {
        /// To this topic; `None`: the message's response topic, and without one it is given up.
        topic: Option<String>,
        /// The answer.
        payload: String,
    },
}

/// What is wrong in a `function.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("function.toml{}: {message}", .line.map(|line| format!(" line {line}")).unwrap_or_default())]
pub struct ManifestError {
    /// Line, counted from 1, where known.
    pub line: Option<usize>,
    /// Key and value, and what is allowed.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    name: Spanned<String>,
    #[serde(default)]
    version: String,
    component: Option<String>,
    #[serde(default)]
    trigger: Vec<Spanned<RawTrigger>>,
    isolation: Option<Spanned<String>>,
    reuse: Option<Spanned<RawReuse>>,
    then: Option<Spanned<String>>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    retry: RawRetry,
    circuit: Option<RawCircuit>,
    #[serde(default)]
    grants: RawGrants,
    #[serde(default)]
    config: BTreeMap<String, Text>,
    #[serde(default)]
    recording: RawRecording,
    promote: Option<Spanned<PromotionPolicy>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrigger {
    mqtt: Option<Spanned<String>>,
    http: Option<Spanned<String>>,
    methods: Option<Vec<Spanned<String>>>,
    auth: Option<Spanned<String>>,
    rate_per_s: Option<Spanned<i64>>,
    burst: Option<Spanned<i64>>,
    cors: Option<Vec<Spanned<String>>>,
    headers: Option<Vec<Spanned<String>>>,
    timeout_ms: Option<Spanned<i64>>,
    mode: Option<Spanned<String>>,
    on_failure: Option<Spanned<String>>,
    order: Option<Spanned<i64>>,
    net: Option<Spanned<String>>,
    twin: Option<Spanned<String>>,
    cron: Option<Spanned<String>>,
    zone: Option<Spanned<String>>,
    start: Option<Spanned<bool>>,
    pipeline: Option<Spanned<bool>>,
    window: Option<Spanned<String>>,
    size_s: Option<Spanned<i64>>,
    step_s: Option<Spanned<i64>>,
    gap_s: Option<Spanned<i64>>,
    by: Option<Spanned<String>>,
    messages_max: Option<Spanned<i64>>,
    qos: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRetry {
    attempts: Option<Spanned<i64>>,
    backoff_ms: Option<Spanned<i64>>,
    dead_letter: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCircuit {
    failures: Option<Spanned<i64>>,
    failure_percent: Option<Spanned<i64>>,
    window_s: Option<Spanned<i64>>,
    probe_after_s: Option<Spanned<i64>>,
    per: Option<Spanned<String>>,
    fallback: Option<Spanned<String>>,
    reply_topic: Option<Spanned<String>>,
    reply_payload: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawGrants {
    publish: Vec<Spanned<String>>,
    twin_read: Vec<Spanned<String>>,
    twin_write: Vec<Spanned<String>>,
    intercept: bool,
    http: Vec<Spanned<String>>,
    keys: Option<Vec<Spanned<String>>>,
}

impl Manifest {
    /// Parses and checks `text`; `config` gives the greatest limits that a manifest may ask for.
    pub fn parse(text: &str, config: &Config) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            let message = format!("is {} bytes long, allowed are {MANIFEST_BYTES_MAX}", text.len());
            return Err(ManifestError { line: None, message });
        }
        let raw: RawManifest = toml::from_str(text).map_err(|error| ManifestError {
            line: error.span().map(|span| line_of(text, &span)),
            message: error.message().to_owned(),
        })?;
        let check = Check { text };
        check.name(&raw.name)?;
        check.count("trigger", raw.trigger.len(), TRIGGERS_MAX)?;
        if raw.trigger.is_empty() {
            let message = "no [[trigger]]: at least one is needed, for example mqtt = \"sensors/+/temperature\"".into();
            return Err(ManifestError { line: None, message });
        }
        let triggers: Vec<Trigger> =
            raw.trigger.iter().map(|trigger| check.trigger(&raw.name, trigger, config)).collect::<Result<_, _>>()?;
        check.routes_apart(&triggers)?;
        let grants = check.grants(&raw.grants)?;
        check.intercept_granted(&triggers, &grants)?;
        let then = check.then(&raw.name, raw.then.as_ref())?;
        Ok(Self {
            name: raw.name.into_inner(),
            version: raw.version,
            component: raw.component,
            isolation: check.isolation(raw.isolation.as_ref(), raw.reuse.as_ref())?,
            then,
            limits: check.limits(&raw.limits, config)?,
            retry: check.retry(&raw.retry, &triggers)?,
            circuit: raw.circuit.as_ref().map(|circuit| check.circuit(circuit, &grants)).transpose()?,
            triggers,
            grants,
            config: raw.config.into_iter().map(|(key, value)| (key, value.0)).collect(),
            recording: check.recording(&raw.recording)?,
            promote: check.promotion(raw.promote.as_ref())?,
        })
    }

    /// The version that takes its messages while its circuit is open.
    pub(crate) fn fallback_version(&self) -> Option<VersionNumber> {
        match self.circuit.as_ref().map(|circuit| &circuit.fallback) {
            Some(Fallback::Version(version)) => Some(*version),
            _ => None,
        }
    }

    /// The time zones of its schedules.
    pub fn zones(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().filter_map(|trigger| match &trigger.source {
            Source::Schedule { zone, .. } => Some(zone.as_str()),
            _ => None,
        })
    }

    /// Things that are allowed and probably not meant: a grant to publish where a trigger of the same function listens.
    pub fn warnings(&self) -> Vec<String> {
        // What a function publishes nobody intercepts.
        let observing = self.triggers.iter().filter(|trigger| trigger.is_subscription());
        let pairs = observing.flat_map(|trigger| self.grants.publish.iter().map(move |filter| (&trigger.mqtt, filter)));
        pairs
            .filter(|(trigger, grant)| topic::filters_overlap(trigger, grant))
            .map(|(trigger, grant)| {
                format!("grants.publish {grant:?} and the trigger {trigger:?} can meet: the function may start itself")
            })
            .collect()
    }
}

/// A name that is also safe as a file name.
pub(crate) fn is_valid_function_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn texts(values: &[Spanned<String>]) -> Vec<String> {
    values.iter().map(|value| value.get_ref().clone()).collect()
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
