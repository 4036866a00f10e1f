//! Events: what was done to a cell, by whom, when, and knowing what.
//!
//! Invariant: an event never changes after it was made; what is signed is all of it but the signature.

use crate::clock::{HybridTime, Stamp};
use crate::dot::Dot;
use crate::vector::VersionVector;

/// An ed25519 signature.
pub type Signature = [u8; 64];

/// Number of a policy; 0 before there was one. See [`crate::policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PolicyVersion(pub u32);

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// A string, number, boolean or array was written, as JSON text. An array is one value with all that is in it.
    Json(Box<str>),
    /// There is an object here, even if it has no members.
    Object,
    /// An element was added to a set.
    Present,
    /// An origin's count stands at `total`, of which `base` was removed.
    Count {
        /// All that the origin ever counted in this cell, increments less decrements.
        total: i64,
        /// What the origin knew of removals.
        base: Base,
    },
    /// What was here was removed: of a count, what `base` says; otherwise `base` is [`Base::default`].
    Removed {
        /// How much was removed of a count.
        base: Base,
    },
}

/// How much of a count was removed: `total` is what the origin had counted at the place `at` of its history. The one that
/// is furthest there counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Base {
    /// Twice the number of the origin's event that the remover saw; one less than twice its own number in an event that
    /// begins to count anew; 0 if nothing was removed.
    pub at: u64,
    /// What was counted there.
    pub total: i64,
}

/// One event of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub dot: Dot,
    /// When it was made, by the maker's hybrid clock.
    pub time: HybridTime,
    /// The policy under which it was made.
    pub policy: PolicyVersion,
    /// The events of this cell that the maker had seen and that this one takes the place of. Those of the maker itself
    /// that came before are not listed.
    pub context: VersionVector,
    /// What was done.
    pub body: Body,
    /// The maker's signature; none on the maker's own node, which signs when the event leaves it.
    pub signature: Option<Box<Signature>>,
}

impl Base {
    /// The place directly after the origin's event number `seq`, which said `total`.
    #[must_use]
    pub fn after(seq: u64, total: i64) -> Self {
        Self { at: seq.saturating_mul(2), total }
    }

    /// The place directly before the origin's event number `seq`, where nothing is counted any more.
    #[must_use]
    pub fn before(seq: u64) -> Self {
        Self { at: seq.saturating_mul(2).saturating_sub(1), total: 0 }
    }
}

impl Event {
    /// Whether this event takes the place of the event `dot` of the same cell.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        (dot.origin == self.dot.origin && dot.seq < self.dot.seq) || self.context.covers(dot)
    }

    /// Whether there is a value since.
    #[must_use]
    pub fn has_value(&self) -> bool {
        !matches!(self.body, Body::Removed { .. })
    }

    /// When and where it was made, for people.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp { time: self.time, node: self.dot.origin.node }
    }

    /// What decides between events that did not know of each other: the greater wins. No two events have the same.
    #[must_use]
    pub fn rank(&self) -> (HybridTime, Dot) {
        (self.time, self.dot)
    }
}
