//! A flood of connection attempts from one address, and what everybody else notices of it, with the guard off and on.
//!
//! Three rows that are run in turns: nothing, the flood without a guard, the flood with it. Others are a publisher and a
//! subscriber at a steady pace, and a client that connects anew all the time.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::node::{Node, Place};
use crate::spread::quantile;
use crate::wire::{NODE, Wire};
use crate::{PATIENCE, installed};

/// Whom no machine has, so that nobody answers the node's answers.
const FLOODER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// Between two connections of the one who connects anew.
const CONNECT_EVERY: Duration = Duration::from_millis(20);
/// For the flood to be under way before anything is measured.
const FLOOD_FIRST: Duration = Duration::from_millis(500);

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    /// The program that floods (`ebpf/examples/syn_flood.rs`).
    pub flooder: PathBuf,
    /// Each row so often.
    pub rounds: u32,
    /// Seconds of each.
    pub seconds: u64,
    /// SYNs a second.
    pub rate: u32,
    /// Messages a second of the others.
    pub messages: u32,
}

/// One row of one round.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Which.
    pub what: &'static str,
    /// SYNs a second that were sent.
    pub syns_per_s: f64,
    /// Of the messages of the others, microseconds.
    pub message_p50_us: f64,
    /// The same.
    pub message_p99_us: f64,
    /// The same.
    pub message_max_us: f64,
    /// Messages that were lost.
    pub lost: u64,
    /// Of the connections made meanwhile, microseconds from SYN to established.
    pub connect_p50_us: f64,
    /// The same.
    pub connect_p99_us: f64,
    /// How many did not come about.
    pub connects_failed: usize,
    /// Processor time of the node, seconds a second.
    pub node_cpu: f64,
    /// Processors busy in the whole machine, the flooder and the load among them.
    pub busy: f64,
    /// Packets that the guard dropped.
    pub dropped: u64,
}

/// Measures every row; `tell` hears of each as it comes.
///
/// # Errors
/// Something does not start, or a message is lost.
pub fn measure(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for round in 1..=plan.rounds {
        for (what, floods, guard) in
            [("undisturbed", false, "enforce"), ("flood, guard off", true, "off"), ("flood, guard on", true, "enforce")]
        {
            let row = measure_row(plan, what, floods, guard).with_context(|| format!("round {round}, {what}"))?;
            tell(&format!("round {round}: {}", line(&row)));
            ensure!(row.lost == 0, "{what}: {} messages were lost", row.lost);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn measure_row(plan: &Plan, what: &'static str, floods: bool, guard: &str) -> anyhow::Result<Row> {
    let wire = Wire::new("a flood")?.context("namespaces cannot be made")?;
    wire.neighbour(FLOODER)?;
    let place = Place::with_configuration(&format!(
        "[mqtt]\nlisten = \"{NODE}:1883\"\nallow_anonymous = true\n[websocket]\nlisten = \"127.0.0.1:0\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[limits]\nconnect_burst_per_address = 100000\n\
         [net]\ninterfaces = [\"wire\"]\ncounters = \"on\"\n\
         [net.guard]\nmode = \"{guard}\"\nattempts_per_s = 100\nattempts_burst = 1000\n"
    ))?;
    let node = place.start_on(&wire, &[])?;
    wait_for_counters(&node)?;
    let mut flooder = None;
    if floods {
        let mut command = Command::new(&plan.flooder);
        let seconds = (plan.seconds + 2).to_string();
        let (source, destination) = (FLOODER.to_string(), format!("{NODE}:1883"));
        command.args([
            "wire",
            &wire.hardware_address_of_node()?,
            &source,
            &destination,
            &plan.rate.to_string(),
            &seconds,
        ]);
        flooder = Some(wire.at_end_of_devices(&command).stdout(Stdio::piped()).spawn().context("start the flooder")?);
        std::thread::sleep(FLOOD_FIRST);
    }
    let busy_before = Busy::read()?;
    let (report, mut connects) = load(plan, &wire, &node)?;
    let busy = Busy::read()?.since(&busy_before);
    let syns_per_s = flooder.map(rate_of).transpose()?.unwrap_or(0.0);
    let guarded: Value = serde_json::from_str(&node.cli_succeeds(&["net", "status", "--json"])?)?;
    let number = |pointer: &str| {
        report.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("{pointer} is not in {report}"))
    };
    connects.taken.sort_unstable();
    let connecting = |share| quantile(&connects.taken, share).map_or(f64::NAN, |taken| taken.as_secs_f64() * 1e6);
    Ok(Row {
        what,
        syns_per_s,
        message_p50_us: number("/latency/p50_us")?,
        message_p99_us: number("/latency/p99_us")?,
        message_max_us: number("/latency/max_us")?,
        lost: report.pointer("/delivery/lost").and_then(Value::as_u64).context("the lost messages")?,
        connect_p50_us: connecting(0.5),
        connect_p99_us: connecting(0.99),
        connects_failed: connects.failed,
        node_cpu: number("/resources/broker_cpu_us")? / 1e6 / number("/elapsed_s")?,
        busy,
        dropped: guarded.pointer("/guard/dropped_too_fast/packets").and_then(Value::as_u64).unwrap_or(0),
    })
}

fn wait_for_counters(node: &Node) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status: Value = serde_json::from_str(&node.cli_succeeds(&["net", "status", "--json"])?)?;
        match status["state"].as_str() {
            Some("counting") => return Ok(()),
            Some("starting") if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            _ => bail!("packets are not counted: {status}"),
        }
    }
}

struct Connects {
    taken: Vec<Duration>,
    failed: usize,
}

/// The others: the report of the load generator, and how long connecting took meanwhile.
fn load(plan: &Plan, wire: &Wire, node: &Node) -> anyhow::Result<(Value, Connects)> {
    let mut command = Command::new(installed::selvedge()?);
    let (rate, seconds, pid) = (plan.messages.to_string(), plan.seconds.to_string(), node.id().to_string());
    let host = NODE.to_string();
    command.args(["bench", "pair", "--host", &host, "--qos", "1", "--rate", &rate, "--seconds", &seconds]);
    command.args(["--warmup", "100", "--pid", &pid, "--json"]);
    let mut inside = wire.at_end_of_devices(&command);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| wire.at_devices(|| Ok(connect_again_and_again(&is_over))));
        let output = inside.output().context("run the load");
        is_over.store(true, Ordering::Release);
        let connects = connecting.join().unwrap_or_else(|_| bail!("connecting panicked"))?;
        let output = output?;
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text)
            .with_context(|| format!("the load: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
        Ok((report, connects))
    })
}

fn connect_again_and_again(is_over: &AtomicBool) -> Connects {
    let mut connects = Connects { taken: Vec::new(), failed: 0 };
    while !is_over.load(Ordering::Acquire) {
        let started = Instant::now();
        match TcpStream::connect_timeout(&SocketAddr::new(NODE.into(), 1883), Duration::from_secs(3)) {
            Ok(_) => connects.taken.push(started.elapsed()),
            Err(_) => connects.failed += 1,
        }
        std::thread::sleep(CONNECT_EVERY.saturating_sub(started.elapsed()));
    }
    connects
}

fn rate_of(flooder: std::process::Child) -> anyhow::Result<f64> {
    let output = flooder.wait_with_output().context("wait for the flooder")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.rsplit_once(": ").and_then(|(_, rate)| rate.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("the flooder said {text:?}"))
}

/// Time that all processors together have worked, and that there was, in ticks.
struct Busy {
    worked: f64,
    all: f64,
}

impl Busy {
    fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let first = text.lines().next().context("a line of /proc/stat")?;
        let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        let all: f64 = ticks.iter().take(8).sum();
        // The fourth is idle, the fifth waits for a disk.
        let idle: f64 = ticks.iter().skip(3).take(2).sum();
        Ok(Self { worked: all - idle, all })
    }

    /// Processors busy on average since `before`.
    fn since(&self, before: &Self) -> f64 {
        let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        (self.worked - before.worked) / (self.all - before.all) * processors
    }
}

fn line(row: &Row) -> String {
    format!(
        "{:<17} {:>8.0} SYN/s; messages p50 {:>6.0} p99 {:>7.0} max {:>7.0} µs; connecting p50 {:>6.0} p99 {:>8.0} µs, {} failed; node {:.3} CPU, machine {:.2}; dropped {}",
        row.what,
        row.syns_per_s,
        row.message_p50_us,
        row.message_p99_us,
        row.message_max_us,
        row.connect_p50_us,
        row.connect_p99_us,
        row.connects_failed,
        row.node_cpu,
        row.busy,
        row.dropped
    )
}

/// A table of the medians of each row.
pub fn print(rows: &[Row]) -> String {
    let mut text = "| | SYN/s | messages p50 µs | p99 | max | connecting p50 µs | p99 | failed | CPU of the node | processors busy | dropped |\n|---|---|---|---|---|---|---|---|---|---|---|\n".to_owned();
    for what in ["undisturbed", "flood, guard off", "flood, guard on"] {
        let median = |value: fn(&Row) -> f64| {
            let mut values: Vec<f64> = rows.iter().filter(|row| row.what == what).map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let _ = writeln!(
            text,
            "| {what} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.3} | {:.2} | {:.0} |",
            median(|row| row.syns_per_s),
            median(|row| row.message_p50_us),
            median(|row| row.message_p99_us),
            median(|row| row.message_max_us),
            median(|row| row.connect_p50_us),
            median(|row| row.connect_p99_us),
            median(|row| row.connects_failed as f64),
            median(|row| row.node_cpu),
            median(|row| row.busy),
            median(|row| row.dropped as f64)
        );
    }
    text
}
