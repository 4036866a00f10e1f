//! What became of each mutant, one JSON line each, so that a run can be stopped and goes on.
//!
//! Invariant: a verdict counts for the replaced text and its replacement, wherever the rest of the file went since;
//! `--fresh` judges all again.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{planted::Mutant, suites::Suite};

/// What the suites said to one mutant so far: by suite, the first test that failed; none if the suite passed.
pub type Verdict = BTreeMap<Suite, Option<String>>;

#[derive(Serialize, Deserialize)]
struct Line {
    mutant: String,
    text: u64,
    suite: Suite,
    killed_by: Option<String>,
}

/// All verdicts so far.
#[derive(Debug)]
pub struct Verdicts {
    path: PathBuf,
    known: HashMap<(String, u64), Verdict>,
}

impl Verdicts {
    /// Reads what earlier runs left; a line that was cut off is left out, a later one replaces an earlier one.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let text = if path.is_file() {
            fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
        } else {
            String::new()
        };
        let mut known: HashMap<_, Verdict> = HashMap::new();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            known.entry((line.mutant, line.text)).or_default().insert(line.suite, line.killed_by);
        }
        Ok(Self { path: path.to_owned(), known })
    }

    /// The verdict on `mutant`; empty if no suite has judged it.
    pub fn of(&self, mutant: &Mutant) -> Verdict {
        self.known.get(&(mutant.name.clone(), fingerprint(mutant))).cloned().unwrap_or_default()
    }

    /// Keeps what one suite said, on disk too.
    pub fn add(&mut self, mutant: &Mutant, suite: Suite, killed_by: Option<String>) -> anyhow::Result<()> {
        let text = fingerprint(mutant);
        let line = Line { mutant: mutant.name.clone(), text, suite, killed_by: killed_by.clone() };
        let line = serde_json::to_string(&line).context("write a verdict as JSON")?;
        let attempt = || -> std::io::Result<()> {
            // A line of an earlier run may have been cut off.
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            write!(file, "\n{line}\n")
        };
        attempt().with_context(|| format!("write {}", self.path.display()))?;
        self.known.entry((mutant.name.clone(), text)).or_default().insert(suite, killed_by);
        Ok(())
    }
}

fn fingerprint(mutant: &Mutant) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&mutant.find, &mutant.replace).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_found_again_after_a_restart_until_the_mutant_changes() {
        let folder = std::env::temp_dir().join(format!("selvedge-verdicts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("verdicts.jsonl");
        let mutant = Mutant {
            name: "m".to_owned(),
            file: "f.rs".to_owned(),
            find: "a".to_owned(),
            replace: "b".to_owned(),
            rule: String::new(),
            survives: None,
        };
        let mut verdicts = Verdicts::open(&path).unwrap();
        verdicts.add(&mutant, Suite::Core, None).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"mutant\":\"cut o").unwrap();
        verdicts.add(&mutant, Suite::Codec, Some("a test".to_owned())).unwrap();
        let again = Verdicts::open(&path).unwrap();
        let expected = Verdict::from([(Suite::Codec, Some("a test".to_owned())), (Suite::Core, None)]);
        assert_eq!(again.of(&mutant), expected);
        let other = Mutant { replace: "c".to_owned(), ..mutant };
        assert_eq!(again.of(&other), Verdict::new());
        fs::remove_dir_all(&folder).unwrap();
    }
}
