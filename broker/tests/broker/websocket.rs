//! What a WebSocket may and may not carry, against our own frames and against tungstenite's client.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use selvedge_broker::Config;
use selvedge_codec::{Connect, Packet, QoS};
use tokio_tungstenite::tungstenite::{
    Message,
    client::IntoClientRequest,
    http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
};

use crate::client::{Client, TestBroker, V5, masked_frame};

/// Status of the close frame that ends `client`, and nothing after it.
fn close_code(client: &mut Client) -> u16 {
    let (first, payload) = client.receive_frame().expect("a close frame");
    assert_eq!(first, 0x88, "{payload:?}");
    let code = u16::from_be_bytes(*payload.first_chunk().expect("a status"));
    assert_eq!(client.receive_frame(), None);
    code
}

#[test]
fn forbidden_frames_are_refused_with_their_code_before_and_after_connect() {
    let config = Config { websocket_frame_bytes_max: 1000, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut unmasked = vec![0x82, 3];
    unmasked.extend_from_slice(b"abc");
    let forbidden: [(Vec<u8>, u16); 6] = [
        (unmasked, 1002),
        (masked_frame(0x81, b"text"), 1003),
        (masked_frame(0x82, &[0x10; 1001]), 1009),
        (masked_frame(0xF2, b"reserved bits"), 1002),
        (masked_frame(0x80, b"continues nothing"), 1002),
        (masked_frame(0x09, b"fragmented ping"), 1002),
    ];
    for (frame, code) in &forbidden {
        let mut early = Client::open_websocket(broker.websocket(), V5);
        early.send_all(frame);
        assert_eq!(close_code(&mut early), *code, "before CONNECT: {frame:?}");
        let mut late = Client::connect_websocket(broker.websocket(), V5, "late");
        late.send_all(frame);
        assert_eq!(close_code(&mut late), *code, "after CONNECT: {frame:?}");
    }
    let snapshot = broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 0);
    assert_eq!(snapshot.shell.websocket_violations, 12);
}

#[test]
fn a_frame_of_exactly_the_largest_size_is_taken() {
    let config = Config { websocket_frame_bytes_max: 1000, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut client = Client::connect_websocket(broker.websocket(), V5, "c");
    let overhead = client.publish_bytes("t", &[0; 900], QoS::AtMostOnce, 0).len() - 900;
    client.publish("t", &vec![0; 1000 - overhead], QoS::AtMostOnce, 0);
    client.ping();
}

#[test]
fn requests_for_another_path_or_without_the_subprotocol_are_refused() {
    let broker = TestBroker::start();
    let status = |path, subprotocol| {
        let head = Client::open(broker.websocket(), V5).upgrade(path, subprotocol);
        head.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!(status("/mqtt", Some("mqtt")), "101");
    assert_eq!(status("/mqtt?token=x", Some("chat, mqtt")), "101");
    assert_eq!(status("/", Some("mqtt")), "404");
    assert_eq!(status("/mqtt/", Some("mqtt")), "404");
    assert_eq!(status("/mqtt", None), "400");
    assert_eq!(status("/mqtt", Some("MQTT-SN")), "400");
    let mut plain = Client::open(broker.websocket(), V5);
    plain.send_all(b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(String::from_utf8_lossy(&plain.read_all()).starts_with("HTTP/1.1 400 "));
    broker.wait_for("the refusals to be counted", |snapshot| snapshot.shell.upgrades_refused == 5);
}

#[test]
fn pings_are_answered_and_a_close_frame_ends_the_connection() {
    let broker = TestBroker::start();
    let mut client = Client::connect_websocket(broker.websocket(), V5, "c");
    client.send_frame(0x89, b"are you there");
    assert_eq!(client.receive_frame(), Some((0x8A, b"are you there".to_vec())));
    client.send_frame(0x8A, b"unasked pong");
    client.ping();
    client.send_frame(0x88, &1001_u16.to_be_bytes());
    assert_eq!(close_code(&mut client), 1001);
    broker.wait_for("the client to be gone", |snapshot| snapshot.core.connections == 0);
}

#[test]
fn what_gathers_in_one_turn_leaves_in_one_frame() {
    let broker = TestBroker::start();
    let mut subscriber = Client::connect_websocket(broker.websocket(), V5, "s");
    subscriber.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    let burst: Vec<u8> = (0..50).flat_map(|_| publisher.publish_bytes("t", b"payload", QoS::AtMostOnce, 0)).collect();
    publisher.send_bytes(&burst);
    let mut frames = 0;
    let mut bytes = 0;
    while bytes < 50 * (burst.len() / 50) {
        let (first, payload) = subscriber.receive_frame().expect("open");
        assert_eq!(first, 0x82);
        frames += 1;
        bytes += payload.len();
    }
    // The burst is one segment; if it should ever be split, then not into a frame for each packet.
    assert!(frames < 10, "{frames} frames");
}

#[test]
fn tungstenite_agrees_with_us_on_frames() {
    let broker = TestBroker::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("#", QoS::AtMostOnce);
    let encoder = Client::open(broker.tcp(), V5);
    let address = broker.websocket();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("connect");
        let mut request = format!("ws://{address}/mqtt").into_client_request().expect("request");
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
        let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("upgrade");
        assert_eq!(response.headers().get(SEC_WEBSOCKET_PROTOCOL), Some(&HeaderValue::from_static("mqtt")));
        let connect = encoder.encode(&Packet::Connect(Box::new(Connect::new(V5, "c", true))));
        socket.send(Message::binary(connect)).await.expect("send");
        let connack = socket.next().await.expect("open").expect("valid");
        assert_eq!(connack.into_data()[0], 0x20);
        for length in [0, 1, 125, 126, 127, 65_000, 65_535, 65_536, 200_000] {
            let publish = encoder.publish_bytes("a/b", &vec![7; length], QoS::AtMostOnce, 0);
            let both = [publish, encoder.encode(&Packet::PingReq)].concat();
            socket.send(Message::binary(both)).await.expect("send");
            assert_eq!(subscriber.receive().publish().1.len(), length);
            let pong = socket.next().await.expect("open").expect("valid");
            assert_eq!(pong, Message::binary(encoder.encode(&Packet::PingResp)));
        }
        socket.close(None).await.expect("close");
        while let Some(message) = socket.next().await {
            assert!(message.expect("a closing handshake").is_close());
        }
    });
}

#[test]
fn what_came_before_a_close_frame_counts_however_much_it_was() {
    let config = Config { effects_per_turn_max: 3, turn_share: Duration::ZERO, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::connect_websocket(broker.websocket(), V5, "p");
    let messages: Vec<u8> =
        (0..200_u8).flat_map(|number| publisher.publish_bytes("t", &[number], QoS::AtMostOnce, 0)).collect();
    let all = [masked_frame(0x82, &messages), masked_frame(0x88, &1000_u16.to_be_bytes())].concat();
    let before = broker.statistics().shell.turns;
    publisher.send_all(&all);
    for number in 0..200_u8 {
        assert_eq!(subscriber.receive().publish().1, [number]);
    }
    assert_eq!(close_code(&mut publisher), 1000);
    // Three at a time, and the others get their turn in between.
    let turns = broker.statistics().shell.turns - before;
    assert!(turns >= 200 / 3, "{turns} turns");
}

#[test]
fn control_frames_before_a_violation_are_not_taken_for_those_of_the_next_client() {
    let broker = TestBroker::start();
    let mut other = Client::connect(broker.tcp(), V5, "tcp");
    let mut other_websocket = Client::connect_websocket(broker.websocket(), V5, "websocket");
    for opcode in [0x88, 0x89] {
        let mut violator = Client::connect_websocket(broker.websocket(), V5, "violator");
        // In one segment: a control frame, then one without a mask.
        violator.send_all(&[masked_frame(opcode, b""), vec![0x82, 1, 0]].concat());
        assert_eq!(close_code(&mut violator), 1002);
        for _ in 0..2 {
            other.ping();
        }
        other_websocket.send(&Packet::PingReq);
        let answer = other_websocket.encode(&Packet::PingResp);
        assert_eq!(other_websocket.receive_frame(), Some((0x82, answer)));
    }
}
