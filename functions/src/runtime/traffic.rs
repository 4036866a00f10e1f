//! The versions that a function's messages are shared out to, ready to run.

use std::sync::Arc;

use serde::Serialize;

use crate::alias::{Alias, Lot};
use crate::bindings::selvedge::function::types;
use crate::counters::{Counters, FunctionCounters};
use crate::deployment::Deployment;
use crate::http_route::RouteAuth;
use crate::kept::KeptInstances;
use crate::manifest::{Concurrency, Source, Trigger};
use crate::message::InvocationContext;
use crate::topic;
use crate::version::VersionNumber;

/// The user property that messages can be kept together by.
const KEY_PROPERTY: &str = "key";

/// One version, and what its messages came to since it was put here.
pub(super) struct LiveVersion {
    pub(super) deployment: Arc<Deployment>,
    pub(super) counters: Counters,
    /// Its instances that may run again.
    pub(super) kept: KeptInstances,
}

impl LiveVersion {
    pub(super) fn new(deployment: Arc<Deployment>) -> Arc<Self> {
        Arc::new(Self { deployment, counters: Counters::new(), kept: KeptInstances::default() })
    }

    /// A batch of a window has no topic of its own: it is known by its trigger's filter.
    pub(super) fn takes(&self, topic: &str, matched_filter: &str) -> bool {
        let mut triggers = self.deployment.manifest.triggers.iter();
        triggers.any(|trigger| trigger.mqtt == matched_filter || topic::filter_matches(&trigger.mqtt, topic))
    }
}

/// What a version that gets messages came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionStatus {
    /// The version.
    pub version: VersionNumber,
    /// Its weight in the alias `live`.
    pub weight: u32,
    /// What its messages came to since it was made live or the node started.
    pub counters: FunctionCounters,
}

/// An alias with its versions.
pub(super) struct Traffic {
    /// The alias's name; `None`: a version was asked for by its number.
    pub(super) name: Option<Arc<str>>,
    alias: Alias,
    /// One for each share of the alias, in its order.
    versions: Vec<Arc<LiveVersion>>,
    /// What takes the messages of versions whose circuit is open, besides these.
    fallbacks: Vec<Arc<LiveVersion>>,
    concurrency: Concurrency,
}

impl Traffic {
    pub(super) fn new(name: Option<&str>, alias: Alias, versions: Vec<Arc<LiveVersion>>) -> Self {
        let concurrency = least(&versions).unwrap_or_default();
        Self { name: name.map(Arc::from), alias, versions, fallbacks: Vec::new(), concurrency }
    }

    pub(super) fn with_fallbacks(self, fallbacks: Vec<Arc<LiveVersion>>) -> Self {
        let concurrency = least(&fallbacks).map_or(self.concurrency, |least| least.least(self.concurrency));
        Self { fallbacks, concurrency, ..self }
    }

    /// The version that takes messages while a circuit is open.
    pub(super) fn fallback(&self, number: VersionNumber) -> Option<&Arc<LiveVersion>> {
        self.version(number).or_else(|| self.fallbacks.iter().find(|version| version.deployment.number == number))
    }

    /// Runs at once: as few as any of them allows.
    pub(super) fn concurrency(&self) -> Concurrency {
        self.concurrency
    }

    /// The version that runs a message; the same at each of its attempts.
    pub(super) fn choose(
        &self,
        function: &str,
        message: &types::Message,
        context: &InvocationContext,
        random: u64,
    ) -> Option<Arc<LiveVersion>> {
        if let [only] = self.versions.as_slice() {
            return Some(only.clone());
        }
        let key = message.properties.user_properties.iter().find(|(name, _)| name == KEY_PROPERTY);
        let topic = message.topic.as_str();
        let lot = Lot {
            function,
            topic,
            client: context.client_id.as_deref(),
            key: key.map(|(_, value)| value.as_str()),
            random,
        };
        let takes = |number| self.version(number).is_some_and(|version| version.takes(topic, &context.matched_filter));
        self.version(self.alias.choose(&lot, takes)).or_else(|| self.versions.first()).cloned()
    }

    /// A version among them.
    pub(super) fn version(&self, number: VersionNumber) -> Option<&Arc<LiveVersion>> {
        self.versions.iter().find(|version| version.deployment.number == number)
    }

    /// All of them.
    pub(super) fn versions(&self) -> &[Arc<LiveVersion>] {
        &self.versions
    }

    /// The version that stands for the function.
    pub(super) fn foremost(&self) -> Option<&Arc<LiveVersion>> {
        self.version(self.alias.heaviest()).or_else(|| self.versions.first())
    }

    pub(super) fn status(&self) -> Vec<VersionStatus> {
        let versions = self.alias.shares().iter().zip(&self.versions);
        versions
            .map(|(share, version)| VersionStatus {
                version: share.version,
                weight: share.weight,
                counters: version.counters.snapshot(),
            })
            .collect()
    }
}

fn least(versions: &[Arc<LiveVersion>]) -> Option<Concurrency> {
    versions.iter().map(|version| version.deployment.manifest.limits.concurrency).reduce(Concurrency::least)
}

/// All triggers, each filter once, with the greatest quality of service. Of what versions disagree
/// about, the stricter holds: a login is needed, a message is dropped.
pub(super) fn union<'a>(triggers: impl Iterator<Item = &'a Trigger>) -> Vec<Trigger> {
    let mut all: Vec<Trigger> = Vec::new();
    for trigger in triggers {
        let is_same = |present: &&mut Trigger| {
            present.mqtt == trigger.mqtt && present.is_subscription() == trigger.is_subscription()
        };
        match all.iter_mut().find(is_same) {
            Some(present) => {
                present.qos = present.qos.max(trigger.qos);
                match (&mut present.source, &trigger.source) {
                    (Source::Http(route), Source::Http(other)) if other.auth == RouteAuth::Token => {
                        route.auth = RouteAuth::Token;
                    }
                    (Source::Intercept(rule), Source::Intercept(other)) => {
                        rule.on_failure = rule.on_failure.max(other.on_failure);
                    }
                    _ => {}
                }
            }
            None => all.push(trigger.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Qos;

    #[test]
    fn triggers_of_all_versions_are_joined_with_the_greatest_quality_of_service() {
        let trigger = |mqtt: &str, qos| Trigger { mqtt: mqtt.to_owned(), qos, source: Source::Messages, window: None };
        let (first, second) = (
            [trigger("a/#", Qos::AtMostOnce), trigger("b", Qos::ExactlyOnce)],
            [trigger("c", Qos::AtMostOnce), trigger("a/#", Qos::AtLeastOnce)],
        );
        let joined = union(first.iter().chain(&second));
        let expected =
            [trigger("a/#", Qos::AtLeastOnce), trigger("b", Qos::ExactlyOnce), trigger("c", Qos::AtMostOnce)];
        assert_eq!(joined, expected);
    }
}
