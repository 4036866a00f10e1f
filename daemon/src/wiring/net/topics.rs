//! What is published: summaries as retained messages under `$SYS/net/`, events under `$net/event/`.
//!
//! `$SYS/net/{interface}/{in|out}/{packets|bytes}` are numbers since the start; `$SYS/net/top` is JSON, the ten busiest peers of the last
//! interval; `$SYS/net/guard` is JSON. Invariant: what has not changed is not published again.

use std::collections::BTreeMap;

use selvedge_broker::Client;
use selvedge_codec::QoS;
use selvedge_core::Message;
use selvedge_ebpf::{GuardMode, NetEvent, Snapshot};

use super::report;

/// Peers in `$SYS/net/top`.
const TOP: usize = 10;
/// Interfaces that are summarised.
const INTERFACES_MAX: usize = 64;

/// What stands under `$SYS/net/`.
#[derive(Debug, Default)]
pub struct Summaries {
    published: BTreeMap<String, String>,
}

impl Summaries {
    /// What of it changed with `snapshot`. Clients are only asked for when there was traffic.
    pub fn changed(&mut self, snapshot: &Snapshot, clients: impl FnOnce() -> Vec<Client>) -> Vec<Message> {
        let mut now = totals(snapshot);
        if snapshot.flows.iter().any(|row| !row.recent.is_zero()) {
            let top = report::busiest(snapshot, &clients(), TOP);
            now.insert("$SYS/net/top".to_owned(), serde_json::Value::from(top).to_string());
        }
        if snapshot.guard.mode != GuardMode::Off {
            let guard = serde_json::to_string(&snapshot.guard).unwrap_or_default();
            now.insert("$SYS/net/guard".to_owned(), guard);
        }
        let mut messages = Vec::new();
        for (topic, text) in now {
            if self.published.get(&topic) != Some(&text) {
                messages.push(Message::new(&topic, text.clone().into_bytes(), QoS::AtMostOnce, true));
                self.published.insert(topic, text);
            }
        }
        messages
    }
}

fn totals(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut sums: BTreeMap<(&str, String), [u64; 2]> = BTreeMap::new();
    for row in &snapshot.totals {
        let key = (row.interface.as_str(), row.direction.to_string());
        if sums.len() == 2 * INTERFACES_MAX && !sums.contains_key(&key) {
            continue;
        }
        let [packets, bytes] = sums.entry(key).or_default();
        *packets = packets.saturating_add(row.counts.packets);
        *bytes = bytes.saturating_add(row.counts.bytes);
    }
    let topics = sums.into_iter().flat_map(|((interface, direction), counts)| {
        let level = as_level(interface);
        let topic = move |what: &str| format!("$SYS/net/{level}/{direction}/{what}");
        ["packets", "bytes"].into_iter().zip(counts).map(move |(what, count)| (topic(what), count.to_string()))
    });
    topics.collect()
}

/// An interface may be called almost anything.
fn as_level(interface: &str) -> String {
    interface.replace(['/', '+', '#'], "_")
}

/// An event, for the functions and subscribers that wait for it.
pub fn event(event: &NetEvent) -> Message {
    let topic = match event {
        NetEvent::NewPeer { .. } => "$net/event/new-peer".to_owned(),
        NetEvent::Above(crossing) => format!("$net/event/above/{}", crossing.threshold),
        NetEvent::Below(crossing) => format!("$net/event/below/{}", crossing.threshold),
        NetEvent::Omitted { .. } => "$net/event/omitted".to_owned(),
    };
    let text = serde_json::to_string(event).unwrap_or_default();
    Message::new(&topic, text.into_bytes(), QoS::AtLeastOnce, false)
}

#[cfg(test)]
mod tests {
    use selvedge_ebpf::{Counts, Direction, InterfaceName, IpVersion, PortClass, Protocol, TotalRow};

    use super::*;

    fn snapshot(packets: u64) -> Snapshot {
        let row = |class, packets| TotalRow {
            interface: InterfaceName::new("eth0"),
            direction: Direction::In,
            version: IpVersion::V4,
            protocol: Protocol::Tcp,
            class,
            counts: Counts { packets, bytes: 100 * packets, ..Counts::default() },
            recent: Counts::default(),
        };
        Snapshot { totals: vec![row(PortClass::Mqtt, packets), row(PortClass::Other, 1)], ..Snapshot::default() }
    }

    fn texts(messages: &[Message]) -> Vec<(String, String)> {
        let text = |message: &Message| String::from_utf8(message.payload().to_vec()).unwrap();
        messages.iter().map(|message| (message.topic().to_owned(), text(message))).collect()
    }

    #[test]
    fn interfaces_are_summed_and_only_what_changed_is_published_again() {
        let mut summaries = Summaries::default();
        let published = summaries.changed(&snapshot(5), Vec::new);
        let pair = |topic: &str, text: &str| (topic.to_owned(), text.to_owned());
        assert_eq!(texts(&published), [pair("$SYS/net/eth0/in/bytes", "600"), pair("$SYS/net/eth0/in/packets", "6")]);
        assert!(published.iter().all(Message::retain));
        assert_eq!(summaries.changed(&snapshot(5), Vec::new).len(), 0);
        assert_eq!(summaries.changed(&snapshot(6), Vec::new).len(), 2);
    }

    #[test]
    fn an_event_has_a_topic_of_its_kind_and_is_not_retained() {
        let messages = [event(&NetEvent::Omitted { events: 3 })];
        let text = r#"{"event":"omitted","events":3}"#;
        assert_eq!(texts(&messages), [("$net/event/omitted".to_owned(), text.to_owned())]);
        assert!(!messages[0].retain());
    }

    #[test]
    fn an_interface_with_a_name_that_no_topic_may_have_is_one_level() {
        assert_eq!(as_level("a/b#+"), "a_b__");
    }
}
