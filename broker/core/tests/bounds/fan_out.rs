//! One publication to very many: large payloads are shared, and one input takes a bounded time.

use std::time::Instant;

use selvedge_codec::{PublishPropertiesBuffer, QoS};
use selvedge_core::{Config, Effect};

use crate::driver::Node;

fn subscribers(count: u32) -> Node {
    let mut node = Node::new(Config::default());
    for slot in 1..=count {
        node.connect(slot);
        node.subscribe(slot, "t");
    }
    node.connect(0);
    node
}

/// Bytes in the arena that the effects of the last input use, each run once.
fn encoded(node: &Node) -> usize {
    let mut runs: Vec<(*const u8, usize)> = node
        .effects
        .list()
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { bytes, .. } | Effect::SendShared { bytes, .. } => {
                let bytes = node.effects.bytes(*bytes);
                Some((bytes.as_ptr(), bytes.len()))
            }
            _ => None,
        })
        .collect();
    runs.sort_unstable();
    runs.dedup();
    runs.iter().map(|(_, length)| length).sum()
}

#[test]
fn a_large_payload_is_encoded_for_nobody_and_shared_by_all() {
    let share = Config::default().share_payload_bytes;
    let mut node = subscribers(100);
    node.publish(0, "t", QoS::AtLeastOnce, &vec![b'x'; share]);
    let shared = node.effects.list().iter().filter(|effect| matches!(effect, Effect::SendShared { .. })).count();
    assert_eq!((shared, node.sent()), (100, 100));
    assert!(encoded(&node) < 100 * 64, "{}", encoded(&node));
    node.publish(0, "t", QoS::AtLeastOnce, &vec![b'x'; share - 1]);
    let shared = node.effects.list().iter().filter(|effect| matches!(effect, Effect::SendShared { .. })).count();
    assert_eq!((shared, node.sent()), (0, 100));
    assert!(encoded(&node) < 2 * share, "one encoding for all: {}", encoded(&node));
}

#[test]
fn large_properties_are_encoded_once_for_all() {
    let mut node = subscribers(100);
    let value = "v".repeat(30_000);
    let mut buffer = PublishPropertiesBuffer::new();
    buffer.user_property("name", &value).expect("a property that fits");
    node.publish_with(0, "t", QoS::AtLeastOnce, b"x", |publish| {
        publish.properties = buffer.as_properties();
    });
    assert_eq!(node.sent(), 100);
    assert!(encoded(&node) < 2 * value.len(), "{}", encoded(&node));
}

#[test]
fn one_message_for_very_many_who_are_away_is_kept_once() {
    const SESSIONS: u32 = 10_000;
    let mut node = subscribers(SESSIONS);
    for slot in 1..=SESSIONS {
        node.leave(slot);
    }
    let before = node.core.statistics().memory_bytes;
    let start = Instant::now();
    node.publish(0, "t", QoS::AtLeastOnce, &[b'x'; 1000]);
    println!("one publication for {SESSIONS} sessions that are away: {:?}", start.elapsed());
    let statistics = node.core.statistics();
    assert_eq!(statistics.queued_messages, u64::from(SESSIONS));
    let each = (statistics.memory_bytes - before) / u64::from(SESSIONS);
    assert!(each < 300, "{each} bytes a session for a message of 1,000 bytes");
}
