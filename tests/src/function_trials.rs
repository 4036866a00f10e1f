//! Three broken versions of a function under steady load: what the gate says of each, and how soon a canary of it has gone back.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::PATIENCE;
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::installed;
use crate::node::Place;
use crate::server_packet::{ServerPacket, decode};
use crate::siege::wire::{Target, Way, Wire, wait_until};

/// What is broken: a Fahrenheit reading that goes out as Celsius, a field that is lost, ten times the time.
const FAULTS: [&str; 3] = ["unit", "field", "slow"];
/// Messages on record before a version is judged.
const RECORDED: usize = 100;
const ROLLED_BACK: &str = "$fn/event/celsius/canary-rolled-back";

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Messages a second.
    pub rate: u32,
    /// How often each version is put on trial.
    pub rounds: u32,
}

/// What came of a broken version.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// What is broken.
    pub fault: &'static str,
    /// What `fn promote` printed, and it refused.
    pub report: String,
    /// From the answer to `fn canary` until the event that tells that it has gone back came, seconds.
    pub back_after_s: Vec<f64>,
    /// Why, as the event of the last round says.
    pub reason: String,
}

/// The function for trials with a fault (`none` is one), in a folder of its own; under a name and with a trigger.
///
/// # Errors
/// Its files are missing, or the folder cannot be written.
pub fn with_fault(folder: &Path, fault: &str, (name, trigger): (&str, &str)) -> anyhow::Result<String> {
    let source = installed::repository_file("functions/tests/guests/celsius");
    let manifest = std::fs::read_to_string(source.join("function.toml")).context("read the manifest of celsius")?;
    let manifest = manifest.replace("name = \"celsius\"", &format!("name = \"{name}\""));
    let manifest = manifest.replace("mqtt = \"fahrenheit\"", &format!("mqtt = \"{trigger}\""));
    let directory = folder.join(format!("{name}-{fault}"));
    std::fs::create_dir_all(&directory).context("make a folder for a function")?;
    std::fs::write(directory.join("function.toml"), format!("{manifest}\n[config]\nfault = \"{fault}\"\n"))?;
    std::fs::copy(source.join("celsius.wasm"), directory.join("celsius.wasm")).context("copy celsius.wasm")?;
    Ok(directory.to_string_lossy().into_owned())
}

/// The same as it is meant.
///
/// # Errors
/// As [`with_fault`].
pub fn celsius(folder: &Path, fault: &str) -> anyhow::Result<String> {
    with_fault(folder, fault, ("celsius", "fahrenheit"))
}

/// Measures; `tell` hears of each step.
///
/// # Errors
/// The node does not start, lets a broken version pass, or keeps it on trial.
pub fn measure(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Judged>> {
    let place = Place::with_configuration("[net]\ncounters = \"off\"\n")?;
    let node = place.start()?;
    let folder = tempfile::tempdir().context("make a folder for functions")?;
    node.cli_succeeds(&["fn", "deploy", &celsius(folder.path(), "none")?])?;
    let target = Target::of(&node);
    let readings = Readings::begin(&target, plan.rate)?;
    let mut events = Wire::connected(&target, Way::Tcp, &target.connect(5, "events"))?;
    events.send(&client_packet::subscribe(Version::V5, 1, &[], &[(ROLLED_BACK, 0)]))?;
    events.receive().context("subscribe to events")?;
    tell(&format!("recording {RECORDED} messages"));
    let recorded = || -> anyhow::Result<bool> {
        let recordings: Value =
            serde_json::from_str(&node.cli_succeeds(&["fn", "recordings", "celsius", "--json"])?)?;
        Ok(recordings["recordings"].as_array().is_some_and(|recorded| recorded.len() >= RECORDED))
    };
    wait_until("enough on record", recorded, || node.said())?;
    let mut judged = Vec::new();
    for (fault, version) in FAULTS.into_iter().zip(["v2", "v3", "v4"]) {
        tell(fault);
        node.cli_succeeds(&["fn", "publish", &celsius(folder.path(), fault)?])?;
        let promoted = node.cli(&["fn", "promote", "celsius", version])?;
        let report = String::from_utf8_lossy(&promoted.stdout).into_owned();
        ensure!(promoted.status.code() == Some(1), "{version} ({fault}) was not refused\n{report}");
        let (mut back_after_s, mut reason) = (Vec::new(), String::new());
        for _ in 0..plan.rounds {
            node.cli_succeeds(&["fn", "canary", "celsius", version])?;
            let begun = Instant::now();
            reason = next_reason(&mut events)?;
            back_after_s.push(begun.elapsed().as_secs_f64());
        }
        judged.push(Judged { fault, report, back_after_s, reason });
    }
    readings.end()?;
    node.stop()?;
    Ok(judged)
}

fn next_reason(events: &mut Wire) -> anyhow::Result<String> {
    let bytes = events.receive().with_context(|| format!("no canary went back in {} s", PATIENCE.as_secs()))?;
    let Some((ServerPacket::Publish(event), _)) = decode(Version::V5, &bytes)? else {
        anyhow::bail!("no event: {bytes:02x?}");
    };
    let event: Value = serde_json::from_slice(&event.payload).context("read an event")?;
    event["reason"].as_str().map(str::to_owned).with_context(|| format!("no reason in {event}"))
}

/// A sensor that sends on, each message acknowledged.
struct Readings {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Readings {
    fn begin(target: &Target, rate: u32) -> anyhow::Result<Self> {
        let mut wire = Wire::connected(target, Way::Tcp, &target.connect(5, "oven"))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stopped);
        let pace = Duration::from_secs(1) / rate.max(1);
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            for number in 1_u32.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let reading = format!("oven {}.5", number % 100);
                wire.send(&Publish::new("fahrenheit", reading.as_bytes()).qos(1, 1).bytes(Version::V5))?;
                let ack = wire.receive().context("wait for a PUBACK")?;
                ensure!(ack.first() == Some(&0x40), "a reading is answered with {ack:02x?}");
                due += pace;
                // A sensor's pace is what is measured against: it sends when its time has come, not when something else has happened.
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        });
        Ok(Self { stopped, thread })
    }

    fn end(self) -> anyhow::Result<()> {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the sensor panicked"))?
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: fn promote refused it\n{}", self.fault, self.report.trim_end())?;
        let seconds: Vec<String> = self.back_after_s.iter().map(|seconds| format!("{seconds:.2}")).collect();
        writeln!(formatter, "fn canary went back after {} s: {}", seconds.join(", "), self.reason)
    }
}
