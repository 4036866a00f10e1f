//! Limits on how many come, how fast, and how much of what they send is kept: both sides of each.

use std::{
    io::{ErrorKind, Read},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use selvedge_broker::Config;
use selvedge_codec::{Connect, Packet, PublishProperties, QoS, ReasonCode, Will};
use socket2::{Domain, Socket, Type};

use crate::client::{Client, PATIENCE, TestBroker, V5};

fn broker(config: Config) -> TestBroker {
    TestBroker::with(config, Default::default())
}

/// A connection from one of the many addresses of the loopback network.
fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    socket.bind(&from.into()).expect("an address of this machine");
    socket.connect(&address.into()).expect("connect");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// Whether the broker has closed `stream` without a word.
fn is_refused(mut stream: TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn client_from(last: u8, broker: &TestBroker, client_id: &str) -> Client {
    let mut client = Client::over(connect_from(last, broker.tcp()), V5);
    client.handshake(&Connect::new(V5, client_id, true));
    client
}

#[test]
fn an_address_has_so_many_connections_and_another_address_is_not_affected() {
    let broker = broker(Config { connections_per_address_max: 2, ..Config::default() });
    let mut first = client_from(1, &broker, "1");
    let mut half_open = Client::over(connect_from(1, broker.tcp()), V5);
    assert!(is_refused(connect_from(1, broker.tcp())));
    client_from(2, &broker, "other").ping();
    half_open.handshake(&Connect::new(V5, "2", true));
    assert!(is_refused(connect_from(1, broker.tcp())), "it is still one of the two");
    first.ping();
    drop(first);
    broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections < 2);
    client_from(1, &broker, "3").ping();
    let shell = broker.statistics().shell;
    assert_eq!((shell.refused_connections_per_address, shell.refused_connect_rate), (2, 0));
}

#[test]
fn an_address_connects_so_fast_and_another_address_is_not_affected() {
    let broker =
        broker(Config { connect_rate_per_address_per_s: 1, connect_burst_per_address: 3, ..Config::default() });
    let begun = Instant::now();
    for number in 0..3 {
        client_from(1, &broker, &number.to_string()).ping();
    }
    let mut refused = 0;
    while is_refused(connect_from(1, broker.tcp())) {
        refused += 1;
        client_from(2, &broker, "other").ping();
        if refused == 2 {
            break;
        }
    }
    // Unless the machine was so slow that a second passed.
    assert!(refused == 2 || begun.elapsed() >= Duration::from_secs(1), "{refused} refused");
    assert_eq!(broker.statistics().shell.refused_connect_rate, refused);
}

#[test]
fn a_crowd_is_let_in_a_few_at_a_time_but_all_of_it() {
    let broker = broker(Config::default());
    let all: Vec<Client> = (0..300).map(|_| Client::open(broker.tcp(), V5)).collect();
    let mut all: Vec<(Client, Vec<u8>)> = all
        .into_iter()
        .enumerate()
        .map(|(number, client)| {
            let client_id = format!("crowd-{number}");
            let bytes = client.encode(&Packet::Connect(Box::new(Connect::new(V5, &client_id, true))));
            (client, bytes)
        })
        .collect();
    for (client, bytes) in &mut all {
        client.send_bytes(bytes);
    }
    for (client, _) in &mut all {
        assert!(matches!(client.receive().packet(), Packet::ConnAck(connack) if !connack.reason.is_error()));
    }
    assert_eq!(broker.statistics().shell.connections, 300);
}

#[test]
fn the_wills_of_a_crowd_that_is_gone_at_once_are_all_published() {
    const CROWD: u16 = 300;
    let broker = broker(Config::default());
    let mut heir = Client::connect(broker.tcp(), V5, "heir");
    heir.subscribe("wills", QoS::AtMostOnce);
    let crowd: Vec<Client> = (0..CROWD)
        .map(|number| {
            let payload = number.to_be_bytes();
            let will = Will {
                qos: QoS::AtMostOnce,
                retain: false,
                topic: "wills",
                payload: &payload,
                delay_s: 0,
                properties: PublishProperties::default(),
            };
            let mut client = Client::open(broker.tcp(), V5);
            let client_id = format!("crowd-{number}");
            client.handshake(&Connect { will: Some(will), ..Connect::new(V5, &client_id, true) });
            client
        })
        .collect();
    for client in &crowd {
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("option");
    }
    drop(crowd);
    let mut heard: Vec<Vec<u8>> = (0..CROWD).map(|_| heir.receive().publish().1).collect();
    heard.sort();
    assert_eq!(heard, (0..CROWD).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    let snapshot = broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 1);
    assert_eq!((snapshot.core.connections, snapshot.core.wills_published), (1, CROWD.into()));
}

#[test]
fn a_client_that_publishes_too_fast_is_slowed_down_and_loses_nothing() {
    let broker =
        broker(Config { publish_rate_per_client_per_s: 100, publish_burst_per_client: 10, ..Config::default() });
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    for number in 0..9_u8 {
        publisher.publish("t", &[number], QoS::AtMostOnce, 0);
        assert_eq!(subscriber.receive().publish().1, [number]);
    }
    assert_eq!(broker.statistics().shell.throttled_publish_rate, 0, "the burst is free");
    let begun = Instant::now();
    for number in 9..60_u8 {
        publisher.publish("t", &[number], QoS::AtMostOnce, 0);
    }
    for number in 9..60_u8 {
        assert_eq!(subscriber.receive().publish().1, [number]);
    }
    assert!(begun.elapsed() >= Duration::from_millis(300), "some forty more than the burst at a hundred a second");
    publisher.ping();
    let shell = broker.statistics().shell;
    assert!(shell.throttled_publish_rate > 0 && shell.throttled_publish_bytes == 0, "{shell:#?}");
    broker.wait_for("its pause to end", |snapshot| snapshot.shell.throttled == 0);
    // What it sends beside publications is not slowed down.
    let mut other = Client::connect(broker.tcp(), V5, "o");
    for _ in 0..100 {
        other.ping();
    }
}

#[test]
fn a_client_is_not_taken_for_silent_while_it_is_not_read() {
    let broker = broker(Config { publish_bytes_per_client_per_s: 2_000, ..Config::default() });
    let mut publisher = Client::open(broker.tcp(), V5);
    publisher.handshake(&Connect { keep_alive_s: 1, ..Connect::new(V5, "p", true) });
    let begun = Instant::now();
    // Five seconds of its rate, where silence ends it after one and a half.
    publisher.publish("t", &[7; 10_000], QoS::AtMostOnce, 0);
    broker.wait_for("it to be slowed down", |snapshot| snapshot.shell.throttled == 1);
    publisher.ping();
    assert!(begun.elapsed() >= Duration::from_secs(3), "it was not read meanwhile");
    let snapshot = broker.statistics();
    assert_eq!((snapshot.core.closed_keep_alive, snapshot.shell.throttled_publish_bytes), (0, 1));
}

#[test]
fn a_client_that_goes_while_it_is_not_read_leaves_nothing_behind() {
    let broker = broker(Config { publish_bytes_per_client_per_s: 10_000, ..Config::default() });
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    publisher.publish("t", &[7; 20_000], QoS::AtMostOnce, 0);
    broker.wait_for("it to be slowed down", |snapshot| snapshot.shell.throttled == 1);
    // Taken over, which ends it at once.
    let _successor = Client::connect(broker.tcp(), V5, "p");
    let snapshot = broker.wait_for("the old one to be gone", |snapshot| snapshot.shell.connections == 1);
    assert_eq!((snapshot.shell.throttled, snapshot.shell.incomplete_bytes), (0, 0));
}

/// The start of a PUBLISH of `bytes` bytes, and how many of it are sent.
fn send_begin(client: &mut Client, bytes: usize, sent: usize) {
    let publish = client.publish_bytes("t", &vec![7; bytes], QoS::AtMostOnce, 0);
    client.send_bytes(&publish[..sent]);
}

/// The reason of the DISCONNECT that ends `client`.
fn disconnected(client: &mut Client) -> ReasonCode {
    match client.rest().last().expect("a DISCONNECT").packet() {
        Packet::Disconnect(disconnect) => disconnect.reason,
        other => panic!("expected DISCONNECT, got {other:?}"),
    }
}

#[test]
fn incomplete_packets_together_are_bounded_and_the_oldest_gives_way() {
    const SENT: usize = 100_000;
    const LIMIT: usize = 1_000_000;
    let broker = broker(Config { incomplete_bytes_max: LIMIT, ..Config::default() });
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let kept = broker.statistics().shell.incomplete_bytes;
        let mut client = Client::connect(broker.tcp(), V5, &clients.len().to_string());
        send_begin(&mut client, 2 * SENT, SENT);
        clients.push(client);
        let snapshot = broker.wait_for("it to be read", |snapshot| {
            snapshot.shell.incomplete_bytes >= kept + SENT as u64 || snapshot.shell.closed_incomplete_bytes > 0
        });
        assert!(snapshot.shell.incomplete_bytes <= LIMIT as u64, "{snapshot:#?}");
        if snapshot.shell.closed_incomplete_bytes > 0 {
            break;
        }
    }
    assert!(clients.len() > LIMIT / SENT / 3, "below the limit all may stay: {}", clients.len());
    assert_eq!(disconnected(&mut clients[0]), ReasonCode::QuotaExceeded);
    let others = clients.len() as u64 - 1;
    let shell = broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections <= others).shell;
    assert_eq!((shell.connections, shell.closed_incomplete_bytes), (others, 1));
    // One that gets its turn completes what it has begun.
    clients.drain(..clients.len() - 1);
    broker.wait_for("room", |snapshot| snapshot.shell.connections == 1);
    let publish = clients[0].publish_bytes("t", &[7; 2 * SENT], QoS::AtMostOnce, 0);
    clients[0].send_bytes(&publish[SENT..]);
    clients[0].ping();
    drop(clients);
    let snapshot = broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 0);
    assert_eq!(
        (snapshot.shell.incomplete_bytes, snapshot.core.closed_quota),
        (0, snapshot.shell.closed_incomplete_bytes)
    );
}

#[test]
fn a_packet_has_so_much_time_and_a_client_that_sends_none_has_any() {
    let broker = broker(Config { packet_timeout: Duration::from_secs(1), ..Config::default() });
    let mut idle = Client::connect(broker.tcp(), V5, "idle");
    let mut slow = Client::connect(broker.tcp(), V5, "slow");
    let mut patient = Client::connect(broker.tcp(), V5, "patient");
    let mut websocket = Client::connect_websocket(broker.websocket(), V5, "websocket");
    let begun = Instant::now();
    // Packet after packet with the begin of the next: none of them takes long, all together do.
    let ping = patient.encode(&Packet::PingReq);
    patient.send_bytes(&ping[..1]);
    while begun.elapsed() < Duration::from_millis(2_200) {
        patient.send_bytes(&[&ping[1..], &ping[..1]].concat());
        assert_eq!(patient.receive().packet(), Packet::PingResp);
    }
    patient.send_bytes(&ping[1..]);
    assert_eq!(patient.receive().packet(), Packet::PingResp);
    assert_eq!(broker.statistics().shell.packet_timeouts, 0);
    send_begin(&mut slow, 100, 1);
    send_begin(&mut websocket, 100_000, 50_000);
    assert_eq!(disconnected(&mut slow), ReasonCode::QuotaExceeded);
    assert_eq!(disconnected(&mut websocket), ReasonCode::QuotaExceeded);
    idle.ping();
    let snapshot = broker.statistics();
    assert_eq!((snapshot.shell.packet_timeouts, snapshot.core.closed_quota), (2, 2));
    broker.wait_for("both to be gone", |snapshot| snapshot.shell.connections == 2);
}

#[test]
fn a_sink_that_panics_ends_its_consumer_and_nothing_else() {
    let broker = broker(Config::default());
    let subscription = || vec![("t".to_owned(), QoS::AtLeastOnce)];
    let _broken = broker.handle.attach("$node/fn/broken", 10, subscription(), Box::new(|_| panic!("a mistake")));
    let (sender, others) = channel();
    let other = Box::new(move |batch| drop(sender.send(batch)));
    let _other = broker.handle.attach("$node/fn/other", 10, subscription(), other);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    publisher.publish_completely("t", b"one", QoS::AtLeastOnce, 1);
    broker.wait_for("it to be dropped", |snapshot| snapshot.shell.sinks_panicked == 1);
    publisher.publish_completely("t", b"two", QoS::AtLeastOnce, 2);
    let seen: usize = (0..2).map(|_| others.recv_timeout(PATIENCE).expect("a batch").len()).sum();
    assert_eq!(seen, 2);
    let snapshot = broker.statistics();
    assert_eq!((snapshot.shell.attachments, snapshot.shell.sinks_panicked), (1, 1));
    // What it did not acknowledge waits for its successor.
    let (sender, batches) = channel();
    let _successor =
        broker.handle.attach("$node/fn/broken", 10, Vec::new(), Box::new(move |batch| drop(sender.send(batch))));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(batches.recv_timeout(PATIENCE).expect("a batch"));
    }
    let payloads: Vec<&[u8]> = seen.iter().map(|delivery| delivery.message.payload().as_ref()).collect();
    assert_eq!(payloads, [b"one", b"two"]);
}

#[test]
fn a_command_of_thousands_is_carried_out_in_shares_and_in_order() {
    const COUNT: usize = 3_000;
    let config = Config { effects_per_turn_max: 10, turn_share: Duration::ZERO, ..Config::default() };
    let broker = broker(config);
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("out", QoS::AtMostOnce);
    let filters: Vec<String> = (0..COUNT).map(|number| format!("in/{number}")).collect();
    let subscriptions = filters.iter().map(|filter| (filter.clone(), QoS::AtLeastOnce)).collect();
    let (sender, batches) = channel();
    let before = broker.statistics().shell.turns;
    let sink = Box::new(move |batch| drop(sender.send(batch)));
    let attachment = broker.handle.attach("$node/fn/many", u16::MAX, subscriptions, sink);
    let snapshot = broker.wait_for("all filters", |snapshot| snapshot.core.subscriptions == COUNT as u64 + 1);
    assert!(snapshot.shell.turns - before >= (COUNT / 11) as u64, "{} turns", snapshot.shell.turns - before);
    let message =
        |topic: &str, number: usize, qos| selvedge_core::Message::new(topic, number.to_be_bytes().to_vec(), qos, false);
    let last = filters.last().expect("some").clone();
    broker.handle.publish((0..COUNT).map(|number| message(&last, number, QoS::AtLeastOnce)).collect()).expect("room");
    let mut packet_ids = Vec::new();
    while packet_ids.len() < COUNT {
        let batch: Vec<selvedge_core::Delivery> = batches.recv_timeout(PATIENCE).expect("a batch");
        packet_ids.extend(batch.iter().filter_map(|delivery| delivery.packet_id));
    }
    attachment.acknowledge(packet_ids, (0..COUNT).map(|number| message("out", number, QoS::AtMostOnce)).collect());
    attachment.set_subscriptions(Vec::new());
    for number in 0..COUNT {
        assert_eq!(subscriber.receive().publish().1, number.to_be_bytes());
    }
    let snapshot = broker.wait_for("no filters", |snapshot| snapshot.core.subscriptions == 1);
    assert_eq!(snapshot.core.queued_messages, 0);
}
