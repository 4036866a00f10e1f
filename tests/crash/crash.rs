//! `crash`: what `cargo xtask crash`, `power-cut` and `disk-faults` run. It starts brokers, loads them, strikes, and gives account
//! of everything that was acknowledged; it fails when something of that was not kept.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use selvedge_tests::crash::broker::Product;
use selvedge_tests::crash::report::Report;
use selvedge_tests::crash::{disk_faults, kill, power_cut};
use selvedge_tests::volatile_disk::{Cut, Ignored, NamesKept};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Print the numbers as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Kill -9 at random moments under load.
    Kill {
        #[arg(long, default_value_t = 300)]
        kills: u64,
        /// Go on until so many inputs of functions were acknowledged, and publish mostly those
        #[arg(long, conflicts_with = "kills")]
        inputs: Option<u64>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Runs, each with the next seed
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        #[arg(long, value_enum, default_value_t = Product::Selvedge)]
        target: Product,
        /// What happens to it instead
        #[arg(long, value_enum, default_value_t = kill::Strike::Kill)]
        strike: kill::Strike,
        /// Versions of the functions change hands meanwhile
        #[arg(long)]
        swaps: bool,
    },
    /// Cut the power at operations of the node.
    PowerCut {
        #[arg(long, default_value_t = 300)]
        cuts: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, value_enum, default_value_t = Cut::Mix)]
        mode: Cut,
        /// Cut short runs one after the other: at the first change, then so many later
        #[arg(long)]
        every: Option<u64>,
        /// What the disk only pretends to do
        #[arg(long, value_enum, default_value_t = Ignored::Nothing)]
        r#break: Ignored,
        /// What each fsync takes, milliseconds
        #[arg(long, default_value_t = 0)]
        fsync_delay_ms: u64,
        /// What a sync of a file does for the names of files: strict is nothing, journaled is what ext4 does
        #[arg(long, value_enum, default_value_t = NamesKept::Strict)]
        names: NamesKept,
        /// A folder in which is kept what each cut has left
        #[arg(long)]
        keep: Option<PathBuf>,
    },
    /// Let operations of the disk fail.
    DiskFaults {
        #[arg(long, default_value_t = 300)]
        faults: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = match arguments.task {
        Task::Kill { kills, inputs, seed, seeds, target, strike, swaps } => {
            let length = inputs.map_or(kill::Length::Kills(kills), kill::Length::Inputs);
            kill::run_seeds(&kill::Plan { length, seed, product: target, strike, swaps }, seeds)
        }
        Task::PowerCut { cuts, seed, mode, every, r#break, fsync_delay_ms, names, keep } => {
            let sync_delay = Duration::from_millis(fsync_delay_ms);
            power_cut::run(&power_cut::Plan { cuts, seed, mode, ignored: r#break, sync_delay, names, every, keep })
        }
        Task::DiskFaults { faults, seed } => {
            disk_faults::run(&disk_faults::Plan { faults, seed }).map(|(report, outcomes)| {
                eprintln!("{outcomes:?}");
                report
            })
        }
    };
    match report {
        Ok(report) => show(&report, arguments.json),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(report: &Report, json: bool) -> ExitCode {
    if json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.table());
    }
    if report.breaches() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
