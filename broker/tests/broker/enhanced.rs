//! Enhanced authentication (MQTT 5, 4.12): exchanges before CONNACK and while a client is served.

use std::sync::Arc;

use selvedge_broker::{Attempt, Authenticate, Config, Exchange, Identity, Verdict};
use selvedge_codec::{Auth, Connect, Disconnect, Packet, QoS, ReasonCode};

use crate::client::{Client, Received, TestBroker, V5};

/// The method `COUNT`: the client must send 1, 2, 3 when it is sent 0, 1, 2; its first data says where to begin.
#[derive(Debug)]
struct Count;

#[derive(Debug)]
struct Counting(u8);

impl Counting {
    fn go_on(self) -> Verdict {
        Verdict::Continue { data: vec![self.0], exchange: Box::new(self) }
    }
}

impl Exchange for Counting {
    fn step(self: Box<Self>, data: &[u8]) -> Verdict {
        match data {
            b"panic" => panic!("on purpose"),
            b"again" => self.go_on(),
            [number] if *number != self.0 + 1 => Verdict::Refuse(ReasonCode::NotAuthorized),
            [3] => {
                Verdict::Accept(Identity { user: Some("counter".into()), data: b"done".into(), ..Identity::default() })
            }
            [number] => Counting(*number).go_on(),
            _ => Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
        }
    }
}

impl Authenticate for Count {
    fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        match attempt.method {
            Some("COUNT") => None,
            Some(_) => Some(Verdict::Refuse(ReasonCode::BadAuthenticationMethod)),
            // Wants to go on with whoever says so, method or not.
            None if attempt.username == Some("odd") => Some(Counting(0).go_on()),
            None => Some(Verdict::Accept(Identity::default())),
        }
    }

    fn check(&self, attempt: &Attempt<'_>) -> Verdict {
        match attempt.data {
            [number] => Counting(*number).go_on(),
            b"stranger" => Verdict::Accept(Identity { user: Some("stranger".into()), ..Identity::default() }),
            b"at once" => Verdict::Accept(Identity { user: Some("counter".into()), ..Identity::default() }),
            _ => Verdict::Refuse(ReasonCode::NotAuthorized),
        }
    }
}

fn start(config: Config) -> TestBroker {
    TestBroker::changed(config, Default::default(), |broker| broker.authenticator = Arc::new(Count))
}

fn auth<'a>(reason: ReasonCode, method: &'a str, data: &'a [u8]) -> Packet<'a> {
    Packet::Auth(Auth { reason, method: Some(method), data: Some(data), ..Auth::default() })
}

fn answer(data: &[u8]) -> Packet<'_> {
    auth(ReasonCode::ContinueAuthentication, "COUNT", data)
}

fn asking<'a>(client_id: &'a str, data: &'a [u8]) -> Connect<'a> {
    Connect {
        authentication_method: Some("COUNT"),
        authentication_data: Some(data),
        ..Connect::new(V5, client_id, true)
    }
}

fn expect_auth(received: &Received, reason: ReasonCode, data: &[u8]) {
    match received.packet() {
        Packet::Auth(auth) => {
            assert_eq!((auth.reason, auth.method), (reason, Some("COUNT")));
            assert_eq!(auth.data.unwrap_or_default(), data);
        }
        other => panic!("expected AUTH, got {other:?}"),
    }
}

/// Connected by counting.
fn counted(broker: &TestBroker) -> Client {
    let mut client = Client::open(broker.tcp(), V5);
    count(&mut client);
    client
}

fn count(client: &mut Client) {
    client.send(&Packet::Connect(Box::new(asking("c", &[0]))));
    for number in 0..3 {
        expect_auth(&client.receive(), ReasonCode::ContinueAuthentication, &[number]);
        client.send(&answer(&[number + 1]));
    }
    let connack = client.receive();
    match connack.packet() {
        Packet::ConnAck(connack) => {
            assert_eq!(connack.reason, ReasonCode::Success);
            assert_eq!(
                (connack.authentication_method, connack.authentication_data),
                (Some("COUNT"), Some(&b"done"[..]))
            );
        }
        other => panic!("{other:?}"),
    }
}

/// The only packet that is left: a refusal.
fn refusal(client: &mut Client) -> Option<ReasonCode> {
    let rest = client.rest();
    match rest.as_slice() {
        [] => None,
        [only] => match only.packet() {
            Packet::ConnAck(connack) => Some(connack.reason),
            Packet::Disconnect(disconnect) => Some(disconnect.reason),
            other => panic!("{other:?}"),
        },
        more => panic!("{more:?}"),
    }
}

#[test]
fn an_exchange_of_three_steps_ends_in_connack_over_both_transports() {
    let broker = start(Config::default());
    counted(&broker).ping();
    let mut websocket = Client::open_websocket(broker.websocket(), V5);
    count(&mut websocket);
    websocket.ping();
    let statistics = broker.statistics();
    assert_eq!(statistics.shell.authentications_checked, 8);
    assert_eq!(statistics.shell.half_open, 0);
}

#[test]
fn what_is_sent_ahead_of_the_answer_is_an_answer_and_what_comes_after_the_last_is_handled() {
    let broker = start(Config::default());
    let mut client = Client::open(broker.tcp(), V5);
    let packets = [Packet::Connect(Box::new(asking("c", &[2]))), answer(&[3]), Packet::PingReq];
    let all: Vec<u8> = packets.iter().flat_map(|packet| client.encode(packet)).collect();
    client.send_bytes(&all);
    expect_auth(&client.receive(), ReasonCode::ContinueAuthentication, &[2]);
    assert!(matches!(client.receive().packet(), Packet::ConnAck(connack) if !connack.reason.is_error()));
    assert_eq!(client.receive().packet(), Packet::PingResp);
}

#[test]
fn every_wrong_turn_before_connack_is_refused_and_closed() {
    let broker = start(Config::default());
    let publish = Client::open(broker.tcp(), V5).publish_bytes("t", b"", QoS::AtMostOnce, 0);
    let client = Client::open(broker.tcp(), V5);
    let encoded = |packet: &Packet<'_>| client.encode(packet);
    let cases = [
        ("a wrong number", encoded(&answer(&[7])), Some(ReasonCode::NotAuthorized)),
        ("no number", encoded(&answer(b"nonsense")), Some(ReasonCode::BadUserNameOrPassword)),
        ("a panic", encoded(&answer(b"panic")), Some(ReasonCode::UnspecifiedError)),
        (
            "another method",
            encoded(&auth(ReasonCode::ContinueAuthentication, "OTHER", &[1])),
            Some(ReasonCode::BadAuthenticationMethod),
        ),
        (
            "re-authentication",
            encoded(&auth(ReasonCode::Reauthenticate, "COUNT", &[1])),
            Some(ReasonCode::ProtocolError),
        ),
        ("success", encoded(&auth(ReasonCode::Success, "COUNT", &[1])), Some(ReasonCode::ProtocolError)),
        ("a second CONNECT", encoded(&Packet::Connect(Box::new(asking("d", &[0])))), Some(ReasonCode::ProtocolError)),
        ("PINGREQ", encoded(&Packet::PingReq), Some(ReasonCode::ProtocolError)),
        ("PUBLISH", publish, Some(ReasonCode::ProtocolError)),
        ("DISCONNECT", encoded(&Packet::Disconnect(Disconnect::default())), None),
        ("a malformed AUTH", vec![0xF0, 1, 0x18], Some(ReasonCode::MalformedPacket)),
        ("a reserved type", vec![0x00, 0], None),
    ];
    drop(client);
    for (what, bytes, expected) in cases {
        let mut client = Client::open(broker.tcp(), V5);
        client.send(&Packet::Connect(Box::new(asking("c", &[0]))));
        expect_auth(&client.receive(), ReasonCode::ContinueAuthentication, &[0]);
        client.send_bytes(&bytes);
        let told = refusal(&mut client);
        assert_eq!(told, expected, "{what}");
    }
    let snapshot =
        broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections + snapshot.shell.half_open == 0);
    assert_eq!(snapshot.core.connects_accepted, 0);
    assert_eq!(snapshot.shell.authenticator_panics, 1);
}

#[test]
fn an_exchange_ends_by_the_deadline_and_after_so_many_steps() {
    let broker = start(Config { handshake_timeout: std::time::Duration::from_millis(300), ..Config::default() });
    let mut silent = Client::open(broker.tcp(), V5);
    silent.send(&Packet::Connect(Box::new(asking("silent", &[0]))));
    expect_auth(&silent.receive(), ReasonCode::ContinueAuthentication, &[0]);
    assert_eq!(refusal(&mut silent), None);
    assert_eq!(broker.statistics().shell.handshake_timeouts, 1);

    let broker = start(Config::default());
    let mut endless = Client::open(broker.tcp(), V5);
    endless.send(&Packet::Connect(Box::new(asking("endless", &[0]))));
    let mut steps = 0;
    let refused = loop {
        let received = endless.receive();
        match received.packet() {
            Packet::Auth(_) => steps += 1,
            Packet::ConnAck(connack) => break connack.reason,
            other => panic!("{other:?}"),
        }
        endless.send(&answer(b"again"));
    };
    assert_eq!((steps, refused), (16, ReasonCode::NotAuthorized));
}

#[test]
fn a_method_that_is_not_known_and_an_exchange_without_a_method_are_refused() {
    let broker = start(Config::default());
    let mut unknown = Client::open(broker.tcp(), V5);
    let connect = Connect { authentication_method: Some("UNKNOWN"), ..Connect::new(V5, "c", true) };
    unknown.send(&Packet::Connect(Box::new(connect)));
    assert_eq!(refusal(&mut unknown), Some(ReasonCode::BadAuthenticationMethod));
    let mut odd = Client::open(broker.tcp(), V5);
    odd.send(&Packet::Connect(Box::new(Connect { username: Some("odd"), ..Connect::new(V5, "c", true) })));
    assert_eq!(refusal(&mut odd), Some(ReasonCode::ImplementationSpecificError));
}

#[test]
fn a_client_that_takes_only_small_packets_gets_no_auth_that_is_larger() {
    let broker = start(Config::default());
    let limited = |size: u32| {
        let mut client = Client::open(broker.tcp(), V5);
        let connect = Connect { maximum_packet_size: std::num::NonZeroU32::new(size), ..asking("c", &[0]) };
        client.send(&Packet::Connect(Box::new(connect)));
        client
    };
    let mut roomy = limited(16);
    let auth = roomy.receive();
    expect_auth(&auth, ReasonCode::ContinueAuthentication, &[0]);
    assert_eq!(auth.bytes.len(), 16);
    let mut narrow = limited(15);
    assert_eq!(refusal(&mut narrow), Some(ReasonCode::PacketTooLarge));
}

#[test]
fn a_client_authenticates_again_and_is_served_meanwhile() {
    let broker = start(Config::default());
    let mut client = counted(&broker);
    for _ in 0..2 {
        client.send(&auth(ReasonCode::Reauthenticate, "COUNT", &[1]));
        expect_auth(&client.receive(), ReasonCode::ContinueAuthentication, &[1]);
        client.ping();
        client.send(&answer(&[2]));
        expect_auth(&client.receive(), ReasonCode::ContinueAuthentication, &[2]);
        client.send(&answer(&[3]));
        expect_auth(&client.receive(), ReasonCode::Success, b"done");
        client.ping();
    }
    client.send(&auth(ReasonCode::Reauthenticate, "COUNT", b"at once"));
    expect_auth(&client.receive(), ReasonCode::Success, b"");
    assert_eq!(broker.statistics().core.reauthentications, 3);
}

#[test]
fn a_reauthentication_that_fails_ends_the_connection() {
    let broker = start(Config::default());
    type Steps<'a> = &'a [(ReasonCode, &'a [u8])];
    let cases: [(&str, Steps<'_>, ReasonCode); 6] = [
        ("refused at once", &[(ReasonCode::Reauthenticate, b"nonsense")], ReasonCode::NotAuthorized),
        (
            "a wrong number",
            &[(ReasonCode::Reauthenticate, &[1]), (ReasonCode::ContinueAuthentication, &[9])],
            ReasonCode::NotAuthorized,
        ),
        (
            "a panic",
            &[(ReasonCode::Reauthenticate, &[1]), (ReasonCode::ContinueAuthentication, b"panic")],
            ReasonCode::UnspecifiedError,
        ),
        ("somebody else", &[(ReasonCode::Reauthenticate, b"stranger")], ReasonCode::NotAuthorized),
        ("an answer to nothing", &[(ReasonCode::ContinueAuthentication, &[1])], ReasonCode::ProtocolError),
        (
            "twice at a time",
            &[(ReasonCode::Reauthenticate, &[1]), (ReasonCode::Reauthenticate, &[1])],
            ReasonCode::ProtocolError,
        ),
    ];
    for (what, steps, expected) in cases {
        let mut client = counted(&broker);
        for (number, (reason, data)) in steps.iter().enumerate() {
            if number > 0 {
                expect_auth(&client.receive(), ReasonCode::ContinueAuthentication, &[1]);
            }
            client.send(&auth(*reason, "COUNT", data));
        }
        assert_eq!(refusal(&mut client), Some(expected), "{what}");
    }
    let mut other = counted(&broker);
    other.send(&auth(ReasonCode::Reauthenticate, "OTHER", &[1]));
    assert_eq!(refusal(&mut other), Some(ReasonCode::ProtocolError));
    let mut without = Client::connect(broker.tcp(), V5, "without");
    without.send(&auth(ReasonCode::Reauthenticate, "COUNT", &[1]));
    assert_eq!(refusal(&mut without), Some(ReasonCode::ProtocolError));
}

#[test]
fn a_client_that_leaves_while_it_is_judged_leaves_nothing_behind() {
    let broker = start(Config::default());
    for _ in 0..20 {
        let mut client = counted(&broker);
        client.send(&auth(ReasonCode::Reauthenticate, "COUNT", &[1]));
        drop(client);
    }
    let snapshot = broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 0);
    assert_eq!(snapshot.shell.authentications_waiting, 0);
    counted(&broker).ping();
}
