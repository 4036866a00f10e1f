//! Counts what happened to the messages of one function, and how long its runs took.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

use crate::canary::Verdict;
use crate::message::{InvocationError, Settlement};

/// Longest run that is told apart: one minute.
const RUN_US_MAX: u64 = 60_000_000;

/// What a function's messages came to since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunctionCounters {
    /// Runs, attempts of the same message counted each.
    pub invocations: u64,
    /// Of these, by an instance that had run before.
    pub reused: u64,
    /// Messages whose effects were committed.
    pub ok: u64,
    /// Runs that ended with `retry` or `reject`.
    pub failed: u64,
    /// Runs that trapped.
    pub trapped: u64,
    /// Runs stopped at their deadline.
    pub timed_out: u64,
    /// Runs ended by a limit on memory or output, or by an output without grant.
    pub over_limit: u64,
    /// Commits that conflicted or failed.
    pub commit_failed: u64,
    /// Messages given up for good: out of attempts, rejected, over a limit, commit refused.
    pub dropped: u64,
    /// Of these, messages that became dead letters.
    pub dead_letters: u64,
    /// Messages answered with the static reply while a circuit was open.
    pub static_replies: u64,
    /// Times that a circuit opened.
    pub circuit_opened: u64,
    /// Versions on trial that went live.
    pub canaries_promoted: u64,
    /// Versions on trial that went back.
    pub canaries_rolled_back: u64,
    /// Times that a message had to wait for the function's rate.
    pub rate_waits: u64,
    /// Messages not taken, because the queue was full.
    pub overloaded: u64,
    /// Messages not run or stopped, because their caller did not wait any more.
    pub abandoned: u64,
    /// Messages published.
    pub published: u64,
    /// Log lines not kept, because a run wrote more than its limit.
    pub log_lines_dropped: u64,
    /// The last reason for a failure.
    pub last_error: Option<String>,
    /// Median time of instantiate and call, microseconds.
    pub run_p50_us: u64,
    /// 99th percentile of the same.
    pub run_p99_us: u64,
    /// Time of all runs, microseconds.
    pub run_us_total: u64,
    /// Greatest memory of an instance so far, bytes.
    pub memory_peak_bytes: u64,
}

pub(crate) struct Counters {
    inner: Mutex<Inner>,
}

struct Inner {
    counts: FunctionCounters,
    /// Made with the first run: most of many functions rest.
    run_us: Option<Histogram<u32>>,
}

/// How one run ended, before retries are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Ok,
    Failed,
    Trapped,
    TimedOut,
    OverLimit,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner { counts: FunctionCounters::default(), run_us: None }) }
    }

    pub(crate) fn reused(&self) {
        self.inner.lock().counts.reused += 1;
    }

    pub(crate) fn ran(&self, end: RunEnd, run_us: u64, memory_bytes: u64, log_lines_dropped: u64) {
        let inner = &mut *self.inner.lock();
        inner.counts.invocations += 1;
        inner.counts.run_us_total += run_us;
        inner.counts.log_lines_dropped += log_lines_dropped;
        inner.counts.memory_peak_bytes = inner.counts.memory_peak_bytes.max(memory_bytes);
        match end {
            RunEnd::Ok => {}
            RunEnd::Failed => inner.counts.failed += 1,
            RunEnd::Trapped => inner.counts.trapped += 1,
            RunEnd::TimedOut => inner.counts.timed_out += 1,
            RunEnd::OverLimit => inner.counts.over_limit += 1,
        }
        // Cannot fail: the histogram resizes itself.
        let _ = inner.run_us.get_or_insert_with(histogram).record(run_us.clamp(1, RUN_US_MAX));
    }

    pub(crate) fn committed(&self, published: usize) {
        let mut inner = self.inner.lock();
        inner.counts.ok += 1;
        inner.counts.published += published as u64;
    }

    pub(crate) fn settled(&self, by: Settlement) {
        let counts = &mut self.inner.lock().counts;
        match by {
            Settlement::DeadLetter => counts.dead_letters += 1,
            Settlement::Reply => counts.static_replies += 1,
        }
    }

    pub(crate) fn circuit_opened(&self) {
        self.inner.lock().counts.circuit_opened += 1;
    }

    pub(crate) fn canary_ended(&self, verdict: &Verdict) {
        let counts = &mut self.inner.lock().counts;
        match verdict {
            Verdict::Promote => counts.canaries_promoted += 1,
            Verdict::RollBack(_) => counts.canaries_rolled_back += 1,
        }
    }

    pub(crate) fn waited_for_rate(&self) {
        self.inner.lock().counts.rate_waits += 1;
    }

    pub(crate) fn commit_failed(&self) {
        self.inner.lock().counts.commit_failed += 1;
    }

    pub(crate) fn failed_with(&self, reason: &str) {
        self.inner.lock().counts.last_error = Some(reason.to_owned());
    }

    /// A message is not processed any more, for the reason `error`.
    pub(crate) fn gave_up(&self, error: &InvocationError) {
        let mut inner = self.inner.lock();
        match error {
            InvocationError::Overloaded { .. } => inner.counts.overloaded += 1,
            InvocationError::CallerLeft => inner.counts.abandoned += 1,
            error if error.deliver_again() => {}
            _ => inner.counts.dropped += 1,
        }
        inner.counts.last_error = Some(error.to_string());
    }

    pub(crate) fn snapshot(&self) -> FunctionCounters {
        let inner = self.inner.lock();
        let mut counts = inner.counts.clone();
        if let Some(run_us) = &inner.run_us {
            counts.run_p50_us = run_us.value_at_quantile(0.50);
            counts.run_p99_us = run_us.value_at_quantile(0.99);
        }
        counts
    }
}

fn histogram() -> Histogram<u32> {
    let mut histogram = Histogram::new(2).unwrap_or_else(|_| unreachable!("2 is a legal number of digits"));
    histogram.auto(true);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_run_is_counted_apart() {
        let counters = Counters::new();
        for end in [RunEnd::Ok, RunEnd::Failed, RunEnd::Trapped, RunEnd::TimedOut, RunEnd::OverLimit] {
            counters.ran(end, 10, 5, 1);
        }
        counters.committed(3);
        counters.gave_up(&InvocationError::Rejected { reason: "no".into() });
        counters.gave_up(&InvocationError::Overloaded { function: "f".into() });
        counters.gave_up(&InvocationError::CallerLeft);
        counters.gave_up(&InvocationError::Stopping);
        let counts = counters.snapshot();
        assert_eq!((counts.invocations, counts.ok, counts.failed, counts.trapped), (5, 1, 1, 1));
        assert_eq!((counts.timed_out, counts.over_limit, counts.dropped, counts.overloaded), (1, 1, 1, 1));
        assert_eq!(counts.abandoned, 1);
        assert_eq!((counts.published, counts.log_lines_dropped, counts.memory_peak_bytes), (3, 5, 5));
        assert_eq!(counts.last_error.as_deref(), Some("runtime is stopping"));
    }

    #[test]
    fn percentiles_are_those_of_the_runs() {
        let counters = Counters::new();
        for run_us in 1..=100 {
            counters.ran(RunEnd::Ok, run_us, 0, 0);
        }
        let counts = counters.snapshot();
        assert_eq!((counts.run_p50_us, counts.run_p99_us), (50, 99));
    }

    #[test]
    fn absurd_durations_are_clamped() {
        let counters = Counters::new();
        counters.ran(RunEnd::Ok, u64::MAX, 0, 0);
        counters.ran(RunEnd::Ok, 0, 0, 0);
        assert!(counters.snapshot().run_p99_us >= RUN_US_MAX / 2);
    }
}
