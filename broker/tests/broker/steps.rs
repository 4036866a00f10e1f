//! What is done in steps: the client is not read meanwhile, and what it sent behind it is not lost.

use selvedge_codec::{Packet, PacketId, QoS, Subscribe, SubscribeFilter, Unsubscribe, UserProperties};

use crate::client::{Client, TestBroker, V5};

const COUNT: usize = 1000;

fn filters() -> Vec<String> {
    (0..COUNT).map(|number| format!("t/{number}")).collect()
}

fn subscribe(client: &Client, filters: &[String]) -> Vec<u8> {
    client.encode(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscription_identifier: None,
        user_properties: UserProperties::EMPTY,
        filters: filters.iter().map(|filter| SubscribeFilter::new(filter, QoS::AtMostOnce)).collect(),
    }))
}

fn unsubscribe(client: &Client, filters: &[String]) -> Vec<u8> {
    client.encode(&Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        filters: filters.iter().map(String::as_str).collect(),
        user_properties: UserProperties::EMPTY,
    }))
}

fn clients(broker: &TestBroker) -> [Client; 2] {
    [Client::connect(broker.tcp(), V5, "tcp"), Client::connect_websocket(broker.websocket(), V5, "websocket")]
}

#[test]
fn what_was_sent_behind_many_filters_is_handled_after_them_in_order() {
    let broker = TestBroker::start();
    let (filters, last) = (filters(), format!("t/{}", COUNT - 1));
    for mut client in clients(&broker) {
        let everything = [
            subscribe(&client, &filters),
            client.publish_bytes(&last, b"heard", QoS::AtMostOnce, 0),
            unsubscribe(&client, &filters),
            client.publish_bytes(&last, b"not heard", QoS::AtMostOnce, 0),
            client.encode(&Packet::PingReq),
        ];
        client.send_bytes(&everything.concat());
        let answer = client.receive();
        let Packet::SubAck(suback) = answer.packet() else { panic!("{answer:?}") };
        assert_eq!(suback.reasons.iter().count(), COUNT);
        assert_eq!(client.receive().publish().1, b"heard");
        let answer = client.receive();
        let Packet::UnsubAck(unsuback) = answer.packet() else { panic!("{answer:?}") };
        assert_eq!(unsuback.reasons.iter().count(), COUNT);
        assert_eq!(client.receive().packet(), Packet::PingResp);
    }
}

#[test]
fn a_client_that_is_gone_before_its_filters_are_done_leaves_nothing() {
    let broker = TestBroker::start();
    let filters = filters();
    for round in 0..10 {
        for mut client in clients(&broker) {
            let packet = subscribe(&client, &filters);
            client.send_bytes(&packet);
            if round % 2 == 0 {
                drop(client);
            } else {
                assert!(matches!(client.receive().packet(), Packet::SubAck(_)));
            }
        }
    }
    broker.wait_for("everything to be over", |snapshot| {
        (snapshot.core.connections, snapshot.core.sessions, snapshot.core.subscriptions) == (0, 0, 0)
    });
}

#[test]
fn retained_messages_of_many_filters_come_each_once_and_then_the_client_is_read_again() {
    let broker = TestBroker::start();
    let mut keeper = Client::connect(broker.tcp(), V5, "keeper");
    let topics = filters();
    for topic in &topics {
        let mut packet = keeper.publish_bytes(topic, b"kept", QoS::AtMostOnce, 0);
        packet[0] |= 1;
        keeper.send_bytes(&packet);
    }
    keeper.ping();
    for mut client in clients(&broker) {
        client.send_bytes(&[subscribe(&client, &topics), client.encode(&Packet::PingReq)].concat());
        let (mut found, mut answers) = (Vec::new(), Vec::new());
        while found.len() < topics.len() || answers.len() < 2 {
            let packet = client.receive();
            match packet.packet() {
                Packet::Publish(publish) => {
                    assert!(publish.retain);
                    found.push(publish.topic.to_owned());
                }
                _ => answers.push(packet.bytes[0] >> 4),
            }
        }
        assert_eq!((found, answers), (topics.clone(), vec![9, 13]), "SUBACK, then PINGRESP");
        client.ping();
    }
}
