//! Holds a function to so many messages a second, with a burst. Pure: the time is an argument.
//!
//! A token bucket that counts in tokens of a nanosecond's worth, so that nothing is lost to rounding.

use std::time::Duration;

use serde::Serialize;

/// Tokens that one message takes.
const MESSAGE: u64 = 1_000_000_000;

/// How often a function may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Messages a second in the long run, at least 1.
    pub per_s: u32,
    /// Messages at once after a pause, at least 1.
    pub burst: u32,
}

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: u64,
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: Duration) -> Self {
        Self { tokens: full(rate), at: now }
    }

    /// Takes one message's worth.
    ///
    /// # Errors
    /// There is none before that.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let passed = u64::try_from(now.saturating_sub(self.at).as_nanos()).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(u64::from(rate.per_s));
        // A rate may have been lowered since.
        self.tokens = self.tokens.saturating_add(gained).min(full(rate));
        self.at = self.at.max(now);
        match self.tokens.checked_sub(MESSAGE) {
            Some(left) => {
                self.tokens = left;
                Ok(())
            }
            None => {
                let missing = MESSAGE - self.tokens;
                Err(self.at.saturating_add(Duration::from_nanos(missing.div_ceil(u64::from(rate.per_s.max(1))))))
            }
        }
    }
}

/// Time of a processor that may be used at once after a pause.
const CPU_BURST: Duration = Duration::from_millis(200);

/// Holds a function to a share of one processor in the long run. What a run takes is known only after it, so the share may be
/// overdrawn by one run, and the function waits until that is made good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuShare {
    /// Nanoseconds of a processor, times 100: a percent of a nanosecond is not lost.
    left: i128,
    at: Duration,
}

impl CpuShare {
    /// A full one.
    pub(crate) fn new(now: Duration) -> Self {
        Self { left: hundredths(CPU_BURST), at: now }
    }

    /// Whether the function may run at `now`, or when, with so many percent of a processor.
    pub(crate) fn may_run(&mut self, percent: u32, now: Duration) -> Result<(), Duration> {
        self.fill(percent, now);
        if self.left > 0 {
            return Ok(());
        }
        let missing = u64::try_from(-self.left).unwrap_or(u64::MAX).saturating_add(1);
        Err(self.at.saturating_add(Duration::from_nanos(missing.div_ceil(u64::from(percent.max(1))))))
    }

    /// A run took so long.
    pub(crate) fn used(&mut self, time: Duration) {
        self.left -= hundredths(time);
    }

    fn fill(&mut self, percent: u32, now: Duration) {
        let passed = now.saturating_sub(self.at).as_nanos() as i128;
        self.left = (self.left + passed * i128::from(percent)).min(hundredths(CPU_BURST));
        self.at = self.at.max(now);
    }
}

fn hundredths(time: Duration) -> i128 {
    time.as_nanos() as i128 * 100
}

fn full(rate: Rate) -> u64 {
    u64::from(rate.burst).saturating_mul(MESSAGE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_of_a_processor_is_kept_in_the_long_run() {
        let (run, mut now) = (Duration::from_millis(30), Duration::ZERO);
        let mut share = CpuShare::new(now);
        let mut used = Duration::ZERO;
        while now < Duration::from_secs(100) {
            match share.may_run(10, now) {
                Ok(()) => {
                    share.used(run);
                    (used, now) = (used + run, now + run);
                }
                Err(at) => {
                    assert!(at > now, "it would be asked again at once");
                    now = at;
                }
            }
        }
        let allowed = Duration::from_secs(10) + CPU_BURST;
        assert!(used <= allowed + run && used >= Duration::from_secs(10), "{used:?}");
    }

    #[test]
    fn a_long_run_is_paid_for_by_a_long_wait() {
        let mut share = CpuShare::new(Duration::ZERO);
        share.used(Duration::from_millis(700));
        let at = share.may_run(50, Duration::ZERO).unwrap_err();
        assert!(at > Duration::from_secs(1) && at < Duration::from_millis(1001), "{at:?}");
        assert_eq!(share.may_run(50, at), Ok(()));
    }

    const RATE: Rate = Rate { per_s: 10, burst: 3 };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let mut bucket = Bucket::new(RATE, ms(1000));
        assert!((0..3).all(|_| bucket.take(RATE, ms(1000)).is_ok()));
        assert_eq!(bucket.take(RATE, ms(1000)), Err(ms(1100)));
        assert_eq!(bucket.take(RATE, ms(1099)), Err(ms(1100)));
        assert_eq!(bucket.take(RATE, ms(1100)), Ok(()));
        assert_eq!(bucket.take(RATE, ms(1100)), Err(ms(1200)));
    }

    #[test]
    fn a_pause_fills_it_to_the_burst_and_no_further() {
        let mut bucket = Bucket::new(RATE, ms(0));
        assert!((0..3).all(|_| bucket.take(RATE, ms(3_600_000)).is_ok()));
        assert!(bucket.take(RATE, ms(3_600_000)).is_err());
    }

    #[test]
    fn time_that_goes_back_gives_nothing_away() {
        let mut bucket = Bucket::new(Rate { per_s: 1, burst: 1 }, ms(5000));
        let rate = Rate { per_s: 1, burst: 1 };
        assert_eq!(bucket.take(rate, ms(5000)), Ok(()));
        assert_eq!(bucket.take(rate, ms(10)), Err(ms(6000)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            per_s in 1u32..1000, burst in 1u32..100, steps in proptest::collection::vec(0u64..50, 0..300),
        ) {
            let rate = Rate { per_s, burst };
            let mut bucket = Bucket::new(rate, ms(0));
            let (mut now, mut taken) = (0, 0_u64);
            for step in steps {
                now += step;
                match bucket.take(rate, ms(now)) {
                    Ok(()) => taken += 1,
                    Err(at) => {
                        prop_assert!(at > ms(now));
                        prop_assert!(Bucket { ..bucket }.take(rate, at).is_ok(), "at the time it said");
                    }
                }
            }
            prop_assert!(taken * 1000 <= u64::from(burst) * 1000 + now * u64::from(per_s));
        }
    }
}
