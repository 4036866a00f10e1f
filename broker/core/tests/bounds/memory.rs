//! The memory budget of the node: nobody makes it hold more, hogs give way, and the others go on.

use std::sync::Arc;

use selvedge_codec::{Packet, PacketId, ProtocolVersion, QoS, ReasonCode};
use selvedge_core::{CloseCause, Config, Effect, Input, Message, OverflowRule};

use crate::driver::{Node, id};

const BUDGET: usize = 4 * 1024 * 1024;

fn config() -> Config {
    Config { memory_bytes_max: BUDGET, queue_bytes_max: 64 * BUDGET, ..Config::default() }
}

/// Client 0 publishes, the others are subscribed to `t/{slot}` and `all`, and away.
fn node(others: u32) -> Node {
    let mut node = Node::new(config());
    node.connect(0);
    for slot in 1..=others {
        node.connect(slot);
        node.subscribe(slot, &format!("t/{slot}"));
        node.subscribe(slot, "all");
        node.leave(slot);
    }
    node
}

/// Queues messages of 10,000 bytes for client 1, as many as fit into three quarters of the budget; gives how many.
fn fill(node: &mut Node) -> u64 {
    while held(node) + 10_400 <= BUDGET / 4 * 3 {
        assert_eq!(node.publish(0, "t/1", QoS::AtLeastOnce, &[b'x'; 10_000]), Some(ReasonCode::Success));
    }
    assert_eq!(node.core.statistics().dropped_memory, 0, "what fits is kept");
    node.core.statistics().queued_messages
}

fn held(node: &mut Node) -> usize {
    node.core.statistics().memory_bytes as usize
}

#[test]
fn a_hog_gives_way_and_the_others_are_served() {
    let mut node = node(10);
    let payload = vec![b'x'; 10_000];
    let soft = BUDGET / 4 * 3;
    fill(&mut node);
    // With what comes next it gives up its oldest messages, so that three quarters are not exceeded.
    for dropped in 0..10 {
        assert_eq!(node.publish(0, "t/1", QoS::AtLeastOnce, &payload), Some(ReasonCode::Success));
        assert!(node.core.statistics().dropped_memory >= dropped);
        assert!(held(&mut node) <= soft + 200, "{}", held(&mut node));
    }
    // The others have their share of the last quarter, without any loss.
    let dropped = node.core.statistics().dropped_memory;
    let queued = node.core.statistics().queued_messages;
    for _ in 0..9 {
        assert_eq!(node.publish(0, "t/2", QoS::AtLeastOnce, &payload), Some(ReasonCode::Success));
    }
    let statistics = node.core.statistics();
    assert_eq!((statistics.dropped_memory, statistics.queued_messages), (dropped, queued + 9));
    assert!(held(&mut node) > soft);
    // And the next message for the hog makes room for what they took.
    node.publish(0, "t/1", QoS::AtLeastOnce, &payload);
    assert!(held(&mut node) <= soft + 200, "{}", held(&mut node));
    assert!(node.core.statistics().dropped_memory >= dropped + 9);
    assert_eq!(node.core.audit(), Ok(()));
}

#[test]
fn a_hog_that_gets_nothing_more_leaves_the_others_their_share() {
    let mut node = node(10);
    let payload = vec![b'x'; 10_000];
    fill(&mut node);
    let share = BUDGET / 4 / 11;
    for slot in 2..=10 {
        for _ in 0..share / (payload.len() + 1000) {
            assert_eq!(node.publish(0, &format!("t/{slot}"), QoS::AtLeastOnce, &payload), Some(ReasonCode::Success));
        }
    }
    assert_eq!(node.core.statistics().dropped_memory, 0);
    assert!(held(&mut node) <= BUDGET);
}

#[test]
fn where_the_rule_is_to_disconnect_the_hog_loses_its_session() {
    let mut node = Node::new(Config { overflow: OverflowRule::Disconnect, ..config() });
    node.connect(0);
    node.connect(1);
    node.subscribe(1, "t/1");
    node.leave(1);
    let payload = vec![b'x'; 10_000];
    fill(&mut node);
    node.publish(0, "t/1", QoS::AtLeastOnce, &payload);
    node.publish(0, "t/1", QoS::AtLeastOnce, &payload);
    let statistics = node.core.statistics();
    assert_eq!((statistics.sessions, statistics.queued_messages), (1, 0));
}

#[test]
fn at_the_limit_what_would_have_to_be_kept_is_refused_and_the_rest_goes_on() {
    let mut node = node(2);
    node.connect(3);
    node.subscribe(3, "live");
    node.connect_as(4, ProtocolVersion::V311);
    let before = held(&mut node);
    node.core.set_outside_bytes(BUDGET - before - 500);
    assert_eq!(node.publish(0, "t/1", QoS::AtLeastOnce, &[b'x'; 1000]), Some(ReasonCode::QuotaExceeded));
    assert_eq!(node.publish(0, "t/1", QoS::ExactlyOnce, &[b'x'; 1000]), Some(ReasonCode::QuotaExceeded));
    assert_eq!(node.publish(0, "nobody", QoS::AtLeastOnce, &[b'x'; 1000]), Some(ReasonCode::NoMatchingSubscribers));
    node.publish(0, "live", QoS::AtMostOnce, &[b'x'; 1000]);
    assert_eq!(node.sent(), 1, "what is only passed on takes no memory");
    node.publish(4, "t/1", QoS::AtLeastOnce, &[b'x'; 1000]);
    let closed = |effect: &Effect| matches!(effect, Effect::Close { cause: CloseCause::QuotaExceeded, .. });
    assert!(node.effects.list().iter().all(closed) && node.effects.len() == 1, "{:?}", node.effects.list());
    assert_eq!(node.core.statistics().refused_memory, 3);
    node.core.set_outside_bytes(0);
    assert_eq!(node.publish(0, "t/1", QoS::AtLeastOnce, &[b'x'; 1000]), Some(ReasonCode::Success));
}

#[test]
fn what_the_node_itself_publishes_is_queued_up_to_the_limit_and_not_beyond() {
    const ENTRY_BYTES: usize = 96;
    let mut node = node(1);
    let publish = |node: &mut Node| {
        let message = Arc::new(Message::new("t/1", vec![b'x'; 1000], QoS::AtLeastOnce, false));
        let cost = message.cost_bytes();
        node.feed(Input::Publish { message });
        cost
    };
    let cost = publish(&mut node);
    let before = held(&mut node);
    node.core.set_outside_bytes(BUDGET - before - cost - ENTRY_BYTES + 1);
    publish(&mut node);
    assert_eq!((node.core.statistics().queued_messages, node.core.statistics().dropped_memory), (1, 1));
    node.core.set_outside_bytes(BUDGET - before - cost - ENTRY_BYTES);
    publish(&mut node);
    assert_eq!((node.core.statistics().queued_messages, node.core.statistics().dropped_memory), (2, 1));
}

#[test]
fn new_sessions_subscriptions_retained_messages_and_aliases_are_refused_at_the_limit() {
    let mut node = node(1);
    let before = held(&mut node);
    node.core.set_outside_bytes(BUDGET - before - 100);
    assert_eq!(node.connect(5), Some(ReasonCode::QuotaExceeded));
    assert_eq!(node.subscribe(0, "a/new/filter"), Some(ReasonCode::QuotaExceeded));
    let retain = |publish: &mut selvedge_codec::Publish<'_>| publish.retain = true;
    assert_eq!(node.publish_with(0, "r", QoS::AtLeastOnce, b"x", retain), Some(ReasonCode::QuotaExceeded));
    assert_eq!(node.core.statistics().retained_messages, 0);
    let alias = |publish: &mut selvedge_codec::Publish<'_>| publish.properties.topic_alias = Some(1);
    node.publish_with(0, "alias/of/a/topic", QoS::AtMostOnce, b"x", alias);
    assert!(node.effects.list().iter().any(|effect| matches!(effect, Effect::Close { .. })));
    assert_eq!(node.core.statistics().refused_memory, 4);
    node.core.set_outside_bytes(0);
    assert_eq!(node.connect(5), Some(ReasonCode::Success));
    assert_eq!(node.subscribe(5, "a/new/filter"), Some(ReasonCode::GrantedQoS2));
    assert_eq!(node.publish_with(5, "r", QoS::AtLeastOnce, b"x", retain), Some(ReasonCode::NoMatchingSubscribers));
}

#[test]
fn replacing_a_retained_message_by_a_smaller_one_works_at_the_limit() {
    let mut node = node(0);
    let retain = |publish: &mut selvedge_codec::Publish<'_>| publish.retain = true;
    node.publish_with(0, "r", QoS::AtLeastOnce, &[b'x'; 5000], retain);
    let before = held(&mut node);
    node.core.set_outside_bytes(BUDGET - before);
    let answer = node.publish_with(0, "r", QoS::AtMostOnce, &[b'y'; 100], retain);
    assert_eq!((answer, node.core.statistics().refused_retained), (None, 0));
    assert!(held(&mut node) < BUDGET);
}

#[test]
fn whatever_clients_do_the_budget_is_exceeded_by_one_packet_at_most() {
    let mut node = Node::new(Config { memory_bytes_max: BUDGET, packet_bytes_max: 100_000, ..Config::default() });
    // A sequence that looks random and is the same every time.
    let mut state = 1u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let payload = vec![b'x'; 90_000];
    let mut peak = 0;
    for round in 0..60_000u32 {
        let slot = random(300);
        let bytes = [0, 100, 3000, 90_000][random(4) as usize];
        let topic = format!("t/{}", random(50));
        match random(12) {
            0 | 1 => drop(node.connect(slot)),
            2 => node.leave(slot),
            3 => drop(node.subscribe(slot, &topic)),
            4 => drop(node.subscribe(slot, &format!("{topic}/{round}/+/x"))),
            5 => {
                node.publish_with(slot, &format!("{topic}/{round}"), QoS::AtLeastOnce, &payload[..bytes], |publish| {
                    publish.retain = true;
                });
            }
            6 => {
                let packet_id = PacketId::new(random(2000) as u16 + 1);
                node.publish_with(slot, &topic, QoS::ExactlyOnce, &payload[..bytes], |publish| {
                    publish.packet_id = packet_id;
                });
            }
            7 => {
                let alias = random(32) as u16 + 1;
                node.publish_with(slot, &format!("{topic}/{round}"), QoS::AtMostOnce, b"", |publish| {
                    publish.properties.topic_alias = Some(alias);
                });
            }
            8 => node.feed(Input::Congested { connection: id(slot) }),
            9 => {
                let ack = selvedge_codec::Ack::success(PacketId::MIN);
                node.feed(Input::Packet { connection: id(slot), packet: Packet::PubAck(ack) });
            }
            _ => drop(node.publish(slot, &topic, QoS::AtLeastOnce, &payload[..bytes])),
        }
        // Effects hold on to what they send; the shell lets go of it at the end of the turn.
        node.effects.clear();
        peak = peak.max(held(&mut node));
        if round % 5000 == 0 {
            assert_eq!(node.core.audit(), Ok(()));
        }
    }
    assert!(peak > BUDGET / 8 * 7, "the load reaches the budget: {peak}");
    assert!(peak <= BUDGET + 100_000, "{peak}");
    assert_eq!(node.core.audit(), Ok(()));
    for slot in 0..300 {
        let connect = selvedge_codec::Connect::new(ProtocolVersion::V5, "", true);
        let name = format!("c{slot}");
        let connect = selvedge_codec::Connect { client_id: &name, ..connect };
        let connection = selvedge_core::ConnectionId { slot: 1000 + slot, generation: 1 };
        node.feed(Input::Connect { connection, connect: &connect, peer: Default::default() });
        node.feed(Input::Closed { connection });
    }
    node.effects.clear();
    let statistics = node.core.statistics();
    assert_eq!((statistics.sessions, statistics.queued_messages), (0, 0));
    let retained = statistics.retained_bytes;
    // What is left beside them is the empty tree of filters.
    assert!(held(&mut node) as u64 <= retained + 1_000_000, "{} of {retained}", held(&mut node));
}

#[test]
fn a_client_comes_back_at_the_limit_and_takes_what_is_kept_for_it() {
    let mut node = node(1);
    for _ in 0..10 {
        node.publish(0, "t/1", QoS::AtLeastOnce, &[b'x'; 1000]);
    }
    let before = held(&mut node);
    node.core.set_outside_bytes(BUDGET - before);
    assert_eq!(node.connect(1), Some(ReasonCode::Success));
    assert_eq!(node.sent(), 10);
}
