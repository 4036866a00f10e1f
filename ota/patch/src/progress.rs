//! How far a long operation is. Holds no clock: how often a line is printed is for the caller to choose.

use std::fmt;

/// Bytes between two reports of one stage.
pub(crate) const REPORT_EVERY_BYTES: u64 = 256 * 1024;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The base is read and hashed.
    CheckBase,
    /// The suffixes of the base are sorted; the first report is at its start and the next at its end, because the library
    /// says nothing in between.
    SortBase,
    /// The instructions are found; counts bytes of the new image.
    FindInstructions,
    /// The stream is compressed; counts bytes of the stream.
    Compress,
    /// What was made is applied and compared; counts bytes of the new image.
    Verify,
    /// The new image is written; counts its bytes.
    Apply,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CheckBase => "check base",
            Self::SortBase => "sort base",
            Self::FindInstructions => "find instructions",
            Self::Compress => "compress",
            Self::Verify => "verify",
            Self::Apply => "apply",
        })
    }
}

/// A report: `done` of `total` bytes of one stage. `done` never falls within a stage and is `total` at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Counts bytes of one stage and reports now and then.
pub(crate) struct Reporter<'a> {
    report: &'a mut dyn FnMut(Progress),
    stage: Stage,
    done: u64,
    reported: u64,
    total: u64,
}

impl<'a> Reporter<'a> {
    /// Reports the start of `stage`.
    pub(crate) fn start(report: &'a mut dyn FnMut(Progress), stage: Stage, total: u64) -> Self {
        report(Progress { stage, done: 0, total });
        Self { report, stage, done: 0, reported: 0, total }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if self.done.saturating_sub(self.reported) >= REPORT_EVERY_BYTES && self.done < self.total {
            self.reported = self.done;
            (self.report)(Progress { stage: self.stage, done: self.done, total: self.total });
        }
    }

    /// Reports the end of this stage and the start of `stage`.
    pub(crate) fn next(&mut self, stage: Stage, total: u64) {
        (self.report)(Progress { stage: self.stage, done: self.total, total: self.total });
        (self.stage, self.done, self.reported, self.total) = (stage, 0, 0, total);
        (self.report)(Progress { stage, done: 0, total });
    }

    /// Reports the end.
    pub(crate) fn finish(self) {
        (self.report)(Progress { stage: self.stage, done: self.total, total: self.total });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_the_end_and_every_full_step_between_are_reported() {
        let mut seen = Vec::new();
        let mut report = |progress: Progress| seen.push(progress.done);
        let total = REPORT_EVERY_BYTES * 2 + 2;
        let mut reporter = Reporter::start(&mut report, Stage::Apply, total);
        reporter.add(REPORT_EVERY_BYTES - 1);
        reporter.add(1);
        reporter.add(REPORT_EVERY_BYTES - 1);
        reporter.add(3);
        reporter.finish();
        assert_eq!(seen, [0, REPORT_EVERY_BYTES, total]);
    }
}
