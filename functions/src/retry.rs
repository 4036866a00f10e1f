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
    /// It ran past its deadline; tried at most twice, because each attempt costs the whole time limit.
    Timeout,
    /// Rejected, over a limit, output refused: the same input gives the same end.
    Final,
}

/// Longest pause between attempts.
const BACKOFF_MS_MAX: u64 = 60_000;

/// The pause before attempt `attempt + 1`, or `None` when there is none. Attempts count from 1.
pub(crate) fn pause_before_next(policy: &Retry, attempt: u32, cause: Cause) -> Option<Duration> {
    let attempts_max = match cause {
        Cause::Asked | Cause::Trap => policy.attempts,
        Cause::Timeout => policy.attempts.min(2),
        Cause::Final => 1,
    };
    if attempt >= attempts_max {
        return None;
    }
    let doublings = attempt.saturating_sub(1).min(20);
    Some(Duration::from_millis((policy.backoff_ms << doublings).min(BACKOFF_MS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Retry = Retry { attempts: 4, backoff_ms: 100 };

    #[test]
    fn pauses_double_and_end_with_the_attempts() {
        let pauses: Vec<_> = (1..=4).map(|attempt| pause_before_next(&POLICY, attempt, Cause::Asked)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(pauses, [ms(100), ms(200), ms(400), None]);
    }

    #[test]
    fn timeouts_are_tried_twice_and_final_causes_once() {
        assert!(pause_before_next(&POLICY, 1, Cause::Timeout).is_some());
        assert_eq!(pause_before_next(&POLICY, 2, Cause::Timeout), None);
        assert_eq!(pause_before_next(&POLICY, 1, Cause::Final), None);
    }

    #[test]
    fn a_pause_never_passes_a_minute() {
        let policy = Retry { attempts: u32::MAX, backoff_ms: 60_000 };
        assert_eq!(pause_before_next(&policy, 1_000, Cause::Trap), Some(Duration::from_secs(60)));
    }

    #[test]
    fn one_attempt_means_no_retry() {
        assert_eq!(pause_before_next(&Retry { attempts: 1, backoff_ms: 1 }, 1, Cause::Trap), None);
    }
}
