//! An image of what records came to, for work on a journal that no broker has open.
//!
//! Invariant: taken by a new [`super::restore::Restorer`], the image comes to the same; the image of one session stands in one piece.

use crate::durability::Priority;

use super::{
    record::{Opened, Queued, Record, WillParts, encode_identifiers},
    restore::{Presence, Restored, RestoredSession},
};

/// A piece is ended when it has so many bytes; one session more may go over.
const PIECE_BYTES: usize = 64 * 1024;

impl Restored {
    /// Records that say all of it again, in pieces, each for an entry of its own.
    pub fn image(&self) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        Record::RetainedForgotten.encode(&mut piece);
        for (message, topic) in &self.retained {
            Record::Retained { message: *message, topic }.encode(&mut piece);
        }
        for (number, session) in &self.sessions {
            session.image(*number, &mut piece);
            if piece.len() > PIECE_BYTES {
                pieces.push(std::mem::take(&mut piece));
            }
        }
        let last = self.next_session.saturating_sub(1);
        if last != 0 && !self.sessions.contains_key(&last) {
            // Of a session that nobody knows any more: so its number is not given again.
            Record::WillGone { session: last }.encode(&mut piece);
        }
        pieces.push(piece);
        pieces
    }
}

impl RestoredSession {
    fn image(&self, session: u64, out: &mut Vec<u8>) {
        Record::Image { session }.encode(out);
        let will = self.will.as_ref().map(|will| WillParts {
            delay_s: will.delay_s,
            expiry_s: will.expiry_s,
            message: &will.body,
        });
        let (client_id, user, expiry_s) = (&*self.client_id, self.user.as_deref(), self.expiry_s);
        Record::Opened(Opened { session, client_id, user, expiry_s, will }).encode(out);
        for (filter, options) in &self.filters {
            Record::Subscribed { session, filter, options: *options }.encode(out);
        }
        let mut at = 1;
        let mut next_is = |entry: u64, out: &mut Vec<u8>| {
            if entry != at {
                Record::EntriesFrom { session, entry }.encode(out);
            }
            at = entry + 1;
        };
        for sent in &self.in_flight {
            next_is(sent.entry, out);
            let mut identifiers = Vec::new();
            encode_identifiers(sent.identifiers.as_deref().unwrap_or_default(), &mut identifiers);
            let queued = Queued {
                session,
                message: sent.message,
                qos: sent.qos,
                retain: sent.retain,
                cost: sent.cost,
                // What is in flight is not given up.
                priority: Priority::default(),
                expires_at_ms: None,
                identifiers: &identifiers,
            };
            Record::Passed(queued, sent.packet_id).encode(out);
        }
        self.queue.each(&mut |waits| {
            next_is(waits.entry, out);
            let mut identifiers = Vec::new();
            encode_identifiers(self.queue.identifiers(waits.entry), &mut identifiers);
            let queued = Queued {
                session,
                message: waits.message,
                qos: waits.qos,
                retain: waits.retain,
                cost: waits.cost,
                priority: waits.priority,
                expires_at_ms: waits.expires_at_ms,
                identifiers: &identifiers,
            };
            Record::Queued(queued).encode(out);
        });
        next_is(self.next_entry, out);
        for packet_id in &self.inbound {
            Record::Inbound { session, packet_id: *packet_id }.encode(out);
        }
        if let Presence::Away { ends_at_ms, will_at_ms } = self.presence {
            Record::Away { session, ends_at_ms, will_at_ms }.encode(out);
        }
    }
}
