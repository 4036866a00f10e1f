//! Packets of the broker as a transcript has them.

use std::fmt::Write as _;

use selvedge_codec::{Ack, Packet, Publish, ReasonCode};

pub(super) fn show(packet: &Packet<'_>) -> String {
    let ack = |name: &str, ack: &Ack<'_>| {
        let mut line = format!("{name} {}", ack.packet_id.get());
        if ack.reason != ReasonCode::Success {
            write!(line, " {:?}", ack.reason).unwrap();
        }
        if let Some(text) = ack.reason_string {
            write!(line, " \"{text}\"").unwrap();
        }
        line
    };
    match packet {
        Packet::ConnAck(connack) => {
            let mut line = format!("CONNACK {:?}", connack.reason);
            if connack.session_present {
                line.push_str(" present");
            }
            for (name, value) in
                [("expiry", connack.session_expiry_s), ("keep", connack.server_keep_alive_s.map(u32::from))]
            {
                if let Some(value) = value {
                    write!(line, " {name}={value}").unwrap();
                }
            }
            if let Some(assigned) = connack.assigned_client_id {
                write!(line, " assigned={assigned}").unwrap();
            }
            if let Some(method) = connack.authentication_method {
                write!(line, " method={method}").unwrap();
            }
            if let Some(data) = connack.authentication_data {
                line.push_str(&show_payload(data));
            }
            line
        }
        Packet::Auth(auth) => {
            let mut line = format!("AUTH {:?}", auth.reason);
            if let Some(method) = auth.method {
                write!(line, " method={method}").unwrap();
            }
            if let Some(data) = auth.data {
                line.push_str(&show_payload(data));
            }
            line
        }
        Packet::Publish(publish) => show_publish(publish),
        Packet::PubAck(packet) => ack("PUBACK", packet),
        Packet::PubRec(packet) => ack("PUBREC", packet),
        Packet::PubRel(packet) => ack("PUBREL", packet),
        Packet::PubComp(packet) => ack("PUBCOMP", packet),
        Packet::SubAck(packet) => format!("SUBACK {} {}", packet.packet_id.get(), reasons(packet.reasons.iter())),
        Packet::UnsubAck(packet) => {
            format!("UNSUBACK {} {}", packet.packet_id.get(), reasons(packet.reasons.iter())).trim_end().to_owned()
        }
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect(packet) => {
            let mut line = format!("DISCONNECT {:?}", packet.reason);
            if let Some(text) = packet.reason_string {
                write!(line, " \"{text}\"").unwrap();
            }
            line
        }
        other => panic!("a server does not send {other:?}"),
    }
}

fn show_publish(publish: &Publish<'_>) -> String {
    let topic = if publish.topic.is_empty() { "-" } else { publish.topic };
    let mut line = format!("PUBLISH {topic} q={}", publish.qos as u8);
    if let Some(packet_id) = publish.packet_id {
        write!(line, " id={}", packet_id.get()).unwrap();
    }
    for (flag, name) in [(publish.dup, " dup"), (publish.retain, " retain")] {
        if flag {
            line.push_str(name);
        }
    }
    if let Some(alias) = publish.properties.topic_alias {
        write!(line, " alias={alias}").unwrap();
    }
    if let Some(expiry) = publish.properties.message_expiry_s {
        write!(line, " expiry={expiry}").unwrap();
    }
    if let Some(content_type) = publish.properties.content_type() {
        write!(line, " content={content_type}").unwrap();
    }
    for identifier in publish.properties.subscription_identifiers() {
        write!(line, " sid={identifier}").unwrap();
    }
    line.push_str(&show_payload(publish.payload));
    line
}

pub(super) fn show_payload(payload: &[u8]) -> String {
    if payload.len() > 40 {
        format!(" {} bytes", payload.len())
    } else {
        format!(" \"{}\"", String::from_utf8_lossy(payload))
    }
}

fn reasons(codes: impl IntoIterator<Item = ReasonCode>) -> String {
    codes.into_iter().map(|code| format!("{code:?}")).collect::<Vec<_>>().join(" ")
}
