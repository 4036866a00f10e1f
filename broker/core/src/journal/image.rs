//! Images: all that is kept of a session, or of the retained messages, said again, so that what was written before is not
//! needed any more.
//!
//! Written session by session, in steps, while clients go on: replayed, an image puts everything that was said of its session
//! before out of force, and what follows it counts. Invariant: the image of one session is one run of records of one input.

use selvedge_codec::PacketId;

use super::{
    ImagePart, Journal,
    record::{Queued, Record, encode_identifiers},
};
use crate::{
    durability::Priority,
    message::Message,
    session::{
        Session,
        in_flight::{Awaiting, Body, Entry},
        queue::Queued as Waits,
    },
};

/// How far an image of everything is.
#[derive(Debug)]
pub(crate) struct ImageRound {
    /// Sessions before this index are written.
    pub(crate) next: u32,
    pub(crate) begun: bool,
}

/// An entry that waits and is in memory.
enum Waiting<'s> {
    Sent(&'s Entry),
    Queued(&'s Waits),
}

impl Journal {
    pub(crate) fn begin_image(&mut self) {
        self.kept.image.begins = true;
    }

    pub(crate) fn end_image(&mut self) {
        self.kept.image.ends = true;
    }

    /// Whether what waits to be taken holds a part of an image that something else of one must not share.
    pub(crate) fn image_part(&self) -> ImagePart {
        self.kept.image
    }

    pub(crate) fn image_of_retained<'m>(&mut self, messages: impl Iterator<Item = &'m Message>) {
        self.put(&Record::RetainedForgotten);
        for message in messages.filter(|message| message.number() != 0) {
            self.put(&Record::Retained { message: message.number(), topic: message.topic() });
        }
    }

    pub(crate) fn image_of(&mut self, session: &Session, filters: &[(&str, crate::router::SubscriptionOptions)]) {
        let number = session.number;
        self.put(&Record::Image { session: number });
        self.put_opened(session);
        for (filter, options) in filters {
            self.put(&Record::Subscribed { session: number, filter, options: *options });
        }
        let mut at = 1;
        let mut waiting = Vec::new();
        for sent in session.in_flight.entries().filter(|sent| sent.entry != 0) {
            // Consumers inside the node get theirs anew, so what they have is as if it waited.
            if session.is_internal() {
                waiting.push((sent.entry, Waiting::Sent(sent)));
            } else {
                self.put_sent(number, sent, Some(sent.packet_id), &mut at);
            }
        }
        let in_memory = session.queue.in_memory().filter(|queued| queued.entry != 0);
        waiting.extend(in_memory.map(|queued| (queued.entry, Waiting::Queued(queued))));
        // A retained message may stand in memory before what was queued for the disk earlier; entries are said in their order.
        waiting.sort_unstable_by_key(|(entry, _)| *entry);
        let mut waiting = waiting.into_iter().peekable();
        let stored = &session.queue.stored;
        stored.each(&mut |entry| {
            while let Some((_, before)) = waiting.next_if(|(other, _)| *other < entry.entry) {
                self.put_waiting(number, before, &mut at);
            }
            let mut identifiers = Vec::new();
            encode_identifiers(stored.identifiers(entry.entry), &mut identifiers);
            let record = Queued {
                session: number,
                message: entry.message,
                qos: entry.qos,
                retain: entry.retain,
                cost: entry.cost,
                priority: entry.priority,
                expires_at_ms: entry.expires_at_ms,
                identifiers: &identifiers,
            };
            self.put_entry(entry.entry, record, None, &mut at);
        });
        for (_, rest) in waiting {
            self.put_waiting(number, rest, &mut at);
        }
        if at != session.next_entry {
            self.put(&Record::EntriesFrom { session: number, entry: session.next_entry });
        }
        for packet_id in &session.inbound_qos_2 {
            self.put(&Record::Inbound { session: number, packet_id: *packet_id });
        }
        if session.connection.is_none() {
            self.put_away(session);
        }
    }

    fn put_waiting(&mut self, session: u64, waiting: Waiting<'_>, at: &mut u64) {
        let queued = match waiting {
            Waiting::Sent(sent) => return self.put_sent(session, sent, None, at),
            Waiting::Queued(queued) => queued,
        };
        let mut identifiers = Vec::new();
        encode_identifiers(queued.identifiers.as_deref().unwrap_or_default(), &mut identifiers);
        let record = Queued {
            session,
            message: queued.message.number(),
            qos: queued.qos,
            retain: queued.retain,
            cost: u32::try_from(queued.message.cost_bytes()).unwrap_or(u32::MAX),
            priority: queued.priority,
            expires_at_ms: queued.message.expires_at().map(|at| self.clock.ms(at)),
            identifiers: &identifiers,
        };
        self.put_entry(queued.entry, record, None, at);
    }

    fn put_sent(&mut self, session: u64, sent: &Entry, packet_id: Option<PacketId>, at: &mut u64) {
        let (message, cost) = match &sent.body {
            Body::Gone => (0, 0),
            Body::Here(message) => (message.number(), u32::try_from(message.cost_bytes()).unwrap_or(u32::MAX)),
            Body::Stored { number, cost } => (*number, *cost),
        };
        let mut identifiers = Vec::new();
        encode_identifiers(sent.identifiers.as_deref().unwrap_or_default(), &mut identifiers);
        let qos = match sent.awaiting {
            Awaiting::Acknowledgement => selvedge_codec::QoS::AtLeastOnce,
            Awaiting::Receipt | Awaiting::Completion => selvedge_codec::QoS::ExactlyOnce,
        };
        // What is in flight is not given up.
        let (priority, expires_at_ms) = (Priority::default(), None);
        let retain = sent.retain;
        let record = Queued { session, message, qos, retain, cost, priority, expires_at_ms, identifiers: &identifiers };
        self.put_entry(sent.entry, record, packet_id, at);
        if message == 0 {
            self.put(&Record::Received { session, entry: sent.entry });
        }
    }

    fn put_entry(&mut self, entry: u64, record: Queued<'_>, packet_id: Option<PacketId>, at: &mut u64) {
        if entry != *at {
            self.put(&Record::EntriesFrom { session: record.session, entry });
        }
        *at = entry + 1;
        match packet_id {
            Some(packet_id) => self.put(&Record::Passed(record, packet_id)),
            None => self.put(&Record::Queued(record)),
        }
    }
}
