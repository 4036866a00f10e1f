//! Kills at each system call: of the process that applies an update, and of the launcher that starts a program on trial.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::case::{Case, copy, tries};
use super::report::Row;
use super::trace::{End, Traced, run};
use super::verdict::{Promise, Started, judge, start};

/// Runs that ended before their kill came, one after the other, after which there are no more calls: two runs of a program
/// do not make the same number of them.
const WHOLE_RUNS: u64 = 3;
/// Starts of a program on trial, which is what `ota.tries_max` is unless it is set.
const TRIES_MAX: u32 = 3;

/// Kills the update at every `every`-th of its system calls.
///
/// # Errors
/// This machine cannot trace, or the disk.
pub fn updates(case: &Case, every: u64) -> anyhow::Result<Row> {
    let mut row = Row::new(case.name, "update killed");
    through_all(&mut row, every, |row, kill_at| {
        let machine = tempfile::tempdir().context("make a machine")?;
        case.copy_to(machine.path())?;
        let traced = run(silent(&mut case.apply(machine.path())), Some(kill_at))?;
        let promise = match traced.end {
            End::Killed(_) => Promise::Nothing,
            End::Exited(0) => Promise::Done,
            End::Exited(_) | End::Signalled(_) => {
                row.failed(kill_at, &format!("the update ended by itself with {:?}", traced.end));
                Promise::Nothing
            }
        };
        row.judged(kill_at, judge(case, machine.path(), promise));
        Ok(traced)
    })?;
    Ok(row)
}

/// Kills the launcher, and the program on trial that it becomes, at every `every`-th of their system calls.
///
/// # Errors
/// This machine cannot trace, the update cannot be applied, or the disk.
pub fn launches(case: &Case, every: u64) -> anyhow::Result<Row> {
    let updated = updated(case)?;
    let mut row = Row::new(case.name, "launcher killed");
    through_all(&mut row, every, |row, kill_at| {
        launch(row, case, updated.path(), kill_at, |row, machine, traced| {
            let begun = traced.became > 0;
            if begun && tries(machine)? != Some(1) {
                row.uncounted(kill_at);
            }
            Ok(Promise::Done)
        })
    })?;
    Ok(row)
}

/// The same when the program on trial has used up its tries, and the launcher goes back to the one before.
///
/// # Errors
/// As for [`launches`].
pub fn ways_back(case: &Case, every: u64) -> anyhow::Result<Row> {
    let updated = updated(case)?;
    let mut last = 0;
    while let Some(tries) = tries(updated.path())?.filter(|tries| *tries < TRIES_MAX) {
        ensure!(start(case, updated.path())? == Started::New, "try {} starts another program", tries + 1);
        last = tries + 1;
    }
    ensure!(last == TRIES_MAX, "{last} tries were counted");
    let mut row = Row::new(case.name, "launcher killed on the way back");
    through_all(&mut row, every, |row, kill_at| {
        launch(row, case, updated.path(), kill_at, |_, _, _| Ok(Promise::GivenUp))
    })?;
    Ok(row)
}

/// A machine on which the update is applied and was not started yet.
fn updated(case: &Case) -> anyhow::Result<TempDir> {
    let updated = tempfile::tempdir().context("make a machine")?;
    case.copy_to(updated.path())?;
    let output = case.apply(updated.path()).output().context("apply the update")?;
    ensure!(output.status.success(), "the update fails: {}", String::from_utf8_lossy(&output.stderr));
    Ok(updated)
}

fn launch(
    row: &mut Row,
    case: &Case,
    updated: &Path,
    kill_at: u64,
    promise: impl FnOnce(&mut Row, &Path, &Traced) -> anyhow::Result<Promise>,
) -> anyhow::Result<Traced> {
    let machine = tempfile::tempdir().context("make a machine")?;
    copy(updated, machine.path())?;
    let traced = run(silent(&mut case.launch(machine.path())), Some(kill_at))?;
    if !matches!(traced.end, End::Killed(_) | End::Exited(0)) {
        row.failed(kill_at, &format!("the launcher ended by itself with {:?}", traced.end));
    }
    let promise = promise(row, machine.path(), &traced)?;
    row.judged(kill_at, judge(case, machine.path(), promise));
    Ok(traced)
}

/// From the first call on, until there are no more.
fn through_all(
    row: &mut Row,
    every: u64,
    mut stop: impl FnMut(&mut Row, u64) -> anyhow::Result<Traced>,
) -> anyhow::Result<()> {
    let mut whole_runs = 0;
    let mut kill_at = 1;
    while whole_runs < WHOLE_RUNS {
        let traced = stop(row, kill_at)?;
        if matches!(traced.end, End::Killed(_)) {
            whole_runs = 0;
        } else {
            whole_runs += 1;
            row.whole_run(traced.calls);
        }
        kill_at += every.max(1);
    }
    Ok(())
}

fn silent(command: &mut std::process::Command) -> &mut std::process::Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
