//! What time it is for the judgement of freshness, on a box that may have no battery clock.
//!
//! Time here never goes back: it is the latest of what the clock says (if it is trusted), the latest time at which a whole
//! refresh was accepted, and the time at which the running program was built. Without a trusted clock, somebody who can
//! withhold metadata can therefore keep a node on what was fresh at the last of these (a freeze), but no further back.
//!
//! A clock that is far ahead by mistake cannot spoil the remembered time: it is raised only at the end of a refresh in which
//! nothing had expired at that time, so it stays before the expiry of the timestamp that was accepted with it.

/// The time that the caller can vouch for. Seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    now_unix_s: Option<i64>,
    built_unix_s: i64,
}

impl Clock {
    /// A clock that was set by something that deserves trust (network time, a battery).
    pub fn trusted(now_unix_s: i64) -> Self {
        Self { now_unix_s: Some(now_unix_s), built_unix_s: 0 }
    }

    /// Nobody knows what time it is.
    pub fn unknown() -> Self {
        Self { now_unix_s: None, built_unix_s: 0 }
    }

    /// It cannot be earlier than when the running program was built.
    #[must_use]
    pub fn built_at(self, built_unix_s: i64) -> Self {
        Self { built_unix_s, ..self }
    }

    /// The time for judging freshness.
    pub(crate) fn effective(self, latest_seen_unix_s: i64) -> i64 {
        self.now_unix_s.unwrap_or(i64::MIN).max(latest_seen_unix_s).max(self.built_unix_s)
    }

    /// What to remember after a whole refresh.
    pub(crate) fn latest_seen(self, latest_seen_unix_s: i64) -> i64 {
        self.now_unix_s.unwrap_or(i64::MIN).max(latest_seen_unix_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_the_latest_of_what_is_known() {
        assert_eq!(Clock::trusted(20).effective(10), 20);
        assert_eq!(Clock::trusted(5).effective(10), 10);
        assert_eq!(Clock::unknown().effective(10), 10);
        assert_eq!(Clock::unknown().built_at(30).effective(10), 30);
        assert_eq!(Clock::trusted(0).effective(10), 10);
    }

    #[test]
    fn only_a_trusted_clock_is_remembered() {
        assert_eq!(Clock::trusted(20).latest_seen(10), 20);
        assert_eq!(Clock::trusted(5).latest_seen(10), 10);
        assert_eq!(Clock::unknown().built_at(30).latest_seen(10), 10);
    }
}
