//! What the core writes down of durable sessions and retained messages, one record for each thing that happens.
//!
//! A record is a byte for its kind and its fields. Sessions and messages are named by number, the deliveries of a session by
//! the order in which they were queued for it (entries, from 1 on), times by the milliseconds since 1970. Reading a record
//! that names something unknown is no error: what came before may have been cut off, and an image further on says all of it
//! again. Invariant: encoding and decoding are each other's inverse; a kind that is not known is refused, never skipped.

use selvedge_codec::PacketId;

use super::{
    encoding::{Reader, put_bytes, put_number},
    message::quality,
};
use crate::{durability::Priority, router::SubscriptionOptions};
use selvedge_codec::QoS;

mod kind {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const OPENED: u8 = 2;
    pub(super) const AWAY: u8 = 3;
    pub(super) const ENDED: u8 = 4;
    pub(super) const WILL_GONE: u8 = 5;
    pub(super) const SUBSCRIBED: u8 = 6;
    pub(super) const UNSUBSCRIBED: u8 = 7;
    pub(super) const QUEUED: u8 = 8;
    pub(super) const PASSED: u8 = 9;
    pub(super) const SENT: u8 = 10;
    pub(super) const RECEIVED: u8 = 11;
    pub(super) const DONE: u8 = 12;
    pub(super) const INBOUND: u8 = 13;
    pub(super) const INBOUND_RELEASED: u8 = 14;
    pub(super) const RETAINED: u8 = 15;
    pub(super) const RETAINED_REMOVED: u8 = 16;
    pub(super) const RETAINED_FORGOTTEN: u8 = 17;
    pub(super) const ENTRIES_FROM: u8 = 18;
    pub(super) const IMAGE: u8 = 19;
}

/// See the module. Numbers of sessions, messages and entries begin with 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A message, which gets the next number; `body` is read by `journal/message`.
    Message { body: &'a [u8] },
    /// A client is connected with this session, which may be new.
    Opened(Opened<'a>),
    /// The client of the session has gone. 0 is never and, for the will, none.
    Away { session: u64, ends_at_ms: u64, will_at_ms: u64 },
    /// The session is over, with all that it held.
    Ended { session: u64 },
    /// Its will was published or given up.
    WillGone { session: u64 },
    /// A subscription; `filter` with its `$share` prefix.
    Subscribed { session: u64, filter: &'a str, options: SubscriptionOptions },
    /// It is no more.
    Unsubscribed { session: u64, filter: &'a str },
    /// A message waits for the session, as its next entry.
    Queued(Queued<'a>),
    /// As `Queued`, and sent at once under this packet identifier.
    Passed(Queued<'a>, PacketId),
    /// A waiting entry was sent.
    Sent { session: u64, entry: u64, packet_id: PacketId },
    /// The client has the QoS 2 message; its PUBCOMP is awaited.
    Received { session: u64, entry: u64 },
    /// The entry is over: acknowledged, expired or dropped.
    Done { session: u64, entry: u64 },
    /// A QoS 2 publication of the client waits for its PUBREL.
    Inbound { session: u64, packet_id: PacketId },
    /// It came.
    InboundReleased { session: u64, packet_id: PacketId },
    /// The message is the retained one of its topic.
    Retained { message: u64, topic: &'a str },
    /// The topic has none any more.
    RetainedRemoved { topic: &'a str },
    /// An image of all retained messages follows.
    RetainedForgotten,
    /// The next entry of the session has this number.
    EntriesFrom { session: u64, entry: u64 },
    /// An image of the session follows: what is known of it counts no more.
    Image { session: u64 },
}

/// A session with its client connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    pub(crate) session: u64,
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<WillParts<'a>>,
}

/// A will, its message as `journal/message` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WillParts<'a> {
    pub(crate) delay_s: u32,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) message: &'a [u8],
}

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued<'a> {
    pub(crate) session: u64,
    pub(crate) message: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// What it counts against the limits of the queue, bytes.
    pub(crate) cost: u32,
    /// What goes first when the disk has no room.
    pub(crate) priority: Priority,
    /// Milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
    /// Subscription identifiers, encoded.
    pub(crate) identifiers: &'a [u8],
}

const RETAIN: u8 = 0x04;
const IDENTIFIERS: u8 = 0x08;
const LOW: u8 = 0x10;
const HIGH: u8 = 0x20;
const EXPIRES: u8 = 0x40;

impl<'a> Record<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message { body } => {
                out.push(kind::MESSAGE);
                put_bytes(out, body);
            }
            Self::Opened(opened) => opened.encode(out),
            Self::Away { session, ends_at_ms, will_at_ms } => {
                numbers(out, kind::AWAY, &[*session, *ends_at_ms, *will_at_ms])
            }
            Self::Ended { session } => numbers(out, kind::ENDED, &[*session]),
            Self::WillGone { session } => numbers(out, kind::WILL_GONE, &[*session]),
            Self::Subscribed { session, filter, options } => {
                numbers(out, kind::SUBSCRIBED, &[*session, pack(*options), u64::from(options.identifier)]);
                put_bytes(out, filter.as_bytes());
            }
            Self::Unsubscribed { session, filter } => {
                numbers(out, kind::UNSUBSCRIBED, &[*session]);
                put_bytes(out, filter.as_bytes());
            }
            Self::Queued(queued) => queued.encode(kind::QUEUED, out),
            Self::Passed(queued, packet_id) => {
                queued.encode(kind::PASSED, out);
                put_number(out, u64::from(packet_id.get()));
            }
            Self::Sent { session, entry, packet_id } => {
                numbers(out, kind::SENT, &[*session, *entry, u64::from(packet_id.get())]);
            }
            Self::Received { session, entry } => numbers(out, kind::RECEIVED, &[*session, *entry]),
            Self::Done { session, entry } => numbers(out, kind::DONE, &[*session, *entry]),
            Self::Inbound { session, packet_id } => {
                numbers(out, kind::INBOUND, &[*session, u64::from(packet_id.get())]);
            }
            Self::InboundReleased { session, packet_id } => {
                numbers(out, kind::INBOUND_RELEASED, &[*session, u64::from(packet_id.get())]);
            }
            Self::Retained { message, topic } => {
                numbers(out, kind::RETAINED, &[*message]);
                put_bytes(out, topic.as_bytes());
            }
            Self::RetainedRemoved { topic } => {
                out.push(kind::RETAINED_REMOVED);
                put_bytes(out, topic.as_bytes());
            }
            Self::RetainedForgotten => out.push(kind::RETAINED_FORGOTTEN),
            Self::EntriesFrom { session, entry } => numbers(out, kind::ENTRIES_FROM, &[*session, *entry]),
            Self::Image { session } => numbers(out, kind::IMAGE, &[*session]),
        }
    }

    /// The beginning of a `Message` whose body, of so many bytes, follows.
    #[inline]
    pub(crate) fn begin_message(length: usize, out: &mut Vec<u8>) {
        numbers(out, kind::MESSAGE, &[length as u64]);
    }

    /// The next record. `None`: not something this program wrote.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        Some(match reader.byte()? {
            kind::MESSAGE => Self::Message { body: reader.bytes()? },
            kind::OPENED => Self::Opened(Opened::decode(reader)?),
            kind::AWAY => {
                Self::Away { session: reader.number()?, ends_at_ms: reader.number()?, will_at_ms: reader.number()? }
            }
            kind::ENDED => Self::Ended { session: reader.number()? },
            kind::WILL_GONE => Self::WillGone { session: reader.number()? },
            kind::SUBSCRIBED => {
                let (session, packed, identifier) = (reader.number()?, reader.number()?, reader.short()?);
                Self::Subscribed { session, options: unpack(packed, identifier)?, filter: reader.text()? }
            }
            kind::UNSUBSCRIBED => Self::Unsubscribed { session: reader.number()?, filter: reader.text()? },
            kind::QUEUED => Self::Queued(Queued::decode(reader)?),
            kind::PASSED => Self::Passed(Queued::decode(reader)?, packet_id(reader)?),
            kind::SENT => {
                Self::Sent { session: reader.number()?, entry: reader.number()?, packet_id: packet_id(reader)? }
            }
            kind::RECEIVED => Self::Received { session: reader.number()?, entry: reader.number()? },
            kind::DONE => Self::Done { session: reader.number()?, entry: reader.number()? },
            kind::INBOUND => Self::Inbound { session: reader.number()?, packet_id: packet_id(reader)? },
            kind::INBOUND_RELEASED => {
                Self::InboundReleased { session: reader.number()?, packet_id: packet_id(reader)? }
            }
            kind::RETAINED => Self::Retained { message: reader.number()?, topic: reader.text()? },
            kind::RETAINED_REMOVED => Self::RetainedRemoved { topic: reader.text()? },
            kind::RETAINED_FORGOTTEN => Self::RetainedForgotten,
            kind::ENTRIES_FROM => Self::EntriesFrom { session: reader.number()?, entry: reader.number()? },
            kind::IMAGE => Self::Image { session: reader.number()? },
            _ => return None,
        })
    }
}

impl<'a> Opened<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        const USER: u64 = 1;
        const WILL: u64 = 2;
        const WILL_EXPIRES: u64 = 4;
        let expires = self.will.as_ref().and_then(|will| will.expiry_s);
        let flags = if self.user.is_some() { USER } else { 0 }
            | if self.will.is_some() { WILL } else { 0 }
            | if expires.is_some() { WILL_EXPIRES } else { 0 };
        numbers(out, kind::OPENED, &[self.session, flags, u64::from(self.expiry_s)]);
        put_bytes(out, self.client_id.as_bytes());
        if let Some(user) = self.user {
            put_bytes(out, user.as_bytes());
        }
        if let Some(will) = &self.will {
            put_number(out, u64::from(will.delay_s));
            if let Some(expiry_s) = expires {
                put_number(out, u64::from(expiry_s));
            }
            put_bytes(out, will.message);
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        let (session, flags, expiry_s) = (reader.number()?, reader.number()?, reader.short()?);
        let client_id = reader.text()?;
        let user = if flags & 1 != 0 { Some(reader.text()?) } else { None };
        let will = if flags & 2 != 0 {
            let delay_s = reader.short()?;
            let expiry_s = if flags & 4 != 0 { Some(reader.short()?) } else { None };
            Some(WillParts { delay_s, expiry_s, message: reader.bytes()? })
        } else {
            None
        };
        (flags < 8).then_some(Self { session, client_id, user, expiry_s, will })
    }
}

impl<'a> Queued<'a> {
    #[inline]
    fn encode(&self, kind: u8, out: &mut Vec<u8>) {
        let retain = if self.retain { RETAIN } else { 0 };
        let identifiers = if self.identifiers.is_empty() { 0 } else { IDENTIFIERS };
        numbers(out, kind, &[self.session, self.message]);
        let priority = match self.priority {
            Priority::Low => LOW,
            Priority::Normal => 0,
            Priority::High => HIGH,
        };
        let expires = if self.expires_at_ms.is_some() { EXPIRES } else { 0 };
        out.push(self.qos as u8 | retain | identifiers | priority | expires);
        put_number(out, u64::from(self.cost));
        if let Some(at) = self.expires_at_ms {
            put_number(out, at);
        }
        if !self.identifiers.is_empty() {
            put_bytes(out, self.identifiers);
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Option<Self> {
        let (session, message, flags) = (reader.number()?, reader.number()?, reader.byte()?);
        let cost = reader.short()?;
        let expires_at_ms = if flags & EXPIRES != 0 { Some(reader.number()?) } else { None };
        let identifiers = if flags & IDENTIFIERS != 0 { reader.bytes()? } else { &[] };
        let priority = match flags & (LOW | HIGH) {
            0 => Priority::Normal,
            LOW => Priority::Low,
            HIGH => Priority::High,
            _ => return None,
        };
        (flags < 0x80).then_some(Self {
            session,
            message,
            qos: quality(flags & 3)?,
            retain: flags & RETAIN != 0,
            cost,
            priority,
            expires_at_ms,
            identifiers,
        })
    }
}

/// Subscription identifiers as they stand in a record.
pub(crate) fn encode_identifiers(identifiers: &[u32], out: &mut Vec<u8>) {
    identifiers.iter().for_each(|identifier| put_number(out, u64::from(*identifier)));
}

/// The same read again. `None` if there are none.
pub(crate) fn decode_identifiers(bytes: &[u8]) -> Option<Box<[u32]>> {
    let mut reader = Reader::new(bytes);
    let mut identifiers = Vec::new();
    while let Some(identifier) = reader.short() {
        identifiers.push(identifier);
    }
    (!identifiers.is_empty()).then(|| identifiers.into())
}

#[inline]
fn numbers(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    numbers.iter().for_each(|number| put_number(out, *number));
}

fn packet_id(reader: &mut Reader<'_>) -> Option<PacketId> {
    reader.number().and_then(|number| u16::try_from(number).ok()).and_then(PacketId::new)
}

fn pack(options: SubscriptionOptions) -> u64 {
    options.qos as u64 | u64::from(options.no_local) << 2 | u64::from(options.retain_as_published) << 3
}

fn unpack(packed: u64, identifier: u32) -> Option<SubscriptionOptions> {
    let qos = quality((packed & 3) as u8)?;
    let (no_local, retain_as_published) = (packed & 4 != 0, packed & 8 != 0);
    (packed < 16).then_some(SubscriptionOptions { qos, no_local, retain_as_published, identifier })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn each_kind<'a>(number: u64, text: &'a str, bytes: &'a [u8], id: PacketId, flag: bool) -> Vec<Record<'a>> {
        let (session, entry, message) = (number, number / 2, number / 3);
        let options = SubscriptionOptions {
            qos: if flag { QoS::ExactlyOnce } else { QoS::AtMostOnce },
            no_local: flag,
            retain_as_published: !flag,
            identifier: number as u32,
        };
        let will =
            flag.then_some(WillParts { delay_s: 9, expiry_s: (number.is_multiple_of(2)).then_some(4), message: bytes });
        let opened = Opened { session, client_id: text, user: flag.then_some(text), expiry_s: number as u32, will };
        let queued = Queued {
            session,
            message,
            qos: options.qos,
            retain: flag,
            cost: number as u32,
            priority: [Priority::Low, Priority::Normal, Priority::High][number as usize % 3],
            expires_at_ms: flag.then_some(number),
            identifiers: bytes,
        };
        vec![
            Record::Message { body: bytes },
            Record::Opened(opened),
            Record::Away { session, ends_at_ms: number, will_at_ms: entry },
            Record::Ended { session },
            Record::WillGone { session },
            Record::Subscribed { session, filter: text, options },
            Record::Unsubscribed { session, filter: text },
            Record::Queued(queued.clone()),
            Record::Passed(queued, id),
            Record::Sent { session, entry, packet_id: id },
            Record::Received { session, entry },
            Record::Done { session, entry },
            Record::Inbound { session, packet_id: id },
            Record::InboundReleased { session, packet_id: id },
            Record::Retained { message, topic: text },
            Record::RetainedRemoved { topic: text },
            Record::RetainedForgotten,
            Record::EntriesFrom { session, entry },
            Record::Image { session },
        ]
    }

    proptest! {
        #[test]
        fn every_kind_comes_back_as_it_was_written(
            number: u64, text in "[a-z/é#+]{0,20}", bytes in prop::collection::vec(any::<u8>(), 0..50),
            id in 1u16.., flag: bool,
        ) {
            let records = each_kind(number, &text, &bytes, PacketId::new(id).unwrap(), flag);
            let mut out = Vec::new();
            records.iter().for_each(|record| record.encode(&mut out));
            let mut reader = Reader::new(&out);
            for record in &records {
                prop_assert_eq!(Record::decode(&mut reader), Some(record.clone()));
            }
            prop_assert!(reader.is_empty());
            for end in 0..out.len() {
                // Cut anywhere, reading ends without a panic.
                let mut cut = Reader::new(&out[..end]);
                while Record::decode(&mut cut).is_some() {}
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut reader = Reader::new(&bytes);
            while Record::decode(&mut reader).is_some() {}
        }

        #[test]
        fn identifiers_come_back(identifiers in prop::collection::vec(1u32..268_435_456, 0..5)) {
            let mut out = Vec::new();
            encode_identifiers(&identifiers, &mut out);
            prop_assert_eq!(decode_identifiers(&out).unwrap_or_default().to_vec(), identifiers);
        }
    }

    #[test]
    fn a_kind_of_a_newer_program_is_refused() {
        assert_eq!(Record::decode(&mut Reader::new(&[200, 1, 2])), None);
        assert_eq!(Record::decode(&mut Reader::new(&[0])), None);
    }
}
