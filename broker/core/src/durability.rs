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

/// Which publication is kept how: the first filter that matches its topic, else the listener that it came in by, else the
/// default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurabilityRules {
    /// What holds where nothing else does.
    pub default: Durability,
    /// By topic filter, in order.
    pub filters: Vec<(String, Durability)>,
    /// What listeners want that do not go by the default.
    pub listeners: Vec<Durability>,
}

impl DurabilityRules {
    /// How a publication to `topic` is kept that came in by a listener with the setting `listener`.
    #[inline]
    pub fn judge(&self, name: &str, listener: Option<Durability>) -> Durability {
        let rule = self.filters.iter().find(|(filter, _)| topic::matches(filter, name));
        rule.map(|(_, durability)| *durability).or(listener).unwrap_or(self.default)
    }

    /// The safest that any publication is kept: sessions and subscriptions are kept as safely.
    pub fn safest(&self) -> Durability {
        let filters = self.filters.iter().map(|(_, durability)| *durability);
        let all = filters.chain(self.listeners.iter().copied()).chain([self.default]);
        all.min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_over_its_listener_and_that_over_the_default() {
        let filters =
            vec![("telemetry/alarm".to_owned(), Durability::Fsync), ("telemetry/#".to_owned(), Durability::Memory)];
        let rules = DurabilityRules { default: Durability::Interval, filters, listeners: Vec::new() };
        assert_eq!(rules.safest(), Durability::Fsync);
        assert_eq!(rules.judge("telemetry/alarm", Some(Durability::Interval)), Durability::Fsync);
        assert_eq!(rules.judge("telemetry/x", Some(Durability::Fsync)), Durability::Memory);
        assert_eq!(rules.judge("other", Some(Durability::Fsync)), Durability::Fsync);
        assert_eq!(rules.judge("other", None), Durability::Interval);
    }
}
