//! One delivery as a packet: whether the client takes it, and under which topic alias.

use selvedge_codec::{Delivery as Packet, PacketId, ProtocolVersion, QoS};

use super::{Publication, Terms};
use crate::{
    account::Account,
    connection::{Connection, Kind, alias_cost_bytes},
};

/// What differs from one sending of a message to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) packet_id: Option<PacketId>,
    /// Was sent before [MQTT-3.3.1-1].
    pub(super) duplicate: bool,
    /// The journal keeps under which identifier it is sent.
    pub(super) kept: bool,
}

/// Whether the packet is within what the client accepts [MQTT-3.1.2-24], [MQTT-3.1.2-25].
pub(super) fn fits(connection: &Connection, terms: &Terms, publication: &Publication<'_>) -> bool {
    // Fixed header, lengths, packet identifier, alias, expiry: never more than this.
    const FRAME_BYTES_MAX: usize = 32;
    let limit = connection.packet_bytes_max as usize;
    let upper_bound = publication.topic.len()
        + publication.payload.len()
        + publication.forwarded.len()
        + terms.identifiers.len() * 5
        + FRAME_BYTES_MAX;
    if upper_bound <= limit {
        return true;
    }
    let Kind::Network(version) = connection.kind else { return true };
    let packet_id = if terms.qos == QoS::AtMostOnce { None } else { PacketId::new(u16::MAX) };
    let delivery = bare_packet(version, terms, publication, Sending { packet_id, duplicate: false, kept: false });
    delivery.encoded_len() <= limit
}

fn bare_packet<'p>(
    version: ProtocolVersion,
    terms: &'p Terms,
    publication: &Publication<'p>,
    sending: Sending,
) -> Packet<'p> {
    Packet {
        version,
        dup: sending.duplicate,
        qos: terms.qos,
        retain: terms.retain,
        topic: publication.topic,
        packet_id: sending.packet_id,
        topic_alias: None,
        message_expiry_s: publication.expiry_s,
        subscription_identifiers: &terms.identifiers,
        forwarded: publication.forwarded,
        payload: publication.payload,
    }
}

/// The packet, with a topic alias where the client takes them and one is established, or free and memory is not short.
pub(super) fn packet<'p>(
    connection: &mut Connection,
    version: ProtocolVersion,
    terms: &'p Terms,
    publication: &Publication<'p>,
    sending: Sending,
    account: &mut Account,
) -> Packet<'p> {
    let mut delivery = bare_packet(version, terms, publication, sending);
    // In place of a shorter topic, an alias would make the packet larger than what was checked [MQTT-3.1.2-24].
    const TOPIC_BYTES_MIN: usize = 4;
    if let Some(aliases) = &mut connection.aliases_out
        && publication.topic.len() >= TOPIC_BYTES_MIN
    {
        if let Some(&alias) = aliases.by_topic.get(publication.topic) {
            delivery.topic = "";
            delivery.topic_alias = Some(alias);
        } else if aliases.by_topic.len() < usize::from(aliases.maximum)
            // The alias itself must not push the packet over what the client accepts.
            && delivery.encoded_len() + 4 <= connection.packet_bytes_max as usize
            && !account.is_strained()
        {
            let alias = aliases.by_topic.len() as u16 + 1;
            aliases.by_topic.insert(publication.topic.into(), alias);
            delivery.topic_alias = Some(alias);
            connection.alias_bytes += alias_cost_bytes(publication.topic);
            connection.settle(account);
        }
    }
    delivery
}
