//! One publication to one session: straight into the outbox if the client can take it, else into the session's queue.
//!
//! Invariant: a fan-out encodes each distinct form of a packet once.

mod encoding;
mod publication;
mod pump;
mod queueing;

pub(crate) use publication::{Publication, Terms};

use encoding::{Sending, fits, packet};
use selvedge_codec::{PacketId, ProtocolVersion, QoS};
use smallvec::SmallVec;

use crate::{
    account::Account,
    authorize::Authorize,
    config::Config,
    connection::{Connection, Kind},
    effect::{ByteRange, Effect, Effects, Hold, PacketIdPatch},
    journal::Journal,
    session::{Session, in_flight::InFlight},
    statistics::Statistics,
    time::Moment,
};

/// Forms of one publication that stand encoded in the arena.
#[derive(Debug, Default)]
pub(crate) struct EncodedForms {
    forms: SmallVec<[EncodedForm; 2]>,
}

#[derive(Debug)]
struct EncodedForm {
    version: ProtocolVersion,
    terms: Terms,
    bytes: ByteRange,
    packet_id_offset: u32,
}

/// More distinct forms than this are encoded anew each.
const FORMS_MAX: usize = 8;

/// What sending needs of the core; its parts are lent one by one so that the caller can hold the rest.
pub(crate) struct Sender<'c> {
    pub(crate) config: &'c Config,
    pub(crate) statistics: &'c mut Statistics,
    pub(crate) account: &'c mut Account,
    pub(crate) journal: &'c mut Journal,
    pub(crate) authorizer: &'c dyn Authorize,
    pub(crate) effects: &'c mut Effects,
    pub(crate) now: Moment,
    /// Bytes of retained messages in the node.
    pub(crate) retained_bytes: usize,
    /// Tells inputs apart, to bound what one of them sends to one connection.
    pub(crate) input: u64,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The queue is full and the configured rule is to disconnect.
    Overflow,
}

impl Sender<'_> {
    /// Sends now or queues.
    pub(crate) fn deliver(
        &mut self,
        session: &mut Session,
        connection: Option<&mut Connection>,
        terms: Terms,
        publication: &mut Publication<'_>,
        forms: &mut EncodedForms,
    ) -> Outcome {
        let Some(connection) = connection else {
            if terms.qos == QoS::AtMostOnce {
                self.statistics.dropped_offline += 1;
                return Outcome::Done;
            }
            return self.enqueue(session, terms, publication, false);
        };
        let sendable = !connection.congested
            && self.input_has_room(connection)
            && if terms.qos == QoS::AtMostOnce {
                !session.queue.holds_back_qos_0()
            } else {
                session.queue.is_empty()
                    && !session.in_flight.waits_for_disk()
                    && self.window_is_open(session, connection)
                    && (!is_kept(session, connection) || self.account.has_room(0))
            };
        if sendable {
            self.send(session, connection, terms, publication, forms, 0);
            Outcome::Done
        } else {
            self.enqueue(session, terms, publication, false)
        }
    }

    /// Whether the present input may send more to this connection: an outbox is watched by the shell between inputs only.
    fn input_has_room(&mut self, connection: &mut Connection) -> bool {
        const BYTES_PER_INPUT_MAX: usize = 256 * 1024;
        if connection.input != self.input {
            connection.input = self.input;
            connection.input_bytes = 0;
        }
        if connection.input_bytes <= BYTES_PER_INPUT_MAX || connection.kind == Kind::Internal {
            return true;
        }
        connection.congested = true;
        self.effects.push(Effect::AwaitDrain { connection: connection.id });
        false
    }

    /// Whether one more QoS 1 or 2 message may be under way [MQTT-4.9.0-1]. What is kept to be sent again is bounded in bytes
    /// as well, by the share of the session where memory is short; one message may go over.
    fn window_is_open(&self, session: &Session, connection: &Connection) -> bool {
        let bytes_max = match connection.kind {
            Kind::Internal => self.config.consumer_in_flight_bytes_max,
            Kind::Network(_) if self.account.is_strained() => {
                self.config.queue_bytes_max.min(self.account.share_bytes())
            }
            Kind::Network(_) => self.config.queue_bytes_max,
        };
        session.in_flight.len() < usize::from(connection.window) && session.in_flight.bytes() <= bytes_max
    }

    /// `entry` is what the journal keeps of it for the session already; 0 is nothing.
    fn send(
        &mut self,
        session: &mut Session,
        connection: &mut Connection,
        terms: Terms,
        publication: &mut Publication<'_>,
        forms: &mut EncodedForms,
        entry: u64,
    ) {
        if !fits(connection, &terms, publication) {
            self.statistics.dropped_too_large += 1;
            self.journal.done(session.number, entry, publication.number);
            return;
        }
        let packet_id = if terms.qos == QoS::AtMostOnce {
            None
        } else {
            // What the journal keeps is kept here too, even if the session has come to end with its connection: whoever ends the
            // exchange has to know which message nobody holds any more.
            let is_kept = entry != 0 || is_kept(session, connection);
            let message = is_kept.then(|| publication.keep(&self.account.messages));
            let identifiers = terms.boxed_identifiers();
            let add = |in_flight: &mut InFlight| in_flight.add(terms.qos, terms.retain, message, identifiers);
            let Some(packet_id) = session.change_in_flight(self.account, add) else { return };
            self.keep_sent(session, connection, &terms, publication, packet_id, entry);
            Some(packet_id)
        };
        let kept = packet_id.is_some() && session.in_flight.keeps_last();
        self.transmit(connection, terms, publication, Sending { packet_id, duplicate: false, kept }, forms);
    }

    /// Has the journal keep that a message is in flight. Consumers inside the node get theirs anew after a restart.
    fn keep_sent(
        &mut self,
        session: &mut Session,
        connection: &Connection,
        terms: &Terms,
        publication: &mut Publication<'_>,
        packet_id: PacketId,
        entry: u64,
    ) {
        let internal = connection.kind == Kind::Internal;
        let entry = if entry != 0 {
            if !internal {
                self.journal.sent(session, entry, packet_id, terms.qos);
            }
            entry
        } else if !self.journal.keeps(session, terms.qos, publication.durability) {
            return;
        } else if internal {
            self.journal.queued(session, terms, publication).0
        } else {
            self.journal.passed(session, terms, publication, packet_id)
        };
        session.in_flight.keep_last(entry);
    }

    /// Appends what was decided to be sent, in the form that serves best.
    fn transmit(
        &mut self,
        connection: &mut Connection,
        terms: Terms,
        publication: &mut Publication<'_>,
        sending: Sending,
        forms: &mut EncodedForms,
    ) {
        connection.input_bytes += publication.payload.len() + publication.forwarded.len() + publication.topic.len();
        self.statistics.publishes_sent[terms.qos as usize] += 1;
        self.statistics.publish_bytes_sent += publication.payload.len() as u64;
        let Kind::Network(version) = connection.kind else {
            self.hand_over(connection, &terms, publication, sending);
            return;
        };
        let id = connection.id;
        // The identifier under which a client gets a QoS 2 message must not change any more.
        let is_first = terms.qos == QoS::ExactlyOnce && sending.kept && !sending.duplicate && self.journal.waits();
        let hold = self.effects.hold(if is_first { Hold::Barrier } else { Hold::Nothing });
        // Where properties outweigh the payload, one encoding for all is what saves memory.
        if publication.payload.len() >= self.config.share_payload_bytes
            && publication.payload.len() >= publication.forwarded.len()
        {
            let message = publication.keep(&self.account.messages);
            let start = self.effects.mark();
            let packet = packet(connection, version, &terms, publication, sending, self.account);
            // The topic, properties and payload were decoded within the limits of the encoding, here and below.
            let _encoded = packet.encode_without_payload(&mut self.effects.arena);
            let bytes = self.effects.since(start);
            self.effects.push(Effect::SendShared { connection: id, bytes, patch: None, message, hold });
            return;
        }
        if sending.duplicate
            || (connection.aliases_out.is_some() && publication.forwarded.len() < self.config.share_payload_bytes)
        {
            let (bytes, _) = self.encode(connection, version, &terms, publication, sending);
            self.effects.push(Effect::Send { connection: id, bytes, patch: None, hold });
            return;
        }
        let known = forms.forms.iter().find(|form| form.version == version && form.terms == terms);
        let (bytes, offset) = match known {
            Some(form) => (form.bytes, form.packet_id_offset),
            None => {
                let (bytes, offset) = self.encode(connection, version, &terms, publication, sending);
                if forms.forms.len() < FORMS_MAX {
                    forms.forms.push(EncodedForm { version, terms, bytes, packet_id_offset: offset });
                }
                (bytes, offset)
            }
        };
        let patch = sending.packet_id.map(|packet_id| PacketIdPatch { offset, packet_id });
        self.effects.push(Effect::Send { connection: id, bytes, patch, hold });
    }

    /// Encodes one delivery; gives its bytes, and the offset of the packet identifier in them.
    fn encode(
        &mut self,
        connection: &mut Connection,
        version: ProtocolVersion,
        terms: &Terms,
        publication: &Publication<'_>,
        sending: Sending,
    ) -> (ByteRange, u32) {
        let start = self.effects.mark();
        let packet = packet(connection, version, terms, publication, sending, self.account);
        let offset = packet.encode(&mut self.effects.arena).ok().flatten();
        (self.effects.since(start), offset.map_or(0, |offset| offset as u32 - start))
    }
}

/// Whether the message stays with the session until it is acknowledged, to be sent again on another connection.
fn is_kept(session: &Session, connection: &Connection) -> bool {
    session.is_persistent() || connection.kind == Kind::Internal
}
