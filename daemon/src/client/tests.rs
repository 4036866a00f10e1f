//! `pub` and `sub` against a scripted broker: a thread that expects packets and answers as the test says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use selvedge_codec::{
    Ack, AckKind, ConnAck, Disconnect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode,
    ReasonCodes, SubAck, UserProperties, decode, encode, frame_length,
};

use super::{publish, subscribe};
use crate::arguments::{Cli, Command};

/// The broker's end of one connection.
struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    version: ProtocolVersion,
}

impl Peer {
    fn accept(listener: &TcpListener, version: ProtocolVersion) -> Self {
        let (stream, _) = listener.accept().unwrap();
        Self { stream, input: Vec::new(), version }
    }

    /// The next packet in a few words; "end" when the client has closed.
    fn next(&mut self) -> String {
        loop {
            if let Some(length) = frame_length(&self.input, u32::MAX).unwrap() {
                let frame: Vec<u8> = self.input.drain(..length).collect();
                return words(decode(self.version, &frame).unwrap());
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return "end".to_owned(),
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
            }
        }
    }

    fn expect(&mut self, expected: &str) {
        assert_eq!(self.next(), expected);
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(self.version, packet, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    fn welcome(&mut self, session_present: bool) {
        self.send(&Packet::ConnAck(ConnAck { session_present, ..ConnAck::default() }));
    }

    fn grant(&mut self, packet_id: u16, reasons: &[ReasonCode]) {
        self.send(&Packet::SubAck(SubAck {
            packet_id: id(packet_id),
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: ReasonCodes::from(reasons),
        }));
    }

    fn deliver(&mut self, topic: &str, qos: QoS, packet_id: Option<u16>) {
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: packet_id.map(id),
            properties: PublishProperties::default(),
            payload: b"payload",
        }));
    }

    fn acknowledge(&mut self, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        let mut bytes = Vec::new();
        Ack::with_reason(id(packet_id), reason).encode(kind, self.version, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn words(packet: Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => {
            let will = connect.will.map_or_else(String::new, |will| format!(" will {}", will.topic));
            format!("connect {} clean {}{will}", connect.client_id, connect.clean_start)
        }
        Packet::Publish(publish) => format!(
            "publish {} {} q{} r{} dup{}",
            publish.topic,
            String::from_utf8_lossy(publish.payload),
            publish.qos.bits(),
            u8::from(publish.retain),
            u8::from(publish.dup)
        ),
        Packet::Subscribe(subscribe) => {
            let filters: Vec<_> =
                subscribe.filters.iter().map(|filter| format!("{} q{}", filter.filter, filter.qos.bits())).collect();
            format!("subscribe {}", filters.join(" "))
        }
        Packet::PubAck(ack) => format!("puback {}", ack.packet_id.get()),
        Packet::PubRec(ack) => format!("pubrec {}", ack.packet_id.get()),
        Packet::PubRel(ack) => format!("pubrel {}", ack.packet_id.get()),
        Packet::PubComp(ack) => format!("pubcomp {}", ack.packet_id.get()),
        Packet::Disconnect(disconnect) => format!("disconnect {:?}", disconnect.reason),
        other => other.packet_type().name().to_owned(),
    }
}

/// Runs `line` against `script`; gives what the command ended with.
fn against(line: &str, script: impl FnOnce(TcpListener) + Send + 'static) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker: JoinHandle<()> = std::thread::spawn(move || script(listener));
    let line = format!("selvedge {line} -p {port} -i me");
    let ended = match Cli::from_arguments(line.split_whitespace().map(Into::into)).unwrap().command {
        Command::Pub(arguments) => publish::run(&arguments),
        Command::Sub(arguments) => subscribe::run(&arguments),
        other => panic!("{other:?}"),
    };
    if let Err(panic) = broker.join() {
        std::panic::resume_unwind(panic);
    }
    ended
}

#[test]
fn pub_at_qos_0_ends_with_disconnect() {
    for version in [ProtocolVersion::V5, ProtocolVersion::V311] {
        let flag = if version == ProtocolVersion::V5 { "5" } else { "311" };
        against(&format!("pub -t a/b -m hello -r -V {flag}"), move |listener| {
            let mut peer = Peer::accept(&listener, version);
            peer.expect("connect me clean true");
            peer.welcome(false);
            peer.expect("publish a/b hello q0 r1 dup0");
            peer.expect("disconnect Success");
            peer.expect("end");
        })
        .unwrap();
    }
}

#[test]
fn pub_at_qos_1_and_2_waits_for_the_last_acknowledgement() {
    against("pub -t t -m x -q 1", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.welcome(false);
        peer.expect("publish t x q1 r0 dup0");
        peer.acknowledge(AckKind::PubAck, 1, ReasonCode::NoMatchingSubscribers);
        peer.expect("disconnect Success");
    })
    .unwrap();
    against("pub -t t -m x -q 2 -V 311", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V311);
        peer.next();
        peer.welcome(false);
        peer.expect("publish t x q2 r0 dup0");
        peer.acknowledge(AckKind::PubRec, 1, ReasonCode::Success);
        peer.expect("pubrel 1");
        peer.acknowledge(AckKind::PubComp, 1, ReasonCode::Success);
        peer.expect("disconnect Success");
    })
    .unwrap();
}

#[test]
fn pub_keeps_within_the_servers_receive_maximum() {
    against("pub -t t -m x -q 1 --repeat 3", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.send(&Packet::ConnAck(ConnAck { receive_maximum: std::num::NonZeroU16::new(1), ..ConnAck::default() }));
        for packet_id in 1..=3 {
            peer.expect("publish t x q1 r0 dup0");
            peer.stream.set_nonblocking(true).unwrap();
            assert!(peer.stream.read(&mut [0; 1]).is_err(), "a second message is in flight");
            peer.stream.set_nonblocking(false).unwrap();
            peer.acknowledge(AckKind::PubAck, packet_id, ReasonCode::Success);
        }
        peer.expect("disconnect Success");
    })
    .unwrap();
}

#[test]
fn pub_fails_when_refused_and_when_disconnected() {
    let refused = against("pub -t t -m x", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.send(&Packet::ConnAck(ConnAck {
            reason: ReasonCode::NotAuthorized,
            reason_string: Some("go away"),
            ..ConnAck::default()
        }));
    });
    assert_eq!(refused.unwrap_err().to_string(), "the server refused the connection: NotAuthorized - go away");
    let message = against("pub -t t -m x -q 1 --quiet", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.welcome(false);
        peer.next();
        peer.acknowledge(AckKind::PubAck, 1, ReasonCode::QuotaExceeded);
        peer.expect("disconnect Success");
    });
    assert_eq!(message.unwrap_err().to_string(), "the server refused 1 of the messages");
    let ended = against("pub -t t -m x -q 1", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.welcome(false);
        peer.next();
        peer.send(&Packet::Disconnect(Disconnect::with_reason(ReasonCode::ServerShuttingDown)));
    });
    assert_eq!(ended.unwrap_err().to_string(), "the server disconnected: ServerShuttingDown");
    let larger = against("pub -t t -m 0123456789", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.send(&Packet::ConnAck(ConnAck {
            maximum_packet_size: std::num::NonZeroU32::new(10),
            ..ConnAck::default()
        }));
    });
    assert!(larger.unwrap_err().to_string().contains("larger than the 10 bytes"));
    let malformed = against("pub -t t -m x", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    assert!(malformed.is_err());
}

#[test]
fn sub_acknowledges_each_quality_of_service_and_ends_at_its_count() {
    against("sub -t a -t b/# -q 2 -C 3 --will-topic w", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.expect("connect me clean true will w");
        peer.welcome(false);
        peer.expect("subscribe a q2 b/# q2");
        peer.grant(1, &[ReasonCode::GrantedQoS2, ReasonCode::NotAuthorized]);
        peer.deliver("a", QoS::AtMostOnce, None);
        peer.deliver("a", QoS::AtLeastOnce, Some(7));
        peer.expect("puback 7");
        peer.deliver("a", QoS::ExactlyOnce, Some(8));
        peer.expect("pubrec 8");
        peer.expect("disconnect Success");
    })
    .unwrap();
}

#[test]
fn sub_connects_again_and_keeps_what_it_knows() {
    against("sub -t a -q 2 -C 2 -c -x 60 --quiet", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.expect("connect me clean false");
        peer.welcome(false);
        peer.expect("subscribe a q2");
        peer.grant(1, &[ReasonCode::GrantedQoS2]);
        peer.deliver("a", QoS::ExactlyOnce, Some(1));
        peer.expect("pubrec 1");
        drop(peer);
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.expect("connect me clean false");
        peer.welcome(true);
        peer.expect("subscribe a q2");
        // Again: known, so not counted.
        peer.deliver("a", QoS::ExactlyOnce, Some(1));
        peer.expect("pubrec 1");
        peer.deliver("a", QoS::AtMostOnce, None);
        peer.expect("disconnect Success");
    })
    .unwrap();
}

#[test]
fn sub_fails_when_all_is_refused_and_when_its_time_is_over() {
    let refused = against("sub -t a", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.welcome(false);
        peer.next();
        peer.grant(1, &[ReasonCode::NotAuthorized]);
        peer.expect("end");
    });
    assert!(refused.unwrap_err().to_string().contains("NotAuthorized"));
    let late = against("sub -t a -C 1 -W 1", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.welcome(false);
        peer.next();
        peer.expect("disconnect Success");
    });
    assert_eq!(late.unwrap_err().to_string(), "time is over, 1 messages have not come");
}

#[test]
fn sub_filters_out_and_removes_retained_messages() {
    against("sub -t # -T a/# -C 1 --remove-retained", |listener| {
        let mut peer = Peer::accept(&listener, ProtocolVersion::V5);
        peer.next();
        peer.welcome(false);
        peer.next();
        peer.deliver("a/b", QoS::AtMostOnce, None);
        peer.send(&Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: true,
            topic: "kept",
            packet_id: None,
            properties: PublishProperties::default(),
            payload: b"x",
        }));
        peer.expect("publish kept  q1 r1 dup0");
    })
    .unwrap();
}

#[test]
fn nobody_there_is_an_error_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let line = format!("selvedge pub -t a -m b -p {port}");
    let Command::Pub(arguments) = Cli::from_arguments(line.split_whitespace().map(Into::into)).unwrap().command else {
        panic!()
    };
    assert_eq!(publish::run(&arguments).unwrap_err().to_string(), format!("connect to 127.0.0.1:{port}"));
}

#[test]
fn a_wildcard_topic_is_refused_before_anything_is_sent() {
    // Nobody listens: it does not come to that.
    for line in ["selvedge pub -t a/# -m b -p 1", "selvedge pub -L mqtt://127.0.0.1:1/a/+ -m b"] {
        let Command::Pub(arguments) = Cli::from_arguments(line.split_whitespace().map(Into::into)).unwrap().command
        else {
            panic!()
        };
        let error = publish::run(&arguments).unwrap_err().to_string();
        assert!(error.contains("has a wildcard"), "{error}");
    }
}
