//! Forgetting removals.
//!
//! A removal may be forgotten when every member has it and all that it removed: then nothing that it removes can come
//! any more, because nobody takes an event in again that it has. A member that is silent for longer than its lease is not
//! waited for, nor is anybody when there are too many removals: for those the floor is raised.
//!
//! A removal that hides more than what it had seen ([`Part::removal_hides`]) is only forgotten when no event can come that
//! was made without knowing it: all members have it, silent or not, and this node has all that they had made by then.

use std::ops::ControlFlow;

use super::{Peer, Sync, Turn, Wanted};
use crate::event::Event;
use crate::place::{Key, Part};
use crate::vector::VersionVector;

/// What everybody has.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// How far the looking through of removals has come.
#[derive(Debug, Default)]
pub(super) struct Collection {
    /// When it last began, by the steady clock.
    begun_ms: Option<u64>,
    /// What stood then; it need not begin again before that changes.
    begun_with: Option<(Stable, VersionVector)>,
    /// Where it goes on, if it has not come to the end.
    next: Option<Stop>,
    /// Removals that were kept so far.
    kept: usize,
}

/// A place between two calls.
#[derive(Debug)]
enum Stop {
    Beginning,
    After(Key),
}

impl Sync {
    /// Forgets removals that may be forgotten, if it is time.
    pub(super) fn collect(&mut self, turn: &mut Turn<'_>) {
        if !self.is_member() {
            return;
        }
        let stable = self.stable(turn.now.steady_ms);
        if self.collection.next.is_none() {
            let now_ms = turn.now.steady_ms;
            let is_due = |at: u64| now_ms.saturating_sub(at) >= self.config.collect_every_ms;
            let with = (stable.clone(), self.knowledge.known.clone());
            if !self.collection.begun_ms.is_none_or(is_due) || self.collection.begun_with.as_ref() == Some(&with) {
                return;
            }
            let next = Some(Stop::Beginning);
            self.collection = Collection { begun_ms: Some(now_ms), begun_with: Some(with), next, kept: 0 };
        }
        self.collect_some(&stable, turn);
        if self.collection.next.is_none() {
            self.cap(self.collection.kept.saturating_sub(self.config.tombstones_max), turn);
        }
    }

    /// Goes on for as many cells as one call may look at.
    fn collect_some(&mut self, stable: &Stable, turn: &mut Turn<'_>) {
        let after = match self.collection.next.take() {
            Some(Stop::After(key)) => Some(key),
            _ => None,
        };
        let mut dead: Vec<(Key, Event)> = Vec::new();
        let (mut looked_at, mut last) = (0, None);
        let collection = &mut self.collection;
        turn.state.scan(after.as_ref(), Wanted::Removals, &mut |key, cell| {
            if looked_at >= self.config.cells_max {
                collection.next = last.take().map(Stop::After);
                return ControlFlow::Break(());
            }
            looked_at += 1;
            for event in cell.tombstones(&key.part) {
                if stable.allows(&key.part, event) {
                    dead.push((key.clone(), event.clone()));
                } else if !key.part.removal_hides() {
                    collection.kept += 1;
                }
            }
            last = Some(key);
            ControlFlow::Continue(())
        });
        self.counters.collected += dead.len() as u64;
        self.forget(dead, turn);
    }

    /// Forgets the oldest `surplus` removals, seen everywhere or not.
    fn cap(&mut self, surplus: usize, turn: &mut Turn<'_>) {
        if surplus == 0 {
            return;
        }
        let seen = self.knowledge.seen();
        let mut kept = Vec::new();
        turn.state.scan(None, Wanted::Removals, &mut |key, cell| {
            let found = cell.tombstones(&key.part).filter(|_| !key.part.removal_hides());
            let ours = found.filter(|event| seen.covers(event.dot) && seen.includes(&event.context));
            kept.extend(ours.map(|event| (event.rank(), key.clone(), event.clone())));
            ControlFlow::Continue(())
        });
        kept.sort_by_key(|(rank, _, _)| *rank);
        kept.truncate(surplus);
        self.counters.capped += kept.len() as u64;
        self.forget(kept.into_iter().map(|(_, key, event)| (key, event)).collect(), turn);
    }

    fn forget(&mut self, dead: Vec<(Key, Event)>, turn: &mut Turn<'_>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{BUILD_FLOOR_MS, Clock, HybridTime, NodeId};
    use crate::dot::Origin;
    use crate::event::{Base, Body, PolicyVersion};
    use crate::keys::{Ed25519, Keys as _};
    use crate::memory::Memory;
    use crate::path::Path;
    use crate::place::Section;
    use crate::policy::{Chain, Member, Policy};
    use crate::sync::{Config, Input, Now, State as _, newcomer};

    /// A group of one.
    fn alone() -> (Sync, Ed25519) {
        let keys = Ed25519::from_secret(&[1; 32]);
        let mut chain = Chain::new(keys.public());
        let member = Member { key: keys.public(), first_incarnation: 0 };
        let policy = Policy {
            version: 1,
            previous: chain.last_hash(),
            next_signer: keys.public(),
            members: [(NodeId(1), member)].into_iter().collect(),
            cutoffs: [(Origin::first(NodeId(2)), 5)].into_iter().collect(),
            rules: Vec::new(),
        };
        let bytes = policy.to_bytes(chain.group());
        chain.adopt(&[&bytes[..], &keys.sign(&bytes)].concat(), &keys).unwrap();
        let mut knowledge = newcomer(NodeId(1), chain);
        knowledge.known = [Origin::first(NodeId(1)).dot(3), Origin::first(NodeId(2)).dot(5)].into_iter().collect();
        (Sync::new(knowledge, Config::default()), keys)
    }

    #[test]
    fn a_forgotten_removal_leaves_itself_and_what_it_had_removed_in_the_floor() {
        let (mut sync, keys) = alone();
        let (own, other) = (Origin::first(NodeId(1)), Origin::first(NodeId(2)));
        let key =
            Key { thing: "pump".into(), section: Section::Desired, path: Path::root_member("a"), part: Part::Register };
        let removal = Event {
            dot: own.dot(3),
            time: HybridTime::from_ms(BUILD_FLOOR_MS),
            policy: PolicyVersion(1),
            context: [other.dot(5)].into_iter().collect(),
            body: Body::Removed { base: Base::default() },
            signature: None,
        };
        let (mut state, mut clock) = (Memory::default(), Clock::new(NodeId(1), HybridTime(0), BUILD_FLOOR_MS, 1));
        state.join(&key, removal);
        let now = Now { steady_ms: 1, wall_ms: BUILD_FLOOR_MS };
        let turn = Turn { now, clock: &mut clock, state: &mut state, keys: &keys };
        assert!(sync.handle(Input::Tick, turn).is_empty());
        assert!(state.cell(&key).is_empty());
        let expected: VersionVector = [own.dot(3), other.dot(5)].into_iter().collect();
        assert_eq!(sync.knowledge().floor, expected);
    }
}
