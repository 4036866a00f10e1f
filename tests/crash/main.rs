//! Small runs of the crash tests, for every commit; `cargo xtask crash`, `power-cut`, `disk-faults` and `ota-steps` are the long ones.
//!
//! A test that this machine cannot run says SKIPPED and why.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::{Arguments, Failed, Trial};
use selvedge_tests::crash::broker::Product;
use selvedge_tests::crash::kill::{Length, Strike};
use selvedge_tests::crash::report::{Breach, Kind, Report};
use selvedge_tests::crash::{disk_faults, kill, power_cut};
use selvedge_tests::installed;
use selvedge_tests::ota;
use selvedge_tests::ota::case::{Case, Updater};
use selvedge_tests::ota::release::Releases;
use selvedge_tests::ota::report::{Report as Steps, Row};
use selvedge_tests::volatile_disk::{Cut, Ignored, NamesKept, VolatileDisk};

/// What each fsync takes: nothing, and as long as on flash.
const FAST: Duration = Duration::ZERO;
const SLOW: Duration = Duration::from_millis(5);

/// A test and its name.
type Test = (&'static str, fn() -> anyhow::Result<()>);

const TESTS: &[Test] = &[
    ("nothing_is_lost_when_all_connections_break", connections_break),
    ("nothing_acknowledged_is_lost_when_the_node_is_killed", node_is_killed),
    ("versions_of_functions_change_hands_while_the_node_is_killed", versions_change_hands),
    ("nothing_acknowledged_is_lost_when_the_power_is_cut_and_the_cache_dropped", || power_is_cut(Cut::Drop, FAST)),
    ("nothing_acknowledged_is_lost_when_the_power_is_cut_and_the_cache_mixed", || power_is_cut(Cut::Mix, FAST)),
    ("nothing_acknowledged_is_lost_when_the_power_of_a_slow_disk_is_cut", || power_is_cut(Cut::Drop, SLOW)),
    ("nothing_acknowledged_is_lost_when_the_disk_fails", disk_fails),
    ("a_disk_that_ignores_fsync_is_noticed", ignored_syncs_are_noticed),
    ("a_broker_that_loses_sessions_is_noticed", lost_sessions_are_noticed),
    ("an_update_that_is_killed_leaves_the_old_program_or_the_new_one", update_is_killed),
    ("a_launcher_that_is_killed_has_counted_the_start_or_not_begun_it", launcher_is_killed),
    ("an_update_whose_power_is_cut_leaves_the_old_program_or_the_new_one", update_is_cut),
    ("an_update_that_breaks_the_program_is_noticed", broken_updates_are_noticed),
];

fn main() -> ExitCode {
    let trials = TESTS.iter().map(|(name, run)| {
        let run = *run;
        Trial::test(*name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Whether there is FUSE; says so if not.
fn can_mount() -> bool {
    let reason = VolatileDisk::unavailable();
    if let Some(reason) = &reason {
        println!("SKIPPED tests with a volatile disk: {reason}");
    }
    reason.is_none()
}

fn killed(kills: u64, product: Product, strike: Strike) -> anyhow::Result<Report> {
    kill::run(&kill::Plan { length: Length::Kills(kills), seed: 11, product, strike, swaps: false })
}

fn cut(cuts: u64, mode: Cut, ignored: Ignored, sync_delay: Duration) -> anyhow::Result<Report> {
    let names = NamesKept::Strict;
    power_cut::run(&power_cut::Plan { cuts, seed: 12, mode, ignored, sync_delay, names, every: None, keep: None })
}

fn connections_break() -> anyhow::Result<()> {
    let report = killed(6, Product::Selvedge, Strike::Disconnect)?;
    ensure!(report.tally(Kind::ExactlyOnce).acknowledged > 100, "hardly any load\n{}", report.table());
    report.all_kept()
}

fn node_is_killed() -> anyhow::Result<()> {
    killed(10, Product::Selvedge, Strike::Kill)?.all_kept()
}

fn versions_change_hands() -> anyhow::Result<()> {
    let (product, strike) = (Product::Selvedge, Strike::Kill);
    let report = kill::run(&kill::Plan { length: Length::Inputs(2000), seed: 14, product, strike, swaps: true })?;
    ensure!(report.swapped.swaps >= 8, "hardly any swap\n{}", report.table());
    report.all_kept()
}

fn power_is_cut(mode: Cut, sync_delay: Duration) -> anyhow::Result<()> {
    if can_mount() { cut(6, mode, Ignored::Nothing, sync_delay)?.all_kept() } else { Ok(()) }
}

fn disk_fails() -> anyhow::Result<()> {
    if can_mount() { disk_faults::run(&disk_faults::Plan { faults: 6, seed: 13 })?.0.all_kept() } else { Ok(()) }
}

fn ignored_syncs_are_noticed() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let report = cut(2, Cut::Drop, Ignored::FileSyncs, FAST)?;
    // Twins are what a node keeps that does fsync: only the disk's lie loses them, or makes it not start.
    let lost = report.tally(Kind::Twin).breaches[Breach::Lost as usize]
        + report.tally(Kind::Node).breaches[Breach::Wrong as usize];
    ensure!(lost > 0, "nothing was noticed\n{}", report.table());
    Ok(())
}

fn lost_sessions_are_noticed() -> anyhow::Result<()> {
    if let Err(error) = installed::program("mosquitto") {
        println!("SKIPPED lost sessions of mosquitto: {error:#}");
        return Ok(());
    }
    let report = killed(2, Product::Mosquitto, Strike::Kill)?;
    for kind in [Kind::Session, Kind::Retained] {
        ensure!(report.tally(kind).breaches[Breach::Lost as usize] > 0, "nothing was noticed\n{}", report.table());
    }
    Ok(())
}

/// Something that stops the updates of one of the gateways.
type Stops = fn(&mut [Case; 2]) -> anyhow::Result<Vec<Row>>;

fn stopped(stops: Stops) -> anyhow::Result<Steps> {
    let folder = tempfile::tempdir()?;
    let releases = Releases::publish(folder.path())?;
    let mut cases = Case::all(&releases, folder.path())?;
    Ok(Steps { rows: stops(&mut cases)? })
}

fn update_is_killed() -> anyhow::Result<()> {
    let report = stopped(|cases| cases.iter().map(|case| ota::kill::updates(case, 97)).collect())?;
    ensure!(report.rows.iter().all(|row| row.old > 0 && row.new > 0), "not stopped in the middle\n{}", report.table());
    report.all_whole()
}

fn launcher_is_killed() -> anyhow::Result<()> {
    stopped(|cases| Ok(vec![ota::kill::launches(&cases[0], 29)?, ota::kill::ways_back(&cases[1], 29)?]))?.all_whole()
}

fn update_is_cut() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let report = stopped(|cases| {
        let rows = cases.iter().map(|case| ota::power_cut::cut(case, &cuts(Ignored::Nothing)));
        Ok(rows.collect::<anyhow::Result<Vec<_>>>()?.concat())
    })?;
    ensure!(report.rows.iter().all(|row| row.old > 0 && row.new > 0), "not cut in the middle\n{}", report.table());
    report.all_whole()
}

fn broken_updates_are_noticed() -> anyhow::Result<()> {
    let killed = stopped(|cases| {
        cases[0].updater = Updater::Copy;
        Ok(vec![ota::kill::updates(&cases[0], 1)?])
    })?;
    ensure!(killed.rows[0].broken > 0, "nothing was noticed\n{}", killed.table());
    if !can_mount() {
        return Ok(());
    }
    let cut = stopped(|cases| Ok(ota::power_cut::cut(&cases[1], &cuts(Ignored::FileSyncs))?.into()))?;
    ensure!(cut.rows[0].breaches() > 0, "nothing was noticed\n{}", cut.table());
    Ok(())
}

fn cuts(ignored: Ignored) -> ota::power_cut::Plan {
    ota::power_cut::Plan { every: 11, mixes: 1, seed: 14, ignored }
}
