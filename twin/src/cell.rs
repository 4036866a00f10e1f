//! A cell: what is known of one field. A last-writer register whose removal is observed: it removes the write that it
//! saw and no other, so a write that nobody had seen survives a removal made elsewhere, whatever the clocks say.
//!
//! Invariant: cells are totally ordered (`Ord`), and merging takes the greater one; hence merging is commutative,
//! associative and idempotent. A removal carries the stamp of the write that it removes and orders directly above it.

use std::cmp::Ordering;

use serde_json::Value;

use crate::clock::Stamp;

/// What is known of one field.
#[derive(Debug, Clone)]
pub enum Cell {
    /// It has a value.
    Live {
        /// Who wrote it, and when.
        stamp: Stamp,
        /// What was written.
        value: CellValue,
    },
    /// Its value was removed.
    Removed {
        /// The stamp of the write that was removed.
        observed: Stamp,
        /// Who removed it, and when.
        by: Stamp,
    },
}

/// What a field can hold.
#[derive(Debug, Clone)]
pub enum CellValue {
    /// A string, number, boolean, null within an array, or an array, which is one value with all that is in it.
    Leaf(Value),
    /// There is an object here, even if it has no members.
    Object,
}

impl Cell {
    /// Takes what `other` knows better. Returns whether anything changed.
    pub fn merge(&mut self, other: &Cell) -> bool {
        let changed = other > self;
        if changed {
            *self = other.clone();
        }
        changed
    }

    /// Whether the field has a value.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Cell::Live { .. })
    }

    /// The write or removal that made this cell what it is.
    #[must_use]
    pub fn written_by(&self) -> Stamp {
        match self {
            Cell::Live { stamp, .. } => *stamp,
            Cell::Removed { by, .. } => *by,
        }
    }

    /// Where the cell stands in the order: the stamp of the write that it is or removes.
    fn base(&self) -> Stamp {
        match self {
            Cell::Live { stamp, .. } => *stamp,
            Cell::Removed { observed, .. } => *observed,
        }
    }
}

impl CellValue {
    /// The JSON text that is stored and, among equal stamps, compared. Empty for [`CellValue::Object`].
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            CellValue::Leaf(value) => value.to_string(),
            CellValue::Object => String::new(),
        }
    }
}

impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        self.base().cmp(&other.base()).then_with(|| match (self, other) {
            (Cell::Live { .. }, Cell::Removed { .. }) => Ordering::Less,
            (Cell::Removed { .. }, Cell::Live { .. }) => Ordering::Greater,
            (Cell::Removed { by: a, .. }, Cell::Removed { by: b, .. }) => a.cmp(b),
            // Equal stamps with different values cannot come from a working node. Any fixed rule keeps nodes alike.
            (Cell::Live { value: a, .. }, Cell::Live { value: b, .. }) => a.to_text().cmp(&b.to_text()),
        })
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{HybridTime, NodeId};

    /// A stamp from a range so small that stamps collide.
    pub(crate) fn any_stamp() -> impl Strategy<Value = Stamp> {
        (0_u64..5, 0_u64..3).prop_map(|(time, node)| Stamp { time: HybridTime(time), node: NodeId(node) })
    }

    pub(crate) fn any_cell() -> impl Strategy<Value = Cell> {
        let value = prop_oneof![
            (0..3_i64).prop_map(|number| CellValue::Leaf(number.into())),
            Just(CellValue::Leaf(serde_json::json!([1, null, {"a": 2}]))),
            Just(CellValue::Object),
        ];
        prop_oneof![
            3 => (any_stamp(), value).prop_map(|(stamp, value)| Cell::Live { stamp, value }),
            1 => (any_stamp(), any_stamp()).prop_map(|(observed, by)| Cell::Removed { observed, by }),
        ]
    }

    fn stamp(time: u64, node: u64) -> Stamp {
        Stamp { time: HybridTime(time), node: NodeId(node) }
    }

    fn live(time: u64, node: u64, value: i64) -> Cell {
        Cell::Live { stamp: stamp(time, node), value: CellValue::Leaf(value.into()) }
    }

    fn merged(mut a: Cell, b: &Cell) -> Cell {
        a.merge(b);
        a
    }

    #[test]
    fn the_later_write_wins_and_the_greater_node_among_equals() {
        assert_eq!(merged(live(1, 9, 10), &live(2, 1, 20)), live(2, 1, 20));
        assert_eq!(merged(live(2, 1, 20), &live(2, 3, 30)), live(2, 3, 30));
    }

    #[test]
    fn a_removal_removes_what_it_saw() {
        let removed = Cell::Removed { observed: stamp(5, 1), by: stamp(6, 2) };
        assert_eq!(merged(live(5, 1, 10), &removed), removed);
        assert_eq!(merged(removed.clone(), &live(4, 1, 10)), removed);
    }

    #[test]
    fn a_write_that_a_later_removal_had_not_seen_survives_it() {
        let removed = Cell::Removed { observed: stamp(5, 1), by: stamp(100, 2) };
        let unseen = live(6, 3, 30);
        assert_eq!(merged(removed.clone(), &unseen), unseen);
        assert_eq!(merged(unseen.clone(), &removed), unseen);
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in any_cell(), b in any_cell(), c in any_cell()) {
            prop_assert_eq!(merged(a.clone(), &b), merged(b.clone(), &a));
            prop_assert_eq!(merged(merged(a.clone(), &b), &c), merged(a.clone(), &merged(b, &c)));
            prop_assert_eq!(merged(a.clone(), &a), a);
        }
    }
}
