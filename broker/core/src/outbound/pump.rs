//! What waits for a client goes out: what an earlier connection left unacknowledged, then the queue, as far as window and
//! outbox allow, and a bounded number of bytes at a time.

use selvedge_codec::QoS;

use super::{EncodedForms, Publication, Sender, Terms, encoding::Sending, encoding::fits};
use crate::{
    authorize::Action,
    connection::{Connection, Kind},
    effect::{Delivery, Effect, Hold},
    session::{
        Session,
        in_flight::{Awaiting, Body},
        queue::Queued,
    },
};

/// Sent in one go; the rest follows when the outbox has drained.
const BYTES_AT_ONCE: usize = 64 * 1024;
/// What it takes of that to find a message that is not sent.
const LOOK_BYTES: usize = 64;
/// Fetched from disk in one go.
const FETCHED_AT_ONCE: usize = 1024;
const FETCHED_BYTES: usize = 256 * 1024;

impl Sender<'_> {
    /// Sends what waits.
    pub(crate) fn pump(&mut self, session: &mut Session, connection: &mut Connection) {
        let mut budget = BYTES_AT_ONCE;
        self.resend(session, connection, &mut budget);
        // What was sent before comes before what was not [MQTT-4.6.0-1].
        if !session.queue.is_empty() && !session.in_flight.waits_for_disk() {
            self.send_queued(session, connection, &mut budget);
            self.fetch_ahead(session, connection);
            session.settle(self.account);
        }
    }

    /// Asks for what is on disk before what is in memory has run out.
    fn fetch_ahead(&mut self, session: &mut Session, connection: &Connection) {
        let queue = &session.queue;
        let low = self.config.queue_memory_bytes_max / 2;
        if !queue.stored.is_empty()
            && !queue.stored.is_fetching
            && !connection.congested
            && queue.bytes_in_memory() <= low
        {
            let numbers = queue.stored.front(FETCHED_AT_ONCE, FETCHED_BYTES);
            self.fetch(session, numbers);
        }
    }

    /// Asks for what is on disk and comes next, unless it was asked for.
    fn fetch(&mut self, session: &mut Session, numbers: Vec<u64>) {
        if !session.queue.stored.is_fetching && !numbers.is_empty() {
            session.queue.stored.is_fetching = true;
            self.effects.push(Effect::Fetch { session: session.token, numbers });
        }
    }

    fn send_queued(&mut self, session: &mut Session, connection: &mut Connection, budget: &mut usize) {
        while !connection.congested {
            let Some(next) = session.queue.front() else { return };
            if !next.message.is_expired(self.now)
                && next.qos != QoS::AtMostOnce
                && !self.window_is_open(session, connection)
            {
                return;
            }
            if self.is_used_up(*budget, connection) {
                return;
            }
            let unjudged = session.queue.unjudged() > 0;
            let Some(queued) = session.queue.pop() else { return };
            self.uncount(&queued);
            if queued.message.is_expired(self.now) {
                self.statistics.dropped_expired += 1;
                self.journal.done(session.number, queued.entry, queued.message.number());
                continue;
            }
            if unjudged && !self.authorizer.may(session.principal(), Action::Subscribe, queued.message.topic()) {
                self.statistics.dropped_unauthorized += 1;
                self.journal.done(session.number, queued.entry, queued.message.number());
                *budget = budget.saturating_sub(LOOK_BYTES);
                continue;
            }
            *budget = budget.saturating_sub(queued.message.cost_bytes());
            self.send_one(session, connection, &queued);
        }
    }

    fn send_one(&mut self, session: &mut Session, connection: &mut Connection, queued: &Queued) {
        let terms = Terms {
            qos: queued.qos,
            retain: queued.retain,
            identifiers: queued.identifiers.as_deref().unwrap_or_default().into(),
        };
        let mut publication = Publication::of_message(&queued.message, None, self.now);
        publication.durability = self.config.durability.judge(publication.topic, None).durability;
        publication.priority = queued.priority;
        self.send(session, connection, terms, &mut publication, &mut EncodedForms::default(), queued.entry);
    }

    /// Repeats PUBLISH (with DUP) and PUBREL on a new connection [MQTT-4.4.0-1], within its window.
    fn resend(&mut self, session: &mut Session, connection: &mut Connection, budget: &mut usize) {
        let window = usize::from(connection.window);
        while session.in_flight.has_resend(window) && !connection.congested {
            if self.is_used_up(*budget, connection) {
                return;
            }
            if session.in_flight.waits_for_disk() {
                let numbers = session.in_flight.stored(FETCHED_AT_ONCE, FETCHED_BYTES);
                self.fetch(session, numbers);
                return;
            }
            let Some(entry) = session.in_flight.next_resend(window) else { return };
            *budget = budget.saturating_sub(LOOK_BYTES);
            let packet_id = entry.packet_id;
            let Body::Here(message) = &entry.body else {
                // Nothing but PUBREL is left of a QoS 2 exchange [MQTT-4.3.3-6].
                self.release(connection, packet_id);
                continue;
            };
            let message = message.clone();
            *budget = budget.saturating_sub(message.cost_bytes());
            let qos = if entry.awaiting == Awaiting::Acknowledgement { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let terms = Terms {
                qos,
                retain: entry.retain,
                identifiers: entry.identifiers.as_deref().unwrap_or_default().into(),
            };
            let mut publication = Publication::of_message(&message, None, self.now);
            if fits(connection, &terms, &publication) {
                let sending = Sending { packet_id: Some(packet_id), duplicate: true, kept: true };
                self.transmit(connection, terms, &mut publication, sending, &mut EncodedForms::default());
            } else {
                // The client accepts less than before [MQTT-3.1.2-25].
                self.statistics.dropped_too_large += 1;
                let ended = session.change_in_flight(self.account, |in_flight| in_flight.finish(packet_id));
                if let Some(ended) = ended {
                    self.journal.done(session.number, ended.entry, ended.body.number());
                }
            }
        }
    }

    fn release(&mut self, connection: &Connection, packet_id: selvedge_codec::PacketId) {
        let Kind::Network(version) = connection.kind else { return };
        let release = selvedge_codec::Packet::PubRel(selvedge_codec::Ack::success(packet_id));
        let start = self.effects.mark();
        if selvedge_codec::encode(version, &release, &mut self.effects.arena).is_ok() {
            let bytes = self.effects.since(start);
            self.effects.push(Effect::Send { connection: connection.id, bytes, patch: None, hold: Hold::Nothing });
        }
    }

    /// Whether nothing more is to be sent for now; then the shell is asked to say when to go on. What a consumer inside the
    /// node gets at once is bounded by its window; it has no outbox that could drain.
    fn is_used_up(&mut self, budget: usize, connection: &mut Connection) -> bool {
        let is_used_up = budget == 0 && connection.kind != Kind::Internal;
        if is_used_up {
            connection.congested = true;
            self.effects.push(Effect::AwaitDrain { connection: connection.id });
        }
        is_used_up
    }

    /// To a consumer inside the node.
    pub(super) fn hand_over(
        &mut self,
        connection: &Connection,
        terms: &Terms,
        publication: &mut Publication<'_>,
        sending: Sending,
    ) {
        let delivery = Delivery {
            message: publication.keep(&self.account.messages),
            qos: terms.qos,
            packet_id: sending.packet_id,
            retain: terms.retain,
            duplicate: sending.duplicate,
        };
        self.effects.push(Effect::Deliver { connection: connection.id, delivery });
    }
}
