//! How many stops ended how, as a table and for programs.

use std::fmt::Write as _;

use anyhow::ensure;
use serde::Serialize;

use super::verdict::{Started, Verdict};

/// Sentences about broken stops that a report keeps, for each row.
const WORDS_MAX: usize = 5;

/// The stops of one kind in one case.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "each name says what it is")]
pub struct Row {
    pub case: &'static str,
    pub stopped: String,
    /// System calls, or changes of the disk, of runs that were not stopped: fewest and most.
    pub steps: Option<(u64, u64)>,
    pub stops: u64,
    pub old: u64,
    pub new: u64,
    pub broken: u64,
    /// Updates that ended with 0 and after which the old program started.
    pub done_that_was_not: u64,
    /// Programs on trial that began to run before that was on the disk.
    pub begun_uncounted: u64,
    pub words: Vec<String>,
}

/// All rows.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One for each case and way to stop it.
    pub rows: Vec<Row>,
}

impl Row {
    /// An empty one.
    pub fn new(case: &'static str, stopped: impl Into<String>) -> Self {
        Self { case, stopped: stopped.into(), ..Self::default() }
    }

    /// A run was not stopped and had so many steps.
    pub fn whole_run(&mut self, steps: u64) {
        let (fewest, most) = self.steps.unwrap_or((steps, steps));
        self.steps = Some((fewest.min(steps), most.max(steps)));
    }

    /// A stop at a step, and what was left.
    pub fn judged(&mut self, step: u64, verdict: Verdict) {
        self.stops += 1;
        match verdict {
            Verdict::Starts(Started::Old) => self.old += 1,
            Verdict::Starts(Started::New) => self.new += 1,
            Verdict::NotDone => {
                self.done_that_was_not += 1;
                self.note(step, "the update was done, and the old program starts");
            }
            Verdict::Broken(words) => {
                self.broken += 1;
                self.note(step, &words);
            }
        }
    }

    /// A program on trial ran without having been counted.
    pub fn uncounted(&mut self, step: u64) {
        self.begun_uncounted += 1;
        self.note(step, "the program on trial began to run before that was on the disk");
    }

    /// A process that was not stopped failed by itself.
    pub fn failed(&mut self, step: u64, words: &str) {
        self.broken += 1;
        self.note(step, words);
    }

    /// What may not be.
    pub fn breaches(&self) -> u64 {
        self.broken + self.done_that_was_not + self.begun_uncounted
    }

    fn note(&mut self, step: u64, words: &str) {
        if self.words.len() < WORDS_MAX {
            let words = words.trim_end().replace('\n', "; ");
            self.words.push(format!("{}, {}, step {step}: {words}", self.case, self.stopped));
        }
    }
}

impl Report {
    /// What may not be, in all rows.
    pub fn breaches(&self) -> u64 {
        self.rows.iter().map(Row::breaches).sum()
    }

    /// A table in Markdown, and words about what is broken.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| case | stopped | steps of a whole run | stops | old | new | broken | done that was not | begun uncounted |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let steps = match row.steps {
                None => "?".to_owned(),
                Some((fewest, most)) if fewest == most => most.to_string(),
                Some((fewest, most)) => format!("{fewest} to {most}"),
            };
            let Row { case, stopped, stops, old, new, broken, done_that_was_not, begun_uncounted, .. } = row;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {case} | {stopped} | {steps} | {stops} | {old} | {new} | {broken} | {done_that_was_not} | {begun_uncounted} |"
            );
        }
        for words in self.rows.iter().flat_map(|row| &row.words) {
            let _ = writeln!(text, "{words}");
        }
        text
    }

    /// That nothing is broken.
    ///
    /// # Errors
    /// Something is; the table.
    pub fn all_whole(&self) -> anyhow::Result<()> {
        ensure!(self.breaches() == 0, "{} stops left what may not be\n{}", self.breaches(), self.table());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_is_counted_and_told() {
        let mut row = Row::new("package", "killed");
        row.whole_run(7);
        row.judged(1, Verdict::Starts(Started::Old));
        row.judged(2, Verdict::Starts(Started::New));
        let mut report = Report { rows: vec![row] };
        report.all_whole().expect("whole");
        report.rows[0].judged(3, Verdict::NotDone);
        report.rows[0].judged(4, Verdict::Broken("nothing starts".to_owned()));
        report.rows[0].uncounted(5);
        let text = report.all_whole().expect_err("broken").to_string();
        assert!(text.starts_with("3 stops left what may not be\n"), "{text}");
        assert!(text.contains("| package | killed | 7 | 4 | 1 | 1 | 1 | 1 | 1 |\n"), "{text}");
        assert!(text.contains("package, killed, step 4: nothing starts\n"), "{text}");
    }
}
