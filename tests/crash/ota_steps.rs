//! `ota-steps`: what `cargo xtask ota-steps` runs. It applies updates, kills them at each system call and cuts their power at each
//! change of the disk, and fails when anything but the old or the new program is left.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use selvedge_tests::ota::case::{Case, Updater};
use selvedge_tests::ota::release::Releases;
use selvedge_tests::ota::report::Report;
use selvedge_tests::ota::{kill, power_cut};
use selvedge_tests::volatile_disk::Ignored;

#[derive(Parser)]
struct Arguments {
    /// What is stopped
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Update, Part::Launcher, Part::PowerCut])]
    parts: Vec<Part>,
    /// Stops at the first step, then at so many later, and so on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// For each cut, how many random parts of what was not durable survive, one after the other
    #[arg(long, default_value_t = 7)]
    mixes: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is broken on purpose, which has to be noticed
    #[arg(long, value_enum)]
    r#break: Option<Broken>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The process that applies the update, killed at each system call.
    Update,
    /// The launcher that starts a program on trial, killed at each system call.
    Launcher,
    /// The power, at each change of the disk while an update is applied and started.
    PowerCut,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Broken {
    /// The update is `cp` over the installed program.
    Copy,
    /// The disk only pretends to fsync files.
    Fsync,
    /// The disk only pretends to fsync directories.
    DirectoryFsync,
    /// The disk only pretends to fsync.
    EveryFsync,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) if arguments.json => match serde_json::to_string_pretty(&report) {
            Ok(text) => {
                println!("{text}");
                code(&report)
            }
            Err(error) => fails(&error.into()),
        },
        Ok(report) => {
            print!("{}", report.table());
            code(&report)
        }
        Err(error) => fails(&error),
    }
}

fn code(report: &Report) -> ExitCode {
    if report.breaches() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fails(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let releases = Releases::publish(folder.path())?;
    let mut cases = Vec::from(Case::all(&releases, folder.path())?);
    if arguments.r#break == Some(Broken::Copy) {
        // A gateway with a good slot does not start the installed program.
        cases.truncate(1);
        cases.iter_mut().for_each(|case| case.updater = Updater::Copy);
    }
    let mut report = Report::default();
    for part in &arguments.parts {
        for case in &cases {
            eprintln!("{}", case.name);
            match part {
                Part::Update => report.rows.push(kill::updates(case, arguments.every)?),
                Part::Launcher if arguments.r#break == Some(Broken::Copy) => {}
                Part::Launcher => {
                    report.rows.push(kill::launches(case, arguments.every)?);
                    report.rows.push(kill::ways_back(case, arguments.every)?);
                }
                Part::PowerCut => report.rows.extend(power_cut::cut(case, &plan(arguments))?),
            }
        }
    }
    Ok(report)
}

fn plan(arguments: &Arguments) -> power_cut::Plan {
    let ignored = match arguments.r#break {
        None | Some(Broken::Copy) => Ignored::Nothing,
        Some(Broken::Fsync) => Ignored::FileSyncs,
        Some(Broken::DirectoryFsync) => Ignored::DirectorySyncs,
        Some(Broken::EveryFsync) => Ignored::Syncs,
    };
    power_cut::Plan { every: arguments.every, mixes: arguments.mixes, seed: arguments.seed, ignored }
}
