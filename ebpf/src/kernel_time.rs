//! The clock that the programs in the kernel see: `CLOCK_MONOTONIC`, which stands still while the machine sleeps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of the kernel's monotonic clock, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelTime(u64);

impl KernelTime {
    /// Reads the clock.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// A moment given in nanoseconds.
    pub const fn from_ns(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock began.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// A later moment; the end of the clock when there is none.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time that went by since `earlier`; none when it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward() {
        let first = KernelTime::now();
        assert!(first > KernelTime::default());
        assert!(KernelTime::now() >= first);
    }

    #[test]
    fn the_ends_of_the_clock_hold() {
        assert_eq!(KernelTime::from_ns(u64::MAX).plus(Duration::MAX), KernelTime::from_ns(u64::MAX));
        assert_eq!(KernelTime::from_ns(1).since(KernelTime::from_ns(2)), Duration::ZERO);
    }
}
