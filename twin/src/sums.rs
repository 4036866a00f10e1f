//! What is summed up of a twin's cells, so that a scan for the exchange between nodes reads only the twins that it is for,
//! and two nodes see quickly whether they show the same. Kept in the twin's header.

use selvedge_twin_core::cell::Cell;
use selvedge_twin_core::digest;
use selvedge_twin_core::path::Path;
use selvedge_twin_core::place::{Key, Part};
use selvedge_twin_core::vector::VersionVector;

use crate::twin::{Section, Touched, Twin};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    /// The sum of [`digest::share`] over all events, with wrapping.
    pub digest: u64,
    /// How many removals may be forgotten once everybody has seen them.
    pub removals: u64,
    /// At least the newest event of each origin in it; may name newer ones that have gone.
    pub newest: VersionVector,
}

impl Sums {
    /// From all cells of `twin`.
    #[must_use]
    pub fn of(thing: &str, twin: &Twin) -> Self {
        let mut sums = Self::default();
        for section in Section::ALL {
            for (path, part, cell) in twin.section(section).cells() {
                sums.add(&key(thing, section, path, part), cell);
            }
        }
        sums
    }

    /// From those of the twin `before`, for `after`, which differs at what was `touched` only.
    #[must_use]
    pub fn after(&self, thing: &str, before: &Twin, after: &Twin, touched: &Touched) -> Self {
        let mut sums = self.clone();
        for section in Section::ALL {
            for path in touched.paths(section) {
                for (part, cell) in before.section(section).field(path).into_iter().flat_map(|field| field.cells()) {
                    sums.subtract(&key(thing, section, path, part), cell);
                }
                for (part, cell) in after.section(section).field(path).into_iter().flat_map(|field| field.cells()) {
                    sums.add(&key(thing, section, path, part), cell);
                }
            }
        }
        sums
    }

    fn add(&mut self, key: &Key, cell: &Cell) {
        for event in cell.siblings() {
            self.digest = self.digest.wrapping_add(digest::share(key, event));
            self.newest.add(event.dot);
        }
        self.removals += cell.tombstones(&key.part).count() as u64;
    }

    fn subtract(&mut self, key: &Key, cell: &Cell) {
        for event in cell.siblings() {
            self.digest = self.digest.wrapping_sub(digest::share(key, event));
        }
        self.removals = self.removals.saturating_sub(cell.tombstones(&key.part).count() as u64);
    }
}

fn key(thing: &str, section: Section, path: &Path, part: &Part) -> Key {
    Key { thing: thing.into(), section, path: path.clone(), part: part.clone() }
}
