//! How long turns take: the longest lately, and those that are stalls. Pure; times are arguments.

use std::time::Duration;

use selvedge_core::Moment;

use crate::statistics::Statistics;

/// The longest turn is told for this interval and the one that goes on.
const INTERVAL_MS: u64 = 10_000;
/// Longer than this, clients notice (promise P2).
const STALL: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TurnTimes {
    longest: Duration,
    longest_before: Duration,
    interval_ends: Moment,
}

impl TurnTimes {
    /// A turn that ended `now` took `time`.
    pub(crate) fn record(&mut self, time: Duration, now: Moment, statistics: &mut Statistics) {
        self.roll(now);
        self.longest = self.longest.max(time);
        statistics.stalls += u64::from(time > STALL);
    }

    /// The longest of the last interval and of this one.
    pub(crate) fn longest(&mut self, now: Moment) -> Duration {
        self.roll(now);
        self.longest.max(self.longest_before)
    }

    fn roll(&mut self, now: Moment) {
        if now < self.interval_ends {
            return;
        }
        // After a silence of more than an interval, nothing was long.
        let silent = now >= self.interval_ends.plus_millis(INTERVAL_MS);
        self.longest_before = if silent { Duration::ZERO } else { self.longest };
        self.longest = Duration::ZERO;
        self.interval_ends = now.plus_millis(INTERVAL_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn the_longest_turn_is_told_for_this_interval_and_the_next_and_then_forgotten() {
        let mut times = TurnTimes::default();
        let mut statistics = Statistics::default();
        let us = Duration::from_micros;
        times.record(us(70), at(0), &mut statistics);
        times.record(us(900), at(10), &mut statistics);
        times.record(us(80), at(20), &mut statistics);
        assert_eq!(times.longest(at(20)), us(900));
        times.record(us(50), at(10_500), &mut statistics);
        assert_eq!(times.longest(at(20_499)), us(900));
        assert_eq!(times.longest(at(20_500)), us(50));
        assert_eq!(times.longest(at(90_000)), us(0));
        assert_eq!(statistics.stalls, 0);
    }

    #[test]
    fn a_turn_of_more_than_fifty_milliseconds_is_a_stall() {
        let mut times = TurnTimes::default();
        let mut statistics = Statistics::default();
        times.record(STALL, at(0), &mut statistics);
        assert_eq!(statistics.stalls, 0);
        times.record(STALL + Duration::from_nanos(1), at(0), &mut statistics);
        assert_eq!(statistics.stalls, 1);
    }
}
