//! A decoded packet of either codec as a list of named values, defaults filled in, so that the two can be compared.

use rmqtt_codec::{v3, v5};

use crate::{Connect, Packet, ProtocolVersion, PublishProperties, UserProperties, Will};

/// Name and printed value of each field.
pub(super) type Values = Vec<(&'static str, String)>;

macro_rules! values {
    ($kind:literal $(, $name:literal = $value:expr)* $(,)?) => {
        vec![("packet", $kind.to_owned()) $(, ($name, format!("{:?}", $value)))*]
    };
}

pub(super) fn ours(packet: &Packet<'_>) -> Values {
    match packet {
        Packet::Connect(connect) => connect_values(connect),
        Packet::ConnAck(connack) => values!(
            "connack",
            "present" = connack.session_present,
            "reason" = connack.reason.byte(),
            "session expiry" = connack.session_expiry_s,
            "receive maximum" = connack.receive_maximum.map_or(u16::MAX, u16::from),
            "maximum qos" = connack.maximum_qos.bits(),
            "maximum packet size" = connack.maximum_packet_size.map(u32::from),
            "client id" = connack.assigned_client_id,
            "alias maximum" = connack.topic_alias_maximum,
            "retain" = connack.retain_available,
            "wildcards" = connack.wildcard_subscription_available,
            "identifiers" = connack.subscription_identifiers_available,
            "shared" = connack.shared_subscription_available,
            "keep alive" = connack.server_keep_alive_s,
            "response information" = connack.response_information,
            "reference" = connack.server_reference,
            "method" = connack.authentication_method,
            "data" = connack.authentication_data,
            "reason string" = connack.reason_string,
            "user" = pairs(&connack.user_properties),
        ),
        Packet::Publish(publish) => {
            let mut values = values!(
                "publish",
                "flags" = (publish.dup, publish.qos.bits(), publish.retain),
                "topic" = publish.topic,
                "packet id" = publish.packet_id.map(|id| id.get()),
                "payload" = publish.payload,
            );
            values.extend(publish_values(&publish.properties));
            values.push(("alias", format!("{:?}", publish.properties.topic_alias)));
            values.push((
                "identifiers",
                format!("{:?}", publish.properties.subscription_identifiers().collect::<Vec<_>>()),
            ));
            values
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => values!(
            "ack",
            "kind" = packet.packet_type() as u8,
            "packet id" = ack.packet_id.get(),
            "reason" = ack.reason.byte(),
            "reason string" = ack.reason_string,
            "user" = pairs(&ack.user_properties),
        ),
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.filters.iter().map(|filter| {
                let handling = filter.retain_handling as u8;
                (filter.filter, filter.qos.bits(), filter.no_local, filter.retain_as_published, handling)
            });
            let filters: Vec<_> = filters.collect();
            values!(
                "subscribe",
                "packet id" = subscribe.packet_id.get(),
                "identifier" = subscribe.subscription_identifier,
                "user" = pairs(&subscribe.user_properties),
                "filters" = filters,
            )
        }
        Packet::SubAck(suback) => values!(
            "suback",
            "packet id" = suback.packet_id.get(),
            "reason string" = suback.reason_string,
            "user" = pairs(&suback.user_properties),
            "reasons" = suback.reasons.iter().map(|reason| reason.byte()).collect::<Vec<_>>(),
        ),
        Packet::Unsubscribe(unsubscribe) => values!(
            "unsubscribe",
            "packet id" = unsubscribe.packet_id.get(),
            "user" = pairs(&unsubscribe.user_properties),
            "filters" = &unsubscribe.filters[..],
        ),
        Packet::UnsubAck(unsuback) => values!(
            "unsuback",
            "packet id" = unsuback.packet_id.get(),
            "reason string" = unsuback.reason_string,
            "user" = pairs(&unsuback.user_properties),
            "reasons" = unsuback.reasons.iter().map(|reason| reason.byte()).collect::<Vec<_>>(),
        ),
        Packet::PingReq => values!("pingreq"),
        Packet::PingResp => values!("pingresp"),
        Packet::Disconnect(disconnect) => values!(
            "disconnect",
            "reason" = disconnect.reason.byte(),
            "session expiry" = disconnect.session_expiry_s,
            "reference" = disconnect.server_reference,
            "reason string" = disconnect.reason_string,
            "user" = pairs(&disconnect.user_properties),
        ),
        Packet::Auth(auth) => values!(
            "auth",
            "reason" = auth.reason.byte(),
            "method" = auth.method,
            "data" = auth.data,
            "reason string" = auth.reason_string,
            "user" = pairs(&auth.user_properties),
        ),
    }
}

fn connect_values(connect: &Connect<'_>) -> Values {
    let mut values = values!(
        "connect",
        "clean" = connect.clean_start,
        "keep alive" = connect.keep_alive_s,
        "client id" = connect.client_id,
        "user name" = connect.username,
        "password" = connect.password,
        "will" = connect.will.is_some(),
    );
    if connect.version == ProtocolVersion::V5 {
        values.extend(values!(
            "properties",
            "session expiry" = connect.session_expiry_s.unwrap_or_default(),
            "receive maximum" = connect.receive_maximum,
            "maximum packet size" = connect.maximum_packet_size,
            "alias maximum" = connect.topic_alias_maximum,
            "response information" = connect.request_response_information,
            "problem information" = connect.request_problem_information,
            "method" = connect.authentication_method,
            "data" = connect.authentication_data,
            "user" = pairs(&connect.user_properties),
        ));
    }
    if let Some(Will { qos, retain, topic, payload, delay_s, properties }) = &connect.will {
        values.extend(values!("will", "flags" = (qos.bits(), retain), "topic" = topic, "payload" = payload));
        if connect.version == ProtocolVersion::V5 {
            values.push(("delay", format!("{delay_s:?}")));
            values.extend(publish_values(properties));
        }
    }
    values
}

fn publish_values(properties: &PublishProperties<'_>) -> Values {
    values!(
        "properties",
        "format" = properties.payload_format() as u8,
        "expiry" = properties.message_expiry_s,
        "content type" = properties.content_type(),
        "response topic" = properties.response_topic(),
        "correlation data" = properties.correlation_data(),
        "user" = pairs(&properties.user_properties()),
    )
}

fn pairs(properties: &UserProperties<'_>) -> Vec<(String, String)> {
    properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn peer_pairs(properties: &v5::UserProperties) -> Vec<(String, String)> {
    properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

pub(super) fn peer_v3(packet: &v3::Packet) -> Values {
    let ack = |kind: u8, id: &std::num::NonZeroU16| {
        values!(
            "ack",
            "kind" = kind,
            "packet id" = id.get(),
            "reason" = 0,
            "reason string" = None::<&str>,
            "user" = Vec::<(String, String)>::new(),
        )
    };
    let nobody = Vec::<(String, String)>::new();
    match packet {
        v3::Packet::Connect(connect) => {
            let mut values = values!(
                "connect",
                "clean" = connect.clean_session,
                "keep alive" = connect.keep_alive,
                "client id" = &*connect.client_id,
                "user name" = connect.username.as_deref(),
                "password" = connect.password.as_deref(),
                "will" = connect.last_will.is_some(),
            );
            if let Some(will) = &connect.last_will {
                values.extend(values!(
                    "will",
                    "flags" = (will.qos.value(), will.retain),
                    "topic" = &*will.topic,
                    "payload" = &*will.message
                ));
            }
            values
        }
        v3::Packet::ConnectAck(connack) => {
            let reason = crate::ReasonCode::from_connect_return_code(connack.return_code.into());
            ours(&Packet::ConnAck(crate::ConnAck {
                session_present: connack.session_present,
                reason: reason.unwrap_or(crate::ReasonCode::UnspecifiedError),
                ..crate::ConnAck::default()
            }))
        }
        v3::Packet::Publish(publish) => {
            let mut values = values!(
                "publish",
                "flags" = (publish.dup, publish.qos.value(), publish.retain),
                "topic" = &*publish.topic,
                "packet id" = publish.packet_id.map(u16::from),
                "payload" = &*publish.payload,
            );
            values.extend(publish_values(&PublishProperties::default()));
            values.push(("alias", "None".to_owned()));
            values.push(("identifiers", "[]".to_owned()));
            values
        }
        v3::Packet::PublishAck { packet_id } => ack(4, packet_id),
        v3::Packet::PublishReceived { packet_id } => ack(5, packet_id),
        v3::Packet::PublishRelease { packet_id } => ack(6, packet_id),
        v3::Packet::PublishComplete { packet_id } => ack(7, packet_id),
        v3::Packet::Subscribe { packet_id, topic_filters } => values!(
            "subscribe",
            "packet id" = packet_id.get(),
            "identifier" = None::<u32>,
            "user" = nobody,
            "filters" = topic_filters
                .iter()
                .map(|(filter, qos)| (&**filter, qos.value(), false, false, 0_u8))
                .collect::<Vec<_>>(),
        ),
        v3::Packet::SubscribeAck { packet_id, status } => values!(
            "suback",
            "packet id" = packet_id.get(),
            "reason string" = None::<&str>,
            "user" = nobody,
            "reasons" = status
                .iter()
                .map(|status| match status {
                    v3::SubscribeReturnCode::Success(qos) => qos.value(),
                    v3::SubscribeReturnCode::Failure => 0x80,
                })
                .collect::<Vec<_>>(),
        ),
        v3::Packet::Unsubscribe { packet_id, topic_filters } => values!(
            "unsubscribe",
            "packet id" = packet_id.get(),
            "user" = nobody,
            "filters" = topic_filters.iter().map(|filter| &**filter).collect::<Vec<_>>(),
        ),
        v3::Packet::UnsubscribeAck { packet_id } => values!(
            "unsuback",
            "packet id" = packet_id.get(),
            "reason string" = None::<&str>,
            "user" = nobody,
            "reasons" = Vec::<u8>::new(),
        ),
        v3::Packet::PingRequest => values!("pingreq"),
        v3::Packet::PingResponse => values!("pingresp"),
        v3::Packet::Disconnect => ours(&Packet::Disconnect(crate::Disconnect::default())),
    }
}

pub(super) fn peer_v5(packet: &v5::Packet) -> Values {
    let ack = |kind: u8, ack: &v5::PublishAck| {
        values!(
            "ack",
            "kind" = kind,
            "packet id" = ack.packet_id.get(),
            "reason" = u8::from(ack.reason_code),
            "reason string" = ack.reason_string.as_deref(),
            "user" = peer_pairs(&ack.properties),
        )
    };
    let second_ack = |kind: u8, ack: &v5::PublishAck2| {
        values!(
            "ack",
            "kind" = kind,
            "packet id" = ack.packet_id.get(),
            "reason" = u8::from(ack.reason_code),
            "reason string" = ack.reason_string.as_deref(),
            "user" = peer_pairs(&ack.properties),
        )
    };
    match packet {
        v5::Packet::Connect(connect) => peer_connect(connect),
        v5::Packet::ConnectAck(connack) => values!(
            "connack",
            "present" = connack.session_present,
            "reason" = u8::from(connack.reason_code),
            "session expiry" = connack.session_expiry_interval_secs,
            "receive maximum" = connack.receive_max.get(),
            "maximum qos" = connack.max_qos.value(),
            "maximum packet size" = connack.max_packet_size,
            "client id" = connack.assigned_client_id.as_deref(),
            "alias maximum" = connack.topic_alias_max,
            "retain" = connack.retain_available,
            "wildcards" = connack.wildcard_subscription_available,
            "identifiers" = connack.subscription_identifiers_available,
            "shared" = connack.shared_subscription_available,
            "keep alive" = connack.server_keepalive_sec,
            "response information" = connack.response_info.as_deref(),
            "reference" = connack.server_reference.as_deref(),
            "method" = connack.auth_method.as_deref(),
            "data" = connack.auth_data.as_deref(),
            "reason string" = connack.reason_string.as_deref(),
            "user" = peer_pairs(&connack.user_properties),
        ),
        v5::Packet::Publish(publish) => {
            let properties = publish.properties.clone().unwrap_or_default();
            let mut values = values!(
                "publish",
                "flags" = (publish.dup, publish.qos.value(), publish.retain),
                "topic" = &*publish.topic,
                "packet id" = publish.packet_id.map(u16::from),
                "payload" = &*publish.payload,
            );
            values.extend(values!(
                "properties",
                "format" = u8::from(properties.is_utf8_payload),
                "expiry" = properties.message_expiry_interval,
                "content type" = properties.content_type.as_deref(),
                "response topic" = properties.response_topic.as_deref(),
                "correlation data" = properties.correlation_data.as_deref(),
                "user" = peer_pairs(&properties.user_properties),
                "alias" = properties.topic_alias,
                "identifiers" = properties.subscription_ids,
            ));
            values
        }
        v5::Packet::PublishAck(puback) => ack(4, puback),
        v5::Packet::PublishReceived(pubrec) => ack(5, pubrec),
        v5::Packet::PublishRelease(pubrel) => second_ack(6, pubrel),
        v5::Packet::PublishComplete(pubcomp) => second_ack(7, pubcomp),
        v5::Packet::Subscribe(subscribe) => {
            let filters = subscribe.topic_filters.iter().map(|(filter, options)| {
                let handling = u8::from(options.retain_handling);
                (&**filter, options.qos.value(), options.no_local, options.retain_as_published, handling)
            });
            let filters: Vec<_> = filters.collect();
            values!(
                "subscribe",
                "packet id" = subscribe.packet_id.get(),
                "identifier" = subscribe.id,
                "user" = peer_pairs(&subscribe.user_properties),
                "filters" = filters,
            )
        }
        v5::Packet::SubscribeAck(suback) => values!(
            "suback",
            "packet id" = suback.packet_id.get(),
            "reason string" = suback.reason_string.as_deref(),
            "user" = peer_pairs(&suback.properties),
            "reasons" = suback.status.iter().map(|reason| u8::from(*reason)).collect::<Vec<_>>(),
        ),
        v5::Packet::Unsubscribe(unsubscribe) => values!(
            "unsubscribe",
            "packet id" = unsubscribe.packet_id.get(),
            "user" = peer_pairs(&unsubscribe.user_properties),
            "filters" = unsubscribe.topic_filters.iter().map(|filter| &**filter).collect::<Vec<_>>(),
        ),
        v5::Packet::UnsubscribeAck(unsuback) => values!(
            "unsuback",
            "packet id" = unsuback.packet_id.get(),
            "reason string" = unsuback.reason_string.as_deref(),
            "user" = peer_pairs(&unsuback.properties),
            "reasons" = unsuback.status.iter().map(|reason| u8::from(*reason)).collect::<Vec<_>>(),
        ),
        v5::Packet::PingRequest => values!("pingreq"),
        v5::Packet::PingResponse => values!("pingresp"),
        v5::Packet::Disconnect(disconnect) => values!(
            "disconnect",
            "reason" = u8::from(disconnect.reason_code),
            "session expiry" = disconnect.session_expiry_interval_secs,
            "reference" = disconnect.server_reference.as_deref(),
            "reason string" = disconnect.reason_string.as_deref(),
            "user" = peer_pairs(&disconnect.user_properties),
        ),
        v5::Packet::Auth(auth) => values!(
            "auth",
            "reason" = u8::from(auth.reason_code),
            "method" = auth.auth_method.as_deref(),
            "data" = auth.auth_data.as_deref(),
            "reason string" = auth.reason_string.as_deref(),
            "user" = peer_pairs(&auth.user_properties),
        ),
    }
}

fn peer_connect(connect: &v5::Connect) -> Values {
    let mut values = values!(
        "connect",
        "clean" = connect.clean_start,
        "keep alive" = connect.keep_alive,
        "client id" = &*connect.client_id,
        "user name" = connect.username.as_deref(),
        "password" = connect.password.as_deref(),
        "will" = connect.last_will.is_some(),
    );
    values.extend(values!(
        "properties",
        "session expiry" = connect.session_expiry_interval_secs,
        "receive maximum" = connect.receive_max,
        "maximum packet size" = connect.max_packet_size,
        "alias maximum" = connect.topic_alias_max,
        "response information" = connect.request_response_info,
        "problem information" = connect.request_problem_info,
        "method" = connect.auth_method.as_deref(),
        "data" = connect.auth_data.as_deref(),
        "user" = peer_pairs(&connect.user_properties),
    ));
    if let Some(will) = &connect.last_will {
        values.extend(values!(
            "will",
            "flags" = (will.qos.value(), will.retain),
            "topic" = &*will.topic,
            "payload" = &*will.message,
            "delay" = will.will_delay_interval_sec.unwrap_or_default(),
        ));
        values.extend(values!(
            "properties",
            "format" = u8::from(will.is_utf8_payload.unwrap_or_default()),
            "expiry" = will.message_expiry_interval,
            "content type" = will.content_type.as_deref(),
            "response topic" = will.response_topic.as_deref(),
            "correlation data" = will.correlation_data.as_deref(),
            "user" = peer_pairs(&will.user_properties),
        ));
    }
    values
}
