//! What names many filters is handled in steps, between which everybody else is served.

use selvedge_codec::{
    Packet, PacketId, ProtocolVersion, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe,
};
use selvedge_core::{Config, Effect, Input, Moment};

use crate::driver::{NOW, Node, id};

/// A SUBSCRIBE at QoS 0.
fn subscribe(node: &mut Node, slot: u32, filters: &[String]) {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter, QoS::AtMostOnce)).collect();
    let packet = Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: Default::default(),
        filters,
    };
    node.begin(Input::Packet { connection: id(slot), packet: Packet::Subscribe(packet) });
}

fn unsubscribe(node: &mut Node, slot: u32, filters: &[String]) {
    let filters = filters.iter().map(String::as_str).collect();
    let packet = Unsubscribe { packet_id: PacketId::MIN, filters, user_properties: Default::default() };
    node.begin(Input::Packet { connection: id(slot), packet: Packet::Unsubscribe(packet) });
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}/{number}/+")).collect()
}

fn tick(node: &mut Node) {
    node.begin(Input::Tick);
    assert_eq!(node.core.audit(), Ok(()));
}

fn goes_on(node: &Node) -> bool {
    node.core.next_deadline() == Some(Moment::default())
}

fn ticks_to_the_end(node: &mut Node) -> usize {
    (0..)
        .take_while(|_| {
            goes_on(node) && {
                tick(node);
                true
            }
        })
        .count()
}

/// The answer among the last effects: the reasons of a SUBACK or UNSUBACK.
fn answer(node: &Node) -> Option<Vec<ReasonCode>> {
    node.effects.list().iter().find_map(|effect| match effect {
        Effect::Send { bytes, .. } => {
            match selvedge_codec::decode(ProtocolVersion::V5, node.effects.bytes(*bytes)).unwrap() {
                Packet::SubAck(answer) => Some(answer.reasons.iter().collect()),
                Packet::UnsubAck(answer) => Some(answer.reasons.iter().collect()),
                _ => None,
            }
        }
        _ => None,
    })
}

/// Topics of what was sent to `slot` with the last effects, and whether as retained.
fn topics(node: &Node, slot: u32) -> Vec<(String, bool)> {
    let packet = |effect: &Effect| match effect {
        Effect::Send { connection, bytes, .. } if *connection == id(slot) => {
            match selvedge_codec::decode(ProtocolVersion::V5, node.effects.bytes(*bytes)).unwrap() {
                Packet::Publish(publish) => Some((publish.topic.to_owned(), publish.retain)),
                _ => None,
            }
        }
        _ => None,
    };
    node.effects.list().iter().filter_map(packet).collect()
}

fn has(node: &Node, wanted: impl Fn(&Effect) -> bool) -> bool {
    node.effects.list().iter().any(wanted)
}

#[test]
fn a_subscribe_of_many_filters_is_answered_once_after_steps_between_which_others_are_served() {
    let mut node = Node::new(Config::default());
    node.connect(0);
    node.connect(1);
    node.subscribe(1, "other");
    subscribe(&mut node, 0, &names("f", 1200));
    assert!(has(&node, |effect| matches!(effect, Effect::Pause { connection } if *connection == id(0))));
    assert_eq!((answer(&node), node.core.statistics().subscriptions), (None, 1));
    let mut steps = 0;
    let reasons = loop {
        let before = node.core.statistics().subscriptions;
        tick(&mut node);
        steps += 1;
        let done = node.core.statistics().subscriptions - before;
        assert!(done <= 64, "{done} filters in one step");
        if let Some(reasons) = answer(&node) {
            break reasons;
        }
        node.publish(1, "other", QoS::AtMostOnce, b"x");
        assert_eq!(node.sent(), 1, "somebody else is served");
        node.publish(1, "f/0/x", QoS::AtMostOnce, b"x");
        assert_eq!(topics(&node, 0), [("f/0/x".to_owned(), false)], "what is subscribed to comes already");
    };
    assert_eq!(steps, 1000_usize.div_ceil(64));
    assert!(has(&node, |effect| matches!(effect, Effect::GoOn { connection } if *connection == id(0))));
    assert!(!goes_on(&node));
    assert!(reasons[..1000].iter().all(|reason| *reason == ReasonCode::Success));
    assert!(reasons.len() == 1200 && reasons[1000..].iter().all(|reason| *reason == ReasonCode::QuotaExceeded));

    unsubscribe(&mut node, 0, &names("f", 1200));
    assert_eq!(answer(&node), None);
    assert_eq!(ticks_to_the_end(&mut node), 1200_usize.div_ceil(64));
    let reasons = answer(&node).expect("an answer at the end");
    assert!(reasons[..1000].iter().all(|reason| *reason == ReasonCode::Success));
    assert!(reasons.len() == 1200 && reasons[1000..].iter().all(|reason| *reason == ReasonCode::NoSubscriptionExisted));
    assert_eq!(node.core.statistics().subscriptions, 1);
}

#[test]
fn sixty_four_filters_are_answered_at_once_and_two_clients_with_more_take_turns() {
    let mut node = Node::new(Config::default());
    for slot in 0..3 {
        node.connect(slot);
    }
    subscribe(&mut node, 0, &names("few", 64));
    assert_eq!(answer(&node).map(|reasons| reasons.len()), Some(64));
    assert!(!goes_on(&node));
    subscribe(&mut node, 1, &names("one", 65));
    subscribe(&mut node, 2, &names("two", 65));
    let mut subscriptions = Vec::new();
    while goes_on(&node) {
        tick(&mut node);
        subscriptions.push(node.core.statistics().subscriptions - 64);
    }
    assert_eq!(subscriptions, [64, 128, 129, 130]);
}

#[test]
fn a_connection_that_is_lost_takes_with_it_what_was_not_done() {
    let mut node = Node::new(Config::default());
    node.connect(0);
    let before = node.core.statistics().memory_bytes;
    subscribe(&mut node, 0, &names("f", 500));
    assert!(node.core.statistics().memory_bytes > before + 500 * 5, "what is remembered counts");
    tick(&mut node);
    node.leave(0);
    assert_eq!(node.core.audit(), Ok(()));
    assert!(ticks_to_the_end(&mut node) <= 1, "nothing is left to do");
    assert_eq!(node.core.statistics().subscriptions, 64, "the session lasts, with what it got");
}

#[test]
fn a_packet_that_comes_all_the_same_is_handled_after_the_whole_of_the_one_before() {
    let mut node = Node::new(Config::default());
    node.connect(0);
    subscribe(&mut node, 0, &names("f", 500));
    node.begin(Input::Packet { connection: id(0), packet: Packet::PingReq });
    let sent = node.effects.list().iter().filter_map(|effect| match effect {
        Effect::Send { bytes, .. } => node.effects.bytes(*bytes).first().map(|first| first >> 4),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [9, 13], "SUBACK, then PINGRESP");
    assert!(!goes_on(&node));
}

#[test]
fn without_memory_to_remember_it_a_packet_is_handled_at_once() {
    let mut node = Node::new(Config::default());
    node.connect(0);
    node.core.set_outside_bytes(Config::default().memory_bytes_max);
    subscribe(&mut node, 0, &names("f", 500));
    let reasons = answer(&node).expect("an answer");
    assert!(reasons.len() == 500 && reasons.iter().all(|reason| *reason == ReasonCode::QuotaExceeded));
    assert!(!goes_on(&node));
}

#[test]
fn what_an_ended_session_subscribed_to_matches_nobody_and_goes_in_steps() {
    let mut node = Node::new(Config::default());
    node.connect(0);
    node.connect(1);
    let (empty, sessions) = (node.core.statistics().memory_bytes, 2);
    // Tables grow to a size that they keep.
    for round in 0..3 {
        node.connect(2);
        subscribe(&mut node, 2, &names("f", 900));
        let shared: Vec<String> = (0..64).map(|number| format!("$share/g/f/{number}/x")).collect();
        ticks_to_the_end(&mut node);
        subscribe(&mut node, 2, &shared);
        let full = node.core.statistics().memory_bytes;
        // A clean start ends the session that was there.
        let connect = selvedge_codec::Connect::new(ProtocolVersion::V5, "c2", true);
        node.leave(2);
        node.begin(Input::Connect { connection: id(2), connect: &connect, peer: Default::default() });
        assert_eq!(node.core.audit(), Ok(()));
        assert_eq!(node.core.statistics().subscriptions, 964, "they are in the tree");
        assert!(node.core.statistics().memory_bytes > full / 2, "and count");
        let answer = node.publish(0, "f/7/x", QoS::AtLeastOnce, b"x");
        assert_eq!(answer, Some(ReasonCode::NoMatchingSubscribers));
        // The new session is not the one that has ended.
        node.subscribe(2, "f/7/x");
        assert_eq!(node.publish(0, "f/7/x", QoS::AtLeastOnce, b"x"), Some(ReasonCode::Success));
        let mut left = node.core.statistics().subscriptions;
        while goes_on(&node) {
            tick(&mut node);
            let subscriptions = node.core.statistics().subscriptions;
            assert!(left - subscriptions <= 64);
            left = subscriptions;
        }
        assert_eq!(left, 1, "round {round}");
        node.leave(2);
        assert_eq!((node.core.statistics().subscriptions, node.core.statistics().sessions), (0, sessions));
    }
    let left = node.core.statistics().memory_bytes;
    assert!(left < empty + 300_000, "{left} bytes, {empty} before");
}

#[test]
fn a_step_brings_the_retained_messages_of_its_filters_and_none_after_something_newer() {
    const COUNT: usize = 1000;
    let mut node = Node::new(Config::default());
    node.connect(0);
    node.connect(1);
    let topic = |number: usize| format!("r/{number}/x");
    let publish = |node: &mut Node, number: usize, payload: &[u8], retain: bool| {
        node.publish_with(1, &topic(number), QoS::AtMostOnce, payload, |publish| publish.retain = retain);
        topics(node, 0)
    };
    for number in 0..COUNT {
        publish(&mut node, number, b"old", true);
    }
    subscribe(&mut node, 0, &names("r", COUNT));
    tick(&mut node);
    let mut came = topics(&node, 0);
    assert_eq!(came, (0..64).map(|number| (topic(number), true)).collect::<Vec<_>>());
    // Those of the first step come as they are published, the others not at all yet.
    assert_eq!(publish(&mut node, 1, b"live", false), [(topic(1), false)]);
    for (number, payload, retain) in [(900, &b"new"[..], true), (901, b"", true), (902, b"live", false)] {
        assert_eq!(publish(&mut node, number, payload, retain), []);
    }
    while goes_on(&node) {
        tick(&mut node);
        came.extend(topics(&node, 0));
    }
    let expected = (0..COUNT).filter(|number| *number != 901).map(|number| (topic(number), true));
    assert_eq!(came, expected.collect::<Vec<_>>());
    assert_eq!(node.core.statistics().queued_messages, 0);
}

#[test]
fn who_subscribes_and_leaves_again_and_again_does_not_fill_the_tree() {
    let mut node = Node::new(Config::default());
    let mut most = 0;
    for round in 0..200 {
        let connect = selvedge_codec::Connect::new(ProtocolVersion::V5, "c", true);
        node.begin(Input::Connect { connection: id(0), connect: &connect, peer: Default::default() });
        for part in 0..15 {
            // Few enough to be handled at once, and in the end so many that they go in steps, of which none comes.
            subscribe(&mut node, 0, &names(&format!("{round}/{part}"), 64));
        }
        most = most.max(node.core.statistics().subscriptions);
        node.leave(0);
    }
    assert!(most <= 2 * 15 * 64, "{most} subscriptions");
    ticks_to_the_end(&mut node);
    assert_eq!((node.core.statistics().subscriptions, node.core.audit()), (0, Ok(())));
}

#[test]
fn a_filter_that_was_there_before_is_not_answered_again_where_only_new_ones_are() {
    let mut node = Node::new(Config::default());
    node.connect(0);
    for number in 0..100 {
        let topic = format!("f/{number}/x");
        node.publish_with(0, &topic, QoS::AtMostOnce, b"x", |publish| publish.retain = true);
    }
    node.subscribe(0, "f/7/+");
    let filters = names("f", 100);
    let wanted = |filter| SubscribeFilter {
        retain_handling: RetainHandling::SendIfNew,
        ..SubscribeFilter::new(filter, QoS::AtMostOnce)
    };
    let packet = Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: Default::default(),
        filters: filters.iter().map(|filter| wanted(filter)).collect(),
    };
    node.feed(Input::Packet { connection: id(0), packet: Packet::Subscribe(packet) });
    let found = topics(&node, 0);
    assert_eq!(found.len(), 99);
    assert!(found.iter().all(|(topic, retain)| *retain && topic != "f/7/x"));
}

#[test]
fn a_client_that_is_not_read_meanwhile_does_not_count_as_silent() {
    let mut node = Node::new(Config::default());
    let connect = selvedge_codec::Connect {
        keep_alive_s: 10,
        ..selvedge_codec::Connect::new(ProtocolVersion::V5, "quiet", true)
    };
    node.feed(Input::Connect { connection: id(0), connect: &connect, peer: Default::default() });
    subscribe(&mut node, 0, &names("f", 1000));
    let later = NOW.plus_seconds(15);
    let mut effects = selvedge_core::Effects::new();
    node.core.handle(Input::Tick, later, &mut effects);
    assert!(!effects.list().iter().any(|effect| matches!(effect, Effect::Close { .. })));
    let much_later = later.plus_seconds(15);
    while node.core.next_deadline().is_some_and(|due| due <= much_later) {
        node.core.handle(Input::Tick, much_later, &mut effects);
    }
    let closed = |effect: &Effect| matches!(effect, Effect::Close { connection, .. } if *connection == id(0));
    assert!(!effects.list().iter().any(closed), "it was heard when the last step was done");
    node.core.handle(Input::Tick, much_later.plus_seconds(16), &mut effects);
    assert!(effects.list().iter().any(closed));
}
