//! Messages that wait for a client: it is away, its window is full, or its socket is.
//!
//! The oldest are in memory; of a durable session, those behind them are on disk only (`stored`) and are fetched when their
//! turn comes. Invariant: first in, first out; bounded by messages and bytes. Retained messages for a new subscription wait
//! here too, in order with what is in memory, but are bounded by what is retained and not by the queue's own limits: the node
//! holds them anyway.

mod stored;

use std::{collections::VecDeque, sync::Arc};

use selvedge_codec::QoS;

pub(crate) use self::stored::{Stored, StoredEntry};
use super::in_flight::{Identifiers, give_back, identifier_bytes, table_bytes};
use crate::{durability::Priority, handle::audit::agree, journal::WallClock, message::Message};

#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    /// Effective QoS.
    pub(crate) qos: QoS,
    /// RETAIN flag to send.
    pub(crate) retain: bool,
    pub(crate) identifiers: Identifiers,
    /// A retained message that answers a subscription.
    pub(crate) replay: bool,
    /// Its number among what the journal keeps for the session; 0 is not kept.
    pub(crate) entry: u64,
    /// What goes first when the disk has no room.
    pub(crate) priority: Priority,
}

/// What left a queue without being sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropped {
    /// 0: not kept by the journal.
    pub(crate) entry: u64,
    /// Number of the message, if the entry is kept.
    pub(crate) message: u64,
    /// What it counted, bytes.
    pub(crate) cost: usize,
}

impl Queued {
    /// As something that is gone.
    pub(crate) fn dropped(&self) -> Dropped {
        Dropped { entry: self.entry, message: self.message.number(), cost: self.message.cost_bytes() }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Queued>,
    counted: usize,
    bytes: usize,
    replays: usize,
    qos_0: usize,
    held: usize,
    /// What their subscription identifiers take.
    identifier_bytes: usize,
    /// So many at the front were not judged by the present access rules.
    unjudged: usize,
    /// What waits behind `entries`, on disk.
    pub(crate) stored: Stored,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.stored.is_empty()
    }

    /// Messages that count against the limit.
    pub(crate) fn len(&self) -> usize {
        self.counted + self.stored.len()
    }

    /// Bytes that count against the limit.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.stored.bytes()
    }

    /// Bytes of messages in memory, replays included.
    pub(crate) fn bytes_in_memory(&self) -> usize {
        self.held
    }

    /// Calls `found` with the number of every message that the journal keeps for the queue.
    pub(crate) fn kept_messages(&self, found: &mut dyn FnMut(u64)) {
        self.entries.iter().filter(|entry| entry.entry != 0).for_each(|entry| found(entry.message.number()));
        self.stored.each(&mut |entry| found(entry.message));
    }

    /// What is in memory, oldest first.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = &Queued> {
        self.entries.iter()
    }

    /// Leaves to the disk what the journal keeps, as far as it stands at the end of what is in memory.
    pub(crate) fn spill(&mut self, clock: WallClock) {
        while let Some(last) = self.entries.back()
            && last.entry != 0
            && !last.replay
            && self.stored.may_precede(last.entry)
        {
            let Some(last) = self.entries.pop_back() else { return };
            self.unjudged = self.unjudged.min(self.entries.len());
            self.forget(&last);
            self.stored.push_front(StoredEntry {
                entry: last.entry,
                message: last.message.number(),
                qos: last.qos,
                retain: last.retain,
                cost: u32::try_from(last.message.cost_bytes()).unwrap_or(u32::MAX),
                priority: last.priority,
                expires_at_ms: last.message.expires_at().map(|at| clock.ms(at)),
                identifiers: last.identifiers,
            });
        }
    }

    /// Puts behind what is in memory what was fetched from disk, in order; `None` is a message that is not there any more.
    /// `lost` is told of each of those.
    pub(crate) fn arrive(
        &mut self,
        fetched: impl IntoIterator<Item = (u64, Option<Arc<Message>>)>,
        lost: &mut dyn FnMut(Dropped),
    ) {
        for (number, message) in fetched {
            // One that is not at the front was dropped meanwhile.
            let Some(entry) = self.stored.pop_if(number) else { continue };
            match message {
                Some(message) => {
                    let StoredEntry { entry, qos, retain, identifiers, priority, .. } = entry;
                    self.push(Queued { message, qos, retain, identifiers, replay: false, entry, priority });
                }
                None => lost(entry.dropped()),
            }
        }
    }

    /// Whether a live QoS 0 message would overtake one that must come before it: another QoS 0 message, or the retained
    /// message of its topic.
    pub(crate) fn holds_back_qos_0(&self) -> bool {
        self.qos_0 > 0 || self.replays > 0
    }

    /// What the queue takes beside its messages, bytes.
    pub(crate) fn footprint(&self) -> usize {
        table_bytes(self.entries.len()) + self.identifier_bytes + self.stored.footprint()
    }

    /// Bytes of retained messages that wait.
    pub(crate) fn replay_bytes(&self) -> usize {
        self.held - self.bytes
    }

    /// Messages, replays included.
    pub(crate) fn total(&self) -> usize {
        self.entries.len() + self.stored.len()
    }

    /// Bytes, replays included, wherever they are.
    pub(crate) fn bytes_held(&self) -> usize {
        self.held + self.stored.bytes()
    }

    /// Retained messages that wait.
    pub(crate) fn replays(&self) -> usize {
        self.replays
    }

    /// How many at the front were queued under other access rules than the present ones.
    pub(crate) fn unjudged(&self) -> usize {
        self.unjudged
    }

    /// The access rules changed.
    pub(crate) fn question_all(&mut self) {
        self.unjudged = self.entries.len();
        self.stored.question_all();
    }

    /// Judges at most `count` of those that are unjudged, and takes out those whose topic is not `allowed`.
    pub(crate) fn judge(&mut self, count: usize, mut allowed: impl FnMut(&str) -> bool) -> Vec<Queued> {
        let end = self.unjudged.min(self.entries.len());
        // From the back: what is sent meanwhile leaves at the front, and takes nothing of what is still to be judged along.
        let start = end.saturating_sub(count);
        let mut kept = start;
        for index in start..end {
            if allowed(self.entries[index].message.topic()) {
                self.entries.swap(kept, index);
                kept += 1;
            }
        }
        let forbidden: Vec<Queued> = self.entries.drain(kept..end).collect();
        self.unjudged = start;
        for entry in &forbidden {
            self.forget(entry);
        }
        forbidden
    }

    pub(crate) fn push(&mut self, entry: Queued) {
        self.qos_0 += usize::from(entry.qos == QoS::AtMostOnce);
        self.identifier_bytes += identifier_bytes(&entry.identifiers);
        self.held += entry.message.cost_bytes();
        if entry.replay {
            self.replays += 1;
        } else {
            self.counted += 1;
            self.bytes += entry.message.cost_bytes();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn front(&self) -> Option<&Queued> {
        self.entries.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let entry = self.entries.pop_front()?;
        self.unjudged = self.unjudged.saturating_sub(1);
        self.forget(&entry);
        Some(entry)
    }

    /// Removes the oldest message that counts; QoS 0 ones go first if there are any.
    pub(crate) fn drop_oldest(&mut self) -> Option<Dropped> {
        // Looking for a QoS 0 message is bounded, so that a full queue of QoS 1 does not cost a walk for each message.
        const LOOK_AHEAD: usize = 32;
        let index = self
            .entries
            .iter()
            .take(LOOK_AHEAD)
            .position(|entry| !entry.replay && entry.qos == QoS::AtMostOnce)
            .or_else(|| self.entries.iter().position(|entry| !entry.replay));
        let Some(index) = index else { return self.stored.pop().map(|entry| entry.dropped()) };
        let entry = self.entries.remove(index)?;
        self.unjudged -= usize::from(index < self.unjudged);
        self.forget(&entry);
        Some(entry.dropped())
    }

    /// Drops what a session does not keep while it is away.
    pub(crate) fn drop_qos_0(&mut self) -> u64 {
        let before = self.entries.len();
        let unjudged = self.entries.iter().take(self.unjudged);
        self.unjudged = unjudged.filter(|entry| entry.qos != QoS::AtMostOnce).count();
        self.entries.retain(|entry| entry.qos != QoS::AtMostOnce);
        self.qos_0 = 0;
        self.identifier_bytes = self.entries.iter().map(|entry| identifier_bytes(&entry.identifiers)).sum();
        self.held = self.entries.iter().map(|entry| entry.message.cost_bytes()).sum();
        self.counted = self.entries.iter().filter(|entry| !entry.replay).count();
        self.replays = self.entries.len() - self.counted;
        self.bytes = self.entries.iter().filter(|entry| !entry.replay).map(|entry| entry.message.cost_bytes()).sum();
        (before - self.entries.len()) as u64
    }

    /// Counts anew; an error says what was miscounted.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let cost = |entry: &Queued| entry.message.cost_bytes();
        let (replays, counted): (Vec<_>, Vec<_>) = self.entries.iter().partition(|entry| entry.replay);
        self.stored.audit()?;
        agree("queued messages of a session", self.counted, counted.len())?;
        agree("queued retained messages of a session", self.replays, replays.len())?;
        agree("queued bytes of a session", self.bytes, counted.into_iter().map(cost).sum())?;
        agree("queued bytes of a session, retained ones included", self.held, self.entries.iter().map(cost).sum())?;
        let qos_0 = self.entries.iter().filter(|entry| entry.qos == QoS::AtMostOnce).count();
        agree("queued messages of QoS 0 of a session", self.qos_0, qos_0)?;
        agree("unjudged messages that are not queued", self.unjudged.saturating_sub(self.entries.len()), 0)
    }

    fn forget(&mut self, entry: &Queued) {
        self.qos_0 -= usize::from(entry.qos == QoS::AtMostOnce);
        self.identifier_bytes -= identifier_bytes(&entry.identifiers);
        self.held -= entry.message.cost_bytes();
        if entry.replay {
            self.replays -= 1;
        } else {
            self.counted -= 1;
            self.bytes -= entry.message.cost_bytes();
        }
        give_back(&mut self.entries);
    }
}
