//! Packets of a client as bytes, for both versions, without the product's codec. Nothing is checked: a test may build
//! what no client may send. What has no setter here is made with [`packet`] and the fields below it.

mod connect;

pub use self::connect::{Connect, Terms, Will};
use crate::client::Version;
use crate::raw_mqtt;
pub use crate::raw_mqtt::packet;

/// A PUBLISH.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Topic name as bytes.
    pub topic: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
    /// 0 to 2; 3 is not allowed.
    pub qos: u8,
    /// Sent if `qos` is not 0.
    pub packet_id: u16,
    /// The RETAIN flag.
    pub retain: bool,
    /// The DUP flag.
    pub dup: bool,
    /// Encoded properties of MQTT 5.
    pub properties: Vec<u8>,
}

impl Publish {
    /// A PUBLISH of QoS 0.
    pub fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_bytes().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            packet_id: 0,
            retain: false,
            dup: false,
            properties: Vec::new(),
        }
    }

    /// QoS and packet identifier.
    #[must_use]
    pub fn qos(mut self, qos: u8, packet_id: u16) -> Self {
        self.qos = qos;
        self.packet_id = packet_id;
        self
    }

    /// With the RETAIN flag.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With the DUP flag.
    #[must_use]
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// Any property, encoded.
    #[must_use]
    pub fn property(mut self, encoded: &[u8]) -> Self {
        self.properties.extend(encoded);
        self
    }

    /// The whole packet.
    pub fn bytes(&self, version: Version) -> Vec<u8> {
        let mut body = data(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        body.extend(section(version, &self.properties));
        body.extend(&self.payload);
        packet(0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain), &body)
    }
}

/// A SUBSCRIBE of filters with their options bytes.
pub fn subscribe(version: Version, packet_id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(section(version, properties));
    for (filter, options) in filters {
        body.extend(data(filter.as_bytes()));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE.
pub fn unsubscribe(version: Version, packet_id: u16, properties: &[u8], filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(section(version, properties));
    for filter in filters {
        body.extend(data(filter.as_bytes()));
    }
    packet(0xA2, &body)
}

/// A PUBACK (0x40), PUBREC (0x50), PUBREL (0x62) or PUBCOMP (0x70) of success, in its short form.
pub fn ack(first: u8, packet_id: u16) -> Vec<u8> {
    packet(first, &packet_id.to_be_bytes())
}

/// As [`ack`] with a reason code of MQTT 5.
pub fn ack_with(first: u8, packet_id: u16, reason: u8) -> Vec<u8> {
    let [high, low] = packet_id.to_be_bytes();
    packet(first, &[high, low, reason])
}

/// A DISCONNECT of MQTT 5.
pub fn disconnect(reason: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![reason];
    body.extend(section(Version::V5, properties));
    packet(0xE0, &body)
}

/// An AUTH.
pub fn auth(reason: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![reason];
    body.extend(section(Version::V5, properties));
    packet(0xF0, &body)
}

/// Properties with their length before them; nothing in 3.1.1.
pub fn section(version: Version, properties: &[u8]) -> Vec<u8> {
    match version {
        Version::V5 => {
            let mut bytes = raw_mqtt::variable(properties.len());
            bytes.extend(properties);
            bytes
        }
        Version::V311 => Vec::new(),
    }
}

/// A string or binary data: its length in two bytes, then itself.
pub fn data(bytes: &[u8]) -> Vec<u8> {
    let mut data = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    data.extend(bytes);
    data
}

/// A property of one byte.
pub fn byte(id: u8, value: u8) -> Vec<u8> {
    vec![id, value]
}

/// A property of two bytes.
pub fn two_bytes(id: u8, value: u16) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(value.to_be_bytes());
    bytes
}

/// A property of four bytes.
pub fn four_bytes(id: u8, value: u32) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(value.to_be_bytes());
    bytes
}

/// A property that is a variable byte integer.
pub fn variable(id: u8, value: usize) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(raw_mqtt::variable(value));
    bytes
}

/// A property that is a string.
pub fn text(id: u8, value: &str) -> Vec<u8> {
    binary(id, value.as_bytes())
}

/// A property that is binary data, or a string that is not well-formed.
pub fn binary(id: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(data(value));
    bytes
}

/// A user property.
pub fn user(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = text(0x26, name);
    bytes.extend(data(value.as_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_looks_as_the_standard_draws_it() {
        let will = Will::new("w", b"x").qos(1).retained();
        let connect = Connect::v5("c").keep_alive(10).session_expiry(7).will(will).user("u").password(b"p");
        let expected = [
            &[0x10, 35, 0, 4][..],
            b"MQTT",
            &[5, 0b1110_1110, 0, 10, 5, 0x11, 0, 0, 0, 7, 0, 1, b'c', 0, 0, 1, b'w', 0, 1, b'x'],
            &[0, 1, b'u', 0, 1, b'p'],
        ];
        let mut expected = expected.concat();
        expected[1] = u8::try_from(expected.len() - 2).unwrap();
        assert_eq!(connect.bytes(), expected);
        assert_eq!(Connect::v311("c").bytes(), [&[0x10, 13, 0, 4][..], b"MQTT", &[4, 2, 0, 0, 0, 1, b'c']].concat());
    }

    #[test]
    fn a_publish_and_a_subscribe_look_as_the_standard_draws_them() {
        let publish = Publish::new("a", b"x").qos(2, 5).retained().dup().property(&byte(1, 1));
        assert_eq!(publish.bytes(Version::V5), [0x3D, 9, 0, 1, b'a', 0, 5, 2, 1, 1, b'x']);
        assert_eq!(publish.bytes(Version::V311), [0x3D, 6, 0, 1, b'a', 0, 5, b'x']);
        let expected = [0x82, 9, 0, 3, 2, 0x0B, 1, 0, 1, b'#', 2];
        assert_eq!(subscribe(Version::V5, 3, &variable(0x0B, 1), &[("#", 2)]), expected);
    }
}
