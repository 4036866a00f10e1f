//! QoS 1 and 2 messages sent to a client and not yet done with (MQTT 5, 4.3 and 4.6).
//!
//! Invariant: entries stand in the order in which they were first sent, each with an identifier of its own.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use selvedge_codec::{PacketId, QoS};

use crate::{handle::audit::agree, message::Message};

/// What an entry takes beside its message, here or in the queue, bytes.
pub(crate) const ENTRY_BYTES: usize = 96;

/// What the client still owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaiting {
    /// PUBACK.
    Acknowledgement,
    /// PUBREC.
    Receipt,
    /// PUBCOMP.
    Completion,
}

/// The message of an entry.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// None: the session ends with its connection, or the receiver already owns the message. Nothing to resend.
    Gone,
    /// In memory.
    Here(Arc<Message>),
    /// On disk, under this number; `cost` is what it counts, bytes.
    Stored { number: u64, cost: u32 },
}

impl Body {
    fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }

    /// Number of the message that the journal keeps for an entry; 0 is none.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Gone => 0,
            Self::Here(message) => message.number(),
            Self::Stored { number, .. } => *number,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) packet_id: PacketId,
    pub(crate) awaiting: Awaiting,
    pub(crate) retain: bool,
    pub(crate) body: Body,
    pub(crate) identifiers: Identifiers,
    /// Its number among what the journal keeps for the session; 0 is not kept.
    pub(crate) entry: u64,
}

/// Subscription identifiers to send with a message; empty for nearly every message.
pub(crate) type Identifiers = Option<Box<[u32]>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct InFlight {
    entries: VecDeque<Entry>,
    next: u16,
    /// The counter has come round to the oldest identifier: new ones must be checked one by one.
    wrapped: bool,
    /// Entries before this index were sent on the present connection, those after it are still to be sent again.
    sent: usize,
    /// What the kept messages cost.
    bytes: usize,
    /// What the subscription identifiers take.
    identifier_bytes: usize,
    /// Entries whose message is on disk.
    stored: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { entries: VecDeque::new(), next: 1, wrapped: false, sent: 0, bytes: 0, identifier_bytes: 0, stored: 0 }
    }
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the messages that are kept until they are acknowledged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it takes beside the messages, bytes.
    pub(crate) fn footprint(&self) -> usize {
        table_bytes(self.entries.len()) + self.identifier_bytes
    }

    /// Takes an unused identifier [MQTT-2.2.1-4] for a message just sent; `None` when all 65,535 are in use.
    pub(crate) fn add(
        &mut self,
        qos: QoS,
        retain: bool,
        message: Option<Arc<Message>>,
        identifiers: Identifiers,
    ) -> Option<PacketId> {
        let packet_id = self.unused()?;
        let body = message.map_or(Body::Gone, Body::Here);
        self.bytes += cost(&body);
        self.identifier_bytes += identifier_bytes(&identifiers);
        let awaiting = if qos == QoS::ExactlyOnce { Awaiting::Receipt } else { Awaiting::Acknowledgement };
        self.entries.push_back(Entry { packet_id, awaiting, retain, body, identifiers, entry: 0 });
        self.sent = self.entries.len();
        Some(packet_id)
    }

    /// The journal keeps what was just added, under this number.
    pub(crate) fn keep_last(&mut self, entry: u64) {
        if let Some(last) = self.entries.back_mut() {
            last.entry = entry;
        }
    }

    /// Whether the journal keeps what was added last.
    pub(crate) fn keeps_last(&self) -> bool {
        self.entries.back().is_some_and(|last| last.entry != 0)
    }

    /// Takes over what was in flight when the node stopped; nothing of it was sent on the present connection.
    pub(crate) fn restore(&mut self, entry: Entry) {
        self.identifier_bytes += identifier_bytes(&entry.identifiers);
        self.next = entry.packet_id.get().checked_add(1).unwrap_or(1);
        self.wrapped = true;
        self.stored += usize::from(entry.body.is_stored());
        self.entries.push_back(entry);
    }

    /// Every entry, in the order of first sending.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Calls `found` with the number of every message that the journal keeps for an entry.
    pub(crate) fn kept_messages(&self, found: &mut dyn FnMut(u64)) {
        let kept = self.entries.iter().filter(|entry| entry.entry != 0).map(|entry| entry.body.number());
        kept.filter(|number| *number != 0).for_each(found);
    }

    /// Whether the next entry to be sent again is on disk.
    pub(crate) fn waits_for_disk(&self) -> bool {
        self.stored > 0 && self.entries.get(self.sent).is_some_and(|entry| matches!(entry.body, Body::Stored { .. }))
    }

    /// Numbers of the messages that are to be sent again and are on disk, the next ones first.
    pub(crate) fn stored(&self, count_max: usize, bytes_max: usize) -> Vec<u64> {
        let mut bytes = 0;
        let stored = self.entries.iter().skip(self.sent).filter_map(|entry| match entry.body {
            Body::Stored { number, cost } => Some((number, cost)),
            _ => None,
        });
        let fitting = stored.take(count_max).take_while(|(_, cost)| {
            let first = bytes == 0;
            bytes += *cost as usize;
            first || bytes <= bytes_max
        });
        fitting.map(|(number, _)| number).collect()
    }

    /// A message was fetched from disk, or is not there any more: then its entries are over, and `lost` is told of them.
    pub(crate) fn arrive(&mut self, number: u64, message: Option<&Arc<Message>>, lost: &mut dyn FnMut(u64)) {
        let mut index = 0;
        while self.stored > 0
            && let Some(entry) = self.entries.get_mut(index)
        {
            if matches!(entry.body, Body::Stored { number: stored, .. } if stored == number) {
                let Some(message) = message else {
                    lost(entry.entry);
                    self.take(index);
                    continue;
                };
                self.bytes += message.cost_bytes();
                self.stored -= 1;
                entry.body = Body::Here(message.clone());
            }
            index += 1;
        }
    }

    /// Ends the exchange `packet_id`, if it waits for `awaiting`.
    pub(crate) fn complete(&mut self, packet_id: PacketId, awaiting: Awaiting) -> Option<Entry> {
        let index = self.position(packet_id)?;
        if self.entries.get(index)?.awaiting != awaiting {
            return None;
        }
        self.take(index)
    }

    /// Ends the exchange `packet_id`, whatever it waits for.
    pub(crate) fn finish(&mut self, packet_id: PacketId) -> Option<Entry> {
        let index = self.position(packet_id)?;
        self.take(index)
    }

    /// The client has the QoS 2 message: from now on only PUBREL is sent [MQTT-4.3.3-4]. `None` if it is not known; else the
    /// entry that the journal keeps and the number of the message that it held until now, each 0 if there is none.
    pub(crate) fn received(&mut self, packet_id: PacketId) -> Option<(u64, u64)> {
        let entry = self.position(packet_id).and_then(|index| self.entries.get_mut(index))?;
        match entry.awaiting {
            Awaiting::Acknowledgement => None,
            Awaiting::Receipt | Awaiting::Completion => {
                entry.awaiting = Awaiting::Completion;
                let body = std::mem::replace(&mut entry.body, Body::Gone);
                self.stored -= usize::from(body.is_stored());
                self.bytes -= cost(&body);
                Some((entry.entry, body.number()))
            }
        }
    }

    /// Whether there is something to send again; see [`Self::next_resend`].
    pub(crate) fn has_resend(&self, window: usize) -> bool {
        self.sent < window.min(self.entries.len())
    }

    /// Drops messages that nobody may have any more, for whom no connection waits; `dropped` is told of each. What is on disk
    /// is judged when it comes.
    pub(crate) fn drop_forbidden(&mut self, mut allowed: impl FnMut(&str) -> bool, mut dropped: impl FnMut(&Entry)) {
        self.entries.retain(|entry| {
            let keep = match &entry.body {
                Body::Here(message) => allowed(message.topic()),
                Body::Gone | Body::Stored { .. } => true,
            };
            if !keep {
                self.bytes -= cost(&entry.body);
                self.identifier_bytes -= identifier_bytes(&entry.identifiers);
                dropped(entry);
            }
            keep
        });
    }

    /// The next entry to send again on a new connection, in the order of first sending [MQTT-4.6.0-1], as long as fewer
    /// than `window` are under way.
    pub(crate) fn next_resend(&mut self, window: usize) -> Option<&Entry> {
        if self.sent >= window {
            return None;
        }
        let entry = self.entries.get(self.sent)?;
        self.sent += 1;
        Some(entry)
    }

    /// The connection is gone: keeps what can be sent again on the next, and drops the rest.
    pub(crate) fn connection_lost(&mut self) {
        self.entries.retain(|entry| !entry.body.is_gone() || entry.awaiting == Awaiting::Completion);
        self.identifier_bytes = self.entries.iter().map(|entry| identifier_bytes(&entry.identifiers)).sum();
        self.wrapped = !self.entries.is_empty();
        self.sent = 0;
    }

    /// Entries that were sent on the present connection.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// Counts anew; an error says what was miscounted.
    pub(crate) fn audit(&self) -> Result<(), String> {
        agree("bytes in flight of a session", self.bytes, self.entries.iter().map(|entry| cost(&entry.body)).sum())?;
        let stored = self.entries.iter().filter(|entry| entry.body.is_stored()).count();
        agree("messages in flight of a session that are on disk", self.stored, stored)?;
        let ids: BTreeSet<_> = self.entries.iter().map(|entry| entry.packet_id).collect();
        agree("identifiers in flight of a session", ids.len(), self.entries.len())?;
        agree("sent messages that are no longer in flight", self.sent.saturating_sub(self.entries.len()), 0)
    }

    fn position(&self, packet_id: PacketId) -> Option<usize> {
        if self.entries.front()?.packet_id == packet_id {
            return Some(0);
        }
        self.entries.iter().position(|entry| entry.packet_id == packet_id)
    }

    fn take(&mut self, index: usize) -> Option<Entry> {
        let entry = if index == 0 { self.entries.pop_front() } else { self.entries.remove(index) };
        if let Some(entry) = &entry {
            self.stored -= usize::from(entry.body.is_stored());
            self.bytes -= cost(&entry.body);
            self.identifier_bytes -= identifier_bytes(&entry.identifiers);
        }
        if index < self.sent {
            self.sent -= 1;
        }
        if self.entries.is_empty() {
            self.wrapped = false;
        }
        give_back(&mut self.entries);
        entry
    }

    /// Identifiers are handed out in turn, so those in use lie between the oldest and the counter, and looking at the
    /// oldest is enough until the counter has met it once.
    fn unused(&mut self) -> Option<PacketId> {
        if let Some(oldest) = self.entries.front()
            && oldest.packet_id.get() == self.next
        {
            self.wrapped = true;
        }
        for _ in 0..u16::MAX {
            let candidate = PacketId::new(self.next)?;
            self.next = self.next.checked_add(1).unwrap_or(1);
            if !self.wrapped || self.position(candidate).is_none() {
                return Some(candidate);
            }
        }
        None
    }
}

/// What a table of so many entries takes, with the room that it keeps to grow, bytes.
pub(super) fn table_bytes(entries: usize) -> usize {
    const BEGUN_BYTES: usize = 128;
    if entries == 0 { 0 } else { BEGUN_BYTES + entries * ENTRY_BYTES }
}

/// Gives back the memory of a table that has become much smaller.
pub(super) fn give_back<T>(entries: &mut VecDeque<T>) {
    const KEPT: usize = 64;
    if entries.capacity() > KEPT && entries.len() * 4 < entries.capacity() {
        entries.shrink_to(entries.len() * 2);
    }
}

/// What subscription identifiers take, bytes.
pub(super) fn identifier_bytes(identifiers: &Identifiers) -> usize {
    const BEGUN_BYTES: usize = 16;
    identifiers.as_ref().map_or(0, |identifiers| size_of_val(&**identifiers) + BEGUN_BYTES)
}

fn cost(body: &Body) -> usize {
    match body {
        Body::Here(message) => message.cost_bytes(),
        Body::Gone | Body::Stored { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    #[test]
    fn identifiers_skip_those_in_use_after_the_counter_came_round() {
        let mut in_flight = InFlight::default();
        let oldest = in_flight.add(QoS::AtLeastOnce, false, None, None).unwrap();
        let second = in_flight.add(QoS::AtLeastOnce, false, None, None).unwrap();
        assert_eq!((oldest, second), (id(1), id(2)));
        for round in 0..65_533u32 {
            let next = in_flight.add(QoS::AtLeastOnce, false, None, None).unwrap();
            assert_eq!(u32::from(next.get()), 3 + round);
            assert!(in_flight.complete(next, Awaiting::Acknowledgement).is_some());
        }
        assert_eq!(in_flight.add(QoS::AtLeastOnce, false, None, None), Some(id(3)));
    }

    #[test]
    fn all_identifiers_in_use_is_no_endless_loop() {
        let mut in_flight = InFlight::default();
        for _ in 0..u16::MAX {
            in_flight.add(QoS::AtLeastOnce, false, None, None).unwrap();
            in_flight.wrapped = false;
        }
        in_flight.wrapped = true;
        assert_eq!(in_flight.add(QoS::AtLeastOnce, false, None, None), None);
    }

    #[test]
    fn a_qos_2_message_is_not_ended_by_a_puback() {
        let mut in_flight = InFlight::default();
        let packet_id = in_flight.add(QoS::ExactlyOnce, false, None, None).unwrap();
        assert!(in_flight.complete(packet_id, Awaiting::Acknowledgement).is_none());
        assert!(in_flight.complete(packet_id, Awaiting::Completion).is_none());
        assert!(in_flight.received(packet_id).is_some() && in_flight.received(packet_id).is_some());
        assert!(in_flight.complete(packet_id, Awaiting::Completion).is_some());
        assert!(in_flight.received(packet_id).is_none());
    }

    #[test]
    fn no_more_is_sent_again_than_the_window_takes() {
        let mut in_flight = InFlight::default();
        let message = Arc::new(Message::new("t", vec![1], QoS::AtLeastOnce, false));
        for _ in 0..2 {
            in_flight.add(QoS::AtLeastOnce, false, Some(message.clone()), None).unwrap();
        }
        in_flight.connection_lost();
        assert_eq!(in_flight.next_resend(1).map(|entry| entry.packet_id), Some(id(1)));
        assert!(!in_flight.has_resend(1) && in_flight.next_resend(1).is_none());
        assert!(in_flight.complete(id(1), Awaiting::Acknowledgement).is_some());
        assert_eq!(in_flight.next_resend(1).map(|entry| entry.packet_id), Some(id(2)));
        assert!(!in_flight.has_resend(9) && in_flight.next_resend(9).is_none());
    }

    proptest! {
        #[test]
        fn identifiers_in_use_are_never_handed_out(
            start in 0u16..3,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..300),
        ) {
            let mut in_flight = InFlight { next: u16::MAX - 100 + start, ..InFlight::default() };
            let mut used: Vec<PacketId> = Vec::new();
            for (add, which) in steps {
                if add || used.is_empty() {
                    let packet_id = in_flight.add(QoS::AtLeastOnce, false, None, None).unwrap();
                    prop_assert!(!used.contains(&packet_id));
                    used.push(packet_id);
                } else {
                    let packet_id = used.remove(which.index(used.len()));
                    prop_assert!(in_flight.complete(packet_id, Awaiting::Acknowledgement).is_some());
                }
                prop_assert_eq!(in_flight.len(), used.len());
            }
        }
    }
}
