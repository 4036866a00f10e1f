//! Packets for one client that are no publications: answers, acknowledgements, farewells.

use selvedge_codec::{Ack, AckKind, Packet, PacketId, ProtocolVersion, ReasonCode};

use super::Core;
use crate::{
    connection::Kind,
    effect::{Effect, Effects, Hold},
    id::ConnectionId,
};

impl Core {
    /// Encodes one packet for a client. Reason string and user properties are left out where they would make it larger
    /// than the client accepts (MQTT 5, 3.4.2.2.2 and its like).
    pub(super) fn send(&mut self, id: ConnectionId, packet: &Packet<'_>, effects: &mut Effects) {
        self.send_held(id, packet, Hold::Nothing, effects);
    }

    /// As [`Self::send`], for what answers something that is kept: where that must not be lost, the answer `waits` until it is durable,
    /// and what follows waits for the answer.
    pub(super) fn send_answer(&mut self, id: ConnectionId, packet: &Packet<'_>, waits: bool, effects: &mut Effects) {
        let hold = if waits { Hold::Barrier } else { Hold::Nothing };
        self.send_held(id, packet, hold, effects);
    }

    fn send_held(&mut self, id: ConnectionId, packet: &Packet<'_>, hold: Hold, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id) else { return };
        let Kind::Network(version) = connection.kind else { return };
        send_to(id, version, connection.packet_bytes_max, packet, hold, effects);
    }

    /// Answers a PUBLISH, PUBREC or PUBREL; `text` is a reason string for people [MQTT-3.1.2-29].
    pub(super) fn send_ack(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: PacketId,
        reason: ReasonCode,
        text: Option<&str>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        // 3.1.1 has acknowledgements of success only.
        let version_5 = connection.kind == Kind::Network(ProtocolVersion::V5);
        let mut ack = Ack::with_reason(packet_id, if version_5 { reason } else { ReasonCode::Success });
        ack.reason_string = text.filter(|_| connection.problem_information);
        let packet = match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        };
        let hold = if self.journal.waits() { Hold::Durable } else { Hold::Turn };
        self.send_held(id, &packet, hold, effects);
    }
}

/// See [`Core::send`].
pub(super) fn send_to(
    id: ConnectionId,
    version: ProtocolVersion,
    packet_bytes_max: u32,
    packet: &Packet<'_>,
    hold: Hold,
    effects: &mut Effects,
) {
    let start = effects.mark();
    if selvedge_codec::encode(version, packet, &mut effects.arena).is_err() {
        effects.arena.truncate(start as usize);
        return;
    }
    if effects.mark() - start > packet_bytes_max {
        effects.arena.truncate(start as usize);
        let Some(bare) = without_reason_string(packet) else { return };
        if selvedge_codec::encode(version, &bare, &mut effects.arena).is_err()
            || effects.mark() - start > packet_bytes_max
        {
            effects.arena.truncate(start as usize);
            return;
        }
    }
    let bytes = effects.since(start);
    effects.push(Effect::Send { connection: id, bytes, patch: None, hold });
}

/// The packet without what is only there for people; `None` if there is nothing to leave out.
fn without_reason_string<'p>(packet: &Packet<'p>) -> Option<Packet<'p>> {
    let mut bare = packet.clone();
    let text = match &mut bare {
        Packet::ConnAck(packet) => &mut packet.reason_string,
        Packet::PubAck(packet) | Packet::PubRec(packet) | Packet::PubRel(packet) | Packet::PubComp(packet) => {
            &mut packet.reason_string
        }
        Packet::Disconnect(packet) => &mut packet.reason_string,
        _ => return None,
    };
    text.take().map(|_| bare)
}
