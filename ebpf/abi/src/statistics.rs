//! What the programs count about themselves, one number per processor each.

/// Place of a number in the map of statistics.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Records of flows that were made.
    FlowsMade = 0,
    /// Records of flows that could not be made: those packets are in the totals only.
    FlowsNotMade = 1,
    /// Packets of an interface that has no record: counted in slot 0.
    UnknownInterface = 2,
    /// Buckets of the guard that could not be made: those attempts were let through.
    BucketsNotMade = 3,
}

impl Statistic {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::FlowsMade, Self::FlowsNotMade, Self::UnknownInterface, Self::BucketsNotMade];
}

#[cfg(test)]
mod tests {
    use super::Statistic;

    #[test]
    fn each_statistic_stands_at_its_own_place() {
        for (position, statistic) in Statistic::ALL.iter().enumerate() {
            assert_eq!(*statistic as usize, position);
        }
    }
}
