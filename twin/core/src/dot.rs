//! Names of events. An event is named by who made it and its number there, and keeps that name wherever it goes.
//!
//! Invariant: a dot is given once. A node counts up and persists the count with what it counted; a node whose store was
//! rolled back counts anew under the next incarnation, because it cannot know what it had given.

use std::fmt;

use crate::clock::NodeId;

/// A life of a node, in which it numbers its events without a gap from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The node.
    pub node: NodeId,
    /// Which of its lives: 1 at first, one more each time that its store was rolled back. 0 stands for what was written
    /// before nodes exchanged twins.
    pub incarnation: u32,
}

/// The name of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who made it.
    pub origin: Origin,
    /// Its number there, from 1.
    pub seq: u64,
}

impl Origin {
    /// The first life of `node`.
    #[must_use]
    pub fn first(node: NodeId) -> Self {
        Self { node, incarnation: 1 }
    }

    /// The event number `seq` of this origin.
    #[must_use]
    pub fn dot(self, seq: u64) -> Dot {
        Dot { origin: self, seq }
    }
}

impl fmt::Display for Origin {
    /// `<node>/<incarnation>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.incarnation)
    }
}

impl fmt::Display for Dot {
    /// `<node>/<incarnation>#<number>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.seq)
    }
}
