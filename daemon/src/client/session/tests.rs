//! Packet identifiers, QoS 1 and 2, aliases and resumed sessions, without a socket.

use super::*;
use selvedge_codec::{PublishPropertiesBuffer, decode};

const V5: ProtocolVersion = ProtocolVersion::V5;

fn message(qos: QoS) -> OutgoingMessage<'static> {
    OutgoingMessage { topic: "t", payload: b"p", qos, retain: false, properties: PublishProperties::default() }
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn incoming(qos: QoS, packet_id: Option<u16>, dup: bool) -> Packet<'static> {
    Packet::Publish(Publish {
        dup,
        qos,
        retain: false,
        topic: "in",
        packet_id: packet_id.map(id),
        properties: PublishProperties::default(),
        payload: b"x",
    })
}

/// The packets in `bytes`, one text each.
fn sent(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some(length) = selvedge_codec::frame_length(rest, u32::MAX).unwrap() {
        found.push(match decode(V5, &rest[..length]).unwrap() {
            Packet::Publish(publish) => {
                format!("publish {} dup {}", publish.packet_id.map_or(0, PacketId::get), publish.dup)
            }
            Packet::PubAck(ack) => format!("puback {}", ack.packet_id.get()),
            Packet::PubRec(ack) => format!("pubrec {}", ack.packet_id.get()),
            Packet::PubRel(ack) => format!("pubrel {} {:?}", ack.packet_id.get(), ack.reason),
            Packet::PubComp(ack) => format!("pubcomp {} {:?}", ack.packet_id.get(), ack.reason),
            other => format!("{other:?}"),
        });
        rest = &rest[length..];
    }
    found
}

#[test]
fn each_quality_of_service_is_in_flight_as_long_as_it_should() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        session.publish(&message(qos), &mut out).unwrap();
    }
    assert_eq!(sent(&out), ["publish 0 dup false", "publish 1 dup false", "publish 2 dup false"]);
    assert_eq!(session.in_flight(), 2);

    out.clear();
    let done = session.receive(Packet::PubAck(Ack::success(id(1))), &mut out).unwrap();
    assert_eq!(done, Event::Done { packet_id: id(1), reason: ReasonCode::Success });
    assert_eq!(session.receive(Packet::PubRec(Ack::success(id(2))), &mut out).unwrap(), Event::Nothing);
    assert_eq!((session.in_flight(), sent(&out)), (1, vec!["pubrel 2 Success".to_owned()]));
    session.receive(Packet::PubComp(Ack::success(id(2))), &mut out).unwrap();
    assert_eq!((session.in_flight(), session.refused()), (0, 0));
}

#[test]
fn a_refused_message_is_done_and_counted() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        session.publish(&message(qos), &mut out).unwrap();
    }
    let refused = |packet_id| Ack::with_reason(packet_id, ReasonCode::QuotaExceeded);
    session.receive(Packet::PubAck(refused(id(1))), &mut out).unwrap();
    session.receive(Packet::PubRec(refused(id(2))), &mut out).unwrap();
    assert_eq!((session.in_flight(), session.refused()), (0, 2));
}

#[test]
fn a_repeated_qos_2_message_is_reported_once_until_it_is_released() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    assert!(matches!(session.receive(incoming(QoS::ExactlyOnce, Some(5), false), &mut out), Ok(Event::Message { .. })));
    assert_eq!(session.receive(incoming(QoS::ExactlyOnce, Some(5), true), &mut out).unwrap(), Event::Nothing);
    session.receive(Packet::PubRel(Ack::success(id(5))), &mut out).unwrap();
    assert!(matches!(session.receive(incoming(QoS::ExactlyOnce, Some(5), false), &mut out), Ok(Event::Message { .. })));
    assert_eq!(sent(&out), ["pubrec 5", "pubrec 5", "pubcomp 5 Success", "pubrec 5"]);
}

#[test]
fn unknown_identifiers_are_answered_and_do_no_harm() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    assert_eq!(session.receive(Packet::PubAck(Ack::success(id(9))), &mut out).unwrap(), Event::Nothing);
    session.receive(Packet::PubRec(Ack::success(id(9))), &mut out).unwrap();
    session.receive(Packet::PubRel(Ack::success(id(9))), &mut out).unwrap();
    assert_eq!(sent(&out), ["pubrel 9 PacketIdentifierNotFound", "pubcomp 9 PacketIdentifierNotFound"]);
}

#[test]
fn identifiers_in_use_are_passed_over_and_can_run_out() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    for _ in 0..u16::MAX {
        out.clear();
        session.publish(&message(QoS::AtLeastOnce), &mut out).unwrap();
    }
    assert_eq!(session.fresh_id(), None);
    session.receive(Packet::PubAck(Ack::success(id(77))), &mut out).unwrap();
    assert_eq!(session.fresh_id(), Some(id(77)));
}

#[test]
fn a_resumed_session_sends_again_in_order() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    for qos in [QoS::ExactlyOnce, QoS::AtLeastOnce] {
        session.publish(&message(qos), &mut out).unwrap();
    }
    session.receive(Packet::PubRec(Ack::success(id(1))), &mut out).unwrap();
    out.clear();
    session.connected(true, &mut out).unwrap();
    assert_eq!(sent(&out), ["pubrel 1 Success", "publish 2 dup true"]);
    out.clear();
    session.connected(false, &mut out).unwrap();
    assert_eq!(sent(&out), ["publish 2 dup false"]);
}

#[test]
fn topic_aliases_last_for_the_connection() {
    let mut session = Session::new(V5);
    let mut out = Vec::new();
    let mut properties = PublishPropertiesBuffer::new();
    properties.topic_alias(3);
    let aliased = |topic| {
        Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            properties: properties.as_properties(),
            payload: b"",
        })
    };
    assert_eq!(session.receive(aliased(""), &mut out), Err(SessionError::UnknownAlias(3)));
    for topic in ["long/topic", ""] {
        let Ok(Event::Message { topic, .. }) = session.receive(aliased(topic), &mut out) else { panic!("no message") };
        assert_eq!(topic, "long/topic");
    }
    session.connected(true, &mut out).unwrap();
    assert_eq!(session.receive(aliased(""), &mut out), Err(SessionError::UnknownAlias(3)));
}

#[test]
fn packets_of_clients_are_refused() {
    let mut session = Session::new(V5);
    assert_eq!(
        session.receive(Packet::PingReq, &mut Vec::new()),
        Err(SessionError::Unexpected(Packet::PingReq.packet_type().name()))
    );
    let mut old = Session::new(ProtocolVersion::V311);
    let disconnect = Packet::Disconnect(selvedge_codec::Disconnect::with_reason(ReasonCode::Success));
    assert!(old.receive(disconnect, &mut Vec::new()).is_err());
}
