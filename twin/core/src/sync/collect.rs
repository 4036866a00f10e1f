//! Forgetting removals.
//!
//! A removal may be forgotten when every member has it and all that it removed: then nothing that it removes can come
//! any more, because nobody takes an event in again that it has. A member that is silent for longer than its lease is not
//! waited for, nor is anybody when there are too many removals: for those the floor is raised.
//!
//! A removal that hides more than what it had seen ([`Part::removal_hides`]) is only forgotten when no event can come that
//! was made without knowing it: all members have it, silent or not, and this node has all that they had made by then.

use std::ops::ControlFlow;

use super::{Peer, Sync, Turn};
use crate::event::Event;
use crate::place::{Key, Part};
use crate::vector::VersionVector;

/// What everybody has.
struct Stable {
    /// All members whose lease has not ended.
    present: VersionVector,
    /// All members, if what they made before they said so is here.
    all: Option<VersionVector>,
}

impl Stable {
    fn allows(&self, part: &Part, event: &Event) -> bool {
        let has = |vector: &VersionVector| vector.covers(event.dot) && vector.includes(&event.context);
        if part.removal_hides() { self.all.as_ref().is_some_and(has) } else { has(&self.present) }
    }
}

impl Sync {
    /// Forgets removals that may be forgotten, if it is time.
    pub(super) fn collect(&mut self, turn: &mut Turn<'_>) {
        let is_due = |at: u64| turn.now.steady_ms.saturating_sub(at) >= self.config.collect_every_ms;
        if !self.collected_ms.is_none_or(is_due) || !self.is_member() {
            return;
        }
        self.collected_ms = Some(turn.now.steady_ms);
        let stable = self.stable(turn.now.steady_ms);
        let mut dead: Vec<(Key, Event)> = Vec::new();
        let mut kept = Vec::new();
        turn.state.scan(None, &mut |key, cell| {
            for event in cell.tombstones(&key.part) {
                if stable.allows(&key.part, event) {
                    dead.push((key.clone(), event.clone()));
                } else if !key.part.removal_hides() {
                    kept.push((event.rank(), key.clone(), event.clone()));
                }
            }
            ControlFlow::Continue(())
        });
        self.counters.collected += dead.len() as u64;
        let surplus = kept.len().saturating_sub(self.config.tombstones_max);
        if surplus > 0 {
            let seen = self.knowledge.seen();
            kept.retain(|(_, _, event)| seen.covers(event.dot) && seen.includes(&event.context));
            kept.sort_by_key(|(rank, _, _)| *rank);
            kept.truncate(surplus);
            self.counters.capped += kept.len() as u64;
            dead.extend(kept.into_iter().map(|(_, key, event)| (key, event)));
        }
        for (key, event) in dead {
            turn.state.drop_events(&key, &mut |found| found.dot == event.dot);
            self.knowledge.floor.add(event.dot);
            self.knowledge.floor.join(&event.context);
            self.dirty = true;
        }
    }

    fn stable(&self, steady_ms: u64) -> Stable {
        let seen = self.knowledge.seen();
        let mut stable = Stable { present: seen.clone(), all: Some(seen) };
        let Some(policy) = self.knowledge.chain.head() else { return stable };
        let nothing = Peer { heard_ms: self.started_ms.unwrap_or(steady_ms), ..Peer::default() };
        for node in policy.members.keys().filter(|node| **node != self.node()) {
            let peer = self.peers.get(node).unwrap_or(&nothing);
            if steady_ms.saturating_sub(peer.heard_ms) <= self.config.lease_ms {
                stable.present = stable.present.meet(&peer.seen);
            }
            let mut made = peer.seen.dots().filter(|dot| dot.origin.node == *node);
            let has_made = made.all(|dot| self.knowledge.known.covers(dot));
            stable.all = stable.all.filter(|_| has_made).map(|all| all.meet(&peer.seen));
        }
        let ended = policy.cutoffs.iter().all(|(origin, through)| self.knowledge.known.get(*origin) >= *through);
        stable.all = stable.all.filter(|_| ended);
        stable
    }
}
