//! What rounds of all kinds have in common: their size, and how their progress is shown.

use std::time::Instant;

use super::report::Report;

/// Publications of a round at most, so that recovery stays short.
pub const PUBLICATIONS: usize = 3000;
/// Rounds between two lines of progress.
pub const SHOWN_EVERY: u64 = 20;

/// Says how far a run is.
pub fn progress(report: &Report, done: u64, all: u64, started: Instant) {
    if done.is_multiple_of(SHOWN_EVERY) || done == all {
        let per_minute = done as f64 * 60.0 / started.elapsed().as_secs_f64();
        eprintln!(
            "{done} of {all}, {per_minute:.0} a minute, {} publications acknowledged, {} breaches",
            report.published,
            report.breaches()
        );
    }
}
