//! What goes when it is over, and what when the disk has no room.

use selvedge_codec::{Ack, Packet, PacketId};
use selvedge_core::{ConnectionId, DurabilityRules, Input, Priority, TopicRule};

use crate::node::Node;

fn rules() -> DurabilityRules {
    let rule = |filter: &str, priority, time_to_live_s| TopicRule {
        filter: filter.to_owned(),
        priority,
        time_to_live_s,
        ..TopicRule::default()
    };
    let topics = vec![
        rule("low/#", Priority::Low, None),
        rule("high/#", Priority::High, None),
        rule("short/#", Priority::Normal, Some(30)),
    ];
    DurabilityRules { topics, ..DurabilityRules::default() }
}

/// A node with a session that is away and wants everything, and a publisher.
fn node_with_reader() -> (Node, ConnectionId) {
    let mut node = Node::start_with(rules());
    let (reader, _) = node.connect("reader", 10_000, None);
    node.subscribe(reader, "+/#");
    node.handle(Input::Closed { connection: reader });
    let (publisher, _) = node.connect("publisher", 0, None);
    (node, publisher)
}

/// What the reader gets when it comes back, acknowledging everything.
fn read(node: &mut Node) -> Vec<String> {
    let (reader, mut shown) = node.connect("reader", 10_000, None);
    let mut packet_id = 0;
    while packet_id < node.core.statistics().publishes_sent[1] {
        packet_id += 1;
        let ack = Packet::PubAck(Ack::success(PacketId::new(packet_id as u16).expect("not 0")));
        shown.extend(node.handle(Input::Packet { connection: reader, packet: ack }));
    }
    shown
}

#[test]
fn without_room_what_is_low_is_given_up_for_what_is_not_and_nothing_of_the_same_priority() {
    const TAKEN: [&str; 1] = ["PUBACK Success"];
    const REFUSED: [&str; 1] = ["PUBACK QuotaExceeded"];
    let (mut node, publisher) = node_with_reader();
    for number in 0..300 {
        assert_eq!(node.publish(publisher, "low/a", &format!("{number:>2000}"), false, None), TAKEN);
    }
    assert_eq!(node.publish(publisher, "normal/a", "first", false, None), TAKEN);
    // Priorities are kept.
    node.restart_after(1000, rules());
    let (publisher, _) = node.connect("publisher", 0, None);
    node.core.set_disk_room(false);
    assert_eq!(node.publish(publisher, "low/a", "x", false, None), REFUSED);
    assert_eq!(node.core.statistics().dropped_priority, 0);
    assert_eq!(node.publish(publisher, "normal/a", "second", false, None), TAKEN);
    let given_up = node.core.statistics().dropped_priority;
    assert!((100..150).contains(&given_up), "{given_up} make up for one large piece");
    let mut taken = 0;
    while node.publish(publisher, "normal/b", &"x".repeat(5000), false, None) == TAKEN {
        taken += 1;
    }
    // 300 messages of 2,261 bytes make up for so many of 5,264, with what each costs beside its payload.
    assert_eq!(taken, 128);
    assert_eq!(node.core.statistics().dropped_priority, 300, "all that is low");
    assert_eq!(node.publish(publisher, "high/a", &"x".repeat(6000), false, None), TAKEN);
    let given_up = node.core.statistics().dropped_priority - 300;
    assert!(given_up > 0, "what is normal goes for what is high");
    node.restart_after(1000, rules());
    let read = read(&mut node);
    assert!(read.iter().all(|shown| !shown.starts_with("low/")), "{read:?}");
    assert_eq!(read.len() as u64, 1 + 2 + taken + 1 - given_up, "CONNACK, and what was taken and not given up");
    assert!(read.last().is_some_and(|shown| shown.starts_with("high/a")));
}

#[test]
fn without_anything_low_nothing_is_given_up() {
    let (mut node, publisher) = node_with_reader();
    node.publish(publisher, "normal/a", "kept", false, None);
    node.core.set_disk_room(false);
    assert_eq!(node.publish(publisher, "normal/a", "x", false, None), ["PUBACK QuotaExceeded"]);
    assert_eq!(node.core.statistics().refused_disk, 1);
    node.core.set_disk_room(true);
    assert_eq!(node.publish(publisher, "normal/a", "again", false, None), ["PUBACK Success"]);
    assert_eq!(read(&mut node), ["CONNACK true", "normal/a kept", "normal/a again"]);
}

#[test]
fn what_is_over_goes_also_where_nobody_comes_for_it() {
    let (mut node, publisher) = node_with_reader();
    for number in 0..600 {
        node.publish(publisher, "a", &format!("{number:>1000}"), false, (number % 2 == 0).then_some(50));
    }
    assert_eq!(node.core.statistics().queued_messages, 600);
    node.wait(49);
    assert_eq!(node.core.statistics().queued_messages, 600);
    node.wait(62);
    assert!(node.core.statistics().queued_messages < 600 - 150, "most of it was on disk only");
    assert_eq!(node.core.audit(), Ok(()));
    let read = read(&mut node);
    assert_eq!(read.len(), 1 + 300);
}

#[test]
fn a_topic_may_say_for_how_long_its_messages_live() {
    let (mut node, publisher) = node_with_reader();
    node.publish(publisher, "short/a", "own", false, Some(10));
    node.publish(publisher, "short/a", "longer", false, Some(1000));
    node.publish(publisher, "short/a", "none", false, None);
    node.publish(publisher, "a", "free", false, None);
    node.wait(5);
    let shown = read(&mut node);
    assert_eq!(shown, ["CONNACK true", "short/a own 5s", "short/a longer 25s", "short/a none 25s", "a free"]);
}
