//! A message of the broker as a function sees it, and back; and how far it has come through functions.
//!
//! How many functions a message passed through, and which run published it, travel as the name of its publisher,
//! `$function/NAME#DEPTH/RUN`: clients never see it, and one that calls itself so only shortens its own way.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_codec::{EncodeError, PayloadFormat, PublishPropertiesBuffer, QoS};
use selvedge_core::{Delivery, Message, Moment};
use selvedge_functions::{InvocationMessage, Properties, Qos};

const PUBLISHER_PREFIX: &str = "$function/";

/// The publisher of what the run `invocation_id` of `function` publishes at `depth`.
pub fn publisher(function: &str, depth: u32, invocation_id: &str) -> Arc<str> {
    format!("{PUBLISHER_PREFIX}{function}#{depth}/{invocation_id}").into()
}

/// Where a message comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// How many functions it has passed through.
    pub depth: u32,
    /// Who published it, as functions are told: a client, or `$function/NAME#DEPTH`.
    pub client: Option<String>,
    /// The run that published it.
    pub caused_by: Option<String>,
}

/// Function, depth and run in the name of a publisher that is a function.
fn published_by(message: &Message) -> Option<(&str, u32, Option<&str>)> {
    let (function, rest) = message.publisher()?.strip_prefix(PUBLISHER_PREFIX)?.rsplit_once('#')?;
    // What was kept before runs were named has none.
    let (depth, run) = rest.split_once('/').map_or((rest, None), |(depth, run)| (depth, Some(run)));
    Some((function, depth.parse().ok()?, run))
}

/// How many functions the message has passed through.
pub fn depth(message: &Message) -> u32 {
    published_by(message).map_or(0, |(_, depth, _)| depth)
}

/// Where the message comes from.
pub fn origin(message: &Message) -> Origin {
    match published_by(message) {
        Some((function, depth, run)) => Origin {
            depth,
            client: Some(format!("{PUBLISHER_PREFIX}{function}#{depth}")),
            caused_by: run.map(str::to_owned),
        },
        None => Origin { client: message.publisher().map(|name| name.to_string()), ..Origin::default() },
    }
}

/// The delivery, for a function.
pub fn to_invocation(delivery: &Delivery, now: Moment) -> InvocationMessage {
    let message = &delivery.message;
    let properties = message.properties(now);
    InvocationMessage {
        topic: message.topic().to_owned(),
        payload: message.payload().to_vec(),
        qos: match delivery.qos {
            QoS::AtMostOnce => Qos::AtMostOnce,
            QoS::AtLeastOnce => Qos::AtLeastOnce,
            QoS::ExactlyOnce => Qos::ExactlyOnce,
        },
        retain: delivery.retain,
        properties: Properties {
            utf8_payload: properties.payload_format() == PayloadFormat::Utf8,
            content_type: properties.content_type().map(str::to_owned),
            response_topic: properties.response_topic().map(str::to_owned),
            correlation_data: properties.correlation_data().map(<[u8]>::to_vec),
            message_expiry_s: properties.message_expiry_s,
            user_properties: properties
                .user_properties()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        },
    }
}

/// What a function published, for the broker.
///
/// # Errors
/// A property that no PUBLISH can carry.
pub fn from_invocation(message: InvocationMessage, now: Moment, publisher: Arc<str>) -> Result<Message, EncodeError> {
    let mut buffer = PublishPropertiesBuffer::new();
    let properties = &message.properties;
    if properties.utf8_payload {
        buffer.payload_format(PayloadFormat::Utf8)?;
    }
    if let Some(content_type) = &properties.content_type {
        buffer.content_type(content_type)?;
    }
    if let Some(topic) = &properties.response_topic {
        buffer.response_topic(topic)?;
    }
    if let Some(data) = &properties.correlation_data {
        buffer.correlation_data(data)?;
    }
    for (name, value) in &properties.user_properties {
        buffer.user_property(name, value)?;
    }
    let mut forwarded = Vec::new();
    buffer.as_properties().as_forwarded().append_to(&mut forwarded);
    Ok(Message::new(&message.topic, Bytes::from(message.payload), qos(message.qos), message.retain)
        .with_properties(forwarded.into_boxed_slice())
        .with_expiry(properties.message_expiry_s.map(|seconds| now.plus_seconds(seconds)))
        .with_publisher(Some(publisher)))
}

/// The broker's word for a quality of service.
pub fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way_out_and_in_again() {
        let message = InvocationMessage {
            topic: "a/b".to_owned(),
            payload: b"\xff\0".to_vec(),
            qos: Qos::ExactlyOnce,
            retain: true,
            properties: Properties {
                utf8_payload: true,
                content_type: Some("text/plain".to_owned()),
                response_topic: Some("r".to_owned()),
                correlation_data: Some(b"id".to_vec()),
                message_expiry_s: Some(60),
                user_properties: vec![("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())],
            },
        };
        let now = Moment::from_millis(5000);
        let sent = Arc::new(from_invocation(message.clone(), now, publisher("f", 3, "f-7")).unwrap());
        let client = Some("$function/f#3".to_owned());
        assert_eq!(origin(&sent), Origin { depth: 3, client, caused_by: Some("f-7".to_owned()) });
        let delivery =
            Delivery { message: sent, qos: QoS::ExactlyOnce, packet_id: None, retain: true, duplicate: false };
        assert_eq!(to_invocation(&delivery, now), message);
    }

    #[test]
    fn messages_of_clients_have_depth_0() {
        for publisher in [None, Some("client"), Some("$function/x"), Some("$function/x#many"), Some("#7")] {
            let message = Message::new("t", "", QoS::AtMostOnce, false).with_publisher(publisher.map(Arc::from));
            let client = publisher.map(str::to_owned);
            assert_eq!(origin(&message), Origin { client, ..Origin::default() });
        }
    }

    #[test]
    fn messages_that_were_kept_before_runs_were_named_have_their_depth() {
        let message = Message::new("t", "", QoS::AtMostOnce, false).with_publisher(Some("$function/f#2".into()));
        let client = Some("$function/f#2".to_owned());
        assert_eq!(origin(&message), Origin { depth: 2, client, caused_by: None });
    }

    #[test]
    fn what_no_publish_can_carry_is_refused() {
        let properties = Properties { response_topic: Some("a/#".to_owned()), ..Properties::default() };
        let message = InvocationMessage { topic: "t".to_owned(), properties, ..InvocationMessage::default() };
        assert!(from_invocation(message, Moment::default(), publisher("f", 1, "f-1")).is_err());
    }
}
