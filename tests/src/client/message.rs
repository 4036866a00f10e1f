//! What goes through the protocol of the clients: how to connect, filters, messages.

use serde::{Deserialize, Serialize};

/// How a session connects.
#[derive(Debug, Clone, Serialize)]
pub struct Connect {
    client_id: String,
    clean_start: bool,
    session_expiry_s: Option<u32>,
    will: Option<Will>,
}

#[derive(Debug, Clone, Serialize)]
struct Will {
    topic: String,
    payload: String,
    qos: u8,
    retain: bool,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Debug, Clone, Serialize)]
pub struct Filter {
    filter: String,
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: u8,
}

/// An application message, as published and as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    #[serde(with = "hex")]
    /// Application data.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Retain flag.
    pub retain: bool,
    /// MQTT 5 properties that travel with the message.
    pub properties: Properties,
    /// Identifiers of the subscriptions that matched; only in received messages.
    #[serde(default, skip_serializing)]
    pub subscription_ids: Vec<u32>,
}

/// MQTT 5 properties that travel with a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// Name and value pairs, in order, names may repeat.
    pub user_properties: Vec<(String, String)>,
    /// Where the answer shall go.
    pub response_topic: Option<String>,
    /// What the answer shall repeat, hex.
    pub correlation_data: Option<String>,
    /// Kind of the payload.
    pub content_type: Option<String>,
    /// Seconds until the message is of no use.
    pub message_expiry_s: Option<u32>,
    /// 1 when the payload is UTF-8.
    pub payload_format: Option<u8>,
}

impl Connect {
    /// A clean session that ends with its connection.
    pub fn clean(client_id: &str) -> Self {
        Self { client_id: client_id.to_owned(), clean_start: true, session_expiry_s: None, will: None }
    }

    /// A session that outlives its connection (for `expiry_s` seconds with MQTT 5).
    pub fn lasting(client_id: &str, expiry_s: u32) -> Self {
        Self { client_id: client_id.to_owned(), clean_start: false, session_expiry_s: Some(expiry_s), will: None }
    }

    /// With a will.
    #[must_use]
    pub fn with_will(mut self, will: &Message) -> Self {
        let payload = hex::text(&will.payload);
        self.will = Some(Will { topic: will.topic.clone(), payload, qos: will.qos, retain: will.retain });
        self
    }
}

impl Filter {
    /// A filter with that maximum quality of service and no options.
    pub fn new(filter: &str, qos: u8) -> Self {
        Self { filter: filter.to_owned(), qos, no_local: false, retain_as_published: false, retain_handling: 0 }
    }

    /// Its maximum quality of service.
    pub fn qos(&self) -> u8 {
        self.qos
    }

    /// Own messages do not come back.
    #[must_use]
    pub fn no_local(mut self) -> Self {
        self.no_local = true;
        self
    }

    /// The retain flag stays as the publisher set it.
    #[must_use]
    pub fn retain_as_published(mut self) -> Self {
        self.retain_as_published = true;
        self
    }

    /// 0: retained messages on subscribing, 1: only when new, 2: never.
    #[must_use]
    pub fn retain_handling(mut self, handling: u8) -> Self {
        self.retain_handling = handling;
        self
    }
}

impl Message {
    /// A message that is not retained and has no properties.
    pub fn new(topic: &str, payload: impl Into<Vec<u8>>, qos: u8) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.into(),
            qos,
            retain: false,
            properties: Properties::default(),
            subscription_ids: Vec::new(),
        }
    }

    /// With the retain flag.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With properties.
    #[must_use]
    pub fn with(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }
}

mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.len().is_multiple_of(2) {
            return Err(D::Error::custom("an odd number of hex digits"));
        }
        text.as_bytes()
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair).map_err(D::Error::custom)?;
                u8::from_str_radix(pair, 16).map_err(D::Error::custom)
            })
            .collect()
    }
}
