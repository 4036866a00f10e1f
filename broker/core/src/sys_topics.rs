//! `$SYS/broker/…`: what the broker says of itself to MQTT clients, under the names that others use too.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use selvedge_codec::QoS;

use crate::{message::Message, statistics::Statistics, time::Moment};

/// Remembers what was last said, so that only changes are published.
#[derive(Debug, Default)]
pub(crate) struct SysTopics {
    last: HashMap<&'static str, String, RandomState>,
}

impl SysTopics {
    /// The topics whose values have changed, as retained messages.
    pub(crate) fn changed(&mut self, statistics: &Statistics, now: Moment) -> Vec<Message> {
        let mut messages = Vec::new();
        for (topic, value) in values(statistics, now) {
            if self.last.get(topic) != Some(&value) {
                messages.push(Message::new(topic, value.clone().into_bytes(), QoS::AtMostOnce, true));
                self.last.insert(topic, value);
            }
        }
        messages
    }
}

fn values(statistics: &Statistics, now: Moment) -> [(&'static str, String); 16] {
    let s = statistics;
    let dropped = s.dropped_queue_full + s.dropped_offline + s.dropped_expired + s.dropped_too_large;
    let number = |value: u64| value.to_string();
    [
        ("$SYS/broker/version", concat!("selvedge ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("$SYS/broker/uptime", format!("{} seconds", now.as_millis() / 1000)),
        ("$SYS/broker/clients/connected", number(s.connections)),
        ("$SYS/broker/clients/total", number(s.sessions)),
        ("$SYS/broker/clients/disconnected", number(s.sessions.saturating_sub(s.connections))),
        ("$SYS/broker/clients/refused", number(s.connects_refused)),
        ("$SYS/broker/subscriptions/count", number(s.subscriptions)),
        ("$SYS/broker/retained messages/count", number(s.retained_messages)),
        ("$SYS/broker/store/messages/count", number(s.queued_messages)),
        ("$SYS/broker/store/messages/bytes", number(s.queued_bytes)),
        ("$SYS/broker/publish/messages/received", number(s.publishes_received.iter().sum())),
        ("$SYS/broker/publish/messages/sent", number(s.publishes_sent.iter().sum())),
        ("$SYS/broker/publish/messages/dropped", number(dropped)),
        ("$SYS/broker/publish/bytes/received", number(s.publish_bytes_received)),
        ("$SYS/broker/publish/bytes/sent", number(s.publish_bytes_sent)),
        ("$SYS/broker/wills/published", number(s.wills_published)),
    ]
}
