//! What was just written: told to all at once, and taken if nothing is missing before it.

use super::message::{Message, Run, event_bytes, key_bytes};
use super::{PAGE_BYTES_MAX, Sync, Turn};
use crate::clock::NodeId;
use crate::event::Event;
use crate::keys::Keys;
use crate::place::Key;
use crate::policy::EventRefusal;
use crate::wire;

impl Sync {
    /// Counts what this node wrote and tells it.
    pub(super) fn written(&mut self, events: &[(Key, Event)], turn: &mut Turn<'_>) {
        let origin = self.knowledge.origin;
        let before = self.knowledge.known.get(origin);
        for (_, event) in events {
            self.knowledge.known.add(event.dot);
        }
        self.dirty = true;
        if !self.connected || !self.is_member() {
            return;
        }
        let (mut scratch, mut bytes) = (Vec::new(), 0);
        let mut run = Run { origin, after: before, through: before, events: Vec::new() };
        for (key, event) in events {
            let more = key_bytes(key, &mut scratch) + event_bytes(event, &mut scratch);
            if bytes + more > PAGE_BYTES_MAX {
                let through = run.through;
                let full = std::mem::replace(&mut run, Run { origin, after: through, through, events: Vec::new() });
                self.broadcast(Message::Delta(vec![full]), turn);
                bytes = 0;
            }
            bytes += more;
            run.through = event.dot.seq;
            run.events.push((key.clone(), self.signed(key, event, turn.keys)));
            self.counters.given += 1;
        }
        if !run.events.is_empty() {
            self.broadcast(Message::Delta(vec![run]), turn);
        }
    }

    /// Takes runs of events; all of a run or nothing.
    pub(super) fn take_runs(&mut self, sender: NodeId, runs: &[Run], turn: &mut Turn<'_>) {
        // What is removed by being absent would come back through another door.
        if self.knowledge.pull.as_ref().is_some_and(|pull| pull.mode == super::Mode::Whole) {
            return;
        }
        for run in runs {
            let has = self.knowledge.known.get(run.origin);
            if run.through <= has {
                continue;
            }
            let new: Vec<&(Key, Event)> = run.events.iter().filter(|(_, event)| event.dot.seq > has).collect();
            if new.iter().any(|(_, event)| !self.knowledge.chain.counts(event)) {
                return;
            }
            let mut known = self.knowledge.known.clone();
            known.add(run.origin.dot(run.through));
            let mut contexts = new.iter().map(|(_, event)| self.capped(&event.context));
            if run.after > has || contexts.any(|context| !known.includes(&context)) {
                self.counters.gap += 1;
                self.missed(sender, &known, turn);
                return;
            }
            if !new.iter().all(|(key, event)| self.judged(key, event, turn)) {
                return;
            }
            let far = new.iter().filter(|(_, event)| self.is_far(event, turn)).count();
            if self.knowledge.held.len() + far > self.config.held_max {
                self.counters.turned_away += far as u64;
                return;
            }
            for (key, event) in new {
                self.take_in(key, event.clone(), turn);
            }
            self.knowledge.known = known;
            self.dirty = true;
        }
    }

    /// Notes that `sender` has something that this node lacks.
    fn missed(&mut self, sender: NodeId, known: &crate::vector::VersionVector, turn: &mut Turn<'_>) {
        self.peers.entry(sender).or_default().known.join(known);
        self.look_after_pull(turn);
    }

    /// Whether an event counts, by its bytes and the policies.
    pub(super) fn judged(&mut self, key: &Key, event: &Event, turn: &Turn<'_>) -> bool {
        match self.knowledge.chain.judge(key, event, turn.keys) {
            Ok(()) => return true,
            Err(EventRefusal::Foreign) => self.counters.foreign += 1,
            Err(EventRefusal::Signature) => self.counters.signature += 1,
            Err(EventRefusal::Authority) => self.counters.authority += 1,
            Err(EventRefusal::Clock) => self.counters.giant_clock += 1,
        }
        false
    }

    /// A vector without what does not count.
    pub(super) fn capped(&self, vector: &crate::vector::VersionVector) -> crate::vector::VersionVector {
        let mut vector = vector.clone();
        if let Some(policy) = self.knowledge.chain.head() {
            policy.cap(&mut vector);
        }
        vector
    }

    /// An event with its signature, which one of this node gets now.
    pub(super) fn signed(&self, key: &Key, event: &Event, keys: &dyn Keys) -> Event {
        let mut event = event.clone();
        if event.signature.is_none() {
            let mut bytes = Vec::new();
            wire::put_signed(&mut bytes, self.knowledge.chain.group(), key, &event);
            event.signature = Some(Box::new(keys.sign(&bytes)));
        }
        event
    }
}
