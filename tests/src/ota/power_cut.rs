//! Cuts of the power at each change of the disk while an update is applied and then started.

use anyhow::Context as _;

use super::case::{Case, Updater, sync, tries};
use super::report::Row;
use super::verdict::{Promise, Verdict, judge, start};
use crate::volatile_disk::{Cut, CutPoint, Ignored, Options, Tree, VolatileDisk, Which};

/// Which cuts.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// At the first change, then so many later, and so on.
    pub every: u64,
    /// For each place, how many random parts of what was not durable survive, one after the other; once nothing of it does.
    pub mixes: u64,
    /// Decides those parts.
    pub seed: u64,
    /// What the disk only pretends to do.
    pub ignored: Ignored,
}

/// What happened up to a cut.
struct Run {
    promise: Promise,
    /// Whether the program on trial had begun to run.
    begun: bool,
    /// Whether the cut came before the end.
    is_cut: bool,
    changes: u64,
}

/// Cuts through one update: a row for what a cut takes wholly, and one for what it takes by chance.
///
/// # Errors
/// There is no FUSE, or the disk.
pub fn cut(case: &Case, plan: &Plan) -> anyhow::Result<[Row; 2]> {
    let folder = tempfile::tempdir().context("make a place for a disk")?;
    let options = Options { ignored: plan.ignored, ..Options::default() };
    let prepared = prepared(case)?;
    let mut rows = [Row::new(case.name, "power cut, drop"), Row::new(case.name, "power cut, mix")];
    let mut at = 1;
    loop {
        let disk = VolatileDisk::mount(prepared.clone(), options, folder.path())?;
        let run = run_until_cut(case, &disk, at);
        disk.cut();
        let mut fates = vec![(0, Cut::Drop, 0)];
        fates.extend((0..plan.mixes).map(|mix| (1, Cut::Mix, plan.seed.wrapping_add(at * plan.mixes + mix))));
        let survivors = fates.into_iter().map(|(row, cut, seed)| (row, disk.survivors(cut, seed)));
        let survivors: Vec<(usize, Tree)> = survivors.collect();
        disk.unmount()?;
        for (row, tree) in survivors {
            let disk = VolatileDisk::mount(tree, Options::default(), folder.path())?;
            judge_survivors(&mut rows[row], at, case, &disk, &run);
            disk.unmount()?;
        }
        if !run.is_cut {
            rows.iter_mut().for_each(|row| row.whole_run(run.changes));
            return Ok(rows);
        }
        at += plan.every.max(1);
    }
}

/// A disk with the machine before the update, all of it durable.
fn prepared(case: &Case) -> anyhow::Result<Tree> {
    let folder = tempfile::tempdir().context("make a place for a disk")?;
    let disk = VolatileDisk::mount(Tree::default(), Options::default(), folder.path())?;
    case.copy_to(folder.path())?;
    sync(folder.path()).context("make the machine durable")?;
    let tree = disk.survivors(Cut::Drop, 0);
    disk.unmount()?;
    Ok(tree)
}

fn run_until_cut(case: &Case, disk: &VolatileDisk, nth: u64) -> Run {
    disk.cut_at(CutPoint { which: Which::Changes, nth });
    // A process whose disk is gone fails in many ways; what counts is whether it said that it was done.
    let is_done = case.apply(disk.folder()).output().is_ok_and(|output| output.status.success());
    let begun = is_done && case.updater == Updater::Selvedge && start(case, disk.folder()).is_ok();
    let promise = if is_done { Promise::Done } else { Promise::Nothing };
    Run { promise, begun, is_cut: disk.is_cut(), changes: disk.counters().changes() }
}

fn judge_survivors(row: &mut Row, at: u64, case: &Case, disk: &VolatileDisk, run: &Run) {
    if run.begun && !matches!(tries(disk.folder()), Ok(Some(1))) {
        row.uncounted(at);
    }
    let has_failed = !run.is_cut && run.promise == Promise::Nothing;
    let verdict = if has_failed {
        Verdict::Broken("the update failed by itself".to_owned())
    } else {
        judge(case, disk.folder(), run.promise)
    };
    row.judged(at, verdict);
}
