//! A cell: the events of one place that no other event of it has taken the place of.
//!
//! Events that did not know of each other stand side by side as siblings; an event takes the place of those that it had
//! seen, and of no other, whatever the clocks say. So a write that nobody had seen survives a removal made elsewhere.
//! Reference: Preguiça et al., "Dotted Version Vectors", 2010.
//!
//! Invariant: joining is commutative, associative and idempotent for what working nodes make, that is, for events that
//! list all that the events they replace had listed.

use smallvec::SmallVec;

use crate::clock::HybridTime;
use crate::dot::{Dot, Origin};
use crate::event::{Base, Body, Event, PolicyVersion};
use crate::place::Part;
use crate::vector::VersionVector;

/// What is known of one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    /// In the order of their dots.
    siblings: SmallVec<[Event; 1]>,
}

/// What a node's own events are made with. One pen serves one change, under the lock that orders changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pen {
    /// Who writes.
    pub origin: Origin,
    /// Number of the next event.
    pub next_seq: u64,
    /// When, greater than every time that this node has given or let in.
    pub time: HybridTime,
    /// The policy of now.
    pub policy: PolicyVersion,
}

/// What a cell of [`Part::Share`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Counted, and not removed.
    pub value: i128,
    /// The rank of the event that counted.
    pub rank: (HybridTime, Dot),
}

/// Why an amount is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counter would pass what 64 bits hold")]
pub struct CountOverflow;

impl Cell {
    /// The events, in the order of their dots.
    #[must_use]
    pub fn siblings(&self) -> &[Event] {
        &self.siblings
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty()
    }

    /// Whether an event has a value.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.siblings.iter().any(Event::has_value)
    }

    /// The event with the greatest rank among those that have a value.
    #[must_use]
    pub fn winner(&self) -> Option<&Event> {
        self.siblings.iter().filter(|event| event.has_value()).max_by_key(|event| event.rank())
    }

    /// The event with the greatest rank.
    #[must_use]
    pub fn latest(&self) -> Option<&Event> {
        self.siblings.iter().max_by_key(|event| event.rank())
    }

    /// All events that the cell knows of: those that are here and those that they took the place of.
    #[must_use]
    pub fn seen(&self) -> VersionVector {
        let mut seen = VersionVector::default();
        for event in &self.siblings {
            seen.add(event.dot);
            seen.join(&event.context);
        }
        seen
    }

    /// Takes an event in. Returns whether the cell changed.
    pub fn join(&mut self, event: Event) -> bool {
        if self.siblings.iter().any(|known| known.dot == event.dot || known.covers(event.dot)) {
            return false;
        }
        self.siblings.retain(|known| !event.covers(known.dot));
        let at = self.siblings.partition_point(|known| known.dot < event.dot);
        self.siblings.insert(at, event);
        true
    }

    /// Takes in what `other` knows. Returns whether the cell changed.
    pub fn join_all(&mut self, other: &Cell) -> bool {
        let mut changed = false;
        for event in &other.siblings {
            changed |= self.join(event.clone());
        }
        changed
    }

    /// Puts a new event in the place of all that is here.
    pub fn write(&mut self, body: Body, pen: &mut Pen) {
        let mut context = self.seen();
        context.remove(pen.origin);
        let event = Event { dot: pen.take(), time: pen.time, policy: pen.policy, context, body, signature: None };
        self.siblings.clear();
        self.siblings.push(event);
    }

    /// Removes the value, if there is one, and says whether there was.
    pub fn remove(&mut self, pen: &mut Pen) -> bool {
        let live = self.is_live();
        if live {
            let base = self.counted().map_or(self.base(), |counted| counted.max(self.base()));
            self.write(Body::Removed { base }, pen);
        }
        live
    }

    /// Adds to the share of the pen's origin, which this must be.
    ///
    /// # Errors
    /// If 64 bits do not hold the sum; nothing has changed.
    pub fn count(&mut self, amount: i64, pen: &mut Pen) -> Result<(), CountOverflow> {
        let (total, base) = if self.is_empty() {
            // All that was counted before is removed and may be forgotten here, and known elsewhere.
            (0, Base::before(pen.next_seq))
        } else {
            (self.counted().map_or(self.base().total, |counted| counted.total), self.base())
        };
        let total = total.checked_add(amount).ok_or(CountOverflow)?;
        self.write(Body::Count { total, base }, pen);
        Ok(())
    }

    /// What a share says, if it has a value.
    #[must_use]
    pub fn share(&self) -> Option<Share> {
        let counted = self.counted()?;
        let rank = self.winner()?.rank();
        Some(Share { value: i128::from(counted.total) - i128::from(self.base().total), rank })
    }

    /// Removes the events that `is_dead` names. Returns whether there were any.
    pub fn drop_events(&mut self, mut is_dead: impl FnMut(&Event) -> bool) -> bool {
        let before = self.siblings.len();
        self.siblings.retain(|event| !is_dead(event));
        self.siblings.len() != before
    }

    /// Gives the events that were numbered for the time being, from `first` on, numbers of `to`.
    pub fn renumber(&mut self, first: u64, to: Origin, next_seq: &mut u64) {
        for event in self.siblings.iter_mut().filter(|event| event.dot.seq >= first) {
            event.dot = to.dot(*next_seq);
            *next_seq = next_seq.saturating_add(1);
        }
        self.siblings.sort_by_key(|event| event.dot);
    }

    /// The removals that hide nothing any more: only that they were seen everywhere has to be waited for.
    pub fn tombstones<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = &'a Event> {
        self.siblings.iter().filter(|event| self.is_tombstone(event, part))
    }

    fn is_tombstone(&self, event: &Event, part: &Part) -> bool {
        let Body::Removed { base } = &event.body else { return false };
        let hidden = |sibling: &Event| match &sibling.body {
            Body::Removed { .. } => false,
            Body::Count { base: known, .. } => known < base,
            Body::Json(_) | Body::Object | Body::Present => sibling.rank() < event.rank(),
        };
        !(part.removal_hides() && self.siblings.iter().any(hidden))
    }

    /// What the origin of a share said last, if that is not removed.
    fn counted(&self) -> Option<Base> {
        let counts = self.siblings.iter().filter_map(|event| match event.body {
            Body::Count { total, .. } => Some(Base::after(event.dot.seq, total)),
            _ => None,
        });
        counts.max()
    }

    /// The removal that counts.
    fn base(&self) -> Base {
        let bases = self.siblings.iter().filter_map(|event| match event.body {
            Body::Count { base, .. } | Body::Removed { base } => Some(base),
            _ => None,
        });
        bases.max().unwrap_or_default()
    }
}

impl Pen {
    fn take(&mut self) -> Dot {
        let dot = self.origin.dot(self.next_seq);
        self.next_seq = self.next_seq.saturating_add(1);
        dot
    }
}

#[cfg(test)]
pub(crate) mod tests;
