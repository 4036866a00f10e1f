//! `sub -F FORMAT`: the conversions of mosquitto_sub.
//!
//! `%t` topic, `%p` payload, `%x`/`%X` payload in hex, `%l` its length, `%q` QoS, `%r` retain, `%m` packet identifier, `%j`/`%J`
//! JSON, `%I`/`%U` time, `%A %C %D %E %F %P %R %S` properties of MQTT 5, `%%`; and `\n \t \r \a \e \v \0 \\`.

use std::fmt::Write as _;
use std::time::SystemTime;

use selvedge_codec::{PayloadFormat, Publish};
use thiserror::Error;

use super::json::{self, PayloadAs};
use super::time_text::{iso, unix};

/// A message to print.
#[derive(Debug)]
pub struct Received<'a> {
    /// Topic, also where an alias stood for it.
    pub topic: &'a str,
    /// The rest.
    pub publish: Publish<'a>,
}

/// A format, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Conversion(char),
}

/// A conversion that there is not.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("-F: unknown conversion {0}; see selvedge sub --help")]
pub struct FormatError(String);

const CONVERSIONS: &str = "ACDEFIJPRSUXjlmpqrtx";

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// A conversion or escape that there is not.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => match characters.next() {
                    Some('%') => literal.push(b'%'),
                    Some(conversion) if CONVERSIONS.contains(conversion) => {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                        pieces.push(Piece::Conversion(conversion));
                    }
                    other => return Err(FormatError(format!("%{}", other.map_or_else(String::new, String::from)))),
                },
                '\\' => literal.push(match characters.next() {
                    Some('n') => b'\n',
                    Some('t') => b'\t',
                    Some('r') => b'\r',
                    Some('a') => 0x07,
                    Some('e') => 0x1b,
                    Some('v') => 0x0b,
                    Some('0') => 0,
                    Some('\\') => b'\\',
                    other => return Err(FormatError(format!("\\{}", other.map_or_else(String::new, String::from)))),
                }),
                other => literal.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        pieces.push(Piece::Text(literal));
        Ok(Self(pieces))
    }

    /// The message in this format.
    pub fn apply(&self, received: &Received<'_>, time: SystemTime) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Conversion('p') => out.extend_from_slice(received.publish.payload),
                Piece::Conversion('D') => {
                    out.extend_from_slice(received.publish.properties.correlation_data().unwrap_or_default());
                }
                Piece::Conversion(conversion) => {
                    out.extend_from_slice(converted(*conversion, received, time).as_bytes())
                }
            }
        }
        out
    }
}

fn converted(conversion: char, received: &Received<'_>, time: SystemTime) -> String {
    let publish = &received.publish;
    let properties = &publish.properties;
    let number = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
    match conversion {
        't' => received.topic.to_owned(),
        'q' => publish.qos.bits().to_string(),
        'r' => u8::from(publish.retain).to_string(),
        'm' => publish.packet_id.map_or(0, selvedge_codec::PacketId::get).to_string(),
        'l' => publish.payload.len().to_string(),
        'x' => hex(publish.payload, false),
        'X' => hex(publish.payload, true),
        'I' => iso(time),
        'U' => unix(time),
        'j' => json::message(received, time, PayloadAs::Text).to_string(),
        'J' => json::message(received, time, PayloadAs::Json).to_string(),
        'A' => number(properties.topic_alias.map(u32::from)),
        'E' => number(properties.message_expiry_s),
        'F' => u8::from(properties.payload_format() == PayloadFormat::Utf8).to_string(),
        'C' => properties.content_type().unwrap_or_default().to_owned(),
        'R' => properties.response_topic().unwrap_or_default().to_owned(),
        'S' => joined(properties.subscription_identifiers().map(|identifier| identifier.to_string())),
        'P' => joined(properties.user_properties().iter().map(|(name, value)| format!("{name}:{value}"))),
        _ => String::new(),
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_codec::{PacketId, PublishPropertiesBuffer, QoS};
    use std::time::UNIX_EPOCH;

    fn shown(format: &str, payload: &[u8]) -> String {
        let mut properties = PublishPropertiesBuffer::new();
        properties.content_type("text/plain").unwrap().correlation_data(b"id").unwrap();
        properties.user_property("a", "1").unwrap().user_property("b", "2").unwrap();
        properties.subscription_identifier(7).unwrap().message_expiry_s(60);
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: "",
            packet_id: PacketId::new(9),
            properties: properties.as_properties(),
            payload,
        };
        let out = Format::parse(format).unwrap().apply(&Received { topic: "t/1", publish }, UNIX_EPOCH);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_conversion_has_its_meaning() {
        assert_eq!(shown("%t|%p|%q|%r|%m|%l|%%", b"pay"), "t/1|pay|1|1|9|3|%");
        assert_eq!(shown("%x %X", &[0x0a, 0xff]), "0aff 0AFF");
        assert_eq!(shown("%C|%D|%E|%F|%P|%R|%S|%A", b""), "text/plain|id|60|0|a:1 b:2||7|");
        assert_eq!(shown("%I %U", b""), "1970-01-01T00:00:00.000000Z 0.000000000");
        assert_eq!(shown("a\\tb\\n\\0\\\\", b""), "a\tb\n\0\\");
        assert_eq!(shown("°%t°", b""), "°t/1°");
    }

    #[test]
    fn json_holds_the_payload_as_text_or_as_json() {
        let text: serde_json::Value = serde_json::from_str(&shown("%j", b"{\"a\": 1}")).unwrap();
        assert_eq!(text["payload"], "{\"a\": 1}");
        assert_eq!((&text["topic"], &text["qos"], &text["mid"]), (&"t/1".into(), &1.into(), &9.into()));
        assert_eq!(text["properties"]["user-properties"][1]["b"], "2");
        let json: serde_json::Value = serde_json::from_str(&shown("%J", b"{\"a\": 1}")).unwrap();
        assert_eq!(json["payload"]["a"], 1);
        assert!(shown("%J", b"no json").contains("\"payload\":\"no json\""));
    }

    #[test]
    fn unknown_conversions_are_refused() {
        for text in ["%z", "%", "a\\q", "\\"] {
            assert!(Format::parse(text).is_err(), "{text}");
        }
    }
}
