//! Looking for retained messages is bounded for one SUBSCRIBE as a whole, and the cache of matches by what it takes.

use selvedge_codec::QoS;
use selvedge_core::Config;

use crate::driver::Node;

#[test]
fn one_subscribe_looks_at_so_much_of_the_retained_tree_and_no_more() {
    const TOPICS: u32 = 1000;
    let config = Config { subscriptions_max: 10_000, retained_messages_max: 1_000_000, ..Config::default() };
    let mut node = Node::new(config);
    node.connect(0);
    for topic in 0..TOPICS {
        node.publish_with(0, &format!("t/{topic}"), QoS::AtMostOnce, b"x", |publish| publish.retain = true);
    }
    // Each filter looks at the whole tree, 1,002 nodes: 499 do within 500,000 nodes of one packet, and 500 do not. None of
    // the messages matches, so that only the search counts.
    let filters: Vec<String> = (0..500).map(|number| format!("+/+/{number}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    node.subscribe_all(0, &filters[..490]);
    assert_eq!(node.core.statistics().cut_replays, 0);
    node.subscribe_all(0, &filters);
    assert!(node.core.statistics().cut_replays > 0);
}

#[test]
fn the_match_cache_is_bounded_in_topics_and_in_targets() {
    let mut node = Node::new(Config::default());
    for slot in 0..100 {
        node.connect(slot);
        node.subscribe(slot, "t/#");
    }
    let mut peak = 0;
    let empty = node.core.statistics().memory_bytes;
    for topic in 0..20_000 {
        node.publish(0, &format!("t/{topic:0>200}"), QoS::AtMostOnce, b"x");
        peak = peak.max(node.core.statistics().memory_bytes - empty);
    }
    // 65,536 targets, or 4,096 topics of 256 bytes.
    assert!(peak > 1_000_000, "the cache is used: {peak}");
    assert!(peak < 6_000_000, "the cache is bounded: {peak}");
    let (hits, misses) = (node.core.statistics().match_cache_hits, node.core.statistics().match_cache_misses);
    node.publish(0, &format!("t/{}", "x".repeat(300)), QoS::AtMostOnce, b"x");
    node.publish(0, &format!("t/{}", "x".repeat(300)), QoS::AtMostOnce, b"x");
    let statistics = node.core.statistics();
    assert_eq!(
        (statistics.match_cache_hits, statistics.match_cache_misses),
        (hits, misses + 2),
        "long topics stay out"
    );
}
