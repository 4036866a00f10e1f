//! The run's time: nanoseconds since it started, and the CPU time of the thread that generates the load.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A monotonic clock with its origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts at zero now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// Nanoseconds since the origin.
    pub fn now_ns(&self) -> u64 {
        // Fits for 584 years.
        self.origin.elapsed().as_nanos() as u64
    }
}

/// CPU time that this thread has used so far.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
