//! Policies between nodes, and what a new one changes.

use std::ops::ControlFlow;

use super::message::Message;
use super::{PAGE_BYTES_MAX, Sync, Turn, Wanted};
use crate::clock::NodeId;
use crate::event::PolicyVersion;
use crate::place::Key;
use crate::policy::Policy;

impl Sync {
    pub(super) fn ask_for_policies(&mut self, peer: NodeId, turn: &Turn<'_>) {
        let after = self.knowledge.chain.version();
        self.send(peer, Message::PolicyRequest { to: peer, after }, turn);
    }

    pub(super) fn give_policies(&mut self, peer: NodeId, after: PolicyVersion, turn: &Turn<'_>) {
        let mut bytes = 0;
        let fits = |policy: &&[u8]| {
            bytes += policy.len() + 8;
            bytes <= PAGE_BYTES_MAX
        };
        let policies: Vec<Vec<u8>> =
            self.knowledge.chain.signed_after(after).take_while(fits).map(<[u8]>::to_vec).collect();
        if !policies.is_empty() {
            self.send(peer, Message::Policies { to: peer, policies }, turn);
        }
    }

    pub(super) fn take_policies(&mut self, policies: &[Vec<u8>], turn: &mut Turn<'_>) {
        let before = self.knowledge.chain.head().cloned();
        let version = self.knowledge.chain.version();
        for policy in policies {
            if self.knowledge.chain.adopt(policy, turn.keys).is_err() {
                self.counters.policy += 1;
                break;
            }
        }
        if self.knowledge.chain.version() > version {
            self.policy_changed(before.as_ref(), turn);
            self.tell(turn);
        }
    }

    /// Removes what does not count any more, and sees to it that this node counts.
    pub(super) fn policy_changed(&mut self, before: Option<&Policy>, turn: &mut Turn<'_>) {
        self.dirty = true;
        let Some(policy) = self.knowledge.chain.head() else { return };
        // Its own name may have ended; under the next it is a member again.
        let own = self.knowledge.origin;
        let member = policy.members.get(&own.node);
        let first = member.map_or(0, |member| member.first_incarnation);
        let ended = policy.cutoffs.contains_key(&own) || own.incarnation < first;
        if !before.is_some_and(|before| policy.counts_all_of(before)) {
            self.remove_uncounted(turn);
        }
        if ended {
            self.knowledge.renew(first.saturating_sub(1));
            self.counters.renewed += 1;
        }
    }

    /// What the removed had taken the place of comes back from those who still have it: their sums differ.
    fn remove_uncounted(&mut self, turn: &mut Turn<'_>) {
        let chain = &self.knowledge.chain;
        let Some(policy) = chain.head() else { return };
        for peer in self.peers.values_mut() {
            policy.cap(&mut peer.known);
            policy.cap(&mut peer.seen);
            policy.cap(&mut peer.floor);
            peer.differing = None;
        }
        let mut dead: Vec<Key> = Vec::new();
        turn.state.scan(None, Wanted::All, &mut |key, cell| {
            if cell.siblings().iter().any(|event| !chain.counts(event)) {
                dead.push(key);
            }
            ControlFlow::Continue(())
        });
        for key in dead {
            turn.state.drop_events(&key, &mut |event| !chain.counts(event));
        }
        self.knowledge.held.retain(|_, event| chain.counts(event));
        policy.cap(&mut self.knowledge.known);
        policy.cap(&mut self.knowledge.floor);
        self.knowledge.pull = None;
    }
}
