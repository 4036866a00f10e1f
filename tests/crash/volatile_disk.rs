//! `volatile-disk`: mounts the file system of `tests/src/volatile_disk.rs`, empty and in memory, until SIGINT or SIGTERM.
//!
//! For benches, which need the fsync of a flash chip on a machine that has none, and to look at what a program writes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use selvedge_tests::volatile_disk::{CAPACITY_BYTES, Options, Tree, VolatileDisk};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How often the statistics are written.
const STATISTICS_EVERY: Duration = Duration::from_secs(1);

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Mount an empty disk at a folder; prints `mounted` when it can be used.
    Mount {
        folder: PathBuf,
        /// What each fsync takes: 5ms, 200us, 1s
        #[arg(long, default_value = "0ms", value_parser = duration)]
        fsync_delay: Duration,
        /// MiB that fit on it
        #[arg(long, default_value_t = CAPACITY_BYTES >> 20)]
        capacity_mib: u64,
        /// Where the counts of operations and bytes are kept, as JSON, once a second and at the end
        #[arg(long, value_name = "FILE")]
        stats: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Task::Mount { folder, fsync_delay, capacity_mib, stats } = Arguments::parse().task;
    let tree = Tree::of_capacity(capacity_mib << 20);
    let options = Options { sync_delay: fsync_delay, ..Options::default() };
    match serve(tree, options, &folder, stats.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(tree: Tree, options: Options, folder: &Path, stats: Option<&Path>) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("wait for signals")?;
    let (ended, end) = channel();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            ended.send(()).ok();
        }
    });
    let disk = VolatileDisk::mount(tree, options, folder)?;
    println!("mounted");
    loop {
        let waited = end.recv_timeout(STATISTICS_EVERY);
        if let Some(path) = stats {
            write_statistics(&disk, path)?;
        }
        if waited != Err(RecvTimeoutError::Timeout) {
            return disk.unmount();
        }
    }
}

fn write_statistics(disk: &VolatileDisk, path: &Path) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, format!("{:#}\n", disk.counters().to_json()))
        .and_then(|()| std::fs::rename(&new, path))
        .with_context(|| format!("write {}", path.display()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits.parse().map_err(|_| format!("{text} has no number before its unit"))?;
    match &text[digits.len()..] {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        unit => Err(format!("{unit} is no unit; allowed are us, ms, s")),
    }
}
