//! Consumers inside the node, through the handle.

use std::{
    sync::mpsc::{Receiver, channel},
    thread,
};

use selvedge_broker::{Config, PublishError, Sink};
use selvedge_codec::{Connect, QoS};
use selvedge_core::{Delivery, Message};

use crate::client::{Client, PATIENCE, TestBroker, V5};

/// A sink that passes batches on to the test.
fn sink() -> (Sink, Receiver<Vec<Delivery>>) {
    let (sender, receiver) = channel();
    (Box::new(move |batch| drop(sender.send(batch))), receiver)
}

fn next(receiver: &Receiver<Vec<Delivery>>) -> Vec<Delivery> {
    receiver.recv_timeout(PATIENCE).expect("a batch")
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(delivery.message.payload()).expect("text")
}

#[test]
fn a_consumer_gets_batches_acknowledges_and_publishes_in_the_same_step() {
    let broker = TestBroker::start();
    let (sink, batches) = sink();
    let attachment = broker.handle.attach("$node/fn/one", 2, vec![("in/#".to_owned(), QoS::AtLeastOnce)], sink);
    let mut client = Client::connect(broker.tcp(), V5, "c");
    client.subscribe("out", QoS::AtMostOnce);
    for number in 1..=5_u16 {
        client.publish_completely("in/a", format!("message {number}").as_bytes(), QoS::AtLeastOnce, number);
    }
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let batch = next(&batches);
        assert!(batch.len() <= 2, "no more than the receive maximum");
        let packet_ids = batch.iter().filter_map(|delivery| delivery.packet_id).collect();
        let outputs = batch
            .iter()
            .map(|delivery| {
                seen.push(text(delivery).to_owned());
                Message::new("out", text(delivery).to_uppercase(), QoS::AtMostOnce, false)
            })
            .collect();
        attachment.acknowledge(packet_ids, outputs);
    }
    for number in 1..=5 {
        assert_eq!(seen[number - 1], format!("message {number}"));
        assert_eq!(client.receive().publish().1, format!("MESSAGE {number}").as_bytes());
    }
    broker.wait_for("all to be acknowledged", |snapshot| snapshot.core.queued_messages == 0);
}

#[test]
fn messages_of_one_turn_come_in_one_batch() {
    // As long a turn as it takes, on however busy a machine.
    let config = Config { turn_share: PATIENCE, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let (sink, batches) = sink();
    let _attachment = broker.handle.attach("$node/fn/batch", 1000, vec![("t".to_owned(), QoS::AtMostOnce)], sink);
    let messages = (0..100).map(|n: u32| Message::new("t", n.to_be_bytes().to_vec(), QoS::AtMostOnce, false)).collect();
    broker.handle.publish(messages).expect("taken");
    assert_eq!(next(&batches).len(), 100);
}

#[test]
fn a_session_outlives_its_attachment_unless_it_detaches() {
    let broker = TestBroker::start();
    let subscriptions = || vec![("t".to_owned(), QoS::AtLeastOnce)];
    let publish = |text: &str| {
        let message = Message::new("t", text.to_owned(), QoS::AtLeastOnce, false);
        broker.handle.publish(vec![message]).expect("taken");
    };
    let (first_sink, first) = sink();
    let attachment = broker.handle.attach("$node/fn/kept", 10, subscriptions(), first_sink);
    publish("one");
    assert_eq!(text(&next(&first)[0]), "one");
    drop(attachment);
    publish("two");
    let (second_sink, second) = sink();
    let attachment = broker.handle.attach("$node/fn/kept", 10, subscriptions(), second_sink);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(next(&second).iter().map(|delivery| text(delivery).to_owned()));
    }
    assert_eq!(seen, ["one", "two"], "the first was never acknowledged");
    attachment.detach();
    publish("three");
    let (third_sink, third) = sink();
    let _attachment = broker.handle.attach("$node/fn/kept", 10, subscriptions(), third_sink);
    publish("four");
    assert_eq!(text(&next(&third)[0]), "four");
    assert_eq!(broker.statistics().shell.attachments, 1);
}

#[test]
fn subscriptions_of_a_consumer_can_change() {
    let broker = TestBroker::start();
    let (sink, batches) = sink();
    let attachment = broker.handle.attach("$node/fn/change", 10, Vec::new(), sink);
    let publish = |topic: &str| {
        broker.handle.publish(vec![Message::new(topic, "x", QoS::AtMostOnce, false)]).expect("taken");
    };
    publish("a");
    attachment.set_subscriptions(vec![("b".to_owned(), QoS::AtMostOnce), ("c".to_owned(), QoS::AtMostOnce)]);
    publish("b");
    assert_eq!(next(&batches)[0].message.topic(), "b");
    attachment.set_subscriptions(vec![("c".to_owned(), QoS::AtMostOnce)]);
    publish("b");
    publish("c");
    assert_eq!(next(&batches)[0].message.topic(), "c");
}

#[test]
fn a_consumer_that_resumes_has_the_subscriptions_it_had() {
    let broker = TestBroker::start();
    let subscriptions = vec![("a".to_owned(), QoS::AtLeastOnce), ("b".to_owned(), QoS::AtLeastOnce)];
    drop(broker.handle.attach("$node/fn/resumed", 10, subscriptions, Box::new(drop)));
    let (sink, batches) = sink();
    let attachment = broker.handle.resume("$node/fn/resumed", 10, sink);
    let publish = |topic: &str| {
        broker.handle.publish(vec![Message::new(topic, "x", QoS::AtLeastOnce, false)]).expect("taken");
    };
    publish("b");
    assert_eq!(next(&batches)[0].message.topic(), "b");
    attachment.set_subscriptions(vec![("a".to_owned(), QoS::AtLeastOnce)]);
    publish("b");
    publish("a");
    assert_eq!(next(&batches)[0].message.topic(), "a");
}

#[test]
fn publications_of_other_threads_reach_clients() {
    let broker = TestBroker::start();
    let mut subscriber = Client::open(broker.tcp(), V5);
    subscriber.handshake(&Connect { receive_maximum: None, ..Connect::new(V5, "s", true) });
    subscriber.subscribe("#", QoS::AtMostOnce);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = broker.handle.clone();
            thread::spawn(move || {
                for number in 0..250_u32 {
                    let topic = format!("t/{thread}");
                    let message = Message::new(&topic, number.to_be_bytes().to_vec(), QoS::AtMostOnce, false);
                    handle.publish(vec![message]).expect("taken");
                }
            })
        })
        .collect();
    let mut expected = [0_u32; 4];
    for _ in 0..1000 {
        let (topic, payload, ..) = subscriber.receive().publish();
        let thread: usize = topic[2..].parse().expect("a number");
        assert_eq!(payload, expected[thread].to_be_bytes(), "each thread's in order");
        expected[thread] += 1;
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn publications_beyond_the_byte_limit_come_back() {
    let config = Config { command_bytes_max: 10_000, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    // The sink holds the reactor up, so that commands gather.
    let (entered, wait_entered) = channel();
    let (release, wait_release) = channel::<()>();
    let sink: Sink = Box::new(move |_| {
        let _ = entered.send(());
        let _ = wait_release.recv();
    });
    let attachment = broker.handle.attach("$node/fn/slow", 10, vec![("t".to_owned(), QoS::AtMostOnce)], sink);
    let message = |bytes: usize| Message::new("t", vec![0; bytes], QoS::AtMostOnce, false);
    broker.handle.publish(vec![message(1)]).expect("taken");
    wait_entered.recv_timeout(PATIENCE).expect("the sink runs");
    broker.handle.publish(vec![message(20_000)]).expect("a single one may be larger than the limit");
    let error = broker.handle.publish(vec![message(1)]).expect_err("full");
    assert!(matches!(error, PublishError::Full(messages) if messages.len() == 1));
    attachment.acknowledge(Vec::new(), vec![message(1)]);
    drop(release);
    while wait_entered.recv_timeout(PATIENCE).is_err() {}
    broker.wait_for("the queue to be empty", |_| broker.handle.publish(vec![message(1)]).is_ok());
}

/// A client that connects while the broker starts is served when the consumers are there, and not before.
#[test]
fn a_consumer_attached_before_the_broker_opens_misses_nothing() {
    let running = selvedge_broker::Broker {
        config: selvedge_broker::Config::default(),
        core: selvedge_core::Config::default(),
        authorizer: Box::new(selvedge_core::OpenAccess),
        authenticator: std::sync::Arc::new(selvedge_broker::AnonymousAccess),
        seed: 1,
        continuation: None,
        listeners: vec![
            selvedge_broker::Listener::bind(([127, 0, 0, 1], 0).into(), selvedge_broker::Transport::Tcp).expect("bind"),
        ],
    }
    .start()
    .expect("start");
    let mut early = std::net::TcpStream::connect(running.addresses[0]).expect("the backlog takes it");
    // CONNECT of 3.1.1 with client identifier x, and PUBLISH of "1" to t.
    let bytes = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01x\x30\x04\0\x01t1";
    std::io::Write::write_all(&mut early, bytes).expect("write");
    let (sender, deliveries) = std::sync::mpsc::channel();
    let sink = Box::new(move |batch: Vec<selvedge_core::Delivery>| sender.send(batch).expect("the test listens"));
    let _attachment = running.handle.attach("$node/fn/early", 10, vec![("t".to_owned(), QoS::AtMostOnce)], sink);
    running.handle.open();
    let batch = deliveries.recv_timeout(std::time::Duration::from_secs(10)).expect("delivered");
    assert_eq!(batch[0].message.topic(), "t");
    running.handle.shutdown(std::time::Duration::from_secs(1));
    running.join().expect("ends well");
}
