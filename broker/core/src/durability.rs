//! How safe a message is kept: by where it came in, and by its topic.

use selvedge_codec::topic;

/// What becomes of what a durable session is to get, at a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Durability {
    /// On disk before it is acknowledged.
    #[default]
    Fsync,
    /// On disk soon after: a power cut takes what was acknowledged within the last interval.
    Interval,
    /// Never on disk.
    Memory,
}

/// What goes first when the disk has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Given up for anything else.
    Low,
    /// Given up for what is high.
    #[default]
    Normal,
    /// Never given up.
    High,
}

/// How publications to some topics are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRule {
    /// Topic filter.
    pub filter: String,
    /// `None`: as everything else.
    pub durability: Option<Durability>,
    /// What goes first.
    pub priority: Priority,
    /// For how long at most, seconds, whatever the publisher said.
    pub time_to_live_s: Option<u32>,
}

/// Which publication is kept how: the first filter that matches its topic, else the listener that it came in by, else the
/// default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurabilityRules {
    /// What holds where nothing else does.
    pub default: Durability,
    /// By topic filter, in order.
    pub topics: Vec<TopicRule>,
    /// What listeners want that do not go by the default.
    pub listeners: Vec<Durability>,
}

/// How one publication is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How safe.
    pub durability: Durability,
    /// What goes first.
    pub priority: Priority,
    /// For how long at most, seconds.
    pub time_to_live_s: Option<u32>,
}

impl DurabilityRules {
    /// How a publication to `topic` is kept that came in by a listener with the setting `listener`.
    #[inline]
    pub fn judge(&self, name: &str, listener: Option<Durability>) -> Verdict {
        let rule = self.topics.iter().find(|rule| topic::matches(&rule.filter, name));
        let durability = rule.and_then(|rule| rule.durability).or(listener).unwrap_or(self.default);
        rule.map_or(Verdict { durability, ..Verdict::default() }, |rule| Verdict {
            durability,
            priority: rule.priority,
            time_to_live_s: rule.time_to_live_s,
        })
    }

    /// The safest that any publication is kept: sessions and subscriptions are kept as safely.
    pub fn safest(&self) -> Durability {
        let topics = self.topics.iter().filter_map(|rule| rule.durability);
        let all = topics.chain(self.listeners.iter().copied()).chain([self.default]);
        all.min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(filter: &str, durability: Option<Durability>) -> TopicRule {
        TopicRule { filter: filter.to_owned(), durability, ..TopicRule::default() }
    }

    #[test]
    fn a_topic_goes_over_its_listener_and_that_over_the_default() {
        let topics = vec![
            rule("telemetry/alarm", Some(Durability::Fsync)),
            TopicRule { priority: Priority::Low, time_to_live_s: Some(9), ..rule("telemetry/y", None) },
            rule("telemetry/#", Some(Durability::Memory)),
        ];
        let rules = DurabilityRules { default: Durability::Interval, topics, listeners: Vec::new() };
        let judge = |name, listener| rules.judge(name, listener).durability;
        assert_eq!(rules.safest(), Durability::Fsync);
        assert_eq!(judge("telemetry/alarm", Some(Durability::Interval)), Durability::Fsync);
        assert_eq!(judge("telemetry/x", Some(Durability::Fsync)), Durability::Memory);
        assert_eq!(judge("other", Some(Durability::Fsync)), Durability::Fsync);
        assert_eq!(judge("other", None), Durability::Interval);
        let verdict = rules.judge("telemetry/y", Some(Durability::Memory));
        assert_eq!((verdict.durability, verdict.priority), (Durability::Memory, Priority::Low));
        assert_eq!(verdict.time_to_live_s, Some(9));
        assert_eq!(rules.judge("other", None).priority, Priority::Normal);
    }
}
