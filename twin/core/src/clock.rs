//! The hybrid logical clock: stamps that follow the wall clock when they can and never go back. No I/O: the wall
//! clock's reading is an argument, and the last stamp is persisted by whoever commits what was stamped.
//!
//! Invariant: each stamp that [`Clock::tick`] gives is greater than every one that it gave or observed before,
//! whatever the wall clock does. Reference: Kulkarni et al., "Logical Physical Clocks", 2014.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

/// 2026-11-01T00:00:00Z, before which no node with this program can have lived.
pub const BUILD_FLOOR_MS: u64 = 1_793_491_200_000;

/// A wall clock this far above the floor is as wrong as one below it: 40 years in milliseconds.
const CEILING_ABOVE_FLOOR_MS: u64 = 40 * 365 * 24 * 3_600 * 1_000;

/// No event can be later than this: 2066. One that says so is refused everywhere, by its bytes alone.
pub const CEILING: HybridTime = HybridTime((BUILD_FLOOR_MS + CEILING_ABOVE_FLOOR_MS) << COUNTER_BITS);

const COUNTER_BITS: u32 = 16;

/// Identity of a node, unique in its fleet. Shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Hybrid time: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The time of `ms` milliseconds with a counter of zero. Times that 48 bits cannot hold are cut to the greatest.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// How many stamps came before within the same millisecond.
    #[must_use]
    pub fn counter(self) -> u16 {
        (self.0 & u64::from(u16::MAX)) as u16
    }

    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// When and where something was written. Totally ordered: by time, then by node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When, by the writer's clock.
    pub time: HybridTime,
    /// Where.
    pub node: NodeId,
}

impl fmt::Display for Stamp {
    /// `<milliseconds>.<counter>@<node>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.time.ms(), self.time.counter(), self.node)
    }
}

impl Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a wall clock can be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It reads a time that this program can live in.
    Trusted,
    /// It reads a time before the program was built, or decades after: a box without a battery that has not heard the
    /// time yet. Stamps go on from the last one and do not follow it.
    NotTrusted,
}

/// A stamp of another node that is further ahead than clocks of working nodes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stamp {stamp} is {ahead_ms} ms ahead of this node's clock")]
pub struct FarAhead {
    /// The stamp.
    pub stamp: Stamp,
    /// How far it is ahead, in milliseconds.
    pub ahead_ms: u64,
}

/// The clock of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    node: NodeId,
    last: HybridTime,
    floor_ms: u64,
    ahead_max_ms: u64,
}

impl Clock {
    /// A clock that goes on after `last`, the greatest time that was ever persisted.
    #[must_use]
    pub fn new(node: NodeId, last: HybridTime, floor_ms: u64, ahead_max_ms: u64) -> Self {
        Self { node, last, floor_ms, ahead_max_ms }
    }

    /// The greatest time given or observed so far.
    #[must_use]
    pub fn last(&self) -> HybridTime {
        self.last
    }

    /// The time to show to people for the reading `wall_ms`: never before the last stamp. Milliseconds since 1970.
    #[must_use]
    pub fn reading_ms(&self, wall_ms: u64) -> u64 {
        self.believed_ms(wall_ms).max(self.last.ms())
    }

    /// Judges a wall clock reading.
    #[must_use]
    pub fn trust(&self, wall_ms: u64) -> Trust {
        let ceiling_ms = self.floor_ms.saturating_add(CEILING_ABOVE_FLOOR_MS);
        if (self.floor_ms..=ceiling_ms).contains(&wall_ms) { Trust::Trusted } else { Trust::NotTrusted }
    }

    /// The stamp for a write that happens now.
    pub fn tick(&mut self, wall_ms: u64) -> Stamp {
        self.last = self.last.next().max(HybridTime::from_ms(self.believed_ms(wall_ms))).min(CEILING);
        Stamp { time: self.last, node: self.node }
    }

    /// Takes note of another node's stamp, so that later stamps of this node are greater. One that is too far ahead is
    /// refused and leaves the clock as it was: the caller holds what carried it until the clock has caught up.
    ///
    /// A node whose own clock is not trusted cannot say what is far ahead: it takes the time from the others.
    pub fn observe(&mut self, stamp: Stamp, wall_ms: u64) -> Result<(), FarAhead> {
        let ahead_ms = stamp.time.ms().saturating_sub(self.reading_ms(wall_ms));
        let is_far = ahead_ms > self.ahead_max_ms && self.trust(wall_ms) == Trust::Trusted;
        if is_far || stamp.time > CEILING {
            return Err(FarAhead { stamp, ahead_ms });
        }
        self.last = self.last.max(stamp.time);
        Ok(())
    }

    /// The wall clock if it is trusted, else the earliest time it can be.
    fn believed_ms(&self, wall_ms: u64) -> u64 {
        match self.trust(wall_ms) {
            Trust::Trusted => wall_ms,
            Trust::NotTrusted => self.floor_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: NodeId = NodeId(7);
    const FLOOR: u64 = BUILD_FLOOR_MS;
    const AHEAD_MAX: u64 = 300_000;

    fn clock() -> Clock {
        Clock::new(NODE, HybridTime::default(), FLOOR, AHEAD_MAX)
    }

    fn remote(ms: u64) -> Stamp {
        Stamp { time: HybridTime::from_ms(ms), node: NodeId(9) }
    }

    #[test]
    fn a_trusted_clock_is_followed_and_counts_within_a_millisecond() {
        let mut clock = clock();
        assert_eq!(clock.tick(FLOOR + 5).to_string(), format!("{}.0@0000000000000007", FLOOR + 5));
        assert_eq!(clock.tick(FLOOR + 5).to_string(), format!("{}.1@0000000000000007", FLOOR + 5));
        assert_eq!(clock.tick(FLOOR + 6).time, HybridTime::from_ms(FLOOR + 6));
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_take_stamps_with_it() {
        let mut clock = clock();
        let before = clock.tick(FLOOR + 10_000);
        assert!(clock.tick(FLOOR + 1) > before);
    }

    #[test]
    fn after_a_boot_without_time_stamps_go_on_from_the_last_one() {
        let last = HybridTime::from_ms(FLOOR + 99);
        let mut clock = Clock::new(NODE, last, FLOOR, AHEAD_MAX);
        assert_eq!(clock.trust(0), Trust::NotTrusted);
        assert_eq!(clock.tick(0).time.ms(), FLOOR + 99);
        assert!(clock.tick(0).time > last);
    }

    #[test]
    fn the_clock_is_trusted_from_the_floor_to_the_ceiling() {
        let clock = clock();
        assert_eq!(clock.trust(FLOOR - 1), Trust::NotTrusted);
        assert_eq!(clock.trust(FLOOR), Trust::Trusted);
        assert_eq!(clock.trust(FLOOR + CEILING_ABOVE_FLOOR_MS), Trust::Trusted);
        assert_eq!(clock.trust(FLOOR + CEILING_ABOVE_FLOOR_MS + 1), Trust::NotTrusted);
        assert_eq!(clock.trust(u64::MAX), Trust::NotTrusted);
    }

    #[test]
    fn a_stamp_at_the_limit_is_observed_and_one_beyond_is_refused_and_leaves_the_clock_alone() {
        let mut clock = clock();
        assert_eq!(clock.observe(remote(FLOOR + AHEAD_MAX), FLOOR), Ok(()));
        assert!(clock.tick(FLOOR) > remote(FLOOR + AHEAD_MAX));
        let last = clock.last();
        let far = remote(FLOOR + 2 * AHEAD_MAX + 1);
        assert_eq!(clock.observe(far, FLOOR), Err(FarAhead { stamp: far, ahead_ms: AHEAD_MAX + 1 }));
        assert_eq!(clock.last(), last);
    }

    #[test]
    fn a_full_counter_runs_into_the_next_millisecond() {
        let mut clock = Clock::new(NODE, HybridTime(HybridTime::from_ms(FLOOR).0 | 0xffff), FLOOR, AHEAD_MAX);
        let stamp = clock.tick(FLOOR);
        assert_eq!((stamp.time.ms(), stamp.time.counter()), (FLOOR + 1, 0));
    }

    proptest! {
        #[test]
        fn stamps_rise_whatever_the_wall_clock_and_other_nodes_say(
            steps in proptest::collection::vec((any::<bool>(), any::<u64>(), FLOOR..FLOOR + 1_000_000), 1..60),
        ) {
            let mut clock = clock();
            let mut greatest = None;
            for (wild, any_ms, sane_ms) in steps {
                let wall_ms = if wild { any_ms } else { sane_ms };
                if clock.observe(remote(any_ms >> 16), wall_ms).is_ok() {
                    greatest = greatest.max(Some(remote(any_ms >> 16)));
                }
                let stamp = clock.tick(wall_ms);
                prop_assert!(Some(stamp) > greatest);
                greatest = Some(stamp);
            }
        }
    }
}
