//! What one report says, and what the rounds of it say together.
//!
//! Pure. Invariant: a ratio compares two brokers in the same round.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::generator::complaints;

/// One part of one run against one broker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub per_second: f64,
    pub cpu_us: f64,
    pub fsyncs_per_thousand: Option<f64>,
    pub fsyncs_per_second: Option<f64>,
    pub disk_ratio: Option<f64>,
    pub acknowledged_p50_ms: Option<f64>,
    pub acknowledged_p99_ms: Option<f64>,
    pub acknowledged_max_ms: Option<f64>,
    pub resident_bytes: f64,
    pub complaints: Vec<String>,
}

impl Figures {
    /// Reads the report at `pointer` of what `selvedge bench --json` printed.
    pub fn read(report: &Value, pointer: &str) -> anyhow::Result<Self> {
        let part = report.pointer(pointer).with_context(|| format!("find {pointer} in the generator's report"))?;
        let maybe = |pointer: &str| part.pointer(pointer).and_then(Value::as_f64);
        let number =
            |pointer: &str| maybe(pointer).with_context(|| format!("find {pointer} in the generator's report"));
        let (count, elapsed_s, fsyncs) = (number("/count")?, number("/elapsed_s")?, maybe("/fsyncs"));
        let milliseconds = |pointer| maybe(pointer).map(|microseconds| microseconds / 1_000.0);
        Ok(Self {
            per_second: number("/per_second")?,
            cpu_us: number("/broker_cpu_us_each")?,
            fsyncs_per_thousand: fsyncs.map(|fsyncs| 1_000.0 * fsyncs / count.max(1.0)),
            fsyncs_per_second: fsyncs.filter(|_| elapsed_s > 0.0).map(|fsyncs| fsyncs / elapsed_s),
            disk_ratio: maybe("/disk_bytes_per_payload_byte"),
            acknowledged_p50_ms: milliseconds("/acknowledgement/p50_us"),
            acknowledged_p99_ms: milliseconds("/acknowledgement/p99_us"),
            acknowledged_max_ms: milliseconds("/acknowledgement/max_us"),
            resident_bytes: number("/resources/rss_after_bytes")?,
            complaints: complaints(part),
        })
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "per_second": self.per_second,
            "broker_cpu_us_each": self.cpu_us,
            "fsyncs_per_thousand": self.fsyncs_per_thousand,
            "fsyncs_per_second": self.fsyncs_per_second,
            "disk_bytes_per_payload_byte": self.disk_ratio,
            "acknowledged_p50_ms": self.acknowledged_p50_ms,
            "acknowledged_p99_ms": self.acknowledged_p99_ms,
            "acknowledged_max_ms": self.acknowledged_max_ms,
            "resident_bytes": self.resident_bytes,
            "complaints": self.complaints,
        })
    }
}

/// Least, middle and largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub largest: f64,
}

impl Spread {
    /// Of figures that are there; `None` without any.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (least, largest) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            (figures[middle - 1] + figures[middle]) / 2.0
        } else {
            figures[middle]
        };
        Some(Self { median, least, largest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_derived_from_the_part_that_is_asked_for() {
        let report = json!({"publish": {
            "count": 2_000, "elapsed_s": 4.0, "per_second": 500.0, "broker_cpu_us_each": 3.5, "fsyncs": 8.0,
            "disk_bytes_per_payload_byte": 1.5, "acknowledgement": {"p50_us": 2_500.0, "p99_us": 9_000.0, "max_us": 1.0},
            "resources": {"rss_after_bytes": 7}, "complaints": ["no"],
        }, "drain": null});
        let figures = Figures::read(&report, "/publish").expect("whole");
        assert_eq!((figures.fsyncs_per_thousand, figures.fsyncs_per_second), (Some(4.0), Some(2.0)));
        assert_eq!((figures.acknowledged_p50_ms, figures.acknowledged_p99_ms), (Some(2.5), Some(9.0)));
        assert_eq!(figures.complaints, ["no"]);
        let error = Figures::read(&report, "/drain").expect_err("it is not there");
        assert!(error.to_string().contains("/count"), "{error:#}");
    }

    #[test]
    fn the_median_of_an_even_number_lies_in_between() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([4.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, largest: 4.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median), Some(2.5));
    }
}
