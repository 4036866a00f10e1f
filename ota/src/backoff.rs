//! How long to wait before a repository is asked again: the usual pause after a success, a growing one after failures, and always
//! a little apart from other nodes.

use std::time::Duration;

/// The first pause after a failure.
const FAILED_MIN: Duration = Duration::from_secs(30);

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// It did not.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The next pause: `usual` after a success, else 30 s doubled with each failure in a row and never more than `usual`; shortened or
    /// lengthened by up to a quarter as `random` (any number) says.
    pub fn pause(&self, usual: Duration, random: u64) -> Duration {
        let doubled = FAILED_MIN.saturating_mul(1 << self.failures.saturating_sub(1).min(20));
        let pause = if self.failures == 0 { usual } else { doubled.min(usual.max(FAILED_MIN)) };
        let part = f64::from(u32::try_from(random % 1001).unwrap_or(0)) / 1000.0;
        pause.mul_f64(0.75 + part / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_pause_up_to_the_usual_one() {
        let usual = Duration::from_secs(3600);
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(usual, 500), usual);
        let mut seen = Vec::new();
        for _ in 0..9 {
            backoff.failed();
            seen.push(backoff.pause(usual, 500).as_secs());
        }
        assert_eq!(seen, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        backoff.succeeded();
        assert_eq!(backoff.pause(usual, 500), usual);
    }

    #[test]
    fn nodes_do_not_ask_all_at_once() {
        let usual = Duration::from_secs(1000);
        let pauses: Vec<u64> = [0, 250, 1000].map(|random| Backoff::default().pause(usual, random).as_secs()).to_vec();
        assert_eq!(pauses, [750, 875, 1250]);
    }
}
