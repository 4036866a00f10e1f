//! A message as it is kept: everything but who wants it.
//!
//! Grammar: flags (bits 0–1 QoS, 2 retain, 3 expires, 4 has a publisher), topic, properties, expiry (milliseconds since 1970,
//! if bit 3), publisher (if bit 4), payload to the end. Invariant: it can be read by itself, from the range that
//! [`super::Kept::messages`] names.

use std::sync::Arc;

use selvedge_codec::{Forwarded, QoS};

use super::{
    WallClock,
    encoding::{Reader, number_len, put_bytes, put_number},
};
use crate::message::Message;

const RETAIN: u8 = 0x04;
const EXPIRES: u8 = 0x08;
const PUBLISHER: u8 = 0x10;

/// What of a message is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageParts<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) forwarded: Forwarded<'a>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Milliseconds since 1970.
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) publisher: Option<&'a str>,
}

pub(crate) fn encode(parts: &MessageParts<'_>, out: &mut Vec<u8>) {
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    out.push(
        parts.qos as u8
            | flag(parts.retain, RETAIN)
            | flag(parts.expires_at_ms.is_some(), EXPIRES)
            | flag(parts.publisher.is_some(), PUBLISHER),
    );
    put_bytes(out, parts.topic.as_bytes());
    put_number(out, parts.forwarded.len() as u64);
    parts.forwarded.append_to(out);
    if let Some(at) = parts.expires_at_ms {
        put_number(out, at);
    }
    if let Some(publisher) = parts.publisher {
        put_bytes(out, publisher.as_bytes());
    }
    out.extend_from_slice(parts.payload);
}

/// Bytes that [`encode`] appends.
pub(crate) fn encoded_len(parts: &MessageParts<'_>) -> usize {
    let text = |length: usize| length + number_len(length as u64);
    1 + text(parts.topic.len())
        + text(parts.forwarded.len())
        + parts.expires_at_ms.map_or(0, number_len)
        + parts.publisher.map_or(0, |publisher| text(publisher.len()))
        + parts.payload.len()
}

/// `None`: not something this program wrote.
pub(crate) fn decode(bytes: &[u8], number: u64, clock: WallClock) -> Option<Message> {
    let mut reader = Reader::new(bytes);
    let flags = reader.byte()?;
    let qos = quality(flags & 3)?;
    let topic = reader.text()?;
    let forwarded = reader.bytes()?;
    let expires_at = if flags & EXPIRES != 0 { Some(clock.moment(reader.number()?)) } else { None };
    let publisher = if flags & PUBLISHER != 0 { Some(Arc::from(reader.text()?)) } else { None };
    let payload = bytes.get(bytes.len() - reader.len()..)?;
    let message = Message::new(topic, payload.to_vec(), qos, flags & RETAIN != 0)
        .with_properties(forwarded.into())
        .with_expiry(expires_at)
        .with_publisher(publisher);
    message.set_number(number);
    Some(message)
}

pub(crate) fn quality(bits: u8) -> Option<QoS> {
    match bits {
        0 => Some(QoS::AtMostOnce),
        1 => Some(QoS::AtLeastOnce),
        2 => Some(QoS::ExactlyOnce),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Moment;

    const CLOCK: WallClock = WallClock { origin_ms: 1_000_000 };

    proptest! {
        #[test]
        fn what_is_written_is_read(
            topic in "[a-z/é]{1,20}", payload in prop::collection::vec(any::<u8>(), 0..200),
            properties in prop::collection::vec(any::<u8>(), 0..30), qos in 0u8..3, retain: bool,
            expires in prop::option::of(0u64..1 << 40), publisher in prop::option::of("[a-z]{0,10}"),
        ) {
            let qos = quality(qos).unwrap();
            let parts = MessageParts {
                topic: &topic, payload: &payload, forwarded: Forwarded::from_stored(&properties), qos, retain,
                expires_at_ms: expires.map(|at| CLOCK.origin_ms + at), publisher: publisher.as_deref(),
            };
            let mut out = Vec::new();
            encode(&parts, &mut out);
            prop_assert_eq!(encoded_len(&parts), out.len());
            let expected = Message::new(&topic, payload.clone(), qos, retain)
                .with_properties(properties.clone().into())
                .with_expiry(expires.map(Moment::from_millis))
                .with_publisher(publisher.map(Arc::from));
            let read = decode(&out, 7, CLOCK).unwrap();
            prop_assert_eq!(read.number(), 7);
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, 1, CLOCK);
        }
    }
}
