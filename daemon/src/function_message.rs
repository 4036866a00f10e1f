//! A message for a function, as people write it: `{"topic": …, "payload": …}`, with `qos`, `retain` and `properties`.

use anyhow::{Context, bail};
use selvedge_functions::{InvocationMessage, Properties, Qos};
use serde::Deserialize;
use serde_json::Value;

/// A message in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageText {
    topic: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    properties: MessageProperties,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MessageProperties {
    content_type: Option<String>,
    response_topic: Option<String>,
    correlation_data: Option<String>,
    message_expiry_s: Option<u32>,
    user_properties: Vec<(String, String)>,
}

impl MessageText {
    /// The message in a text.
    ///
    /// # Errors
    /// It is none; the words say what is expected.
    pub fn parse(text: &str) -> anyhow::Result<InvocationMessage> {
        let message: Self =
            serde_json::from_str(text).context("the message: expected {\"topic\": …, \"payload\": …}")?;
        // A text is the payload itself; anything else is sent as JSON.
        let payload = match message.payload {
            Value::Null => Vec::new(),
            Value::String(text) => text.into_bytes(),
            other => other.to_string().into_bytes(),
        };
        let qos = match message.qos {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            2 => Qos::ExactlyOnce,
            other => bail!("the message: qos {other}, expected 0, 1 or 2"),
        };
        let properties = message.properties;
        Ok(InvocationMessage {
            topic: message.topic,
            payload,
            qos,
            retain: message.retain,
            properties: Properties {
                utf8_payload: false,
                content_type: properties.content_type,
                response_topic: properties.response_topic,
                correlation_data: properties.correlation_data.map(String::into_bytes),
                message_expiry_s: properties.message_expiry_s,
                user_properties: properties.user_properties,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_message_is_read_from_json() {
        let message = MessageText::parse("{\"topic\": \"a\", \"payload\": \"21.5\", \"qos\": 1}").unwrap();
        assert_eq!(
            (message.topic.as_str(), message.payload.as_slice(), message.qos),
            ("a", &b"21.5"[..], Qos::AtLeastOnce)
        );
        assert_eq!(MessageText::parse("{\"topic\": \"a\", \"payload\": {\"t\": 1}}").unwrap().payload, b"{\"t\":1}");
        assert_eq!(MessageText::parse("{\"topic\": \"a\"}").unwrap().payload, b"");
        let text =
            "{\"topic\": \"a\", \"properties\": {\"user_properties\": [[\"k\", \"v\"]], \"content_type\": \"x\"}}";
        assert_eq!(MessageText::parse(text).unwrap().properties.user_properties, [("k".to_owned(), "v".to_owned())]);
        for wrong in ["{}", "{\"topic\": \"a\", \"qos\": 3}", "{\"topic\": \"a\", \"colour\": 1}", "no json"] {
            assert!(MessageText::parse(wrong).is_err(), "{wrong}");
        }
    }
}
