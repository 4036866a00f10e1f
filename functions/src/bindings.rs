//! Rust types and linker functions for the world `function`, generated from `functions/wit/function.wit`.
//!
//! The world `transform` has the same export and no imports, so these serve both.

wasmtime::component::bindgen!({
    world: "function",
    path: "wit",
    imports: {
        "selvedge:function/env.random": trappable,
    },
});

use crate::host::TwinSection;
use crate::message;
use selvedge::function::twin::Section;
use selvedge::function::types;

impl From<message::Qos> for types::Qos {
    fn from(qos: message::Qos) -> Self {
        match qos {
            message::Qos::AtMostOnce => Self::AtMostOnce,
            message::Qos::AtLeastOnce => Self::AtLeastOnce,
            message::Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<types::Qos> for message::Qos {
    fn from(qos: types::Qos) -> Self {
        match qos {
            types::Qos::AtMostOnce => Self::AtMostOnce,
            types::Qos::AtLeastOnce => Self::AtLeastOnce,
            types::Qos::ExactlyOnce => Self::ExactlyOnce,
        }
    }
}

impl From<message::InvocationMessage> for types::Message {
    fn from(message: message::InvocationMessage) -> Self {
        let properties = message.properties;
        Self {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos.into(),
            retain: message.retain,
            properties: types::Properties {
                utf8_payload: properties.utf8_payload,
                content_type: properties.content_type,
                response_topic: properties.response_topic,
                correlation_data: properties.correlation_data,
                message_expiry: properties.message_expiry_s,
                user_properties: properties.user_properties,
            },
        }
    }
}

impl From<types::Message> for message::InvocationMessage {
    fn from(message: types::Message) -> Self {
        let properties = message.properties;
        Self {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos.into(),
            retain: message.retain,
            properties: message::Properties {
                utf8_payload: properties.utf8_payload,
                content_type: properties.content_type,
                response_topic: properties.response_topic,
                correlation_data: properties.correlation_data,
                message_expiry_s: properties.message_expiry,
                user_properties: properties.user_properties,
            },
        }
    }
}

impl From<Section> for TwinSection {
    fn from(section: Section) -> Self {
        match section {
            Section::Desired => Self::Desired,
            Section::Reported => Self::Reported,
        }
    }
}
