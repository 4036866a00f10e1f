//! Messages that wait for a client: it is away, its window is full, or its socket is.
//!
//! Invariant: first in, first out; bounded by messages and bytes. Retained messages for a new subscription wait here
//! too, in order with the rest, but are bounded by what is retained and not by the queue's own limits: the node holds
//! them anyway.

use std::{collections::VecDeque, sync::Arc};

use selvedge_codec::QoS;

use super::in_flight::Identifiers;
use crate::message::Message;

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
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Queued>,
    counted: usize,
    bytes: usize,
    replays: usize,
    qos_0: usize,
    held: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Messages that count against the limit.
    pub(crate) fn len(&self) -> usize {
        self.counted
    }

    /// Bytes that count against the limit.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a live QoS 0 message would overtake one that must come before it: another QoS 0 message, or the retained
    /// message of its topic.
    pub(crate) fn holds_back_qos_0(&self) -> bool {
        self.qos_0 > 0 || self.replays > 0
    }

    /// Bytes of retained messages that wait.
    pub(crate) fn replay_bytes(&self) -> usize {
        self.held - self.bytes
    }

    /// Messages, replays included.
    pub(crate) fn total(&self) -> usize {
        self.entries.len()
    }

    /// Bytes, replays included.
    pub(crate) fn bytes_held(&self) -> usize {
        self.held
    }

    /// Retained messages that wait.
    pub(crate) fn replays(&self) -> usize {
        self.replays
    }

    pub(crate) fn push(&mut self, entry: Queued) {
        self.qos_0 += usize::from(entry.qos == QoS::AtMostOnce);
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
        self.forget(&entry);
        Some(entry)
    }

    /// Removes the oldest message that counts; QoS 0 ones go first if there are any.
    pub(crate) fn drop_oldest(&mut self) -> Option<Queued> {
        // Looking for a QoS 0 message is bounded, so that a full queue of QoS 1 does not cost a walk for each message.
        const LOOK_AHEAD: usize = 32;
        let index = self
            .entries
            .iter()
            .take(LOOK_AHEAD)
            .position(|entry| !entry.replay && entry.qos == QoS::AtMostOnce)
            .or_else(|| self.entries.iter().position(|entry| !entry.replay))?;
        let entry = self.entries.remove(index)?;
        self.forget(&entry);
        Some(entry)
    }

    /// Drops what a session does not keep while it is away.
    pub(crate) fn drop_qos_0(&mut self) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.qos != QoS::AtMostOnce);
        self.qos_0 = 0;
        self.held = self.entries.iter().map(|entry| entry.message.cost_bytes()).sum();
        self.counted = self.entries.iter().filter(|entry| !entry.replay).count();
        self.replays = self.entries.len() - self.counted;
        self.bytes = self.entries.iter().filter(|entry| !entry.replay).map(|entry| entry.message.cost_bytes()).sum();
        (before - self.entries.len()) as u64
    }

    fn forget(&mut self, entry: &Queued) {
        self.qos_0 -= usize::from(entry.qos == QoS::AtMostOnce);
        self.held -= entry.message.cost_bytes();
        if entry.replay {
            self.replays -= 1;
        } else {
            self.counted -= 1;
            self.bytes -= entry.message.cost_bytes();
        }
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries = VecDeque::new();
        }
    }
}
