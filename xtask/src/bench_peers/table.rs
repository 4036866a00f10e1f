//! Figures of all rounds, and how they are shown.
//!
//! Pure. Invariant: a ratio compares figures of the same round, and the worst of the rounds' ratios is judged.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::brokers::Kind;
use super::rows::Row;

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    cpu_us: f64,
    per_second: f64,
    p99_us: f64,
    lost: u64,
    rss_before_bytes: u64,
    rss_after_bytes: u64,
    complaints: Vec<String>,
}

impl Measured {
    /// Reads what `selvedge bench --json` printed.
    pub fn read(text: &[u8]) -> anyhow::Result<Self> {
        let report: Value = serde_json::from_slice(text).context("read the generator's report")?;
        let number = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_f64);
            value.with_context(|| format!("find {pointer} in the generator's report"))
        };
        let whole = |pointer: &str| {
            let value = report.pointer(pointer).and_then(Value::as_u64);
            value.with_context(|| format!("find {pointer} in the generator's report"))
        };
        let complaints = report.pointer("/complaints").and_then(Value::as_array).context("find /complaints")?;
        Ok(Self {
            cpu_us: number("/broker_cpu_us_each")?,
            per_second: number("/per_second")?,
            p99_us: number("/latency/p99_us")?,
            // A connect storm delivers nothing.
            lost: report.pointer("/delivery/lost").and_then(Value::as_u64).unwrap_or(0),
            rss_before_bytes: whole("/resources/rss_before_bytes")?,
            rss_after_bytes: whole("/resources/rss_after_bytes")?,
            complaints: complaints.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}

/// All runs of one row: by broker, then by round.
pub struct RowResult {
    row: &'static Row,
    brokers: Vec<(Kind, Vec<Result<Measured, String>>)>,
}

/// Least, middle and largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    largest: f64,
}

impl RowResult {
    /// No runs yet.
    pub fn new(row: &'static Row, brokers: &[Kind]) -> Self {
        Self { row, brokers: brokers.iter().map(|kind| (*kind, Vec::new())).collect() }
    }

    /// Adds the next round's run of the broker at this place.
    pub fn add(&mut self, broker: usize, measured: Result<Measured, String>) {
        self.brokers[broker].1.push(measured);
    }

    /// Everything that was wrong in runs against Selvedge.
    pub fn complaints_about_selvedge(&self) -> Vec<String> {
        let runs = self.brokers.iter().filter(|(kind, _)| *kind == Kind::Selvedge).flat_map(|(_, runs)| runs);
        let complaints = runs.flat_map(|run| match run {
            Ok(measured) => measured.complaints.clone(),
            Err(error) => vec![error.clone()],
        });
        complaints.map(|complaint| format!("{}: {complaint}", self.row.title)).collect()
    }

    fn good(&self, kind: Kind) -> impl Iterator<Item = &Measured> {
        let runs = self.brokers.iter().filter(move |(other, _)| *other == kind).flat_map(|(_, runs)| runs);
        runs.filter_map(|run| run.as_ref().ok())
    }

    fn failed(&self, kind: Kind) -> usize {
        let runs = self.brokers.iter().filter(|(other, _)| *other == kind).flat_map(|(_, runs)| runs);
        runs.filter(|run| run.is_err()).count()
    }

    fn spread(&self, kind: Kind, figure: fn(&Measured) -> f64) -> Option<Spread> {
        spread(self.good(kind).map(figure).collect())
    }

    /// CPU of a broker as a part of mosquitto's, by rounds in which both ran.
    fn ratio(&self, kind: Kind) -> Option<Spread> {
        let rounds = |kind: Kind| self.brokers.iter().find(|(other, _)| *other == kind).map(|(_, runs)| runs);
        let pairs = rounds(kind)?.iter().zip(rounds(Kind::Mosquitto)?);
        let ratios = pairs.filter_map(|(own, peer)| Some(own.as_ref().ok()?.cpu_us / peer.as_ref().ok()?.cpu_us));
        spread(ratios.collect())
    }

    fn memory(&self, kind: Kind) -> Option<(u64, u64)> {
        let before = self.good(kind).next()?.rss_before_bytes;
        self.good(kind).last().map(|measured| (before, measured.rss_after_bytes))
    }

    /// Whether Selvedge reached the row's goal in its worst round, when there is one and both were measured.
    fn goal_met(&self) -> Option<bool> {
        let goal = self.row.goal?;
        self.ratio(Kind::Selvedge).map(|ratio| ratio.largest <= goal)
    }
}

/// The table for people.
pub fn text(results: &[RowResult]) -> String {
    let mut text = String::new();
    for result in results {
        let goal = result.row.goal.map_or_else(String::new, |goal| format!(" (goal: {goal} of mosquitto)"));
        let _ = writeln!(text, "\n{}{goal}", result.row.title);
        let _ = writeln!(
            text,
            "  {:<11}{:>9}{:>9}{:>9}{:>13}{:>11}{:>7}{:>18}{:>8}{:>16}",
            "broker", "CPU µs", "min", "max", "messages/s", "p99 ms", "lost", "RSS MiB", "ratio", "min–max"
        );
        for (kind, _) in &result.brokers {
            line(&mut text, result, *kind);
        }
    }
    let _ = writeln!(text);
    for result in results {
        if let (Some(ratio), Some(goal), Some(met)) = (result.ratio(Kind::Selvedge), result.row.goal, result.goal_met())
        {
            let verdict = if met { "met" } else { "NOT met" };
            let _ = writeln!(
                text,
                "goal {verdict}: {} is {:.3} of mosquitto in the worst round ({:.3} in the middle one), goal {goal}",
                result.row.title, ratio.largest, ratio.median
            );
        }
    }
    text
}

fn line(text: &mut String, result: &RowResult, kind: Kind) {
    let failed = result.failed(kind);
    if failed == 0 && result.good(kind).next().is_none() {
        // It cannot play a part in this row.
        return;
    }
    let (Some(cpu), Some(rate), Some(p99)) = (
        result.spread(kind, |measured| measured.cpu_us),
        result.spread(kind, |measured| measured.per_second),
        result.spread(kind, |measured| measured.p99_us / 1_000.0),
    ) else {
        let _ = writeln!(text, "  {:<11}all {failed} runs failed", kind.name());
        return;
    };
    let lost: u64 = result.good(kind).map(|measured| measured.lost).sum();
    let memory = result.memory(kind).map_or_else(String::new, |(before, after)| {
        format!("{:.1} → {:.1}", before as f64 / 1_048_576.0, after as f64 / 1_048_576.0)
    });
    let (ratio, range) = result.ratio(kind).map_or_else(Default::default, |ratio| {
        (format!("{:.3}", ratio.median), format!("{:.3}–{:.3}", ratio.least, ratio.largest))
    });
    let _ = write!(
        text,
        "  {:<11}{:>9.2}{:>9.2}{:>9.2}{:>13.0}{:>11.2}{lost:>7}{memory:>18}{ratio:>8}{range:>16}",
        kind.name(),
        cpu.median,
        cpu.least,
        cpu.largest,
        rate.median,
        p99.median
    );
    let _ = writeln!(text, "{}", if failed > 0 { format!("  {failed} runs failed") } else { String::new() });
}

/// The figures for programs.
pub fn json(results: &[RowResult]) -> Value {
    let spread = |spread: Option<Spread>| {
        spread.map(|spread| json!({ "median": spread.median, "min": spread.least, "max": spread.largest }))
    };
    let rows = results.iter().map(|result| {
        let brokers = result.brokers.iter().map(|(kind, _)| {
            let memory = result.memory(*kind);
            json!({
                "broker": kind.name(),
                "broker_cpu_us_each": spread(result.spread(*kind, |measured| measured.cpu_us)),
                "per_second": spread(result.spread(*kind, |measured| measured.per_second)),
                "p99_us": spread(result.spread(*kind, |measured| measured.p99_us)),
                "lost": result.good(*kind).map(|measured| measured.lost).sum::<u64>(),
                "rss_before_bytes": memory.map(|(before, _)| before),
                "rss_after_bytes": memory.map(|(_, after)| after),
                "ratio_to_mosquitto": spread(result.ratio(*kind)),
                "failed_runs": result.failed(*kind),
            })
        });
        json!({
            "row": result.row.name,
            "title": result.row.title,
            "goal": result.row.goal,
            "goal_met": result.goal_met(),
            "brokers": brokers.collect::<Vec<_>>(),
        })
    });
    Value::Array(rows.collect())
}

fn spread(mut figures: Vec<f64>) -> Option<Spread> {
    figures.sort_by(f64::total_cmp);
    let (least, largest) = (*figures.first()?, *figures.last()?);
    let upper = figures[figures.len() / 2];
    let lower = figures[(figures.len() - 1) / 2];
    Some(Spread { median: f64::midpoint(lower, upper), least, largest })
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    fn measured(cpu_us: f64) -> Measured {
        Measured {
            cpu_us,
            per_second: 1.0,
            p99_us: 1.0,
            lost: 0,
            rss_before_bytes: 1,
            rss_after_bytes: 2,
            complaints: Vec::new(),
        }
    }

    fn both(rounds: &[(f64, f64)]) -> RowResult {
        let mut result = RowResult::new(&ROWS[0], &[Kind::Selvedge, Kind::Mosquitto]);
        for (own, peer) in rounds {
            result.add(0, Ok(measured(*own)));
            result.add(1, Ok(measured(*peer)));
        }
        result
    }

    #[test]
    fn the_median_of_an_even_number_of_figures_lies_between_the_middle_ones() {
        assert_eq!(spread(Vec::new()), None);
        assert_eq!(spread(vec![4.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, largest: 4.0 }));
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let result = both(&[(1.0, 10.0), (2.0, 40.0), (8.0, 10.0)]);
        let ratio = result.ratio(Kind::Selvedge).expect("both ran");
        assert_eq!((ratio.median, ratio.least, ratio.largest), (0.1, 0.05, 0.8));
    }

    #[test]
    fn a_goal_is_met_on_its_number_and_missed_by_one_round_above_it() {
        assert_eq!(both(&[(8.0, 100.0)]).goal_met(), Some(true));
        assert_eq!(both(&[(1.0, 100.0), (1.0, 100.0), (8.1, 100.0)]).goal_met(), Some(false));
        assert_eq!(RowResult::new(&ROWS[0], &[Kind::Selvedge]).goal_met(), None);
    }

    #[test]
    fn complaints_and_failures_of_selvedge_are_told_and_those_of_peers_are_not() {
        let mut result = both(&[(1.0, 1.0)]);
        result.add(1, Err("mosquitto fell over".to_owned()));
        assert!(result.complaints_about_selvedge().is_empty());
        result.add(0, Ok(Measured { complaints: vec!["3 messages lost".to_owned()], ..measured(1.0) }));
        result.add(0, Err("it went away".to_owned()));
        assert_eq!(result.complaints_about_selvedge().len(), 2);
    }

    #[test]
    fn a_report_without_the_brokers_cpu_is_refused() {
        let error = Measured::read(br#"{"complaints":[],"per_second":1.0}"#).expect_err("incomplete");
        assert!(format!("{error:#}").contains("/broker_cpu_us_each"), "{error:#}");
        assert!(Measured::read(b"").is_err());
    }

    #[test]
    fn a_broker_whose_runs_all_failed_has_a_line_that_says_so() {
        let mut result = RowResult::new(&ROWS[0], &[Kind::Rumqttd]);
        result.add(0, Err("no".to_owned()));
        assert!(text(&[result]).contains("all 1 runs failed"));
    }
}
