//! The bytes of an input as choices: numbers, runs of bytes, whole packets.

use std::num::{NonZeroU16, NonZeroU32};

use selvedge_codec::{
    Ack, AckKind, Auth, Connect, Disconnect, Packet, PacketId, ProtocolVersion, Publish, PublishPropertiesBuffer, QoS,
    ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe, UserProperties, Will, encode,
};
use selvedge_core::{Message, Moment};

use super::client::Client;

const TOPICS: [&str; 8] = ["a", "a/b", "a/b/c", "/", "$SYS/x", "b/c/d/e/f/g/h", "é/t", "a//"];
const FILTERS: [&str; 12] = [
    "a",
    "#",
    "+",
    "a/#",
    "+/+",
    "$share/g/a/#",
    "$share/g/#",
    "$share/h/+/b",
    "$SYS/#",
    "+/c/#",
    "/+",
    "a/b/c/d/e/f/g",
];
const CLIENT_IDS: [&str; 6] = ["one", "two", "three", "", "$node/test", "é/ü"];
/// Longer than what is shared, and than what a queue of the small limits takes.
const PAYLOAD: [u8; 1024] = [b'x'; 1024];

pub struct Script<'a> {
    left: &'a [u8],
}

impl<'a> Script<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { left: input }
    }

    pub fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// The next byte; zero when the script is over.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    /// A run of bytes with its length in front.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.left.len());
        let (run, rest) = self.left.split_at(length);
        self.left = rest;
        run
    }

    pub fn filter(&mut self) -> &'static str {
        pick(&FILTERS, self.byte())
    }

    pub fn qos(&mut self) -> QoS {
        pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce], self.byte())
    }

    /// A message of the node's own.
    pub fn message(&mut self, now: Moment) -> Message {
        let (topic, qos, flags) = (pick(&TOPICS, self.byte()), self.qos(), self.byte());
        let expires = (flags & 2 != 0).then(|| now.plus_seconds(u32::from(flags >> 4)));
        Message::new(topic, payload(self.byte()).to_vec(), qos, flags & 1 != 0).with_expiry(expires)
    }

    /// CONNECT with one of a few client identifiers.
    pub fn connect(&mut self) -> Vec<u8> {
        let (who, flags, terms) = (self.byte(), self.byte(), self.byte());
        let version = if flags & 1 == 0 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
        let mut connect = Connect::new(version, pick(&CLIENT_IDS, who), flags & 2 != 0);
        connect.keep_alive_s = if flags & 4 == 0 { 0 } else { u16::from(terms >> 4) };
        let mut properties = PublishPropertiesBuffer::new();
        if flags & 8 != 0 {
            if version == ProtocolVersion::V5 && terms & 1 != 0 {
                properties.message_expiry_s(u32::from(terms));
            }
            connect.will = Some(Will {
                qos: self.qos(),
                retain: terms & 2 != 0,
                topic: pick(&TOPICS, terms >> 2),
                payload: payload(terms),
                delay_s: if version == ProtocolVersion::V5 { u32::from(terms >> 5) } else { 0 },
                properties: properties.as_properties(),
            });
        }
        if version == ProtocolVersion::V5 {
            connect.session_expiry_s = pick(&[None, Some(0), Some(5), Some(u32::MAX)], flags >> 4);
            connect.receive_maximum = NonZeroU16::new(u16::from(terms & 7));
            connect.topic_alias_maximum = u16::from(terms >> 6);
            connect.request_problem_information = terms & 8 == 0;
            if terms & 0x18 == 0x18 {
                connect.authentication_method = Some("method");
                connect.authentication_data = Some(b"data");
            }
            if flags & 0xC0 == 0xC0 {
                connect.maximum_packet_size = NonZeroU32::new(u32::from(self.byte()));
            }
        }
        encoded(version, &Packet::Connect(Box::new(connect)))
    }

    /// What the client owes, or an acknowledgement out of the blue.
    pub fn acknowledgement(&mut self, client: &Client) -> Vec<u8> {
        let choice = self.byte();
        let kinds = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp];
        let invented = PacketId::new(u16::from(choice >> 2)).map(|packet_id| (pick(&kinds, choice), packet_id));
        let due = client.owes(usize::from(choice & 3)).filter(|_| choice < 0xC0);
        let Some((kind, packet_id)) = due.or(invented) else { return Vec::new() };
        let refused = choice & 0x18 == 0x18 && client.version() == ProtocolVersion::V5;
        let reason = match kind {
            AckKind::PubAck | AckKind::PubRec if refused => ReasonCode::QuotaExceeded,
            AckKind::PubRel | AckKind::PubComp if refused => ReasonCode::PacketIdentifierNotFound,
            _ => ReasonCode::Success,
        };
        let ack = Ack::with_reason(packet_id, reason);
        let packet = match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        };
        encoded(client.version(), &packet)
    }

    /// A packet of a connected client, acknowledgements and CONNECT left out.
    pub fn packet(&mut self, version: ProtocolVersion) -> Vec<u8> {
        match self.byte() % 10 {
            0..=5 => self.publish(version),
            6 | 7 => self.subscribe(version),
            8 => {
                let packet_id = PacketId::new(9).expect("not zero");
                let filters = [self.filter(), self.filter()];
                let user_properties = UserProperties::EMPTY;
                encoded(
                    version,
                    &Packet::Unsubscribe(Unsubscribe { packet_id, filters: filters[..].into(), user_properties }),
                )
            }
            _ => self.ping_or_disconnect(version),
        }
    }

    fn publish(&mut self, version: ProtocolVersion) -> Vec<u8> {
        let (topic, qos, flags) = (pick(&TOPICS, self.byte()), self.qos(), self.byte());
        let mut properties = PublishPropertiesBuffer::new();
        if version == ProtocolVersion::V5 {
            if flags & 2 != 0 {
                properties.topic_alias(u16::from(flags >> 6) + 1);
            }
            if flags & 4 != 0 {
                properties.message_expiry_s(u32::from(flags >> 5));
            }
        }
        let by_alias = flags & 10 == 10 && version == ProtocolVersion::V5;
        let publish = Publish {
            dup: false,
            qos,
            retain: flags & 1 != 0,
            topic: if by_alias { "" } else { topic },
            packet_id: PacketId::new(u16::from(flags >> 3) + 1).filter(|_| qos != QoS::AtMostOnce),
            properties: properties.as_properties(),
            payload: payload(self.byte()),
        };
        encoded(version, &Packet::Publish(publish))
    }

    fn subscribe(&mut self, version: ProtocolVersion) -> Vec<u8> {
        let flags = self.byte();
        let mut filters =
            [SubscribeFilter::new(self.filter(), self.qos()), SubscribeFilter::new(self.filter(), self.qos())];
        if version == ProtocolVersion::V5 {
            let handling = [RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
            filters[0].no_local = flags & 1 != 0;
            filters[0].retain_as_published = flags & 2 != 0;
            filters[1].retain_handling = pick(&handling, flags >> 2);
        }
        let subscribe = Subscribe {
            packet_id: PacketId::new(8).expect("not zero"),
            subscription_identifier: (version == ProtocolVersion::V5 && flags & 0x10 != 0).then_some(u32::from(flags)),
            user_properties: UserProperties::EMPTY,
            filters: filters[..1 + usize::from(flags >> 7)].into(),
        };
        encoded(version, &Packet::Subscribe(subscribe))
    }

    fn ping_or_disconnect(&mut self, version: ProtocolVersion) -> Vec<u8> {
        let flags = self.byte();
        if flags & 3 == 1 {
            let reason = if flags & 4 == 0 { ReasonCode::Reauthenticate } else { ReasonCode::ContinueAuthentication };
            let method = Some(if flags & 8 == 0 { "method" } else { "other" });
            return encoded(version, &Packet::Auth(Auth { reason, method, data: Some(b"more"), ..Auth::default() }));
        }
        if flags & 3 != 0 {
            return encoded(version, &Packet::PingReq);
        }
        let mut disconnect = Disconnect::default();
        if version == ProtocolVersion::V5 {
            if flags & 4 != 0 {
                disconnect.reason = ReasonCode::DisconnectWithWill;
            }
            disconnect.session_expiry_s = (flags & 8 != 0).then_some(u32::from(flags >> 4));
        }
        encoded(version, &Packet::Disconnect(disconnect))
    }
}

fn pick<T: Copy>(from: &[T], choice: u8) -> T {
    from[usize::from(choice) % from.len()]
}

fn payload(choice: u8) -> &'static [u8] {
    &PAYLOAD[..pick(&[0, 1, 10, 40, 200, 1000], choice)]
}

/// Nothing where the choices do not make a packet of this version.
fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if encode(version, packet, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}
