//! Who may connect: answers that take long, refusals, and clients that do not wait for them.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use selvedge_broker::{Attempt, Authenticate, Config, Identity, Verdict};
use selvedge_codec::{Connect, Packet, ProtocolVersion, QoS, ReasonCode};
use selvedge_core::{Action, Authorize, Principal};

use crate::client::{Client, PATIENCE, TestBroker, V5, V311};

/// Does what the password says; `wait` waits until the gate is opened.
#[derive(Debug, Default)]
struct AsThePasswordSays {
    open: Mutex<bool>,
    opened: Condvar,
    entered: AtomicBool,
}

impl AsThePasswordSays {
    fn open(&self) {
        *self.open.lock().expect("lock") = true;
        self.opened.notify_all();
    }
}

impl Authenticate for AsThePasswordSays {
    fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
        match attempt.password.unwrap_or_default() {
            b"" => Some(Verdict::Accept(Identity::default())),
            b"quick panic" => panic!("on purpose"),
            [b'=', code] => Some(Verdict::Refuse(ReasonCode::from_byte(*code).expect("a code"))),
            b"short" => {
                Some(Verdict::Accept(Identity { expires_in: Some(Duration::from_millis(300)), ..Identity::default() }))
            }
            _ => None,
        }
    }

    fn check(&self, attempt: &Attempt<'_>) -> Verdict {
        match attempt.password.unwrap_or_default() {
            b"panic" => panic!("on purpose"),
            b"wait" => {
                self.entered.store(true, Ordering::Release);
                let open = self.open.lock().expect("lock");
                let waited = self.opened.wait_timeout_while(open, PATIENCE, |open| !*open).expect("lock");
                assert!(!waited.1.timed_out());
                let user = attempt.username.map(Into::into);
                Verdict::Accept(Identity { user, ..Identity::default() })
            }
            [b'=', code] => Verdict::Refuse(ReasonCode::from_byte(*code).expect("a code")),
            b"right" => Verdict::Accept(Identity::default()),
            _ => Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
        }
    }
}

fn start(config: Config) -> (TestBroker, Arc<AsThePasswordSays>) {
    let authenticator = Arc::new(AsThePasswordSays::default());
    let given = authenticator.clone();
    let broker = TestBroker::changed(config, Default::default(), |broker| broker.authenticator = given);
    (broker, authenticator)
}

fn with_password<'a>(version: ProtocolVersion, client_id: &'a str, password: &'a [u8]) -> Connect<'a> {
    Connect { username: Some("user"), password: Some(password), ..Connect::new(version, client_id, true) }
}

/// What a client with this password is told, before it is closed.
fn told(broker: &TestBroker, version: ProtocolVersion, password: &[u8]) -> Option<ReasonCode> {
    let mut client = Client::open(broker.tcp(), version);
    client.send(&Packet::Connect(Box::new(with_password(version, "c", password))));
    let rest = client.rest();
    match rest.as_slice() {
        [] => None,
        [answer] => match answer.packet() {
            Packet::ConnAck(connack) => Some(connack.reason),
            other => panic!("{other:?}"),
        },
        more => panic!("{more:?}"),
    }
}

#[test]
fn every_refusal_is_told_as_the_version_can_tell_it_and_then_the_connection_is_closed() {
    use ReasonCode as Code;
    let (broker, _) = start(Config::default());
    let cases = [
        (Code::BadUserNameOrPassword, Code::BadUserNameOrPassword),
        (Code::NotAuthorized, Code::NotAuthorized),
        (Code::ServerUnavailable, Code::ServerUnavailable),
        (Code::ServerBusy, Code::ServerUnavailable),
        (Code::Banned, Code::NotAuthorized),
        (Code::BadAuthenticationMethod, Code::NotAuthorized),
    ];
    for (reason, told_to_old) in cases {
        let password = [b'=', reason.byte()];
        assert_eq!(told(&broker, V5, &password), Some(reason));
        assert_eq!(told(&broker, V311, &password), Some(told_to_old), "{reason:?}");
    }
    // What CONNACK cannot say.
    assert_eq!(told(&broker, V5, &[b'=', Code::TopicAliasInvalid.byte()]), None);
    assert_eq!(told(&broker, V5, b"wrong"), Some(Code::BadUserNameOrPassword));
    let snapshot = broker.wait_for("all to be gone", |snapshot| snapshot.shell.connections == 0);
    assert_eq!(snapshot.shell.authentications_refused, 14);
    assert_eq!(snapshot.shell.authentications_checked, 1, "the others were known at once");
    assert_eq!(snapshot.core.connects_accepted, 0);
}

#[test]
fn a_refusal_over_websocket_is_told_in_a_frame_and_closed_in_order() {
    let (broker, _) = start(Config::default());
    let mut client = Client::open_websocket(broker.websocket(), V5);
    client.send(&Packet::Connect(Box::new(with_password(V5, "c", b"wrong"))));
    let (first, connack) = client.receive_frame().expect("a frame");
    assert_eq!((first, connack.as_slice()), (0x82, &[0x20, 3, 0, 0x86, 0][..]));
    assert_eq!(client.receive_frame(), Some((0x88, 1008_u16.to_be_bytes().to_vec())));
}

#[test]
fn who_waits_for_a_slow_answer_holds_nobody_up_and_loses_nothing_that_it_sent_ahead() {
    let (broker, authenticator) = start(Config::default());
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("t", QoS::AtLeastOnce);
    let ways = [
        (Client::open as fn(_, _) -> Client, broker.tcp()),
        (Client::open_websocket as fn(_, _) -> Client, broker.websocket()),
    ];
    for (round, (open, address)) in (1..).zip(ways) {
        *authenticator.open.lock().expect("lock") = false;
        authenticator.entered.store(false, Ordering::Release);
        let mut slow = open(address, V5);
        slow.send(&Packet::Connect(Box::new(with_password(V5, "slow", b"wait"))));
        // More than is kept: the rest waits in the socket.
        let ahead: Vec<u8> = (0..50_u8).flat_map(|n| slow.publish_bytes("t", &[n; 1000], QoS::AtMostOnce, 0)).collect();
        slow.send_bytes(&ahead);
        broker.wait_for("the question", |_| authenticator.entered.load(Ordering::Acquire));
        let snapshot = broker.wait_for("what is sent ahead", |snapshot| snapshot.shell.half_open_bytes > 16_000);
        assert_eq!(snapshot.shell.half_open, 1);
        assert!(snapshot.shell.half_open_bytes < 64 * 1024, "{snapshot:?}");
        subscriber.ping();
        Client::connect(broker.tcp(), V5, "other").ping();
        assert_eq!(broker.statistics().core.publishes_received[0], 50 * (round - 1), "nothing of it counts yet");
        authenticator.open();
        assert!(matches!(slow.receive().packet(), Packet::ConnAck(connack) if !connack.reason.is_error()));
        for number in 0..50 {
            assert_eq!(subscriber.receive().publish().1, [number; 1000]);
        }
        slow.ping();
        assert_eq!(broker.statistics().core.publishes_received[0], 50 * round);
    }
}

#[test]
fn what_a_refused_client_sent_ahead_is_not_handled() {
    let (broker, _) = start(Config::default());
    let mut subscriber = Client::connect(broker.tcp(), V5, "s");
    subscriber.subscribe("t", QoS::AtMostOnce);
    for password in [&b"wrong"[..], b"=\x87"] {
        let mut client = Client::open(broker.tcp(), V5);
        let connect = client.encode(&Packet::Connect(Box::new(with_password(V5, "c", password))));
        let publish = client.publish_bytes("t", b"smuggled", QoS::AtMostOnce, 0);
        client.send_bytes(&[connect, publish].concat());
        assert_eq!(client.rest().len(), 1);
    }
    subscriber.ping();
}

#[test]
fn clients_that_go_away_give_their_places_back() {
    let config = Config { authentications_waiting_max: 3, ..Config::default() };
    let (broker, authenticator) = start(config);
    let ask = |name: &str, password: &[u8]| {
        let mut client = Client::open(broker.tcp(), V5);
        client.send(&Packet::Connect(Box::new(with_password(V5, name, password))));
        client
    };
    let mut first = ask("first", b"wait");
    broker.wait_for("the question", |_| authenticator.entered.load(Ordering::Acquire));
    let mut waiting: Vec<Client> = ["a", "b", "c"].map(|name| ask(name, b"right")).into();
    broker.wait_for("the queue to be full", |snapshot| snapshot.shell.authentications_waiting == 3);
    let mut refused = ask("d", b"right");
    assert!(matches!(refused.receive().packet(), Packet::ConnAck(connack) if connack.reason == ReasonCode::ServerBusy));
    assert!(refused.rest().is_empty());
    assert_eq!(told(&broker, V311, b"right"), Some(ReasonCode::ServerUnavailable));
    assert_eq!(broker.statistics().shell.authentications_busy, 2);
    drop(waiting.pop());
    broker.wait_for("the place", |snapshot| snapshot.shell.authentications_waiting == 2);
    let mut last = ask("e", b"right");
    broker.wait_for("the last", |snapshot| snapshot.shell.authentications_waiting == 3);
    authenticator.open();
    for client in waiting.iter_mut().chain([&mut first, &mut last]) {
        assert!(matches!(client.receive().packet(), Packet::ConnAck(connack) if !connack.reason.is_error()));
        client.ping();
    }
    assert_eq!(broker.statistics().shell.half_open, 0);
}

#[test]
fn one_that_is_not_judged_in_time_is_told_so() {
    let config = Config { handshake_timeout: Duration::from_millis(300), ..Config::default() };
    let (broker, authenticator) = start(config);
    assert_eq!(told(&broker, V5, b"wait"), Some(ReasonCode::ServerUnavailable));
    let statistics = broker.statistics().shell;
    assert_eq!((statistics.handshake_timeouts, statistics.authentication_timeouts), (1, 1));
    authenticator.open();
    // The thread goes on with the next.
    broker.wait_for("the thread", |_| told(&broker, V5, b"wrong") == Some(ReasonCode::BadUserNameOrPassword));
}

#[test]
fn a_panic_refuses_one_client_and_nobody_else() {
    let (broker, _) = start(Config::default());
    let mut other = Client::connect(broker.tcp(), V5, "other");
    for password in [&b"quick panic"[..], b"panic"] {
        assert_eq!(told(&broker, V5, password), Some(ReasonCode::UnspecifiedError));
        assert_eq!(told(&broker, V311, password), Some(ReasonCode::ServerUnavailable));
    }
    assert_eq!(broker.statistics().shell.authenticator_panics, 4);
    other.ping();
    Client::open(broker.tcp(), V5).handshake(&with_password(V5, "c", b"right"));
}

#[test]
fn credentials_that_end_end_the_connection() {
    let (broker, _) = start(Config::default());
    let mut client = Client::open(broker.tcp(), V5);
    client.handshake(&with_password(V5, "c", b"short"));
    let told = client.receive();
    assert!(matches!(told.packet(), Packet::Disconnect(packet) if packet.reason == ReasonCode::NotAuthorized));
}

/// Lets nobody in but the client `welcome`, and nobody publish.
#[derive(Debug)]
struct OnlyWelcome;

impl Authorize for OnlyWelcome {
    fn may_connect(&self, who: Principal<'_>) -> bool {
        who.client_id == "welcome"
    }

    fn may(&self, _who: Principal<'_>, action: Action, _topic: &str) -> bool {
        action == Action::Subscribe
    }
}

#[test]
fn new_rules_hold_for_those_who_are_connected_and_for_those_who_come() {
    let broker = TestBroker::start();
    let mut welcome = Client::connect(broker.tcp(), V5, "welcome");
    welcome.subscribe("t", QoS::AtMostOnce);
    let mut other = Client::connect(broker.tcp(), V5, "other");
    broker.handle.set_rules(Box::new(OnlyWelcome));
    let told = other.receive();
    assert!(matches!(told.packet(), Packet::Disconnect(packet) if packet.reason == ReasonCode::NotAuthorized));
    assert_eq!(self::told(&broker, V5, b""), Some(ReasonCode::NotAuthorized));
    welcome.publish("t", b"not any more", QoS::AtMostOnce, 0);
    welcome.ping();
    assert_eq!(broker.statistics().core.publishes_sent, [0; 3]);
}
