//! Properties of MQTT 5 (2.2.2) as a server may send them: known, in a packet that may carry them, once, with a value
//! that is allowed. The constants also name them for what the tests send.

use anyhow::{Context as _, ensure};

use super::fields::Fields;
use crate::client::Version;

/// Whether the payload is text.
pub const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
/// Lifetime of a message, seconds.
pub const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
/// What the payload is.
pub const CONTENT_TYPE: u8 = 0x03;
/// Where a response is wanted.
pub const RESPONSE_TOPIC: u8 = 0x08;
/// What tells a response from others.
pub const CORRELATION_DATA: u8 = 0x09;
/// Which subscription matched.
pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
/// How long a session outlives its connection, seconds.
pub const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
/// The client identifier that the server chose.
pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
/// The keep-alive that the server wants, seconds.
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
/// Name of the enhanced authentication.
pub const AUTHENTICATION_METHOD: u8 = 0x15;
/// Its data.
pub const AUTHENTICATION_DATA: u8 = 0x16;
/// Whether the client wants reasons in words.
pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
/// Delay of a will, seconds.
pub const WILL_DELAY_INTERVAL: u8 = 0x18;
/// Whether the client wants response information.
pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
/// What a client may build response topics from.
pub const RESPONSE_INFORMATION: u8 = 0x1A;
/// Another server to use.
pub const SERVER_REFERENCE: u8 = 0x1C;
/// A reason in words.
pub const REASON_STRING: u8 = 0x1F;
/// How many QoS 1 and 2 messages may be in flight.
pub const RECEIVE_MAXIMUM: u8 = 0x21;
/// The largest topic alias.
pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
/// A number instead of a topic name.
pub const TOPIC_ALIAS: u8 = 0x23;
/// The highest QoS that the server takes.
pub const MAXIMUM_QOS: u8 = 0x24;
/// Whether the server retains.
pub const RETAIN_AVAILABLE: u8 = 0x25;
/// Name and value, any number of times.
pub const USER_PROPERTY: u8 = 0x26;
/// The largest packet, bytes.
pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
/// Whether filters may have wildcards.
pub const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
/// Whether subscriptions may have identifiers.
pub const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
/// Whether subscriptions may be shared.
pub const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

/// Value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of one, two, four or a variable number of bytes.
    Number(u32),
    /// A string.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A user property.
    Pair(String, String),
}

/// The properties of a packet in their order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Properties {
    all: Vec<(u8, Value)>,
}

impl Properties {
    /// Reads the properties of a packet called `packet`, with their length; 3.1.1 has none.
    ///
    /// # Errors
    /// One of them breaks a rule.
    pub(super) fn of(version: Version, packet: &str, fields: &mut Fields<'_>) -> anyhow::Result<Self> {
        let mut properties = Self::default();
        if version != Version::V5 {
            return Ok(properties);
        }
        let length = fields.variable("property length")?;
        let mut left = Fields::new(fields.take(usize::try_from(length)?, "properties")?);
        while !left.is_empty() {
            let id = u8::try_from(left.variable("property identifier")?).context("an unknown property")?;
            let value = value(id, &mut left).with_context(|| format!("in property {id:#04x}"))?;
            ensure!(carriers(id).contains(&packet), "a {packet} from a server may not carry property {id:#04x}");
            let again = id != USER_PROPERTY && id != SUBSCRIPTION_IDENTIFIER;
            ensure!(!(again && properties.has(id)), "property {id:#04x} is there twice");
            properties.all.push((id, value));
        }
        let data_only = properties.has(AUTHENTICATION_DATA) && !properties.has(AUTHENTICATION_METHOD);
        ensure!(!data_only, "authentication data without a method");
        Ok(properties)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the property is there.
    pub fn has(&self, id: u8) -> bool {
        self.all.iter().any(|(other, _)| *other == id)
    }

    /// The value of a number of any width.
    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).first().copied()
    }

    /// All values of a number: subscription identifiers.
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        self.of_id(id)
            .filter_map(|value| match value {
                Value::Number(number) => Some(*number),
                _ => None,
            })
            .collect()
    }

    /// The value of a string.
    pub fn text(&self, id: u8) -> Option<&str> {
        self.of_id(id).find_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The value of bytes.
    pub fn binary(&self, id: u8) -> Option<&[u8]> {
        self.of_id(id).find_map(|value| match value {
            Value::Binary(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// The user properties in their order.
    pub fn user(&self) -> Vec<(&str, &str)> {
        self.of_id(USER_PROPERTY)
            .filter_map(|value| match value {
                Value::Pair(name, value) => Some((name.as_str(), value.as_str())),
                _ => None,
            })
            .collect()
    }

    fn of_id(&self, id: u8) -> impl Iterator<Item = &Value> {
        self.all.iter().filter(move |(other, _)| *other == id).map(|(_, value)| value)
    }
}

/// The packets of a server that may carry the property (table 2-4).
fn carriers(id: u8) -> &'static [&'static str] {
    match id {
        PAYLOAD_FORMAT_INDICATOR
        | MESSAGE_EXPIRY_INTERVAL
        | CONTENT_TYPE
        | RESPONSE_TOPIC
        | CORRELATION_DATA
        | SUBSCRIPTION_IDENTIFIER
        | TOPIC_ALIAS => &["PUBLISH"],
        // [MQTT-3.14.2-2]: a DISCONNECT of a server has no session expiry interval.
        SESSION_EXPIRY_INTERVAL
        | ASSIGNED_CLIENT_IDENTIFIER
        | SERVER_KEEP_ALIVE
        | RESPONSE_INFORMATION
        | RECEIVE_MAXIMUM
        | TOPIC_ALIAS_MAXIMUM
        | MAXIMUM_QOS
        | RETAIN_AVAILABLE
        | MAXIMUM_PACKET_SIZE
        | WILDCARD_SUBSCRIPTION_AVAILABLE
        | SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | SHARED_SUBSCRIPTION_AVAILABLE => &["CONNACK"],
        AUTHENTICATION_METHOD | AUTHENTICATION_DATA => &["CONNACK", "AUTH"],
        SERVER_REFERENCE => &["CONNACK", "DISCONNECT"],
        REASON_STRING => {
            &["CONNACK", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK", "DISCONNECT", "AUTH"]
        }
        USER_PROPERTY => {
            &["CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK", "DISCONNECT", "AUTH"]
        }
        _ => &[],
    }
}

fn value(id: u8, fields: &mut Fields<'_>) -> anyhow::Result<Value> {
    Ok(match id {
        PAYLOAD_FORMAT_INDICATOR
        | MAXIMUM_QOS
        | RETAIN_AVAILABLE
        | WILDCARD_SUBSCRIPTION_AVAILABLE
        | SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | SHARED_SUBSCRIPTION_AVAILABLE => {
            let flag = fields.byte("flag")?;
            ensure!(flag < 2, "value {flag} instead of 0 or 1");
            Value::Number(u32::from(flag))
        }
        SERVER_KEEP_ALIVE | TOPIC_ALIAS_MAXIMUM => Value::Number(u32::from(fields.two_bytes("number")?)),
        RECEIVE_MAXIMUM | TOPIC_ALIAS => Value::Number(not_zero(u32::from(fields.two_bytes("number")?))?),
        SESSION_EXPIRY_INTERVAL | MESSAGE_EXPIRY_INTERVAL => Value::Number(fields.four_bytes("number")?),
        MAXIMUM_PACKET_SIZE => Value::Number(not_zero(fields.four_bytes("number")?)?),
        SUBSCRIPTION_IDENTIFIER => Value::Number(not_zero(fields.variable("number")?)?),
        CORRELATION_DATA | AUTHENTICATION_DATA => Value::Binary(fields.binary("data")?.to_vec()),
        USER_PROPERTY => Value::Pair(fields.text("name")?, fields.text("value")?),
        RESPONSE_TOPIC => {
            let topic = fields.text("response topic")?;
            // [MQTT-3.3.2-14]
            ensure!(!topic.contains(['+', '#']), "a response topic with wildcards: {topic:?}");
            Value::Text(topic)
        }
        CONTENT_TYPE
        | ASSIGNED_CLIENT_IDENTIFIER
        | AUTHENTICATION_METHOD
        | RESPONSE_INFORMATION
        | SERVER_REFERENCE
        | REASON_STRING => Value::Text(fields.text("text")?),
        _ => anyhow::bail!("a server does not send it"),
    })
}

fn not_zero(number: u32) -> anyhow::Result<u32> {
    ensure!(number != 0, "value 0");
    Ok(number)
}
