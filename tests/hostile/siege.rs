//! `siege`: attackers, and what `cargo xtask hostile`, `pound`, `soak`, `crowd` and `full-disk` run. It starts nodes of the binary that
//! `SELVEDGE_BIN` names, attacks and measures them, and stops them.

#[path = "siege/report.rs"]
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use selvedge_tests::siege::attack;
use selvedge_tests::siege::bystanders::Bystanders;
use selvedge_tests::siege::fortress::{Fortress, Needs};
use selvedge_tests::siege::measure::{self, Siege};
use selvedge_tests::siege::pound::{self, Plan};
use selvedge_tests::siege::wire::{Target, Way};
use selvedge_tests::siege::{crowd, full_disk, processor, soak};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// List the attacks.
    List,
    /// Run one attack against a node that runs, again and again for some seconds, and report.
    Attack {
        name: String,
        #[arg(long)]
        mqtt: SocketAddr,
        #[arg(long)]
        websocket: SocketAddr,
        #[arg(long)]
        mqtts: Option<SocketAddr>,
        #[arg(long)]
        control: Option<PathBuf>,
        #[arg(long)]
        user: Option<String>,
        #[arg(long, requires = "user")]
        password: Option<String>,
    },
    /// Measure what bystanders notice of each attack.
    Measure {
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        #[arg(long, value_delimiter = ',')]
        attacks: Vec<String>,
        #[arg(long)]
        json: bool,
    },
    /// Send random and mutated packets.
    Pound {
        #[arg(long, default_value_t = 10_000_000)]
        packets: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 4)]
        threads: u64,
    },
    /// Mixed load for a long time.
    Soak {
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
        #[arg(long, default_value_t = 100)]
        connections: usize,
    },
    /// Very many clients.
    Crowd {
        #[arg(long, default_value_t = 24_000)]
        connections: usize,
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// A disk that fills under load and has room again.
    FullDisk {
        #[arg(long, default_value_t = 64)]
        size_mb: u64,
        /// tmpfs or ext4.
        #[arg(long, default_value = "tmpfs")]
        disk: String,
        /// drain or filler.
        #[arg(long, default_value = "drain")]
        relief: String,
        /// Most seconds until the disk is full.
        #[arg(long, default_value_t = 120)]
        seconds: u64,
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::List => attack::all().for_each(|attack| println!("{:22} {}", attack.name, attack.title)),
        Task::Attack { name, mqtt, websocket, mqtts, control, user, password } => {
            let attack = attack::find(&name).with_context(|| format!("there is no attack {name}"))?;
            let login = user.zip(password);
            // Attackers do not finish a TLS handshake, so they trust nobody.
            let target =
                Target { mqtt, websocket, mqtts, secure_websocket: None, control, trust: None, source: None, login };
            processor::stand_aside();
            println!("{}", serde_json::to_string(&measure::attack_here(attack, &target)?)?);
        }
        Task::Measure { rounds, attacks, json } => return measure_all(rounds, &attacks, json),
        Task::Pound { packets, seed, threads } => return pound_node(packets, seed, threads),
        Task::Soak { minutes, connections } => {
            println!("{}", serde_json::to_string_pretty(&soak::soak(minutes, connections)?)?);
        }
        Task::Crowd { connections, seconds } => {
            println!("{}", serde_json::to_string_pretty(&crowd::gather(connections, seconds)?)?);
        }
        Task::FullDisk { size_mb, disk, relief, seconds, json } => {
            let plan = full_disk::Plan {
                kind: if disk == "ext4" { full_disk::Kind::Ext4 } else { full_disk::Kind::Tmpfs },
                size_mb,
                relief: if relief == "filler" { full_disk::Relief::Filler } else { full_disk::Relief::Drain },
                stay_full: Duration::from_secs(5),
                fill_max: Duration::from_secs(seconds),
            };
            return fill_disk(&plan, json);
        }
    }
    Ok(())
}

fn fill_disk(plan: &full_disk::Plan, json: bool) -> anyhow::Result<()> {
    match full_disk::fill(plan)? {
        full_disk::Outcome::Skipped(reason) => println!("SKIPPED full disk: {reason}"),
        full_disk::Outcome::Done(filled) if json => println!("{}", serde_json::to_string_pretty(&filled)?),
        full_disk::Outcome::Done(filled) => print!("{filled}"),
    }
    Ok(())
}

fn measure_all(rounds: u32, names: &[String], json: bool) -> anyhow::Result<()> {
    for name in names {
        attack::find(name).with_context(|| format!("there is no attack {name}"))?;
    }
    let wanted = |attack: &&attack::Attack| names.is_empty() || names.iter().any(|name| name == attack.name);
    if !processor::are_first() {
        eprintln!(
            "clients have no real-time priority here (CAP_SYS_NICE): latencies contain what they wait for a processor"
        );
    }
    let before = processor::wake_up()?;
    let mut sieges = Vec::new();
    for attack in attack::all().filter(wanted) {
        eprintln!("{}: {}", attack.name, attack.title);
        let siege = Siege::lay(attack, rounds);
        eprintln!("{}", report::line(&siege));
        sieges.push(siege);
    }
    let wake_ups = [before, processor::wake_up()?];
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "sieges": sieges, "wake_up": wake_ups }))?);
    } else {
        print!("{}{}{}", report::table(&sieges), report::judgement(&sieges), report::machine(wake_ups));
    }
    let failed: Vec<_> = sieges.iter().filter(|siege| siege.failed.is_some()).map(|siege| siege.attack).collect();
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Bystanders go on all the time; the node has to serve them, and to give its memory back.
fn pound_node(packets: u64, seed: u64, threads: u64) -> anyhow::Result<()> {
    let fortress = Fortress::start(&Needs { tls: true, ..Needs::default() })?;
    let (floor_kib, pss_before_kib) = (fortress.floor_kib()?, fortress.pss_kib()?);
    let bystanders = Bystanders::start(&fortress.target)?;
    let tenths = 10;
    let (mut peak_kib, mut pounded) = (0, Vec::new());
    for tenth in 0..tenths {
        let plan =
            Plan { packets: packets.div_ceil(tenths), seed: seed * tenths + tenth, threads, ways: Way::ALL.to_vec() };
        let done = pound::pound(&fortress.target, &plan).with_context(|| fortress.node.said())?;
        let allocated_kib = fortress.allocated_kib()?;
        peak_kib = peak_kib.max(allocated_kib);
        eprintln!("{} packets, {:.0} a second, {allocated_kib} KiB", done.packets, done.packets as f64 / done.seconds);
        pounded.push(done);
    }
    let account = bystanders.finish().with_context(|| fortress.node.said())?;
    account.nothing_lost()?;
    let after_kib = fortress.memory_returns(floor_kib)?;
    let pss_after_kib = fortress.pss_kib()?;
    fortress.stop()?;
    let sum = |figure: fn(&pound::Pounded) -> u64| pounded.iter().map(figure).sum::<u64>();
    let seconds: f64 = pounded.iter().map(|pounded| pounded.seconds).sum();
    let report = json!({
        "seed": seed,
        "packets": sum(|pounded| pounded.packets),
        "mutated": sum(|pounded| pounded.mutated),
        "connections": sum(|pounded| pounded.connections),
        "seconds": seconds,
        "packets_per_s": sum(|pounded| pounded.packets) as f64 / seconds,
        "node_alive": true,
        "bystander_messages": account.pairs.iter().map(|pair| pair.received).sum::<u64>(),
        "newcomers": account.newcomers.served,
        "allocated_kib": { "before": floor_kib, "peak": peak_kib, "after": after_kib },
        "pss_kib": { "before": pss_before_kib, "after": pss_after_kib },
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
