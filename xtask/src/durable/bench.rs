//! `cargo xtask bench-durable`: what durability costs, beside the same node without it and beside mosquitto.
//!
//! Every broker is started once, on the same file system; the rounds are interleaved. Invariant: ratios compare runs of the
//! same round.

use std::path::PathBuf;

use anyhow::bail;

use super::configuration::{self, Mode, Room};
use super::figures::Figures;
use super::folder::Folder;
use super::node::{Node, Place};
use super::rows::{RUNS, Run};
use super::table::RowResult;
use super::volatile_disk::VolatileDisk;
use super::{ProgramOptions, Programs, generator, table};

/// Arguments of `cargo xtask bench-durable`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench-durable                             on the machine's own disk\n  \
    cargo xtask bench-durable --fsync-delay 5ms           on a disk whose fsync takes 5 ms\n  \
    cargo xtask bench-durable --data-disk /mnt/sd --quick --json")]
pub struct Options {
    /// Interleaved rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only these brokers
    #[arg(long, value_delimiter = ',', value_enum,
        default_values_t = [Mode::Fsync, Mode::Interval, Mode::Memory, Mode::Mosquitto])]
    brokers: Vec<Mode>,
    /// Messages of each run that is not paced
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    messages: u64,
    /// Put the data on a file system of the tests whose fsync takes this long, such as 5ms
    #[arg(long, value_name = "TIME")]
    fsync_delay: Option<String>,
    /// The program that mounts it, instead of the built one
    #[arg(long, value_name = "FILE", requires = "fsync_delay")]
    volatile_disk: Option<PathBuf>,
    /// Folder on the disk that is to be measured, instead of cargo's build folder
    #[arg(long, value_name = "DIR")]
    data_disk: Option<PathBuf>,
    /// One round with few messages: a smoke run whose figures mean little
    #[arg(long)]
    quick: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Which programs.
    #[command(flatten)]
    programs: ProgramOptions,
}

/// Starts, measures, prints, stops.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let programs = options.programs.prepare()?;
    let folder = Folder::create(options.data_disk.as_deref(), "bench-durable")?;
    let disk = match &options.fsync_delay {
        Some(delay) => {
            let (mount, stats) = (folder.path().join("disk"), folder.path().join("stats"));
            Some(VolatileDisk::mount(options.volatile_disk.as_deref(), &mount, delay, &stats)?)
        }
        None => None,
    };
    let messages = if options.quick { options.messages.min(5_000) } else { options.messages };
    let nodes = start_all(options, &programs, &folder, messages)?;
    let modes: Vec<Mode> = nodes.iter().map(Node::mode).collect();
    let mut results: Vec<RowResult> =
        RUNS.iter().flat_map(|run| run.rows).map(|row| RowResult::new(row, &modes)).collect();
    let rounds = if options.quick { 1 } else { options.rounds };
    for round in 0..rounds as usize {
        for (index, run) in RUNS.iter().enumerate() {
            let first_row: usize = RUNS[..index].iter().map(|run| run.rows.len()).sum();
            // Each round begins with another broker, so that none always follows the same one.
            for at in 0..nodes.len() {
                let node = &nodes[(at + round) % nodes.len()];
                eprintln!("round {} of {rounds}: {}, {}", round + 1, run.arguments.join(" "), node.mode().name());
                let results = &mut results[first_row..first_row + run.rows.len()];
                measure(run, &programs, node, [messages, u64::from(options.quick)], results);
            }
        }
    }
    drop(nodes);
    drop(disk);
    if options.json {
        println!("{:#}", table::json(&results));
    } else {
        print!("{}", table::text(&results));
    }
    let complaints: Vec<String> = results.iter().flat_map(RowResult::complaints).collect();
    if !complaints.is_empty() {
        bail!("selvedge failed: {}", complaints.join("; "));
    }
    Ok(())
}

/// Starts what was asked for and is possible, each in a folder of its own on the measured disk.
fn start_all(options: &Options, programs: &Programs, folder: &Folder, messages: u64) -> anyhow::Result<Vec<Node>> {
    let section = configuration::knows_durability(&programs.selvedge, folder.path())?;
    let root = if options.fsync_delay.is_some() { folder.path().join("disk") } else { folder.path().to_path_buf() };
    let mut nodes = Vec::new();
    for mode in &options.brokers {
        if !section && matches!(mode, Mode::Fsync | Mode::Interval) {
            println!("SKIPPED {}: this binary knows no [durability]", mode.name());
            continue;
        }
        if *mode == Mode::Mosquitto && crate::bench_peers::find_mosquitto().is_none() {
            println!("SKIPPED mosquitto: it is not installed (`cargo xtask setup`)");
            continue;
        }
        // As much as the paced rows publish is less.
        let room = Room { messages: messages.max(20_000), payload_bytes: 256, sessions: 10 };
        let place = Place { folder: root.join(mode.name()), mode: *mode, section, room };
        nodes.push(place.start(programs)?);
    }
    Ok(nodes)
}

/// One run against one broker, booked in the rows that it has.
fn measure(run: &Run, programs: &Programs, node: &Node, amount: [u64; 2], results: &mut [RowResult]) {
    let [messages, quick] = amount;
    let arguments: Vec<String> =
        run.arguments.iter().map(|word| (*word).to_owned()).chain(run.amount(messages, quick > 0)).collect();
    let report = generator::run(programs, node, &arguments);
    if let Err(error) = &report {
        eprintln!("  {error:#}");
    }
    for (row, result) in run.rows.iter().zip(results) {
        let figures = report.as_ref().map_err(|error| format!("{error:#}"));
        let figures =
            figures.and_then(|report| Figures::read(report, row.report).map_err(|error| format!("{error:#}")));
        result.add(node.mode(), figures);
    }
}
