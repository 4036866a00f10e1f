//! A message that cannot be sent now waits in the queue of its session: within the limits of the session, and of the node.

use selvedge_codec::QoS;

use super::{Outcome, Publication, Sender, Terms};
use crate::{
    config::OverflowRule,
    session::{Session, in_flight::ENTRY_BYTES, queue::Queued},
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
        let message = publication.keep(&self.account.messages);
        let cost = message.cost_bytes();
        self.effects.work += 1;
        while let Some(full) = self.what_is_full(session, cost, replay) {
            match full {
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
            self.uncount(&dropped);
            session.settle(self.account);
        }
        if !self.account.has_room(ENTRY_BYTES) {
            self.statistics.dropped_memory += 1;
            return Outcome::Done;
        }
        self.statistics.queued_messages += 1;
        self.statistics.queued_bytes += cost as u64;
        let identifiers = terms.boxed_identifiers();
        session.queue.push(Queued { message, qos: terms.qos, retain: terms.retain, identifiers, replay });
        session.settle(self.account);
        Outcome::Done
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
