//! Decides whether a failed invocation gets another attempt, and when. Pure.
//!
//! What comes out the same every time (a limit passed, an output refused, `reject`) is never tried again.

use std::time::Duration;

use crate::manifest::Retry;

/// Kinds of failure that differ in how they are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The function said `retry`.
    Asked,
    /// It trapped.
    Trap,
    /// Its effects conflicted with those of others, again and again.
    Conflict,
    /// It ran past its deadline; tried at most twice, because each attempt costs the whole time limit.
    Timeout,
    /// Rejected, over a limit, output refused: the same input gives the same end.
    Final,
}

/// Longest pause between attempts.
const BACKOFF_MS_MAX: u64 = 60_000;

/// The pause before attempt `attempt + 1`, or `None` when there is none. Attempts count from 1. `random` takes up to half of it
/// away, so that what failed together is not tried again together.
pub(crate) fn pause_before_next(policy: &Retry, attempt: u32, cause: Cause, random: u64) -> Option<Duration> {
    let attempts_max = match cause {
        Cause::Asked | Cause::Trap | Cause::Conflict => policy.attempts,
        Cause::Timeout => policy.attempts.min(2),
        Cause::Final => 1,
    };
    if attempt >= attempts_max {
        return None;
    }
    let doublings = attempt.saturating_sub(1).min(20);
    let whole_us = (policy.backoff_ms << doublings).min(BACKOFF_MS_MAX) * 1000;
    // In 0..=half: the high part of a product cannot pass the factor.
    let less_us = ((u128::from(random) * u128::from(whole_us / 2 + 1)) >> 64) as u64;
    Some(Duration::from_micros(whole_us - less_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Retry = Retry { attempts: 4, backoff_ms: 100, dead_letter: None };

    #[test]
    fn pauses_double_and_end_with_the_attempts() {
        let pauses: Vec<_> = (1..=4).map(|attempt| pause_before_next(&POLICY, attempt, Cause::Asked, 0)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(pauses, [ms(100), ms(200), ms(400), None]);
    }

    #[test]
    fn timeouts_are_tried_twice_and_final_causes_once() {
        assert!(pause_before_next(&POLICY, 1, Cause::Timeout, 0).is_some());
        assert_eq!(pause_before_next(&POLICY, 2, Cause::Timeout, 0), None);
        assert_eq!(pause_before_next(&POLICY, 1, Cause::Final, 0), None);
    }

    #[test]
    fn a_pause_never_passes_a_minute() {
        let policy = Retry { attempts: u32::MAX, backoff_ms: 60_000, dead_letter: None };
        assert_eq!(pause_before_next(&policy, 1_000, Cause::Trap, 0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn one_attempt_means_no_retry() {
        assert_eq!(
            pause_before_next(&Retry { attempts: 1, backoff_ms: 1, dead_letter: None }, 1, Cause::Trap, 0),
            None
        );
    }

    #[test]
    fn chance_takes_away_up_to_half() {
        let pause = |random| pause_before_next(&POLICY, 2, Cause::Asked, random).unwrap();
        assert_eq!((pause(0), pause(u64::MAX)), (Duration::from_millis(200), Duration::from_millis(100)));
        assert_eq!(pause(u64::MAX / 2).as_millis(), 150);
    }
}
