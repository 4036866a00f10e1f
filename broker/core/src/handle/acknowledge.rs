//! The acknowledgements of a client: PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT 5, 3.4 to 3.7 and 4.3).

use selvedge_codec::{Ack, AckKind, PacketId, ReasonCode};

use super::Core;
use crate::{
    effect::Effects,
    id::ConnectionId,
    session::{
        Session,
        in_flight::{Awaiting, Entry, InFlight},
    },
    time::Moment,
};

impl Core {
    pub(super) fn on_puback(&mut self, id: ConnectionId, ack: &Ack<'_>, now: Moment, effects: &mut Effects) {
        self.complete(id, |in_flight| in_flight.complete(ack.packet_id, Awaiting::Acknowledgement), now, effects);
    }

    pub(super) fn on_pubrec(&mut self, id: ConnectionId, ack: &Ack<'_>, now: Moment, effects: &mut Effects) {
        if ack.reason.is_error() {
            // The receiver refused: the exchange ends here (MQTT 5, 4.3.3).
            self.complete(id, |in_flight| in_flight.complete(ack.packet_id, Awaiting::Receipt), now, effects);
            return;
        }
        let Some(session) = self.session_of(id) else { return };
        let number = session.number;
        let known = session.in_flight.received(ack.packet_id);
        if let Some((entry, message)) = known
            && message != 0
        {
            self.journal.received(number, entry, message);
        }
        let reason = if known.is_some() { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(id, AckKind::PubRel, ack.packet_id, reason, None, effects);
    }

    pub(super) fn on_pubrel(&mut self, id: ConnectionId, ack: &Ack<'_>, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(session) = self.sessions.get_mut(connection.session) else { return };
        let known = session.inbound_qos_2.remove(&ack.packet_id);
        if known {
            self.journal.inbound_released(session, ack.packet_id);
        }
        session.settle(&mut self.account);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(id, AckKind::PubComp, ack.packet_id, reason, None, effects);
    }

    pub(super) fn on_pubcomp(&mut self, id: ConnectionId, ack: &Ack<'_>, now: Moment, effects: &mut Effects) {
        self.complete(id, |in_flight| in_flight.complete(ack.packet_id, Awaiting::Completion), now, effects);
    }

    /// A consumer inside the node has done with a message.
    pub(super) fn on_acknowledge(&mut self, id: ConnectionId, packet_id: PacketId, now: Moment, effects: &mut Effects) {
        self.complete(id, |in_flight| in_flight.finish(packet_id), now, effects);
    }

    /// Ends an exchange, if `end` finds it; then the window has opened by one.
    fn complete(
        &mut self,
        id: ConnectionId,
        end: impl FnOnce(&mut InFlight) -> Option<Entry>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(session) = self.sessions.get_mut(connection.session) else { return };
        let Some(ended) = session.change_in_flight(&mut self.account, end) else { return };
        self.journal.done(session.number, ended.entry, ended.body.number());
        if !session.queue.is_empty() || session.in_flight.len() > 0 {
            self.pump(id, now, effects);
        }
    }

    fn session_of(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let connection = self.connections.get(id)?;
        self.sessions.get_mut(connection.session)
    }
}
