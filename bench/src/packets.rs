//! The packets outside of the hot path, built and read by the codec, and the four-byte answers inside of it.
//! Invariant: what is sent here is what `selvedge-codec` accepts.

use std::collections::VecDeque;

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter,
    UserProperties, decode, encode,
};

use crate::connection::Broken;
use crate::entrance::Welcome;
use crate::error::{RunError, words};
use crate::fleet::Fault;
use crate::frame::Acknowledge;
use crate::plan::KEEP_ALIVE_S;
use crate::target::Target;

/// Filters of one SUBSCRIBE; the answer then has a remaining length of one byte.
const FILTERS_PER_PACKET: usize = 64;

/// What a broker says outside of the hot path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// CONNACK that accepts.
    Welcome(Welcome),
    /// SUBACK: the granted qualities of service, 0x80 and above for refusals.
    Granted(Vec<u8>),
    /// PINGRESP.
    Pong,
}

/// What a client wants of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionWish {
    /// None that was there before, and none to stay.
    Transient,
    /// A new one that stays so long after the connection. 3.1.1 cannot say both: there it may be the one that was there.
    Begin { expiry_s: u32 },
    /// The one that was there, to stay so long after the connection.
    Resume { expiry_s: u32 },
}

/// CONNECT.
pub(crate) fn connect(target: &Target, client_id: &str, session: SessionWish) -> Result<Vec<u8>, RunError> {
    let version_5 = target.version == ProtocolVersion::V5;
    let (clean, expiry_s) = match session {
        SessionWish::Transient => (true, None),
        SessionWish::Begin { expiry_s } => (version_5, Some(expiry_s)),
        SessionWish::Resume { expiry_s } => (false, Some(expiry_s)),
    };
    let mut connect = Connect::new(target.version, client_id, clean);
    connect.session_expiry_s = expiry_s.filter(|_| version_5);
    connect.keep_alive_s = KEEP_ALIVE_S;
    connect.username = target.username.as_deref();
    connect.password = target.password.as_deref().map(str::as_bytes);
    encoded(target.version, "CONNECT", &Packet::Connect(Box::new(connect)))
}

/// SUBSCRIBE packets for any number of filters.
pub(crate) fn subscribes(version: ProtocolVersion, filters: &[String], qos: u8) -> Result<VecDeque<Vec<u8>>, RunError> {
    let qos = quality(qos);
    let packet = |filters: &[String]| {
        let subscribe = Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            filters: filters.iter().map(|filter| SubscribeFilter::new(filter, qos)).collect(),
        };
        encoded(version, "SUBSCRIBE", &Packet::Subscribe(subscribe))
    };
    filters.chunks(FILTERS_PER_PACKET).map(packet).collect()
}

/// A PUBLISH; the packet identifier is 1 where there is one.
pub(crate) fn publish(
    version: ProtocolVersion,
    topic: &str,
    qos: u8,
    retain: bool,
    payload: &[u8],
) -> Result<Vec<u8>, RunError> {
    let qos = quality(qos);
    let publish = Publish {
        dup: false,
        qos,
        retain,
        topic,
        packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
        properties: PublishProperties::default(),
        payload,
    };
    encoded(version, "PUBLISH", &Packet::Publish(publish))
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP with success, which has the same four bytes in both versions.
pub(crate) fn answer(kind: Acknowledge, packet_id: u16, outbox: &mut Vec<u8>) {
    let first = match kind {
        Acknowledge::PubAck => 0x40,
        Acknowledge::PubRec => 0x50,
        Acknowledge::PubRel => 0x62,
        Acknowledge::PubComp => 0x70,
    };
    let [high, low] = packet_id.to_be_bytes();
    outbox.extend_from_slice(&[first, 2, high, low]);
}

/// Reads what is not of the hot path; refusals and goodbyes are faults.
pub(crate) fn reply(frame: &[u8], version: ProtocolVersion) -> Result<Reply, Fault> {
    match decode(version, frame).map_err(Broken::Malformed)? {
        Packet::ConnAck(answer) if answer.reason.is_error() => {
            Err(Fault::Refused(refusal(answer.reason.byte(), answer.reason_string)))
        }
        Packet::ConnAck(answer) => {
            let receive_maximum = answer.receive_maximum.map_or(u16::MAX, std::num::NonZeroU16::get);
            Ok(Reply::Welcome(Welcome { receive_maximum, session_present: answer.session_present }))
        }
        Packet::SubAck(answer) => Ok(Reply::Granted(answer.reasons.iter().map(|reason| reason.byte()).collect())),
        Packet::PingResp => Ok(Reply::Pong),
        Packet::Disconnect(goodbye) => Err(Fault::Dismissed { reason: goodbye.reason.byte() }),
        _ => Err(Fault::Unexpected("a packet that only clients send")),
    }
}

fn refusal(reason: u8, text: Option<&str>) -> String {
    match text {
        Some(text) => format!("{}: {text}", words(reason)),
        None => words(reason),
    }
}

/// Options are checked to be 0 to 2.
fn quality(qos: u8) -> QoS {
    QoS::from_bits(qos).unwrap_or_default()
}

fn encoded(version: ProtocolVersion, name: &'static str, packet: &Packet<'_>) -> Result<Vec<u8>, RunError> {
    let mut bytes = Vec::new();
    encode(version, packet, &mut bytes).map_err(|source| RunError::Encode { packet: name, source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use selvedge_codec::{Ack, ConnAck, Disconnect, ReasonCode};

    use super::*;

    const BOTH: [ProtocolVersion; 2] = [ProtocolVersion::V311, ProtocolVersion::V5];

    #[test]
    fn subscriptions_are_split_into_packets_of_sixty_four_filters() {
        let filters: Vec<String> = (0..65).map(|n| format!("a/{n}")).collect();
        for version in BOTH {
            assert_eq!(subscribes(version, &filters[..64], 1).expect("valid filters").len(), 1);
            let packets = subscribes(version, &filters, 1).expect("valid filters");
            let counts = packets.iter().map(|bytes| match decode(version, bytes) {
                Ok(Packet::Subscribe(subscribe)) => subscribe.filters.len(),
                other => panic!("{other:?}"),
            });
            assert_eq!(counts.collect::<Vec<_>>(), [64, 1]);
        }
    }

    #[test]
    fn short_acknowledgements_are_what_the_codec_reads_as_success() {
        for version in BOTH {
            let mut bytes = Vec::new();
            answer(Acknowledge::PubRel, 0x1234, &mut bytes);
            match decode(version, &bytes) {
                Ok(Packet::PubRel(Ack { packet_id, reason, .. })) => {
                    assert_eq!((packet_id.get(), reason), (0x1234, ReasonCode::Success));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_and_a_goodbye_are_faults_with_their_reason() {
        let refused = ConnAck { reason: ReasonCode::NotAuthorized, reason_string: Some("no"), ..ConnAck::default() };
        let bytes = encoded(ProtocolVersion::V5, "CONNACK", &Packet::ConnAck(refused)).expect("valid");
        match reply(&bytes, ProtocolVersion::V5) {
            Err(Fault::Refused(reason)) => assert_eq!(reason, "not authorized (0x87): no"),
            other => panic!("{other:?}"),
        }
        let goodbye = Disconnect { reason: ReasonCode::ServerShuttingDown, ..Disconnect::default() };
        let bytes = encoded(ProtocolVersion::V5, "DISCONNECT", &Packet::Disconnect(goodbye)).expect("valid");
        assert!(matches!(reply(&bytes, ProtocolVersion::V5), Err(Fault::Dismissed { reason: 0x8B })));
    }
}
