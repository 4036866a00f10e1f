//! The acknowledgements of a client: PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT 5, 3.4 to 3.7 and 4.3).

use selvedge_codec::{Ack, AckKind, PacketId, ReasonCode};

use super::Core;
use crate::{effect::Effects, id::ConnectionId, session::Session, session::in_flight::Awaiting, time::Moment};

impl Core {
    pub(super) fn on_puback(&mut self, id: ConnectionId, ack: &Ack<'_>, now: Moment, effects: &mut Effects) {
        let Some(session) = self.session_of(id) else { return };
        if session.in_flight.complete(ack.packet_id, Awaiting::Acknowledgement).is_some() {
            self.after_completion(id, now, effects);
        }
    }

    pub(super) fn on_pubrec(&mut self, id: ConnectionId, ack: &Ack<'_>, now: Moment, effects: &mut Effects) {
        let Some(session) = self.session_of(id) else { return };
        if ack.reason.is_error() {
            // The receiver refused: the exchange ends here (MQTT 5, 4.3.3).
            if session.in_flight.complete(ack.packet_id, Awaiting::Receipt).is_some() {
                self.after_completion(id, now, effects);
            }
            return;
        }
        let known = session.in_flight.received(ack.packet_id);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(id, AckKind::PubRel, ack.packet_id, reason, None, effects);
    }

    pub(super) fn on_pubrel(&mut self, id: ConnectionId, ack: &Ack<'_>, effects: &mut Effects) {
        let Some(session) = self.session_of(id) else { return };
        let known = session.inbound_qos_2.remove(&ack.packet_id);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(id, AckKind::PubComp, ack.packet_id, reason, None, effects);
    }

    pub(super) fn on_pubcomp(&mut self, id: ConnectionId, ack: &Ack<'_>, now: Moment, effects: &mut Effects) {
        let Some(session) = self.session_of(id) else { return };
        if session.in_flight.complete(ack.packet_id, Awaiting::Completion).is_some() {
            self.after_completion(id, now, effects);
        }
    }

    /// A consumer inside the node has done with a message.
    pub(super) fn on_acknowledge(&mut self, id: ConnectionId, packet_id: PacketId, now: Moment, effects: &mut Effects) {
        let Some(session) = self.session_of(id) else { return };
        if session.in_flight.finish(packet_id).is_some() {
            self.after_completion(id, now, effects);
        }
    }

    /// The window has opened by one.
    fn after_completion(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let waits = self.session_of(id).is_some_and(|session| !session.queue.is_empty() || session.in_flight.len() > 0);
        if waits {
            self.pump(id, now, effects);
        }
    }

    fn session_of(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let connection = self.connections.get(id)?;
        self.sessions.get_mut(connection.session)
    }
}
