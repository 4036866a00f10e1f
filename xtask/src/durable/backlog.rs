//! `cargo xtask bench-backlog`: a million messages for sessions that are away, a kill, and the way back.
//!
//! Invariant: what is drained is counted message by message; the task fails when one that was acknowledged is not there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::configuration::{self, Mode, Room};
use super::folder::{Folder, disk_bytes};
use super::memory::{MemoryWatch, Sample, thinned};
use super::node::{Node, Place};
use super::volatile_disk::VolatileDisk;
use super::{ProgramOptions, Programs, generator};

/// Payload of a message, in bytes.
const PAYLOAD_BYTES: u64 = 256;

/// Resident memory that the node may have at any time, and how soon it may be back after a kill.
const RESIDENT_BYTES_GOAL: u64 = 100_000_000;
const ANSWERED_GOAL: Duration = Duration::from_secs(3);

/// What may stay on the disk of a drained backlog: files that are about to be replaced.
const DISK_RESIDUE_BYTES: u64 = 8 << 20;

/// How long the disk may take to get back to the floor.
const DISK_RETURN_MAX: Duration = Duration::from_secs(30);

/// Points of the curve of memory.
const POINTS: usize = 12;

/// Arguments of `cargo xtask bench-backlog`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench-backlog                              a million messages, killed in between\n  \
    cargo xtask bench-backlog --mode memory --no-kill      what it is without durability\n  \
    cargo xtask bench-backlog --messages 100000 --fsync-delay 5ms --json")]
pub struct Options {
    /// Messages in all, of 256 bytes
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    messages: u64,
    /// Sessions that they wait in
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    sessions: u64,
    /// Which broker
    #[arg(long, value_enum, default_value_t = Mode::Fsync)]
    mode: Mode,
    /// Drain without killing the node before
    #[arg(long)]
    no_kill: bool,
    /// Put the data on a file system of the tests whose fsync takes this long, such as 5ms
    #[arg(long, value_name = "TIME")]
    fsync_delay: Option<String>,
    /// The program that mounts it, instead of the built one
    #[arg(long, value_name = "FILE", requires = "fsync_delay")]
    volatile_disk: Option<PathBuf>,
    /// Folder on the disk that is to be used, instead of cargo's build folder
    #[arg(long, value_name = "DIR")]
    data_disk: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Which programs.
    #[command(flatten)]
    programs: ProgramOptions,
}

/// Everything that is measured.
#[derive(Default)]
struct Found {
    disk_floor_bytes: u64,
    disk_full_bytes: u64,
    disk_after_bytes: u64,
    disk_return_s: f64,
    filling: Vec<Sample>,
    draining: Vec<Sample>,
    resident_start_bytes: u64,
    resident_full_bytes: u64,
    resident_back_bytes: Option<u64>,
    resident_after_bytes: u64,
    /// The most of each process.
    resident_peaks_bytes: Vec<u64>,
    ready_s: Option<f64>,
    answered_s: Option<f64>,
    publish: Value,
    drain: Value,
    complaints: Vec<String>,
}

/// Fills, kills, starts again, drains, prints.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let programs = options.programs.prepare()?;
    let folder = Folder::create(options.data_disk.as_deref(), "bench-backlog")?;
    let section = configuration::knows_durability(&programs.selvedge, folder.path())?;
    if !section && matches!(options.mode, Mode::Fsync | Mode::Interval) {
        println!("SKIPPED {}: this binary knows no [durability]; `--mode memory --no-kill` runs", options.mode.name());
        return Ok(());
    }
    let root = folder.path().join("disk");
    let disk = match &options.fsync_delay {
        Some(delay) => {
            let stats = folder.path().join("stats");
            Some(VolatileDisk::mount(options.volatile_disk.as_deref(), &root, delay, &stats)?)
        }
        None => None,
    };
    let messages = options.messages.div_ceil(options.sessions) + 1;
    let room = Room { messages, payload_bytes: PAYLOAD_BYTES, sessions: options.sessions };
    let place = Place { folder: root, mode: options.mode, section, room };
    let found = measure(options, &programs, &place);
    drop(disk);
    let found = found?;
    if options.json {
        println!("{:#}", found.json(options));
    } else {
        print!("{}", found.text(options));
    }
    // What only memory holds does not outlive a kill.
    let has_to_keep = match options.mode {
        Mode::Fsync | Mode::Interval => true,
        Mode::Memory => options.no_kill,
        Mode::Mosquitto => false,
    };
    if has_to_keep && !found.complaints.is_empty() {
        bail!("selvedge failed: {}", found.complaints.join("; "));
    }
    Ok(())
}

fn measure(options: &Options, programs: &Programs, place: &Place) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut node = place.start(programs)?;
    let mut phase = |node: &Node, name: &str| -> anyhow::Result<Value> {
        eprintln!("{name}");
        let (messages, sessions) = (options.messages.to_string(), options.sessions.to_string());
        let payload = PAYLOAD_BYTES.to_string();
        let words =
            ["backlog", "--phase", name, "--messages", &messages, "--sessions", &sessions, "--publishers", "10"];
        let more = ["--payload-bytes", &payload, "--timeout-s", "60"];
        let arguments: Vec<String> = words.iter().chain(&more).map(|word| (*word).to_owned()).collect();
        let report = generator::run(programs, node, &arguments)?;
        found.complaints.extend(generator::complaints(&report));
        Ok(report)
    };
    phase(&node, "prepare")?;
    found.disk_floor_bytes = disk_bytes(&place.data());
    found.resident_start_bytes = node.resident_bytes()?;
    let watch = MemoryWatch::start(node.pid());
    found.publish = phase(&node, "publish")?["publish"].take();
    found.filling = watch.finish();
    found.resident_full_bytes = node.resident_bytes()?;
    found.disk_full_bytes = disk_bytes(&place.data());
    if !options.no_kill {
        eprintln!("kill");
        found.resident_peaks_bytes.push(node.peak_bytes()?);
        node = node.kill()?.start(programs).context("start the node again after the kill")?;
        found.ready_s = node.ready_after.map(|after| after.as_secs_f64());
        found.answered_s = Some(node.answered_after.as_secs_f64());
        found.resident_back_bytes = Some(node.resident_bytes()?);
    }
    let watch = MemoryWatch::start(node.pid());
    found.drain = phase(&node, "drain")?["drain"].take();
    found.draining = watch.finish();
    let drained = Instant::now();
    loop {
        found.disk_after_bytes = disk_bytes(&place.data());
        let back = found.disk_after_bytes <= found.disk_floor_bytes + DISK_RESIDUE_BYTES;
        if back || drained.elapsed() > DISK_RETURN_MAX {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    found.disk_return_s = drained.elapsed().as_secs_f64();
    found.resident_after_bytes = node.resident_bytes()?;
    found.resident_peaks_bytes.push(node.peak_bytes()?);
    Ok(found)
}

impl Found {
    fn resident_most_bytes(&self) -> u64 {
        let samples = self.filling.iter().chain(&self.draining).map(|(_, bytes)| *bytes);
        samples.chain(self.resident_peaks_bytes.iter().copied()).max().unwrap_or(0)
    }

    /// What, figure, goal in the same unit, and whether it is reached.
    fn goals(&self) -> Vec<(&'static str, String, String, bool)> {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let most = self.resident_most_bytes();
        let floor = self.disk_floor_bytes + DISK_RESIDUE_BYTES;
        let mut goals = vec![
            ("memory at any time", megabytes(most), megabytes(RESIDENT_BYTES_GOAL), most <= RESIDENT_BYTES_GOAL),
            (
                "disk after the drain",
                megabytes(self.disk_after_bytes),
                megabytes(floor),
                self.disk_after_bytes <= floor,
            ),
        ];
        if let Some(answered_s) = self.answered_s {
            let goal_s = ANSWERED_GOAL.as_secs_f64();
            let figure = format!("{answered_s:.3} s");
            goals.push(("exec to first CONNACK", figure, format!("{goal_s:.0} s"), answered_s <= goal_s));
        }
        goals
    }

    fn text(&self, options: &Options) -> String {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let curve = |samples: &[Sample]| {
            let points = thinned(samples, POINTS);
            let points = points.iter().map(|(at_s, bytes)| format!("{at_s:.1} s {:.0}", *bytes as f64 / 1e6));
            points.collect::<Vec<_>>().join(", ")
        };
        let number =
            |report: &Value, pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let mut lines = vec![
            format!(
                "{} messages of {PAYLOAD_BYTES} bytes for {} sessions that are away, {}",
                options.messages,
                options.sessions,
                options.mode.name()
            ),
            format!(
                "  publish        {:.0} messages/s, {:.2} µs CPU each, PUBACK p50 {:.2} ms, p99 {:.2} ms, {:.2} bytes to disk per payload byte",
                number(&self.publish, "/per_second"),
                number(&self.publish, "/broker_cpu_us_each"),
                number(&self.publish, "/acknowledgement/p50_us") / 1e3,
                number(&self.publish, "/acknowledgement/p99_us") / 1e3,
                number(&self.publish, "/disk_bytes_per_payload_byte"),
            ),
            format!("  memory, MB     {}", curve(&self.filling)),
            format!(
                "                 {} → {}",
                megabytes(self.resident_start_bytes),
                megabytes(self.resident_full_bytes)
            ),
            format!("  disk           {} → {}", megabytes(self.disk_floor_bytes), megabytes(self.disk_full_bytes)),
        ];
        if let (Some(answered_s), Some(resident)) = (self.answered_s, self.resident_back_bytes) {
            let ready = self.ready_s.map_or_else(String::new, |ready_s| format!("ready after {ready_s:.3} s, "));
            lines.push(format!(
                "  killed         {ready}first CONNACK after {answered_s:.3} s, {}",
                megabytes(resident)
            ));
        }
        lines.push(format!(
            "  drain          {:.0} of {:.0}, lost {:.0}, twice {:.0}, out of order {:.0}: {:.0} messages/s, {:.2} µs CPU each",
            number(&self.drain, "/delivery/delivered"),
            number(&self.drain, "/delivery/expected"),
            number(&self.drain, "/delivery/lost"),
            number(&self.drain, "/delivery/duplicates"),
            number(&self.drain, "/delivery/out_of_order"),
            number(&self.drain, "/per_second"),
            number(&self.drain, "/broker_cpu_us_each"),
        ));
        lines.push(format!("  memory, MB     {}", curve(&self.draining)));
        lines.push(format!("  memory after   {}", megabytes(self.resident_after_bytes)));
        lines.push(format!(
            "  disk after     {} ({:.1} s later)",
            megabytes(self.disk_after_bytes),
            self.disk_return_s
        ));
        lines.extend(self.complaints.iter().map(|complaint| format!("  WRONG          {complaint}")));
        lines.extend(self.goals().iter().map(|(what, figure, goal, met)| {
            let verdict = if *met { "met" } else { "NOT met" };
            format!("goal {what} ≤ {goal}: {verdict}, {figure}")
        }));
        lines.join("\n") + "\n"
    }

    fn json(&self, options: &Options) -> Value {
        let curve = |samples: &[Sample]| thinned(samples, 10 * POINTS);
        let goals = self.goals();
        let goals = goals
            .iter()
            .map(|(what, figure, goal, met)| json!({ "what": what, "figure": figure, "most": goal, "met": met }));
        json!({
            "broker": options.mode.name(),
            "messages": options.messages,
            "sessions": options.sessions,
            "publish": self.publish,
            "drain": self.drain,
            "ready_s": self.ready_s,
            "first_connack_s": self.answered_s,
            "resident_bytes": {
                "start": self.resident_start_bytes,
                "full": self.resident_full_bytes,
                "after_kill": self.resident_back_bytes,
                "after_drain": self.resident_after_bytes,
                "most": self.resident_most_bytes(),
                "while_publishing": curve(&self.filling),
                "while_draining": curve(&self.draining),
            },
            "disk_bytes": {
                "floor": self.disk_floor_bytes,
                "full": self.disk_full_bytes,
                "after_drain": self.disk_after_bytes,
                "returned_after_s": self.disk_return_s,
            },
            "goals": goals.collect::<Vec<_>>(),
            "complaints": self.complaints,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sample_of_memory_is_judged_and_a_run_without_a_kill_has_no_start() {
        let mut found =
            Found { filling: vec![(0.1, 5), (0.2, 100_000_001)], resident_peaks_bytes: vec![7], ..Found::default() };
        assert_eq!(found.goals().iter().map(|goal| goal.3).collect::<Vec<_>>(), [false, true]);
        (found.filling[1].1, found.answered_s) = (100_000_000, Some(3.1));
        assert_eq!(found.goals().iter().map(|goal| goal.3).collect::<Vec<_>>(), [true, true, false]);
    }
}
