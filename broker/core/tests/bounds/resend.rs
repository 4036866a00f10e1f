//! What was not acknowledged goes out again in the form of a first sending, and not all at once.

use selvedge_codec::QoS;
use selvedge_core::{Config, Effect, Input};

use crate::driver::{Node, id};

/// Client 1 came back with so many messages of so many bytes in flight.
fn returned(messages: usize, bytes: usize) -> Node {
    let mut node = Node::new(Config::default());
    node.connect(0);
    node.connect(1);
    node.subscribe(1, "t");
    for _ in 0..messages {
        node.publish(0, "t", QoS::AtLeastOnce, &vec![b'x'; bytes]);
        assert_eq!(node.sent(), 1);
    }
    node.leave(1);
    node.connect(1);
    node
}

fn shared(node: &Node) -> usize {
    node.effects.list().iter().filter(|effect| matches!(effect, Effect::SendShared { .. })).count()
}

#[test]
fn a_small_payload_is_copied_and_a_large_one_shared_when_it_is_sent_again() {
    let share = Config::default().share_payload_bytes;
    let node = returned(3, share - 1);
    assert_eq!((node.sent(), shared(&node)), (3, 0));
    let node = returned(3, share);
    assert_eq!((node.sent(), shared(&node)), (3, 3));
}

#[test]
fn many_messages_are_sent_again_in_parts_and_nothing_overtakes_them() {
    let mut node = returned(100, 10_000);
    let mut again = node.sent();
    assert!(again > 0 && again < 20, "{again}");
    node.publish(0, "t", QoS::AtLeastOnce, b"newer");
    assert_eq!(node.sent(), 0, "it waits behind those that are older");
    for _ in 0..100 {
        node.feed(Input::Drained { connection: id(1) });
        again += node.sent();
    }
    assert_eq!(again, 101);
}
