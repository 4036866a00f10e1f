//! One thing after the other over a restart: retained messages, wills, expiry, modes, what is held.

use std::sync::Arc;

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, PublishProperties, QoS, Subscribe, SubscribeFilter, Unsubscribe,
    UserProperties, Will,
};
use selvedge_core::{
    Action, Authorize, Durability, DurabilityRules, Effect, Effects, Hold, Input, Interception, Interceptor, Message,
    Moment, Principal, TopicRule, Unanswered,
};

use crate::node::Node;

/// Nobody may read anything.
#[derive(Debug)]
struct NoReaders;

impl Authorize for NoReaders {
    fn may_connect(&self, _who: Principal<'_>) -> bool {
        true
    }

    fn may(&self, _who: Principal<'_>, action: Action, _topic: &str) -> bool {
        action != Action::Subscribe
    }
}

fn will(delay_s: u32) -> Will<'static> {
    Will {
        topic: "will",
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: true,
        delay_s,
        properties: PublishProperties::default(),
    }
}

#[test]
fn retained_messages_survive_as_they_were_last_set_and_expire_while_the_node_is_off() {
    let mut node = Node::start();
    let (publisher, _) = node.connect("publisher", 0, None);
    node.publish(publisher, "a", "1", true, None);
    node.publish(publisher, "a", "2", true, None);
    node.publish(publisher, "b", "3", true, None);
    node.publish(publisher, "b", "", true, None);
    node.publish(publisher, "c", "4", true, Some(10));
    node.publish(publisher, "d", "5", true, Some(100));
    node.wait(2);
    node.restart_after(9_000, DurabilityRules::default());
    let (reader, _) = node.connect("reader", 0, None);
    let mut shown = node.subscribe(reader, "#");
    shown.sort();
    assert_eq!(shown, ["a 2 retained", "d 5 retained 89s"]);
}

#[test]
fn a_session_expires_while_the_node_is_off_and_not_a_second_too_early() {
    let mut node = Node::start();
    for (client, expiry_s) in [("short", 10), ("long", 1000)] {
        let (connection, _) = node.connect(client, expiry_s, None);
        node.subscribe(connection, "t");
        node.handle(Input::Closed { connection });
    }
    node.restart_after(9_000, DurabilityRules::default());
    assert_eq!(node.core.statistics().sessions, 2);
    node.restart_after(1_000, DurabilityRules::default());
    assert_eq!(node.core.statistics().sessions, 1);
    assert_eq!(node.connect("short", 10, None).1, ["CONNACK false"]);
    assert_eq!(node.connect("long", 10, None).1, ["CONNACK true"]);
}

#[test]
fn a_client_that_was_there_at_a_crash_counts_as_lost_at_the_start_and_only_once() {
    let mut node = Node::start();
    node.connect("client", 100, None);
    node.restart_after(1_000_000, DurabilityRules::default());
    node.wait(60);
    node.restart_after(30_000, DurabilityRules::default());
    assert_eq!(node.core.statistics().sessions, 1);
    node.wait(10);
    assert_eq!(node.core.statistics().sessions, 0, "the hundred seconds were not begun anew");
}

#[test]
fn a_delayed_will_is_published_after_a_restart_once_and_not_if_its_client_came_back() {
    let mut node = Node::start();
    for client in ["lost", "back"] {
        let (connection, _) = node.connect(client, 1000, Some(will(20)));
        node.handle(Input::Closed { connection });
    }
    let (reader, _) = node.connect("reader", 1000, None);
    node.subscribe(reader, "will");
    node.restart_after(15_000, DurabilityRules::default());
    let (back, _) = node.connect("back", 1000, None);
    let (reader, _) = node.connect("reader", 1000, None);
    assert_eq!(node.wait(4), Vec::<String>::new());
    assert_eq!(node.wait(1), ["will gone"]);
    node.handle(Input::Closed { connection: back });
    node.handle(Input::Closed { connection: reader });
    node.restart_after(100_000, DurabilityRules::default());
    assert_eq!(node.core.statistics().wills_published, 0);
}

#[test]
fn a_session_that_comes_back_to_end_with_its_connection_lets_go_of_all_that_was_kept_for_it() {
    for acknowledged in [0, 1, 3] {
        let mut node = Node::start();
        let (reader, _) = node.connect("reader", 1000, None);
        node.subscribe(reader, "t");
        node.handle(Input::Closed { connection: reader });
        let (publisher, _) = node.connect("publisher", 0, None);
        for payload in ["1", "2", "3"] {
            node.publish(publisher, "t", payload, false, None);
        }
        assert_eq!(node.journal.held(), 3);
        let (reader, shown) = node.connect("reader", 0, None);
        assert_eq!(shown, ["CONNACK true", "t 1", "t 2", "t 3"]);
        for packet_id in 1..=acknowledged {
            let ack = Packet::PubAck(selvedge_codec::Ack::success(PacketId::new(packet_id).unwrap()));
            node.handle(Input::Packet { connection: reader, packet: ack });
        }
        assert_eq!(node.journal.held(), 3 - usize::from(acknowledged));
        node.handle(Input::Closed { connection: reader });
        assert_eq!(node.journal.held(), 0, "{acknowledged} were acknowledged");
    }
}

#[test]
fn a_clock_that_went_back_makes_nothing_expire() {
    let mut node = Node::start();
    let (connection, _) = node.connect("client", 10, None);
    node.handle(Input::Closed { connection });
    node.wall_ms = 0;
    node.restart_after(5_000, DurabilityRules::default());
    assert_eq!(node.core.statistics().sessions, 1);
}

#[test]
fn where_nothing_is_kept_any_more_what_was_kept_ends_and_its_place_is_free() {
    let mut node = Node::start();
    let (connection, _) = node.connect("client", 1000, None);
    node.subscribe(connection, "t");
    node.handle(Input::Closed { connection });
    let (publisher, _) = node.connect("publisher", 0, None);
    node.publish(publisher, "t", "1", true, None);
    let memory = DurabilityRules { default: Durability::Memory, ..DurabilityRules::default() };
    node.restart_after(0, memory.clone());
    assert_eq!((node.core.statistics().sessions, node.core.statistics().retained_messages), (0, 0));
    let (connection, _) = node.connect("client", 1000, None);
    node.handle(Input::Closed { connection });
    node.restart_after(0, memory);
    assert_eq!(node.core.statistics().sessions, 0);
    let (restored, _) = node.journal.crash(0);
    assert_eq!(restored.sessions(), 0);
}

#[test]
fn messages_in_order_wait_for_a_session_and_the_first_of_them_is_in_flight_again() {
    let mut node = Node::start();
    let (reader, _) = node.connect("reader", 1000, None);
    node.subscribe(reader, "t");
    let (publisher, _) = node.connect("publisher", 0, None);
    for number in 0..30 {
        node.publish(publisher, "t", &number.to_string(), false, (number == 25).then_some(5));
    }
    node.restart_after(6_000, DurabilityRules::default());
    assert_eq!(node.core.statistics().queued_messages, 19, "one has expired");
    let (reader, shown) = node.connect("reader", 1000, None);
    let expected: Vec<String> = (0..10).map(|number| format!("t {number}")).collect();
    assert_eq!((&*shown[0], &shown[1..]), ("CONNACK true", &*expected));
    let mut rest = Vec::new();
    for packet_id in (1..=10).chain(11..=29) {
        let ack = Packet::PubAck(selvedge_codec::Ack::success(PacketId::new(packet_id).unwrap()));
        rest.extend(node.handle(Input::Packet { connection: reader, packet: ack }));
    }
    let expected: Vec<String> = (10..30).filter(|number| *number != 25).map(|number| format!("t {number}")).collect();
    assert_eq!(rest, expected);
}

#[test]
fn what_waited_for_a_consumer_inside_the_node_is_not_judged_by_the_rules_for_clients() {
    let mut node = Node::start();
    let (consumer, _) = node.attach("function", "t");
    node.handle(Input::Closed { connection: consumer });
    let (client, _) = node.connect("client", 1000, None);
    node.subscribe(client, "t");
    node.handle(Input::Closed { connection: client });
    let (publisher, _) = node.connect("publisher", 0, None);
    node.publish(publisher, "t", "1", false, None);
    node.restart_with(0, DurabilityRules::default(), Box::new(NoReaders));
    assert_eq!(node.attach("function", "t").1, ["t 1"]);
    assert_eq!(node.connect("client", 1000, None).1, ["CONNACK true"]);
    assert_eq!(node.core.statistics().queued_messages, 0);
}

#[test]
fn a_session_that_is_new_after_a_restart_is_not_taken_for_an_older_one() {
    let mut node = Node::start();
    for client in ["first", "second"] {
        node.connect(client, 1000, None);
        node.restart_after(0, DurabilityRules::default());
    }
    assert_eq!(node.core.statistics().sessions, 2);
    assert_eq!(node.connect("first", 1000, None).1, ["CONNACK true"]);
    assert_eq!(node.connect("second", 1000, None).1, ["CONNACK true"]);
}

#[test]
fn a_session_that_a_clean_start_ended_does_not_come_back_with_a_restart_and_its_messages_are_let_go() {
    let mut node = Node::start();
    let (connection, _) = node.connect("client", 1000, None);
    node.subscribe(connection, "t");
    let (publisher, _) = node.connect("publisher", 0, None);
    assert_eq!(node.publish(publisher, "t", "in flight", false, None), ["t in flight", "PUBACK Success"]);
    node.handle(Input::Closed { connection });
    node.publish(publisher, "t", "queued", false, None);
    let clean = Connect { session_expiry_s: Some(1000), ..Connect::new(ProtocolVersion::V5, "client", true) };
    node.connect_as(clean);
    node.restart_after(0, DurabilityRules::default());
    let statistics = node.core.statistics();
    assert_eq!((statistics.sessions, statistics.subscriptions), (1, 0));
}

#[test]
fn a_subscription_that_was_given_up_does_not_come_back_with_a_restart() {
    let mut node = Node::start();
    let (connection, _) = node.connect("client", 1000, None);
    node.subscribe(connection, "kept");
    node.subscribe(connection, "given/up");
    let packet = Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: Default::default(),
        filters: ["given/up"].into_iter().collect(),
    });
    node.handle(Input::Packet { connection, packet });
    node.restart_after(0, DurabilityRules::default());
    assert_eq!(node.core.statistics().subscriptions, 1);
    let (publisher, _) = node.connect("publisher", 0, None);
    assert_eq!(node.publish(publisher, "kept", "1", false, None), ["PUBACK Success"]);
    assert_eq!(node.publish(publisher, "given/up", "2", false, None), ["PUBACK NoMatchingSubscribers"]);
}

#[test]
fn what_is_to_be_kept_in_memory_only_is_gone_after_a_restart_and_the_rest_is_not() {
    let telemetry =
        TopicRule { filter: "telemetry".to_owned(), durability: Some(Durability::Memory), ..TopicRule::default() };
    let rules = DurabilityRules { topics: vec![telemetry], ..DurabilityRules::default() };
    let mut node = Node::start_with(rules.clone());
    let (connection, _) = node.connect("client", 1000, None);
    node.subscribe(connection, "#");
    node.handle(Input::Closed { connection });
    let (publisher, _) = node.connect("publisher", 0, None);
    node.publish(publisher, "telemetry", "1", false, None);
    node.publish(publisher, "alarm", "2", false, None);
    assert_eq!(node.core.statistics().queued_messages, 2);
    node.restart_after(0, rules);
    assert_eq!(node.connect("client", 1000, None).1, ["CONNACK true", "alarm 2"]);
}

#[test]
fn what_is_held_at_a_crash_was_never_there_and_what_was_answered_stays() {
    let mut node = Node::start();
    let interceptor = Interceptor { filter: "a".into(), timeout_ms: 1000, unanswered: Unanswered::Passes };
    let (reader, _) = node.connect("reader", 1000, None);
    node.subscribe(reader, "#");
    node.handle(Input::Closed { connection: reader });
    node.handle(Input::SetInterceptors { interceptors: vec![interceptor.clone()] });
    let (publisher, _) = node.connect("publisher", 0, None);
    assert_eq!(node.publish(publisher, "a", "held", false, None), [""; 0], "it is not acknowledged");
    node.restart_after(1_000, DurabilityRules::default());

    node.handle(Input::SetInterceptors { interceptors: vec![interceptor] });
    let (publisher, _) = node.connect("publisher", 0, None);
    node.publish(publisher, "a", "again", false, None);
    let outcome = Interception::Replace(vec![
        Arc::new(Message::new("b", "first", QoS::AtLeastOnce, false)),
        Arc::new(Message::new("b", "second", QoS::AtLeastOnce, false)),
    ]);
    assert_eq!(node.handle(Input::Intercepted { ticket: 1, outcome }), ["PUBACK Success"]);
    node.restart_after(1_000, DurabilityRules::default());
    let (_, shown) = node.connect("reader", 1000, None);
    assert_eq!(shown, ["CONNACK true", "b first", "b second"]);
}

/// Nobody may read what is secret.
#[derive(Debug)]
struct NoSecrets;

impl Authorize for NoSecrets {
    fn may_connect(&self, _who: Principal<'_>) -> bool {
        true
    }

    fn may(&self, _who: Principal<'_>, action: Action, topic: &str) -> bool {
        action != Action::Subscribe || !topic.starts_with("secret")
    }
}

#[test]
fn the_answer_to_many_filters_waits_for_what_an_earlier_step_left_to_be_kept() {
    let mut node = Node::start();
    node.restart_with(0, DurabilityRules::default(), Box::new(NoSecrets));
    let (reader, _) = node.connect("reader", 1000, None);
    // Two steps that subscribe, and one that leaves nothing to be kept.
    let filters: Vec<String> = (0..128)
        .map(|number| format!("open/{number}"))
        .chain((0..40).map(|number| format!("secret/{number}")))
        .collect();
    let packet = Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::EMPTY,
        filters: filters.iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce)).collect(),
    });
    node.handle(Input::Packet { connection: reader, packet });
    let mut kept = Vec::new();
    let hold = loop {
        let mut effects = Effects::new();
        node.core.handle(Input::Tick, Moment::default(), &mut effects);
        kept.push(node.core.kept_bytes() > 0);
        if let Some(taken) = node.core.take_kept() {
            node.journal.append(taken);
        }
        let answer = effects.list().iter().find_map(|effect| match effect {
            Effect::Send { hold, .. } => Some(*hold),
            _ => None,
        });
        if let Some(hold) = answer {
            break hold;
        }
    };
    assert_eq!((kept, hold), (vec![true, true, false], Hold::Barrier));
    // Before the answer was sent the power may go: the client has been told nothing.
    node.journal.sync(1 << 30);
    node.restart_with(0, DurabilityRules::default(), Box::new(NoSecrets));
    assert_eq!(node.core.statistics().subscriptions, 128);
}
