//! From readings of the kernel's counters to sums that only grow. Pure: readings are arguments.

pub mod flow_table;
pub mod total_table;

use crate::{Counts, InterfaceName};

/// Interfaces whose names are remembered after they are gone; the sums of those that went before are kept under
/// [`GONE`].
pub const GONE_NAMES_MAX: usize = 64;
/// What stands for interfaces that went long ago.
pub const GONE: &str = "(gone)";

/// A sum, and what came to it with the last drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Since the start.
    pub all: Counts,
    /// Since the previous drain.
    pub recent: Counts,
}

impl Sum {
    /// Adds what came.
    pub fn add(&mut self, more: &Counts) {
        self.all.add(more);
        self.recent.add(more);
    }

    /// Takes over another sum.
    pub fn absorb(&mut self, other: &Self) {
        self.all.add(&other.all);
        self.recent.add(&other.recent);
    }

    /// Begins with a new drain.
    pub fn start_drain(&mut self) {
        self.recent = Counts::default();
    }
}

/// The name under which what went long ago is kept.
pub fn gone() -> InterfaceName {
    InterfaceName::new(GONE)
}
