//! `cargo xtask mutants`: proves that the tests can fail, by planting errors one at a time and running the suites.
//!
//! The errors are listed in `tests/mutants/`: an exact text of one file, and what to put in its place. All happens in a
//! copy of `broker/` and `twin/core/` below `target/mutants`, so the work tree is never touched and other builds go on. Verdicts are
//! kept there: a run that was stopped goes on where it was, and only what changed since is judged again.
//!
//! Invariant: a mutant that no suite notices is either explained in the list or an error of the run.

mod planted;
mod suites;
mod verdicts;
mod workshop;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use clap::ValueEnum as _;

use self::{
    planted::Mutant,
    suites::{Ran, Suite},
    verdicts::{Verdict, Verdicts},
    workshop::Workshop,
};
use crate::repository;

/// Folder of the lists, in the repository.
pub const LISTS: &str = "tests/mutants";

/// Arguments of `cargo xtask mutants`.
#[derive(clap::Args)]
pub struct Options {
    /// Plant only mutants whose name, file or rule contains this text
    #[arg(long)]
    only: Option<String>,
    /// Plant at most this many that have no verdict yet
    #[arg(long)]
    limit: Option<usize>,
    /// Run only these suites
    #[arg(long, value_delimiter = ',', default_values_t = [Suite::Codec, Suite::Core, Suite::Conformance, Suite::Twin])]
    suites: Vec<Suite>,
    /// Let every suite judge, also after one has failed; without it, a mutant is done with the first that fails
    #[arg(long)]
    every_suite: bool,
    /// Judge again what has a verdict
    #[arg(long)]
    fresh: bool,
    /// Judge again the mutants that survived
    #[arg(long)]
    survivors: bool,
    /// Plant in a copy of this tree instead of the work tree, which others may be changing
    #[arg(long)]
    tree: Option<PathBuf>,
    /// Print what is known and plant nothing
    #[arg(long)]
    report: bool,
}

impl Options {
    /// The suites that have to judge a mutant on which `known` has been said.
    fn suites_for(&self, mutant: &Mutant, known: &Verdict) -> Vec<Suite> {
        let killed = known.values().any(Option::is_some);
        if killed && !self.every_suite && !self.fresh {
            return Vec::new();
        }
        let again = self.fresh || (self.survivors && !killed);
        let sees = |suite: &Suite| suite.sees(&mutant.file) && (again || !known.contains_key(suite));
        self.suites.iter().copied().filter(sees).collect()
    }
}

/// Plants the mutants one after the other and prints what killed each.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mutants = planted::read(repository::root())?;
    let chosen: Vec<&Mutant> =
        mutants.iter().filter(|mutant| options.only.as_deref().is_none_or(|only| mutant.mentions(only))).collect();
    ensure!(!chosen.is_empty(), "no mutant mentions that text; the lists are in {LISTS}");
    let folder = folder();
    let mut verdicts = Verdicts::open(&folder.join("verdicts.jsonl"))?;
    if !options.report {
        plant(&chosen, options, folder, &mut verdicts)?;
    }
    report(&chosen, &verdicts)
}

/// Where copies, build output and verdicts are.
fn folder() -> PathBuf {
    repository::target_folder().join("mutants")
}

fn plant(chosen: &[&Mutant], options: &Options, folder: PathBuf, verdicts: &mut Verdicts) -> anyhow::Result<()> {
    let root = options.tree.as_deref().unwrap_or(repository::root());
    let mut waiting = Vec::new();
    for mutant in chosen {
        let planted = mutant.planted_in(root)?;
        let suites = options.suites_for(mutant, &verdicts.of(mutant));
        if !suites.is_empty() {
            waiting.push((*mutant, planted, suites));
        }
    }
    waiting.truncate(options.limit.unwrap_or(usize::MAX));
    eprintln!("{} mutants, {} to plant", chosen.len(), waiting.len());
    if waiting.is_empty() {
        return Ok(());
    }
    let workshop = Workshop::open(folder, root)?;
    let needed: BTreeSet<Suite> = waiting.iter().flat_map(|(_, _, suites)| suites.iter().copied()).collect();
    let baselines = baselines(&workshop, &needed)?;
    let count = waiting.len();
    for (index, (mutant, planted, suites)) in waiting.into_iter().enumerate() {
        let started = Instant::now();
        workshop.write(&mutant.file, &planted.mutated)?;
        let judged = judge(&workshop, mutant, &suites, &baselines, options, verdicts);
        workshop.write(&mutant.file, &planted.original)?;
        let took_s = started.elapsed().as_secs_f64();
        match judged {
            Ok(()) => {
                let line = line(mutant, &verdicts.of(mutant));
                println!("[{:>3}/{count}] {line} ({took_s:.0} s)", index + 1);
            }
            // The others can be judged; what has no verdict fails the report.
            Err(error) => println!("[{:>3}/{count}] INVALID    {}: {error:#}", index + 1, mutant.name),
        }
    }
    Ok(())
}

/// Runs the suites on the mutant that is in the workshop now.
fn judge(
    workshop: &Workshop,
    mutant: &Mutant,
    suites: &[Suite],
    baselines: &BTreeMap<Suite, Duration>,
    options: &Options,
    verdicts: &mut Verdicts,
) -> anyhow::Result<()> {
    for suite in suites {
        let killed_by = match workshop.run(*suite, baselines.get(suite).copied())? {
            Ran::Passed => None,
            Ran::Failed(test) => Some(test),
            Ran::NotBuilt(output) => bail!("it does not compile, so it proves nothing:\n{output}"),
        };
        let killed = killed_by.is_some();
        verdicts.add(mutant, *suite, killed_by)?;
        if killed && !options.every_suite {
            break;
        }
    }
    Ok(())
}

/// Runs the suites without a mutant, which they must pass, and tells how long each takes.
fn baselines(workshop: &Workshop, suites: &BTreeSet<Suite>) -> anyhow::Result<BTreeMap<Suite, Duration>> {
    eprintln!("the suites on the tree as it is:");
    let mut baselines = BTreeMap::new();
    for suite in suites {
        // Built first, so that the time is that of the tests and of a small change.
        for _ in 0..2 {
            let started = Instant::now();
            match workshop.run(*suite, None)? {
                Ran::Passed => {}
                Ran::Failed(test) => bail!("suite {suite} fails without a mutant: {test}"),
                Ran::NotBuilt(output) => bail!("suite {suite} cannot be built without a mutant:\n{output}"),
            }
            baselines.insert(*suite, started.elapsed());
        }
        eprintln!("  {suite:<12} {:>6.1} s", baselines[suite].as_secs_f64());
    }
    Ok(baselines)
}

fn line(mutant: &Mutant, verdict: &Verdict) -> String {
    let killers: Vec<String> =
        verdict.iter().filter_map(|(suite, test)| test.as_ref().map(|test| format!("{suite} ({test})"))).collect();
    match killers.as_slice() {
        [] if mutant.survives.is_some() => format!("explained  {}", mutant.name),
        [] => format!("SURVIVED   {}", mutant.name),
        killers => format!("killed     {}  by {}", mutant.name, killers.join(", ")),
    }
}

/// Prints the score; survivors without an explanation are an error, and so is what some suite has yet to judge.
fn report(chosen: &[&Mutant], verdicts: &Verdicts) -> anyhow::Result<()> {
    let (mut explained, mut unexplained, mut unknown) = (Vec::new(), Vec::new(), 0);
    let (mut killed, mut by_suite) = (0, BTreeMap::<Suite, (usize, usize)>::new());
    for mutant in chosen {
        let verdict = verdicts.of(mutant);
        for (suite, test) in &verdict {
            let counts = by_suite.entry(*suite).or_default();
            *counts = (counts.0 + usize::from(test.is_some()), counts.1 + 1);
        }
        let judged_by_all =
            Suite::value_variants().iter().all(|suite| !suite.sees(&mutant.file) || verdict.contains_key(suite));
        if verdict.values().any(Option::is_some) {
            killed += 1;
            if mutant.survives.is_some() {
                println!("note: {} is explained in the list, and killed", mutant.name);
            }
        } else if !judged_by_all {
            unknown += 1;
        } else if let Some(reason) = &mutant.survives {
            explained.push((mutant, reason));
        } else {
            unexplained.push(mutant);
        }
    }
    for (mutant, reason) in &explained {
        println!("explained  {}: {reason}", mutant.name);
    }
    for mutant in &unexplained {
        println!("SURVIVED   {} ({}; {})", mutant.name, mutant.file, mutant.rule);
    }
    println!(
        "\nmutants planted {}, killed {killed}, explained {}, survived {}, not judged by every suite {unknown}",
        chosen.len(),
        explained.len(),
        unexplained.len()
    );
    for (suite, (killed, judged)) in by_suite {
        println!("  {suite:<12} killed {killed} of {judged}");
    }
    ensure!(unexplained.is_empty(), "{} mutants survived without an explanation", unexplained.len());
    ensure!(unknown == 0, "{unknown} mutants wait for a suite to judge them");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            only: None,
            limit: None,
            suites: vec![Suite::Codec, Suite::Core, Suite::Conformance, Suite::Twin],
            every_suite: false,
            fresh: false,
            survivors: false,
            tree: None,
            report: false,
        }
    }

    #[test]
    fn the_suites_that_have_not_judged_go_on_until_one_has_killed() {
        let mutant = Mutant {
            name: "m".to_owned(),
            file: "broker/core/src/handle.rs".to_owned(),
            find: "a".to_owned(),
            replace: "b".to_owned(),
            rule: "r".to_owned(),
            survives: None,
        };
        let survived = Verdict::from([(Suite::Core, None)]);
        let killed = Verdict::from([(Suite::Core, Some("a test".to_owned()))]);
        let both = [Suite::Core, Suite::Conformance];

        assert_eq!(options().suites_for(&mutant, &Verdict::new()), both);
        assert_eq!(options().suites_for(&mutant, &survived), [Suite::Conformance]);
        assert_eq!(options().suites_for(&mutant, &killed), []);
        let every_suite = Options { every_suite: true, ..options() };
        assert_eq!(every_suite.suites_for(&mutant, &killed), [Suite::Conformance]);
        let fresh = Options { fresh: true, ..options() };
        assert_eq!(fresh.suites_for(&mutant, &killed), both);
        let survivors = Options { survivors: true, ..options() };
        assert_eq!(survivors.suites_for(&mutant, &survived), both);
        assert_eq!(survivors.suites_for(&mutant, &killed), []);
    }
}
