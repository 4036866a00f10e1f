//! CPU time of this process.

use std::time::Duration;

/// Runs `work` and says how much CPU time it took.
pub fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let before = now();
    let done = work();
    (now().saturating_sub(before), done)
}

fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
