//! May this version go live? Both versions ran on the same recordings; here the figures are made and judged. Pure.
//!
//! Times are compared by the medians and by the slowest hundredth of the faster of two runs each, and only where they are apart by more
//! than a machine's noise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::comparison::{Differences, compare, count_places};
use crate::recording::RunResult;
use crate::version::VersionNumber;

/// Changed messages that are shown.
const EXAMPLES_MAX: usize = 10;
/// Less than this more is no slowness, microseconds.
const NOISE_US: f64 = 200.0;
/// The same where single runs decide, microseconds.
const TAIL_NOISE_US: f64 = 2000.0;
/// Runs that make a 99th percentile one.
pub(crate) const TAIL_RUNS: usize = 100;
/// Less than this more is no hunger, bytes.
const NOISE_BYTES: u64 = 1 << 20;

/// What a new version may do to recorded messages. Each is overridden by who promotes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromotionPolicy {
    /// Recordings that there must be.
    pub messages: usize,
    /// Messages whose output may be another one, percent.
    pub changed_percent: f64,
    /// Messages that may fail where the version that is live did not, percent.
    pub failed_percent: f64,
    /// How many times as long a run may take.
    pub slower: f64,
    /// How many times as much memory it may take.
    pub memory: f64,
}

impl Default for PromotionPolicy {
    fn default() -> Self {
        Self { messages: 10, changed_percent: 0.0, failed_percent: 0.0, slower: 2.0, memory: 2.0 }
    }
}

/// What is asked otherwise than the manifest says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyWish {
    /// See [`PromotionPolicy::messages`].
    pub messages: Option<usize>,
    /// See [`PromotionPolicy::changed_percent`].
    pub changed_percent: Option<f64>,
    /// See [`PromotionPolicy::failed_percent`].
    pub failed_percent: Option<f64>,
    /// See [`PromotionPolicy::slower`].
    pub slower: Option<f64>,
    /// See [`PromotionPolicy::memory`].
    pub memory: Option<f64>,
}

/// A policy is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: allowed are {allowed}")]
pub struct PolicyError {
    /// The key.
    pub key: &'static str,
    /// Its range.
    pub allowed: &'static str,
}

impl PromotionPolicy {
    /// With what is asked otherwise.
    pub fn with(self, wish: PolicyWish) -> Self {
        Self {
            messages: wish.messages.unwrap_or(self.messages),
            changed_percent: wish.changed_percent.unwrap_or(self.changed_percent),
            failed_percent: wish.failed_percent.unwrap_or(self.failed_percent),
            slower: wish.slower.unwrap_or(self.slower),
            memory: wish.memory.unwrap_or(self.memory),
        }
    }

    /// Whether each value is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), PolicyError> {
        let wrong = |key, allowed| Err(PolicyError { key, allowed });
        let is_percent = |value: f64| (0.0..=100.0).contains(&value);
        if !(1..=10_000).contains(&self.messages) {
            return wrong("promote.messages", "1 to 10000");
        }
        if !is_percent(self.changed_percent) {
            return wrong("promote.changed_percent", "0 to 100");
        }
        if !is_percent(self.failed_percent) {
            return wrong("promote.failed_percent", "0 to 100");
        }
        if !(1.0..=1000.0).contains(&self.slower) {
            return wrong("promote.slower", "1 to 1000");
        }
        if !(1.0..=1000.0).contains(&self.memory) {
            return wrong("promote.memory", "1 to 1000");
        }
        Ok(())
    }
}

/// One version's run on a recording.
#[derive(Clone, Debug)]
pub(crate) struct TrialRun {
    pub(crate) result: RunResult,
    pub(crate) run_us: f64,
    pub(crate) memory_bytes: u64,
    /// Reads that were not recorded.
    pub(crate) unrecorded: usize,
}

/// Both versions' runs on one recording.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) invocation_id: String,
    pub(crate) topic: String,
    /// What it came to then, if the version that is live was the one that ran.
    pub(crate) then: Option<RunResult>,
    pub(crate) live: TrialRun,
    pub(crate) candidate: TrialRun,
}

/// A message whose output is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The run that was recorded.
    pub invocation_id: String,
    /// The message's topic.
    pub topic: String,
    /// What is different.
    #[serde(flatten)]
    pub differences: Differences,
}

/// One version's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Messages that failed, without those that it rejected.
    pub failed: usize,
    /// Median time of instantiate and call, microseconds.
    pub run_p50_us: f64,
    /// 99th percentile of the same.
    pub run_p99_us: f64,
    /// Greatest memory of an instance, bytes.
    pub memory_bytes: u64,
}

/// What the new version made of the recordings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromotionReport {
    /// The function.
    pub function: String,
    /// The version that is live, the heaviest if there are several.
    pub live_version: VersionNumber,
    /// The version that wants to be.
    pub candidate_version: VersionNumber,
    /// Recordings that both ran on.
    pub messages: usize,
    /// Recordings that no trigger of the candidate takes.
    pub not_taken: usize,
    /// Recordings for which the time did not last.
    pub left_out: usize,
    /// Messages whose output is another one.
    pub changed: usize,
    /// Messages that fail and did not before.
    pub newly_failed: usize,
    /// Messages on which the live version itself gave something else than when they were recorded: it depends on something that
    /// is not recorded.
    pub unsteady: usize,
    /// Reads of the candidate that were not recorded and were answered from the present.
    pub unrecorded_reads: usize,
    /// The live version.
    pub live: Figures,
    /// The candidate.
    pub candidate: Figures,
    /// What changed, by place, with the number of messages; at most 32 places.
    pub places: BTreeMap<String, u64>,
    /// The first of the changed messages.
    pub examples: Vec<Changed>,
    /// What was asked of it.
    pub policy: PromotionPolicy,
    /// Why it may not go live; empty: it may.
    pub refusals: Vec<String>,
    /// Whether it went live.
    pub promoted: bool,
}

/// Which versions, and what was not run.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) function: String,
    pub(crate) live: VersionNumber,
    pub(crate) candidate: VersionNumber,
    pub(crate) not_taken: usize,
    pub(crate) left_out: usize,
}

/// Makes the report and judges it.
pub(crate) fn judge(scope: Scope, policy: PromotionPolicy, pairs: &[Pair]) -> PromotionReport {
    let mut report = PromotionReport {
        function: scope.function,
        live_version: scope.live,
        candidate_version: scope.candidate,
        messages: pairs.len(),
        not_taken: scope.not_taken,
        left_out: scope.left_out,
        changed: 0,
        newly_failed: 0,
        unsteady: 0,
        unrecorded_reads: 0,
        live: figures(pairs.iter().map(|pair| &pair.live)),
        candidate: figures(pairs.iter().map(|pair| &pair.candidate)),
        places: BTreeMap::new(),
        examples: Vec::new(),
        policy,
        refusals: Vec::new(),
        promoted: false,
    };
    for pair in pairs {
        let differences = compare(&pair.live.result, &pair.candidate.result);
        report.unsteady += usize::from(pair.then.as_ref().is_some_and(|then| *then != pair.live.result));
        report.unrecorded_reads += pair.candidate.unrecorded;
        report.newly_failed += usize::from(pair.candidate.result.is_fault() && !pair.live.result.is_fault());
        if differences.is_empty() {
            continue;
        }
        report.changed += 1;
        count_places(&mut report.places, &differences);
        if report.examples.len() < EXAMPLES_MAX {
            let (invocation_id, topic) = (pair.invocation_id.clone(), pair.topic.clone());
            report.examples.push(Changed { invocation_id, topic, differences });
        }
    }
    report.refusals = refusals(&report);
    report
}

fn figures<'a>(runs: impl Iterator<Item = &'a TrialRun>) -> Figures {
    let mut figures = Figures::default();
    let mut times: Vec<f64> = Vec::new();
    for run in runs {
        figures.failed += usize::from(run.result.is_fault());
        figures.memory_bytes = figures.memory_bytes.max(run.memory_bytes);
        times.push(run.run_us);
    }
    times.sort_by(f64::total_cmp);
    let at = |quantile: f64| {
        let rank = (times.len() as f64 * quantile).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    };
    Figures { run_p50_us: at(0.5), run_p99_us: at(0.99), ..figures }
}

fn refusals(report: &PromotionReport) -> Vec<String> {
    let policy = &report.policy;
    let mut refusals = Vec::new();
    if report.messages < policy.messages {
        refusals.push(format!(
            "{} recorded messages to judge by, {} are needed: wait for traffic, or say --messages {}",
            report.messages,
            policy.messages,
            report.messages.max(1)
        ));
    }
    let percent = |count: usize| 100.0 * count as f64 / report.messages.max(1) as f64;
    let (changed, failed) = (percent(report.changed), percent(report.newly_failed));
    if failed > policy.failed_percent {
        refusals.push(format!(
            "{failed:.1} % of the messages fail and did not before, allowed are {} %",
            policy.failed_percent
        ));
    }
    if changed > policy.changed_percent {
        refusals.push(format!(
            "{changed:.1} % of the messages have another output, allowed are {} %: if that is meant, say --changed {}",
            policy.changed_percent,
            changed.ceil()
        ));
    }
    let (live, candidate) = (&report.live, &report.candidate);
    let tail = (live.run_p99_us, candidate.run_p99_us);
    let slow = if is_slower(live.run_p50_us, candidate.run_p50_us, policy.slower) {
        Some(("median", live.run_p50_us, candidate.run_p50_us))
    } else if report.messages >= TAIL_RUNS && has_slower_tail(tail.0, tail.1, policy.slower) {
        Some(("99th percentile", tail.0, tail.1))
    } else {
        None
    };
    if let Some((what, before, after)) = slow {
        refusals.push(format!(
            "{what} of a run: {after:.0} µs instead of {before:.0}, {:.1} times, allowed are {}",
            after / before.max(1.0),
            policy.slower
        ));
    }
    let more = candidate.memory_bytes as f64 > live.memory_bytes as f64 * policy.memory;
    if more && candidate.memory_bytes > live.memory_bytes.saturating_add(NOISE_BYTES) {
        refusals.push(format!(
            "{} KiB of memory instead of {}, allowed are {} times",
            candidate.memory_bytes >> 10,
            live.memory_bytes >> 10,
            policy.memory
        ));
    }
    refusals
}

/// The same of the slowest runs, where a single run decides and a busy machine makes any of them late.
pub(crate) fn has_slower_tail(before_us: f64, after_us: f64, times: f64) -> bool {
    after_us > before_us * times && after_us > before_us + TAIL_NOISE_US
}

/// Longer than `times` as long, by more than noise.
pub(crate) fn is_slower(before_us: f64, after_us: f64, times: f64) -> bool {
    after_us > before_us * times && after_us > before_us + NOISE_US
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::InvocationMessage;
    use crate::recording::FailureKind;

    fn run(payload: &str, run_us: f64) -> TrialRun {
        let message = InvocationMessage { payload: payload.as_bytes().to_vec(), ..InvocationMessage::default() };
        let result = RunResult::Ok { published: vec![message], replies: Vec::new(), kv: Vec::new(), twins: Vec::new() };
        TrialRun { result, run_us, memory_bytes: 1 << 20, unrecorded: 0 }
    }

    fn trap() -> TrialRun {
        let result = RunResult::Failed { how: FailureKind::Trap, reason: "unreachable".into() };
        TrialRun { result, ..run("", 5.0) }
    }

    fn judged(pairs: &[(TrialRun, TrialRun)], policy: PromotionPolicy) -> PromotionReport {
        let pair = |(live, candidate): &(TrialRun, TrialRun)| Pair {
            invocation_id: "f-1".into(),
            topic: "a".into(),
            then: Some(live.result.clone()),
            live: live.clone(),
            candidate: candidate.clone(),
        };
        let number = |text: &str| text.parse().unwrap();
        let scope =
            Scope { function: "f".into(), live: number("v1"), candidate: number("v2"), not_taken: 0, left_out: 0 };
        judge(scope, policy, &pairs.iter().map(pair).collect::<Vec<_>>())
    }

    fn many(live: &TrialRun, candidate: &TrialRun, count: usize) -> Vec<(TrialRun, TrialRun)> {
        (0..count).map(|_| (live.clone(), candidate.clone())).collect()
    }

    #[test]
    fn the_same_output_in_the_same_time_may_go_live() {
        let report = judged(&many(&run("1", 90.0), &run("1", 110.0), 10), PromotionPolicy::default());
        assert_eq!((report.refusals.len(), report.changed, report.unsteady), (0, 0, 0));
        let few = judged(&many(&run("1", 90.0), &run("1", 110.0), 9), PromotionPolicy::default());
        assert!(few.refusals[0].contains("9 recorded messages"), "{:?}", few.refusals);
    }

    #[test]
    fn another_output_is_refused_up_to_what_is_allowed() {
        let mut pairs = many(&run("1", 9.0), &run("1", 9.0), 9);
        pairs.extend(many(&run(r#"{"t":1}"#, 9.0), &run(r#"{"t":2}"#, 9.0), 1));
        let report = judged(&pairs, PromotionPolicy::default());
        assert!(report.refusals[0].contains("10.0 % of the messages have another output"), "{:?}", report.refusals);
        assert_eq!(report.places, BTreeMap::from([("message 1 payload /t".to_owned(), 1)]));
        let allowed = PromotionPolicy { changed_percent: 10.0, ..PromotionPolicy::default() };
        assert!(judged(&pairs, allowed).refusals.is_empty());
    }

    #[test]
    fn new_failures_are_refused_and_old_ones_are_not() {
        let allowed = PromotionPolicy { changed_percent: 100.0, ..PromotionPolicy::default() };
        assert!(judged(&many(&trap(), &trap(), 10), allowed).refusals.is_empty());
        assert!(judged(&many(&trap(), &run("1", 5.0), 10), allowed).refusals.is_empty());
        let report = judged(&many(&run("1", 5.0), &trap(), 10), allowed);
        assert_eq!((report.newly_failed, report.refusals.len()), (10, 1));
    }

    #[test]
    fn slowness_and_hunger_are_refused_beyond_noise() {
        let slow = judged(&many(&run("1", 1000.0), &run("1", 2001.0), 10), PromotionPolicy::default());
        assert!(slow.refusals[0].contains("2.0 times"), "{:?}", slow.refusals);
        assert!(
            judged(&many(&run("1", 1000.0), &run("1", 2000.0), 10), PromotionPolicy::default()).refusals.is_empty()
        );
        assert!(judged(&many(&run("1", 10.0), &run("1", 200.0), 10), PromotionPolicy::default()).refusals.is_empty());
        let hungry = TrialRun { memory_bytes: (2 << 20) + 1, ..run("1", 9.0) };
        let report = judged(&many(&run("1", 9.0), &hungry, 10), PromotionPolicy::default());
        assert!(report.refusals[0].contains("of memory"), "{:?}", report.refusals);
    }

    #[test]
    fn one_slow_run_in_a_hundred_counts_in_the_percentile() {
        let mut pairs = many(&run("1", 100.0), &run("1", 100.0), 98);
        pairs.extend(many(&run("1", 100.0), &run("1", 5000.0), 2));
        let report = judged(&pairs, PromotionPolicy::default());
        assert!(report.refusals[0].starts_with("99th percentile"), "{:?}", report.refusals);
    }

    #[test]
    fn policies_out_of_range_are_refused_by_key() {
        let policy = PromotionPolicy::default();
        for (wrong, key) in [
            (PromotionPolicy { messages: 0, ..policy }, "promote.messages"),
            (PromotionPolicy { changed_percent: 100.5, ..policy }, "promote.changed_percent"),
            (PromotionPolicy { failed_percent: f64::NAN, ..policy }, "promote.failed_percent"),
            (PromotionPolicy { slower: 0.9, ..policy }, "promote.slower"),
            (PromotionPolicy { memory: f64::INFINITY, ..policy }, "promote.memory"),
        ] {
            assert_eq!(wrong.check().unwrap_err().key, key);
        }
        assert_eq!(policy.check(), Ok(()));
        let wish = PolicyWish { changed_percent: Some(5.0), ..PolicyWish::default() };
        assert_eq!(policy.with(wish), PromotionPolicy { changed_percent: 5.0, ..policy });
    }
}
