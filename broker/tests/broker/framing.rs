//! Where packets, segments and frames begin and end does not matter.

use selvedge_codec::{Ack, Packet, PacketId, QoS};

use crate::client::{Client, TestBroker, V5};

/// Three publications and a ping, in bytes.
fn script(client: &Client) -> Vec<u8> {
    [
        client.publish_bytes("f/a", b"first", QoS::AtMostOnce, 0),
        client.publish_bytes("f/b", &[b'x'; 200], QoS::AtLeastOnce, 5),
        client.publish_bytes("f/c", b"", QoS::AtMostOnce, 0),
        client.encode(&Packet::PingReq),
    ]
    .concat()
}

fn expect_script(publisher: &mut Client, subscriber: &mut Client) {
    assert_eq!(subscriber.receive().publish().1, b"first");
    assert_eq!(subscriber.receive().publish().1, [b'x'; 200]);
    assert_eq!(subscriber.receive().publish().1, b"");
    assert_eq!(publisher.receive().packet(), Packet::PubAck(Ack::success(PacketId::new(5).expect("not zero"))));
    assert_eq!(publisher.receive().packet(), Packet::PingResp);
}

#[test]
fn packets_cut_at_every_byte_arrive() {
    let broker = TestBroker::start();
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("f/#", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    let script = script(&publisher);
    for cut in 0..=script.len() {
        let (first, second) = script.split_at(cut);
        let reads = broker.statistics().shell.reads;
        publisher.send_bytes(first);
        if !first.is_empty() && !second.is_empty() {
            broker.wait_for("the first part to be read", |snapshot| snapshot.shell.reads > reads);
        }
        publisher.send_bytes(second);
        expect_script(&mut publisher, &mut subscriber);
    }
}

#[test]
fn packets_cut_at_every_byte_into_websocket_frames_arrive() {
    let broker = TestBroker::start();
    let mut subscriber = Client::connect_websocket(broker.websocket(), V5, "s");
    subscriber.subscribe("f/#", QoS::AtMostOnce);
    let mut publisher = Client::connect_websocket(broker.websocket(), V5, "p");
    let script = script(&publisher);
    for cut in 0..=script.len() {
        let (first, second) = script.split_at(cut);
        publisher.send_bytes(first);
        publisher.send_frame(0x89, b"in between");
        publisher.send_bytes(second);
        expect_script(&mut publisher, &mut subscriber);
        assert_eq!(publisher.receive_pong(), b"in between");
        // A fragmented message: the first part is begun, the second continues and ends it.
        publisher.send_frame(0x02, first);
        publisher.send_frame(0x80, second);
        expect_script(&mut publisher, &mut subscriber);
    }
}

#[test]
fn one_segment_may_carry_connect_and_all_that_follows() {
    let broker = TestBroker::start();
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("f/#", QoS::AtMostOnce);
    for websocket in [false, true] {
        let mut publisher = match websocket {
            false => Client::open(broker.tcp(), V5),
            true => Client::open_websocket(broker.websocket(), V5),
        };
        let connect = selvedge_codec::Connect::new(V5, "p", true);
        let connect = publisher.encode(&Packet::Connect(Box::new(connect)));
        let all = [connect, script(&publisher)].concat();
        publisher.send_bytes(&all);
        assert!(matches!(publisher.receive().packet(), Packet::ConnAck(_)));
        expect_script(&mut publisher, &mut subscriber);
    }
}

#[test]
fn connect_cut_at_every_byte_is_answered() {
    let broker = TestBroker::start();
    let connect = selvedge_codec::Connect::new(V5, "c", true);
    let length = Client::open(broker.tcp(), V5).encode(&Packet::Connect(Box::new(connect))).len();
    for cut in 1..length {
        for websocket in [false, true] {
            let mut client = match websocket {
                false => Client::open(broker.tcp(), V5),
                true => Client::open_websocket(broker.websocket(), V5),
            };
            let bytes = client.encode(&Packet::Connect(Box::new(connect)));
            let reads = broker.statistics().shell.reads;
            client.send_bytes(&bytes[..cut]);
            broker.wait_for("the first part to be read", |snapshot| snapshot.shell.reads > reads);
            client.send_bytes(&bytes[cut..]);
            assert!(matches!(client.receive().packet(), Packet::ConnAck(_)), "cut at {cut}");
            client.ping();
        }
    }
}

#[test]
fn a_burst_with_more_effects_than_one_turn_may_have_arrives_in_order() {
    let config = selvedge_broker::Config { effects_per_turn_max: 3, ..Default::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("burst", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    let burst: Vec<u8> = (0..2_000_u32)
        .flat_map(|number| publisher.publish_bytes("burst", &number.to_be_bytes(), QoS::AtMostOnce, 0))
        .collect();
    publisher.send_bytes(&burst);
    for number in 0..2_000_u32 {
        assert_eq!(subscriber.receive().publish().1, number.to_be_bytes());
    }
}
