//! What is published instead of a function's outputs: a message that was given up, with the reason, or a static reply. Pure.

use crate::manifest::Manifest;
use crate::message::{InvocationMessage, Properties, Qos};
use crate::version::VersionNumber;

/// User properties that a dead letter has besides the message's own.
const PREFIX: &str = "dead-letter-";

/// What is known of a message that was given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp<'a> {
    pub(crate) version: VersionNumber,
    pub(crate) client: Option<&'a str>,
    pub(crate) attempts: u32,
    pub(crate) reason: &'a str,
}

/// The dead letter of a message, if the function has a topic for them: the message as it came, with why it was given up. Properties
/// of an earlier dead letter are replaced.
pub(crate) fn of(manifest: &Manifest, message: InvocationMessage, given_up: GivenUp<'_>) -> Option<InvocationMessage> {
    let topic = manifest.retry.dead_letter.clone()?;
    let InvocationMessage { topic: original, payload, qos, mut properties, .. } = message;
    properties.user_properties.retain(|(name, _)| !name.starts_with(PREFIX));
    let attempts = given_up.attempts.to_string();
    let version = given_up.version.to_string();
    let facts = [
        ("reason", given_up.reason),
        ("function", &manifest.name),
        ("version", &version),
        ("attempts", &attempts),
        ("topic", &original),
        ("client", given_up.client.unwrap_or_default()),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        // A NUL is allowed in no text of MQTT [MQTT-1.5.4-2], and a reason may hold what the guest said.
        properties.user_properties.push((format!("{PREFIX}{name}"), value.replace('\0', "")));
    }
    Some(InvocationMessage { topic, payload, qos: qos.max(Qos::AtLeastOnce), retain: false, properties })
}

/// The static reply to a message, if there is somewhere to send it.
pub(crate) fn reply(message: &InvocationMessage, topic: Option<&str>, payload: &str) -> Option<InvocationMessage> {
    let topic = topic.map(str::to_owned).or_else(|| message.properties.response_topic.clone())?;
    let properties = Properties {
        utf8_payload: true,
        correlation_data: message.properties.correlation_data.clone(),
        ..Properties::default()
    };
    Some(InvocationMessage { topic, payload: payload.into(), qos: message.qos, retain: false, properties })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn manifest(more: &str) -> Manifest {
        Manifest::parse(&format!("name = \"f\"\n[[trigger]]\nmqtt = \"in/#\"\n{more}"), &Config::default()).unwrap()
    }

    fn message() -> InvocationMessage {
        let user_properties =
            vec![("k".to_owned(), "v".to_owned()), ("dead-letter-reason".to_owned(), "old".to_owned())];
        InvocationMessage {
            topic: "in/a".to_owned(),
            payload: b"\xff".to_vec(),
            qos: Qos::AtMostOnce,
            retain: true,
            properties: Properties {
                user_properties,
                response_topic: Some("answer".to_owned()),
                correlation_data: Some(vec![7]),
                ..Properties::default()
            },
        }
    }

    const GIVEN_UP: GivenUp<'_> =
        GivenUp { version: VersionNumber::FIRST, client: None, attempts: 3, reason: "it \0 trapped" };

    #[test]
    fn a_dead_letter_is_the_message_with_the_reason() {
        let letter = of(&manifest("[retry]\ndead_letter = \"dead/f\""), message(), GIVEN_UP).unwrap();
        assert_eq!((letter.topic.as_str(), letter.payload.as_slice()), ("dead/f", &b"\xff"[..]));
        assert_eq!((letter.qos, letter.retain), (Qos::AtLeastOnce, false));
        let properties: Vec<(&str, &str)> =
            letter.properties.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("k", "v"),
            ("dead-letter-reason", "it  trapped"),
            ("dead-letter-function", "f"),
            ("dead-letter-version", "v1"),
            ("dead-letter-attempts", "3"),
            ("dead-letter-topic", "in/a"),
        ];
        assert_eq!(properties, expected);
    }

    #[test]
    fn without_a_topic_there_is_no_dead_letter() {
        assert_eq!(of(&manifest(""), message(), GIVEN_UP), None);
    }

    #[test]
    fn a_reply_goes_to_its_topic_or_to_the_messages_own() {
        let answer = reply(&message(), None, "later").unwrap();
        assert_eq!((answer.topic.as_str(), answer.properties.correlation_data), ("answer", Some(vec![7])));
        assert_eq!(reply(&message(), Some("out"), "later").unwrap().topic, "out");
        let silent = InvocationMessage { properties: Properties::default(), ..message() };
        assert_eq!(reply(&silent, None, "later"), None);
    }
}
