//! Version vectors: for each origin, up to which number its events are meant. Used for what a node has, for what an
//! event had seen of its cell, and for what was forgotten.

use std::cmp::Ordering;

use crate::dot::{Dot, Origin};

/// Events by origin: each up to and including a number. An origin that is not named stands at 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct VersionVector(Vec<(Origin, u64)>);

impl VersionVector {
    /// Whether no event is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of origins.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The greatest number of `origin` that is meant; 0 if none is.
    #[must_use]
    pub fn get(&self, origin: Origin) -> u64 {
        self.find(origin).map_or(0, |at| self.0[at].1)
    }

    /// Whether the event `dot` is meant.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        dot.seq <= self.get(dot.origin)
    }

    /// Whether all of `other` is meant.
    #[must_use]
    pub fn includes(&self, other: &VersionVector) -> bool {
        other.0.iter().all(|&(origin, seq)| seq <= self.get(origin))
    }

    /// Means all events of the dot's origin up to it as well.
    pub fn add(&mut self, dot: Dot) {
        match self.find(dot.origin) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(dot.seq),
            Err(at) if dot.seq > 0 => self.0.insert(at, (dot.origin, dot.seq)),
            Err(_) => {}
        }
    }

    /// Means what `other` means as well.
    pub fn join(&mut self, other: &VersionVector) {
        for dot in other.dots() {
            self.add(dot);
        }
    }

    /// Only what both mean.
    #[must_use]
    pub fn meet(&self, other: &VersionVector) -> VersionVector {
        let both = self.0.iter().map(|&(origin, seq)| (origin, seq.min(other.get(origin))));
        Self(both.filter(|&(_, seq)| seq > 0).collect())
    }

    /// Means events of `origin` up to `seq` and no further.
    pub fn cap(&mut self, origin: Origin, seq: u64) {
        if let Ok(at) = self.find(origin) {
            if seq == 0 {
                self.0.remove(at);
            } else {
                self.0[at].1 = self.0[at].1.min(seq);
            }
        }
    }

    /// Means no event of `origin`.
    pub fn remove(&mut self, origin: Origin) {
        self.0.retain(|&(found, _)| found != origin);
    }

    /// The last event of each origin, in the order of origins.
    pub fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.0.iter().map(|&(origin, seq)| origin.dot(seq))
    }

    // Positions come from `find` on the same vector.
    fn find(&self, origin: Origin) -> Result<usize, usize> {
        self.0.binary_search_by(|(found, _)| found.cmp(&origin))
    }
}

impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.includes(other), other.includes(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::default();
        dots.into_iter().for_each(|dot| vector.add(dot));
        vector
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::NodeId;

    pub(crate) fn any_dot() -> impl Strategy<Value = Dot> {
        (0_u64..4, 1_u32..3, 1_u64..6)
            .prop_map(|(node, incarnation, seq)| Origin { node: NodeId(node), incarnation }.dot(seq))
    }

    pub(crate) fn any_vector() -> impl Strategy<Value = VersionVector> {
        proptest::collection::vec(any_dot(), 0..6).prop_map(|dots| dots.into_iter().collect())
    }

    fn joined(mut a: VersionVector, b: &VersionVector) -> VersionVector {
        a.join(b);
        a
    }

    #[test]
    fn a_vector_covers_up_to_and_including_its_number() {
        let origin = Origin::first(NodeId(1));
        let vector: VersionVector = [origin.dot(3)].into_iter().collect();
        assert!(vector.covers(origin.dot(3)) && !vector.covers(origin.dot(4)));
        assert!(!vector.covers(Origin::first(NodeId(2)).dot(1)));
    }

    proptest! {
        #[test]
        fn join_is_the_least_that_includes_both_and_meet_the_greatest_in_both(
            a in any_vector(), b in any_vector(), dot in any_dot(),
        ) {
            let (join, meet) = (joined(a.clone(), &b), a.meet(&b));
            prop_assert_eq!(join.covers(dot), a.covers(dot) || b.covers(dot));
            prop_assert_eq!(meet.covers(dot), a.covers(dot) && b.covers(dot));
            prop_assert!(join.includes(&a) && join.includes(&b) && a.includes(&meet) && b.includes(&meet));
            prop_assert_eq!(joined(b.clone(), &a), join);
        }

        #[test]
        fn a_cap_takes_what_is_beyond_it(a in any_vector(), dot in any_dot(), seq in 0_u64..6) {
            let mut capped = a.clone();
            capped.cap(dot.origin, seq);
            prop_assert_eq!(capped.covers(dot), a.covers(dot) && dot.seq <= seq);
        }
    }
}
