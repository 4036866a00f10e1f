//! What a node keeps beside its documents, and persists together with them.

use std::collections::BTreeMap;

use super::message::Cursor;
use crate::clock::NodeId;
use crate::dot::{Dot, Origin};
use crate::event::Event;
use crate::place::Key;
use crate::policy::Chain;
use crate::vector::VersionVector;

/// What a node knows of itself and of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knowledge {
    /// Under which name it writes now.
    pub origin: Origin,
    /// What it has. Of its own name, the number of the last event.
    pub known: VersionVector,
    /// What was forgotten: removals, and what they had removed.
    pub floor: VersionVector,
    /// Events of the far future: the node has them and passes them on, but does not show them yet.
    pub held: BTreeMap<(Key, Dot), Event>,
    /// A transfer that is not finished.
    pub pull: Option<Pull>,
    /// The policies.
    pub chain: Chain,
}

/// What a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is new since a vector.
    Since,
    /// That, and the names of all that is there, so that the rest can be removed.
    Whole,
    /// What differs although both have the same.
    Repair,
}

/// A transfer from one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// From whom.
    pub peer: NodeId,
    /// So that answers to other questions are not taken for its pages.
    pub number: u64,
    /// What for.
    pub mode: Mode,
    /// What this node had when it began.
    pub since: VersionVector,
    /// What it will have in the end: what the peer had when it began.
    pub claim: Option<VersionVector>,
    /// Up to where pages have come.
    pub after: Option<Cursor>,
    /// Pages that may still come without being asked for.
    pub window_left: u8,
    /// When it was asked for last, by the steady clock; 0 after a restart.
    pub asked_ms: u64,
    /// How often in vain.
    pub tries: u8,
    /// In [`Mode::Whole`], what is to be removed at the end.
    pub dead: Vec<(Key, Dot)>,
    /// Whether events had no room, so that the claim must not be made.
    pub turned_away: bool,
}

impl Knowledge {
    /// What the node has and shows: what it has, without what is held and what came after that from the same origins.
    #[must_use]
    pub fn seen(&self) -> VersionVector {
        let mut seen = self.known.clone();
        for (_, dot) in self.held.keys() {
            seen.cap(dot.origin, dot.seq.saturating_sub(1));
        }
        seen
    }

    /// Begins to count anew, because the store was rolled back: numbers that were given may not be given again.
    pub fn renew(&mut self, last_incarnation: u32) {
        self.origin.incarnation = self.origin.incarnation.max(last_incarnation).saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HybridTime;
    use crate::event::{Body, PolicyVersion};
    use crate::keys::PublicKey;
    use crate::path::Path;
    use crate::place::{Part, Section};

    #[test]
    fn who_holds_an_event_has_it_and_has_not_seen_it_nor_what_came_after_it() {
        let (far, near) = (Origin::first(NodeId(2)), Origin::first(NodeId(3)));
        let path = Path::root_member("a");
        let key = Key { thing: "pump".into(), section: Section::Desired, path, part: Part::Register };
        let (time, policy, context) = (HybridTime(9), PolicyVersion(1), VersionVector::default());
        let event = Event { dot: far.dot(5), time, policy, context, body: Body::Object, signature: None };
        let mut knowledge = crate::sync::newcomer(NodeId(1), Chain::new(PublicKey([1; 32])));
        knowledge.known = [far.dot(9), near.dot(4)].into_iter().collect();
        assert_eq!(knowledge.seen(), knowledge.known);
        knowledge.held.insert((key, far.dot(5)), event);
        assert_eq!(knowledge.seen(), [far.dot(4), near.dot(4)].into_iter().collect());
    }

    #[test]
    fn a_new_life_has_a_name_that_was_never_used() {
        let mut knowledge = crate::sync::newcomer(NodeId(1), Chain::new(PublicKey([1; 32])));
        knowledge.renew(7);
        assert_eq!(knowledge.origin.incarnation, 8);
        knowledge.renew(3);
        assert_eq!(knowledge.origin.incarnation, 9);
    }
}
