//! Latencies of a run, and the figures that are reported of them.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is told apart, in nanoseconds: longer than the longest run.
const LATENCY_NS_MAX: u64 = 4_000_000_000_000;

/// All latencies, to three digits.
pub(crate) struct Latency {
    histogram: Histogram<u64>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each name says what it is")]
pub struct LatencySummary {
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
}

impl Latency {
    /// Nothing recorded.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        // The bounds are constants that the library accepts, which every test of this crate shows.
        Self { histogram: histogram.unwrap_or_else(|error| unreachable!("bounds of the histogram: {error}")) }
    }

    /// One latency in nanoseconds.
    pub fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    /// The reported percentiles; `None` if nothing was recorded.
    pub fn summary(&self) -> Option<LatencySummary> {
        if self.histogram.is_empty() {
            return None;
        }
        let microseconds = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Some(LatencySummary {
            p50_us: microseconds(0.50),
            p90_us: microseconds(0.90),
            p99_us: microseconds(0.99),
            p99_9_us: microseconds(0.999),
            max_us: self.histogram.max() as f64 / 1_000.0,
        })
    }
}

impl fmt::Display for LatencySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, p99_9, max] =
            [self.p50_us, self.p90_us, self.p99_us, self.p99_9_us, self.max_us].map(human);
        write!(f, "p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}, max {max}")
    }
}

/// A duration given in microseconds, with a unit that keeps it short.
fn human(microseconds: f64) -> String {
    match microseconds {
        us if us < 1_000.0 => format!("{us:.1} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latency = Latency::new();
        assert_eq!(latency.summary(), None);
        for microseconds in 1..=1_000_u64 {
            latency.record(microseconds * 1_000);
        }
        let summary = latency.summary().expect("something was recorded");
        for (got, expected) in [
            (summary.p50_us, 500.0),
            (summary.p90_us, 900.0),
            (summary.p99_us, 990.0),
            (summary.p99_9_us, 999.0),
            (summary.max_us, 1_000.0),
        ] {
            assert!((got / expected - 1.0).abs() < 0.002, "{got} instead of {expected}");
        }
    }

    #[test]
    fn a_latency_beyond_the_longest_run_is_recorded_as_the_longest() {
        let mut latency = Latency::new();
        latency.record(u64::MAX);
        assert!(latency.summary().is_some_and(|summary| summary.max_us >= LATENCY_NS_MAX as f64 / 1_000.0));
    }

    #[test]
    fn durations_have_the_unit_that_keeps_them_short() {
        assert_eq!([human(3.25), human(4_500.0), human(2_500_000.0)], ["3.2 µs", "4.50 ms", "2.50 s"]);
    }
}
