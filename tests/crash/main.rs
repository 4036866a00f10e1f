//! Small runs of the crash tests, for every commit; `cargo xtask crash`, `power-cut` and `disk-faults` are the long ones.
//!
//! A test that waits for something of the product stands in [`WAITING`] and runs with `-- --include-ignored`; one that this
//! machine cannot run says SKIPPED and why. Invariant: nothing that waits is green.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::{Arguments, Failed, Trial};
use selvedge_tests::crash::broker::Product;
use selvedge_tests::crash::kill::Strike;
use selvedge_tests::crash::report::{Breach, Kind, Report};
use selvedge_tests::crash::{disk_faults, kill, power_cut};
use selvedge_tests::installed;
use selvedge_tests::volatile_disk::{Cut, Ignored, NamesKept, VolatileDisk};

/// Tests that cannot pass yet, and what each waits for.
const WAITING: &[(&str, &str)] = &[
    (
        "nothing_acknowledged_is_lost_when_the_power_is_cut_and_the_cache_dropped",
        "the last updates of twins and the order of messages under a slow disk",
    ),
    (
        "nothing_acknowledged_is_lost_when_the_power_is_cut_and_the_cache_mixed",
        "the last updates of twins and the order of messages under a slow disk",
    ),
    ("nothing_acknowledged_is_lost_when_the_disk_fails", "inputs of functions after a failed fsync"),
    (
        "twins_survive_kills_and_cuts_and_the_node_starts_on_what_is_left",
        "the key of the functions, which is made anew where a power cut left it half written",
    ),
];

/// A test and its name.
type Test = (&'static str, fn() -> anyhow::Result<()>);

const TESTS: &[Test] = &[
    ("nothing_is_lost_when_all_connections_break", connections_break),
    ("nothing_acknowledged_is_lost_when_the_node_is_killed", node_is_killed),
    ("nothing_acknowledged_is_lost_when_the_power_is_cut_and_the_cache_dropped", || power_is_cut(Cut::Drop)),
    ("nothing_acknowledged_is_lost_when_the_power_is_cut_and_the_cache_mixed", || power_is_cut(Cut::Mix)),
    ("nothing_acknowledged_is_lost_when_the_disk_fails", disk_fails),
    ("twins_survive_kills_and_cuts_and_the_node_starts_on_what_is_left", twins_survive),
    ("a_disk_that_ignores_fsync_is_noticed", ignored_syncs_are_noticed),
    ("a_broker_that_loses_sessions_is_noticed", lost_sessions_are_noticed),
];

fn main() -> ExitCode {
    let trials = TESTS.iter().map(|(name, run)| {
        let waits = WAITING.iter().find(|(waiting, _)| waiting == name);
        let kind = waits.map_or_else(String::new, |(_, reason)| format!("waits for {reason}"));
        let run = *run;
        Trial::test(*name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
            .with_kind(kind)
            .with_ignored_flag(waits.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Whether there is FUSE; says so if not.
fn can_mount() -> bool {
    let reason = VolatileDisk::unavailable();
    if let Some(reason) = &reason {
        println!("SKIPPED: {reason}");
    }
    reason.is_none()
}

fn killed(kills: u64, product: Product, strike: Strike) -> anyhow::Result<Report> {
    kill::run(&kill::Plan { kills, seed: 11, product, strike })
}

fn cut(cuts: u64, mode: Cut, ignored: Ignored) -> anyhow::Result<Report> {
    let (sync_delay, names) = (Duration::ZERO, NamesKept::Strict);
    power_cut::run(&power_cut::Plan { cuts, seed: 12, mode, ignored, sync_delay, names, every: None, keep: None })
}

fn connections_break() -> anyhow::Result<()> {
    let report = killed(6, Product::Selvedge, Strike::Disconnect)?;
    ensure!(report.tally(Kind::ExactlyOnce).acknowledged > 1000, "hardly any load\n{}", report.table());
    report.all_kept()
}

fn node_is_killed() -> anyhow::Result<()> {
    killed(15, Product::Selvedge, Strike::Kill)?.all_kept()
}

fn power_is_cut(mode: Cut) -> anyhow::Result<()> {
    if can_mount() { cut(6, mode, Ignored::Nothing)?.all_kept() } else { Ok(()) }
}

fn disk_fails() -> anyhow::Result<()> {
    if can_mount() { disk_faults::run(&disk_faults::Plan { faults: 6, seed: 13 })?.0.all_kept() } else { Ok(()) }
}

/// The part of the promise that does not need durable sessions.
fn twins_survive() -> anyhow::Result<()> {
    let mut reports = vec![killed(3, Product::Selvedge, Strike::Kill)?];
    if can_mount() {
        reports.push(cut(4, Cut::Mix, Ignored::Nothing)?);
    }
    for report in reports {
        ensure!(report.tally(Kind::Twin).acknowledged > 0, "no twin was updated\n{}", report.table());
        for kind in [Kind::Twin, Kind::Node] {
            ensure!(report.tally(kind).breaches == [0; 4], "{}\n{}", report.table(), report.words().join("\n"));
        }
    }
    Ok(())
}

fn ignored_syncs_are_noticed() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let report = cut(2, Cut::Drop, Ignored::FileSyncs)?;
    // Twins are what a node keeps that does fsync: only the disk's lie loses them, or makes it not start.
    let lost = report.tally(Kind::Twin).breaches[Breach::Lost as usize]
        + report.tally(Kind::Node).breaches[Breach::Wrong as usize];
    ensure!(lost > 0, "nothing was noticed\n{}", report.table());
    Ok(())
}

fn lost_sessions_are_noticed() -> anyhow::Result<()> {
    if let Err(error) = installed::program("mosquitto") {
        println!("SKIPPED: {error:#}");
        return Ok(());
    }
    let report = killed(2, Product::Mosquitto, Strike::Kill)?;
    for kind in [Kind::Session, Kind::Retained] {
        ensure!(report.tally(kind).breaches[Breach::Lost as usize] > 0, "nothing was noticed\n{}", report.table());
    }
    Ok(())
}
