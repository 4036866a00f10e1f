//! The end of the broker.

use std::{
    io::ErrorKind,
    net::TcpStream,
    time::{Duration, Instant},
};

use selvedge_codec::{Packet, QoS, ReasonCode};
use selvedge_core::{Action, Authorize, Principal};

use crate::client::{Client, PATIENCE, TestBroker, V5, V311};

#[test]
fn clients_of_version_5_are_told_and_all_are_closed() {
    let broker = TestBroker::start();
    let mut five = Client::connect(broker.tcp(), V5, "five");
    let mut old = Client::connect(broker.tcp(), V311, "old");
    let mut web = Client::connect_websocket(broker.websocket(), V5, "web");
    let mut half_open = Client::open(broker.tcp(), V5);
    broker.wait_for("the half open one", |snapshot| snapshot.shell.half_open == 1);
    let address = broker.tcp();
    let stopped = std::thread::spawn(move || broker.stop(PATIENCE));
    for client in [&mut five, &mut web] {
        let told = client.receive();
        assert!(matches!(told.packet(), Packet::Disconnect(packet) if packet.reason == ReasonCode::ServerShuttingDown));
        client.finish_sending();
    }
    assert!(five.rest().is_empty() && old.rest().is_empty());
    assert_eq!(half_open.read_all(), b"");
    drop((five, old, web));
    stopped.join().expect("stopped");
    let error = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn what_was_acknowledged_is_delivered_before_the_end() {
    let broker = TestBroker::start();
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    for number in 1..=200 {
        publisher.publish_completely("t", &[number as u8; 100], QoS::AtLeastOnce, number);
    }
    let stopped = std::thread::spawn(move || broker.stop(PATIENCE));
    let rest = subscriber.rest();
    let messages = rest.iter().filter(|packet| matches!(packet.packet(), Packet::Publish(_))).count();
    assert_eq!(messages, 200);
    drop((subscriber, publisher));
    stopped.join().expect("stopped");
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_the_end_up_beyond_the_deadline() {
    let broker = TestBroker::start();
    let mut stuck = Client::connect(broker.tcp(), V5, "stuck");
    stuck.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    let payload = vec![0; 200_000];
    while broker.statistics().shell.congested == 0 {
        publisher.publish("t", &payload, QoS::AtMostOnce, 0);
    }
    let start = Instant::now();
    broker.stop(Duration::from_millis(200));
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_stopped_broker_gives_messages_back_and_answers_nothing() {
    let broker = TestBroker::start();
    let handle = broker.handle.clone();
    broker.stop(PATIENCE);
    let message = selvedge_core::Message::new("t", "payload", QoS::AtMostOnce, false);
    let error = handle.publish(vec![message]).expect_err("stopped");
    assert!(matches!(error, selvedge_broker::PublishError::Stopped(messages) if messages.len() == 1));
    assert!(handle.statistics_blocking().is_err());
}

/// Panics when it is asked about the topic `panic`.
#[derive(Debug)]
struct Fragile;

impl Authorize for Fragile {
    fn may_connect(&self, _who: Principal<'_>) -> bool {
        true
    }

    fn may(&self, _who: Principal<'_>, _action: Action, topic: &str) -> bool {
        assert_ne!(topic, "panic", "on purpose");
        true
    }
}

#[test]
fn a_panic_while_a_packet_is_handled_ends_the_broker_and_every_connection() {
    let broker = TestBroker::changed(Default::default(), Default::default(), |broker| {
        broker.authorizer = Box::new(Fragile);
    });
    let mut other = Client::connect(broker.tcp(), V5, "other");
    let mut fatal = Client::connect(broker.tcp(), V5, "fatal");
    fatal.publish("panic", b"", QoS::AtMostOnce, 0);
    // Nobody is served on what the panic left half done.
    assert_eq!(other.read_all(), b"");
    assert_eq!(fatal.read_all(), b"");
    let running = broker.into_running();
    assert!(running.handle.statistics_blocking().is_err());
    running.join().expect_err("it panicked");
}
