//! What is left after a stop: the launcher is asked to start it, and the update is applied again.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::case::Case;
use super::program::hash;

/// What the stopped process had said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing.
    Nothing,
    /// That the update is done: it had ended with 0.
    Done,
    /// That the update will not be started any more: its tries are used up.
    GivenUp,
}

/// What the launcher starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The program before the update, whole.
    Old,
    /// The program that the update brings, whole.
    New,
}

/// The verdict about a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be: that program starts, and the update applied again ends at the new one.
    Starts(Started),
    /// The update was done, and the old program starts.
    NotDone,
    /// Nothing starts, or something that is neither, or the update cannot be applied any more. In words.
    Broken(String),
}

/// Starts what is on the machine, twice, with the update applied between.
pub fn judge(case: &Case, machine: &Path, promise: Promise) -> Verdict {
    let started = match start(case, machine) {
        Ok(Started::Old) if promise == Promise::Done => return Verdict::NotDone,
        Ok(Started::New) if promise == Promise::GivenUp => {
            return Verdict::Broken("the new program starts once more than it may".to_owned());
        }
        Ok(started) => started,
        Err(error) => return Verdict::Broken(format!("{error:#}")),
    };
    match apply_again(case, machine) {
        Ok(()) => Verdict::Starts(started),
        Err(error) => Verdict::Broken(format!("it starts as {started:?}, and then: {error:#}")),
    }
}

/// Lets the launcher start a program, and says which of the two it is.
///
/// # Errors
/// It is neither, or nothing.
pub fn start(case: &Case, machine: &Path) -> anyhow::Result<Started> {
    let output = case.launch(machine).output().context("start the launcher")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the launcher ended with {}: {said}", output.status);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((version, path)) = printed.trim_end().split_once(' ') else {
        bail!("what was started printed {printed:?}: {said}");
    };
    let bytes = std::fs::read(path).with_context(|| format!("read what was started, {path}"))?;
    for (program, started) in [(&case.old, Started::Old), (&case.new, Started::New)] {
        if program.version == version {
            ensure!(hash(&bytes) == program.sha256, "{path} says that it is {version}, and is not: {said}");
            return Ok(started);
        }
    }
    bail!("version {version} was started: {said}")
}

fn apply_again(case: &Case, machine: &Path) -> anyhow::Result<()> {
    let output = case.apply(machine).output().context("start the update again")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the update applied again ended with {}: {said}", output.status);
    let started = start(case, machine).context("the update was applied again")?;
    ensure!(started == Started::New, "the update was applied again, and the old program starts");
    Ok(())
}
