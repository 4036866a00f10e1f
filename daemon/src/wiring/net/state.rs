//! How the counters are, for those who ask; and what their thread remembers from one look to the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge_ebpf::{Detector, Snapshot, Status};

use super::suspects::Suspects;
use super::topics;
use crate::config::NetConfig;

/// Of problems of one kind, the log has one in this time.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

/// How it is, as of the last reading.
#[derive(Default)]
pub enum State {
    /// The configuration says so.
    #[default]
    Off,
    /// The programs are being loaded.
    Starting,
    /// It cannot be.
    Cannot(Cause),
    /// It counts.
    Counting(Box<Reading>),
}

/// Why nothing is counted.
#[derive(Clone)]
pub struct Cause {
    pub kind: &'static str,
    pub text: String,
    pub remedy: String,
}

/// What was read last.
pub struct Reading {
    pub status: Status,
    pub snapshot: Arc<Snapshot>,
    /// Readings that the kernel refused.
    pub failed: u64,
}

/// For metrics.
#[derive(Default)]
pub struct NetReadings {
    /// Whether packets are counted.
    pub up: bool,
    /// Why not.
    pub cause: Option<&'static str>,
    /// What was read last.
    pub snapshot: Arc<Snapshot>,
    /// Readings that the kernel refused.
    pub failed: u64,
    /// Addresses that were denied because of what the broker saw.
    pub denied_by_itself: u64,
}

/// What the thread remembers from one look to the next.
pub struct Looking {
    pub detector: Detector,
    pub suspects: Suspects,
    pub summaries: topics::Summaries,
    known_problems: Vec<String>,
    complained: Option<Instant>,
}

impl Looking {
    pub fn new(config: &NetConfig) -> Self {
        Self {
            detector: Detector::new(&config.events),
            suspects: Suspects::new(&config.guard),
            summaries: topics::Summaries::default(),
            known_problems: Vec::new(),
            complained: None,
        }
    }

    pub fn may_complain(&mut self) -> bool {
        let due = self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
        if due {
            self.complained = Some(Instant::now());
        }
        due
    }

    pub fn complain_of_new(&mut self, status: &Status) {
        for problem in status.problems.iter().filter(|problem| !self.known_problems.contains(&problem.text)) {
            tracing::warn!(remedy = problem.remedy, "counting packets: {}", problem.text);
        }
        self.known_problems = status.problems.iter().map(|problem| problem.text.clone()).collect();
    }
}

/// An error with its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
