//! One publication to one session: straight into the outbox if the client can take it, else into the session's queue.
//!
//! Invariant: a fan-out encodes each distinct form of a packet once.

mod publication;

use std::sync::Arc;

pub(crate) use publication::{Publication, Terms};

use selvedge_codec::{Delivery as Packet, PacketId, ProtocolVersion, QoS};
use smallvec::SmallVec;

use crate::{
    config::{Config, OverflowRule},
    connection::{Connection, Kind},
    effect::{ByteRange, Delivery, Effect, Effects, PacketIdPatch},
    message::Message,
    session::{Session, queue::Queued},
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
                session.queue.is_empty() && self.window_is_open(session, connection)
            };
        if sendable {
            self.send(session, connection, terms, publication, forms);
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

    /// Queues within the limits of the session; `replay` marks retained messages for a new subscription.
    pub(crate) fn enqueue(
        &mut self,
        session: &mut Session,
        terms: Terms,
        publication: &mut Publication<'_>,
        replay: bool,
    ) -> Outcome {
        let message = publication.keep();
        let cost = message.cost_bytes();
        self.effects.work += 1;
        if replay {
            // The node holds retained messages anyway, but not those that were replaced while they waited here.
            let bytes_max = self.config.queue_bytes_max + self.retained_bytes;
            if session.queue.replays() >= self.config.retained_messages_max
                || session.queue.replay_bytes() + cost > bytes_max
            {
                self.statistics.dropped_queue_full += 1;
                return Outcome::Done;
            }
        } else if cost > self.config.queue_bytes_max {
            self.statistics.dropped_queue_full += 1;
            return Outcome::Done;
        } else {
            while session.queue.len() >= self.config.queue_messages_max
                || session.queue.bytes() + cost > self.config.queue_bytes_max
            {
                self.statistics.dropped_queue_full += 1;
                if terms.qos == QoS::AtMostOnce {
                    return Outcome::Done;
                }
                if self.config.overflow == OverflowRule::Disconnect {
                    return Outcome::Overflow;
                }
                let Some(dropped) = session.queue.drop_oldest() else { return Outcome::Done };
                self.uncount(&dropped);
            }
        }
        self.statistics.queued_messages += 1;
        self.statistics.queued_bytes += message.cost_bytes() as u64;
        let identifiers = terms.boxed_identifiers();
        session.queue.push(Queued { message, qos: terms.qos, retain: terms.retain, identifiers, replay });
        Outcome::Done
    }

    /// Takes a message that left a queue out of the gauges.
    pub(crate) fn uncount(&mut self, queued: &Queued) {
        self.statistics.queued_messages -= 1;
        self.statistics.queued_bytes -= queued.message.cost_bytes() as u64;
    }

    /// Sends what waits: first what an earlier connection left unacknowledged, then the queue, as far as window and
    /// outbox allow, and at most a bounded number of bytes; the rest follows when the outbox has drained.
    pub(crate) fn pump(&mut self, session: &mut Session, connection: &mut Connection) {
        const BYTES_AT_ONCE: usize = 64 * 1024;
        self.resend(session, connection);
        let mut budget = BYTES_AT_ONCE;
        while !connection.congested {
            let Some(next) = session.queue.front() else { return };
            if !next.message.is_expired(self.now)
                && next.qos != QoS::AtMostOnce
                && !self.window_is_open(session, connection)
            {
                return;
            }
            if budget == 0 {
                connection.congested = true;
                self.effects.push(Effect::AwaitDrain { connection: connection.id });
                return;
            }
            let Some(queued) = session.queue.pop() else { return };
            self.uncount(&queued);
            if queued.message.is_expired(self.now) {
                self.statistics.dropped_expired += 1;
                continue;
            }
            budget = budget.saturating_sub(queued.message.cost_bytes());
            let terms = Terms {
                qos: queued.qos,
                retain: queued.retain,
                identifiers: queued.identifiers.as_deref().unwrap_or_default().into(),
            };
            let mut publication = Publication::of_message(&queued.message, None, self.now);
            self.send(session, connection, terms, &mut publication, &mut EncodedForms::default());
        }
    }

    /// Whether one more QoS 1 or 2 message may be under way [MQTT-4.9.0-1]. What is kept to be sent again is bounded in bytes
    /// as well; one message may go over.
    fn window_is_open(&self, session: &Session, connection: &Connection) -> bool {
        let bytes_max = match connection.kind {
            Kind::Internal => self.config.consumer_in_flight_bytes_max,
            Kind::Network(_) => self.config.queue_bytes_max,
        };
        session.in_flight.len() < usize::from(connection.window) && session.in_flight.bytes() <= bytes_max
    }

    /// Repeats PUBLISH (with DUP) and PUBREL on a new connection [MQTT-4.4.0-1], within its window.
    fn resend(&mut self, session: &mut Session, connection: &mut Connection) {
        let window = usize::from(connection.window);
        while let Some(entry) = session.in_flight.next_resend(window) {
            let Some(message) = &entry.message else {
                // Nothing but PUBREL is left of a QoS 2 exchange [MQTT-4.3.3-6].
                if let Kind::Network(version) = connection.kind {
                    let release = selvedge_codec::Ack::success(entry.packet_id);
                    let start = self.effects.mark();
                    if selvedge_codec::encode(
                        version,
                        &selvedge_codec::Packet::PubRel(release),
                        &mut self.effects.arena,
                    )
                    .is_ok()
                    {
                        let bytes = self.effects.since(start);
                        self.effects.push(Effect::Send { connection: connection.id, bytes, patch: None });
                    }
                }
                continue;
            };
            let qos = if entry.awaiting == crate::session::in_flight::Awaiting::Acknowledgement {
                QoS::AtLeastOnce
            } else {
                QoS::ExactlyOnce
            };
            let terms = Terms {
                qos,
                retain: entry.retain,
                identifiers: entry.identifiers.as_deref().unwrap_or_default().into(),
            };
            let publication = Publication::of_message(message, None, self.now);
            let packet_id = entry.packet_id;
            if fits(connection, &terms, &publication) {
                transmit(self, connection, &terms, &publication, message, Some(packet_id));
            } else {
                // The client accepts less than before [MQTT-3.1.2-25].
                self.statistics.dropped_too_large += 1;
                session.in_flight.finish(packet_id);
            }
        }
    }

    fn send(
        &mut self,
        session: &mut Session,
        connection: &mut Connection,
        terms: Terms,
        publication: &mut Publication<'_>,
        forms: &mut EncodedForms,
    ) {
        if !fits(connection, &terms, publication) {
            self.statistics.dropped_too_large += 1;
            return;
        }
        let packet_id = if terms.qos == QoS::AtMostOnce {
            None
        } else {
            let resendable = session.is_persistent() || connection.kind == Kind::Internal;
            let message = resendable.then(|| publication.keep());
            let Some(packet_id) = session.in_flight.add(terms.qos, terms.retain, message, terms.boxed_identifiers())
            else {
                return;
            };
            Some(packet_id)
        };
        connection.input_bytes += publication.payload.len() + publication.forwarded.len() + publication.topic.len();
        self.statistics.publishes_sent[terms.qos as usize] += 1;
        self.statistics.publish_bytes_sent += publication.payload.len() as u64;
        let Kind::Network(version) = connection.kind else {
            let delivery = Delivery {
                message: publication.keep(),
                qos: terms.qos,
                packet_id,
                retain: terms.retain,
                duplicate: false,
            };
            self.effects.push(Effect::Deliver { connection: connection.id, delivery });
            return;
        };
        // Where properties outweigh the payload, one encoding for all is what saves memory.
        if publication.payload.len() >= self.config.share_payload_bytes
            && publication.payload.len() >= publication.forwarded.len()
        {
            let message = publication.keep();
            self.send_shared(connection, version, &terms, publication, message, packet_id, false);
            return;
        }
        if connection.aliases_out.is_some() && publication.forwarded.len() < self.config.share_payload_bytes {
            let start = self.effects.mark();
            encode(connection, version, &terms, publication, packet_id, false, &mut self.effects.arena);
            let bytes = self.effects.since(start);
            self.effects.push(Effect::Send { connection: connection.id, bytes, patch: None });
            return;
        }
        let known = forms.forms.iter().find(|form| form.version == version && form.terms == terms);
        let (bytes, offset) = match known {
            Some(form) => (form.bytes, form.packet_id_offset),
            None => {
                let start = self.effects.mark();
                let offset =
                    encode(connection, version, &terms, publication, packet_id, false, &mut self.effects.arena);
                let bytes = self.effects.since(start);
                if forms.forms.len() < FORMS_MAX {
                    forms.forms.push(EncodedForm { version, terms, bytes, packet_id_offset: offset });
                }
                (bytes, offset)
            }
        };
        let patch = packet_id.map(|packet_id| PacketIdPatch { offset, packet_id });
        self.effects.push(Effect::Send { connection: connection.id, bytes, patch });
    }

    #[expect(clippy::too_many_arguments, reason = "each says a different thing about one packet")]
    fn send_shared(
        &mut self,
        connection: &mut Connection,
        version: ProtocolVersion,
        terms: &Terms,
        publication: &Publication<'_>,
        message: Arc<Message>,
        packet_id: Option<PacketId>,
        duplicate: bool,
    ) {
        let start = self.effects.mark();
        let arena = &mut self.effects.arena;
        packet(connection, version, terms, publication, packet_id, duplicate, |packet| {
            packet.encode_without_payload(arena).is_ok()
        });
        let bytes = self.effects.since(start);
        self.effects.push(Effect::SendShared { connection: connection.id, bytes, patch: None, message });
    }
}

/// Sends a message again, with DUP [MQTT-3.3.1-1].
fn transmit(
    sender: &mut Sender<'_>,
    connection: &mut Connection,
    terms: &Terms,
    publication: &Publication<'_>,
    message: &Arc<Message>,
    packet_id: Option<PacketId>,
) {
    sender.statistics.publishes_sent[terms.qos as usize] += 1;
    sender.statistics.publish_bytes_sent += publication.payload.len() as u64;
    match connection.kind {
        Kind::Internal => {
            let delivery =
                Delivery { message: message.clone(), qos: terms.qos, packet_id, retain: terms.retain, duplicate: true };
            sender.effects.push(Effect::Deliver { connection: connection.id, delivery });
        }
        Kind::Network(version) => {
            sender.send_shared(connection, version, terms, publication, message.clone(), packet_id, true);
        }
    }
}

/// Whether the packet is within what the client accepts [MQTT-3.1.2-24], [MQTT-3.1.2-25].
fn fits(connection: &Connection, terms: &Terms, publication: &Publication<'_>) -> bool {
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
    let delivery = bare_packet(version, terms, publication, packet_id, false);
    delivery.encoded_len() <= limit
}

fn bare_packet<'p>(
    version: ProtocolVersion,
    terms: &'p Terms,
    publication: &Publication<'p>,
    packet_id: Option<PacketId>,
    duplicate: bool,
) -> Packet<'p> {
    Packet {
        version,
        dup: duplicate,
        qos: terms.qos,
        retain: terms.retain,
        topic: publication.topic,
        packet_id,
        topic_alias: None,
        message_expiry_s: publication.expiry_s,
        subscription_identifiers: &terms.identifiers,
        forwarded: publication.forwarded,
        payload: publication.payload,
    }
}

/// Encodes one delivery; returns the offset of the packet identifier in it.
fn encode(
    connection: &mut Connection,
    version: ProtocolVersion,
    terms: &Terms,
    publication: &Publication<'_>,
    packet_id: Option<PacketId>,
    duplicate: bool,
    arena: &mut Vec<u8>,
) -> u32 {
    let start = arena.len();
    packet(connection, version, terms, publication, packet_id, duplicate, |packet| {
        // The topic, properties and payload were decoded within the limits of the encoding.
        let offset = packet.encode(arena).ok().flatten();
        offset.map_or(0, |offset| (offset - start) as u32)
    })
}

/// Builds the packet, with a topic alias where the client takes them and one is free or established.
fn packet<R>(
    connection: &mut Connection,
    version: ProtocolVersion,
    terms: &Terms,
    publication: &Publication<'_>,
    packet_id: Option<PacketId>,
    duplicate: bool,
    with: impl FnOnce(&Packet<'_>) -> R,
) -> R {
    let mut delivery = bare_packet(version, terms, publication, packet_id, duplicate);
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
        {
            let alias = aliases.by_topic.len() as u16 + 1;
            aliases.by_topic.insert(publication.topic.into(), alias);
            delivery.topic_alias = Some(alias);
        }
    }
    with(&delivery)
}
