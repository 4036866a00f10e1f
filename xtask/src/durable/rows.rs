//! What `cargo xtask bench-durable` runs in each round, and the goals.
//!
//! Invariant: a row publishes the same messages whatever broker it runs against.

/// One run of the generator; each of its parts is a row of the table.
pub struct Run {
    /// Arguments of `selvedge bench`, without the amount.
    pub arguments: &'static [&'static str],
    /// The amount of a round, and of a smoke run.
    amount: Amount,
    /// The rows, by their place in the report.
    pub rows: &'static [Row],
}

/// How much a run does.
enum Amount {
    /// As many messages as the task is told.
    Messages,
    /// So many seconds, and in a smoke run so many.
    Seconds(&'static str, &'static str),
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// In the table.
    pub title: &'static str,
    /// JSON pointer to the report of this part.
    pub report: &'static str,
    /// What it is judged by.
    pub goals: &'static [Goal],
}

/// A figure of Selvedge with fsync, and what it may be at most in the worst round.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Time for a message, as a multiple of the same without durability.
    TimeRatio(f64),
    /// CPU for a message, as a multiple of the same without durability.
    CpuRatio(f64),
    /// Bytes to disk for a byte of payload.
    DiskRatio(f64),
    /// Median of publish to PUBACK, in milliseconds. Like the next two, for an fsync of 5 ms.
    AcknowledgedP50Ms(f64),
    /// 99th percentile of it.
    AcknowledgedP99Ms(f64),
    /// Fsyncs a second.
    FsyncsPerSecond(f64),
}

impl Run {
    /// The option that says how much one run does, and its value.
    pub fn amount(&self, messages: u64, quick: bool) -> [String; 2] {
        match self.amount {
            Amount::Messages => ["--messages".to_owned(), messages.to_string()],
            Amount::Seconds(_, little) if quick => ["--seconds".to_owned(), little.to_owned()],
            Amount::Seconds(full, _) => ["--seconds".to_owned(), full.to_owned()],
        }
    }
}

const PUBLISHED: &[Goal] = &[Goal::TimeRatio(1.5), Goal::CpuRatio(1.5), Goal::DiskRatio(2.0)];
const RATIOS: &[Goal] = &[Goal::TimeRatio(1.5), Goal::CpuRatio(1.5)];
const PACED: &[Goal] = &[Goal::AcknowledgedP50Ms(10.0), Goal::AcknowledgedP99Ms(20.0), Goal::FsyncsPerSecond(200.0)];

/// Every run of a round, in order.
pub const RUNS: [Run; 4] = [
    Run {
        arguments: &["backlog", "--publishers", "10", "--sessions", "10", "--payload-bytes", "256", "--window", "1000"],
        amount: Amount::Messages,
        rows: &[
            Row { title: "10→10 QoS 1 to sessions that are away, window 1000", report: "/publish", goals: PUBLISHED },
            Row { title: "the sessions return for what waits", report: "/drain", goals: RATIOS },
        ],
    },
    Run {
        arguments: &[
            "pairs",
            "--publishers",
            "10",
            "--qos",
            "1",
            "--durable",
            "--payload-bytes",
            "256",
            "--window",
            "100",
        ],
        amount: Amount::Messages,
        rows: &[Row { title: "10→10 QoS 1, durable sessions that are there, window 100", report: "", goals: RATIOS }],
    },
    Run {
        arguments: &["pair", "--rate", "1000", "--qos", "1", "--durable", "--offline", "--payload-bytes", "256"],
        amount: Amount::Seconds("10", "2"),
        rows: &[Row { title: "paced 1,000/s to a session that is away", report: "", goals: PACED }],
    },
    Run {
        arguments: &["pair", "--rate", "1000", "--qos", "1", "--durable", "--payload-bytes", "256"],
        amount: Amount::Seconds("10", "2"),
        rows: &[Row { title: "paced 1,000/s to a durable session that is there", report: "", goals: PACED }],
    },
];
