//! The figures of all rounds of `bench-durable`, as a table with what the goals make of them, and as JSON.
//!
//! Pure. Invariant: goals judge Selvedge with fsync in its worst round, and no other broker.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::configuration::Mode;
use super::figures::{Figures, Spread};
use super::rows::{Goal, Row};

/// All runs of one row: by broker, then by round.
pub struct RowResult {
    row: &'static Row,
    brokers: Vec<(Mode, Vec<Result<Figures, String>>)>,
}

/// What a goal came to.
struct Judged {
    what: String,
    /// The worst round; none when it was not measured.
    worst: Option<f64>,
    most: f64,
}

impl RowResult {
    /// No runs yet.
    pub fn new(row: &'static Row, modes: &[Mode]) -> Self {
        Self { row, brokers: modes.iter().map(|mode| (*mode, Vec::new())).collect() }
    }

    /// Adds the next round's run of a broker.
    pub fn add(&mut self, mode: Mode, figures: Result<Figures, String>) {
        if let Some((_, runs)) = self.brokers.iter_mut().find(|(other, _)| *other == mode) {
            runs.push(figures);
        }
    }

    /// Everything that was wrong in runs against Selvedge.
    pub fn complaints(&self) -> Vec<String> {
        let own = self.brokers.iter().filter(|(mode, _)| *mode != Mode::Mosquitto);
        let complaints =
            own.flat_map(|(mode, runs)| runs.iter().map(move |run| (mode, run))).flat_map(|(mode, run)| {
                let list = match run {
                    Ok(figures) => figures.complaints.clone(),
                    Err(error) => vec![error.clone()],
                };
                list.into_iter().map(move |what| format!("{}, {}: {what}", self.row.title, mode.name()))
            });
        complaints.collect()
    }

    fn runs(&self, mode: Mode) -> &[Result<Figures, String>] {
        self.brokers.iter().find(|(other, _)| *other == mode).map_or(&[], |(_, runs)| runs)
    }

    fn spread(&self, mode: Mode, figure: impl Fn(&Figures) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs(mode).iter().flatten().filter_map(figure))
    }

    /// A figure as a multiple of the same without durability, by rounds in which both ran.
    fn ratio(&self, mode: Mode, figure: impl Fn(&Figures) -> f64) -> Option<Spread> {
        let pairs = self.runs(mode).iter().zip(self.runs(Mode::Memory));
        Spread::of(pairs.filter_map(|(own, memory)| Some(figure(own.as_ref().ok()?) / figure(memory.as_ref().ok()?))))
    }

    fn judged(&self, goal: Goal) -> Judged {
        let worst = |spread: Option<Spread>| spread.map(|spread| spread.largest);
        let figure = |figure: fn(&Figures) -> Option<f64>| worst(self.spread(Mode::Fsync, figure));
        let (what, worst, most) = match goal {
            Goal::TimeRatio(most) => {
                ("time for a message, × memory", worst(self.ratio(Mode::Fsync, seconds_each)), most)
            }
            Goal::CpuRatio(most) => {
                ("CPU for a message, × memory", worst(self.ratio(Mode::Fsync, |figures| figures.cpu_us)), most)
            }
            Goal::DiskRatio(most) => ("bytes to disk per payload byte", figure(|figures| figures.disk_ratio), most),
            Goal::AcknowledgedP50Ms(most) => ("PUBACK p50, ms", figure(|figures| figures.acknowledged_p50_ms), most),
            Goal::AcknowledgedP99Ms(most) => ("PUBACK p99, ms", figure(|figures| figures.acknowledged_p99_ms), most),
            Goal::FsyncsPerSecond(most) => ("fsyncs a second", figure(|figures| figures.fsyncs_per_second), most),
        };
        Judged { what: what.to_owned(), worst, most }
    }
}

fn seconds_each(figures: &Figures) -> f64 {
    1.0 / figures.per_second.max(f64::MIN_POSITIVE)
}

/// The table for people.
pub fn text(results: &[RowResult]) -> String {
    let mut text = String::new();
    for result in results {
        let _ = writeln!(text, "\n{}", result.row.title);
        let _ = writeln!(
            text,
            "  {:<10}{:>11}{:>9}{:>18}{:>18}{:>9}{:>9}{:>8}{:>10}{:>9}{:>9}{:>8}",
            "broker",
            "messages/s",
            "CPU µs",
            "time ×",
            "CPU ×",
            "sync/1k",
            "sync/s",
            "disk ×",
            "ack p50",
            "p99 ms",
            "max",
            "MiB"
        );
        for (mode, _) in &result.brokers {
            line(&mut text, result, *mode);
        }
    }
    let _ = writeln!(text);
    for result in results {
        for goal in result.row.goals {
            let judged = result.judged(*goal);
            let verdict = match judged.worst {
                Some(worst) if worst <= judged.most => format!("met: {worst:.2}"),
                Some(worst) => format!("NOT met: {worst:.2}"),
                None => "not measured".to_owned(),
            };
            let _ = writeln!(text, "goal {} ≤ {}, {}: {verdict}", judged.what, judged.most, result.row.title);
        }
    }
    text
}

fn line(text: &mut String, result: &RowResult, mode: Mode) {
    let failed = result.runs(mode).iter().filter(|run| run.is_err()).count();
    let Some(rate) = result.spread(mode, |figures| Some(figures.per_second)) else {
        let _ = writeln!(text, "  {:<10}all {failed} runs failed", mode.name());
        return;
    };
    let median = |figure: fn(&Figures) -> Option<f64>, digits: usize| {
        result.spread(mode, figure).map_or_else(|| "–".to_owned(), |spread| format!("{:.digits$}", spread.median))
    };
    let range = |spread: Option<Spread>| {
        let range = |spread: Spread| format!("{:.2} ({:.1}–{:.1})", spread.median, spread.least, spread.largest);
        spread.map_or_else(|| "–".to_owned(), range)
    };
    let _ = writeln!(
        text,
        "  {:<10}{:>11.0}{:>9}{:>18}{:>18}{:>9}{:>9}{:>8}{:>10}{:>9}{:>9}{:>8}",
        mode.name(),
        rate.median,
        median(|figures| Some(figures.cpu_us), 2),
        range(result.ratio(mode, seconds_each)),
        range(result.ratio(mode, |figures| figures.cpu_us)),
        median(|figures| figures.fsyncs_per_thousand, 2),
        median(|figures| figures.fsyncs_per_second, 0),
        median(|figures| figures.disk_ratio, 2),
        median(|figures| figures.acknowledged_p50_ms, 2),
        median(|figures| figures.acknowledged_p99_ms, 2),
        median(|figures| figures.acknowledged_max_ms, 2),
        median(|figures| Some(figures.resident_bytes / 1_048_576.0), 1),
    );
    for error in result.runs(mode).iter().filter_map(|run| run.as_ref().err()) {
        let _ = writeln!(text, "  {:<10}FAILED: {error}", mode.name());
    }
    for complaint in result.runs(mode).iter().flatten().flat_map(|figures| &figures.complaints) {
        let _ = writeln!(text, "  {:<10}WRONG: {complaint}", mode.name());
    }
}

/// For programs.
pub fn json(results: &[RowResult]) -> Value {
    let rows = results.iter().map(|result| {
        let brokers = result.brokers.iter().map(|(mode, runs)| {
            let runs: Vec<Value> = runs
                .iter()
                .map(|run| run.as_ref().map_or_else(|error| json!({ "error": error }), Figures::json))
                .collect();
            json!({ "broker": mode.name(), "rounds": runs })
        });
        let goals = result.row.goals.iter().map(|goal| {
            let judged = result.judged(*goal);
            let met = judged.worst.map(|worst| worst <= judged.most);
            json!({ "what": judged.what, "most": judged.most, "worst": judged.worst, "met": met })
        });
        json!({
            "row": result.row.title,
            "brokers": brokers.collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::rows::RUNS;
    use super::*;

    fn figures(per_second: f64, cpu_us: f64) -> Figures {
        Figures { per_second, cpu_us, disk_ratio: Some(1.0), ..Figures::default() }
    }

    fn result(rounds: &[(f64, f64)]) -> RowResult {
        let mut result = RowResult::new(&RUNS[0].rows[0], &[Mode::Fsync, Mode::Memory, Mode::Mosquitto]);
        for (fsync, memory) in rounds {
            result.add(Mode::Fsync, Ok(figures(*fsync, 3.0)));
            result.add(Mode::Memory, Ok(figures(*memory, 2.0)));
        }
        result
    }

    #[test]
    fn time_and_cpu_are_compared_within_each_round_and_the_worst_is_judged() {
        let result = result(&[(100.0, 150.0), (50.0, 100.0), (200.0, 200.0)]);
        let ratio = result.ratio(Mode::Fsync, seconds_each).expect("both ran");
        assert_eq!((ratio.least, ratio.median, ratio.largest), (1.0, 1.5, 2.0));
        let table = text(&[result]);
        assert!(
            table.contains("goal time for a message, × memory ≤ 1.5") && table.contains("NOT met: 2.00"),
            "{table}"
        );
        assert!(table.contains("goal CPU for a message, × memory ≤ 1.5") && table.contains(": met: 1.50"), "{table}");
        assert!(table.contains("mosquitto all 0 runs failed"), "{table}");
    }

    #[test]
    fn a_goal_without_a_figure_is_neither_met_nor_missed() {
        let result = RowResult::new(&RUNS[2].rows[0], &[Mode::Memory]);
        assert!(text(&[result]).contains("PUBACK p50, ms ≤ 10, paced 1,000/s to a session that is away: not measured"));
    }

    #[test]
    fn what_goes_wrong_at_selvedge_is_told_and_at_mosquitto_only_shown() {
        let mut result = result(&[(1.0, 1.0)]);
        result
            .add(Mode::Mosquitto, Ok(Figures { complaints: vec!["5 messages lost".to_owned()], ..figures(1.0, 1.0) }));
        assert!(result.complaints().is_empty());
        result.add(Mode::Fsync, Err("it went away".to_owned()));
        assert_eq!(result.complaints().len(), 1);
        let table = text(&[result]);
        assert!(table.contains("WRONG: 5 messages lost") && table.contains("FAILED: it went away"), "{table}");
    }
}
