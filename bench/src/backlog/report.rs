//! What the phases of a backlog found: each a report of its own, and one account of what must not be.
//! Invariant: a run is good only if every phase that was run is.

use std::fmt;

use serde::Serialize;

use crate::error::RunError;
use crate::report::Report;

/// Sessions that were made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prepared {
    /// How many.
    pub sessions: u32,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
}

/// The result of `backlog`: the phases that were run.
#[derive(Clone, Debug)]
pub struct BacklogReport {
    /// What clients and topics are called after (`--name`).
    pub name: String,
    /// Making the sessions.
    pub prepare: Option<Prepared>,
    /// Filling their queues.
    pub publish: Option<Report>,
    /// Taking out what waits.
    pub drain: Option<Report>,
}

impl BacklogReport {
    /// Everything that must not be, of all phases.
    pub fn complaints(&self) -> Vec<String> {
        let phases = [("publish", &self.publish), ("drain", &self.drain)];
        let complaints = phases.into_iter().filter_map(|(name, report)| Some((name, report.as_ref()?)));
        complaints
            .flat_map(|(name, report)| report.complaints().into_iter().map(move |what| format!("{name}: {what}")))
            .collect()
    }

    /// Whether nothing was lost, doubled, reordered or refused.
    ///
    /// # Errors
    /// [`RunError::Verdict`] with all complaints.
    pub fn verdict(&self) -> Result<(), RunError> {
        let complaints = self.complaints();
        if complaints.is_empty() { Ok(()) } else { Err(RunError::Verdict(complaints.join(", "))) }
    }

    /// One JSON object with one member for each phase, null where it was not run.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "scenario": "backlog",
            "name": self.name,
            "prepare": self.prepare,
            "publish": self.publish.as_ref().map(Report::to_json),
            "drain": self.drain.as_ref().map(Report::to_json),
            "complaints": self.complaints(),
        })
    }
}

impl fmt::Display for BacklogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(prepared) = self.prepare {
            writeln!(f, "backlog prepare: {} sessions in {:.3} s", prepared.sessions, prepared.elapsed_s)?;
        }
        for report in [&self.publish, &self.drain].into_iter().flatten() {
            write!(f, "{report}")?;
        }
        Ok(())
    }
}
