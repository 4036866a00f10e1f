//! A rate with a burst, as a token bucket: what is taken fills up again with time. Pure; the time is an argument.
//!
//! A bucket is one number, when it will be full again: a bucket that was never used, or not for a while, is full and
//! need not be remembered.

use selvedge_core::Moment;

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;
const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;
/// Longest that a bucket is empty after more was taken than it held.
const DEBT_MAX_NS: u64 = 60 * 1_000_000_000;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    per_s: u32,
    burst: u32,
}

impl Rate {
    /// `per_s` a second, and `burst` at once; `None` where `per_s` is 0, which is no limit.
    pub(crate) fn new(per_s: u32, burst: u32) -> Option<Self> {
        (per_s > 0).then_some(Self { per_s, burst: burst.max(1) })
    }

    /// Time in which `count` come in, nanoseconds.
    fn time_ns(self, count: u64) -> u64 {
        u64::try_from(u128::from(count) * NANOSECONDS_PER_SECOND / u128::from(self.per_s)).unwrap_or(u64::MAX)
    }
}

/// How far a bucket is emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Whether there is at least one in it.
    pub(crate) fn has_one(self, rate: Rate, now: Moment) -> bool {
        self.one_at_ns(rate) <= nanoseconds(now)
    }

    /// Take `count`, even if there are fewer in it: then nothing is in it for the longer, up to a minute.
    pub(crate) fn take(&mut self, count: u64, rate: Rate, now: Moment) {
        let now = nanoseconds(now);
        let full_at = self.full_at_ns.max(now).saturating_add(rate.time_ns(count));
        let latest = now.saturating_add(rate.time_ns(rate.burst.into())).saturating_add(DEBT_MAX_NS);
        self.full_at_ns = full_at.min(latest);
    }

    /// When there is one in it again; in the past if there is one now.
    pub(crate) fn one_at(self, rate: Rate) -> Moment {
        Moment::from_millis(self.one_at_ns(rate).div_ceil(NANOSECONDS_PER_MILLISECOND))
    }

    /// Whether it is as if nothing had ever been taken.
    pub(crate) fn is_full(self, now: Moment) -> bool {
        self.full_at_ns <= nanoseconds(now)
    }

    fn one_at_ns(self, rate: Rate) -> u64 {
        self.full_at_ns.saturating_sub(rate.time_ns(u64::from(rate.burst) - 1))
    }
}

fn nanoseconds(moment: Moment) -> u64 {
    moment.as_millis().saturating_mul(NANOSECONDS_PER_MILLISECOND)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_one_for_each_interval() {
        let rate = Rate::new(100, 5).expect("limited");
        let mut bucket = Bucket::default();
        let taken = (0..10).take_while(|_| {
            let has_one = bucket.has_one(rate, at(0));
            bucket.take(u64::from(has_one), rate, at(0));
            has_one
        });
        assert_eq!(taken.count(), 5);
        assert_eq!(bucket.one_at(rate), at(10));
        assert!(!bucket.has_one(rate, at(9)));
        assert!(bucket.has_one(rate, at(10)));
        assert!(!bucket.is_full(at(49)));
        assert!(bucket.is_full(at(50)));
    }

    #[test]
    fn more_than_there_is_can_be_taken_and_is_waited_for_up_to_a_minute() {
        let rate = Rate::new(1000, 1000).expect("limited");
        let mut bucket = Bucket::default();
        bucket.take(3000, rate, at(0));
        assert_eq!(bucket.one_at(rate), at(2001));
        bucket.take(u64::MAX, rate, at(0));
        assert_eq!(bucket.one_at(rate), at(60_001));
    }

    #[test]
    fn no_rate_is_no_limit_and_a_burst_of_nothing_is_one() {
        assert_eq!(Rate::new(0, 7), None);
        let rate = Rate::new(10, 0).expect("limited");
        let mut bucket = Bucket::default();
        assert!(bucket.has_one(rate, at(0)));
        bucket.take(1, rate, at(0));
        assert!(!bucket.has_one(rate, at(99)));
        assert!(bucket.has_one(rate, at(100)));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(
            per_s in 1_u32..5_000,
            burst in 1_u32..100,
            steps in proptest::collection::vec((0_u64..50, 1_u64..5), 1..200),
        ) {
            let rate = Rate::new(per_s, burst).expect("limited");
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (0, 0_u64);
            for (pause_ms, tries) in steps {
                now += pause_ms;
                for _ in 0..tries {
                    if bucket.has_one(rate, at(now)) {
                        bucket.take(1, rate, at(now));
                        taken += 1;
                    }
                }
                let allowed = f64::from(burst) + now as f64 / 1000.0 * f64::from(per_s);
                // A nanosecond of rounding for each.
                prop_assert!(taken as f64 <= allowed + 1.0, "{} of {} after {} ms", taken, allowed, now);
            }
        }
    }
}
