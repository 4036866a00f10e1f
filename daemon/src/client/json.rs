//! A message as one JSON object a line, with the members that mosquitto_sub's `%j` and `%J` have.

use std::time::SystemTime;

use selvedge_codec::PayloadFormat;
use serde_json::{Map, Value, json};

use super::format::Received;
use super::time_text::iso;

/// What becomes of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadAs {
    /// A text; what is not UTF-8 is replaced.
    Text,
    /// JSON, where it is JSON; otherwise a text.
    Json,
}

/// The whole message.
pub fn message(received: &Received<'_>, time: SystemTime, payload_as: PayloadAs) -> Value {
    let publish = &received.publish;
    let text = || Value::from(String::from_utf8_lossy(publish.payload));
    let payload = match payload_as {
        PayloadAs::Text => text(),
        PayloadAs::Json => serde_json::from_slice(publish.payload).unwrap_or_else(|_| text()),
    };
    let mut object = json!({
        "tst": iso(time),
        "topic": received.topic,
        "qos": publish.qos.bits(),
        "retain": u8::from(publish.retain),
        "payloadlen": publish.payload.len(),
    });
    if let Value::Object(members) = &mut object {
        if let Some(packet_id) = publish.packet_id {
            members.insert("mid".to_owned(), packet_id.get().into());
        }
        let properties = properties(received);
        if !properties.is_empty() {
            members.insert("properties".to_owned(), properties.into());
        }
        members.insert("payload".to_owned(), payload);
    }
    object
}

fn properties(received: &Received<'_>) -> Map<String, Value> {
    let properties = &received.publish.properties;
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    put("payload-format-indicator", (properties.payload_format() == PayloadFormat::Utf8).then(|| 1.into()));
    put("message-expiry-interval", properties.message_expiry_s.map(Value::from));
    put("topic-alias", properties.topic_alias.map(Value::from));
    put("content-type", properties.content_type().map(Value::from));
    put("response-topic", properties.response_topic().map(Value::from));
    put("correlation-data", properties.correlation_data().map(|data| String::from_utf8_lossy(data).into()));
    let identifiers: Vec<u32> = properties.subscription_identifiers().collect();
    put("subscription-identifier", (!identifiers.is_empty()).then(|| identifiers.into()));
    let user: Vec<Value> = properties.user_properties().iter().map(|(name, value)| json!({ name: value })).collect();
    put("user-properties", (!user.is_empty()).then(|| user.into()));
    members
}
