//! `-D PACKET NAME VALUE [VALUE]` with its meaning: which packet takes which MQTT 5 property, and its kind of value.

use std::num::{NonZeroU16, NonZeroU32};
use std::str::FromStr;

use selvedge_codec::{PayloadFormat, PublishPropertiesBuffer};
use thiserror::Error;

/// Properties of every packet that the commands send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertySet {
    /// CONNECT.
    pub connect: ConnectProperties,
    /// PUBLISH.
    pub publish: PublishPropertiesBuffer,
    /// User properties of SUBSCRIBE.
    pub subscribe: Vec<(String, String)>,
    /// Subscription identifier of SUBSCRIBE.
    pub subscription_identifier: Option<u32>,
    /// User properties of UNSUBSCRIBE.
    pub unsubscribe: Vec<(String, String)>,
    /// User properties of DISCONNECT.
    pub disconnect: Vec<(String, String)>,
    /// Session expiry of DISCONNECT.
    pub disconnect_session_expiry_s: Option<u32>,
    /// The will.
    pub will: PublishPropertiesBuffer,
    /// Seconds before the will is published.
    pub will_delay_s: u32,
}

/// Properties of CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Session expiry; `-x` says the same.
    pub session_expiry_s: Option<u32>,
    /// QoS 1 and 2 messages that this client handles at once.
    pub receive_maximum: Option<NonZeroU16>,
    /// Largest packet that this client takes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Topic aliases that this client takes.
    pub topic_alias_maximum: u16,
    /// Whether response information is wanted.
    pub request_response_information: bool,
    /// Whether reasons are wanted; absent is yes.
    pub request_problem_information: Option<bool>,
    /// User properties.
    pub user: Vec<(String, String)>,
}

/// Why a `-D` is not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PropertyError {
    /// No such packet.
    #[error("-D {0}: unknown packet; expected connect, publish, subscribe, unsubscribe, disconnect or will")]
    Packet(String),
    /// The packet has no such property.
    #[error("-D {packet} {name}: unknown property; expected one of {allowed}")]
    Name {
        /// Packet, lower case.
        packet: &'static str,
        /// As given.
        name: String,
        /// Names that the packet takes.
        allowed: &'static str,
    },
    /// The value does not fit.
    #[error("-D {packet} {name} {value}: expected {expected}")]
    Value {
        /// Packet, lower case.
        packet: &'static str,
        /// Property.
        name: String,
        /// As given.
        value: String,
        /// What fits.
        expected: String,
    },
    /// Too few or too many words.
    #[error("-D {packet} {name}: expected {expected}")]
    Words {
        /// Packet, lower case.
        packet: &'static str,
        /// Property.
        name: String,
        /// How many words.
        expected: &'static str,
    },
}

const CONNECT: &str = "session-expiry-interval, receive-maximum, maximum-packet-size, topic-alias-maximum, \
                       request-response-information, request-problem-information, user-property";
const PUBLISH: &str = "payload-format-indicator, message-expiry-interval, topic-alias, content-type, response-topic, \
                       correlation-data, user-property";
const SUBSCRIBE: &str = "subscription-identifier, user-property";
const UNSUBSCRIBE: &str = "user-property";
const DISCONNECT: &str = "session-expiry-interval, user-property";
const WILL: &str = "will-delay-interval, payload-format-indicator, message-expiry-interval, content-type, response-topic, \
                    correlation-data, user-property";

/// Reads every `-D`.
///
/// # Errors
/// The first one that is not taken.
pub fn parse(list: &[Vec<String>]) -> Result<PropertySet, PropertyError> {
    let mut set = PropertySet::default();
    for words in list {
        let mut words = words.iter().map(String::as_str);
        let packet = words.next().unwrap_or_default();
        let name = words.next().unwrap_or_default();
        let values: Vec<&str> = words.collect();
        match packet.to_ascii_lowercase().as_str() {
            "connect" => set.connect_property(&Given { packet: "connect", name, values: &values, allowed: CONNECT })?,
            "publish" => {
                let given = Given { packet: "publish", name, values: &values, allowed: PUBLISH };
                match name {
                    "topic-alias" => drop(set.publish.topic_alias(given.number::<NonZeroU16>()?.get())),
                    _ => message_property(&mut set.publish, &given)?,
                }
            }
            "subscribe" => {
                let given = Given { packet: "subscribe", name, values: &values, allowed: SUBSCRIBE };
                match name {
                    "subscription-identifier" => {
                        set.subscription_identifier = Some(given.number::<NonZeroU32>()?.get())
                    }
                    _ => set.subscribe.push(given.user()?),
                }
            }
            "unsubscribe" => {
                set.unsubscribe
                    .push(Given { packet: "unsubscribe", name, values: &values, allowed: UNSUBSCRIBE }.user()?);
            }
            "disconnect" => {
                let given = Given { packet: "disconnect", name, values: &values, allowed: DISCONNECT };
                match name {
                    "session-expiry-interval" => set.disconnect_session_expiry_s = Some(given.number()?),
                    _ => set.disconnect.push(given.user()?),
                }
            }
            "will" => {
                let given = Given { packet: "will", name, values: &values, allowed: WILL };
                match name {
                    "will-delay-interval" => set.will_delay_s = given.number()?,
                    _ => message_property(&mut set.will, &given)?,
                }
            }
            other => return Err(PropertyError::Packet(other.to_owned())),
        }
    }
    Ok(set)
}

impl PropertySet {
    fn connect_property(&mut self, given: &Given<'_>) -> Result<(), PropertyError> {
        let connect = &mut self.connect;
        match given.name {
            "session-expiry-interval" => connect.session_expiry_s = Some(given.number()?),
            "receive-maximum" => connect.receive_maximum = Some(given.number()?),
            "maximum-packet-size" => connect.maximum_packet_size = Some(given.number()?),
            "topic-alias-maximum" => connect.topic_alias_maximum = given.number()?,
            "request-response-information" => connect.request_response_information = given.flag()?,
            "request-problem-information" => connect.request_problem_information = Some(given.flag()?),
            _ => connect.user.push(given.user()?),
        }
        Ok(())
    }
}

/// Properties that PUBLISH and a will share.
fn message_property(buffer: &mut PublishPropertiesBuffer, given: &Given<'_>) -> Result<(), PropertyError> {
    let outcome = match given.name {
        "payload-format-indicator" => {
            let format = if given.flag()? { PayloadFormat::Utf8 } else { PayloadFormat::Bytes };
            buffer.payload_format(format).map(drop)
        }
        "message-expiry-interval" => {
            buffer.message_expiry_s(given.number()?);
            Ok(())
        }
        "content-type" => buffer.content_type(given.one()?).map(drop),
        "response-topic" => buffer.response_topic(given.one()?).map(drop),
        "correlation-data" => buffer.correlation_data(given.one()?.as_bytes()).map(drop),
        _ => {
            let (name, value) = given.user()?;
            buffer.user_property(&name, &value).map(drop)
        }
    };
    outcome.map_err(|error| given.wrong(&format!("a value that can be sent: {error}")))
}

/// One `-D`, taken apart.
struct Given<'a> {
    packet: &'static str,
    name: &'a str,
    values: &'a [&'a str],
    allowed: &'static str,
}

impl<'a> Given<'a> {
    fn one(&self) -> Result<&'a str, PropertyError> {
        match self.values {
            [value] => Ok(value),
            _ => Err(PropertyError::Words { packet: self.packet, name: self.name.to_owned(), expected: "one value" }),
        }
    }

    fn user(&self) -> Result<(String, String), PropertyError> {
        if self.name != "user-property" {
            return Err(PropertyError::Name { packet: self.packet, name: self.name.to_owned(), allowed: self.allowed });
        }
        match self.values {
            [name, value] => Ok(((*name).to_owned(), (*value).to_owned())),
            _ => Err(PropertyError::Words {
                packet: self.packet,
                name: self.name.to_owned(),
                expected: "a name and a value",
            }),
        }
    }

    fn number<N: FromStr + Bounded>(&self) -> Result<N, PropertyError> {
        self.one()?.parse().map_err(|_| self.wrong(N::BOUNDS))
    }

    fn flag(&self) -> Result<bool, PropertyError> {
        match self.one()? {
            "0" | "false" => Ok(false),
            "1" | "true" => Ok(true),
            _ => Err(self.wrong("0 or 1")),
        }
    }

    fn wrong(&self, expected: &str) -> PropertyError {
        PropertyError::Value {
            packet: self.packet,
            name: self.name.to_owned(),
            value: self.values.join(" "),
            expected: expected.to_owned(),
        }
    }
}

trait Bounded {
    const BOUNDS: &'static str;
}

impl Bounded for u16 {
    const BOUNDS: &'static str = "a number from 0 to 65535";
}

impl Bounded for u32 {
    const BOUNDS: &'static str = "a number from 0 to 4294967295";
}

impl Bounded for NonZeroU16 {
    const BOUNDS: &'static str = "a number from 1 to 65535";
}

impl Bounded for NonZeroU32 {
    const BOUNDS: &'static str = "a number from 1 to 4294967295";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<PropertySet, PropertyError> {
        parse(&lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect::<Vec<_>>())
    }

    #[test]
    fn each_packet_takes_its_properties() {
        let set = read(&[
            "connect receive-maximum 3",
            "CONNECT user-property a b",
            "publish content-type text/plain",
            "publish user-property k v",
            "publish user-property k v",
            "publish message-expiry-interval 60",
            "subscribe subscription-identifier 7",
            "disconnect session-expiry-interval 9",
            "will will-delay-interval 5",
            "will payload-format-indicator 1",
        ])
        .unwrap();
        assert_eq!(set.connect.receive_maximum, NonZeroU16::new(3));
        assert_eq!(set.connect.user, [("a".to_owned(), "b".to_owned())]);
        let publish = set.publish.as_properties();
        assert_eq!((publish.content_type(), publish.message_expiry_s), (Some("text/plain"), Some(60)));
        assert_eq!(publish.user_properties().iter().count(), 2);
        assert_eq!(
            (set.subscription_identifier, set.disconnect_session_expiry_s, set.will_delay_s),
            (Some(7), Some(9), 5)
        );
        assert_eq!(set.will.as_properties().payload_format(), PayloadFormat::Utf8);
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_does() {
        for (line, part) in [
            ("fly content-type x", "expected connect, publish"),
            ("publish colour red", "content-type"),
            ("connect content-type x", "receive-maximum"),
            ("connect receive-maximum 0", "1 to 65535"),
            ("connect receive-maximum 65536", "1 to 65535"),
            ("publish user-property lonely", "a name and a value"),
            ("publish content-type a b", "one value"),
            ("publish payload-format-indicator 2", "0 or 1"),
            ("publish response-topic a/#", "a value that can be sent"),
        ] {
            let error = read(&[line]).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        assert!(read(&["publish content-type a", "publish content-type b"]).is_err());
    }
}
