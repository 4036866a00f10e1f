//! Bounds of the exchange of twins.

use selvedge_twin::keys::PublicKey;

use super::{Found, quoted};
use crate::config::Config;
use crate::config::quantity::Period;
use crate::config::sync::BrokerAddress;

/// Longest beginning of topics, so that they fit the usual limits.
const PREFIX_BYTES_MAX: usize = 200;

pub(super) fn sync(config: &Config, found: &mut Found) {
    let sync = &config.sync;
    let is_on = !sync.broker.is_empty();
    let broker = BrokerAddress::parse(&sync.broker);
    if is_on && broker.is_none() {
        found.refuse("sync.broker", quoted(&sync.broker), "expected mqtt://HOST:PORT or mqtts://HOST:PORT");
    }
    if (is_on || !sync.group_key.is_empty()) && PublicKey::parse(&sync.group_key).is_none() {
        found.refuse(
            "sync.group_key",
            quoted(&sync.group_key),
            "expected the group's public key, 64 hexadecimal digits: `selvedge twin group create` makes one",
        );
    }
    if sync.certificate.is_empty() != sync.key.is_empty() {
        found.refuse("sync.key", quoted(&sync.key), "expected both sync.certificate and sync.key, or neither");
    }
    let is_plain = broker.is_some_and(|broker| !broker.is_encrypted);
    if is_plain && !(sync.ca.is_empty() && sync.certificate.is_empty()) {
        found.refuse("sync.broker", quoted(&sync.broker), "expected mqtts://…, as sync.ca or sync.certificate is set");
    }
    if !sync.password_file.is_empty() && sync.username.is_empty() {
        found.refuse("sync.username", quoted(""), "expected a user, as sync.password_file is set");
    }
    let prefix = &sync.topic_prefix;
    let is_topic = !prefix.is_empty()
        && prefix.len() <= PREFIX_BYTES_MAX
        && !prefix.starts_with('$')
        && !prefix.contains(['+', '#', '\0'])
        && prefix.split('/').all(|level| !level.is_empty());
    if !is_topic {
        found.refuse(
            "sync.topic_prefix",
            quoted(prefix),
            "expected a topic such as \"selvedge/sync\": no $ at the beginning, no wildcards, no empty level",
        );
    }
    found.period("sync.heartbeat", sync.heartbeat, Period::seconds(1), Period::seconds(3600));
    found.period("sync.lease", sync.lease, Period::seconds(60), Period::seconds(3650 * 86_400));
    found.number("sync.outbox_messages_max", sync.outbox_messages_max, 16, 65_536);
    found.number("sync.far_writes_max", sync.far_writes_max, 0, 100_000);
    found.number("sync.removals_max", sync.removals_max, 0, 10_000_000);
}

#[cfg(test)]
mod tests {
    use crate::config::checks::violations;
    use crate::config::sync::SyncConfig;
    use crate::config::{Config, Period, Surroundings};

    fn keys(change: impl FnOnce(&mut SyncConfig)) -> Vec<&'static str> {
        let mut config = Config::default();
        config.sync.broker = "mqtts://hub".to_owned();
        config.sync.group_key = "ab".repeat(32);
        change(&mut config.sync);
        violations(&config, &Surroundings::default()).into_iter().map(|violation| violation.key).collect()
    }

    #[test]
    fn a_group_needs_a_broker_that_can_be_reached_and_a_key() {
        assert_eq!(keys(|_| {}), Vec::<&str>::new());
        assert_eq!(keys(|sync| *sync = SyncConfig::default()), Vec::<&str>::new());
        assert_eq!(keys(|sync| sync.broker = "hub:1883".to_owned()), ["sync.broker"]);
        assert_eq!(keys(|sync| sync.group_key.clear()), ["sync.group_key"]);
        assert_eq!(keys(|sync| sync.group_key.push('0')), ["sync.group_key"]);
        assert_eq!(keys(|sync| sync.certificate = "c.pem".to_owned()), ["sync.key"]);
        assert_eq!(keys(|sync| sync.password_file = "p".to_owned()), ["sync.username"]);
        let plain = |sync: &mut SyncConfig| {
            sync.broker = "mqtt://hub".to_owned();
            sync.ca = "ca.pem".to_owned();
        };
        assert_eq!(keys(plain), ["sync.broker"]);
    }

    #[test]
    fn topics_begin_with_whole_levels_and_both_ends_of_the_bounds_are_inside() {
        for prefix in ["", "$sync", "a/", "/a", "a//b", "a/#", "+"] {
            assert_eq!(keys(|sync| sync.topic_prefix = prefix.to_owned()), ["sync.topic_prefix"], "{prefix:?}");
        }
        for inside in [1, 3600] {
            assert_eq!(keys(|sync| sync.heartbeat = Period::seconds(inside)), Vec::<&str>::new());
        }
        for outside in [Period::milliseconds(999), Period::seconds(3601)] {
            assert_eq!(keys(|sync| sync.heartbeat = outside), ["sync.heartbeat"]);
        }
        assert_eq!(keys(|sync| sync.outbox_messages_max = 15), ["sync.outbox_messages_max"]);
    }
}
