//! What bystanders notice of an attack, beside what they notice of the same attack on another node of the same machine.
//!
//! Every attacker takes processor time that the node and the bystanders would have had; on a small machine that alone makes
//! everybody slower. So each round has four phases on one node, the bystanders always with it: undisturbed; attacked; left alone
//! again; the same attack on a second node that serves nobody (control). What attacked and control have in common is the
//! machine's; what attacked has more is the node's. A round begins, and the control, when both nodes are through with what was
//! before. Attackers are a process of their own, whose processor time is counted.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::attack::Attack;
use super::bystanders::{Account, Bystanders};
use super::footprint;
use super::fortress::{Fortress, Needs};
use super::standstill;
use super::wire::{Target, wait_until};
use crate::spread::quantile;

/// How long a phase lasts at least.
pub const PHASE: Duration = Duration::from_secs(3);
/// A stall of this length is one too long, milliseconds.
pub const STALL_MS_MAX: f64 = 50.0;

/// What bystanders saw in one phase, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half of the messages took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// The slowest newcomer, from the first packet of the network to the answer.
    pub newcomer_max_ms: f64,
    /// The longest that a processor of this machine stood still meanwhile, where that can be told.
    pub standstill_ms: Option<f64>,
}

/// Where an attack is run from, and what it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttackerReport {
    /// Times that it was run.
    pub runs: u64,
    /// Processor time, seconds.
    pub cpu_s: f64,
    /// Time, seconds.
    pub wall_s: f64,
}

/// One round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Before the attack.
    pub undisturbed: Latency,
    /// While the node is attacked.
    pub attacked: Latency,
    /// After the attack, with what is left of it.
    pub after: Latency,
    /// While another node is attacked.
    pub control: Latency,
    /// Attackers of the attacked phase.
    pub attacker: AttackerReport,
    /// Processor time of the node in the attacked phase, seconds.
    pub node_cpu_s: f64,
    /// By the node's own clock, the longest that it served nobody else, milliseconds.
    pub longest_turn_ms: f64,
}

/// All rounds of one attack.
#[derive(Debug, Clone, Serialize)]
pub struct Siege {
    /// Name of the attack.
    pub attack: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Why it could not be measured, if so.
    pub failed: Option<String>,
    /// Each round.
    pub rounds: Vec<Round>,
    /// Memory that the node had allocated before, at most, and after, KiB.
    pub memory_kib: [u64; 3],
}

impl Round {
    /// Its phases, in order, with their names.
    pub fn phases(&self) -> [(&'static str, Latency); 4] {
        [("before", self.undisturbed), ("attacked", self.attacked), ("after", self.after), ("control", self.control)]
    }
}

impl Siege {
    /// Runs an attack in interleaved rounds.
    pub fn lay(attack: &'static Attack, rounds: u32) -> Self {
        let mut siege =
            Self { attack: attack.name, title: attack.title, failed: None, rounds: Vec::new(), memory_kib: [0; 3] };
        if let Err(error) = siege.run(attack, rounds) {
            siege.failed = Some(format!("{error:#}"));
        }
        siege
    }

    fn run(&mut self, attack: &'static Attack, rounds: u32) -> anyhow::Result<()> {
        let needs = Needs::from(attack);
        let (node, other) = (Fortress::start(&needs)?, Fortress::start(&needs)?);
        let nodes = [node.node.id(), other.node.id()];
        self.memory_kib[0] = node.floor_kib()?;
        for round in 0..rounds {
            come_to_rest(&nodes).with_context(|| format!("begin round {round}"))?;
            let undisturbed = phase(&node.target, || rest(PHASE))?.0;
            let cpu = footprint::cpu(node.node.id())?;
            let watch = Watch::start(node.node.id());
            let (attacked, attacker) = phase(&node.target, || attack_from_outside(attack.name, &node))?;
            self.memory_kib[1] = self.memory_kib[1].max(watch.finish());
            let node_cpu_s = (footprint::cpu(node.node.id())? - cpu).as_secs_f64();
            let longest_turn_ms = 1000.0 * node.metrics()?.get("selvedge_reactor_longest_turn_seconds");
            let after = phase(&node.target, || rest(PHASE / 2))?.0;
            come_to_rest(&nodes).with_context(|| format!("begin the control of round {round}"))?;
            let (control, _) = phase(&node.target, || attack_from_outside(attack.name, &other))
                .with_context(|| format!("control of round {round}"))?;
            self.rounds.push(Round { undisturbed, attacked, after, control, attacker, node_cpu_s, longest_turn_ms });
        }
        self.memory_kib[2] = node.memory_returns(self.memory_kib[0])?;
        node.stop()?;
        other.stop()
    }

    /// The greatest of a figure over all rounds.
    pub fn worst(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        self.rounds.iter().map(figure).fold(0.0, f64::max)
    }

    /// The figure in the middle of all rounds.
    pub fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut all: Vec<f64> = self.rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}

/// The 99th percentile of one phase over that of another.
pub fn ratio(one: Latency, other: Latency) -> f64 {
    one.p99_ms / other.p99_ms.max(0.001)
}

/// Runs an attack again and again for at least [`PHASE`], in this process.
///
/// # Errors
/// The node does not answer as it should.
pub fn attack_here(attack: &Attack, target: &Target) -> anyhow::Result<AttackerReport> {
    let (begun, cpu) = (Instant::now(), footprint::cpu(std::process::id())?);
    let mut runs = 0;
    while runs == 0 || begun.elapsed() < PHASE {
        (attack.run)(target)?;
        runs += 1;
    }
    let cpu_s = (footprint::cpu(std::process::id())? - cpu).as_secs_f64();
    Ok(AttackerReport { runs, cpu_s, wall_s: begun.elapsed().as_secs_f64() })
}

/// The attack as a process of its own.
fn attack_from_outside(name: &str, node: &Fortress) -> anyhow::Result<AttackerReport> {
    let target = &node.target;
    let program = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(program);
    command.args(["attack", name, "--mqtt", &target.mqtt.to_string(), "--websocket", &target.websocket.to_string()]);
    if let Some(mqtts) = target.mqtts {
        command.args(["--mqtts", &mqtts.to_string()]);
    }
    if let Some(control) = &target.control {
        command.arg("--control").arg(control);
    }
    if let Some((user, password)) = &target.login {
        command.args(["--user", user, "--password", password]);
    }
    let output = command.stdin(Stdio::null()).output().context("start the attackers")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "the attackers ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).context("read what the attackers report")
}

/// A node is at rest when it took no more than this of a processor, for its timers, in so long.
const RESTING: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_millis(250);

/// Waits until none of these nodes does anything any more: some attacks go on without their attackers.
fn come_to_rest(nodes: &[u32]) -> anyhow::Result<()> {
    let taken = || nodes.iter().map(|node| footprint::cpu(*node)).sum::<anyhow::Result<Duration>>();
    let mut last = (Instant::now(), taken()?);
    wait_until(
        "both nodes at rest",
        || {
            let now = taken()?;
            if now - last.1 > RESTING {
                last = (Instant::now(), now);
            }
            Ok(last.0.elapsed() >= REST)
        },
        || format!("a round begins when nothing is left of the one before, and they took {:?}", taken()),
    )
}

fn rest(time: Duration) -> anyhow::Result<()> {
    std::thread::sleep(time);
    Ok(())
}

/// Bystanders for as long as `act` takes.
fn phase<T>(target: &Target, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Latency, T)> {
    let bystanders = Bystanders::start(target)?;
    let machine = standstill::Watch::start();
    let outcome = act();
    let account = bystanders.finish();
    let standstill = machine.longest();
    let outcome = outcome?;
    let account = account?;
    account.nothing_lost()?;
    Ok((latency(&account, standstill), outcome))
}

fn latency(account: &Account, standstill: Option<Duration>) -> Latency {
    let all = account.latencies();
    let at = |share| quantile(&all, share).map_or(0.0, |us| f64::from(us) / 1000.0);
    let newcomer = account.newcomers.latencies_us.iter().max().copied().unwrap_or_default();
    Latency {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        newcomer_max_ms: f64::from(newcomer) / 1000.0,
        standstill_ms: standstill.map(|longest| longest.as_secs_f64() * 1000.0),
    }
}

/// Looks at the memory of a process while something goes on.
struct Watch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(pid: u32) -> Self {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, highest) = (Arc::clone(&stop), Arc::clone(&peak));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                highest.fetch_max(footprint::anonymous_kib(pid).unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { stop, peak, thread }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // It cannot have panicked: it only reads.
        drop(self.thread.join());
        self.peak.load(Ordering::Relaxed)
    }
}
