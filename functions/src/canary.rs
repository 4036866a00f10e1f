//! A new version that gets part of the messages, and the guard that takes it back. Pure: observations in, a verdict out.
//!
//! Three guard rails: failures beside those of the version it replaces, time of a run, and outputs that differ where both versions ran
//! on the same message. Invariants: one verdict for each canary; a verdict to go back needs only so much traffic as makes it sure;
//! one to go live needs the time and the messages that were asked for.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::gate::{TAIL_RUNS, has_slower_tail, is_slower};
use crate::version::VersionNumber;

/// Longest run that is told apart: one minute.
const RUN_US_MAX: u64 = 60_000_000;

/// How a canary is judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CanaryPolicy {
    /// Part of the messages that the new version gets, percent, 1 to 99.
    pub percent: u32,
    /// It goes live after this time, seconds,
    pub for_s: u64,
    /// and not before it has run so many messages.
    pub messages: u64,
    /// Runs that may fail beyond the share of the other version, percent.
    pub failed_percent: f64,
    /// How many times as long a run may take.
    pub slower: f64,
    /// Messages whose output may be another one than the other version's, percent.
    pub changed_percent: f64,
}

impl Default for CanaryPolicy {
    fn default() -> Self {
        Self { percent: 10, for_s: 600, messages: 50, failed_percent: 5.0, slower: 3.0, changed_percent: 5.0 }
    }
}

impl CanaryPolicy {
    /// What is out of its range, with the range.
    pub fn problem(&self) -> Option<&'static str> {
        let is_percent = |value: f64| (0.0..=100.0).contains(&value);
        match self {
            _ if !(1..=99).contains(&self.percent) => Some("percent: allowed are 1 to 99"),
            _ if !(1..=30 * 24 * 3600).contains(&self.for_s) => Some("for_s: allowed are 1 second to 30 days"),
            _ if !(1..=1_000_000).contains(&self.messages) => Some("messages: allowed are 1 to 1000000"),
            _ if !is_percent(self.failed_percent) => Some("failed_percent: allowed are 0 to 100"),
            _ if !(1.0..=1000.0).contains(&self.slower) => Some("slower: allowed are 1 to 1000"),
            _ if !is_percent(self.changed_percent) => Some("changed_percent: allowed are 0 to 100"),
            _ => None,
        }
    }
}

/// A canary as it is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// The new version.
    pub candidate: VersionNumber,
    /// The version that it is to replace.
    pub baseline: VersionNumber,
    /// How it is judged.
    pub policy: CanaryPolicy,
    /// When it began, milliseconds since 1970: its name among the canaries of the function.
    pub began_ms: u64,
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "kebab-case")]
pub enum Verdict {
    /// It goes back, for this reason.
    RollBack(String),
    /// It goes live.
    Promote,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RollBack(reason) => write!(formatter, "goes back: {reason}"),
            Self::Promote => formatter.write_str("goes live"),
        }
    }
}

/// One thing that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// A version ran on a message.
    Ran { version: VersionNumber, is_fault: bool, run_us: u64 },
    /// Both ran on the same message.
    Compared { is_changed: bool, newly_failed: bool },
}

#[derive(Clone, Debug)]
struct Runs {
    count: u64,
    faults: u64,
    run_us: Histogram<u32>,
}

impl Runs {
    fn new() -> Self {
        let mut run_us = Histogram::new(2).unwrap_or_else(|_| unreachable!("2 is a legal number of digits"));
        run_us.auto(true);
        Self { count: 0, faults: 0, run_us }
    }

    fn add(&mut self, is_fault: bool, run_us: u64) {
        self.count += 1;
        self.faults += u64::from(is_fault);
        // Cannot fail: the histogram resizes itself.
        let _ = self.run_us.record(run_us.clamp(1, RUN_US_MAX));
    }

    fn quantile(&self, quantile: f64) -> f64 {
        if self.run_us.is_empty() { 0.0 } else { self.run_us.value_at_quantile(quantile) as f64 }
    }
}

/// What a canary came to so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CanaryStatus {
    /// The canary.
    #[serde(flatten)]
    pub canary: Canary,
    /// Messages that the new version ran.
    pub runs: u64,
    /// Of these, failed ones.
    pub failed: u64,
    /// The same of the other version.
    pub baseline_runs: u64,
    /// Of these, failed ones.
    pub baseline_failed: u64,
    /// Messages that both ran on.
    pub compared: u64,
    /// Of these, with another output.
    pub changed: u64,
    /// 99th percentile of a run, microseconds.
    pub run_p99_us: u64,
    /// The same of the other version.
    pub baseline_run_p99_us: u64,
}

/// Watches one canary.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    canary: Canary,
    candidate: Runs,
    baseline: Runs,
    compared: u64,
    changed: u64,
    newly_failed: u64,
    /// Since when it is watched: after a restart the time begins anew.
    since: Duration,
    is_judged: bool,
}

impl Guard {
    /// `now`: on the clock that [`observe`](Self::observe) is given.
    pub(crate) fn new(canary: Canary, now: Duration) -> Self {
        Self {
            canary,
            candidate: Runs::new(),
            baseline: Runs::new(),
            compared: 0,
            changed: 0,
            newly_failed: 0,
            since: now,
            is_judged: false,
        }
    }

    pub(crate) fn canary(&self) -> &Canary {
        &self.canary
    }

    /// Takes note of something, and judges: at most once in the life of a guard.
    pub(crate) fn observe(&mut self, observation: Observation, now: Duration) -> Option<Verdict> {
        match observation {
            Observation::Ran { version, is_fault, run_us } if version == self.canary.candidate => {
                self.candidate.add(is_fault, run_us);
            }
            Observation::Ran { version, is_fault, run_us } if version == self.canary.baseline => {
                self.baseline.add(is_fault, run_us);
            }
            Observation::Ran { .. } => {}
            Observation::Compared { is_changed, newly_failed } => {
                self.compared += 1;
                self.changed += u64::from(is_changed);
                self.newly_failed += u64::from(newly_failed);
            }
        }
        if self.is_judged {
            return None;
        }
        let verdict =
            self.reason_to_go_back().map(Verdict::RollBack).or_else(|| self.is_proven(now).then_some(Verdict::Promote));
        self.is_judged = verdict.is_some();
        verdict
    }

    pub(crate) fn status(&self) -> CanaryStatus {
        CanaryStatus {
            canary: self.canary,
            runs: self.candidate.count,
            failed: self.candidate.faults,
            baseline_runs: self.baseline.count,
            baseline_failed: self.baseline.faults,
            compared: self.compared,
            changed: self.changed,
            run_p99_us: self.candidate.quantile(0.99) as u64,
            baseline_run_p99_us: self.baseline.quantile(0.99) as u64,
        }
    }

    /// Enough of the canary's traffic to be sure of a share: a fifth of what going live needs, 10 at least and 100 at most.
    fn is_enough(&self, count: u64) -> bool {
        count >= (self.canary.policy.messages / 5).clamp(10, 100).min(self.canary.policy.messages)
    }

    fn reason_to_go_back(&self) -> Option<String> {
        let policy = &self.canary.policy;
        let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        if self.is_enough(self.candidate.count) {
            let (own, other) = (
                percent(self.candidate.faults, self.candidate.count),
                percent(self.baseline.faults, self.baseline.count),
            );
            if own > other + policy.failed_percent {
                return Some(format!(
                    "{} of {} runs failed ({own:.1} %), {other:.1} % of {}'s: allowed are {} % more",
                    self.candidate.faults, self.candidate.count, self.canary.baseline, policy.failed_percent
                ));
            }
        }
        if self.is_enough(self.compared) {
            let failed = percent(self.newly_failed, self.compared);
            if failed > policy.failed_percent {
                return Some(format!(
                    "{} of {} messages failed where {} did not ({failed:.1} %): allowed are {} %",
                    self.newly_failed, self.compared, self.canary.baseline, policy.failed_percent
                ));
            }
            let changed = percent(self.changed, self.compared);
            if changed > policy.changed_percent {
                return Some(format!(
                    "{} of {} messages had another output than {}'s ({changed:.1} %): allowed are {} %",
                    self.changed, self.compared, self.canary.baseline, policy.changed_percent
                ));
            }
        }
        self.reason_of_slowness()
    }

    fn reason_of_slowness(&self) -> Option<String> {
        let times = self.canary.policy.slower;
        let said = |what: &str, before: f64, after: f64| {
            format!(
                "{what} of a run {after:.0} µs, {before:.0} of {}'s ({:.1} times): allowed are {times}",
                self.canary.baseline,
                after / before.max(1.0)
            )
        };
        if !self.is_enough(self.candidate.count) || !self.is_enough(self.baseline.count) {
            return None;
        }
        let (before, after) = (self.baseline.quantile(0.5), self.candidate.quantile(0.5));
        if is_slower(before, after, times) {
            return Some(said("median", before, after));
        }
        let (before, after) = (self.baseline.quantile(0.99), self.candidate.quantile(0.99));
        let runs = self.candidate.count.min(self.baseline.count);
        (runs >= TAIL_RUNS as u64 && has_slower_tail(before, after, times))
            .then(|| said("99th percentile", before, after))
    }

    fn is_proven(&self, now: Duration) -> bool {
        let policy = &self.canary.policy;
        now.saturating_sub(self.since) >= Duration::from_secs(policy.for_s) && self.candidate.count >= policy.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> VersionNumber {
        text.parse().unwrap()
    }

    fn guard(policy: CanaryPolicy) -> Guard {
        let canary = Canary { candidate: version("v2"), baseline: version("v1"), policy, began_ms: 1 };
        Guard::new(canary, Duration::ZERO)
    }

    fn ran(name: &str, is_fault: bool, run_us: u64) -> Observation {
        Observation::Ran { version: version(name), is_fault, run_us }
    }

    /// The verdict, and after how many observations it came.
    fn verdict(guard: &mut Guard, observations: impl Iterator<Item = Observation>) -> Option<(usize, Verdict)> {
        let now = Duration::from_secs(1);
        observations.enumerate().find_map(|(index, observation)| Some((index + 1, guard.observe(observation, now)?)))
    }

    fn both(fault: impl Fn(u32) -> bool, run_us: u64) -> impl Iterator<Item = Observation> {
        (0..1000).flat_map(move |number| [ran("v1", false, 100), ran("v2", fault(number), run_us)])
    }

    #[test]
    fn a_version_that_fails_goes_back_as_soon_as_it_is_sure() {
        let mut guard = guard(CanaryPolicy::default());
        let (after, verdict) = verdict(&mut guard, both(|_| true, 100)).unwrap();
        assert_eq!(after, 20, "ten runs of the new version are enough");
        assert!(
            matches!(&verdict, Verdict::RollBack(reason) if reason.starts_with("10 of 10 runs failed")),
            "{verdict}"
        );
        assert_eq!(guard.observe(ran("v2", true, 1), Duration::from_secs(9)), None, "judged once");
    }

    #[test]
    fn failures_that_the_other_version_has_too_are_no_reason() {
        let shared = (0..1000).flat_map(|_| [ran("v1", true, 100), ran("v2", true, 100)]);
        assert_eq!(verdict(&mut guard(CanaryPolicy::default()), shared), None);
        let few = both(|number| number % 25 == 20, 100);
        assert_eq!(verdict(&mut guard(CanaryPolicy::default()), few), None, "4 % are allowed");
    }

    #[test]
    fn a_slow_version_goes_back_by_its_median_and_a_sometimes_slow_one_by_its_tail() {
        let (after, slow) = verdict(&mut guard(CanaryPolicy::default()), both(|_| false, 1000)).unwrap();
        assert_eq!(after, 20);
        assert!(matches!(&slow, Verdict::RollBack(reason) if reason.starts_with("median of a run 100")), "{slow}");
        let tail = (0..1000_u64)
            .flat_map(|number| [ran("v1", false, 100), ran("v2", false, if number % 20 == 0 { 9000 } else { 100 })]);
        let (after, tail) = verdict(&mut guard(CanaryPolicy::default()), tail).unwrap();
        assert!(after >= 200, "{after}");
        assert!(matches!(&tail, Verdict::RollBack(reason) if reason.starts_with("99th percentile")), "{tail}");
        assert_eq!(verdict(&mut guard(CanaryPolicy::default()), both(|_| false, 280)), None, "noise");
    }

    #[test]
    fn another_output_is_a_reason_where_both_ran_on_the_same_message() {
        let compared = (0..).map(|_| Observation::Compared { is_changed: true, newly_failed: false });
        let (after, said) = verdict(&mut guard(CanaryPolicy::default()), compared.take(50)).unwrap();
        assert_eq!(after, 10);
        assert!(
            matches!(&said, Verdict::RollBack(reason) if reason.contains("another output than v1's (100.0 %)")),
            "{said}"
        );
        let meant = CanaryPolicy { changed_percent: 100.0, ..CanaryPolicy::default() };
        let failed = (0..50).map(|number| Observation::Compared { is_changed: true, newly_failed: number > 5 });
        let (_, said) = verdict(&mut guard(meant), failed).unwrap();
        assert!(matches!(&said, Verdict::RollBack(reason) if reason.contains("failed where v1 did not")), "{said}");
    }

    #[test]
    fn it_goes_live_after_its_time_and_its_messages_and_not_before() {
        let policy = CanaryPolicy { for_s: 60, messages: 20, ..CanaryPolicy::default() };
        let mut guard = guard(policy);
        let at = Duration::from_secs;
        for _ in 0..19 {
            assert_eq!(guard.observe(ran("v2", false, 100), at(100)), None);
        }
        assert_eq!(guard.observe(ran("v1", false, 100), at(100)), None);
        assert_eq!(guard.observe(ran("v2", false, 100), at(59)), None, "the time is not over");
        assert_eq!(guard.observe(ran("v1", false, 100), at(60)), Some(Verdict::Promote));
    }

    #[test]
    fn other_versions_say_nothing() {
        let mut guard = guard(CanaryPolicy { for_s: 1, messages: 1, ..CanaryPolicy::default() });
        assert_eq!(guard.observe(ran("v9", true, 100), Duration::from_secs(5)), None);
        assert_eq!(guard.status().runs, 0);
    }

    #[test]
    fn policies_out_of_range_are_named() {
        let policy = CanaryPolicy::default();
        assert_eq!(policy.problem(), None);
        for (wrong, key) in [
            (CanaryPolicy { percent: 0, ..policy }, "percent"),
            (CanaryPolicy { percent: 100, ..policy }, "percent"),
            (CanaryPolicy { for_s: 0, ..policy }, "for_s"),
            (CanaryPolicy { messages: 0, ..policy }, "messages"),
            (CanaryPolicy { failed_percent: -1.0, ..policy }, "failed_percent"),
            (CanaryPolicy { slower: f64::NAN, ..policy }, "slower"),
            (CanaryPolicy { changed_percent: 101.0, ..policy }, "changed_percent"),
        ] {
            assert!(wrong.problem().unwrap().starts_with(key), "{wrong:?}");
        }
    }
}
