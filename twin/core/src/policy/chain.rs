//! All policies of a group, each after the one before.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{CHAIN_MAX, Extent, Policy, codec};
use crate::clock::{CEILING, NodeId};
use crate::event::{Event, PolicyVersion};
use crate::keys::{Keys, PublicKey};
use crate::place::Key;
use crate::wire::{self, DecodeError};

/// Why a policy is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PolicyRefusal {
    /// It cannot be read, or is of another group.
    #[error("the policy cannot be read")]
    Decode(#[from] DecodeError),
    /// It is not the next one.
    #[error("the policy has version {found} and does not follow version {current}")]
    Order {
        /// Its version.
        found: u32,
        /// The last one that is known.
        current: u32,
    },
    /// The signature is not that of the group's key.
    #[error("the policy is not signed by the group's key")]
    Signature,
    /// It changes how much of a former member counts.
    #[error("the policy changes a cutoff of an earlier one")]
    Cutoff,
    /// The chain is full.
    #[error("there are {CHAIN_MAX} policies, which is the limit")]
    Full,
}

/// Why an event does not count, for all who have the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EventRefusal {
    /// Its maker is no member of the group.
    #[error("the event is of a node that is no member")]
    Foreign,
    /// Its maker did not sign it.
    #[error("the signature of the event is wrong")]
    Signature,
    /// Its maker may not write there.
    #[error("the maker of the event may not write there")]
    Authority,
    /// It says that it was made when nothing can have been.
    #[error("the time of the event cannot be")]
    Clock,
}

/// The policies of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    signer: PublicKey,
    group: [u8; 32],
    /// With their bytes, signature included.
    policies: Vec<(Policy, Box<[u8]>)>,
}

impl Chain {
    /// No policy yet; `signer` is the key that signs the first, and names the group.
    #[must_use]
    pub fn new(signer: PublicKey) -> Self {
        Self { signer, group: Sha256::digest(signer.0).into(), policies: Vec::new() }
    }

    /// What names the group in signatures.
    #[must_use]
    pub fn group(&self) -> &[u8; 32] {
        &self.group
    }

    /// The key that signs the first policy.
    #[must_use]
    pub fn signer(&self) -> PublicKey {
        self.signer
    }

    /// The version of the last policy; 0 if there is none.
    #[must_use]
    pub fn version(&self) -> PolicyVersion {
        PolicyVersion(self.head().map_or(0, |policy| policy.version))
    }

    /// The last policy.
    #[must_use]
    pub fn head(&self) -> Option<&Policy> {
        self.policies.last().map(|(policy, _)| policy)
    }

    /// The bytes of the policies after `version`, in order.
    pub fn signed_after(&self, version: PolicyVersion) -> impl Iterator<Item = &[u8]> {
        self.policies.iter().skip(version.0 as usize).map(|(_, bytes)| &**bytes)
    }

    /// The hash that the next policy has to name.
    #[must_use]
    pub fn last_hash(&self) -> [u8; 32] {
        self.policies.last().map_or([0; 32], |(_, bytes)| Sha256::digest(bytes).into())
    }

    /// Takes the next policy, signature included.
    ///
    /// # Errors
    /// If it does not follow the last one or is not signed; nothing has changed.
    pub fn adopt(&mut self, signed: &[u8], keys: &dyn Keys) -> Result<(), PolicyRefusal> {
        let (bytes, signature) = codec::split(signed)?;
        let policy = codec::read(bytes, &self.group)?;
        let current = self.version().0;
        if current.checked_add(1) != Some(policy.version) || policy.previous != self.last_hash() {
            return Err(PolicyRefusal::Order { found: policy.version, current });
        }
        let signer = self.head().map_or(self.signer, |last| last.next_signer);
        if !keys.verify(&signer, bytes, &signature) {
            return Err(PolicyRefusal::Signature);
        }
        let kept = |last: &Policy| last.cutoffs.iter().all(|(origin, at)| policy.cutoffs.get(origin) == Some(at));
        if !self.head().is_none_or(kept) {
            return Err(PolicyRefusal::Cutoff);
        }
        if self.policies.len() >= CHAIN_MAX {
            return Err(PolicyRefusal::Full);
        }
        self.policies.push((policy, signed.into()));
        Ok(())
    }

    /// How much of what the maker of `event` made counts.
    #[must_use]
    pub fn counts(&self, event: &Event) -> bool {
        self.head().is_some_and(|policy| match policy.extent(event.dot.origin) {
            Extent::All => true,
            Extent::Through(through) => event.dot.seq <= through,
        })
    }

    /// The key of a member of now, or with `ever` of any time.
    #[must_use]
    pub fn key_of(&self, node: NodeId, ever: Membership) -> Option<PublicKey> {
        let mut policies = self.policies.iter().rev().map(|(policy, _)| policy);
        let found = match ever {
            Membership::Now => self.head().and_then(|policy| policy.members.get(&node)),
            Membership::Ever => policies.find_map(|policy| policy.members.get(&node)),
        };
        found.map(|member| member.key)
    }

    /// Judges an event by the first policy, from the one under which it was written, in which its maker is a member.
    ///
    /// # Errors
    /// If it does not count.
    pub fn judge(&self, key: &Key, event: &Event, keys: &dyn Keys) -> Result<(), EventRefusal> {
        if event.time > CEILING {
            return Err(EventRefusal::Clock);
        }
        let node = event.dot.origin.node;
        if event.policy > self.version() {
            return Err(EventRefusal::Authority);
        }
        let since = self.policies.iter().skip((event.policy.0 as usize).saturating_sub(1));
        let mut since = since.map(|(policy, _)| policy);
        let judged = since.find_map(|policy| Some((policy, policy.members.get(&node)?)));
        let (policy, member) = judged.ok_or(EventRefusal::Foreign)?;
        if !policy.allows(node, key.section, &key.thing) {
            return Err(EventRefusal::Authority);
        }
        let mut bytes = Vec::new();
        wire::put_signed(&mut bytes, &self.group, key, event);
        let signed = event.signature.as_ref().is_some_and(|signature| keys.verify(&member.key, &bytes, signature));
        if signed { Ok(()) } else { Err(EventRefusal::Signature) }
    }

    /// Whether `node` may write to a section of `thing` now; always, while there is no policy.
    #[must_use]
    pub fn may_write(&self, node: NodeId, section: crate::place::Section, thing: &str) -> bool {
        self.head().is_none_or(|policy| policy.members.contains_key(&node) && policy.allows(node, section, thing))
    }
}

/// Of which time a member is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Of the last policy.
    Now,
    /// Of any policy.
    Ever,
}
