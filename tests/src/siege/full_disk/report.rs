//! What a full disk did to whom, as a table and for programs, and whether that is as it should be.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::ANSWER_MAX;

/// How long answers took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Answers.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// What happened.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "each name says what it is")]
pub struct Filled {
    pub disk: &'static str,
    pub size_mb: u64,
    /// Whether the node keeps sessions on the disk.
    pub durable: bool,
    pub full_after_s: f64,
    pub free_when_full_bytes: u64,
    pub free_after_bytes: u64,
    pub acknowledged: u64,
    /// By reason code.
    pub refused: BTreeMap<String, u64>,
    /// Messages whose publisher lost its connection, or that were not answered by the end.
    pub unanswered: u64,
    pub publishers_disconnected: u64,
    /// Whether publishers were left without an answer while the disk was full.
    pub publishers_waited: bool,
    pub longest_wait_ms: f64,
    pub publishing_again_ms: f64,
    pub twins_again_ms: f64,
    pub delivered: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub out_of_order: u64,
    /// Delivered messages that were refused or not answered.
    pub delivered_without_acknowledgement: u64,
    pub twins_accepted: u64,
    pub twins_rejected: u64,
    pub pings: Latencies,
    pub qos_0: Latencies,
    pub qos_1: Latencies,
    pub twins: Latencies,
}

impl Latencies {
    /// Of microseconds in any order.
    pub fn of(mut latencies_us: Vec<u64>) -> Self {
        latencies_us.sort_unstable();
        let at = |part: f64| {
            let index = (latencies_us.len() as f64 * part) as usize;
            latencies_us.get(index.min(latencies_us.len().saturating_sub(1))).copied().unwrap_or(0) as f64 / 1e3
        };
        Self { count: latencies_us.len() as u64, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

impl Filled {
    /// Fails unless everybody was answered, nothing acknowledged is lost, and publishers learned that there is no room.
    ///
    /// # Errors
    /// The first of it that does not hold.
    pub fn check(&self) -> anyhow::Result<()> {
        let most_ms = ANSWER_MAX.as_secs_f64() * 1e3;
        for (who, latencies) in [("a ping", self.pings), ("a message of QoS 0", self.qos_0), ("a twin", self.twins)] {
            ensure!(latencies.count > 0 && latencies.max_ms <= most_ms, "{who} took {} ms: {self}", latencies.max_ms);
        }
        let (lost, duplicates, out_of_order) = (self.lost, self.duplicates, self.out_of_order);
        ensure!(lost == 0, "{lost} acknowledged messages are lost: {self}");
        ensure!(duplicates == 0 && out_of_order == 0, "{duplicates} twice, {out_of_order} out of order: {self}");
        let noticed = self.publishers_waited || !self.refused.is_empty();
        ensure!(noticed || !self.durable, "publishers noticed nothing of the full disk: {self}");
        Ok(())
    }

    fn notice(&self) -> String {
        let refused: Vec<String> = self.refused.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
        match (refused.is_empty(), self.publishers_waited) {
            (false, false) => format!("refused ({})", refused.join(", ")),
            (false, true) => format!("refused ({}) and waited", refused.join(", ")),
            (true, true) => "waited".to_owned(),
            (true, false) if self.durable => "NOTHING".to_owned(),
            (true, false) => "nothing: this node keeps sessions in memory".to_owned(),
        }
    }
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        writeln!(f, "full disk: {} of {} MB", self.disk, self.size_mb)?;
        let free = megabytes(self.free_when_full_bytes);
        writeln!(f, "  full               after {:.1} s, {free:.1} MB free to the node", self.full_after_s)?;
        writeln!(f, "  durable publishers {}, longest wait {:.0} ms", self.notice(), self.longest_wait_ms)?;
        let (unanswered, disconnected) = (self.unanswered, self.publishers_disconnected);
        writeln!(
            f,
            "                     {} acknowledged, {unanswered} unanswered, {disconnected} times disconnected",
            self.acknowledged
        )?;
        writeln!(f, "  twins              {} accepted, {} rejected", self.twins_accepted, self.twins_rejected)?;
        writeln!(f, "  answers, ms        {:>8}{:>10}{:>10}{:>10}", "count", "p50", "p99", "max")?;
        for (who, latencies) in [
            ("pings", self.pings),
            ("QoS 0 pair", self.qos_0),
            ("QoS 1 pair", self.qos_1),
            ("twin updates", self.twins),
        ] {
            let Latencies { count, p50_ms, p99_ms, max_ms } = latencies;
            writeln!(f, "    {who:<17}{count:>8}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}")?;
        }
        let (publishing, twins) = (self.publishing_again_ms, self.twins_again_ms);
        writeln!(f, "  room again         publishing after {publishing:.0} ms, twins after {twins:.0} ms")?;
        let (lost, duplicates, out_of_order) = (self.lost, self.duplicates, self.out_of_order);
        let (delivered, surplus) = (self.delivered, self.delivered_without_acknowledgement);
        writeln!(
            f,
            "  delivered          {delivered}, lost {lost}, twice {duplicates}, out of order {out_of_order}, not acknowledged {surplus}"
        )?;
        writeln!(f, "  free in the end    {:.1} MB", megabytes(self.free_after_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Filled {
        let answered = Latencies::of(vec![1_000, 2_000]);
        let refused = BTreeMap::from([("0x97".to_owned(), 3)]);
        Filled { durable: true, refused, pings: answered, qos_0: answered, twins: answered, ..Filled::default() }
    }

    #[test]
    fn latencies_are_sorted_and_the_longest_is_the_last() {
        let latencies = Latencies::of((1..=100).rev().map(|ms| ms * 1_000).collect());
        assert_eq!((latencies.count, latencies.p99_ms, latencies.max_ms), (100, 100.0, 100.0));
        assert_eq!(Latencies::of(Vec::new()), Latencies::default());
    }

    #[test]
    fn each_thing_that_must_not_be_alone_fails() {
        assert!(good().check().is_ok());
        let late = Latencies::of(vec![3_000_001]);
        for bad in [
            Filled { pings: late, ..good() },
            Filled { qos_0: Latencies::default(), ..good() },
            Filled { twins: late, ..good() },
            Filled { lost: 1, ..good() },
            Filled { duplicates: 1, ..good() },
            Filled { out_of_order: 1, ..good() },
            Filled { refused: BTreeMap::new(), ..good() },
        ] {
            assert!(bad.check().is_err(), "{bad}");
        }
        assert!(Filled { refused: BTreeMap::new(), publishers_waited: true, ..good() }.check().is_ok());
    }
}
