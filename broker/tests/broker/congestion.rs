//! Clients that do not take what is sent to them.

use std::time::Duration;

use selvedge_broker::Config;
use selvedge_codec::{Connect, Packet, QoS};

use crate::client::{Client, TestBroker, V5};

const PAYLOAD_BYTES: usize = 10_000;

fn payload(number: u32) -> Vec<u8> {
    let mut payload = vec![number as u8; PAYLOAD_BYTES];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

#[test]
fn a_subscriber_that_pauses_gets_its_qos_1_messages_in_order_and_disturbs_nobody() {
    const COUNT: u32 = 2_000;
    let core = selvedge_core::Config {
        in_flight_max: u16::MAX,
        queue_messages_max: COUNT as usize,
        queue_bytes_max: 1 << 30,
        ..Default::default()
    };
    let broker = TestBroker::with(Config::default(), core);
    let mut slow = Client::connect(broker.tcp(), V5, "slow");
    slow.subscribe("t", QoS::AtLeastOnce);
    let mut quick = Client::connect(broker.tcp(), V5, "quick");
    quick.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    let mut most_unsent = 0;
    for number in 0..COUNT {
        publisher.publish_completely("t", &payload(number), QoS::AtLeastOnce, 1);
        let (_, received, qos, packet_id) = quick.receive().publish();
        assert_eq!(received[..4], number.to_be_bytes());
        quick.acknowledge(qos, packet_id);
        if number % 100 == 0 {
            most_unsent = most_unsent.max(broker.statistics().shell.outbox_bytes);
        }
    }
    let snapshot = broker.statistics();
    assert!(snapshot.shell.congested > 0, "20 MB fit into socket buffers: {snapshot:#?}");
    assert!(snapshot.core.queued_messages > 0);
    let bound = (Config::default().outbox_high_bytes + 2 * PAYLOAD_BYTES) as u64;
    assert!(most_unsent <= bound, "{most_unsent} bytes unsent");
    for number in 0..COUNT {
        let (_, received, qos, packet_id) = slow.receive().publish();
        assert_eq!(received, payload(number));
        slow.acknowledge(qos, packet_id);
    }
    slow.ping();
    let snapshot = broker.statistics();
    assert_eq!((snapshot.core.queued_messages, snapshot.core.dropped_queue_full), (0, 0));
    assert_eq!(snapshot.shell.outbox_bytes, 0);
}

#[test]
fn a_subscriber_that_takes_nothing_costs_no_more_than_its_bounds() {
    let core = selvedge_core::Config { queue_messages_max: 10, ..Default::default() };
    let broker = TestBroker::with(Config::default(), core);
    let mut stuck = Client::connect(broker.tcp(), V5, "stuck");
    stuck.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    for number in 0..3_000 {
        publisher.publish("t", &payload(number), QoS::AtMostOnce, 0);
    }
    publisher.ping();
    let snapshot = broker.statistics();
    assert!(snapshot.core.dropped_queue_full > 0, "{snapshot:#?}");
    assert!(snapshot.shell.outbox_bytes < 100_000, "{snapshot:#?}");
    drop(stuck);
    let snapshot = broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections == 1);
    assert_eq!(snapshot.shell.outbox_bytes, 0);
}

/// Sends `bytes` again and again until the broker no longer reads them; gives how many went. A broker that does not get a processor
/// takes nothing either, so it is asked.
fn send_until_paused(broker: &TestBroker, flood: &mut Client, bytes: &[u8]) -> usize {
    const ATTEMPT: Duration = Duration::from_millis(500);
    flood.stream.set_write_timeout(Some(ATTEMPT)).expect("timeout");
    let (mut sent, mut blocked) = (0, 0);
    loop {
        // What was cut off goes on where it was: packets stay whole.
        match std::io::Write::write(&mut flood.stream, &bytes[sent % bytes.len()..]) {
            Ok(count) => sent += count,
            Err(error) => {
                assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
                if broker.statistics().shell.reads_paused > 0 {
                    return sent;
                }
                blocked += 1;
            }
        }
        assert!(sent < 1 << 30, "the broker reads on and on");
        assert!(blocked < 100, "the broker takes nothing and does not say that it stopped reading");
    }
}

#[test]
fn a_client_that_does_not_take_its_answers_is_no_longer_read() {
    let broker = TestBroker::start();
    let mut flood = Client::connect(broker.tcp(), V5, "flood");
    let pings = flood.encode(&Packet::PingReq).repeat(50_000);
    let sent = send_until_paused(&broker, &mut flood, &pings);
    let snapshot = broker.statistics();
    let config = Config::default();
    let bound = config.outbox_high_bytes + config.outbox_answers_max_bytes + config.read_bytes_max;
    assert!(snapshot.shell.outbox_bytes <= bound as u64, "{} bytes unsent", snapshot.shell.outbox_bytes);
    Client::connect(broker.tcp(), V5, "other").ping();
    // Once it reads, it is read again, and every ping is answered.
    for _ in 0..sent / 2 {
        assert_eq!(flood.receive().packet(), Packet::PingResp);
    }
}

#[test]
fn a_websocket_client_that_pings_without_reading_is_no_longer_read() {
    let broker = TestBroker::start();
    let mut flood = Client::connect_websocket(broker.websocket(), V5, "flood");
    let pings = crate::client::masked_frame(0x89, &[7; 125]).repeat(1_000);
    send_until_paused(&broker, &mut flood, &pings);
    let snapshot = broker.statistics();
    assert!(snapshot.shell.outbox_bytes < 512 * 1024, "{} bytes unsent", snapshot.shell.outbox_bytes);
}

/// So little that the broker soon cannot write any more.
fn with_tiny_receive_buffer(client: Client) -> Client {
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(4096).expect("a receive buffer size");
    client
}

#[test]
fn large_messages_over_websocket_leave_nothing_in_the_count_of_unsent_bytes() {
    let broker = TestBroker::start();
    let mut stuck = with_tiny_receive_buffer(Client::connect_websocket(broker.websocket(), V5, "stuck"));
    stuck.subscribe("t", QoS::AtMostOnce);
    let mut reading = Client::connect_websocket(broker.websocket(), V5, "reading");
    reading.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    for _ in 0..200 {
        publisher.publish("t", &[7; 65_600], QoS::AtMostOnce, 0);
        assert_eq!(reading.receive().publish().1.len(), 65_600);
    }
    publisher.ping();
    let snapshot = broker.statistics();
    assert!(snapshot.shell.congested > 0, "13 MB fit into socket buffers: {snapshot:#?}");
    drop(stuck);
    let snapshot = broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections == 2);
    assert_eq!(snapshot.shell.outbox_bytes, 0);
}

#[test]
fn pings_before_connect_whose_answers_are_not_taken_end_the_connection() {
    let broker = TestBroker::start();
    let mut flood = with_tiny_receive_buffer(Client::open_websocket(broker.websocket(), V5));
    let pings = crate::client::masked_frame(0x89, &[7; 125]).repeat(1_000);
    let mut sent = 0_usize;
    while std::io::Write::write_all(&mut flood.stream, &pings).is_ok() {
        sent += pings.len();
        assert!(sent < 1 << 28, "the broker reads on and on");
    }
    let snapshot = broker.wait_for("it to be gone", |snapshot| snapshot.shell.half_open == 0);
    assert_eq!((snapshot.shell.handshake_failures, snapshot.shell.connections), (1, 0));
    assert_eq!((snapshot.shell.outbox_bytes, snapshot.shell.half_open_bytes), (0, 0));
}

#[test]
fn pings_before_connect_whose_answers_are_taken_are_answered() {
    let broker = TestBroker::start();
    let mut client = Client::open_websocket(broker.websocket(), V5);
    for number in 0..100_u8 {
        client.send_frame(0x89, &[number; 125]);
        assert_eq!(client.receive_pong(), [number; 125]);
    }
    client.handshake(&Connect::new(V5, "c", true));
    client.ping();
    assert_eq!(broker.statistics().shell.outbox_bytes, 0);
}

#[test]
fn all_outboxes_together_are_bounded() {
    let config = Config { outbox_total_bytes: 100_000, ..Config::default() };
    let core = selvedge_core::Config { queue_messages_max: 10, ..Default::default() };
    let broker = TestBroker::with(config, core);
    let stuck: Vec<Client> = (0..20)
        .map(|number| {
            let mut client = Client::open(broker.tcp(), V5);
            client.handshake(&Connect::new(V5, &format!("stuck{number}"), true));
            client.subscribe("t", QoS::AtMostOnce);
            client
        })
        .collect();
    let mut publisher = Client::connect(broker.tcp(), V5, "p");
    for number in 0..1_500 {
        publisher.publish("t", &payload(number), QoS::AtMostOnce, 0);
    }
    publisher.ping();
    let snapshot = broker.statistics();
    assert!(snapshot.core.dropped_queue_full > 0, "{snapshot:#?}");
    // Each may keep its low-water mark and the message that went over it; without the limit it would be 20 × 64 KiB.
    let bound = 20 * (Config::default().outbox_low_bytes + PAYLOAD_BYTES + 100);
    assert!(snapshot.shell.outbox_bytes <= bound as u64, "{} bytes unsent", snapshot.shell.outbox_bytes);
    drop(stuck);
}
