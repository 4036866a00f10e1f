//! Messages from one client to another.

use selvedge_codec::{Connect, Packet, QoS, ReasonCode};

use crate::client::{Client, TestBroker, V5, V311};

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn every_qos_crosses_between_transports_and_versions() {
    let broker = TestBroker::start();
    let mut publishers = [
        Client::connect(broker.tcp(), V311, "p1"),
        Client::connect(broker.tcp(), V5, "p2"),
        Client::connect_websocket(broker.websocket(), V311, "p3"),
        Client::connect_websocket(broker.websocket(), V5, "p4"),
    ];
    let mut subscribers = [
        Client::connect(broker.tcp(), V311, "s1"),
        Client::connect(broker.tcp(), V5, "s2"),
        Client::connect_websocket(broker.websocket(), V311, "s3"),
        Client::connect_websocket(broker.websocket(), V5, "s4"),
    ];
    for subscriber in &mut subscribers {
        subscriber.subscribe("q/#", QoS::ExactlyOnce);
    }
    for (number, publisher) in publishers.iter_mut().enumerate() {
        for qos in ALL_QOS {
            let payload = format!("{number} at {qos:?}");
            publisher.publish_completely("q/t", payload.as_bytes(), qos, 7);
            for subscriber in &mut subscribers {
                let (topic, received, received_qos, packet_id) = subscriber.receive().publish();
                assert_eq!((topic.as_str(), received.as_slice()), ("q/t", payload.as_bytes()));
                assert_eq!(received_qos, qos);
                subscriber.acknowledge(qos, packet_id);
            }
        }
    }
    let snapshot = broker.statistics();
    assert_eq!(snapshot.core.publishes_received, [4, 4, 4]);
    assert_eq!(snapshot.core.publishes_sent, [16, 16, 16]);
}

#[test]
fn a_message_larger_than_the_read_buffer_arrives_whole() {
    let broker = TestBroker::start();
    let payload: Vec<u8> = (0..300_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    for websocket in [false, true] {
        let open = |name| match websocket {
            false => Client::connect(broker.tcp(), V5, name),
            true => Client::connect_websocket(broker.websocket(), V5, name),
        };
        let (mut publisher, mut subscriber) = (open("p"), open("s"));
        subscriber.subscribe("big", QoS::ExactlyOnce);
        for qos in ALL_QOS {
            publisher.publish_completely("big", &payload, qos, 3);
            let (_, received, _, packet_id) = subscriber.receive().publish();
            assert!(received == payload, "websocket {websocket}, {qos:?}");
            subscriber.acknowledge(qos, packet_id);
        }
        // Just below and just above the size from which payloads are shared.
        for length in [16 * 1024 - 1, 16 * 1024, 70_000] {
            publisher.publish("big", &payload[..length], QoS::AtMostOnce, 0);
            assert!(subscriber.receive().publish().1 == payload[..length], "{length} bytes");
        }
    }
}

#[test]
fn a_second_connection_with_the_same_client_id_takes_over() {
    let broker = TestBroker::start();
    let mut first = Client::connect(broker.tcp(), V5, "same");
    let mut second = Client::connect(broker.tcp(), V5, "same");
    let rest = first.rest();
    let [told] = rest.as_slice() else { panic!("{rest:?}") };
    assert!(matches!(told.packet(), Packet::Disconnect(packet) if packet.reason == ReasonCode::SessionTakenOver));
    second.ping();
    broker.wait_for("the first to be gone", |snapshot| snapshot.shell.connections == 1);
}

#[test]
fn a_session_kept_by_a_client_that_went_away_gets_its_messages_later() {
    let broker = TestBroker::start();
    let keep = Connect { clean_start: false, session_expiry_s: Some(60), ..Connect::new(V5, "keeper", false) };
    let mut keeper = Client::open(broker.tcp(), V5);
    keeper.handshake(&keep);
    keeper.subscribe("kept", QoS::AtLeastOnce);
    drop(keeper);
    broker.wait_for("the client to be gone", |snapshot| snapshot.shell.connections == 0);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    publisher.publish_completely("kept", b"while away", QoS::AtLeastOnce, 1);
    let mut keeper = Client::open(broker.websocket(), V5);
    assert!(keeper.upgrade("/mqtt", Some("mqtt")).starts_with("HTTP/1.1 101"));
    drop(keeper);
    let mut keeper = Client::open_websocket(broker.websocket(), V5);
    keeper.handshake(&keep);
    assert_eq!(keeper.receive().publish().1, b"while away");
}

#[test]
fn a_client_that_disconnects_is_closed_at_once_and_one_that_vanishes_too() {
    let broker = TestBroker::start();
    let mut polite = Client::connect(broker.tcp(), V311, "polite");
    polite.send(&Packet::Disconnect(selvedge_codec::Disconnect::with_reason(ReasonCode::Success)));
    assert!(polite.rest().is_empty());
    drop(polite);
    drop(Client::connect(broker.tcp(), V311, "rude"));
    broker.wait_for("both to be gone", |snapshot| snapshot.shell.connections == 0);
}

#[test]
fn one_message_reaches_more_subscribers_than_one_turn_writes_to() {
    let broker = TestBroker::start();
    let mut subscribers: Vec<Client> = (0..300)
        .map(|number| {
            let mut subscriber = Client::connect(broker.tcp(), V311, &format!("s{number}"));
            subscriber.subscribe("all", QoS::AtMostOnce);
            subscriber
        })
        .collect();
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    for number in 0..5_u8 {
        publisher.publish("all", &[number], QoS::AtMostOnce, 0);
    }
    for subscriber in &mut subscribers {
        for number in 0..5_u8 {
            assert_eq!(subscriber.receive().publish().1, [number]);
        }
    }
}
