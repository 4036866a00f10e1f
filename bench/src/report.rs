//! What a run found, as a table for people and as JSON for programs, and whether it is good.
//! Invariant: a run that lost, doubled or reordered anything, or could not finish, is never called good.

use std::fmt;

use serde::Serialize;

use crate::error::RunError;
use crate::exposition::sum_of;
use crate::latency::LatencySummary;
use crate::resources::ResourcesUsed;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name on the command line.
    pub scenario: &'static str,
    /// Host and port, or the bare relay.
    pub broker: String,
    /// Protocol level: 4 or 5.
    pub protocol: u8,
    /// Sizes and pace, in words.
    pub load: String,
    /// What `count` counts.
    pub unit: Unit,
    /// Deliveries, publications or connections that were measured.
    pub count: u64,
    /// Length of the measured stretch in seconds.
    pub elapsed_s: f64,
    /// Latencies from end to end, if the scenario has them.
    pub latency: Option<LatencySummary>,
    /// From publishing (or being due) to PUBACK at QoS 1 or PUBCOMP at QoS 2.
    pub acknowledgement: Option<LatencySummary>,
    /// Payload bytes of the messages that were published or, where none were, delivered; 0 where that is not counted.
    pub payload_bytes: u64,
    /// The account of all messages, if the scenario has any.
    pub delivery: Option<Delivery>,
    /// Connections that the broker ended by itself.
    pub connections_lost: u64,
    /// CPU and memory.
    pub resources: ResourcesUsed,
}

/// What a run counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A message that arrived at one subscriber.
    Delivery,
    /// A message that the broker acknowledged.
    Publication,
    /// A client that was accepted.
    Connection,
}

/// Where the messages went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Messages published.
    pub published: u64,
    /// Deliveries that they should have made.
    pub expected: u64,
    /// Different deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that did not arrive.
    pub lost: u64,
    /// Deliveries that arrived again.
    pub duplicates: u64,
    /// Deliveries that arrived after a later one of their stream.
    pub out_of_order: u64,
    /// Messages that nobody sent in this run.
    pub stray: u64,
    /// Publications that the broker refused.
    pub refused: u64,
    /// Sessions that should have been there and were not.
    pub sessions_missing: u64,
    /// Deliveries of the warm-up that did not arrive.
    pub warmup_lost: u64,
    /// Whether the run was given up because nothing moved any more.
    pub stalled: bool,
}

impl Unit {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Delivery => ("delivery", "deliveries"),
            Self::Publication => ("publication", "publications"),
            Self::Connection => ("connection", "connections"),
        }
    }
}

impl Report {
    /// Deliveries, publications or connections a second.
    pub fn per_second(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.count as f64 / self.elapsed_s } else { 0.0 }
    }

    /// CPU time of the broker for each delivery or connection, in microseconds.
    pub fn broker_cpu_us_each(&self) -> Option<f64> {
        self.resources.broker_cpu_us.map(|used| used / self.count.max(1) as f64)
    }

    /// CPU time of the generator for each delivery or connection, in microseconds.
    pub fn generator_cpu_us_each(&self) -> f64 {
        self.resources.generator_cpu_us / self.count.max(1) as f64
    }

    /// Memory of the broker for each connection in bytes, in the scenario that holds some.
    pub fn bytes_per_connection(&self) -> Option<f64> {
        if !self.held() || self.count == 0 {
            return None;
        }
        let used = &self.resources;
        let (before, after) = match (used.pss_before_bytes, used.pss_after_bytes) {
            (Some(before), Some(after)) => (before, after),
            _ => (used.rss_before_bytes?, used.rss_after_bytes?),
        };
        Some((after as f64 - before as f64) / self.count as f64)
    }

    /// Bytes written to disk for each byte of payload: what the broker counts itself, or what the kernel charged its process
    /// for, in whole pages, whichever is more. A file system in user space is charged to its own process.
    pub fn disk_bytes_per_payload_byte(&self) -> Option<f64> {
        let counted = sum_of(&self.resources.counters, "journal_written_bytes_total");
        let charged = self.resources.disk_bytes.map(|bytes| bytes as f64);
        let bytes = counted.into_iter().chain(charged).reduce(f64::max)?;
        (self.payload_bytes > 0).then(|| bytes / self.payload_bytes as f64)
    }

    /// Fsyncs that the broker counts itself.
    pub fn fsyncs(&self) -> Option<f64> {
        (!self.resources.counters.is_empty()).then(|| sum_of(&self.resources.counters, "fsyncs_total").unwrap_or(0.0))
    }

    /// The whole report as one JSON object, with the derived figures.
    pub fn to_json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct WithFigures<'a> {
            #[serde(flatten)]
            report: &'a Report,
            per_second: f64,
            broker_cpu_us_each: Option<f64>,
            generator_cpu_us_each: f64,
            bytes_per_connection: Option<f64>,
            disk_bytes_per_payload_byte: Option<f64>,
            fsyncs: Option<f64>,
            complaints: Vec<String>,
        }
        let whole = WithFigures {
            report: self,
            per_second: self.per_second(),
            broker_cpu_us_each: self.broker_cpu_us_each(),
            generator_cpu_us_each: self.generator_cpu_us_each(),
            bytes_per_connection: self.bytes_per_connection(),
            disk_bytes_per_payload_byte: self.disk_bytes_per_payload_byte(),
            fsyncs: self.fsyncs(),
            complaints: self.complaints(),
        };
        // A struct of numbers and text always is a JSON object.
        serde_json::to_value(&whole).unwrap_or_default()
    }

    /// Everything that must not be.
    pub fn complaints(&self) -> Vec<String> {
        let delivery = self.delivery.unwrap_or_default();
        let counted = [
            (delivery.lost, "lost"),
            (delivery.duplicates, "delivered more than once"),
            (delivery.out_of_order, "delivered out of order"),
            (delivery.stray, "received that this run did not send"),
            (delivery.refused, "refused"),
            (delivery.warmup_lost, "lost in the warm-up"),
        ];
        let mut complaints: Vec<String> = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} messages {what}"))
            .collect();
        if delivery.sessions_missing > 0 {
            complaints.push(format!("{} sessions were not there any more", delivery.sessions_missing));
        }
        if self.connections_lost > 0 {
            complaints.push(format!("{} connections ended by the broker", self.connections_lost));
        }
        if delivery.stalled {
            complaints.push("nothing moved any more before everything had arrived".to_owned());
        }
        complaints
    }

    /// Whether nothing was lost, doubled or reordered.
    ///
    /// # Errors
    /// [`RunError::Verdict`] with all complaints.
    pub fn verdict(&self) -> Result<(), RunError> {
        let complaints = self.complaints();
        if complaints.is_empty() { Ok(()) } else { Err(RunError::Verdict(complaints.join(", "))) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, units) = self.unit.words();
        let version = if self.protocol == 4 { "3.1.1" } else { "5" };
        writeln!(f, "{}: {}, MQTT {version}, {}", self.scenario, self.load, self.broker)?;
        match self.delivery {
            Some(delivery) if self.unit == Unit::Delivery => writeln!(
                f,
                "  delivered  {} of {}, lost {}, duplicates {}, out of order {}",
                grouped(delivery.delivered),
                grouped(delivery.expected),
                grouped(delivery.lost),
                grouped(delivery.duplicates),
                grouped(delivery.out_of_order)
            )?,
            _ => writeln!(f, "  {units}  {}", grouped(self.count))?,
        }
        if self.held() {
            return self.fmt_held(f);
        }
        writeln!(f, "  rate       {} {units}/s ({:.3} s)", grouped(self.per_second() as u64), self.elapsed_s)?;
        for (name, latency) in [("latency", &self.latency), ("ack", &self.acknowledgement)] {
            if let Some(latency) = latency {
                writeln!(f, "  {name:<9}  {latency}")?;
            }
        }
        if let (Some(each), Some(whole)) = (self.broker_cpu_us_each(), self.resources.broker_cpu_us) {
            let share = if self.elapsed_s > 0.0 { whole / self.elapsed_s / 1e4 } else { 0.0 };
            writeln!(f, "  broker     {each:.2} µs CPU per {unit} ({share:.0} % of a core)")?;
        }
        writeln!(f, "  generator  {:.2} µs CPU per {unit}", self.generator_cpu_us_each())?;
        self.fmt_memory(f)?;
        self.fmt_disk(f)?;
        self.fmt_complaints(f)
    }
}

impl Report {
    /// Whether the run held connections instead of moving something.
    fn held(&self) -> bool {
        self.scenario == "idle"
    }

    /// The lines of a run whose costs are by time and not by piece.
    fn fmt_held(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(whole) = self.resources.broker_cpu_us {
            writeln!(f, "  broker     {:.0} µs CPU per second while they are idle", whole / self.elapsed_s.max(1e-9))?;
        }
        self.fmt_memory(f)?;
        if let Some(bytes) = self.bytes_per_connection() {
            writeln!(f, "             {:.2} KiB per connection", bytes / 1_024.0)?;
        }
        self.fmt_complaints(f)
    }

    fn fmt_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = &self.resources;
        if let (Some(before), Some(after)) = (used.rss_before_bytes, used.rss_after_bytes) {
            write!(f, "  memory     RSS {} → {}", mebibytes(before), mebibytes(after))?;
            if let (Some(before), Some(after)) = (used.pss_before_bytes, used.pss_after_bytes) {
                write!(f, ", PSS {} → {}", mebibytes(before), mebibytes(after))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// Only where something durable was written: every process writes a little.
    fn fmt_disk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fsyncs) = self.fsyncs() {
            let each = 1_000.0 * fsyncs / self.count.max(1) as f64;
            let rate = if self.elapsed_s > 0.0 { fsyncs / self.elapsed_s } else { 0.0 };
            writeln!(f, "  fsyncs     {fsyncs:.0}, {each:.2} per 1,000 {}, {rate:.0}/s", self.unit.words().1)?;
        }
        if let (Some(ratio), true) = (self.disk_bytes_per_payload_byte(), self.unit == Unit::Publication) {
            let written = self.resources.written_bytes.map_or_else(|| "?".to_owned(), mebibytes);
            let disk = self.resources.disk_bytes.map_or_else(|| "?".to_owned(), mebibytes);
            writeln!(
                f,
                "  written    {ratio:.2} bytes to disk per payload byte (process: {written} by calls, {disk} to disk)"
            )?;
        }
        Ok(())
    }

    fn fmt_complaints(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for complaint in self.complaints() {
            writeln!(f, "  WRONG      {complaint}")?;
        }
        Ok(())
    }
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(delivery: Delivery) -> Report {
        Report {
            scenario: "pair",
            broker: "b".to_owned(),
            protocol: 5,
            load: "1 → 1".to_owned(),
            unit: Unit::Delivery,
            count: 1_000,
            elapsed_s: 0.5,
            latency: None,
            acknowledgement: None,
            payload_bytes: 64_000,
            delivery: Some(delivery),
            connections_lost: 0,
            resources: ResourcesUsed { broker_cpu_us: Some(2_000.0), ..ResourcesUsed::default() },
        }
    }

    #[test]
    fn every_kind_of_trouble_alone_makes_the_verdict_fail() {
        let good = Delivery { published: 1_000, expected: 1_000, delivered: 1_000, ..Delivery::default() };
        assert!(report(good).verdict().is_ok());
        let troubles = [
            Delivery { lost: 1, ..good },
            Delivery { duplicates: 1, ..good },
            Delivery { out_of_order: 1, ..good },
            Delivery { stray: 1, ..good },
            Delivery { refused: 1, ..good },
            Delivery { warmup_lost: 1, ..good },
            Delivery { sessions_missing: 1, ..good },
            Delivery { stalled: true, ..good },
        ];
        for trouble in troubles {
            assert_eq!(report(trouble).complaints().len(), 1, "{trouble:?}");
            assert!(report(trouble).verdict().is_err(), "{trouble:?}");
        }
        assert!(Report { connections_lost: 1, ..report(good) }.verdict().is_err());
    }

    #[test]
    fn derived_figures_are_in_the_json() {
        let json = report(Delivery::default()).to_json();
        assert_eq!(json["per_second"], 2_000.0);
        assert_eq!(json["broker_cpu_us_each"], 2.0);
        assert_eq!(json["unit"], "delivery");
        assert_eq!(json["delivery"]["lost"], 0);
    }

    #[test]
    fn disk_figures_are_the_larger_of_what_the_broker_counts_and_what_the_kernel_charges() {
        let mut report = Report { unit: Unit::Publication, ..report(Delivery::default()) };
        assert_eq!((report.fsyncs(), report.disk_bytes_per_payload_byte()), (None, None));
        report.resources.disk_bytes = Some(64_000);
        assert_eq!(report.disk_bytes_per_payload_byte(), Some(1.0));
        report.resources.counters.insert("selvedge_store_journal_written_bytes_total".to_owned(), 96_000.0);
        // What of it is keys and values, and which fsyncs nobody waited for, are parts of the others.
        report.resources.counters.insert("selvedge_store_written_bytes_total".to_owned(), 48_000.0);
        report.resources.counters.insert("selvedge_store_lazy_syncs_total".to_owned(), 5.0);
        report.resources.counters.insert("selvedge_store_fsyncs_total".to_owned(), 25.0);
        assert_eq!((report.fsyncs(), report.disk_bytes_per_payload_byte()), (Some(25.0), Some(1.5)));
        let table = report.to_string();
        report.resources.disk_bytes = Some(640_000);
        assert_eq!(report.disk_bytes_per_payload_byte(), Some(10.0));
        for part in ["25, 25.00 per 1,000 publications, 50/s", "1.50 bytes to disk per payload byte"] {
            assert!(table.contains(part), "{part} in {table}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_table_shows_rate_cost_and_trouble() {
        let table = report(Delivery { lost: 3, ..Delivery::default() }).to_string();
        for part in ["2,000 deliveries/s", "2.00 µs CPU per delivery", "WRONG      3 messages lost"] {
            assert!(table.contains(part), "{part} in {table}");
        }
    }
}
