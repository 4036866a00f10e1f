//! What one run publishes and returns: valid, granted, and within its limits. Pure.

use crate::caller::Caller;
use crate::deployment::Deployment;
use crate::http_response::RESPONSE_TOPIC;
use crate::manifest::Limits;
use crate::message::InvocationMessage;
use crate::topic;

/// Messages to publish, counted against the limits.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) messages: Vec<InvocationMessage>,
    /// For the caller.
    pub(crate) replies: Vec<InvocationMessage>,
    /// For the next function of the pipeline.
    pub(crate) handed: Vec<InvocationMessage>,
    bytes: usize,
}

/// Why an output was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputRefusal {
    Invalid(String),
    Denied(String),
    Quota(String),
}

impl Outputs {
    /// Takes one message if it is valid, granted and within the limits.
    pub(crate) fn push(&mut self, deployment: &Deployment, message: InvocationMessage) -> Result<(), OutputRefusal> {
        check_message(&message).map_err(OutputRefusal::Invalid)?;
        deployment.manifest.grants.check_publish(&message.topic).map_err(OutputRefusal::Denied)?;
        self.count(&deployment.manifest.limits, &message)?;
        self.messages.push(message);
        Ok(())
    }

    /// Takes one returned message, which needs no grant where it is for the caller or for the next function.
    pub(crate) fn push_returned(
        &mut self,
        deployment: &Deployment,
        caller: Option<&Caller>,
        message: InvocationMessage,
    ) -> Result<(), OutputRefusal> {
        let is_answer = message.topic == RESPONSE_TOPIC && caller.is_some();
        if deployment.manifest.then.is_some() && !is_answer {
            check_message(&message).map_err(OutputRefusal::Invalid)?;
            self.count(&deployment.manifest.limits, &message)?;
            self.handed.push(message);
            return Ok(());
        }
        let Some(caller) = caller.filter(|caller| caller.wants(&message.topic)) else {
            return self.push(deployment, message);
        };
        check_message(&message).and_then(|()| caller.check(&self.replies, &message)).map_err(OutputRefusal::Invalid)?;
        self.count(&deployment.manifest.limits, &message)?;
        self.replies.push(message);
        Ok(())
    }

    fn count(&mut self, limits: &Limits, message: &InvocationMessage) -> Result<(), OutputRefusal> {
        if self.messages.len() + self.replies.len() + self.handed.len() >= limits.output_messages {
            return Err(OutputRefusal::Quota(format!(
                "more messages than limits.output_messages = {}",
                limits.output_messages
            )));
        }
        let bytes = self.bytes + message.weight_bytes();
        if bytes > limits.output_bytes {
            return Err(OutputRefusal::Quota(format!(
                "{bytes} bytes of messages, limits.output_bytes is {}",
                limits.output_bytes
            )));
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// What MQTT does not allow in a PUBLISH: strings and binary data longer than 65,535 bytes or with NUL [MQTT-1.5.4-2],
/// wildcards in names [MQTT-3.3.2-2] [MQTT-3.3.2-14].
fn check_message(message: &InvocationMessage) -> Result<(), String> {
    let properties = &message.properties;
    if !topic::is_valid_name(&message.topic) {
        return Err(format!("{:?} is not a topic name", crate::log_ring::cut(&message.topic, 100)));
    }
    if properties.response_topic.as_ref().is_some_and(|name| !topic::is_valid_name(name)) {
        return Err("response-topic is not a topic name".into());
    }
    let is_text = |text: &str| text.len() <= 65_535 && !text.contains('\0');
    let user_texts = properties.user_properties.iter().flat_map(|(key, value)| [key, value]);
    if !properties.content_type.iter().chain(user_texts).all(|text| is_text(text)) {
        return Err("a property's text is longer than 65,535 bytes or has a NUL character".into());
    }
    if properties.correlation_data.as_ref().is_some_and(|data| data.len() > 65_535) {
        return Err("correlation-data is longer than 65,535 bytes".into());
    }
    if properties.utf8_payload && std::str::from_utf8(&message.payload).is_err() {
        return Err("utf8-payload is set and the payload is not UTF-8".into());
    }
    Ok(())
}
