//! What came out: a table by section, the score by statement, and a file for programs.
//!
//! A statement is shown when none of its tests failed and at least one passed, over every transport.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use selvedge_tests::client::Version;
use serde_json::{Value, json};

use crate::registry::{SECTIONS, Test};
use crate::statements::Statements;
use crate::target::Suite;

/// How a test ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// The reason is part of the table.
    Skipped(String),
    /// What was wrong.
    Failed(String),
}

/// Everything that ended so far.
#[derive(Debug, Default)]
pub struct Scores {
    ended: Mutex<Vec<Ended>>,
}

#[derive(Debug)]
struct Ended {
    section: &'static str,
    test: &'static Test,
    transport: &'static str,
    outcome: Outcome,
}

/// How many of something.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }

    /// What these tests say about one statement.
    fn verdict(self) -> &'static str {
        match self {
            Self { failed: 1.., .. } => "failed",
            Self { passed: 1.., .. } => "passed",
            Self { skipped: 1.., .. } => "skipped",
            _ => "not covered",
        }
    }
}

impl Scores {
    /// Notes the end of a test.
    pub fn add(&self, section: &'static str, test: &'static Test, transport: &'static str, outcome: Outcome) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(Ended { section, test, transport, outcome });
    }

    /// Prints the table, and writes the file that `SELVEDGE_CONFORMANCE_REPORT` names.
    ///
    /// # Errors
    /// The list of statements cannot be read, or the file not be written.
    pub fn report(&self, suite: &Suite) -> anyhow::Result<()> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let statements = Statements::read()?;
        let verdicts = verdicts(&ended, &statements);
        print_table(suite, &ended, &verdicts);
        if let Some(path) = std::env::var_os("SELVEDGE_CONFORMANCE_REPORT") {
            let report = json(suite, &ended, &verdicts);
            std::fs::write(&path, serde_json::to_vec_pretty(&report)?)
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Verdict {
    version: Version,
    id: String,
    text: String,
    word: &'static str,
}

fn verdicts(ended: &[Ended], statements: &Statements) -> Vec<Verdict> {
    let mut counts: BTreeMap<(u8, &str), Count> = BTreeMap::new();
    for end in ended {
        for (version, ids) in end.test.statements {
            for id in *ids {
                counts.entry((u8::from(*version), id)).or_default().add(&end.outcome);
            }
        }
    }
    let of = |version: Version, id: &str, reason: bool| match counts.get(&(u8::from(version), id)) {
        Some(count) => count.verdict(),
        None if reason => "not for servers",
        None => "not covered",
    };
    statements
        .all()
        .map(|(version, id, statement)| Verdict {
            version,
            id: id.to_owned(),
            text: statement.text.clone(),
            word: of(version, id, statement.reason.is_some()),
        })
        .collect()
}

fn print_table(suite: &Suite, ended: &[Ended], verdicts: &[Verdict]) {
    println!("Conformance of {}, tests by section (each over every transport)", suite.name());
    println!("  {:<44} {:>7} {:>7} {:>7}", "section", "passed", "failed", "skipped");
    let mut total = Count::default();
    for section in SECTIONS {
        let mut count = Count::default();
        for end in ended.iter().filter(|end| end.section == section.title) {
            count.add(&end.outcome);
            total.add(&end.outcome);
        }
        println!("  {:<44} {:>7} {:>7} {:>7}", section.title, count.passed, count.failed, count.skipped);
    }
    println!("  {:<44} {:>7} {:>7} {:>7}", "total", total.passed, total.failed, total.skipped);
    println!("Statements");
    for version in [Version::V5, Version::V311] {
        let mut words: BTreeMap<&str, usize> = BTreeMap::new();
        for verdict in verdicts.iter().filter(|verdict| verdict.version == version) {
            *words.entry(verdict.word).or_default() += 1;
        }
        let all: usize = words.values().sum();
        let of = |word: &str| words.get(word).copied().unwrap_or(0);
        println!(
            "  {version:<10} {all} in all: {} passed, {} failed, {} skipped, {} with a reason instead, {} not covered",
            of("passed"),
            of("failed"),
            of("skipped"),
            of("not for servers"),
            of("not covered"),
            version = version.to_string(),
        );
        let failed: Vec<&str> = verdicts
            .iter()
            .filter(|verdict| verdict.version == version && verdict.word == "failed")
            .map(|verdict| verdict.id.as_str())
            .collect();
        if !failed.is_empty() {
            println!("  {:<10} failed: {}", version.to_string(), failed.join(" "));
        }
    }
}

fn json(suite: &Suite, ended: &[Ended], verdicts: &[Verdict]) -> Value {
    let tests: Vec<Value> = ended
        .iter()
        .map(|end| {
            let (outcome, reason) = match &end.outcome {
                Outcome::Passed => ("passed", None),
                Outcome::Skipped(reason) => ("skipped", Some(reason)),
                Outcome::Failed(reason) => ("failed", Some(reason)),
            };
            json!({
                "section": end.section, "test": end.test.name(), "transport": end.transport,
                "outcome": outcome, "reason": reason,
            })
        })
        .collect();
    let statements: Vec<Value> = verdicts
        .iter()
        .map(|verdict| {
            json!({
                "version": verdict.version.to_string(), "id": verdict.id, "text": verdict.text, "outcome": verdict.word,
            })
        })
        .collect();
    json!({ "target": suite.name(), "tests": tests, "statements": statements })
}
