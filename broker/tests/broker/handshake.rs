//! Connections that do not get as far as CONNECT, or should not.

use std::time::{Duration, Instant};

use selvedge_broker::Config;
use selvedge_codec::{Connect, Packet, ReasonCode};

use crate::client::{Client, PATIENCE, TestBroker, V5, V311, masked_frame};

#[test]
fn a_connection_without_connect_is_closed_at_the_deadline() {
    let config = Config { handshake_timeout: Duration::from_millis(300), ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut silent = Client::open(broker.tcp(), V5);
    let mut half = Client::open(broker.tcp(), V5);
    half.send_all(&[0x10, 0x20, 0x00]);
    let mut no_upgrade = Client::open(broker.websocket(), V5);
    let mut upgraded = Client::open_websocket(broker.websocket(), V5);
    let mut connected = Client::connect(broker.tcp(), V5, "connected");
    for client in [&mut silent, &mut half, &mut no_upgrade, &mut upgraded] {
        assert_eq!(client.read_all(), b"");
    }
    let snapshot = broker.statistics();
    assert_eq!(snapshot.shell.handshake_timeouts, 4);
    assert_eq!((snapshot.shell.half_open, snapshot.shell.half_open_bytes), (0, 0));
    connected.ping();
}

#[test]
fn garbage_is_closed_without_waiting_for_more() {
    let broker = TestBroker::start();
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0",
        b"\x16\x03\x01\x02\0\x01",
        &[0x30, 0xFF, 0xFF, 0x7F],
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF],
    ];
    for bytes in garbage {
        let start = Instant::now();
        let mut client = Client::open(broker.tcp(), V5);
        client.send_all(bytes);
        assert_eq!(client.read_all(), b"", "{bytes:?}");
        assert!(start.elapsed() < PATIENCE);
    }
    broker.wait_for("all to be counted", |snapshot| snapshot.shell.handshake_failures == 5);
    assert_eq!(broker.statistics().shell.handshake_timeouts, 0);
}

#[test]
fn a_connect_that_is_refused_is_answered_in_its_own_version() {
    let broker = TestBroker::start();
    let answer = |bytes: &[u8]| {
        let mut client = Client::open(broker.tcp(), V5);
        client.send_all(bytes);
        client.read_all()
    };
    let connect = |name: &[u8], level: u8, rest: &[u8]| {
        let mut body = (name.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(name);
        body.push(level);
        body.extend_from_slice(rest);
        [vec![0x10, body.len() as u8], body].concat()
    };
    // Level 3 and 4's form of the refusal is the return code 1; from 5 on it is 0x84 with properties.
    assert_eq!(answer(&connect(b"MQIsdp", 3, &[2, 0, 0, 0, 1, b'c'])), [0x20, 2, 0, 1]);
    assert_eq!(answer(&connect(b"MQTT", 6, &[2, 0, 0, 0, 0, 1, b'c'])), [0x20, 3, 0, 0x84, 0]);
    // The reserved flag: 5 says malformed, 3.1.1 says nothing.
    assert_eq!(answer(&connect(b"MQTT", 5, &[3, 0, 0, 0, 0, 1, b'c'])), [0x20, 3, 0, 0x81, 0]);
    assert_eq!(answer(&connect(b"MQTT", 4, &[3, 0, 0, 0, 1, b'c'])), b"");
    broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 0);
}

#[test]
fn a_connect_that_the_core_refuses_is_answered_and_closed() {
    let broker = TestBroker::start();
    let mut client = Client::open(broker.tcp(), V311);
    // [MQTT-3.1.3-8]
    client.send(&Packet::Connect(Box::new(Connect::new(V311, "", false))));
    let rest = client.rest();
    let [refusal] = rest.as_slice() else { panic!("{rest:?}") };
    assert!(
        matches!(refusal.packet(), Packet::ConnAck(connack) if connack.reason == ReasonCode::ClientIdentifierNotValid)
    );
}

#[test]
fn one_connection_more_than_allowed_is_closed_at_once() {
    let config = Config { connections_max: 3, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut clients: Vec<Client> =
        (0..3).map(|number| Client::connect(broker.tcp(), V5, &format!("c{number}"))).collect();
    let mut refused = Client::open(broker.tcp(), V5);
    assert_eq!(refused.read_all(), b"");
    assert_eq!(broker.statistics().shell.refused_connections_max, 1);
    for client in &mut clients {
        client.ping();
    }
    drop(clients.pop());
    broker.wait_for("the place to be free", |snapshot| snapshot.shell.connections == 2);
    Client::connect(broker.tcp(), V5, "next").ping();
}

#[test]
fn too_many_half_open_connections_end_the_oldest() {
    let config = Config { half_open_max: 2, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let mut first = Client::open(broker.tcp(), V5);
    broker.wait_for("the first", |snapshot| snapshot.shell.half_open == 1);
    let mut second = Client::open(broker.tcp(), V5);
    broker.wait_for("the second", |snapshot| snapshot.shell.half_open == 2);
    let mut third = Client::open(broker.tcp(), V5);
    assert_eq!(first.read_all(), b"");
    for (client, name) in [(&mut second, "second"), (&mut third, "third")] {
        client.handshake(&Connect::new(V5, name, true));
    }
    assert_eq!(broker.statistics().shell.refused_half_open, 1);
}

#[test]
fn a_connect_is_taken_up_to_its_largest_size_and_no_further() {
    let payload = [b'x'; 1000];
    let will = selvedge_codec::Will { payload: &payload, ..will("w") };
    let connect = Connect { will: Some(will), ..Connect::new(V5, "c", true) };
    let size = {
        let mut bytes = Vec::new();
        selvedge_codec::encode(V5, &Packet::Connect(Box::new(connect)), &mut bytes).expect("encodable");
        bytes.len() as u32
    };
    let exact = TestBroker::with(Config { connect_bytes_max: size, ..Config::default() }, Default::default());
    Client::open(exact.tcp(), V5).handshake(&connect);
    let small = TestBroker::with(Config { connect_bytes_max: size - 1, ..Config::default() }, Default::default());
    let mut client = Client::open(small.tcp(), V5);
    client.send(&Packet::Connect(Box::new(connect)));
    assert_eq!(client.read_all(), b"");
}

#[test]
fn unfinished_connects_may_not_take_more_memory_than_allowed() {
    let config = Config { half_open_bytes_max: 100, ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let begin = |bytes: usize| {
        let mut client = Client::open(broker.tcp(), V5);
        let mut part = vec![0x10, 0xFF, 0x01];
        part.resize(bytes, 0);
        client.send_all(&part);
        client
    };
    let _first = begin(60);
    broker.wait_for("the first part", |snapshot| snapshot.shell.half_open_bytes == 60);
    let _second = begin(40);
    broker.wait_for("the second part", |snapshot| snapshot.shell.half_open_bytes == 100);
    let mut third = begin(3);
    assert_eq!(third.read_all(), b"");
    assert_eq!(broker.statistics().shell.half_open_bytes, 100);
}

/// Strangers on WebSockets that make the node answer: what they do not take counts as half-open, and goes with them.
#[test]
fn half_open_websockets_leave_nothing_behind_however_they_end() {
    let config = Config { half_open_max: 2, handshake_timeout: Duration::from_secs(2), ..Config::default() };
    let broker = TestBroker::with(config, Default::default());
    let pinging = |broker: &TestBroker, pings: usize| {
        let mut client = Client::open_websocket(broker.websocket(), V5);
        socket2::SockRef::from(&client.stream).set_recv_buffer_size(4096).expect("a receive buffer size");
        client.stream.set_nonblocking(true).expect("not blocking");
        let frame = masked_frame(0x89, &[7; 125]);
        for _ in 0..pings {
            // Full, or closed because so much is unread.
            if std::io::Write::write(&mut client.stream, &frame).is_err() {
                break;
            }
        }
        client
    };
    // Ended by their number, with pongs on their way or unsent.
    let crowd: Vec<Client> = (0..20).map(|_| pinging(&broker, 100)).collect();
    let snapshot = broker.wait_for("the oldest to be ended", |snapshot| snapshot.shell.refused_half_open >= 18);
    assert!(snapshot.shell.half_open <= 2 && snapshot.shell.half_open_bytes <= 2 * 8 * 1024, "{snapshot:?}");
    // The last two by the deadline.
    broker.wait_for("the deadline", |snapshot| snapshot.shell.handshake_timeouts == 2);
    drop(crowd);
    // One that never reads.
    let broker = TestBroker::with(Config { handshake_timeout: PATIENCE, ..Config::default() }, Default::default());
    let mut flood = pinging(&broker, 0);
    flood.stream.set_nonblocking(false).expect("blocking");
    let pings = masked_frame(0x89, &[7; 125]).repeat(100);
    while flood.try_write_all(&pings).is_ok() {}
    let snapshot = broker.wait_for("nothing", |snapshot| snapshot.shell.half_open == 0);
    assert_eq!((snapshot.shell.half_open_bytes, snapshot.shell.outbox_bytes), (0, 0));
    assert_eq!(snapshot.shell.handshake_failures, 1);
}

fn will(topic: &str) -> selvedge_codec::Will<'_> {
    selvedge_codec::Will {
        topic,
        payload: b"",
        qos: selvedge_codec::QoS::AtMostOnce,
        retain: false,
        delay_s: 0,
        properties: Default::default(),
    }
}
