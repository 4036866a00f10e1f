use proptest::prelude::*;

use super::*;

fn key(index: u32) -> SessionKey {
    SessionKey { index, generation: 0 }
}

fn options(qos: QoS, identifier: u32) -> SubscriptionOptions {
    SubscriptionOptions { qos, no_local: false, retain_as_published: false, identifier }
}

fn matched(tree: &TopicTree, topic: &str) -> Vec<u32> {
    let mut targets = Vec::new();
    tree.matches(topic, &mut targets);
    let mut sessions: Vec<u32> = targets
        .iter()
        .map(|target| match target {
            Target::Session(target) => target.session.index,
            Target::Shared { .. } => 1000,
        })
        .collect();
    sessions.sort_unstable();
    sessions
}

#[test]
fn filters_match_as_the_standard_says() {
    let cases = [
        ("a/b", "a/b", true),
        ("a/b", "a/b/c", false),
        ("a/+", "a/b", true),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("#", "a/b", true),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("a/+/c", "a//c", true),
        ("a/+/#", "a/b", true),
        ("a/+/#", "a", false),
    ];
    for (filter, topic, expected) in cases {
        let mut tree = TopicTree::default();
        tree.subscribe(filter, None, key(1), options(QoS::AtMostOnce, 0));
        assert_eq!(!matched(&tree, topic).is_empty(), expected, "{filter} against {topic}");
        assert_eq!(selvedge_codec::topic::matches(filter, topic), expected, "codec: {filter} against {topic}");
    }
}

#[test]
fn overlapping_subscriptions_of_one_session_come_as_one_target() {
    let mut tree = TopicTree::default();
    tree.subscribe("a/#", None, key(1), options(QoS::AtMostOnce, 1));
    tree.subscribe("a/b", None, key(1), options(QoS::ExactlyOnce, 2));
    tree.subscribe("a/+", None, key(2), options(QoS::AtLeastOnce, 3));
    let mut targets = Vec::new();
    tree.matches("a/b", &mut targets);
    assert_eq!(targets.len(), 2);
    let Some(Target::Session(first)) =
        targets.iter().find(|target| matches!(target, Target::Session(target) if target.session == key(1)))
    else {
        panic!("session 1 is missing")
    };
    let mut identifiers: Vec<u32> = first.options.iter().map(|options| options.identifier).collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 2]);
}

#[test]
fn an_emptied_tree_holds_only_its_root() {
    let mut tree = TopicTree::default();
    for index in 0..100 {
        let filter = format!("a/{index}/+/#");
        assert!(tree.subscribe(&filter, None, key(index), options(QoS::AtMostOnce, 0)));
        assert!(tree.subscribe(&filter, Some("g"), key(index), options(QoS::AtMostOnce, 0)));
    }
    for index in 0..100 {
        let filter = format!("a/{index}/+/#");
        assert!(tree.unsubscribe(&filter, None, key(index)));
        assert!(tree.unsubscribe(&filter, Some("g"), key(index)));
        assert!(!tree.unsubscribe(&filter, None, key(index)));
    }
    assert_eq!(tree.node_count(), 1);
}

fn filter() -> impl Strategy<Value = String> {
    (prop::collection::vec(prop::sample::select(vec!["a", "b", "", "+", "$s"]), 1..5), any::<bool>()).prop_map(
        |(levels, multi)| {
            let mut filter = levels.join("/");
            if multi {
                filter.push_str("/#");
            }
            filter
        },
    )
}

proptest! {
    #[test]
    fn the_tree_agrees_with_matching_each_filter(
        filters in prop::collection::vec((filter(), 0u32..6), 0..20),
        removed in prop::collection::vec(any::<bool>(), 20),
        topics in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$s"]), 1..6), 1..10),
    ) {
        let mut tree = TopicTree::default();
        let mut model = std::collections::BTreeSet::new();
        for (filter, session) in &filters {
            let new = tree.subscribe(filter, None, key(*session), options(QoS::AtMostOnce, 0));
            prop_assert_eq!(new, model.insert((filter.clone(), *session)));
        }
        for ((filter, session), removed) in filters.iter().zip(&removed) {
            if *removed {
                let there = tree.unsubscribe(filter, None, key(*session));
                prop_assert_eq!(there, model.remove(&(filter.clone(), *session)));
            }
        }
        for levels in topics {
            let topic = levels.join("/");
            if topic.is_empty() { continue; }
            let expected: std::collections::BTreeSet<u32> = model.iter()
                .filter(|(filter, _)| selvedge_codec::topic::matches(filter, &topic))
                .map(|(_, session)| *session).collect();
            prop_assert_eq!(matched(&tree, &topic), expected.into_iter().collect::<Vec<_>>(), "{}", topic);
        }
    }
}
