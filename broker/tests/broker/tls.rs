//! MQTT over TLS and over WebSocket over TLS, and what clients do to it that is no TLS.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind,
    version::{TLS12, TLS13},
};
use selvedge_broker::{
    Attempt, Authenticate, Config, Identity, Listener, PeerCertificate, Snapshot, TlsSettings, Transport, Verdict,
};
use selvedge_codec::{Connect, Disconnect, Packet, QoS, ReasonCode, Will};

use crate::{
    certificates::{Authority, BOTH, serving},
    client::{Client, PATIENCE, TestBroker, V5, V311},
};

/// Places of the encrypted listeners, behind those in plain text.
const TLS: usize = 2;
const WSS: usize = 3;

/// A broker with encrypted listeners as well.
fn start(config: Config, settings: &TlsSettings) -> TestBroker {
    start_asking(config, settings, Arc::new(selvedge_broker::AnonymousAccess))
}

fn start_asking(config: Config, settings: &TlsSettings, authenticator: Arc<dyn Authenticate>) -> TestBroker {
    TestBroker::changed(config, Default::default(), |broker| {
        broker.authenticator = authenticator;
        for transport in [Transport::Tcp, Transport::WebSocket] {
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            let listener = Listener::bind(any_port, transport).expect("bind").with_tls(settings.clone());
            broker.listeners.push(listener);
        }
    })
}

/// A broker without client certificates, and settings of clients for it.
fn simple(config: Config) -> (TestBroker, Arc<ClientConfig>) {
    let authority = Authority::new();
    let settings = TlsSettings::new(serving(&authority.server(1), None));
    (start(config, &settings), authority.trusting(BOTH, None))
}

fn connect(
    address: SocketAddr,
    version: selvedge_codec::ProtocolVersion,
    config: &Arc<ClientConfig>,
    name: &str,
) -> Client {
    let mut client = Client::open_tls(address, version, config);
    client.handshake(&Connect::new(version, name, true));
    client
}

#[test]
fn both_versions_of_tls_carry_both_versions_of_mqtt_over_both_transports() {
    let authority = Authority::new();
    let settings = TlsSettings::new(serving(&authority.server(1), None));
    let broker = start(Config::default(), &settings);
    let large: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    for tls in [&TLS12, &TLS13] {
        let config = authority.trusting(&[tls], None);
        for version in [V311, V5] {
            for place in [TLS, WSS] {
                let mut client = Client::open_tls(broker.address(place), version, &config);
                if place == WSS {
                    client.become_websocket();
                }
                client.handshake(&Connect::new(version, "c", true));
                assert_eq!(client.tls.as_ref().and_then(|tls| tls.protocol_version()), Some(tls.version));
                client.subscribe("t", QoS::AtLeastOnce);
                for payload in [&b""[..], b"small", &large[..16_384], &large[..16_385], &large] {
                    client.publish("t", payload, QoS::AtLeastOnce, 7);
                    let mut came = [client.receive(), client.receive()];
                    came.sort_by_key(|packet| matches!(packet.packet(), Packet::Publish(_)));
                    let (topic, received, qos, id) = came[1].publish();
                    assert!(topic == "t" && received == payload, "{} bytes by {:?}", payload.len(), tls.version);
                    client.acknowledge(qos, id);
                }
                client.ping();
            }
        }
    }
    let statistics = broker.statistics().shell;
    assert_eq!((statistics.tls_handshakes, statistics.tls_handshake_failures), (8, 0));
}

#[test]
fn what_comes_in_small_records_is_handled_without_waiting_for_more() {
    let (broker, config) = simple(Config { effects_per_turn_max: 3, ..Config::default() });
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("t", QoS::AtMostOnce);
    let mut client = connect(broker.address(TLS), V5, &config, "c");
    // A record for each packet, and one packet over many records, all in one segment of TCP or in few.
    let mut records = Vec::new();
    let packets: Vec<Vec<u8>> =
        (0..200_u8).map(|number| client.publish_bytes("t", &[number], QoS::AtMostOnce, 0)).collect();
    let last = client.publish_bytes("t", &[7; 500], QoS::AtMostOnce, 0);
    let tls = client.tls.as_mut().expect("encrypted");
    for piece in packets.iter().map(Vec::as_slice).chain(last.chunks(10)) {
        tls.writer().write_all(piece).expect("buffered");
        tls.write_tls(&mut records).expect("written");
    }
    client.stream.write_all(&records).expect("write");
    for number in 0..200_u8 {
        assert_eq!(subscriber.receive().publish().1, [number]);
    }
    assert_eq!(subscriber.receive().publish().1, [7; 500]);
    client.ping();
}

#[test]
fn packets_in_the_same_flight_as_the_end_of_the_handshake_are_handled() {
    let authority = Authority::new();
    let broker = start(Config::default(), &TlsSettings::new(serving(&authority.server(1), None)));
    for tls in [&TLS12, &TLS13] {
        let mut client = Client::open_tls(broker.address(TLS), V5, &authority.trusting(&[tls], None));
        let connect = client.encode(&Packet::Connect(Box::new(Connect::new(V5, "early", true))));
        let ping = client.encode(&Packet::PingReq);
        // Written by the library together with its last message.
        client.tls.as_mut().expect("encrypted").writer().write_all(&[connect, ping].concat()).expect("buffered");
        assert!(matches!(client.receive().packet(), Packet::ConnAck(_)), "{:?}", tls.version);
        assert_eq!(client.receive().packet(), Packet::PingResp);
    }
}

#[test]
fn a_slow_subscriber_gets_every_byte_once_it_reads() {
    let (broker, config) = simple(Config::default());
    for place in [TLS, WSS] {
        let mut subscriber = Client::open_tls(broker.address(place), V5, &config);
        if place == WSS {
            subscriber.become_websocket();
        }
        subscriber.handshake(&Connect::new(V5, "s", true));
        subscriber.subscribe("t", QoS::AtLeastOnce);
        let mut publisher = connect(broker.address(TLS), V5, &config, "p");
        let before = broker.statistics().shell.congested;
        // Short ones are copied, long ones are shared: both kinds of write.
        let payload = |number: usize| vec![number as u8; if number.is_multiple_of(3) { 90_000 } else { 300 }];
        let mut sent = 0;
        while broker.statistics().shell.congested == before {
            sent += 1;
            publisher.publish_completely("t", &payload(sent), QoS::AtLeastOnce, 1);
        }
        for number in 1..=sent {
            let received = subscriber.receive();
            let (_, bytes, qos, id) = received.publish();
            assert_eq!(bytes, payload(number));
            subscriber.acknowledge(qos, id);
        }
        subscriber.ping();
    }
    broker.wait_for("nothing to be kept", |snapshot| snapshot.shell.tls_bytes == 0);
}

#[test]
fn the_end_is_announced_by_either_side() {
    let (broker, config) = simple(Config::default());
    let mut leaving = connect(broker.address(TLS), V5, &config, "leaving");
    leaving.send(&Packet::Disconnect(Disconnect::default()));
    // An end without close_notify would be an error of reading.
    assert_eq!(leaving.read_all(), b"");
    // Without DISCONNECT; an end of reading without an answer to it would be an error.
    let mut abrupt = connect(broker.address(TLS), V5, &config, "abrupt");
    abrupt.tls.as_mut().expect("encrypted").send_close_notify();
    abrupt.try_write_all(b"").expect("written");
    assert_eq!(abrupt.read_all(), b"");
    let mut staying = connect(broker.address(TLS), V5, &config, "staying");
    staying.ping();
    let stopped = std::thread::spawn(move || broker.stop(PATIENCE));
    let told = staying.receive();
    assert!(matches!(told.packet(), Packet::Disconnect(packet) if packet.reason == ReasonCode::ServerShuttingDown));
    assert_eq!(staying.read_all(), b"");
    drop(staying);
    stopped.join().expect("stopped");
}

#[test]
fn an_end_that_was_not_announced_and_a_forged_record_publish_the_will() {
    let (broker, config) = simple(Config::default());
    let mut watcher = Client::connect(broker.tcp(), V5, "watcher");
    watcher.subscribe("will", QoS::AtMostOnce);
    let will = Will {
        topic: "will",
        payload: b"gone",
        qos: QoS::AtMostOnce,
        retain: false,
        delay_s: 0,
        properties: Default::default(),
    };
    let forged = [&[0x17, 3, 3, 0, 32][..], &[0xAB; 32]].concat();
    for (number, bytes) in [&b""[..], &forged, b"\x30\x03\0\x01t", &[0x17, 3, 3, 0x7F, 0xFF]].into_iter().enumerate() {
        let mut client = Client::open_tls(broker.address(TLS), V5, &config);
        client.handshake(&Connect { will: Some(will), ..Connect::new(V5, "c", true) });
        // Below the encryption.
        client.stream.write_all(bytes).expect("write");
        client.stream.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(watcher.receive().publish().1, b"gone");
        broker.wait_for("it to be counted", |snapshot| snapshot.shell.tls_errors == number as u64 + 1);
    }
    broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 1);
}

#[test]
fn plain_text_on_an_encrypted_port_and_the_other_way_round_is_closed_at_once() {
    let (broker, config) = simple(Config::default());
    let mut plain = Client::open(broker.address(TLS), V5);
    plain.send(&Packet::Connect(Box::new(Connect::new(V5, "plain", true))));
    plain.read_all();
    let mut http = Client::open(broker.address(WSS), V5);
    http.send_all(b"GET /mqtt HTTP/1.1\r\n\r\n");
    http.read_all();
    let mut garbage = Client::open(broker.address(TLS), V5);
    // A ClientHello that says nothing.
    garbage.send_all(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]);
    let alert = garbage.read_all();
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
    broker.wait_for("all to be counted", |snapshot| snapshot.shell.tls_handshake_failures == 3);
    for address in [broker.tcp(), broker.websocket()] {
        let mut encrypted = Client::open_tls(address, V5, &config);
        let connect = encrypted.encode(&Packet::Connect(Box::new(Connect::new(V5, "c", true))));
        assert!(encrypted.try_write_all(&connect).is_err());
    }
    let nothing = |snapshot: &Snapshot| snapshot.shell.half_open == 0 && snapshot.shell.half_open_bytes == 0;
    let snapshot = broker.wait_for("nobody to be left", nothing);
    assert_eq!(snapshot.shell.handshake_timeouts, 0);
}

#[test]
fn whoever_is_slow_in_the_handshake_is_ended_by_the_deadline_and_counted_there() {
    let config = Config { handshake_timeout: Duration::from_millis(400), ..Config::default() };
    let (broker, client_config) = simple(config);
    let silent = Client::open(broker.address(TLS), V5);
    let mut hello = Vec::new();
    let name = "localhost".try_into().expect("a name");
    let mut connection = ClientConnection::new(client_config.clone(), name).expect("a configuration");
    connection.write_tls(&mut hello).expect("written");
    // Byte for byte, for ever.
    let mut loris = Client::open(broker.address(TLS), V5);
    let drip = std::thread::spawn(move || {
        let mut bytes = hello[..hello.len() - 1].iter().cycle();
        while loris.stream.write_all(&[*bytes.next().expect("endless")]).is_ok() {
            let mut byte = [0];
            loris.stream.set_read_timeout(Some(Duration::from_millis(5))).expect("timeout");
            match loris.stream.read(&mut byte) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => break,
            }
        }
    });
    // Through with TLS, and then silent: counted as everybody is.
    let mut late = Client::open_tls(broker.address(TLS), V5, &client_config);
    assert_eq!(late.try_read(&mut [0]).ok(), None, "it is closed without announcement");
    drip.join().expect("ended");
    let snapshot = broker.wait_for("all to be ended", |snapshot| snapshot.shell.handshake_timeouts == 3);
    assert_eq!((snapshot.shell.tls_handshake_timeouts, snapshot.shell.half_open), (2, 0));
    broker.wait_for("nothing to be kept", |snapshot| snapshot.shell.half_open_bytes == 0);
    drop(silent);
    connect(broker.address(TLS), V5, &client_config, "c").ping();
}

#[test]
fn a_crowd_of_half_open_handshakes_keeps_nobody_out_and_leaves_nothing_behind() {
    const CROWD: usize = 1_000;
    let config = Config { half_open_max: 64, handshake_timeout: PATIENCE, ..Config::default() };
    let (broker, client_config) = simple(config);
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = match TcpStream::connect(broker.address(TLS)) {
            Ok(stream) => stream,
            Err(error) => panic!("{number}: {error}"),
        };
        // The begin of a record that never comes; half of them say nothing.
        if number % 2 == 0 {
            let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1]);
        }
        crowd.push(stream);
        if crowd.len() > 200 {
            crowd.remove(0);
        }
    }
    let statistics = broker.statistics().shell;
    assert!(statistics.half_open <= 64, "{} half open", statistics.half_open);
    let mut client = connect(broker.address(TLS), V5, &client_config, "c");
    client.ping();
    drop(crowd);
    let nothing = |snapshot: &Snapshot| snapshot.shell.half_open == 0 && snapshot.shell.half_open_bytes == 0;
    let snapshot = broker.wait_for("the crowd to be gone", nothing);
    assert!(snapshot.shell.refused_half_open >= (CROWD - 64 - 200) as u64, "{snapshot:?}");
    client.ping();
}

#[test]
fn a_handshake_may_keep_so_much_and_no_more() {
    let config = Config { connect_bytes_max: 20_000, ..Config::default() };
    let (broker, client_config) = simple(config);
    // A ClientHello of 60,000 bytes that comes in records of 10,000.
    let record = |body: &[u8]| [&[0x16, 3, 1][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let mut large = Client::open(broker.address(TLS), V5);
    large.send_all(&record(&[&[1, 0, 0xEA, 0x60][..], &[0; 9_996]].concat()));
    broker.wait_for("it to be kept", |snapshot| snapshot.shell.half_open_bytes > 10_000);
    assert_eq!(broker.statistics().shell.refused_half_open, 0);
    large.send_all(&record(&[0; 10_000]));
    large.read_all();
    broker.wait_for("it to be refused", |snapshot| snapshot.shell.refused_half_open == 1);
    broker.wait_for("nothing to be kept", |snapshot| snapshot.shell.half_open_bytes == 0);
    connect(broker.address(TLS), V5, &client_config, "c").ping();
}

/// Makes the certificate of a client its user.
#[derive(Debug, Default)]
struct ByCertificate {
    seen: Mutex<Vec<Option<Arc<PeerCertificate>>>>,
}

impl Authenticate for ByCertificate {
    fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        self.seen.lock().expect("lock").push(attempt.certificate.cloned());
        Some(Verdict::Accept(Identity::default()))
    }

    fn check(&self, _attempt: &Attempt<'_>) -> Verdict {
        unreachable!("`quick` knows")
    }
}

/// Connects, in a way that fails when the server refuses the certificate only after the client believes to be through.
fn try_connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Client, std::io::Error> {
    let mut client = Client::open_tls(address, V5, config);
    let bytes = client.encode(&Packet::Connect(Box::new(Connect::new(V5, "c", true))));
    client.try_write_all(&bytes)?;
    let mut first = [0];
    match client.try_read(&mut first)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(client),
    }
}

#[test]
fn certificates_of_clients_are_verified_and_known_to_the_authenticator() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let known = authority.client(5);
    for required in [false, true] {
        let settings = TlsSettings::new(serving(&authority.server(1), Some(authority.verifier(required, Vec::new()))));
        let authenticator = Arc::new(ByCertificate::default());
        let broker = start_asking(Config::default(), &settings, authenticator.clone());
        for tls in [&TLS12, &TLS13] {
            for place in [TLS, WSS] {
                let config = authority.trusting(&[tls], Some(&known));
                let mut client = Client::open_tls(broker.address(place), V5, &config);
                if place == WSS {
                    client.become_websocket();
                }
                client.handshake(&Connect::new(V5, "c", true));
                let seen = authenticator.seen.lock().expect("lock").pop().expect("asked");
                assert_eq!(seen.expect("a certificate").der, known.certificate.to_vec());
            }
            let without = authority.trusting(&[tls], None);
            let refused = try_connect(broker.address(TLS), &without).is_err();
            assert_eq!(refused, required, "without a certificate");
            if !required {
                assert_eq!(authenticator.seen.lock().expect("lock").pop(), Some(None));
            }
            let forged = authority.trusting(&[tls], Some(&stranger.client(5)));
            assert!(try_connect(broker.address(TLS), &forged).is_err(), "of another authority");
        }
        assert!(authenticator.seen.lock().expect("lock").is_empty());
        let failures = if required { 4 } else { 2 };
        broker.wait_for("the refusals", |snapshot| snapshot.shell.tls_handshake_failures == failures);
    }
}

#[test]
fn new_settings_hold_for_new_handshakes_and_nobody_is_disconnected() {
    let authority = Authority::new();
    let (first, second) = (authority.server(1), authority.server(2));
    let settings = TlsSettings::new(serving(&first, None));
    let broker = start(Config::default(), &settings);
    let config = authority.trusting(BOTH, None);
    let served = |client: &Client| {
        let tls = client.tls.as_ref().expect("encrypted");
        tls.peer_certificates().and_then(|chain| chain.first()).cloned().expect("a certificate")
    };
    let mut before = connect(broker.address(TLS), V5, &config, "before");
    assert_eq!(served(&before), first.certificate);
    settings.replace(serving(&second, None));
    let mut after = connect(broker.address(TLS), V5, &config, "after");
    assert_eq!(served(&after), second.certificate);
    after.subscribe("t", QoS::AtMostOnce);
    before.publish("t", b"still here", QoS::AtMostOnce, 0);
    assert_eq!(after.receive().publish().1, b"still here");
    before.ping();
}

#[test]
fn sessions_are_resumed_until_the_settings_change() {
    let authority = Authority::new();
    let (server, known) = (authority.server(1), authority.client(5));
    for tls in [&TLS12, &TLS13] {
        let verifier = authority.verifier(true, Vec::new());
        let settings = TlsSettings::new(serving(&server, Some(verifier)));
        let authenticator = Arc::new(ByCertificate::default());
        let broker = start_asking(Config::default(), &settings, authenticator.clone());
        let config = authority.trusting(&[tls], Some(&known));
        let kind = |client: &Client| client.tls.as_ref().and_then(|tls| tls.handshake_kind()).expect("done");
        let mut first = connect(broker.address(TLS), V5, &config, "a");
        first.ping();
        assert_eq!(kind(&first), HandshakeKind::Full);
        let mut second = connect(broker.address(TLS), V5, &config, "b");
        second.ping();
        assert_eq!(kind(&second), HandshakeKind::Resumed, "{:?}", tls.version);
        let seen = authenticator.seen.lock().expect("lock").pop().flatten().expect("a certificate");
        assert_eq!(seen.der, known.certificate.to_vec(), "it goes with the session");
        // The same settings, and yet no ticket of before is taken.
        settings.replace(serving(&server, Some(authority.verifier(true, Vec::new()))));
        let mut third = connect(broker.address(TLS), V5, &config, "c");
        third.ping();
        assert_eq!(kind(&third), HandshakeKind::Full);
        // With the client's certificate revoked, neither a ticket nor the certificate is.
        settings.replace(serving(&server, Some(authority.verifier(true, vec![authority.revocation(5)]))));
        assert!(try_connect(broker.address(TLS), &config).is_err());
        let other = authority.trusting(&[tls], Some(&authority.client(6)));
        assert!(try_connect(broker.address(TLS), &other).is_ok());
        let statistics = broker.statistics().shell;
        assert_eq!((statistics.tls_handshakes, statistics.tls_handshakes_resumed), (4, 1));
        first.ping();
    }
}

#[test]
fn changes_of_keys_are_nothing_that_a_client_could_tell() {
    let authority = Authority::new();
    let settings = TlsSettings::new(serving(&authority.server(1), None));
    let broker = start(Config::default(), &settings);
    let config = authority.trusting(&[&TLS13], None);
    let mut client = connect(broker.address(TLS), V5, &config, "c");
    client.subscribe("t", QoS::AtMostOnce);
    for number in 0..20_u8 {
        client.tls.as_mut().expect("encrypted").refresh_traffic_keys().expect("TLS 1.3");
        client.publish("t", &vec![number; 1000 * usize::from(number)], QoS::AtMostOnce, 0);
        assert_eq!(client.receive().publish().1.len(), 1000 * usize::from(number));
    }
    // Many at once, without anything else.
    for _ in 0..8 {
        let tls = client.tls.as_mut().expect("encrypted");
        tls.refresh_traffic_keys().expect("TLS 1.3");
        tls.write_tls(&mut client.stream).expect("write");
    }
    client.ping();
    let statistics = broker.statistics().shell;
    assert_eq!((statistics.tls_errors, statistics.tls_bytes), (0, 0));
}

#[test]
fn a_client_that_only_changes_keys_is_ended() {
    let authority = Authority::new();
    let settings = TlsSettings::new(serving(&authority.server(1), None));
    let broker = start(Config::default(), &settings);
    let config = authority.trusting(&[&TLS13], None);
    let mut client = connect(broker.address(TLS), V5, &config, "c");
    let mut flood = Vec::new();
    for _ in 0..1000 {
        let tls = client.tls.as_mut().expect("encrypted");
        tls.refresh_traffic_keys().expect("TLS 1.3");
        tls.write_tls(&mut flood).expect("written");
    }
    // It may be closed before all is written.
    let _ = client.stream.write_all(&flood);
    broker.wait_for("it to be ended", |snapshot| snapshot.shell.tls_errors == 1 && snapshot.shell.connections == 0);
}

/// A connected client made of the command-line tool of OpenSSL, which takes commands by letters at the begin of a line.
struct OpenSsl {
    child: std::process::Child,
}

impl OpenSsl {
    /// `None` if the tool is not there.
    fn connect(broker: &TestBroker, version: &str) -> Option<Self> {
        use std::process::{Command, Stdio};
        let address = broker.address(TLS).to_string();
        let child = Command::new("openssl")
            .args(["s_client", "-connect", &address, version])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            // Not `println!`, which nobody sees of a test that passes.
            .inspect_err(|error| drop(writeln!(std::io::stdout(), "SKIPPED TLS beside openssl s_client: {error}")))
            .ok()?;
        let mut client = Self { child };
        // CONNECT of 3.1.1 with client identifier x.
        client.type_in(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01x");
        broker.wait_for("openssl to be connected", |snapshot| snapshot.core.connections == 1);
        Some(client)
    }

    fn type_in(&mut self, bytes: &[u8]) {
        let input = self.child.stdin.as_mut().expect("a pipe");
        input.write_all(bytes).expect("write");
        input.flush().expect("write");
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_changes_keys_as_it_likes_and_cannot_renegotiate() {
    let authority = Authority::new();
    let broker = start(Config::default(), &TlsSettings::new(serving(&authority.server(1), None)));
    let Some(mut client) = OpenSsl::connect(&broker, "-tls1_3") else { return };
    let publish = b"\x30\x04\0\x01t1";
    let received = || broker.statistics().core.publishes_received[0];
    for _ in 0..5 {
        // "K": change keys, and ask the other side to.
        client.type_in(b"K\n");
        let before = received();
        let start = Instant::now();
        // What it reads in one go with the command is lost.
        while received() == before {
            client.type_in(publish);
            std::thread::sleep(Duration::from_millis(1));
            assert!(start.elapsed() < PATIENCE, "no message comes");
        }
    }
    assert_eq!(broker.statistics().shell.tls_errors, 0);
    drop(client);
    broker.wait_for("it to be gone", |snapshot| snapshot.shell.connections == 0);
    let Some(mut client) = OpenSsl::connect(&broker, "-tls1_2") else { return };
    client.type_in(b"R\n");
    broker.wait_for("it to be ended", |snapshot| snapshot.shell.connections == 0);
    Client::connect(broker.tcp(), V5, "other").ping();
}
