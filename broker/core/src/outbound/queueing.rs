//! A message that cannot be sent now waits in the queue of its session: within the limits of the session, and of the node.

use selvedge_codec::QoS;

use super::{Outcome, Publication, Sender, Terms};
use crate::{
    config::OverflowRule,
    session::{
        Session,
        in_flight::ENTRY_BYTES,
        queue::{Dropped, Queued, StoredEntry},
    },
};

/// Why a queue takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// The session's own limits.
    Queue,
    /// The node's memory is short, and the session holds its share.
    Share,
}

impl Sender<'_> {
    /// Queues within the limits of the session; `replay` marks retained messages for a new subscription.
    pub(crate) fn enqueue(
        &mut self,
        session: &mut Session,
        terms: Terms,
        publication: &mut Publication<'_>,
        replay: bool,
    ) -> Outcome {
        let cost = publication.cost_bytes();
        // A retained message that is in memory only is sent again by the client's next subscription.
        let durable =
            self.journal.keeps(session, terms.qos, publication.durability) && !(replay && publication.number == 0);
        if !durable {
            // Counts in the account from here on.
            publication.keep(&self.account.messages);
        }
        self.effects.work += 1;
        if durable && !self.journal.takes_more() {
            self.statistics.dropped_disk += 1;
            return Outcome::Done;
        }
        while let Some(full) = self.what_is_full(session, cost, replay) {
            if full == Full::Share && self.spill(session) && !durable {
                continue;
            }
            match full {
                // What is on disk takes next to nothing.
                Full::Share if durable => break,
                Full::Queue => self.statistics.dropped_queue_full += 1,
                Full::Share => self.statistics.dropped_memory += 1,
            }
            if replay || terms.qos == QoS::AtMostOnce || cost > self.config.queue_bytes_max {
                return Outcome::Done;
            }
            // A consumer inside the node never ends this way: a client could end a part of the node by flooding its topic.
            if self.config.overflow == OverflowRule::Disconnect && !session.is_internal() {
                return Outcome::Overflow;
            }
            let Some(dropped) = session.queue.drop_oldest() else { return Outcome::Done };
            self.give_up(session.number, &dropped);
            session.settle(self.account);
        }
        if !self.account.has_room(ENTRY_BYTES) {
            self.statistics.dropped_memory += 1;
            return Outcome::Done;
        }
        self.statistics.queued_messages += 1;
        self.statistics.queued_bytes += cost as u64;
        let (entry, number) = if durable { self.journal.queued(session, &terms, publication) } else { (0, 0) };
        let identifiers = terms.boxed_identifiers();
        let (qos, retain, priority) = (terms.qos, terms.retain, publication.priority);
        if durable {
            self.journal.waits_on_disk(priority);
        }
        if durable && !replay && self.goes_to_disk(session, cost) {
            let cost = u32::try_from(cost).unwrap_or(u32::MAX);
            let expires_at_ms = publication.expires_at.map(|at| self.journal.clock.ms(at));
            let stored =
                StoredEntry { entry, message: number, qos, retain, cost, priority, expires_at_ms, identifiers };
            session.queue.stored.push(stored);
        } else {
            let message = publication.keep(&self.account.messages);
            session.queue.push(Queued { message, qos, retain, identifiers, replay, entry, priority });
        }
        session.settle(self.account);
        Outcome::Done
    }

    /// Leaves to the disk what may be. True if that was something.
    fn spill(&mut self, session: &mut Session) -> bool {
        let before = session.queue.bytes_in_memory();
        session.queue.spill(self.journal.clock);
        session.settle(self.account);
        session.queue.bytes_in_memory() < before
    }

    /// Whether what the journal keeps for `session` is to wait on disk only.
    fn goes_to_disk(&self, session: &Session, cost: usize) -> bool {
        !session.queue.stored.is_empty()
            || session.queue.bytes_in_memory() + cost > self.config.queue_memory_bytes_max
            || self.account.is_strained()
    }

    /// A message that waited is given up.
    fn give_up(&mut self, session: u64, dropped: &Dropped) {
        self.statistics.queued_messages -= 1;
        self.statistics.queued_bytes -= dropped.cost as u64;
        self.journal.done(session, dropped.entry, dropped.message);
    }

    /// What keeps one more message of `cost` bytes out of the queue.
    fn what_is_full(&self, session: &Session, cost: usize, replay: bool) -> Option<Full> {
        let queue = &session.queue;
        let over = if replay {
            // The node holds retained messages anyway, but not those that were replaced while they waited here.
            let bytes_max = self.config.queue_bytes_max + self.retained_bytes;
            queue.replays() >= self.config.retained_messages_max || queue.replay_bytes() + cost > bytes_max
        } else {
            queue.len() >= self.config.queue_messages_max || queue.bytes() + cost > self.config.queue_bytes_max
        };
        if over {
            Some(Full::Queue)
        } else if self.account.is_strained() && session.held_bytes() + cost > session.share_bytes(self.account) {
            Some(Full::Share)
        } else {
            None
        }
    }

    /// Takes a message that left a queue out of the gauges.
    pub(crate) fn uncount(&mut self, queued: &Queued) {
        self.statistics.queued_messages -= 1;
        self.statistics.queued_bytes -= queued.message.cost_bytes() as u64;
    }
}
