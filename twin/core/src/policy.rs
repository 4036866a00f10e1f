//! The policy of a group of nodes: who its members are, who may write what, and how much of what a former member wrote
//! still counts. It is replicated like the twins, but decided by a person, who signs it with the group's key.
//!
//! Policies form a chain: each names the one before by its hash and is signed by the key that the one before named. An
//! event carries the version under which it was written and is judged by that version, so all nodes that have the chain
//! judge it alike, whenever they see it.
//!
//! Invariant: whether an event counts depends on its bytes and the chain alone. What once did not count never will.

mod chain;
mod codec;

use std::collections::BTreeMap;

use crate::clock::NodeId;
use crate::dot::Origin;
use crate::keys::PublicKey;
use crate::place::Section;
use crate::vector::VersionVector;

pub use self::chain::{Chain, EventRefusal, Membership, PolicyRefusal};

/// Most members of a group.
pub const MEMBERS_MAX: usize = 256;
/// Most rules of a policy.
pub const RULES_MAX: usize = 1_024;
/// Largest policy with its signature, in bytes, so that one fits into a message.
pub const POLICY_BYTES_MAX: usize = 48 * 1024;
/// Most policies that follow each other.
pub const CHAIN_MAX: usize = 1_024;

/// One version of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// 1, 2, ...
    pub version: u32,
    /// SHA-256 of the bytes of the policy before, signature included; zeros in the first.
    pub previous: [u8; 32],
    /// Whose signature the next policy has.
    pub next_signer: PublicKey,
    /// The members, by node.
    pub members: BTreeMap<NodeId, Member>,
    /// Up to which number the events of an origin count that has ended. Never changed by later policies.
    pub cutoffs: BTreeMap<Origin, u64>,
    /// Who may write what. What no rule allows is not allowed.
    pub rules: Vec<Rule>,
}

/// A node of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its public key.
    pub key: PublicKey,
    /// The first of its lives that counts; 0 for one that was never expelled.
    pub first_incarnation: u32,
}

/// Who may write some things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// In which section.
    pub section: Section,
    /// Which things: a name, or a beginning and `*`.
    pub things: Pattern,
    /// Which members; all if there are none.
    pub writers: Vec<NodeId>,
}

/// Names of things: one name, or all that begin with something (`pump-*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Longest, in bytes.
    pub const BYTES_MAX: usize = crate::thing::THING_BYTES_MAX + 1;

    /// From its text; `None` if a `*` is not at the end, or it is too long or empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        (!text.is_empty() && text.len() <= Self::BYTES_MAX && !stem.contains('*')).then(|| Self(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means `thing`.
    #[must_use]
    pub fn matches(&self, thing: &str) -> bool {
        self.0.strip_suffix('*').map_or(&*self.0 == thing, |stem| thing.starts_with(stem))
    }
}

/// How much of what an origin made counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// Its events up to and including this number.
    Through(u64),
}

impl Policy {
    /// How much of what `origin` made counts.
    #[must_use]
    pub fn extent(&self, origin: Origin) -> Extent {
        if let Some(through) = self.cutoffs.get(&origin) {
            return Extent::Through(*through);
        }
        match self.members.get(&origin.node) {
            Some(member) if origin.incarnation >= member.first_incarnation => Extent::All,
            _ => Extent::Through(0),
        }
    }

    /// Whether everything that counts by `before`, an earlier policy, counts by this one.
    #[must_use]
    pub fn counts_all_of(&self, before: &Policy) -> bool {
        let counts = |(node, member): (&NodeId, &Member)| {
            self.members.get(node).is_some_and(|now| now.first_incarnation <= member.first_incarnation)
        };
        self.cutoffs == before.cutoffs && before.members.iter().all(counts)
    }

    /// Takes out of `vector` what does not count.
    pub fn cap(&self, vector: &mut VersionVector) {
        let dots: Vec<_> = vector.dots().collect();
        for dot in dots {
            if let Extent::Through(through) = self.extent(dot.origin) {
                vector.cap(dot.origin, through);
            }
        }
    }

    fn allows(&self, node: NodeId, section: Section, thing: &str) -> bool {
        let fits = |rule: &Rule| {
            rule.section == section
                && rule.things.matches(thing)
                && (rule.writers.is_empty() || rule.writers.contains(&node))
        };
        self.rules.iter().any(fits)
    }
}

#[cfg(test)]
pub(crate) mod tests;
